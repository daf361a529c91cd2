"""One round of boosting: gradients, histograms, level-wise splits and leaf values, all from sums of whole numbers.

A round's tree is complete: inner nodes 0 … 2^depth - 2 in heap order, leaves 0 … 2^depth - 1 from left to right; a node
that is not split is a leaf, and takes the place of its leftmost leaf. A cell of a histogram holds two int64: the
sum of gradients, and the sum of curvatures times 2^24 plus the number of records.

Source: spec XL02 (structure), X05 (score: a division stands between each product and the sum).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

COUNT_BITS = np.int64(24)
COUNT = np.int64((1 << 24) - 1)
TOP_SQUARED = np.int64(1 << 20)


class Look(NamedTuple):
    """What one round looks at, by the key alone.

    Attributes:
        columns: the features, ascending, shape (c,), int32.
        slots: the slot of each bin, shape (c, bins), uint8.
        equal: whether a split asks "which slot?" instead of "which side?", shape (c,), bool.
        dither: what is added to each leaf's value before it is rounded down, shape (leaves,), in [0, 1).
    """

    columns: np.ndarray
    slots: np.ndarray
    equal: np.ndarray
    dither: np.ndarray


class Loss(NamedTuple):
    """How a margin and a target become gradient and curvature.

    Attributes:
        slope: the gradient's first part by margin, shape (2·top + 1,), int64; empty for squared errors.
        curve: the curvature by margin, int64, at least 1; empty for squared errors, whose curvature is always 256.
        unit: of squared errors, how many target steps one margin step is; 0 = by the tables.
    """

    slope: np.ndarray
    curve: np.ndarray
    unit: int


class Rules(NamedTuple):
    """The hyper-parameters in the kernels' units.

    Attributes:
        depth: levels of inner nodes.
        min_rows: records a side has at least.
        penalty: added to every sum of curvatures.
        per_step: the Newton step that moves a margin by one.
        most: steps a leaf moves a margin, at most.
        width: slots a column has.
        least_gain: what a split must gain; of squared errors in units of their rounded mean.
    """

    depth: int
    min_rows: int
    penalty: int
    per_step: float
    most: int
    width: int
    least_gain: float


class Tree(NamedTuple):
    """A round's tree: place in `Look.columns` (-1: leaf) and slot of each inner node, values of the leaves in steps."""

    feature: np.ndarray
    slot: np.ndarray
    value: np.ndarray


class Sums(NamedTuple):
    """What a round's tree was decided on, int64.

    Attributes:
        hist: of each inner node, shape (inner, c, width, 2).
        leaf: of each leaf, shape (leaves, 2).
        total: records, and of squared errors the sum of their squares; shape (2,).
    """

    hist: np.ndarray
    leaf: np.ndarray
    total: np.ndarray


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def pull(margin, y, loss):
    """Return (gradient, packed curvature and count) of one record."""
    if loss.unit > 0:
        return np.int64(margin) * loss.unit - y, (np.int64(256) << COUNT_BITS) + np.int64(1)
    top = np.int64(len(loss.slope) >> 1)
    at = min(max(np.int64(margin), -top), top) + top
    return loss.slope[at] - y, (loss.curve[at] << COUNT_BITS) + np.int64(1)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def square(gradient):
    """Return a gradient's square, of gradients up to 2²⁰ either way."""
    g = min(max(gradient, -TOP_SQUARED), TOP_SQUARED)
    return g * g


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
def bar_of(total, loss, rules):
    """Return what a split of this round must gain: of squared errors, in units of their mean rounded up to 2^k."""
    if loss.unit == 0 or rules.least_gain == 0.0:
        return rules.least_gain
    mean = total[1] // max(total[0], np.int64(1))
    unit = 1.0
    while unit <= np.float64(mean):
        unit *= 2.0
    return rules.least_gain * unit


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
def worth(gradient, packed, rules):
    """Return the score of one side of a split."""
    g = np.float64(gradient)
    return g * g / np.float64((packed >> COUNT_BITS) + rules.penalty)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def best_split(hist, bar, look, rules):
    """Return (place of the column, slot) of the first best split of a node, (-1, 0) where none gains enough."""
    n_columns, width = hist.shape[0], hist.shape[1]
    g_all = np.int64(0)
    p_all = np.int64(0)
    for s in range(width):
        g_all += hist[0, s, 0]
        p_all += hist[0, s, 1]
    least = np.int64(rules.min_rows)
    if (p_all & COUNT) < 2 * least:
        return -1, 0
    whole = worth(g_all, p_all, rules)
    chosen = -1
    chosen_slot = 0
    best = bar
    for j in range(n_columns):
        g = np.int64(0)
        p = np.int64(0)
        for s in range(width):
            if hist[j, s, 1] == 0:
                continue
            if look.equal[j]:
                g = hist[j, s, 0]
                p = hist[j, s, 1]
            else:
                g += hist[j, s, 0]
                p += hist[j, s, 1]
            if (p & COUNT) < least:
                continue
            if ((p_all - p) & COUNT) < least:
                if look.equal[j]:
                    continue
                break
            gain = worth(g, p, rules) + worth(g_all - g, p_all - p, rules) - whole
            if gain > best:
                best = gain
                chosen = j
                chosen_slot = s
    return chosen, chosen_slot


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True, error_model="numpy")
def leaf_value(gradient, packed, dither, rules):
    """Return a leaf's value in steps: the Newton step at the learning rate, rounded down after a keyed dither."""
    if packed == 0:
        return np.int32(0)
    newton = -np.float64(gradient) / np.float64((packed >> COUNT_BITS) + rules.penalty)
    steps = np.floor(newton / rules.per_step + dither)
    return np.int32(min(max(steps, -np.float64(rules.most)), np.float64(rules.most)))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def gather(codes, rows, look):
    """Return the slots of some records in the round's columns, shape (m, c)."""
    m = len(rows)
    c = len(look.columns)
    out = np.empty((m, c), np.uint8)
    for j in range(c):
        column = codes[look.columns[j]]
        table = look.slots[j]
        for i in range(m):
            out[i, j] = table[column[rows[i]]]
    return out


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def count(hist, order, start, stop, seen, pulls):
    """Add the records order[start:stop] to a histogram (c, width, 2)."""
    for k in range(start, stop):
        i = order[k]
        g = pulls[i, 0]
        p = pulls[i, 1]
        for j in range(hist.shape[0]):
            s = seen[i, j]
            hist[j, s, 0] += g
            hist[j, s, 1] += p


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def combine(out, a, b, sign):
    """Set a histogram (c, width, 2) to a + sign · b; loops, because views of another shape are slow to compile."""
    for j in range(out.shape[0]):
        for s in range(out.shape[1]):
            out[j, s, 0] = a[j, s, 0] + sign * b[j, s, 0]
            out[j, s, 1] = a[j, s, 1] + sign * b[j, s, 1]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def partition(order, start, stop, seen, j, slot, equal):
    """Reorder a segment so that what goes left comes first; return where the right begins."""
    i = start
    k = stop - 1
    while i <= k:
        s = seen[order[i], j]
        if (s == slot) if equal else (s <= slot):
            i += 1
        else:
            order[i], order[k] = order[k], order[i]
            k -= 1
    return i


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def left_sums(hist, j, slot, equal):
    """Return (gradient, packed) of the left side of a split."""
    g = np.int64(0)
    p = np.int64(0)
    for s in range(slot if equal else 0, slot + 1):
        g += hist[j, s, 0]
        p += hist[j, s, 1]
    return g, p


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def empty_below(tree, sums, touched, node, level, depth):
    """Clear what lies below a node: histograms, splits and marks of the inner nodes, sums of the leaves."""
    first = node
    n = 1
    for deeper in range(level + 1, depth + 1):
        first = 2 * first + 1
        n *= 2
        for v in range(first, first + n):
            if deeper == depth:
                sums.leaf[v - (1 << depth) + 1, 0] = 0
                sums.leaf[v - (1 << depth) + 1, 1] = 0
            else:
                touched[v] = False
                tree.feature[v] = -1
                tree.slot[v] = 0
                cells = sums.hist[v]
                combine(cells, cells, cells, np.int64(-1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def grow(top, top_level, order, n_top, seen, pulls, tree, sums, leaf, bar, look, rules):
    """Build the subtree of a node whose histogram is filled and below which all is empty.

    `order[:n_top]` are the places of the node's records in `seen`, `pulls` and `leaf`; it is reordered.
    """
    depth = rules.depth
    stack = np.empty((depth + 2, 4), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = top, top_level, 0, n_top
    height = 1
    while height > 0:
        height -= 1
        node, level, start, stop = stack[height, 0], stack[height, 1], stack[height, 2], stack[height, 3]
        place = node + 1 - (1 << level)
        j, slot = best_split(sums.hist[node], bar, look, rules)
        tree.feature[node] = j
        tree.slot[node] = slot
        first = place << (depth - level)
        g_all = np.int64(0)
        p_all = np.int64(0)
        for s in range(sums.hist.shape[2]):
            g_all += sums.hist[node, 0, s, 0]
            p_all += sums.hist[node, 0, s, 1]
        if j < 0:
            sums.leaf[first, 0] = g_all
            sums.leaf[first, 1] = p_all
            for k in range(start, stop):
                leaf[order[k]] = first
            continue
        equal = look.equal[j]
        middle = partition(order, start, stop, seen, j, slot, equal)
        if level + 1 == depth:
            g, p = left_sums(sums.hist[node], j, slot, equal)
            sums.leaf[first, 0] = g
            sums.leaf[first, 1] = p
            sums.leaf[first + 1, 0] = g_all - g
            sums.leaf[first + 1, 1] = p_all - p
            for k in range(start, stop):
                leaf[order[k]] = first + (k >= middle)
            continue
        left = 2 * node + 1
        small = left if middle - start <= stop - middle else left + 1
        if small == left:
            count(sums.hist[small], order, start, middle, seen, pulls)
        else:
            count(sums.hist[small], order, middle, stop, seen, pulls)
        large = 2 * left + 1 - small
        combine(sums.hist[large], sums.hist[node], sums.hist[small], np.int64(-1))
        stack[height, 0], stack[height, 1], stack[height, 2], stack[height, 3] = left, level + 1, start, middle
        stack[height + 1, 0], stack[height + 1, 1] = left + 1, level + 1
        stack[height + 1, 2], stack[height + 1, 3] = middle, stop
        height += 2
