"""Reading trees: predict, export in preorder (the canonical form), and rebuild the memory of a saved tree."""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.forest import split_node
from expunge.models.kernels.pool import BIN, CHILD, FEATURE, N_HIST, N_NODES, SIZE, SLOT, copy_hist


@njit(cache=True, nogil=True)
def add_votes(nodes, counts, codes, nominal, out):
    """Add one tree's class shares for each row of `codes` (n, d) to `out` (n, k); an empty tree adds 1/k."""
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
        for c in range(k):
            out[i, c] += counts[node, c] / n if n > 0 else 1.0 / k


@njit(cache=True, nogil=True)
def export_tree(nodes, counts, hf, hist, meta):
    """Return a tree in preorder: feature, bin, right child, counts; and its histograms in preorder."""
    cap = meta[N_NODES]
    feature = np.empty(cap, np.int16)
    chosen = np.zeros(cap, np.int64)
    right = np.zeros(cap, np.int32)
    out_counts = np.empty((cap, counts.shape[1]), np.int32)
    out_hf = np.empty((meta[N_HIST], hf.shape[1]), np.int32)
    out_hist = np.empty((meta[N_HIST], hist.shape[1], hist.shape[2], hist.shape[3]), np.uint16)
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
def import_tree(feature, chosen, right, saved_counts, rows, table, rules):
    """Return (nodes, counts, meta, fits) of a saved tree, routing `rows` down it (reordered in place).

    `fits` is False where the counts of a node are not those of the rows that reach it.
    """
    nodes = np.zeros((len(feature) + 2, 6), np.int32)
    counts = np.zeros((len(feature) + 2, saved_counts.shape[1]), np.int32)
    meta = np.array([1, -1, 0, -1], np.int64)
    stack = np.zeros((len(feature) + 2, 2), np.int64)  # node, its place in the saved tree
    height = 1
    nodes[0, SIZE] = len(rows)
    for i in range(len(rows)):
        counts[0, table.y[rows[i]]] += 1
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
        split_node(nodes, counts, rows, table, node, left, feature[at], chosen[at])
        stack[height, 0], stack[height, 1] = left + 1, right[at]
        stack[height + 1, 0], stack[height + 1, 1] = left, at + 1
        height += 2
    return nodes, counts, meta, True
