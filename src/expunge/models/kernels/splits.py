"""How one node decides: which features and thresholds it tries on its sample, and which split it takes.

Source: spec XL01 (structure), X04 (draws), X05 (score): one quotient of exact integers, or a sum of two of them, so
a fused multiply-add cannot change it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.draws import mix, walk_of

FIRST = np.uint32(1)
STEP = np.uint32(0xFFFF)
"""A record of the first of two classes adds `FIRST` to a word that holds both counts, one of the second `STEP` more.

A view of two uint16 as one uint32, as little-endian machines have it: the only ones that numba compiles for."""
HALF = np.uint32(0xFFFF)


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
def as_pairs(hist):
    """Return histograms as one line of words; of two classes, each holds both counts of a bin (see `STEP`)."""
    return hist.reshape(hist.size).view(np.uint32)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def varies(sampled, m, f, codes):
    """Say whether the first m sampled rows differ in a feature."""
    f = np.uint64(f)
    first = codes[sampled[0], f]
    for i in range(1, m):
        if codes[sampled[i], f] != first:
            return True
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def pick(sampled, m, path, codes, order, rules, constant, inherit, picked):
    """Find the first `max_features` features of the walk that are not constant on the first m sampled rows.

    `constant` marks features known to be constant on all rows of the node; more are added when `inherit`.
    Fills the first column of `picked`, with -1 where there are fewer; returns the number of features found.
    """
    at, stride = walk_of(path, rules.prime)
    d = len(order)
    found = 0
    for _ in range(rules.prime):
        place = at
        at += stride
        if at >= rules.prime:
            at -= rules.prime
        if place >= d:
            continue
        f = np.int64(order[place])
        if constant[f]:
            continue
        if not varies(sampled, m, f, codes):
            constant[f] = inherit
            continue
        picked[found, 0] = f
        found += 1
        if found == rules.max_features:
            break
    for j in range(found, rules.max_features):
        picked[j, 0] = -1
    return found


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def count(sampled, m, found, codes, y, rules, picked, hist, pairs):
    """Add the first m sampled rows to the histograms of the picked features (zero before)."""
    if rules.sums:
        for i in range(m):
            row = sampled[i]
            target = np.int64(y[row])
            for j in range(found):
                add_sum(hist[j], codes[row, np.uint64(picked[j, 0])], np.int64(1), target)
        return
    if rules.channels == 2:
        for j in range(0, found, 2):
            here, there = np.uint64(j * rules.n_bins), np.uint64(min(j + 1, found - 1) * rules.n_bins)
            f, g = np.uint64(picked[j, 0]), np.uint64(picked[min(j + 1, found - 1), 0])
            if j + 1 == found:
                for i in range(m):
                    row = sampled[i]
                    pairs[here + np.uint64(codes[row, f])] += FIRST + np.uint32(y[row]) * STEP
                break
            for i in range(m):
                row = sampled[i]
                one = FIRST + np.uint32(y[row]) * STEP
                pairs[here + np.uint64(codes[row, f])] += one
                pairs[there + np.uint64(codes[row, g])] += one
        return
    for i in range(m):
        row = sampled[i]
        target = y[row]
        for j in range(found):
            hist[j, codes[row, np.uint64(picked[j, 0])], target] += 1


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
def best_split(hist, pairs, found, path, depth, nominals, names, rules, scratch):
    """Return (feature, bin) of the lowest score; ties go to the first feature, then the first bin.

    Above `random_depth` the keyed bin of the first feature is taken, whatever the targets.
    """
    picked, tried, sums, packed = scratch.picked, scratch.tried, scratch.sums, scratch.packed
    binary = rules.channels == 2
    total = sums[rules.n_bins]
    best = np.inf
    feature = np.int64(-1)
    chosen = np.int64(-1)
    for j in range(found):
        f, low, high = picked[j, 0], picked[j, 1], picked[j, 2]
        nominal = nominals[f]
        word = mix(path ^ names[f])
        if depth < rules.random_depth:
            return f, keyed_bin(low, high, nominal, word, rules.n_bins)
        if binary and not nominal:
            n = draw_thresholds(tried, low, high, word, rules)
            base = np.uint64(j * rules.n_bins)
            word_sum = np.uint32(0)
            for b in range(np.uint64(low), np.uint64(high + 1)):
                word_sum += pairs[base + b]
                packed[b] = word_sum
            total_a, total_b = np.int64(word_sum & HALF), np.int64(word_sum >> np.uint32(16))
            for i in range(n):
                b = tried[i]
                here = packed[np.uint64(b)]
                score = score_pair(np.int64(here & HALF), np.int64(here >> np.uint32(16)), total_a, total_b, False)
                if score < best:
                    best, feature, chosen = score, f, b
                elif score == best and feature == f:
                    chosen = min(chosen, b)
            continue
        n = add_up(hist[j], low, high, nominal, rules, sums, tried)
        if not nominal:
            n = draw_thresholds(tried, low, high, word, rules)
        for i in range(n):
            b = tried[i]
            if rules.sums or binary:
                score = score_pair(sums[b, 0], sums[b, 1], total[0], total[1], rules.sums)
            else:
                score = score_many(sums[b], total, rules.channels)
            if score < best:
                best, feature, chosen = score, f, b
            elif score == best and feature == f:
                chosen = min(chosen, b)
    return feature, chosen


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def is_empty(hist, b, rules):
    """Say whether a bin holds nothing."""
    if rules.sums:
        return hist[b, 0] == 0
    for c in range(2, rules.channels):
        if hist[b, c] != 0:
            return False
    return (hist[b, 0] | hist[b, 1]) == 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def measure_spans(hist, pairs, rules, picked):
    """Fill in the lowest and highest bins of the picked features; return (features, whether one is constant)."""
    found = 0
    constant = False
    if rules.channels == 2:
        while found < rules.max_features and picked[found, 0] >= 0:
            low = np.uint64(found * rules.n_bins)
            base, high = low, low + np.uint64(rules.n_bins - 1)
            while low < high and pairs[low] == 0:
                low += np.uint64(1)
            while low < high and pairs[high] == 0:
                high -= np.uint64(1)
            picked[found, 1] = low - base
            picked[found, 2] = high - base
            constant = constant or low == high
            found += 1
        return found, constant
    while found < rules.max_features and picked[found, 0] >= 0:
        low, high = 0, rules.n_bins - 1
        while low < high and is_empty(hist[found], low, rules):
            low += 1
        while low < high and is_empty(hist[found], high, rules):
            high -= 1
        picked[found, 1] = low
        picked[found, 2] = high
        constant = constant or low == high
        found += 1
    return found, constant


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def decide(sampled, m, found, path, depth, table, rules, scratch, hist):
    """Histogram the first m sampled rows (`hist` is zero before); return (feature, bin) of the best split."""
    pairs, picked = as_pairs(hist), scratch.picked
    count(sampled, m, found, table.codes, table.y, rules, picked, hist, pairs)
    measure_spans(hist, pairs, rules, picked)
    return best_split(hist, pairs, found, path, depth, table.nominal, table.names, rules, scratch)
