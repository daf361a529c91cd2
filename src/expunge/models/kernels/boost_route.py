"""Which records a round is learnt from, and which leaf each record falls into.

Records are sent down a tree by whole columns, a byte a record, so that the loops are vector code.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.draws import mix

BLOCK = 8192


@njit(cache=True, nogil=True)
def draw_rows(owners, word, bound):
    """Return the rows whose owner is drawn: those with mix(owner + word) at most the bound; ascending, int32."""
    out = np.empty(len(owners), np.int32)
    m = 0
    for i in range(len(owners)):
        out[m] = i
        if mix(owners[i] + word) <= bound:
            m += 1
    return out[:m].copy()


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def turn_by_side(column, at, place, limit, turn):
    """Mark the records at one node whose bin is above the limit."""
    for i in range(len(column)):
        turn[i] |= np.uint8((at[i] == place) & (column[i] > limit))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def turn_by_slot(column, at, place, table, slot, turn):
    """Mark the records at one node that are in another slot."""
    for i in range(len(column)):
        turn[i] |= np.uint8((at[i] == place) & (table[column[i]] != slot))


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def descend(at, turn):
    """Go one level down and clear the marks."""
    for i in range(len(at)):
        at[i] = np.uint8(at[i] + at[i] + turn[i])
        turn[i] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def limit_of(table, slot):
    """Return the last bin that goes left at a slot."""
    limit = 0
    for b in range(len(table)):
        if table[b] <= slot:
            limit = b
    return np.uint8(limit)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def route(codes, start, stop, tree, look, needed, depth, at, turn):
    """Set `at` to the leaves of records start … stop - 1; right only below the nodes that are `needed`."""
    n = stop - start
    for i in range(n):
        at[i] = 0
        turn[i] = 0
    for level in range(depth):
        first = (1 << level) - 1
        for place in range(1 << level):
            node = first + place
            j = tree.feature[node]
            if j < 0 or not needed[node]:
                continue
            column = codes[look.columns[j], start:stop]
            if look.equal[j]:
                turn_by_slot(column, at[:n], np.uint8(place), look.slots[j], np.uint8(tree.slot[node]), turn[:n])
            else:
                limit = limit_of(look.slots[j], tree.slot[node])
                turn_by_side(column, at[:n], np.uint8(place), limit, turn[:n])
        descend(at[:n], turn[:n])


@njit(cache=True, nogil=True)
def add_values(margins, codes, tree, look, sign):
    """Add a tree's values (times sign) to the margins of all records."""
    inner = len(tree.feature)
    depth = 0
    while (1 << depth) <= inner:
        depth += 1
    needed = np.zeros(inner, np.bool_)
    above(tree.value, needed)
    at = np.empty(BLOCK, np.uint8)
    turn = np.empty(BLOCK, np.uint8)
    n = codes.shape[1]
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        route(codes, start, stop, tree, look, needed, depth, at, turn)
        for i in range(stop - start):
            margins[start + i] += sign * tree.value[at[i]]


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def above(value, needed):
    """Mark the nodes above leaves whose value is not zero."""
    inner = len(needed)
    for v in range(len(value)):
        if value[v] != 0:
            node = inner + v
            while node > 0:
                node = (node - 1) >> 1
                needed[node] = True
