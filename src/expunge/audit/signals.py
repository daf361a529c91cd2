"""What probes read from a model: losses, predicted classes, and the margin φ by which it prefers the true class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Case, Deployment
from expunge.core.errors import BadData, Unsupported
from expunge.core.models import class_labels
from expunge.core.roles import Floats, Model, Predicts

Codes = npt.NDArray[np.int64]
LARGEST = 1e4
"""Logits beyond ± this are cut, so that every margin is finite."""


def is_category(data: Dataset) -> bool:
    """Say whether the target is a class."""
    return data.target is not None and data.target.kind == "category"


def losses(model: Model, data: Dataset) -> Floats:
    """Return the loss of each record, shape (n,).

    Raises:
        BadData: a loss is not finite.
    """
    found = np.asarray(model.losses(data), np.float64)
    if found.shape != (len(data),):
        raise BadData(f"the model gave losses of shape {found.shape} for {len(data)} records")
    if not np.isfinite(found).all():
        raise BadData(f"{int((~np.isfinite(found)).sum())} of {len(found)} losses are not finite")
    return found


def logits(model: Model, data: Dataset) -> Floats:
    """Return the logits, shape (n, k), cut to ± 10 000.

    Raises:
        Unsupported: the model gives no logits.
        BadData: a logit is NaN.
    """
    if not isinstance(model, Predicts):
        raise Unsupported("the model gives losses only, no class probabilities")
    found = np.asarray(model.logits(data), np.float64)
    if np.isnan(found).any():
        raise BadData("a logit is NaN")
    return np.clip(found, -LARGEST, LARGEST)


def truth(data: Dataset, labels: tuple[str, ...]) -> Codes:
    """Return the true class of each record as a column of the logits, shape (n,); -1 for a class the model lacks."""
    if data.target is None:
        raise BadData("the records have no target")
    place = {label: i for i, label in enumerate(labels)}
    codes = np.array([*(place.get(word, -1) for word in data.target.vocabulary), -1], np.int64)
    return np.asarray(codes[data.target.values], np.int64)


def margins(scores: Floats, true: Codes) -> Floats:
    """Return φ = z_y − log Σ_{j≠y} e^{z_j}, the log-odds of the true class, shape (n,).

    Source: Carlini et al. (2022), the signal of LiRA, in its log-sum-exp form: finite for logits up to ± 10 000.
    """
    rows = np.arange(len(scores))
    others = scores.copy()
    others[rows, true] = -np.inf
    top = others.max(axis=1)
    rest = top + np.log(np.exp(others - top[:, None]).sum(axis=1))
    return np.asarray(scores[rows, true] - rest, np.float64)


def phi_of(model: Model, data: Dataset, labels: tuple[str, ...]) -> Floats:
    """Return the signal of membership attacks, shape (n,), larger for members: φ of a classifier, else minus the loss.

    Args:
        model: what is attacked.
        data: the records.
        labels: the classes in the order of the logits; empty where the target is no class.
    """
    if isinstance(model, Predicts) and len(labels) > 1:
        true = truth(data, labels)
        if (true >= 0).all():
            return margins(logits(model, data), true)
    return -losses(model, data)


@dataclass(frozen=True)
class Seen:
    """Some records as one deployment's model sees them; each quantity is computed once.

    Attributes:
        deployment: whose model.
        data: the records.
    """

    deployment: Deployment
    data: Dataset

    @cached_property
    def losses(self) -> Floats:
        """The losses, shape (n,)."""
        return losses(self.deployment.model, self.data)

    @cached_property
    def logits(self) -> Floats:
        """The logits, shape (n, k)."""
        return logits(self.deployment.model, self.data)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits; empty where the target is no class."""
        return class_labels(self.deployment.data) if is_category(self.data) else ()

    @cached_property
    def truth(self) -> Codes:
        """The true classes as columns of the logits, shape (n,)."""
        return truth(self.data, self.labels)

    @cached_property
    def predicted(self) -> Codes:
        """The predicted classes as columns of the logits, shape (n,)."""
        return np.asarray(self.logits.argmax(axis=1), np.int64)

    @cached_property
    def correct(self) -> Floats:
        """1.0 where the predicted class is the true one, shape (n,)."""
        return np.asarray(self.predicted == self.truth, np.float64)

    @cached_property
    def phi(self) -> Floats:
        """The signal of membership attacks, shape (n,)."""
        return phi_of(self.deployment.model, self.data, self.labels)


def seen(case: Case, deployment: Deployment, data: Dataset) -> Seen:
    """Return some records of a case as a deployment's model sees them, computed once for all its probes."""
    return case.views.setdefault((id(deployment), id(data)), Seen(deployment, data))  # type: ignore[no-any-return]
