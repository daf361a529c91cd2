"""Compiled counting in and out of binned records: what one record is worth to naive Bayes, in microseconds."""

from __future__ import annotations

import numpy as np
from numba import njit

NUMBER, TABLE, SKIP = 0, 1, 2
"""How a column is counted: by its number, by a table of its codes, or elsewhere (texts)."""

_SHIFT = np.int64(49)
TAIL, FEW = 5, 16
"""As in `expunge.models.encoding.cells`."""


@njit(cache=True, nogil=True)
def cell_of(value):
    """Return the log-linear cell of a number (see `expunge.models.encoding.grid.cells`)."""
    magnitude = np.int64(np.float64(abs(value)).view(np.int64)) >> _SHIFT
    return -np.int64(1) - magnitude if value < 0 else magnitude


@njit(cache=True, nogil=True)
def count_out(values, y, plan, cuts, cells, bins, places, dims, flat, ends):
    """Take records out of the counts.

    Args:
        values: numbers, or codes of texts (-1 = missing), shape (m, c), float64.
        y: class of each record, shape (m,).
        plan: of each column, shape (c, 5): how, its first row of bins, its first place, the place after its last,
            where its table starts.
        cuts: lowest value, highest value and width of a bin, shape (c, 3).
        cells: the cell of each place, shape (places,).
        bins, places: the tables, by code + 1.
        dims: bins a row, classes, where the places start in `flat`, where the class sizes.
        flat: all counts; changed.
        ends: the places of the two outer ranks of each column of numbers, shape (c, 2); changed.

    Returns:
        (whether the last record of a category went, whether an end moved).
    """
    n_bins, k, at_places, at_sizes = dims
    emptied = False
    for i in range(len(y)):
        flat[at_sizes + y[i]] -= 1
        for c in range(len(plan)):
            how, row, first, last, table = plan[c]
            value = values[i, c]
            if how == NUMBER:
                if np.isnan(value):
                    flat[row * n_bins * k + y[i]] -= 1
                    continue
                low, high, width = cuts[c]
                if value < low:
                    b = 1
                elif value >= high:
                    b = n_bins - 1
                else:
                    b = 2 + min(max(int(np.floor((value - low) / width)), 0), n_bins - 4)
                cell, place, after = cell_of(value), first, last - 1
                while place < after:
                    middle = (place + after) // 2
                    if cells[middle] < cell:
                        place = middle + 1
                    else:
                        after = middle
            elif how == TABLE:
                code = np.int64(value) + 1
                b = np.int64(bins[table + code])
                place = places[table + code]
            else:
                continue
            flat[(row * n_bins + b) * k + y[i]] -= 1
            if place >= 0:
                flat[at_places + place] -= 1
                emptied = emptied or (how == TABLE and flat[at_places + place] == 0)
    return emptied, outer(plan, dims, flat, ends)


@njit(cache=True, nogil=True)
def outer(plan, dims, flat, ends):
    """Find the places of the outer ranks of each column of numbers; say whether any is another one."""
    n_bins, k, at_places, at_sizes = dims
    every = 0
    for j in range(k):
        every += flat[at_sizes + j]
    moved = False
    for c in range(len(plan)):
        how, row, first, last, _ = plan[c]
        if how != NUMBER or last == first:
            continue
        n = every
        for j in range(k):
            n -= flat[row * n_bins * k + j]  # the bin of missing values
        if n == 0:
            moved = True
            ends[c, 0] = -1
            ends[c, 1] = -1
            continue
        held = 0
        for place in range(first, last):
            held += flat[at_places + place] > 0
            if held > FEW:
                break
        tail = n * TAIL // 1000 if held > FEW else 0
        seen = 0
        low = first
        while True:
            seen += flat[at_places + low]
            if seen > tail:
                break
            low += 1
        seen = 0
        high = last - 1
        while True:
            seen += flat[at_places + high]
            if seen > tail:
                break
            high -= 1
        if ends[c, 0] != low or ends[c, 1] != high:
            moved = True
            ends[c, 0] = low
            ends[c, 1] = high
    return moved
