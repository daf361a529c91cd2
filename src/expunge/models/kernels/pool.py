"""Room for the nodes, histograms and rows of one tree: arrays that grow; what is freed is overwritten."""

from __future__ import annotations

import numpy as np
from numba import njit

FEATURE, BIN, CHILD, START, SIZE, SLOT = 0, 1, 2, 3, 4, 5
ROOM = CHILD
"""A leaf's room for rows stands where an inner node's left child does."""
N_NODES, FREE_NODE, N_HIST, FREE_HIST, N_ROWS = 0, 1, 2, 3, 4
GONE = np.uint32(0xFFFFFFFF)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def grow_rows(array):
    """Return a copy of a 2-d array with room for a quarter as many lines again, the rest zero."""
    n = array.shape[0]
    out = np.zeros((n + n // 4 + 16, array.shape[1]), array.dtype)
    for i in range(n):
        for j in range(array.shape[1]):
            out[i, j] = array[i, j]
    return out


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def grow_hist(array):
    """Return a copy of the histograms with room for a quarter as many again, the rest zero."""
    n = array.shape[0]
    out = np.zeros((n + n // 4 + 16, array.shape[1], array.shape[2], array.shape[3]), array.dtype)
    copy_hist(array, out)
    return out


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def copy_hist(source, target):
    """Copy histograms over the first of others of the same shape."""
    old, new = source.reshape(source.size), target.reshape(target.size)
    for i in range(len(old)):
        new[i] = old[i]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def clear_hist(target, found):
    """Zero the first of the features of one histogram (F, bins, channels)."""
    flat = target.reshape(target.size)
    for i in range(found * target.shape[1] * target.shape[2]):
        flat[i] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def keep_features(hf, slot, picked):
    """Note which features a stored histogram is of."""
    for j in range(hf.shape[1]):
        hf[slot, j] = picked[j, 0]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def take_slot(hf, hist, meta):
    """Return (hf, hist, slot) with a zeroed histogram slot."""
    slot = meta[FREE_HIST]
    if slot >= 0:
        meta[FREE_HIST] = hf[slot, 0]
        hf[slot, 0] = 0
        return hf, hist, slot
    slot = meta[N_HIST]
    if slot == hf.shape[0]:
        hf = grow_rows(hf)
        hist = grow_hist(hist)
    meta[N_HIST] += 1
    return hf, hist, slot


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def free_slot(nodes, hf, hist, meta, node):
    """Zero the histogram of a node and put its slot on the free list."""
    slot = nodes[node, SLOT]
    clear_hist(hist[slot], hist.shape[1])
    for j in range(hf.shape[1]):
        hf[slot, j] = 0
    hf[slot, 0] = meta[FREE_HIST]
    meta[FREE_HIST] = slot
    nodes[node, SLOT] = -1


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def take_pair(nodes, counts, meta):
    """Return (nodes, counts, left child) of a fresh pair of zeroed nodes."""
    left = meta[FREE_NODE]
    if left >= 0:
        meta[FREE_NODE] = nodes[left, 0]
        nodes[left, 0] = 0
        return nodes, counts, left
    left = meta[N_NODES]
    if left + 2 > nodes.shape[0]:
        nodes = grow_rows(nodes)
        counts = grow_rows(counts)
    meta[N_NODES] += 2
    return nodes, counts, left


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def wipe(rows, start, n):
    """Overwrite a segment of rows."""
    for i in range(start, start + n):
        rows[i] = GONE


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def take_rows(rows, meta, n):
    """Return (rows, start) of a free segment for n rows at the end of those in use."""
    start = meta[N_ROWS]
    if start + n > len(rows):
        grown = np.empty(start + n + len(rows) // 4 + 16, np.uint32)
        for i in range(start):
            grown[i] = rows[i]
        wipe(grown, start, len(grown) - start)
        rows = grown
    meta[N_ROWS] += n
    return rows, start


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def free_below(nodes, counts, hf, hist, meta, rows, top, max_depth):
    """Free everything below a node, its rows and its histogram included; the node becomes a leaf without room."""
    stack = np.empty(2 * max_depth + 4, np.int64)
    height = 0
    if nodes[top, SLOT] >= 0:
        free_slot(nodes, hf, hist, meta, top)
    if nodes[top, FEATURE] >= 0:
        stack[0] = nodes[top, CHILD]
        height = 1
    else:
        wipe(rows, nodes[top, START], nodes[top, SIZE])
    while height > 0:
        height -= 1
        left = stack[height]
        for node in range(left, left + 2):
            if nodes[node, SLOT] >= 0:
                free_slot(nodes, hf, hist, meta, node)
            if nodes[node, FEATURE] >= 0:
                stack[height] = nodes[node, CHILD]
                height += 1
            else:
                wipe(rows, nodes[node, START], nodes[node, SIZE])
            for j in range(6):
                nodes[node, j] = 0
            for c in range(counts.shape[1]):
                counts[node, c] = 0
        nodes[left, 0] = meta[FREE_NODE]
        meta[FREE_NODE] = left
    nodes[top, FEATURE] = -1
    nodes[top, BIN] = 0
    nodes[top, ROOM] = 0
    nodes[top, START] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def set_marks(mark, lost, value):
    """Mark rows, or take the marks off again."""
    for i in range(len(lost)):
        mark[lost[i]] = value


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def put(todo, paths, at, node, depth, feature, chosen, path):
    """Note a leaf that is to be built again; returns the lists, which may have grown."""
    if at == len(todo):
        longer = np.empty(at + at // 4 + 16, np.uint64)  # as long as what `grow_rows` gives
        for i in range(at):
            longer[i] = paths[i]
        todo, paths = grow_rows(todo), longer
    todo[at, 0], todo[at, 1], todo[at, 2], todo[at, 3] = node, depth, feature, chosen
    paths[at] = path
    return todo, paths
