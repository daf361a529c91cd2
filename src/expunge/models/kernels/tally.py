"""Records out of the counts behind a grid, and whether its outer ranks still lie in the same cells."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def take_out(slots, starts, rows, numbers, tail, counts, n, at, below, upto, few, emptied):
    """Take records out of all counts.

    Args:
        slots, starts, counts: of `expunge.models.encoding.tally.Tally`; the counts are changed.
        rows: the records, shape (m,), int64.
        numbers: the columns of numbers whose range is learnt, shape (c,).
        tail: this many of 1,000 values lie outside a grid on either side.
        n, at, below, upto, few: the fences of these columns (see `Fences`); n, below and upto are changed.
        emptied: room for the places that lose their last record, those of missing values left out.

    Returns:
        (whether the outer ranks are sure to stay in their cells, how many places were emptied).
    """
    left = 0
    sure = True
    before = n.copy()
    for i in range(len(rows)):
        row = rows[i]
        for c in range(len(starts) - 1):
            place = starts[c] + np.int64(slots[row, c])
            counts[place] -= 1
            if counts[place] == 0 and place < starts[c + 1] - 1:
                emptied[left] = place
                left += 1
        for k in range(len(numbers)):
            c = numbers[k]
            place = starts[c] + np.int64(slots[row, c])
            n[k] -= place < starts[c + 1] - 1
            if counts[place] == 0:  # another number of occupied cells: the column may have tails no more
                sure = False
            for side in range(2):
                below[side, k] -= place < at[side, k]
                upto[side, k] -= place <= at[side, k]
    for k in range(len(numbers)):
        outside = 0 if few[k] else n[k] * tail // 1000
        for side in range(2):
            rank = n[k] - 1 - outside if side else outside
            if before[k] > 0 and not below[side, k] <= rank < upto[side, k]:
                return False, left
    return sure, left
