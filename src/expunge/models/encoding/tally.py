"""``Tally``: the integer counts that a grid is made of, which say whether it moves when records go or come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.models.encoding.cells import FEW, TAIL, Ints, cells, occupied, range_between

MAX_NOMINAL = 32
"""Categories with more distinct values than this are put into keyed-hash buckets."""
WORD_FEATURES = 64
"""A text column becomes this many counts of hashed words."""


@dataclass(frozen=True)
class Feature:
    """How one column becomes bins.

    Attributes:
        column: the column's name.
        kind: ``number`` (equal cells), ``nominal`` (one bin a category), ``hashed`` (keyed buckets),
            ``words`` (counts of hashed words; `WORD_FEATURES` features).
        low: lower end of the grid (``number``).
        high: upper end of the grid (``number``).
        declared: whether the owner of the data said the range, which then never moves (``number``).
        words: categories by code; None where the last record of a category is gone (``nominal``).
    """

    column: str
    kind: Literal["number", "nominal", "hashed", "words"]
    low: float = 0.0
    high: float = 1.0
    words: tuple[str | None, ...] = ()
    declared: bool = False

    @property
    def width(self) -> int:
        """How many features this is."""
        return WORD_FEATURES if self.kind == "words" else 1


class Fences(NamedTuple):
    """The cells that hold the two outer ranks of each column of numbers, and the counts up to them; shape (c,) each.

    Attributes:
        n: values that are not missing.
        at: places of the two cells, shape (2, c).
        below: values in cells before them, shape (2, c).
        upto: values in cells up to them, shape (2, c).
        few: whether the column has so few occupied cells that it has no tails.
    """

    n: Ints
    at: Ints
    below: Ints
    upto: Ints
    few: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tally:
    """The integer counts that a grid was made of: what decides whether it moves.

    All counts of all columns lie in one array: of each occupied log-linear cell of a number, of each category, and
    as each column's last one of what is missing.

    Attributes:
        features: the grid's features.
        slots: shape (n, c): the place of each record's value among its column's.
        counts: shape (s,), int64.
        cell: shape (s,): the log-linear cell of each place of a number.
        starts: shape (c + 1,): where each column's places start.
    """

    features: tuple[Feature, ...]
    slots: npt.NDArray[Any]
    counts: Ints
    cell: Ints
    starts: Ints

    @classmethod
    def of(cls, grid: Any, data: Dataset, known: Mapping[str, tuple[Ints, Ints]] | None = None) -> Tally:
        """Count the records of a grid's data.

        Args:
            grid: with `features`.
            data: the records.
            known: of columns of numbers, what `occupied` gave for them.
        """
        known = known or {}
        places = [known.get(f.column) or _values(f, data.columns[f.column]) for f in grid.features]
        return cls._joined(grid.features, places, len(data))

    @classmethod
    def _joined(cls, features: tuple[Feature, ...], places: list[tuple[Ints, Ints]], n: int) -> Tally:
        """Put (distinct cells or codes, index of each record among them) of each column together."""
        sizes = np.array([len(found) + 1 for found, _ in places], np.int64)
        slots = np.empty((n, len(places)), np.uint16 if sizes.max(initial=0) < 2**16 else np.uint32)
        for column, (_, index) in enumerate(places):
            slots[:, column] = index
        counts = [np.bincount(index, minlength=len(found) + 1) for found, index in places]
        none = np.zeros(0, np.int64)
        return cls(
            features,
            slots,
            np.concatenate([none, *counts]).astype(np.int64),
            np.concatenate([none, *(np.append(found, 0) for found, _ in places)]),
            np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return self.slots.nbytes + self.counts.nbytes + self.cell.nbytes

    @cached_property
    def _numbers(self) -> Ints:
        return np.array([i for i, f in enumerate(self.features) if f.kind == "number" and not f.declared], np.int64)

    @cached_property
    def fences(self) -> Fences:
        """Where the outer ranks of the columns of numbers lie."""
        sums = np.concatenate([[0], np.cumsum(self.counts)])
        first, last = self.starts[self._numbers], self.starts[self._numbers + 1] - 1
        n = sums[last] - sums[first]
        held = np.concatenate([[0], np.cumsum(self.counts > 0)])
        few = held[last] - held[first] <= FEW
        tail = np.where(few, 0, n * TAIL // 1000)
        at = np.searchsorted(sums[1:], sums[first] + np.stack([tail, n - 1 - tail]), "right")
        at = np.where(n > 0, np.minimum(at, last - 1), first)
        return Fences(n, at, sums[at] - sums[first], np.where(n > 0, sums[at + 1] - sums[first], 0), few)

    def without(self, rows: Ints) -> tuple[Tally, bool, list[tuple[int, int]]]:
        """Return (the tally without these rows, whether the grid moves, categories (column, code) that vanish).

        Cost: O(m · c), and one pass over the counts.
        """
        from expunge.models.kernels.tally import take_out

        old, counts = self.fences, self.counts.copy()
        new = Fences(old.n.copy(), old.at, old.below.copy(), old.upto.copy(), old.few)
        emptied = np.empty(min(len(rows) * len(self.features), len(counts)), np.int64)
        rows = np.asarray(rows, np.int64)
        held, m = take_out(self.slots, self.starts, rows, self._numbers, TAIL, counts, *new, emptied)
        after = Tally(self.features, self.slots, counts, self.cell, self.starts)
        after.__dict__["_numbers"] = self._numbers
        if held:
            after.__dict__["fences"] = new
        moved = not held and self._moves_to(after)
        vanished = []
        for place in np.sort(emptied[:m]).tolist():
            column = int(np.searchsorted(self.starts, place, "right")) - 1
            kind = self.features[column].kind
            if kind == "nominal":
                vanished.append((column, int(place - self.starts[column])))
            elif kind == "hashed":
                moved = moved or after._distinct(column) <= MAX_NOMINAL
        return after, moved, vanished

    def _distinct(self, column: int) -> int:
        return int(np.count_nonzero(self.counts[self.starts[column] : self.starts[column + 1] - 1]))

    def _moves_to(self, after: Tally) -> bool:
        """Say whether a column of numbers has another range afterwards."""
        mine, other = self._ends(), after._ends()
        changed = np.flatnonzero((mine != other).any(0)).tolist()
        return any(_range(*mine[:, k].tolist()) != _range(*other[:, k].tolist()) for k in changed)

    def _ends(self) -> Ints:
        """Return the cells of the outer ranks, shape (2, c); (1, 0) for a column without values."""
        found = self.cell[self.fences.at]
        return np.where(self.fences.n > 0, found, np.array([[1], [0]]))

    def adding(self, joined: Dataset, n: int) -> tuple[Tally, bool]:
        """Return (the tally of more records, whether the grid moves).

        Args:
            joined: the records counted, and after them the new ones.
            n: how many were counted.
        """
        places, moved = [], False
        for column, feature in enumerate(self.features):
            values = joined.columns[feature.column]
            if feature.kind == "number":
                a, b = int(self.starts[column]), int(self.starts[column + 1]) - 1
                places.append(_more(self.cell[a:b], self.slots[:, column], np.asarray(values.values[n:], np.float64)))
            else:
                places.append(_values(feature, values))
                wider = feature.kind == "nominal" and values.vocabulary != feature.words
                moved = moved or wider
        after = Tally._joined(self.features, places, len(joined))
        return after, moved or self._moves_to(after)

    def compact(self, alive: npt.NDArray[np.bool_], features: tuple[Feature, ...]) -> Tally:
        """Return the tally of the living records (whose places alone are counted), without the places that are empty.

        Args:
            alive: which of the records live, shape (n,).
            features: the grid's features, without the categories that are gone.
        """
        keep = self.counts > 0
        keep[self.starts[1:] - 1] = True
        place = np.cumsum(keep) - 1
        starts = np.concatenate([[0], place[self.starts[1:] - 1] + 1])
        slots = np.asarray(place[self.slots[alive] + self.starts[:-1]] - starts[:-1], self.slots.dtype)
        return Tally(features, slots, self.counts[keep], self.cell[keep], starts)


def _range(first: int, last: int) -> tuple[float, float]:
    return range_between(first, last) if first <= last else (0.0, 1.0)


def _values(feature: Feature, column: Column) -> tuple[Ints, Ints]:
    """Return the distinct cells (or category codes) of a column, and each record's place; the last one is missing."""
    if feature.kind == "words":
        return np.zeros(0, np.int64), np.zeros(len(column.values), np.int64)
    if feature.kind != "number":
        size = len(column.vocabulary)
        return np.arange(size, dtype=np.int64), np.where(column.values < 0, size, column.values).astype(np.int64)
    return occupied(np.asarray(column.values, np.float64))


def _more(found: Ints, places: npt.NDArray[Any], values: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Return what `_values` gives for a column of numbers that was counted, and more values."""
    present = ~np.isnan(values)
    cell = cells(values[present])
    merged = np.union1d(found, cell)
    renamed = np.append(np.searchsorted(merged, found), len(merged))
    new = np.full(len(values), len(merged), np.int64)
    new[present] = np.searchsorted(merged, cell)
    return merged, np.concatenate([renamed[places], new])
