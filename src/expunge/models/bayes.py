"""``NaiveBayes``: naive Bayes on integer counts of binned columns, which forgets a record by counting it out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import CODED, Column
from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.encode import MAX_NOMINAL, Feature, Grid, cells, grid_range
from expunge.models.kept import Kept
from expunge.models.scale import numbers
from expunge.models.scores import class_codes, cross_entropy, known_codes, label_bytes

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]
BLOCK = 1 << 16


@dataclass(frozen=True)
class Occupied:
    """What a column's values are, counted: by this the grid knows whether it moves when records go.

    Attributes:
        names: the distinct log-linear cells of a number (int64), or categories (objects); sorted.
        count: records in each, shape (len(names),).
    """

    names: npt.NDArray[Any]
    count: Ints

    @classmethod
    def of(cls, column: Column) -> Occupied:
        """Count a column."""
        if column.kind in CODED:
            words = () if column.kind == "text" else column.vocabulary
            count = np.bincount(column.values + 1, minlength=len(column.vocabulary) + 1)[1:].astype(np.int64)
            there = count[: len(words)] > 0
            return cls(np.array(words, object)[there], count[: len(words)][there])
        values = np.asarray(column.values, np.float64)
        cell, count = np.unique(cells(values[~np.isnan(values)]), return_counts=True)
        return cls(cell, count.astype(np.int64))

    def less(self, gone: Occupied) -> Occupied:
        """Return the difference."""
        if not len(gone.names):
            return self
        if self.names.dtype.hasobject:
            known = {word: code for code, word in enumerate(self.names)}
            places = np.array([known[word] for word in gone.names], np.int64)
        else:
            places = np.searchsorted(self.names, gone.names)
        count = self.count.copy()
        count[places] -= gone.count
        return Occupied(self.names, count) if count[places].all() else Occupied(self.names[count > 0], count[count > 0])


def _moved(feature: Feature, after: Occupied) -> bool:
    """Say whether a column would be cut otherwise with what is left."""
    if feature.kind == "number":
        return grid_range(after.names, after.count) != (feature.low, feature.high)
    return feature.kind == "hashed" and len(after.names) <= MAX_NOMINAL


@dataclass(frozen=True)
class NaiveBayes:
    """Naive Bayes over bins: P(class) · Π P(bin | class), with counts smoothed after Laplace.

    Attributes:
        smoothing: added to every count, > 0; each column has one more bin than occur.
        n_bins: bins a column is cut into (64 or 256).

    Guarantee: exact, grade ``bits``: the state is integer counts; logarithms are taken when predicting.
    Cost: fit O(n·d); forgetting m records O(m·d + bins), one fit where a column's grid moves.
    Source: spec XL06, encoders XE01-XE05; Cao and Yang (2015) for counts as the simplest statistical-query learner.
    """

    smoothing: float = 1.0
    n_bins: int = 64

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> BayesModel:
        """Return the counts of these records.

        Raises:
            BadTarget, ClassVanished, BadData: nothing to learn, or not a target of categories.
        """
        self._check()
        began = time.perf_counter()
        labels = class_labels(data)
        for name, column in data.columns.items():
            if column.kind in ("number", "date"):
                numbers(column, name)
        grid = Grid.of(data, key, self.n_bins)
        counts = np.zeros((len(grid.names), self.n_bins, len(labels)), np.int64)
        for start in range(0, len(data), BLOCK):
            block = data if len(data) <= BLOCK else data.take(np.arange(start, min(start + BLOCK, len(data))))
            counts += tally(grid, block, labels)
            if progress is not None:
                progress(min(start + BLOCK, len(data)), len(data))
        sizes = np.bincount(known_codes(data, labels), minlength=len(labels)).astype(np.int64)
        occupied = tuple(Occupied.of(column) for column in data.columns.values())
        identity, kept = Identity.of(self, data, key), Kept.of(data)
        fit_s = time.perf_counter() - began
        return BayesModel(self, identity, key, kept, grid, occupied, labels, counts, sizes, fit_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> BayesModel:
        """Return the model that was saved as its state and memory; counts are taken afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        if not (isinstance(self.smoothing, int | float) and 0 < self.smoothing < math.inf):
            raise BadInput(f"smoothing must be a positive number, not {self.smoothing!r}")
        if self.n_bins not in (64, 256):
            raise BadInput(f"n_bins must be 64 or 256, not {self.n_bins!r}")


def tally(grid: Grid, data: Dataset, labels: tuple[str, ...]) -> Ints:
    """Return how many records of each class are in each bin of each encoded feature, shape (d, n_bins, k)."""
    k, y = len(labels), known_codes(data, labels)
    codes = _bins(grid, data)
    counts = np.zeros((len(codes), grid.n_bins, k), np.int64)
    for row, bins in enumerate(codes):
        counts[row] = np.bincount(bins * k + y, minlength=grid.n_bins * k).reshape(grid.n_bins, k)
    return counts


def _bins(grid: Grid, data: Dataset) -> npt.NDArray[np.uint8]:
    """Return the bins, shape (d, n); values far beyond the grid fall into its outermost bins without a word."""
    with np.errstate(over="ignore"):
        return grid.encode(data)


@dataclass(frozen=True, eq=False)
class BayesModel:
    """The model of a `NaiveBayes`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the hash buckets.
        kept: the records.
        grid: the encoder; bins of categories that are gone stay empty until it is made anew.
        occupied: the counts behind the grid, one entry a column.
        labels: the classes, in the order of the columns of `logits`.
        counts: shape (d, n_bins, k).
        sizes: records of each class, shape (k,).
        fit_s: seconds of the last fit.
    """

    learner: NaiveBayes
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    grid: Grid = field(repr=False)
    occupied: tuple[Occupied, ...] = field(repr=False)
    labels: tuple[str, ...]
    counts: Ints = field(repr=False)
    sizes: Ints = field(repr=False)
    fit_s: float = 0.0

    @property
    def data(self) -> Dataset:
        """The kept records."""
        return self.kept.data

    def logits(self, data: Dataset) -> Floats:
        """Return log P(class) + Σ log P(bin | class), shape (n, k); an unseen bin counts as empty."""
        a, k = float(self.learner.smoothing), len(self.labels)
        there = (self.counts.sum(axis=2) > 0).sum(axis=1)[:, None]
        table = np.log(self.counts + a) - np.log(self.sizes + a * (there + 1))[:, None, :]
        scores = np.tile(np.log(self.sizes + a) - np.log(self.sizes.sum() + a * k), (len(data), 1))
        for row, bins in enumerate(_bins(self.grid, data)):
            scores += table[row, bins]
        return scores

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: grid, classes, counts; categories numbered as they would be afresh."""
        self.kept.settle()
        counts = self.counts.copy()
        for row in np.flatnonzero(self.grid.nominal):
            inner = self.counts[row, 1:]
            there = inner[inner.any(axis=1)]
            counts[row, 1:] = 0
            counts[row, 1 : 1 + len(there)] = there
        names = label_bytes(self.labels)
        return {**self.grid.state(), "classes/labels": names, "classes/sizes": self.sizes, "counts": counts}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: how many records are in each cell of a number, or of each category."""
        numeric = [o.names for o in self.occupied if not o.names.dtype.hasobject]
        return {
            "occupied/cells": np.concatenate([*numeric, np.zeros(0, np.int64)]),
            "occupied/counts": np.concatenate([*(o.count for o in self.occupied), np.zeros(0, np.int64)]),
            "occupied/sizes": np.array([len(o.count) for o in self.occupied], np.int64),
        }

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return exactly("bits")

    def _left(self, gone: Dataset) -> tuple[Occupied, ...] | None:
        """Return the counts behind the grid without these records; None where the grid moves."""
        columns = gone.columns.values()
        left = tuple(o.less(Occupied.of(column)) for o, column in zip(self.occupied, columns, strict=True))
        return None if any(_moved(f, o) for f, o in zip(self.grid.features, left, strict=True)) else left

    def without(self, ids: Iterable[Id]) -> BayesModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        gone, kept = self.kept.forget(ids)
        if not len(gone):
            return self
        left = self._left(gone)
        if left is None:
            return self.learner.fit(kept.data, self.key)
        features = tuple(
            replace(f, words=tuple(w if w in o.names else None for w in f.words))
            if f.kind == "nominal" and len(o.names) < len(before.names)
            else f
            for f, o, before in zip(self.grid.features, left, self.occupied, strict=True)
        )
        counts = self.counts - tally(self.grid, gone, self.labels)
        sizes = self.sizes - np.bincount(class_codes(gone, self.labels), minlength=len(self.labels))
        grid = replace(self.grid, features=features)
        return replace(self, kept=kept, grid=grid, occupied=left, counts=counts, sizes=sizes)

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        gone, kept = self.kept.forget(ids)
        moves = self._left(gone) is None
        share = 1.0 if moves else len(gone) / (kept.n + len(gone))
        seconds = (self.fit_s * share + 1e-3) if self.fit_s else None
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 4 * seconds,
            worst_s=self.fit_s * 1.5 or None,
            records_read=kept.n if moves else len(gone),
            parts_touched=1,
            parts=1,
            why="a column's grid moves, so the counts are taken again" if moves else "subtracts the records' counts",
        )
