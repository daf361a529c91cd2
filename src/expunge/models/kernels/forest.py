"""The canonical tree, built: a subtree is a pure function of its rows, its path and its depth.

A tree is six arrays that grow together:

* ``nodes`` int32 (cap, 6): feature (-1 = leaf), bin, left child (right = left + 1; of a leaf: room for rows), first
  row, number of rows, histogram slot (-1 = none). A free pair
  is all zeros but for the link in its first.
* ``counts`` int64 (cap, classes): records of each class in the node; of sums (cap, 3): count, Σ y, Σ y².
* ``hf`` int32 (hcap, F): the candidate features of a stored histogram, -1 where there are fewer.
* ``hist`` uint16 (hcap, F, bins, channels): their histograms over the node's sample: the count of each class, or the
  count of records and the lower and the upper half of their sum.
* ``rows`` uint32: each leaf owns a segment; what is free holds `GONE`.
* ``meta`` int64: nodes used, free pair, histograms used, free histogram, rows used.

Source: spec XL01.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.draws import LEFT, RIGHT, draw_sample, mix
from expunge.models.kernels.pool import (
    BIN,
    CHILD,
    FEATURE,
    ROOM,
    SIZE,
    SLOT,
    START,
    keep_features,
    take_pair,
    take_slot,
)
from expunge.models.kernels.splits import Scratch, Table, clear_found, decide, pick

MANY = 1024
"""From so many rows on, those of a subtree that is built are copied close together in memory first."""


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def make_scratch(rules, n, hist):
    """Return room to work on nodes of up to n rows."""
    return Scratch(
        np.empty((rules.max_features, 3), np.int64),
        np.zeros((rules.max_features, rules.n_bins, rules.channels), hist.dtype),
        np.empty((rules.n_bins + 1, rules.channels), np.int64),
        np.empty(rules.n_bins, np.int64),
        np.empty(n, np.uint32),
    )


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def count_in(counts, target, sign, sums):
    """Add one record to the counts of a node, or take it out (sign -1)."""
    if sums:
        y = np.int64(target)
        counts[0] += sign
        counts[1] += sign * y
        counts[2] += sign * y * y
    else:
        counts[target] += sign


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def is_final(counts, n, depth, rules):
    """Say whether a node of these counts is a leaf whatever its columns hold: too small, too deep, or all alike."""
    if n < rules.min_split or depth >= rules.max_depth:
        return True
    if rules.sums:
        return counts[0] * counts[2] == counts[1] * counts[1]  # modulo 2^64, the same on every machine
    for c in range(rules.channels):
        if counts[c] > 0:
            return counts[c] == n
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def partition(rows, start, n, feature, chosen, table, spare):
    """Reorder a segment so that the left rows come first; return how many go left."""
    nominal = table.nominal[feature]
    codes = table.codes
    left = 0
    right = 0
    for i in range(start, start + n):
        row = rows[i]
        b = codes[row, feature]
        goes = np.int64(b == chosen) if nominal else np.int64(b <= chosen)
        rows[start + left] = row
        spare[right] = row
        left += goes
        right += 1 - goes
    for i in range(right):
        rows[start + left + i] = spare[i]
    return left


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def split_node(nodes, counts, rows, base, table, rules, node, left, feature, chosen, spare):
    """Make a leaf an inner node with the children `left` and `left + 1`, partitioning its segment between them.

    `rows` starts with the segment at `base`.
    """
    start = np.int64(nodes[node, START])
    n = np.int64(nodes[node, SIZE])
    n_left = partition(rows, start - base, n, feature, chosen, table, spare)
    nodes[node, FEATURE] = feature
    nodes[node, BIN] = chosen
    nodes[node, CHILD] = left
    nodes[node, START] = 0
    for side in range(2):
        size = n - n_left if side else n_left
        nodes[left + side, FEATURE] = -1
        nodes[left + side, SLOT] = -1
        nodes[left + side, START] = start + n_left if side else start
        nodes[left + side, SIZE] = size
        nodes[left + side, ROOM] = size
    smaller = np.int64(n - n_left < n_left)
    first = start - base + (n_left if smaller else 0)
    for c in range(counts.shape[1]):
        counts[left + smaller, c] = 0
    for i in range(first, first + np.int64(nodes[left + smaller, SIZE])):
        count_in(counts[left + smaller], table.y[rows[i]], np.int64(1), rules.sums)
    for c in range(counts.shape[1]):
        counts[left + 1 - smaller, c] = counts[node, c] - counts[left + smaller, c]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def gather(kept, n, table):
    """Return the table of the first n of these rows alone, close together in memory."""
    d = table.codes.shape[1]
    codes = np.empty((n, d), np.uint8)
    y = np.empty(n, np.uint32)
    h = np.empty(n, np.uint64)
    for i in range(n):
        row = kept[i]
        for f in range(np.uint64(d)):
            codes[np.uint64(i), f] = table.codes[row, f]
        y[i] = table.y[row]
        h[i] = table.h[row]
    return Table(codes, y, h, table.nominal, table.names, table.order)


@njit(cache=True, nogil=True)
def build(nodes, counts, hf, hist, meta, rows, whole, rules, todo, paths):
    """Build the subtrees of leaves whose segments, sizes and counts are set; returns the arrays that may have grown.

    Each line of `todo` (t, 4) int64 names a node, its depth and its split (feature and bin; -1 where it is still to
    be chosen, else its histogram is stored); `paths` (t,) uint64 its path word.
    """
    d = len(whole.names)
    room = np.int64(0)
    for t in range(len(todo)):
        room = max(room, np.int64(nodes[todo[t, 0], SIZE]))
    levels = rules.max_depth + 5
    scratch = make_scratch(rules, room + 1, hist)
    stack = np.empty((levels, 2), np.int64)
    words = np.empty(levels, np.uint64)
    known = np.zeros((levels, d), np.bool_)
    for t in range(len(todo)):
        node, depth, feature, chosen = todo[t, 0], todo[t, 1], todo[t, 2], todo[t, 3]
        base, size = np.int64(nodes[node, START]), np.int64(nodes[node, SIZE])
        many = size > MANY
        order = rows[base : base + size].copy()
        kept = order.copy() if many else order
        table = whole
        if many:
            table = gather(kept, size, whole)
            for i in range(size):
                order[i] = i
        for f in range(d):
            known[0, f] = False
        stack[0, 0], stack[0, 1], words[0] = node, depth, paths[t]
        height = 1
        while height > 0:
            height -= 1
            node, depth, path = stack[height, 0], stack[height, 1], words[height]
            n = np.int64(nodes[node, SIZE])
            if feature < 0:
                if is_final(counts[node], n, depth, rules):
                    continue
                start = np.int64(nodes[node, START]) - base
                m = draw_sample(order, start, n, path, table.h, rules.sample, scratch.sampled)
                if m == 0:
                    continue
                found = pick(scratch.sampled, m, path, table, rules, known[height], m == n, scratch.picked)
                if found == 0:
                    continue
                own = scratch.hist
                if n > rules.keep:
                    hf, hist, slot = take_slot(hf, hist, meta)
                    keep_features(hf, slot, scratch.picked)
                    nodes[node, SLOT] = slot
                    own = hist[slot]
                feature, chosen = decide(m, found, path, depth, table, rules, scratch, own)
                if n <= rules.keep:
                    clear_found(scratch, found, rules.channels)
            nodes, counts, left = take_pair(nodes, counts, meta)
            split_node(nodes, counts, order, base, table, rules, node, left, feature, chosen, scratch.sampled)
            feature = np.int64(-1)
            for f in range(d):
                known[height + 1, f] = known[height, f]
            for side in range(2):
                stack[height, 0] = left + side
                stack[height, 1] = depth + 1
                words[height] = mix(path ^ (RIGHT if side else LEFT))
                height += 1
        for i in range(size):
            rows[base + i] = kept[order[i]] if many else order[i]
    return nodes, counts, hf, hist
