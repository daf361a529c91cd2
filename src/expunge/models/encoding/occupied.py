"""``Occupied``: what the values of a column are, counted: by this a grid knows whether it moves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import CODED, Column
from expunge.core.dataset import Dataset
from expunge.models.encoding.grid import MAX_NOMINAL, Feature, Grid, cells, grid_range
from expunge.models.scores import known_codes

Ints = npt.NDArray[np.int64]
CELLS = 1 << 14
"""Cells of numbers lie between -CELLS and CELLS."""


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
        count = np.bincount(cells(values[~np.isnan(values)]) + CELLS, minlength=2 * CELLS)
        known = np.flatnonzero(count)
        return cls(known - CELLS, count[known].astype(np.int64))

    def kept(self) -> Occupied:
        """Return what is still there."""
        return Occupied(self.names[self.count > 0], self.count[self.count > 0])

    def more(self, new: Occupied) -> Occupied:
        """Return the counts of both."""
        if not len(new.names):
            return self
        names = np.concatenate([self.names, new.names])
        if names.dtype.hasobject:
            words = sorted(set(names.tolist()), key=str.encode)
            place = {word: i for i, word in enumerate(words)}
            at, known = np.array([place[w] for w in names.tolist()], np.int64), np.array(words, object)
        else:
            known, at = np.unique(names, return_inverse=True)
        count = np.zeros(len(known), np.int64)
        np.add.at(count, at, np.concatenate([self.count, new.count]))
        return Occupied(known, count)


def regridded(feature: Feature, after: Occupied) -> bool:
    """Say whether a column would be cut otherwise with these values."""
    if feature.declared:
        return False
    if feature.kind == "number":
        return grid_range(after.names, after.count) != (feature.low, feature.high)
    if feature.kind == "nominal":
        return not set(after.names.tolist()) <= set(feature.words)
    return feature.kind == "hashed" and len(after.names) <= MAX_NOMINAL


def tally(grid: Grid, data: Dataset, labels: tuple[str, ...]) -> Ints:
    """Return how many records of each class are in each bin of each encoded feature, shape (d, n_bins, k)."""
    k, y = len(labels), known_codes(data, labels)
    codes = bins_of(grid, data)
    counts = np.zeros((len(codes), grid.n_bins, k), np.int64)
    for row, bins in enumerate(codes):
        counts[row] = np.bincount(bins.astype(np.int64) * k + y, minlength=grid.n_bins * k).reshape(grid.n_bins, k)
    return counts


def bins_of(grid: Grid, data: Dataset) -> npt.NDArray[np.uint8]:
    """Return the bins, shape (d, n); values far beyond the grid fall into its outermost bins without a word."""
    with np.errstate(over="ignore"):
        return grid.encode(data)
