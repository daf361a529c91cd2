"""How one node decides: which features and thresholds it tries on its sample, and which split it takes.

Source: spec XL01 (structure), X04 (draws), X05 (score): one quotient of exact integers, or a sum of two of them, so
a fused multiply-add cannot change it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from expunge.models.kernels.draws import mix, walk_of
from expunge.models.kernels.scores import add_sum, add_up, draw_thresholds, is_empty, keyed_bin, score_many, score_pair

FIRST = np.uint32(1)
STEP = np.uint32(0xFFFF)
"""A record of the first of two classes adds `FIRST` to a word that holds both counts, one of the second `STEP` more.

A view of two uint16 as one uint32, as little-endian machines have it: the only ones that numba compiles for."""
HALF = np.uint32(0xFFFF)


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


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def rules_of(numbers):
    """Return rules that were passed as an array, which takes less time to hand to compiled code than a named tuple."""
    return Rules(
        numbers[0],
        numbers[1],
        numbers[2],
        numbers[3],
        numbers[4] != 0,
        numbers[5],
        numbers[6],
        numbers[7],
        numbers[8],
        numbers[9],
        numbers[10],
    )


class Scratch(NamedTuple):
    """Room that one call of a kernel works in; nothing in it outlives the call.

    Attributes:
        picked: feature, lowest and highest bin of each candidate, shape (F, 3), int64.
        hist: histograms of a node, shape (F, bins, channels); zero between uses.
        sums: sums of one feature's histogram up to each bin, shape (bins, channels), int64.
        packed: the same of two classes, the second in the upper half, shape (bins,), uint32.
        tried: thresholds that are tried, shape (bins,), int64.
        sampled: the sampled rows, shape (n,), uint32.
    """

    picked: np.ndarray
    hist: np.ndarray
    sums: np.ndarray
    packed: np.ndarray
    tried: np.ndarray
    sampled: np.ndarray


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def make_scratch(rules, n, hist):
    """Return room to work on nodes of up to n rows."""
    return Scratch(
        np.empty((rules.max_features, 3), np.int64),
        np.zeros((rules.max_features, rules.n_bins, rules.channels), hist.dtype),
        np.empty((rules.n_bins + 1, rules.channels), np.int64),
        np.empty(rules.n_bins, np.uint32),
        np.empty(rules.n_bins, np.int64),
        np.empty(n, np.uint32),
    )


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
        else:
            n = add_up(hist[j], low, high, nominal, rules, sums, tried)
            if not nominal:
                n = draw_thresholds(tried, low, high, word, rules)
            total_a, total_b = total[0], total[1]
        for i in range(n):
            b = tried[i]
            if binary and not nominal:
                here = packed[np.uint64(b)]
                score = score_pair(np.int64(here & HALF), np.int64(here >> np.uint32(16)), total_a, total_b, False)
            elif rules.sums or binary:
                score = score_pair(sums[b, 0], sums[b, 1], total_a, total_b, rules.sums)
            else:
                score = score_many(sums[b], total, rules.channels)
            if score < best:
                best, feature, chosen = score, f, b
            elif score == best and feature == f:
                chosen = min(chosen, b)
    return feature, chosen


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
