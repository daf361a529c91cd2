"""Compiled loops of recommenders: counting pairs of items, and the least-squares sweeps of implicit feedback.

Every sum runs in one fixed order without BLAS, and LLVM may neither reorder nor contract it: the same bits anywhere.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.draws import PHI, mix

_S11 = np.uint64(11)


@njit(cache=True, nogil=True)
def count_pairs(starts, items, out):
    """Add 1 to out[i, j] for every two items (also i = j) of a basket; baskets are items[starts[u]:starts[u + 1]]."""
    for u in range(len(starts) - 1):
        for a in range(starts[u], starts[u + 1]):
            row = out[items[a]]
            for b in range(starts[u], starts[u + 1]):
                row[items[b]] += 1


@njit(cache=True, nogil=True)
def gram_of(factors, penalty):
    """Return FᵀF + penalty·I of factors (n, f): what a row of the other side starts from."""
    f = factors.shape[1]
    out = np.zeros((f, f))
    for i in range(factors.shape[0]):
        for a in range(f):
            x = factors[i, a]
            for b in range(a + 1):
                out[a, b] += x * factors[i, b]
    for a in range(f):
        out[a, a] += penalty
    return out


@njit(cache=True, nogil=True)
def solve_row(gram, factors, items, w, out):
    """Write to `out` the factor of one row: (gram + Σ w·yyᵀ)⁻¹ Σ (1 + w)·y over its items; lower triangles only."""
    f = len(out)
    left = gram.copy()
    for a in range(f):
        out[a] = 0.0
    for k in range(len(items)):
        y = factors[items[k]]
        for a in range(f):
            x = w * y[a]
            for b in range(a + 1):
                left[a, b] += x * y[b]
        for a in range(f):
            out[a] += (1.0 + w) * y[a]
    for a in range(f):  # Cholesky, row by row
        for b in range(a + 1):
            s = left[a, b]
            for c in range(b):
                s -= left[a, c] * left[b, c]
            left[a, b] = np.sqrt(s) if a == b else s / left[b, b]
    for a in range(f):
        for c in range(a):
            out[a] -= left[a, c] * out[c]
        out[a] /= left[a, a]
    for r in range(f):
        a = f - 1 - r
        for c in range(a + 1, f):
            out[a] -= left[c, a] * out[c]
        out[a] /= left[a, a]


@njit(cache=True, nogil=True)
def solve_side(gram, factors, starts, items, w, out):
    """Write to `out` (n, f) the factor of every row; a row without items gets zeros."""
    for u in range(len(starts) - 1):
        solve_row(gram, factors, items[starts[u] : starts[u + 1]], w, out[u])


@njit(cache=True, nogil=True)
def start_factors(words, out):
    """Write small keyed numbers to `out` (n, f): uniform around 0, of the word of each row alone."""
    n, f = out.shape
    for i in range(n):
        h = words[i]
        for a in range(f):
            h = mix(h + PHI)
            out[i, a] = (np.float64(h >> _S11) * 2.0**-53 - 0.5) / np.sqrt(np.float64(f))


@njit(cache=True, nogil=True)
def sweep(sides, weight, penalty, users, things):
    """Solve all users from all items, then all items from all users; `sides` holds starts and partners of either."""
    user_starts, user_items, item_starts, item_users = sides
    solve_side(gram_of(things, penalty), things, user_starts, user_items, weight, users)
    solve_side(gram_of(users, penalty), users, item_starts, item_users, weight, things)
