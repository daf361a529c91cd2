"""The canonical tree: build, forget, predict, export; a subtree is a pure function of its rows, its path and its depth.

A tree is five arrays that grow together:

* ``nodes`` int32 (cap, 6): feature (-1 = leaf), bin, left child (right = left + 1), first row, number of rows,
  histogram slot (-1 = none). A free pair of slots is all zeros but for the link in its first node.
* ``counts`` int32 (cap, k): records of each class in the node.
* ``hf`` int32 (hcap, F): the candidate features of a stored histogram, -1 where there are fewer.
* ``hist`` uint16 (hcap, F, bins, k): their histograms over the node's sample.
* ``meta`` int64: nodes used, free pair, histograms used, free histogram.

and ``rows`` int32: every node owns a segment of it; a deletion leaves -1 in the gap.

Source: spec XL01.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.draws import LEFT, RIGHT, mix
from expunge.models.kernels.pool import (
    BIN,
    CHILD,
    FEATURE,
    SIZE,
    SLOT,
    START,
    clear_hist,
    copy_hist,
    free_below,
    take_pair,
    take_slot,
)
from expunge.models.kernels.splits import (
    any_mixed,
    best_split,
    bucket,
    draw_sample,
    measure_spans,
    rate,
    scan,
)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def partition(rows, start, n, column, chosen, nominal):
    """Reorder a segment so that the left rows come first; return how many go left."""
    i = start
    j = start + n - 1
    while i <= j:
        b = column[rows[i]]
        if (b == chosen) if nominal else (b <= chosen):
            i += 1
        else:
            rows[i], rows[j] = rows[j], rows[i]
            j -= 1
    return i - start


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def is_final(counts, n, depth, rules):
    """Say whether a node of these counts is a leaf whatever is forgotten below it."""
    if n < rules.min_split or depth >= rules.max_depth:
        return True
    classes = 0
    for c in range(rules.n_classes):
        if counts[c] > 0:
            classes += 1
    return classes <= 1


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def split_node(nodes, counts, rows, table, node, left, feature, chosen):
    """Make a leaf an inner node with the children `left` and `left + 1`, partitioning its segment."""
    start = nodes[node, START]
    n = nodes[node, SIZE]
    n_left = partition(rows, start, n, table.codes[feature], chosen, table.nominal[feature])
    nodes[node, FEATURE] = feature
    nodes[node, BIN] = chosen
    nodes[node, CHILD] = left
    nodes[left, START] = start
    nodes[left, SIZE] = n_left
    nodes[left + 1, START] = start + n_left
    nodes[left + 1, SIZE] = n - n_left
    for side in range(2):
        nodes[left + side, FEATURE] = -1
        nodes[left + side, SLOT] = -1
    for c in range(counts.shape[1]):
        counts[left, c] = 0
    for i in range(start, start + n_left):
        counts[left, table.y[rows[i]]] += 1
    for c in range(counts.shape[1]):
        counts[left + 1, c] = counts[node, c] - counts[left, c]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def build(nodes, counts, hf, hist, meta, rows, table, rules, height, stack, paths):
    """Build the subtrees of leaves whose segments, sizes and counts are set; returns the arrays that may have grown.

    `stack` (h, 2) int64 lists (node, depth) and `paths` (h,) their path words; the first `height` entries are used,
    and there is room for 2·max_depth + 4 more.
    """
    known = np.zeros((len(stack), len(table.names)), np.bool_)
    scratch = np.zeros((rules.max_features, rules.n_bins, rules.n_classes), np.uint16)
    feats = np.empty(rules.max_features, np.int32)
    span = np.empty((rules.max_features, 2), np.int32)
    sides = np.empty((3, rules.n_classes), np.int64)
    wanted = np.empty(rules.n_bins, np.bool_)
    sampled = np.empty(len(rows), np.int32)
    while height > 0:
        height -= 1
        node, depth, path = stack[height, 0], stack[height, 1], paths[height]
        n = nodes[node, SIZE]
        nodes[node, FEATURE] = -1
        nodes[node, SLOT] = -1
        if is_final(counts[node], n, depth, rules):
            continue
        m = draw_sample(rows, nodes[node, START], n, path, table.h, rules.sample, sampled)
        if not any_mixed(sampled, m, table.y):
            continue
        found = scan(sampled, m, path, table, rules, known[height], m == n, feats, span, scratch)
        if found == 0:
            continue
        feature, chosen = best_split(scratch, span, feats, found, path, table, rules, sides, wanted)
        if n > rules.keep:
            hf, hist, slot = take_slot(hf, hist, meta)
            for j in range(rules.max_features):
                hf[slot, j] = feats[j]
            copy_hist(scratch, hist[slot])
            nodes[node, SLOT] = slot
        for j in range(found):
            for b in range(span[j, 0], span[j, 1] + 1):
                for c in range(rules.n_classes):
                    scratch[j, b, c] = 0
        nodes, counts, left = take_pair(nodes, counts, meta)
        split_node(nodes, counts, rows, table, node, left, feature, chosen)
        for f in range(len(table.names)):
            known[height + 1, f] = known[height, f]
        for side in range(2):
            stack[height, 0] = left + side
            stack[height, 1] = depth + 1
            paths[height] = mix(path ^ (RIGHT if side else LEFT))
            height += 1
    return nodes, counts, hf, hist


@njit(cache=True, nogil=True)
def fit_tree(rows, table, rules, root_path):
    """Return (nodes, counts, hf, hist, meta) of a tree over these rows (reordered in place)."""
    k = rules.n_classes
    cap = 16 + len(rows) // 4
    nodes = np.zeros((cap, 6), np.int32)
    counts = np.zeros((cap, k), np.int32)
    hcap = 4 + 2 * len(rows) // max(rules.keep, 1)
    hf = np.zeros((hcap, rules.max_features), np.int32)
    hist = np.zeros((hcap, rules.max_features, rules.n_bins, k), np.uint16)
    meta = np.array([1, -1, 0, -1], np.int64)
    nodes[0, SIZE] = len(rows)
    for i in range(len(rows)):
        counts[0, table.y[rows[i]]] += 1
    stack = np.zeros((2 * rules.max_depth + 5, 2), np.int64)
    paths = np.zeros(2 * rules.max_depth + 5, np.uint64)
    paths[0] = root_path
    nodes, counts, hf, hist = build(nodes, counts, hf, hist, meta, rows, table, rules, 1, stack, paths)
    return nodes, counts, hf, hist, meta


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def collect(nodes, rows, top, dead, out, take, max_depth):
    """Copy the living rows below a node to `out`; return how many. `take` leaves -1 where they were."""
    stack = np.empty(2 * max_depth + 4, np.int64)
    stack[0] = top
    height = 1
    m = 0
    while height > 0:
        height -= 1
        node = stack[height]
        if nodes[node, FEATURE] >= 0:
            stack[height] = nodes[node, CHILD] + 1
            stack[height + 1] = nodes[node, CHILD]
            height += 2
            continue
        for i in range(nodes[node, START], nodes[node, START] + nodes[node, SIZE]):
            if not dead[rows[i]]:
                out[m] = rows[i]
                m += 1
            if take:
                rows[i] = -1
    return m


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def to_leaf(nodes, counts, hf, hist, meta, rows, node, dead, buffer, max_depth):
    """Turn the subtree of a node into a leaf that holds its living rows at the start of its segment."""
    n = collect(nodes, rows, node, dead, buffer, True, max_depth)
    free_below(nodes, counts, hf, hist, meta, node, max_depth)
    for i in range(n):
        rows[nodes[node, START] + i] = buffer[i]
    nodes[node, SIZE] = n


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def drop_from_leaf(nodes, rows, leaf, dead):
    """Compact a leaf's segment over its living rows."""
    start = nodes[leaf, START]
    n = nodes[leaf, SIZE]
    m = start
    for i in range(start, start + n):
        row = rows[i]
        if not dead[row]:
            rows[m] = row
            m += 1
    for i in range(m, start + n):
        rows[i] = -1
    nodes[leaf, SIZE] = m - start


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def subtract(hist, feats, rows, start, n, path, exponent, table, rules):
    """Take the sampled ones of these rows out of a histogram; return how many there were."""
    bound = rate(exponent, rules.sample)
    hit = 0
    for i in range(start, start + n):
        row = rows[i]
        if exponent > 0 and mix(table.h[row] ^ path) > bound:
            continue
        hit += 1
        for j in range(rules.max_features):
            if feats[j] < 0:
                break
            hist[j, table.codes[feats[j], row], table.y[row]] -= 1
    return hit


@njit(cache=True, nogil=True)
def forget_tree(nodes, counts, hf, hist, meta, rows, table, rules, root_path, gone, dead):
    """Forget rows (`gone`, int32, reordered in place; `dead` marks them) from one tree; returns the arrays.

    Afterwards the tree equals, node for node, the one that `fit_tree` builds from the other rows: a subtree whose
    set of rows is unchanged is never touched, and a node is decided again only where its sample changed.
    """
    k = rules.n_classes
    deep = rules.max_depth
    buffer = np.empty(nodes[0, SIZE], np.int32)
    sampled = np.empty(nodes[0, SIZE], np.int32)
    feats = np.empty(rules.max_features, np.int32)
    span = np.empty((rules.max_features, 2), np.int32)
    sides = np.empty((3, k), np.int64)
    wanted = np.empty(rules.n_bins, np.bool_)
    constant = np.zeros(len(table.names), np.bool_)
    stack = np.zeros((2 * deep + 4, 4), np.int64)  # node, depth, first of its gone rows, how many
    paths = np.zeros(2 * deep + 4, np.uint64)
    todo = np.zeros((2 * len(gone) + 2 * deep + 6, 2), np.int64)
    todo_paths = np.zeros(len(todo), np.uint64)
    n_todo = 0
    stack[0, 3] = len(gone)
    paths[0] = root_path
    height = 1
    while height > 0:
        height -= 1
        node, depth, first, m = stack[height, 0], stack[height, 1], stack[height, 2], stack[height, 3]
        path = paths[height]
        n_old = nodes[node, SIZE]
        n = n_old - m
        leaf = nodes[node, FEATURE] < 0
        final = is_final(counts[node], n_old, depth, rules)
        for i in range(first, first + m):
            counts[node, table.y[gone[i]]] -= 1
        if leaf and final:
            drop_from_leaf(nodes, rows, node, dead)
            continue
        if leaf or n <= rules.keep or is_final(counts[node], n, depth, rules):
            to_leaf(nodes, counts, hf, hist, meta, rows, node, dead, buffer, deep)
            todo[n_todo, 0], todo[n_todo, 1], todo_paths[n_todo] = node, depth, path
            n_todo += 1
            continue
        slot = nodes[node, SLOT]
        exponent = bucket(n_old, rules.sample)
        refresh = exponent != bucket(n, rules.sample)
        hit = 0
        found = 0
        if not refresh:
            hit = subtract(hist[slot], hf[slot], gone, first, m, path, exponent, table, rules)
            if hit > 0:
                found, refresh = measure_spans(hist[slot], hf[slot], rules, span)
        if refresh:
            # the sample itself changed: look at the kept rows afresh, but keep the subtrees if the split stands
            n_kept = collect(nodes, rows, node, dead, buffer, False, deep)
            s = draw_sample(buffer, 0, n_kept, path, table.h, rules.sample, sampled)
            clear_hist(hist[slot])
            found = 0
            if any_mixed(sampled, s, table.y):
                for f in range(len(constant)):
                    constant[f] = False
                found = scan(sampled, s, path, table, rules, constant, False, feats, span, hist[slot])
            if found == 0:
                to_leaf(nodes, counts, hf, hist, meta, rows, node, dead, buffer, deep)
                continue
            for j in range(rules.max_features):
                hf[slot, j] = feats[j]
        feature = np.int64(nodes[node, FEATURE])
        chosen = np.int64(nodes[node, BIN])
        if refresh or hit > 0:
            feature, chosen = best_split(hist[slot], span, hf[slot], found, path, table, rules, sides, wanted)
        if feature == nodes[node, FEATURE] and chosen == nodes[node, BIN]:
            nodes[node, SIZE] = n
            left = nodes[node, CHILD]
            n_left = partition(gone, first, m, table.codes[feature], chosen, table.nominal[feature])
            for side in range(2):
                size = m - n_left if side else n_left
                if size > 0:
                    stack[height, 0] = left + side
                    stack[height, 1] = depth + 1
                    stack[height, 2] = first + n_left if side else first
                    stack[height, 3] = size
                    paths[height] = mix(path ^ (RIGHT if side else LEFT))
                    height += 1
            continue
        nodes[node, SLOT] = -1  # the histogram stays with the node while the subtree below it goes
        to_leaf(nodes, counts, hf, hist, meta, rows, node, dead, buffer, deep)
        nodes[node, SLOT] = slot
        nodes, counts, left = take_pair(nodes, counts, meta)
        split_node(nodes, counts, rows, table, node, left, feature, chosen)
        for side in range(2):
            todo[n_todo, 0], todo[n_todo, 1] = left + side, depth + 1
            todo_paths[n_todo] = mix(path ^ (RIGHT if side else LEFT))
            n_todo += 1
    if n_todo > 0:
        nodes, counts, hf, hist = build(nodes, counts, hf, hist, meta, rows, table, rules, n_todo, todo, todo_paths)
    return nodes, counts, hf, hist
