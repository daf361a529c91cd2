"""How one node decides: which features and thresholds it tries on its sample, and which split it takes.

Source: spec XL01 (structure), X04 (draws), X05 (score): one quotient of exact integers, or a sum of two of them, so
a fused multiply-add cannot change it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from expunge.models.kernels.draws import mix, walk_of


class Table(NamedTuple):
    """The encoded records.

    Attributes:
        codes: bins, shape (n, d), uint8.
        y: class codes, or quantised targets, shape (n,), uint32.
        h: keyed words of the ids, shape (n,), uint64.
        nominal: which features split by equality, shape (d,).
        names: keyed words of the features' names, shape (d,), uint64.
        order: the features by ascending keyed word, shape (d,), int32.
    """

    codes: np.ndarray
    y: np.ndarray
    h: np.ndarray
    nominal: np.ndarray
    names: np.ndarray
    order: np.ndarray


class Rules(NamedTuple):
    """The hyper-parameters that the kernels need.

    Attributes:
        channels: integers a histogram bin holds: the count of each class, or a count and the two halves of a sum.
        sums: whether targets are summed (a regression).
        prime: the least prime that is not below the number of features.
    """

    max_depth: int
    min_split: int
    n_bins: int
    channels: int
    sums: bool
    max_features: int
    sample: int
    thresholds: int
    random_depth: int
    keep: int
    prime: int


class Scratch(NamedTuple):
    """Room that one call of a kernel works in; nothing in it outlives the call.

    Attributes:
        picked: feature, lowest and highest bin of each candidate, shape (F, 3), int64.
        hist: histograms of a node, shape (F, bins, channels); zero between uses.
        sides: three sums over the channels, shape (3, channels), int64.
        wanted: thresholds that are tried, shape (bins,), uint8.
        targets: targets of the sampled rows, shape (n,), uint32.
        sampled: the sampled rows, shape (n,), uint32.
    """

    picked: np.ndarray
    hist: np.ndarray
    sides: np.ndarray
    wanted: np.ndarray
    targets: np.ndarray
    sampled: np.ndarray


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
def count_feature(sampled, m, f, codes, targets, sums, hist):
    """Add the rows of a sample to the histogram of one feature; return its lowest and highest bin."""
    f = np.uint64(f)
    low = codes[sampled[0], f]
    high = low
    for i in range(m):
        b = codes[sampled[i], f]
        if sums:
            add_sum(hist, b, np.int64(1), np.int64(targets[i]))
        else:
            hist[b, targets[i]] += 1
        low = min(low, b)
        high = max(high, b)
    return np.int64(low), np.int64(high)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def scan(sampled, m, path, table, rules, constant, inherit, scratch):
    """Histogram the first `max_features` features of the walk that are not constant on the first m sampled rows.

    `constant` marks features known to be constant on all rows of the node; more are added when `inherit`.
    Fills `scratch.picked` and `scratch.hist` (zero before); returns the number of features found.
    """
    picked, hist, targets = scratch.picked, scratch.hist, scratch.targets
    for i in range(m):
        targets[i] = table.y[sampled[i]]
    at, stride = walk_of(path, rules.prime)
    d = len(table.order)
    found = 0
    for _ in range(rules.prime):
        place = at
        at += stride
        if at >= rules.prime:
            at -= rules.prime
        if place >= d:
            continue
        f = np.int64(table.order[place])
        if constant[f]:
            continue
        low, high = count_feature(sampled, m, f, table.codes, targets, rules.sums, hist[found])
        if low == high:
            for c in range(rules.channels):
                hist[found, low, c] = 0
            constant[f] = inherit
            continue
        picked[found, 0] = f
        picked[found, 1] = low
        picked[found, 2] = high
        found += 1
        if found == rules.max_features:
            break
    for j in range(found, rules.max_features):
        picked[j, 0] = -1
    return found


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def clear_found(scratch, found, channels):
    """Zero the histograms of the candidates."""
    for j in range(found):
        for b in range(scratch.picked[j, 1], scratch.picked[j, 2] + 1):
            for c in range(channels):
                scratch.hist[j, b, c] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def draw_thresholds(wanted, low, high, word, rules):
    """Mark the thresholds in [low, high) that are tried.

    They are the first ones on a keyed walk in golden-section steps, which spreads them evenly; where the range
    narrows, those inside stay.
    """
    every = high - low <= rules.thresholds
    for i in range(low, high):
        wanted[i] = every
    if every:
        return
    step = np.int64(39) if rules.n_bins == 64 else np.int64(157)
    b = np.int64(word & np.uint64(rules.n_bins - 1))
    left = rules.thresholds
    while left > 0:
        if low <= b < high:
            wanted[b] = True
            left -= 1
        b = (b + step) & (rules.n_bins - 1)


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


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def score_pair(a, b, total_a, total_b, sums):
    """Return the score, to be minimised, of a split with these two channels on its left.

    Two classes: the Gini impurities of the sides, weighted by their sizes and halved, as one quotient of integers
    below 2^53. Sums: less s²/n of either side; squares stay below 2^53.
    """
    if sums:
        rest, over = total_a - a, total_b - b
        return -(np.float64(b * b) / np.float64(a) + np.float64(over * over) / np.float64(rest))
    n = a + b
    r0, r1 = total_a - a, total_b - b
    r = r0 + r1
    return np.float64(a * b * r + r0 * r1 * n) / np.float64(n * r)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
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
def best_of_pair(hist, low, high, nominal, wanted, sums, best):
    """Return (bin, score) of the best split of a feature, of two classes or of sums, that beats `best`; else bin -1."""
    total_a = np.int64(0)
    total_b = np.int64(0)
    for i in range(low, high + 1):
        total_a += hist[i, 0]
        total_b += sum_of(hist, i) if sums else np.int64(hist[i, 1])
    a = np.int64(0)
    b = np.int64(0)
    seen = np.int64(0)
    chosen = np.int64(-1)
    for i in range(low, high + 1 if nominal else high):
        if nominal:
            a, b, seen = np.int64(0), np.int64(0), np.int64(0)
        a += hist[i, 0]
        b += sum_of(hist, i) if sums else np.int64(hist[i, 1])
        if not nominal and not wanted[i]:
            continue
        here = a if sums else a + b
        if here == seen:
            continue
        seen = here
        score = score_pair(a, b, total_a, total_b, sums)
        if score < best:
            best = score
            chosen = np.int64(i)
    return chosen, best


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def best_of_many(hist, low, high, nominal, wanted, sides, k, best):
    """Return (bin, score) of the best split of a feature with k classes that beats `best`; bin -1 if none does."""
    left, total = sides[0], sides[1]
    for c in range(k):
        left[c] = 0
        total[c] = 0
    for i in range(low, high + 1):
        for c in range(k):
            total[c] += hist[i, c]
    chosen = np.int64(-1)
    for i in range(low, high + 1 if nominal else high):
        here = np.int64(0)
        for c in range(k):
            here += hist[i, c]
            left[c] = np.int64(hist[i, c]) if nominal else left[c] + hist[i, c]
        if here == 0 if nominal else not wanted[i]:
            continue
        score = score_many(left, total, k)
        if score < best:
            best = score
            chosen = np.int64(i)
    return chosen, best


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def best_split(hist, found, path, depth, table, rules, scratch):
    """Return (feature, bin) of the lowest score; ties go to the first feature in order, then the first bin.

    Above `random_depth` the keyed bin of the first feature is taken, whatever the targets.
    """
    picked, wanted = scratch.picked, scratch.wanted
    best = np.inf
    feature = np.int64(-1)
    chosen = np.int64(-1)
    for j in range(found):
        f, low, high = picked[j, 0], picked[j, 1], picked[j, 2]
        nominal = table.nominal[f]
        word = mix(path ^ table.names[f])
        if depth < rules.random_depth:
            return f, keyed_bin(low, high, nominal, word, rules.n_bins)
        if not nominal:
            draw_thresholds(wanted, low, high, word, rules)
        if rules.sums or rules.channels == 2:
            b, score = best_of_pair(hist[j], low, high, nominal, wanted, rules.sums, best)
        else:
            b, score = best_of_many(hist[j], low, high, nominal, wanted, scratch.sides, rules.channels, best)
        if b >= 0:
            best, feature, chosen = score, f, b
    return feature, chosen


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def measure_spans(hist, feats, rules, picked):
    """Fill `picked` from a stored histogram; return (features, whether one of them is constant)."""
    found = 0
    constant = False
    width = 1 if rules.sums else rules.channels
    while found < rules.max_features and feats[found] >= 0:
        low = 0
        high = rules.n_bins - 1
        for side in range(2):
            empty = True
            while empty and low < high:
                b = high if side else low
                for c in range(width):
                    if hist[found, b, c] != 0:
                        empty = False
                if empty:
                    if side:
                        high -= 1
                    else:
                        low += 1
        picked[found, 0] = feats[found]
        picked[found, 1] = low
        picked[found, 2] = high
        constant = constant or low == high
        found += 1
    return found, constant
