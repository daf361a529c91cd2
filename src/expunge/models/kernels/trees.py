"""Reading trees: predict, export in preorder (the canonical form), and rebuild the memory of a saved tree."""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.forest import count_in, split_node
from expunge.models.kernels.pool import BIN, CHILD, FEATURE, N_HIST, N_NODES, ROOM, SIZE, SLOT, START, copy_hist, wipe
from expunge.models.kernels.splits import Table, rules_of


@njit(cache=True, nogil=True)
def add_votes(nodes, counts, codes, nominal, sums, out):
    """Add one tree's answer for each row of `codes` (n, d) to `out` (n, k): class shares, or the mean target.

    A tree without records adds 1/k to each class, or nothing.
    """
    k = out.shape[1]
    for i in range(codes.shape[0]):
        node = 0
        f = nodes[0, FEATURE]
        while f >= 0:
            b = codes[i, f]
            goes_left = (b == nodes[node, BIN]) if nominal[f] else (b <= nodes[node, BIN])
            node = nodes[node, CHILD] + (0 if goes_left else 1)
            f = nodes[node, FEATURE]
        n = nodes[node, SIZE]
        if sums:
            out[i, 0] += counts[node, 1] / n if n > 0 else 0.0
        else:
            for c in range(k):
                out[i, c] += counts[node, c] / n if n > 0 else 1.0 / k


@njit(cache=True, nogil=True)
def export_tree(nodes, counts, hf, hist, meta):
    """Return a tree in preorder: feature, bin, right child, counts; and its histograms in preorder."""
    cap = meta[N_NODES]
    feature = np.empty(cap, np.int16)
    chosen = np.zeros(cap, np.int64)
    right = np.zeros(cap, np.int32)
    out_counts = np.empty((cap, counts.shape[1]), counts.dtype)
    out_hf = np.empty((meta[N_HIST], hf.shape[1]), np.int32)
    out_hist = np.empty((meta[N_HIST], hist.shape[1], hist.shape[2], hist.shape[3]), hist.dtype)
    stack = np.empty((cap + 2, 2), np.int64)  # node, and the parent whose right child it is (-1 = none)
    stack[0, 0], stack[0, 1] = 0, -1
    height = 1
    at = 0
    at_hist = 0
    while height > 0:
        height -= 1
        node, parent = stack[height, 0], stack[height, 1]
        if parent >= 0:
            right[parent] = at
        feature[at] = nodes[node, FEATURE]
        for c in range(counts.shape[1]):
            out_counts[at, c] = counts[node, c]
        slot = nodes[node, SLOT]
        if slot >= 0:
            for j in range(hf.shape[1]):
                out_hf[at_hist, j] = hf[slot, j]
            copy_hist(hist[slot], out_hist[at_hist])
            at_hist += 1
        if nodes[node, FEATURE] >= 0:
            chosen[at] = nodes[node, BIN]
            stack[height, 0], stack[height, 1] = nodes[node, CHILD] + 1, at
            stack[height + 1, 0], stack[height + 1, 1] = nodes[node, CHILD], -1
            height += 2
        at += 1
    return feature[:at], chosen[:at], right[:at], out_counts[:at], out_hf[:at_hist], out_hist[:at_hist]


@njit(cache=True, nogil=True)
def import_tree(feature, chosen, right, saved_counts, rows, codes, y, h, nominal, names, order, numbers):
    """Return (nodes, counts, meta, fits) of a saved tree, routing `rows` down it (reordered in place).

    `fits` is False where the counts of a node are not those of the rows that reach it.
    """
    table, rules = Table(codes, y, h, nominal, names, order), rules_of(numbers)
    nodes = np.zeros((len(feature) + 18, 6), np.int32)
    counts = np.zeros((len(nodes), saved_counts.shape[1]), saved_counts.dtype)
    meta = np.array([1, -1, 0, -1, len(rows)], np.int64)
    stack = np.zeros((len(feature) + 2, 2), np.int64)  # node, its place in the saved tree
    spare = np.empty(len(rows) + 1, np.uint32)
    height = 1
    nodes[0, SIZE] = len(rows)
    nodes[0, ROOM] = len(rows)
    for i in range(len(rows)):
        count_in(counts[0], table.y[rows[i]], np.int64(1), rules.sums)
    while height > 0:
        height -= 1
        node, at = stack[height, 0], stack[height, 1]
        for c in range(counts.shape[1]):
            if counts[node, c] != saved_counts[at, c]:
                return nodes, counts, meta, False
        nodes[node, FEATURE] = -1
        nodes[node, SLOT] = -1
        if feature[at] < 0:
            continue
        if nodes[node, SIZE] > rules.keep:
            nodes[node, SLOT] = meta[N_HIST]
            meta[N_HIST] += 1
        left = meta[N_NODES]
        meta[N_NODES] += 2
        split_node(nodes, counts, rows, np.int64(0), table, rules, node, left, np.int64(feature[at]), chosen[at], spare)
        stack[height, 0], stack[height, 1] = left + 1, right[at]
        stack[height + 1, 0], stack[height + 1, 1] = left, at + 1
        height += 2
    return nodes, counts, meta, True


@njit(cache=True, nogil=True)
def pack_tree(nodes, counts, hf, hist, meta, rows):
    """Return a copy of a tree in preorder, without free nodes, histograms or gaps between rows."""
    n_nodes = 0
    n_hist = 0
    for node in range(meta[N_NODES]):
        n_nodes += 1 if nodes[node, SIZE] > 0 or node == 0 else 0
        n_hist += 1 if nodes[node, SIZE] > 0 and nodes[node, SLOT] >= 0 else 0
    new_nodes = np.zeros((n_nodes + 16, 6), np.int32)
    new_counts = np.zeros((n_nodes + 16, counts.shape[1]), counts.dtype)
    new_hf = np.zeros((n_hist + 4, hf.shape[1]), np.int32)
    new_hist = np.zeros((n_hist + 4, hist.shape[1], hist.shape[2], hist.shape[3]), hist.dtype)
    new_rows = np.empty(nodes[0, SIZE] + 8, np.uint32)
    wipe(new_rows, nodes[0, SIZE], 8)
    new_meta = np.array([n_nodes, -1, n_hist, -1, nodes[0, SIZE]], np.int64)
    stack = np.empty((n_nodes + 2, 2), np.int64)  # node, and where it goes
    stack[0, 0] = stack[0, 1] = 0
    height, used, slots, at = 1, 1, 0, 0
    while height > 0:
        height -= 1
        node, to = stack[height, 0], stack[height, 1]
        for j in range(6):
            new_nodes[to, j] = nodes[node, j]
        for c in range(counts.shape[1]):
            new_counts[to, c] = counts[node, c]
        slot = nodes[node, SLOT]
        if slot >= 0:
            for j in range(hf.shape[1]):
                new_hf[slots, j] = hf[slot, j]
            copy_hist(hist[slot], new_hist[slots])
            new_nodes[to, SLOT] = slots
            slots += 1
        if nodes[node, FEATURE] >= 0:
            new_nodes[to, CHILD] = used
            for side in range(2):
                stack[height, 0], stack[height, 1] = nodes[node, CHILD] + 1 - side, used + 1 - side
                height += 1
            used += 2
            continue
        start, n = np.int64(nodes[node, START]), np.int64(nodes[node, SIZE])
        for i in range(n):
            new_rows[at + i] = rows[start + i]
        new_nodes[to, START] = at
        new_nodes[to, ROOM] = n
        at += n
    return new_nodes, new_counts, new_hf, new_hist, new_meta, new_rows
