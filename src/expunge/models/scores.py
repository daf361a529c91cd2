"""What classifiers share: codes of classes, probabilities and losses from scores, and labels as an array."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadTarget
from expunge.core.roles import Floats

Ints = npt.NDArray[np.int64]


def class_codes(data: Dataset, labels: tuple[str, ...]) -> Ints:
    """Return each record's place among the labels, shape (n,); -1 for a class that is not among them.

    Raises:
        BadTarget: the data have no target of categories.
    """
    target = data.target
    if target is None or target.kind != "category":
        raise BadTarget(f"target {data.target_name!r} does not hold categories")
    place = {label: code for code, label in enumerate(labels)}
    table = np.array([*(place.get(word, -1) for word in target.vocabulary), -1], np.int64)
    found: Ints = table[target.values]
    return found


def known_codes(data: Dataset, labels: tuple[str, ...]) -> Ints:
    """Return `class_codes` of records to learn from.

    Raises:
        BadTarget: a record is of no class, or of an undeclared one.
    """
    codes = class_codes(data, labels)
    if (codes < 0).any():
        lost = int((codes < 0).sum())
        raise BadTarget(f"{lost} of {len(data)} records are of none of the classes {', '.join(labels[:10])}")
    return codes


def log_shares(logits: Floats) -> Floats:
    """Return normalised log-probabilities, shape (n, k)."""
    top = logits.max(axis=1, keepdims=True)
    shifted = logits - top
    found: Floats = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def cross_entropy(logits: Floats, codes: Ints) -> Floats:
    """Return -log p of each record's class, shape (n,), in nats; an unknown class costs as much as the worst."""
    if not len(codes):
        return np.zeros(0)
    shares = log_shares(logits)
    found: Floats = -np.where(codes >= 0, shares[np.arange(len(codes)), codes], shares.min(axis=1))
    return found


def squared_errors(values: Floats, data: Dataset) -> Floats:
    """Return the squared error of each record's predicted number, shape (n,); at most the largest float.

    Raises:
        BadTarget: the records have no number to compare with.
    """
    if data.target is None or data.target.kind != "number":
        raise BadTarget("the records have no number to compare with")
    with np.errstate(over="ignore"):
        found = (values - np.asarray(data.target.values, np.float64)) ** 2
    return np.minimum(found, np.finfo(np.float64).max)


def label_bytes(labels: tuple[str, ...]) -> npt.NDArray[np.uint8]:
    """Return class labels as an array for a state."""
    return np.frombuffer("\0".join(labels).encode(), np.uint8)


def labels_of(array: npt.ArrayLike) -> tuple[str, ...]:
    """Return the class labels of such an array."""
    text = bytes(np.asarray(array, np.uint8)).decode()
    return tuple(text.split("\0")) if text else ()
