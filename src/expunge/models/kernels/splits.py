"""How one node decides: which rows it looks at, which features and thresholds it tries, and which split it takes.

Source: spec XL01 (structure), X04 (draws), X05 (score). The score is a sum of two quotients of exact integers, so a
fused multiply-add cannot change it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from expunge.models.kernels.draws import PHI, mix

ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


class Table(NamedTuple):
    """The encoded records: bins (d, n), nominal (d,), keyed column names (d,), classes (n,), keyed ids (n,)."""

    codes: np.ndarray
    nominal: np.ndarray
    names: np.ndarray
    y: np.ndarray
    h: np.ndarray


class Rules(NamedTuple):
    """The hyper-parameters that the kernels need."""

    max_depth: int
    min_split: int
    n_bins: int
    n_classes: int
    max_features: int
    sample: int
    thresholds: int
    keep: int


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def bucket(n, sample):
    """Return 0 if all n rows are looked at, else the exponent of the power of two that sets the sampling rate."""
    if n <= sample:
        return 0
    exponent = 0
    while (1 << exponent) < n:
        exponent += 1
    return exponent


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def rate(exponent, sample):
    """Return the bound θ: a row is in the sample if its keyed word is at most this."""
    if exponent == 0:
        return ALL_ONES
    return (ALL_ONES >> np.uint64(exponent)) * np.uint64(sample)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def draw_sample(rows, start, n, path, h, sample, out):
    """Copy the sampled rows of a segment to `out`; return how many there are."""
    exponent = bucket(n, sample)
    if exponent == 0:
        for i in range(n):
            out[i] = rows[start + i]
        return n
    bound = rate(exponent, sample)
    m = 0
    for i in range(n):
        row = rows[start + i]
        if mix(h[row] ^ path) <= bound:
            out[m] = row
            m += 1
    return m


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def scan(sampled, n, path, table, rules, constant, inherit, feats, span, hist):
    """Histogram the first `max_features` features, in keyed order, that are not constant on the sample.

    `constant` marks features known to be constant on all rows of the node; more are added when `inherit`.
    `hist` (F, bins, k) must be zero; `span` (F, 2) gets the lowest and highest occupied bin.
    Returns the number of features found.
    """
    d = len(table.names)
    words = np.empty(d, np.uint64)
    left = 0
    order = np.empty(d, np.int32)
    for f in range(d):
        if not constant[f]:
            words[left] = mix(path ^ table.names[f])
            order[left] = f
            left += 1
    found = 0
    while left > 0 and found < rules.max_features:
        best = 0
        for j in range(1, left):
            if words[j] < words[best]:
                best = j
        f = order[best]
        left -= 1
        words[best] = words[left]
        order[best] = order[left]
        column = table.codes[f]
        target = hist[found]
        low = column[sampled[0]]
        high = low
        for i in range(n):
            row = sampled[i]
            b = column[row]
            target[b, table.y[row]] += 1
            if b < low:
                low = b
            elif b > high:
                high = b
        if low == high:
            for c in range(rules.n_classes):
                target[low, c] = 0
            if inherit:
                constant[f] = True
        else:
            feats[found] = f
            span[found, 0] = low
            span[found, 1] = high
            found += 1
    for j in range(found, rules.max_features):
        feats[j] = -1
    return found


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def half_score(side, k):
    """Return (n² - Σ n_c²) / n of one side: n times its Gini impurity; the products are exact integers."""
    n = np.int64(0)
    squares = np.int64(0)
    for c in range(k):
        n += side[c]
        squares += side[c] * side[c]
    return np.float64(n * n - squares) / np.float64(n)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def best_of_feature(hist, span, f, path, table, rules, best, sides, wanted):
    """Return (bin, score) of the best split of one feature that beats the score `best`; bin -1 if none does.

    `sides` (3, k) and `wanted` (bins,) are scratch.
    """
    k = rules.n_classes
    low = np.int64(span[0])
    high = np.int64(span[1])
    nominal = table.nominal[f]
    left, right, total = sides[0], sides[1], sides[2]
    for c in range(k):
        left[c] = 0
        total[c] = 0
    for b in range(low, high + 1):
        for c in range(k):
            total[c] += hist[b, c]
    width = high - low
    every = nominal or width <= rules.thresholds
    if not every:
        for b in range(low, high + 1):
            wanted[b] = False
        word = path ^ table.names[f]
        for _ in range(rules.thresholds):
            word = mix(word + PHI)
            wanted[low + np.int64(word % np.uint64(width))] = True
    chosen = np.int64(-1)
    for b in range(low, high + 1 if nominal else high):
        here = np.int64(0)
        for c in range(k):
            here += hist[b, c]
            left[c] = np.int64(hist[b, c]) if nominal else left[c] + hist[b, c]
        if here == 0 if nominal else not (every or wanted[b]):
            continue
        for c in range(k):
            right[c] = total[c] - left[c]
        score = half_score(left, k) + half_score(right, k)
        if score < best:
            best = score
            chosen = np.int64(b)
    return chosen, best


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def best_split(hist, span, feats, found, path, table, rules, sides, wanted):
    """Return (feature, bin) of the lowest score; ties go to the first feature in order, then the first bin."""
    best = np.inf
    feature = np.int64(-1)
    chosen = np.int64(-1)
    for j in range(found):
        b, score = best_of_feature(hist[j], span[j], feats[j], path, table, rules, best, sides, wanted)
        if b >= 0:
            best = score
            feature = np.int64(feats[j])
            chosen = b
    return feature, chosen


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def measure_spans(hist, feats, rules, span):
    """Fill the spans of a stored histogram; return (features, whether one is constant or one class is left)."""
    k = rules.n_classes
    found = 0
    constant = False
    while found < rules.max_features and feats[found] >= 0:
        low = -1
        high = -1
        for b in range(rules.n_bins):
            here = 0
            for c in range(k):
                here += hist[found, b, c]
            if here > 0:
                if low < 0:
                    low = b
                high = b
        span[found, 0] = low
        span[found, 1] = high
        if low == high:
            constant = True
        found += 1
    classes = 0
    for c in range(k):
        for b in range(span[0, 0], span[0, 1] + 1):
            if hist[0, b, c] > 0:
                classes += 1
                break
    return found, constant or classes < 2


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def any_mixed(sampled, m, y):
    """Say whether the first m rows hold more than one class."""
    for i in range(1, m):
        if y[sampled[i]] != y[sampled[0]]:
            return True
    return False
