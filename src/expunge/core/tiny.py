"""A tiny world for conformance tests and examples: awkward mixed records, and a learner of plain counts.

The world holds what breaks unlearning in practice: categories that vanish, missing values, columns that are or become
constant, duplicates under distinct ids, subjects with several records, ties everywhere, sizes around powers of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.columns import CODED, Column
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment, Prediction
from expunge.core.errors import StoreDamaged
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, class_labels, rows_to_forget
from expunge.core.request import Id
from expunge.core.roles import Floats, Learner, Progress
from expunge.core.seeds import Key

SIZES = (23, 31, 32, 33, 48, 63, 64, 65)
CELLS = 64


def tiny_world(seed: int, target: Literal["category", "number"] | None = "category") -> Dataset:
    """Return a small awkward table. Even seeds declare their classes and number their ids, odd ones do neither.

    >>> len(tiny_world(3)), tiny_world(3).digest == tiny_world(3).digest
    (33, True)
    """
    draw = np.random.Generator(np.random.PCG64([seed, 20]))
    n = SIZES[seed % len(SIZES)]
    size = draw.normal(size=n).round(1)
    few = draw.integers(0, 3, n).astype(np.float64)
    colour = draw.choice(["red", "green", "blue"], n).tolist()
    rare = [f"only-{j}" if j % 7 == 0 else "common" for j in range(n)]
    words = draw.choice(["quick brown fox", "lazy dog", "quick dog"], n).tolist()
    truth = ["yes" if s + (c == "red") + draw.normal() / 4 > 0.3 else "no" for s, c in zip(size, colour, strict=True)]
    truth[:6] = ["no", "yes"] * 3
    lost = draw.random((3, n)) < 0.1
    almost = np.ones(n)
    almost[7] = 5.0
    columns = {
        "size": Column("number", np.where(lost[0], np.nan, size)),
        "few": Column("number", few),
        "same": Column("number", np.full(n, 2.0)),
        "almost": Column("number", almost),
        "day": Column("date", np.where(lost[1], np.nan, draw.integers(19000, 19030, n).astype(np.float64))),
        "flag": Column("boolean", (few > 0).astype(np.float64)),
        "colour": Column.of_texts([None if gone else c for gone, c in zip(lost[2], colour, strict=True)]),
        "rare": Column.of_texts(rare),
        "words": Column.of_texts(words, "text"),
    }
    labels = Column.of_texts(truth) if target == "category" else Column("number", (3 * size + few).round(2))
    numbered = seed % 2 == 0
    ids: list[Any] = (
        [int(i) for i in draw.permutation(n) + 100] if numbered else [f"r-{i}" for i in draw.permutation(n)]
    )
    owners = np.array([f"s-{j // 3}" if j % 5 else f"lone-{j}" for j in range(n)])
    data = Dataset(
        columns=columns,
        ids=np.array(ids),
        subjects=owners,
        target=None if target is None else labels,
        classes=("no", "yes") if numbered and target == "category" else (),
    )
    return _with_duplicates(data, n // 8)


def _with_duplicates(data: Dataset, m: int) -> Dataset:
    """Give the last m records the contents of the first m; ids and owners stay."""
    rows = np.arange(len(data))
    rows[-m:] = rows[:m]
    columns = {name: column.take(rows) for name, column in data.columns.items()}
    return replace(data, columns=columns, target=data.target and data.target.take(rows))


@dataclass(frozen=True)
class Tally:
    """A learner of plain counts: naive Bayes over hashed cells. Small enough to read, exact enough to be a yardstick.

    Guarantee: exact, grade ``bits``: its state is a sum of integers over records.
    Cost: one pass; forgetting reads the forgotten records only.
    Source: Cao and Yang (2015), statistical query learning, in its simplest form.
    """

    smoothing: float = 1.0

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> Counts:
        """Return the counts of these records."""
        labels = class_labels(data)
        return Counts(self, data, key, _tally(data, labels, key), labels)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> Counts:
        """Return the model that gave these arrays."""
        labels = class_labels(data)
        counts = arrays.get("counts")
        if counts is None or counts.shape != (len(labels), CELLS + 1) or int(counts[:, -1].sum()) != len(data):
            raise StoreDamaged("the counts do not fit the data")
        return Counts(self, data, key, np.asarray(counts), labels)


@dataclass(frozen=True, eq=False)
class Counts:
    """The model of a `Tally`: counts of shape (k, cells + 1); the last column counts records."""

    learner: Tally
    data: Dataset = field(repr=False)
    key: Key
    counts: npt.NDArray[np.int64] = field(repr=False)
    labels: tuple[str, ...]

    def logits(self, data: Dataset) -> Floats:
        """Return unnormalised log-probabilities, shape (n, k)."""
        s, cells = self.learner.smoothing, _cells(data, self.key)
        sums = self.counts[:, :-1].sum(axis=1, keepdims=True)
        weights = np.log(self.counts[:, :-1] + s) - np.log(sums + s * CELLS)
        found: Floats = np.log(self.counts[:, -1] + s) + sum(weights[:, column].T for column in cells)
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return the negative log-likelihood of each record's class, in nats."""
        logits = self.logits(data)
        rows = np.arange(len(data))
        found: Floats = np.logaddexp.reduce(logits, axis=1) - logits[rows, _codes(data, self.labels)]
        return found

    def state(self) -> Arrays:
        """Return the counts."""
        return {"counts": self.counts}

    def digest(self) -> str:
        """Return the digest of the counts."""
        return Identity.of(self.learner, self.data, self.key).digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return Guarantee(kind="exact", grade="bits")

    def without(self, ids: Iterable[Id]) -> Counts:
        """Return the counts less those of these records."""
        listed = list(ids)
        rows = rows_to_forget(self.data, listed)
        if not len(rows):
            return self
        counts = self.counts - _tally(self.data.take(rows), self.labels, self.key)
        return replace(self, data=self.data.without(listed), counts=counts)

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return one microsecond a record."""
        m = len(self.data.positions(ids))
        return Prediction(seconds=m * 1e-6, records_read=m, why="subtracts the records' counts")


def _codes(data: Dataset, labels: tuple[str, ...]) -> npt.NDArray[np.int64]:
    target = data.target
    words = () if target is None else target.vocabulary
    place = np.array([labels.index(word) if word in labels else 0 for word in words], np.int64)
    return place[np.asarray([] if target is None else target.values, np.int64)]


def _cells(data: Dataset, key: Key) -> list[npt.NDArray[np.int64]]:
    """Return each column's cells, shape (n,): keyed hashes of (name, value), equal whatever else is in the data."""
    found = []
    for name in sorted(data.columns):
        column = data.columns[name]
        told: list[Any] = column.values.tolist()
        if column.kind in CODED:
            told = [column.vocabulary[code] if code >= 0 else None for code in told]
        found.append(np.array([key.word(f"{name}={value}") % CELLS for value in told], np.int64))
    return found


def _tally(data: Dataset, labels: tuple[str, ...], key: Key) -> npt.NDArray[np.int64]:
    counts = np.zeros((len(labels), CELLS + 1), np.int64)
    codes = _codes(data, labels)
    for column in _cells(data, key):
        np.add.at(counts, (codes, column), 1)
    np.add.at(counts[:, -1], codes, 1)
    return counts


def deploy(learner: Learner, data: Dataset, seed: int = 0, key: Key | None = None) -> Deployment:
    """Fit a learner on three quarters of a data set; every fourth owner is held out. The key is public by default."""
    owners = np.unique(data.subjects)
    aside = np.isin(data.subjects, owners[2::4])
    aside[:6] = False  # the first records hold both classes
    kept, held = data.take(~aside), data.take(aside)
    key = Key.public(seed) if key is None else key
    return Deployment(learner, kept, key, learner.fit(kept, key), held, fit_s=0.01)


def tiny_deployment(seed: int = 0) -> Deployment:
    """Return a `Tally` fitted on a tiny world."""
    return deploy(Tally(), tiny_world(seed), seed)
