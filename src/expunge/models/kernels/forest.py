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
    clear_hist,
    keep_features,
    put,
    take_pair,
    take_slot,
)
from expunge.models.kernels.splits import Table, decide, make_scratch, pick, rules_of

CLOSE = 512
"""A subtree of at most so many rows is built from a copy of them that lies close together in memory."""


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
def partition(rows, start, n, codes, feature, chosen, nominal, spare):
    """Reorder a segment so that the left rows come first; return how many go left."""
    f, begin, size = np.uint64(feature), np.uint64(start), np.uint64(n)
    cut = np.uint8(chosen)
    left, right = np.uint64(0), np.uint64(0)
    for i in range(begin, begin + size):
        row = rows[i]
        b = codes[row, f]
        goes = np.uint64(b == cut) if nominal else np.uint64(b <= cut)
        rows[begin + left] = row
        spare[right] = row
        left += goes
        right += np.uint64(1) - goes
    for i in range(right):
        rows[begin + left + i] = spare[i]
    return np.int64(left)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def split_node(nodes, counts, rows, base, table, rules, node, left, feature, chosen, spare):
    """Make a leaf an inner node with the children `left` and `left + 1`, partitioning its segment between them.

    `rows` starts with the segment at `base`.
    """
    start = np.int64(nodes[node, START])
    n = np.int64(nodes[node, SIZE])
    nominal = table.nominal[feature]
    n_left = partition(rows, start - base, n, table.codes, feature, chosen, nominal, spare)
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
    side_counts, y = counts[left + smaller], table.y
    for c in range(len(side_counts)):
        side_counts[c] = 0
    for i in range(first, first + np.int64(nodes[left + smaller, SIZE])):
        count_in(side_counts, y[rows[i]], np.int64(1), rules.sums)
    for c in range(counts.shape[1]):
        counts[left + 1 - smaller, c] = counts[node, c] - counts[left + smaller, c]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def near_table(table):
    """Return room for a table of `CLOSE` of these rows."""
    codes = np.empty((CLOSE, table.codes.shape[1]), np.uint8)
    y, h = np.empty(CLOSE, np.uint32), np.empty(CLOSE, np.uint64)
    return Table(codes, y, h, table.nominal, table.names, table.order)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def gather(rows, table, near):
    """Copy these rows of a table to the first lines of another."""
    d = np.uint64(table.codes.shape[1])
    for i in range(len(rows)):
        row = rows[i]
        for f in range(d):
            near.codes[i, f] = table.codes[row, f]
        near.y[i] = table.y[row]
        near.h[i] = table.h[row]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def grow(nodes, counts, hf, hist, meta, rows, base, table, rules, scratch, todo, paths, at, floor, listed):
    """Build the subtree of the leaf at a place of `todo` (as of `build`), but for its nodes of at most `floor` rows.

    Those are put on the list, which holds `listed`. `rows` starts with the leaf's segment, at `base`.
    Returns the arrays that may have grown, the list, and how many it holds.
    """
    levels = rules.max_depth + 5
    stack = np.empty((levels, 2), np.int64)
    words = np.empty(levels, np.uint64)
    known = np.zeros((levels, len(table.names)), np.bool_)
    stack[0, 0], stack[0, 1], words[0] = todo[at, 0], todo[at, 1], paths[at]
    feature, chosen = todo[at, 2], todo[at, 3]
    height = 1
    while height > 0:
        height -= 1
        node, depth, path = stack[height, 0], stack[height, 1], words[height]
        n = np.int64(nodes[node, SIZE])
        if feature < 0:
            if is_final(counts[node], n, depth, rules):
                continue
            if n <= floor:
                todo, paths = put(todo, paths, listed, node, depth, feature, chosen, path)
                listed += 1
                continue
            start = np.int64(nodes[node, START]) - base
            m, sampled = n, rows[start : start + n]
            if n > rules.sample:
                sampled = scratch.sampled
                m = draw_sample(rows, start, n, path, table.h, rules.sample, sampled)
            if m == 0:
                continue
            found = pick(sampled, m, path, table.codes, table.order, rules, known[height], m == n, scratch.picked)
            if found == 0:
                continue
            own = scratch.hist
            if n > rules.keep:
                hf, hist, slot = take_slot(hf, hist, meta)
                keep_features(hf, slot, scratch.picked)
                nodes[node, SLOT] = slot
                own = hist[slot]
            feature, chosen = decide(sampled, m, found, path, depth, table, rules, scratch, own)
            if n <= rules.keep:
                clear_hist(scratch.hist, found)
        nodes, counts, left = take_pair(nodes, counts, meta)
        split_node(nodes, counts, rows, base, table, rules, node, left, feature, chosen, scratch.sampled)
        feature = np.int64(-1)
        for f in range(len(table.names)):
            known[height + 1, f] = known[height, f]
        for side in range(2):
            stack[height, 0] = left + side
            stack[height, 1] = depth + 1
            words[height] = mix(path ^ (RIGHT if side else LEFT))
            height += 1
    return nodes, counts, hf, hist, todo, paths, listed


@njit(cache=True, nogil=True)
def build(nodes, counts, hf, hist, meta, rows, codes, y, h, nominal, names, order, numbers, todo, paths):
    """Build the subtrees of leaves whose segments, sizes and counts are set; returns the arrays that may have grown.

    Each line of `todo` (t, 4) int64 names a node, its depth and its split (feature and bin; -1 where it is still to
    be chosen, else its histogram is stored); `paths` (t,) uint64 its path word. A subtree of `CLOSE` rows is built
    from a copy of them that lies close together in memory.
    """
    table, rules = Table(codes, y, h, nominal, names, order), rules_of(numbers)
    room = np.int64(CLOSE)
    for t in range(len(todo)):
        room = max(room, np.int64(nodes[todo[t, 0], SIZE]))
    scratch = make_scratch(rules, room + 1, hist)
    own = np.empty(CLOSE, np.uint32)
    near = near_table(table)
    listed = np.int64(len(todo))
    at = np.int64(0)
    while at < listed:
        base, size = np.int64(nodes[todo[at, 0], START]), np.int64(nodes[todo[at, 0], SIZE])
        here = rows[base : base + size]
        segment, read, floor = here, table, np.int64(CLOSE)
        close = size <= CLOSE
        if close:
            gather(here, table, near)
            for k in range(size):
                own[k] = k
            segment, read, floor = own, near, np.int64(0)
        nodes, counts, hf, hist, todo, paths, listed = grow(
            nodes, counts, hf, hist, meta, segment, base, read, rules, scratch, todo, paths, at, floor, listed
        )
        if close:
            for k in range(size):
                scratch.sampled[k] = here[own[k]]
            for k in range(size):
                here[k] = scratch.sampled[k]
        at += 1
    return nodes, counts, hf, hist
