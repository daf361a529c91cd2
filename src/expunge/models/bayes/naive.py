"""``NaiveBayes``: naive Bayes on integer counts of binned columns, which forgets a record by counting it out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.bayes.binned import Binned, Book, is_warm, saved
from expunge.models.change import forecast
from expunge.models.encoding.grid import Grid
from expunge.models.encoding.occupied import bins_of
from expunge.models.encoding.scale import numbers
from expunge.models.kept import Kept
from expunge.models.scores import class_codes, cross_entropy, label_bytes

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress


@dataclass(frozen=True)
class NaiveBayes:
    """Naive Bayes over bins: P(class) · Π P(bin | class), with counts smoothed after Laplace.

    Attributes:
        smoothing: added to every count, > 0; each column has one more bin than occur.
        n_bins: bins a column is cut into (64 or 256).

    Guarantee: exact, grade ``bits``: the state is integer counts; logarithms are taken when predicting.
    Cost: fit O(n·d); forgetting m records O(m·d + bins), whatever n: some 40 microseconds for one of 40
        columns; one fit where a column's grid moves.
    Source: spec XL06, encoders XE01-XE05; Cao and Yang (2015) for counts as the simplest statistical-query learner.
    """

    smoothing: float = 1.0
    n_bins: int = 64

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the loops, or load them from their cache; the first time on a machine that is said, and slow."""
        if not is_warm():
            say("compiling the loops of naive Bayes, once on this machine (5 to 10 s)")
        data = Dataset.from_arrays(np.arange(6.0)[:, None], ["a", "b"] * 3)
        self.fit(data, Key.public(0)).without([0])

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
        binned = Binned.of(Grid.of(data, key, self.n_bins), data, labels)
        if progress is not None:
            progress(len(data), len(data))
        return self._model(data, key, binned, time.perf_counter() - began)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> BayesModel:
        """Return the model that was saved as its state and memory.

        Records are counted again only where the saved counts are not of one piece with each other and the classes.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self._check()
        binned = saved(arrays, data, key, self.n_bins, class_labels(data))
        model = self.fit(data, key) if binned is None else self._model(data, key, binned)
        check_saved(model, arrays)
        return model

    def _model(self, data: Dataset, key: Key, binned: Binned, fit_s: float = 0.0) -> BayesModel:
        return BayesModel(self, Identity.of(self, data, key), key, Kept.of(data), Book(binned), fit_s)

    def _check(self) -> None:
        if not (isinstance(self.smoothing, int | float) and 0 < self.smoothing < math.inf):
            raise BadInput(f"smoothing must be a positive number, not {self.smoothing!r}")
        if self.n_bins not in (64, 256):
            raise BadInput(f"n_bins must be 64 or 256, not {self.n_bins!r}")


@dataclass(frozen=True, eq=False)
class BayesModel:
    """The model of a `NaiveBayes`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the hash buckets.
        kept: the records.
        book: the counts, and the grid that the bins are cut by.
        fit_s: seconds of the last fit.
    """

    learner: NaiveBayes
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    book: Book = field(repr=False)
    fit_s: float = 0.0

    @property
    def binned(self) -> Binned:
        """The counts."""
        return self.book.now

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of `logits`."""
        return self.binned.labels

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.book.settled(self.kept.data)
        return self.kept.data

    def logits(self, data: Dataset) -> Floats:
        """Return log P(class) + Σ log P(bin | class), shape (n, k); an unseen bin counts as empty."""
        a, k = float(self.learner.smoothing), len(self.labels)
        counts, sizes = self.binned.counts, self.binned.sizes
        there = (counts.sum(axis=2) > 0).sum(axis=1)[:, None]
        table = np.log(counts + a) - np.log(sizes + a * (there + 1))[:, None, :]
        scores = np.tile(np.log(sizes + a) - np.log(sizes.sum() + a * k), (len(data), 1))
        for row, bins in enumerate(bins_of(self.binned.grid, data)):
            scores += table[row, bins]
        return scores

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: grid, classes, counts; categories numbered as they would be afresh."""
        binned = self.book.settled(self.kept.data)
        grid, counts = binned.grid, binned.counts.copy()
        for row in np.flatnonzero(grid.nominal):
            inner = binned.counts[row, 1:]
            there = inner[inner.any(axis=1)]
            counts[row, 1:] = 0
            counts[row, 1 : 1 + len(there)] = there
        names, sizes = label_bytes(self.labels), binned.sizes.copy()
        return {**grid.state(), "classes/labels": names, "classes/sizes": sizes, "counts": counts}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: how many records are in each cell of a number, or of each category."""
        occupied = self.book.settled(self.kept.data).occupied
        numeric = [o.names for o in occupied if not o.names.dtype.hasobject]
        return {
            "occupied/cells": np.concatenate([*numeric, np.zeros(0, np.int64)]),
            "occupied/counts": np.concatenate([*(o.count for o in occupied), np.zeros(0, np.int64)]),
            "occupied/sizes": np.array([len(o.count) for o in occupied], np.int64),
        }

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return exactly("bits")

    def without(self, ids: Iterable[Id]) -> BayesModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        source, rows, kept = self.kept.drop(ids)
        if not len(rows):
            return self
        binned = self.binned.without(source, rows)
        if binned is None:
            return self.learner.fit(kept.data, self.key)
        return BayesModel(self.learner, self.identity, self.key, kept, Book(binned), self.fit_s)

    def adding(self, data: Dataset) -> BayesModel:
        """Return the model that has seen these records as well; self is untouched.

        Raises:
            DuplicateId: a record is known already.
            BadData, BadTarget: other columns, or another target.
        """
        kept = self.kept.learn(data)
        target = data.target
        if target is not None and not set(target.vocabulary) <= set(self.labels):
            return self.learner.fit(kept.data, self.key)
        binned = self.binned.adding(data)
        if binned is None:
            return self.learner.fit(kept.data, self.key)
        return replace(self, kept=kept, book=Book(binned))

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        return sum(a.nbytes for a in (*self.state().values(), *self.memory().values()))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        source, rows, kept = self.kept.drop(ids)
        moves = len(rows) > 0 and self.binned.without(source, rows) is None
        if moves:
            return forecast("a column's grid moves, so the counts are taken again", self.fit_s, 1.0, kept.n)
        share = len(rows) / (kept.n + len(rows))
        return forecast("subtracts the records' counts", self.fit_s, share, len(rows))
