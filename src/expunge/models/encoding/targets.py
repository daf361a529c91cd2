"""``TargetMeans``: a category as the mean target of the records that share it, estimated inside a shard (spec XE07).

A record's own fold is left out of its mean, so that its target does not come back to it as a column. Folds are keyed
hashes of subjects, sums are integer counts (of numbers: exactly rounded sums), hence a function of the set of records.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import CODED, Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, MissingColumn
from expunge.core.seeds import Key

Floats = npt.NDArray[np.float64]
FOLDS = 5
PRIOR = 10.0
"""A category counts as if this many more records had the mean of all."""


@dataclass(frozen=True, eq=False)
class TargetMeans:
    """What is known of each category of some columns.

    Attributes:
        words: column → its categories, in byte order; a missing value is the category after them.
        sizes: column → records of each category in each fold, shape (words + 1, FOLDS).
        sums: column → sums of the target, shape (words + 1, FOLDS, q); q = classes less one, or 1 for a number.
        key: of the folds.
    """

    words: Mapping[str, tuple[str, ...]]
    sizes: Mapping[str, Floats]
    sums: Mapping[str, Floats]
    key: Key

    @classmethod
    def of(cls, data: Dataset, columns: tuple[str, ...], key: Key) -> TargetMeans:
        """Return the means of these records.

        Raises:
            MissingColumn, BadInput: a column is not there, or does not hold categories.
        """
        folds, goals = _folds(data, key), _goals(data)
        words, sizes, sums = {}, {}, {}
        for name in columns:
            column = category(data, name)
            n = len(column.vocabulary) + 1
            place = np.where(column.values < 0, n - 1, column.values) * FOLDS + folds
            words[name] = column.vocabulary
            sizes[name] = np.bincount(place, minlength=n * FOLDS).reshape(n, FOLDS).astype(np.float64)
            sums[name] = _sums(place, goals, n * FOLDS).reshape(n, FOLDS, -1)
        return cls(words, sizes, sums, key)

    def encode(self, data: Dataset, learning: bool = False) -> Dataset:
        """Return the records with the columns as means; of records `learning` from, without those of their fold."""
        folds = _folds(data, self.key) if learning else None
        columns: dict[str, Column] = {}
        for name, column in data.columns.items():
            if name not in self.words:
                columns[name] = column
                continue
            means = self._means(name, column, folds)
            for j in range(means.shape[1]):
                columns[name if means.shape[1] == 1 else f"{name}~{j}"] = Column("number", means[:, j].copy())
        return replace(data, columns=columns)

    def _means(self, name: str, column: Column, folds: npt.NDArray[np.int64] | None) -> Floats:
        """Return the means of each record, shape (n, q)."""
        sizes, sums = self.sizes[name], self.sums[name]
        if folds is None:
            size, total = sizes.sum(axis=1), _added(sums, range(FOLDS))
            codes = _places(column, self.words[name])
            return _smooth(size, total)[codes]
        without = [[f for f in range(FOLDS) if f != fold] for fold in range(FOLDS)]
        tables = np.stack([_smooth(sizes[:, rest].sum(axis=1), _added(sums, rest)) for rest in without])
        return np.asarray(tables[folds, _places(column, self.words[name])])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what encodes, as arrays under ``targets/…``."""
        found: dict[str, npt.NDArray[Any]] = {}
        for j, (name, words) in enumerate(self.words.items()):
            text = "\n".join(word.encode().hex() for word in (name, *words))
            found[f"targets/{j:03d}/words"] = np.frombuffer(text.encode(), np.uint8)
            found[f"targets/{j:03d}/sizes"] = self.sizes[name]
            found[f"targets/{j:03d}/sums"] = self.sums[name]
        return found


def category(data: Dataset, name: str) -> Column:
    """Return a column of categories.

    Raises:
        MissingColumn, BadInput: it is not there, or holds something else.
    """
    if name not in data.columns:
        raise MissingColumn(f"there is no column {name!r} to encode by the target; there are {', '.join(data.columns)}")
    column = data.columns[name]
    if column.kind not in CODED:
        raise BadInput(f"column {name!r} holds no categories but a {column.kind}", hint="Declare its kind: category.")
    return column


def _places(column: Column, words: tuple[str, ...]) -> npt.NDArray[np.int64]:
    """Return each record's row in the tables; the last row but one is "missing", the last an unknown category."""
    known = {word: j for j, word in enumerate(words)}
    table = np.array([*(known.get(word, len(words) + 1) for word in column.vocabulary), len(words)], np.int64)
    found: npt.NDArray[np.int64] = table[column.values]
    return found


def _smooth(sizes: Floats, sums: Floats) -> Floats:
    """Return the means of categories, drawn towards the mean of all, and that as the last row; shape (w + 2, q)."""
    every = np.array([math.fsum(column) for column in sums.T]) / max(float(sizes.sum()), 1.0)
    means = (sums + PRIOR * every) / (sizes[:, None] + PRIOR)
    return np.concatenate([means, every[None, :]])


def _added(sums: Floats, folds: Any) -> Floats:
    """Return sums over folds, in the order of the folds."""
    total = np.zeros((len(sums), sums.shape[2]))
    for fold in folds:
        total += sums[:, fold]
    return total


def _sums(place: npt.NDArray[np.int64], goals: Floats, size: int) -> Floats:
    """Return exactly rounded sums of the goals at each place, shape (size, q): their order does not matter."""
    order = np.argsort(place, kind="stable")
    ends = np.searchsorted(place[order], np.arange(size + 1))
    sums = np.zeros((size, goals.shape[1]))
    for j, column in enumerate(goals[order].T):
        sums[:, j] = [math.fsum(column[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
    return sums


def _goals(data: Dataset) -> Floats:
    """Return the target as numbers, shape (n, q): 0/1 for each class but the first, or the number itself."""
    if data.target is None:
        return np.zeros((len(data), 1))
    if data.target.kind == "category":
        hits = data.target.values[:, None] == np.arange(1, max(2, len(data.target.vocabulary)))
        return np.asarray(hits, np.float64)
    return np.asarray(data.target.values, np.float64)[:, None]


def _folds(data: Dataset, key: Key) -> npt.NDArray[np.int64]:
    owners, which = np.unique(data.subjects, return_inverse=True)
    words = key.words(owners.tolist(), "fold") % np.uint64(FOLDS)
    found: npt.NDArray[np.int64] = words.astype(np.int64)[which]
    return found
