"""``Grid``: columns of any kind to small integer bins, by rules that forget as exactly as the model behind them.

Everything that the encoder estimates from data (ranges, vocabularies) is a pure function of integer counts over the
kept records. Forgetting subtracts from the counts; where a range moves, the model says so and is fitted again.

Source: spec XE01-XE05; the grid is the canonical log-linear one of XE01. Where we differ: a category column stays
*one* feature whose splits ask ``value == category``, so a vanishing category changes no other column.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData
from expunge.core.seeds import Key

Bins = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

MAX_NOMINAL = 32
"""Categories with more distinct values than this are put into keyed-hash buckets."""
WORD_FEATURES = 64
"""A text column becomes this many counts of hashed words."""
TAIL = 5
"""The grid spans the central part of the data: this many of 1,000 records lie outside on either side."""
MISSING = 0


def cells(values: npt.NDArray[np.float64]) -> Ints:
    """Return the universal log-linear cell of each value: sign, exponent, 8 per octave; monotone in the value."""
    magnitude = np.abs(values).view(np.int64) >> 49
    return np.asarray(np.where(values < 0, -1 - magnitude, magnitude), np.int64)


def cell_edge(cell: int) -> float:
    """Return the lower edge of a cell."""
    if cell >= 0:
        return float(np.array([cell << 49], np.int64).view(np.float64)[0])
    return -float(np.array([(-cell) << 49], np.int64).view(np.float64)[0])


def grid_range(cell: Ints, count: Ints) -> tuple[float, float]:
    """Return the range [low, high) of the grid from the occupied cells (sorted) and their counts (spec XE01)."""
    n = int(count.sum())
    if n == 0:
        return 0.0, 1.0
    tail = n * TAIL // 1000
    ends = np.cumsum(count)
    first = int(cell[np.searchsorted(ends, tail, "right")])
    last = int(cell[np.searchsorted(ends, n - 1 - tail, "right")])
    return range_between(first, last)


def range_between(first: int, last: int) -> tuple[float, float]:
    """Return the range [low, high) that spans two cells, on steps of a power of two.

    Raises:
        BadData: the range is wider than floating-point numbers reach.
    """
    a, b = cell_edge(first), cell_edge(last + 1)
    if not np.isfinite(4 * b) or not np.isfinite(4 * a):
        raise BadData("a column holds values beyond 1e307", hint="Scale the column, or blank what is not a real value.")
    step = float(2.0 ** np.ceil(np.log2((b - a) / 4)))
    return float(np.floor(a / step) * step), float(np.ceil(b / step) * step)


@dataclass(frozen=True)
class Feature:
    """How one column becomes bins.

    Attributes:
        column: the column's name.
        kind: ``number`` (equal cells), ``nominal`` (one bin a category), ``hashed`` (keyed buckets),
            ``words`` (counts of hashed words; `WORD_FEATURES` features).
        low: lower end of the grid (``number``).
        high: upper end of the grid (``number``).
        words: categories by code; None where the last record of a category is gone (``nominal``).
    """

    column: str
    kind: Literal["number", "nominal", "hashed", "words"]
    low: float = 0.0
    high: float = 1.0
    words: tuple[str | None, ...] = ()

    @property
    def width(self) -> int:
        """How many features this is."""
        return WORD_FEATURES if self.kind == "words" else 1


@dataclass(frozen=True)
class Grid:
    """The encoder of a whole table.

    Attributes:
        features: one entry a column, in the data's order.
        key: of the hash buckets.
        n_bins: bins a feature has at most, bin 0 for missing included (64 or 256).
    """

    features: tuple[Feature, ...]
    key: Key
    n_bins: int = 64

    @classmethod
    def of(cls, data: Dataset, key: Key, n_bins: int = 64) -> Grid:
        """Return the canonical grid of these records."""
        return cls(tuple(_feature(name, column) for name, column in data.columns.items()), key, n_bins)

    @property
    def names(self) -> list[str]:
        """The names of the encoded features."""
        return [f.column if f.width == 1 else f"{f.column}#{j}" for f in self.features for j in range(f.width)]

    @property
    def nominal(self) -> npt.NDArray[np.bool_]:
        """Which encoded features are nominal (split by equality), shape (d,)."""
        return np.array([f.kind == "nominal" for f in self.features for _ in range(f.width)], bool)

    def encode(self, data: Dataset) -> Bins:
        """Return the bins, shape (d, n), feature by feature; unknown categories get the last bin."""
        blocks = [self._encode(f, data.columns[f.column]) for f in self.features]
        return np.ascontiguousarray(np.concatenate(blocks)) if blocks else np.zeros((0, len(data)), np.uint8)

    def _encode(self, feature: Feature, column: Column) -> Bins:
        if feature.kind == "number":
            return self._cut(feature, np.asarray(column.values, np.float64))[None, :]
        codes = column.values
        if feature.kind == "nominal":
            known = {word: code + 1 for code, word in enumerate(feature.words) if word is not None}
            table = [known.get(word, self.n_bins - 1) for word in column.vocabulary]
            return np.array([*table, MISSING], np.uint8)[None, codes]
        if feature.kind == "hashed":
            n_buckets = self.n_bins - 2
            table = [1 + self.key.word(f"{feature.column}={word}") % n_buckets for word in column.vocabulary]
            return np.array([*table, MISSING], np.uint8)[None, codes]
        counts = [self._count_words(text) for text in column.vocabulary]
        rows = np.array([*counts, np.zeros(WORD_FEATURES)]).reshape(-1, WORD_FEATURES).astype(np.uint8)
        return np.ascontiguousarray(rows[codes].T)

    def _cut(self, feature: Feature, values: npt.NDArray[np.float64]) -> Bins:
        n_cells = self.n_bins - 3
        width = (feature.high - feature.low) / n_cells
        with np.errstate(invalid="ignore", over="ignore"):
            inside = np.floor((values - feature.low) / width)
            bins = 2 + np.clip(inside, 0, n_cells - 1)
            bins = np.where(values < feature.low, 1, np.where(values >= feature.high, self.n_bins - 1, bins))
        return np.where(np.isnan(values), MISSING, bins).astype(np.uint8)

    def _count_words(self, text: str) -> npt.NDArray[np.int64]:
        secret = self.key.bytes
        places = [
            hashlib.blake2b(word.encode(), digest_size=1, key=secret).digest()[0] % WORD_FEATURES
            for word in text.lower().split()
        ]
        return 1 + np.minimum(np.bincount(np.array(places, np.int64), minlength=WORD_FEATURES), self.n_bins - 2)

    def forgetting(self, vanished: list[tuple[int, int]]) -> Grid:
        """Return the grid without the categories (column, code) whose last record is gone."""
        if not vanished:
            return self
        features = list(self.features)
        for column, code in vanished:
            words = list(features[column].words)
            words[code] = None
            features[column] = replace(features[column], words=tuple(words))
        return replace(self, features=tuple(features))

    def labels(self) -> npt.NDArray[np.int64]:
        """Return what each bin is called in a canonical state, shape (d, n_bins), int64.

        Bins of numbers, buckets and words are called by their number; categories by a keyed hash of their text,
        so that a category's name does not depend on which others exist.
        """
        table = np.tile(np.arange(self.n_bins, dtype=np.int64), (len(self.names), 1))
        row = 0
        for feature in self.features:
            if feature.kind == "nominal":
                for code, word in enumerate(feature.words):
                    if word is not None:
                        table[row, code + 1] = self.key.word(f"{feature.column}={word}") >> 1
            row += feature.width
        return table

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the grid as arrays under ``grid/…``: ranges of numbers, kept categories."""
        kinds = ("number", "nominal", "hashed", "words")
        texts = ["\0".join([f.column, *(w for w in f.words if w is not None)]).encode() for f in self.features]
        return {
            "grid/kind": np.array([kinds.index(f.kind) for f in self.features], np.uint8),
            "grid/low": np.array([f.low for f in self.features], np.float64),
            "grid/high": np.array([f.high for f in self.features], np.float64),
            "grid/words": np.frombuffer(b"\n".join(t.hex().encode() for t in texts), np.uint8),
        }

    def agrees(self, arrays: Arrays) -> bool:
        """Say whether saved arrays are this grid's `state`."""
        mine = self.state()
        return all(name in arrays and np.array_equal(mine[name], arrays[name]) for name in mine)


def _feature(name: str, column: Column) -> Feature:
    if column.kind == "text":
        return Feature(name, "words")
    if column.kind == "category":
        if len(column.vocabulary) > MAX_NOMINAL:
            return Feature(name, "hashed")
        return Feature(name, "nominal", words=column.vocabulary)
    values = np.asarray(column.values, np.float64)
    cell, count = np.unique(cells(values[~np.isnan(values)]), return_counts=True)
    return Feature(name, "number", *grid_range(cell, count.astype(np.int64)))


@dataclass(frozen=True)
class Tally:
    """The integer counts that a grid was made of: what decides whether it moves when records go.

    All counts of all columns lie in one array: of each occupied log-linear cell of a number, and of each category.

    Attributes:
        features: the grid's features.
        slots: shape (c, n): the place in `counts` of each record's value; the last place stands for "missing".
        counts: shape (s + 1,), int64.
        cell: shape (s,): the log-linear cell of each place of a number.
        starts: shape (c + 1,): where each column's places start.
    """

    features: tuple[Feature, ...]
    slots: npt.NDArray[np.uint32]
    counts: Ints
    cell: Ints
    starts: Ints

    @classmethod
    def of(cls, grid: Grid, data: Dataset) -> Tally:
        """Count the records."""
        places: list[npt.NDArray[np.uint32]] = []
        counts: list[Ints] = []
        cell: list[Ints] = []
        starts = [0]
        for feature in grid.features:
            found, index = _values(feature, data.columns[feature.column])
            size = len(found)
            counts.append(np.bincount(index[index >= 0], minlength=size).astype(np.int64))
            cell.append(found)
            places.append(np.where(index >= 0, index + starts[-1], -1).astype(np.int64).astype(np.uint32))
            starts.append(starts[-1] + size)
        slots = np.array(places, np.uint32).reshape(len(places), len(data))
        slots[slots == np.uint32(0xFFFFFFFF)] = starts[-1]
        joined = np.concatenate([*counts, np.zeros(1, np.int64)])
        return cls(grid.features, slots, joined, np.concatenate([*cell, np.zeros(0, np.int64)]), np.array(starts))

    @cached_property
    def _numbers(self) -> Ints:
        return np.array([i for i, f in enumerate(self.features) if f.kind == "number"], np.int64)

    @cached_property
    def _ends(self) -> tuple[Ints, Ints]:
        """Return the places of the cells that hold the two outer ranks of each number column."""
        sums = np.cumsum(self.counts)
        first, last = self.starts[self._numbers], self.starts[self._numbers + 1]
        below = np.where(first > 0, sums[first - 1], 0)
        n = np.where(last > first, sums[last - 1] - below, 0)
        tail = n * TAIL // 1000
        a = np.searchsorted(sums, below + tail, "right")
        b = np.searchsorted(sums, below + n - 1 - tail, "right")
        return np.where(n > 0, a, -1), np.where(n > 0, b, -1)

    def without(self, rows: Ints) -> tuple[Tally, bool, list[tuple[int, int]]]:
        """Return (the tally without these rows, whether the grid moves, categories (column, code) that vanish)."""
        gone = self.slots[:, rows]
        counts = self.counts.copy()
        np.subtract.at(counts, gone.ravel(), 1)
        counts[-1] = 0
        after = replace(self, counts=counts)
        moved = any(
            self._range(i, self._ends, k) != after._range(i, after._ends, k)
            for k, i in enumerate(self._numbers.tolist())
            if self._ends[0][k] != after._ends[0][k] or self._ends[1][k] != after._ends[1][k]
        )
        vanished = []
        for place in np.unique(gone[counts[gone] == 0]).tolist():
            column = int(np.searchsorted(self.starts, place, "right")) - 1
            if place == self.starts[-1]:
                continue
            kind = self.features[column].kind
            if kind == "nominal":
                vanished.append((column, int(place - self.starts[column])))
            elif kind == "hashed":
                left = counts[self.starts[column] : self.starts[column + 1]]
                moved = moved or int((left > 0).sum()) <= MAX_NOMINAL
        return after, moved, vanished

    def _range(self, column: int, ends: tuple[Ints, Ints], k: int) -> tuple[float, float]:
        a, b = int(ends[0][k]), int(ends[1][k])
        return range_between(int(self.cell[a]), int(self.cell[b])) if a >= 0 else (0.0, 1.0)


def _values(feature: Feature, column: Column) -> tuple[Ints, Ints]:
    """Return the distinct cells (or category codes) of a column, and each record's place among them (-1: missing)."""
    if feature.kind == "words":
        return np.zeros(0, np.int64), np.full(len(column.values), -1, np.int64)
    if feature.kind != "number":
        return np.arange(len(column.vocabulary), dtype=np.int64), column.values.astype(np.int64)
    values = np.asarray(column.values, np.float64)
    present = ~np.isnan(values)
    index = np.full(len(values), -1, np.int64)
    found, index[present] = np.unique(cells(values[present]), return_inverse=True)
    return found, index
