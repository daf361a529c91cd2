"""The thresholds that a node tries of one feature, and what each of them scores.

Source: spec X04 (draws), X05 (score).
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def sum_of(hist, b):
    """Return the sum of targets in a bin."""
    return np.int64(hist[b, 1]) + (np.int64(hist[b, 2]) << np.int64(16))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def add_sum(hist, b, count, target):
    """Add to the count and to the sum of targets in a bin."""
    total = sum_of(hist, b) + target
    hist[b, 0] += count
    hist[b, 1] = total & np.int64(0xFFFF)
    hist[b, 2] = total >> np.int64(16)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def draw_thresholds(tried, low, high, word, rules):
    """List the thresholds in [low, high) that are tried, in any order; return how many there are.

    They are the first ones on a keyed walk in golden-section steps, which spreads them evenly; where the range
    narrows, those inside stay.
    """
    if high - low <= rules.thresholds:
        for i in range(low, high):
            tried[i - low] = i
        return high - low
    step = np.int64(39) if rules.n_bins == 64 else np.int64(157)
    b = np.int64(word & np.uint64(rules.n_bins - 1))
    n = np.int64(0)
    while n < rules.thresholds:
        tried[n] = b
        n += np.int64(low <= b) & np.int64(b < high)
        b = (b + step) & (rules.n_bins - 1)
    return n


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def keyed_bin(low, high, nominal, word, n_bins):
    """Return the split that is taken whatever the targets: the walk's first threshold; of categories the first."""
    if nominal:
        return low  # categories are numbered by their order, so a walk over numbers would not be canonical
    step = np.int64(39) if n_bins == 64 else np.int64(157)
    b = np.int64(word & np.uint64(n_bins - 1))
    while not low <= b < high:
        b = (b + step) & (n_bins - 1)
    return b


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
def score_pair(a, b, total_a, total_b, sums):
    """Return the score, to be minimised, of a split with these two channels on its left.

    Two classes: the Gini impurities of the sides, weighted by their sizes and halved, as one quotient of integers
    below 2^53. Sums: less s²/n of either side; squares stay below 2^53.
    """
    r0, r1 = np.float64(total_a - a), np.float64(total_b - b)
    a, b = np.float64(a), np.float64(b)
    if sums:
        return -(b * b / a + r1 * r1 / r0)
    n, r = a + b, r0 + r1
    return (a * b * r + r0 * r1 * n) / (n * r)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
def score_many(left, total, k):
    """Return the size-weighted Gini impurity of a split of k classes, as one quotient of integers below 2^53."""
    n = np.int64(0)
    r = np.int64(0)
    squares = np.int64(0)
    others = np.int64(0)
    for c in range(k):
        rest = total[c] - left[c]
        n += left[c]
        r += rest
        squares += left[c] * left[c]
        others += rest * rest
    return np.float64((n * n - squares) * r + (r * r - others) * n) / np.float64(n * r)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def add_up(hist, low, high, nominal, rules, sums, tried):
    """Sum a feature's bins up to each (of a nominal one: leave each as it is); in the last line stands the total.

    Returns how many splits of a nominal feature are tried, listed in `tried`.
    """
    n = np.int64(0)
    if rules.sums or rules.channels == 2:
        a = np.int64(0)
        b = np.int64(0)
        for i in range(low, high + 1):
            here_a = np.int64(hist[i, 0])
            here_b = sum_of(hist, i) if rules.sums else np.int64(hist[i, 1])
            a += here_a
            b += here_b
            if nominal:
                sums[i, 0], sums[i, 1] = here_a, here_b
                tried[n] = i
                n += 1 if (here_a if rules.sums else here_a + here_b) > 0 else 0
            else:
                sums[i, 0], sums[i, 1] = a, b
        sums[rules.n_bins, 0], sums[rules.n_bins, 1] = a, b
        return n
    for c in range(rules.channels):
        total = np.int64(0)
        for i in range(low, high + 1):
            here = np.int64(hist[i, c])
            total += here
            sums[i, c] = here if nominal else total
        sums[rules.n_bins, c] = total
    if nominal:
        for i in range(low, high + 1):
            tried[n] = i
            here = np.int64(0)
            for c in range(rules.channels):
                here += sums[i, c]
            n += 1 if here > 0 else 0
    return n


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def is_empty(hist, b, rules):
    """Say whether a bin holds nothing."""
    if rules.sums:
        return hist[b, 0] == 0
    for c in range(2, rules.channels):
        if hist[b, c] != 0:
            return False
    return (hist[b, 0] | hist[b, 1]) == 0
