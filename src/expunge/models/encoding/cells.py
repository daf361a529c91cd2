"""Universal log-linear cells of numbers, and the range of a grid that integer counts over them decide (spec XE01)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

LOWEST = -1 - (0x7FF << 3) - 7
"""The cell of the lowest number."""
WIDEST = 2.0**1020
"""No grid reaches further."""
TAIL = 5
"""The grid spans the central part of the data: this many of 1,000 records lie outside on either side."""
FEW = 16
"""Of a column with no more occupied cells than this (a code, a count) nothing lies outside."""


def cells(values: npt.NDArray[np.float64]) -> Ints:
    """Return the universal log-linear cell of each value: sign, exponent, 8 per octave; monotone in the value."""
    magnitude = np.abs(values).view(np.int64) >> 49
    return np.asarray(np.where(values < 0, -1 - magnitude, magnitude), np.int64)


def occupied(values: npt.NDArray[np.float64]) -> tuple[Ints, Ints]:
    """Return the cells that hold a value, ascending, and each value's place among them (past the end: missing)."""
    present = ~np.isnan(values)
    found = cells(np.where(present, values, 0.0)) - LOWEST
    held = np.bincount(found[present], minlength=1) > 0
    cell = np.flatnonzero(held)
    return cell + LOWEST, np.where(present, (np.cumsum(held) - 1)[np.minimum(found, len(held) - 1)], len(cell))


def cell_edge(cell: int) -> float:
    """Return the lower edge of a cell."""
    if cell >= 0:
        return float(np.array([cell << 49], np.int64).view(np.float64)[0])
    return -float(np.array([(-cell) << 49], np.int64).view(np.float64)[0])


def grid_range(cell: Ints, count: Ints) -> tuple[float, float]:
    """Return the range [low, high) of the grid from the occupied cells (sorted) and their counts.

    Source: spec XE01. Where we differ: a column of few distinct values keeps its tails, or its range would move with
    every thousandth deletion that takes the share of a rare value across the cut.
    """
    n = int(count.sum())
    if n == 0:
        return 0.0, 1.0
    tail = n * TAIL // 1000 if np.count_nonzero(count) > FEW else 0
    ends = np.cumsum(count)
    first = int(cell[np.searchsorted(ends, tail, "right")])
    last = int(cell[np.searchsorted(ends, n - 1 - tail, "right")])
    return range_between(first, last)


def power_above(value: float) -> float:
    """Return the least power of two that is at least a positive number: exact on every machine, unlike a logarithm."""
    share, exponent = np.frexp(value)  # share in [1/2, 1)
    return float(np.ldexp(1.0, exponent - (share == 0.5)))


def range_between(first: int, last: int) -> tuple[float, float]:
    """Return the range [low, high) that spans two cells, on steps of a power of two.

    It ends at ±2^1020: the numbers beyond fall into the outer bins, whoever else is forgotten.
    """
    a, b = (min(max(cell_edge(cell), -WIDEST), WIDEST) for cell in (first, last + 1))
    if a == b:  # all of them beyond
        a, b = (0.0, b) if b > 0 else (a, 0.0)
    step = power_above((b - a) / 4)
    return float(np.floor(a / step) * step), float(np.ceil(b / step) * step)
