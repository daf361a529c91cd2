"""Compiled propagation over a graph in whole numbers: sums of integers have no order, so neighbours need none."""

from __future__ import annotations

import numpy as np
from numba import njit

MOST = np.int64(2**31 - 1)


@njit(cache=True, nogil=True)
def propagate(rows, graph, degrees, before, place, shift, out):
    """Write one step of propagation of some rows to `out` (m, d): Σ wᵢⱼ·beforeⱼ, rounded, over neighbours and itself.

    graph: (starts, partners, alive) of all nodes. degrees: (n,) with the node itself.
    before: what is summed, one row of `place` each. shift: digits to drop.
    """
    starts, partners, alive = graph
    d = out.shape[1]
    sums = np.empty(d, np.int64)
    half = np.int64(1) << np.int64(shift - 1)
    for r in range(len(rows)):
        i = rows[r]
        sums[:] = half
        w = weight(degrees[i], degrees[i])
        for c in range(d):
            sums[c] += w * before[place[i], c]
        for e in range(starts[i], starts[i + 1]):
            j = partners[e]
            if alive[j]:
                w = weight(degrees[i], degrees[j])
                for c in range(d):
                    sums[c] += w * before[place[j], c]
        for c in range(d):
            out[r, c] = min(max(sums[c] >> shift, -MOST), MOST)


@njit(cache=True, nogil=True)
def weight(a, b):
    """Return the whole part of 2¹⁴ / √(a·b), for degrees a and b: an exact integer root."""
    most = (np.int64(1) << np.int64(28)) // (a * b)
    w = np.int64(np.sqrt(np.float64(most)))
    while w * w > most:
        w -= 1
    while (w + 1) * (w + 1) <= most:
        w += 1
    return w
