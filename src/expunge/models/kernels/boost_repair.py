"""One round without some records, with others, and with other margins: decides again only what these can have changed.

Source: spec X09. Where we go further: after a decision has changed, later rounds are not replayed as a whole; only the
records whose margins differ are moved in their histograms, and only the nodes whose best split differs are built anew.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.boost import (
    COUNT,
    bar_of,
    best_split,
    combine,
    empty_below,
    gather,
    grow,
    leaf_value,
    pull,
    square,
)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def pick(rows, places):
    """Return the rows at these places."""
    out = np.empty(len(places), np.int32)
    for i in range(len(places)):
        out[i] = rows[places[i]]
    return out


@njit(cache=True, nogil=True)
def stirred(rows, delta):
    """Say whether any of these records has another margin than before."""
    for i in range(len(rows)):
        if delta[rows[i]] != 0:
            return True
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def find_changes(y, rows, margins, n_old, dead, delta, total, loss, places, pulls):
    """List the records whose part in the sums changes, and by how much; returns how many.

    Records from `n_old` on are new, those marked `dead` leave, others may have moved by `delta`: then their margins
    become the new ones.
    """
    k = 0
    for i in range(len(rows)):
        row = rows[i]
        old_g, old_p = np.int64(0), np.int64(0)
        g, p = np.int64(0), np.int64(0)
        if i < n_old:
            if not dead[row] and (len(delta) == 0 or delta[row] == 0):
                continue
            old_g, old_p = pull(margins[i], y[row], loss)
        if not dead[row]:
            if i < n_old:
                margins[i] += delta[row]
            g, p = pull(margins[i], y[row], loss)
        total[0] += (p & COUNT) - (old_p & COUNT)
        total[1] += square(g) - square(old_g)
        if g != old_g or p != old_p:
            places[k] = i
            pulls[k, 0] = g - old_g
            pulls[k, 1] = p - old_p
            k += 1
    return k


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def walk(seen, tree, look, depth):
    """Return the leaf of one record from its slots, shape (c,)."""
    node = 0
    for level in range(depth):
        j = tree.feature[node]
        if j < 0:
            return (node + 1 - (1 << level)) << (depth - level)
        s = seen[j]
        left = (s == tree.slot[node]) if look.equal[j] else (s <= tree.slot[node])
        node = 2 * node + (1 if left else 2)
    return node + 1 - (1 << depth)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def deepest(leaf, tree, touched, depth):
    """Return the deepest inner node above a leaf; mark it and the nodes on the way to it."""
    node = 0
    for level in range(depth):
        touched[node] = True
        if tree.feature[node] < 0 or level + 1 == depth:
            break
        node = 2 * node + 1 + ((leaf >> (depth - 1 - level)) & 1)
    return node


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def add_change(hist, seen, g, p):
    """Add a record's change to a histogram (c, width, 2)."""
    for j in range(hist.shape[0]):
        s = seen[j]
        hist[j, s, 0] += g
        hist[j, s, 1] += p


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def add_up(tree, hist, touched):
    """Make the histograms of touched nodes that have children the sums of theirs."""
    half = len(tree.feature) // 2
    for v in range(half):
        node = half - 1 - v
        if not touched[node] or tree.feature[node] < 0:
            continue
        combine(hist[node], hist[2 * node + 1], hist[2 * node + 2], np.int64(1))


@njit(cache=True, nogil=True)
def flush(codes, y, rows, margins, leaf, gone, tree, hist, look, loss, rules):
    """Take the records at the places `gone` out of the histograms, in place."""
    touched = np.zeros(len(tree.feature), np.bool_)
    seen = gather(codes, pick(rows, gone), look)
    for i in range(len(gone)):
        at = gone[i]
        g, p = pull(margins[at], y[rows[at]], loss)
        add_change(hist[deepest(np.int64(leaf[at]), tree, touched, rules.depth)], seen[i], -g, -p)
    add_up(tree, hist, touched)


@njit(cache=True, nogil=True)
def recount(codes, y, rows, margins, leaf, tree, look, loss, rules):
    """Return the histograms of a round, counted from its records."""
    hist = np.zeros((len(tree.feature), len(look.columns), rules.width, 2), np.int64)
    touched = np.zeros(len(tree.feature), np.bool_)
    seen = gather(codes, rows, look)
    for i in range(len(rows)):
        g, p = pull(margins[i], y[rows[i]], loss)
        add_change(hist[deepest(np.int64(leaf[i]), tree, touched, rules.depth)], seen[i], g, p)
    add_up(tree, hist, touched)
    return hist


@njit(cache=True, nogil=True)
def spared(codes, y, rows, margins, leaf, gone, n_known, tree, sums, look, loss, rules):
    """Say whether a round stays as it is without the records at the places `gone`; then its leaf sums are up to date.

    The first `n_known` of them were found to change nothing before: they are still in the histograms, which are only
    read here, but no longer in the leaf sums.
    """
    depth = rules.depth
    touched = np.zeros(len(tree.feature), np.bool_)
    pulls = np.empty((len(gone), 2), np.int64)
    bar = bar_of(sums.total, loss, rules)
    for i in range(len(gone)):
        at = gone[i]
        pulls[i, 0], pulls[i, 1] = pull(margins[at], y[rows[at]], loss)
        if i < n_known:
            continue
        deepest(np.int64(leaf[at]), tree, touched, depth)
        sums.leaf[leaf[at], 0] -= pulls[i, 0]
        sums.leaf[leaf[at], 1] -= pulls[i, 1]
        sums.total[0] -= 1
        sums.total[1] -= square(pulls[i, 0])
    if bar_of(sums.total, loss, rules) != bar:
        return False
    for i in range(n_known, len(gone)):
        v = leaf[gone[i]]
        if leaf_value(sums.leaf[v, 0], sums.leaf[v, 1], look.dither[v], rules) != tree.value[v]:
            return False
    seen = gather(codes, pick(rows, gone), look)
    scratch = np.zeros(sums.hist.shape[1:], np.int64)
    node = 0
    for level in range(depth):
        for place in range(1 << level):
            if touched[node]:
                combine(scratch, sums.hist[node], scratch, np.int64(0))
                for i in range(len(gone)):
                    if (leaf[gone[i]] >> (depth - level)) == place:
                        add_change(scratch, seen[i], -pulls[i, 0], -pulls[i, 1])
                j, slot = best_split(scratch, bar, look, rules)
                if j != tree.feature[node] or slot != tree.slot[node]:
                    return False
            node += 1
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def drop_dead(rows, margins, leaf, dead):
    """Close the gaps of dead records; returns how many are left."""
    m = 0
    for i in range(len(rows)):
        if not dead[rows[i]]:
            rows[m] = rows[i]
            margins[m] = margins[i]
            leaf[m] = leaf[i]
            m += 1
    return m


@njit(cache=True, nogil=True)
def rebuild(node, codes, y, rows, margins, leaf, tree, sums, touched, dirty, bar, look, loss, rules):
    """Build the subtree of a node afresh from the records in it; its leaves become dirty, nothing below is touched."""
    level = np.int64(0)
    while (2 << level) <= node + 1:
        level += 1
    shift = rules.depth - level
    place = node + 1 - (1 << level)
    own = np.empty(len(rows), np.int32)
    k = np.int64(0)
    for i in range(len(rows)):
        own[k] = i
        if (leaf[i] >> shift) == place:
            k += 1
    own = own[:k]
    below = np.empty(k, np.int32)
    pulls = np.empty((k, 2), np.int64)
    order = np.empty(k, np.int32)
    for i in range(k):
        below[i] = rows[own[i]]
        pulls[i, 0], pulls[i, 1] = pull(margins[own[i]], y[below[i]], loss)
        order[i] = i
    found = np.empty(k, np.uint8)
    empty_below(tree, sums, touched, node, level, rules.depth)
    grow(node, level, order, k, gather(codes, below, look), pulls, tree, sums, found, bar, look, rules)
    for i in range(k):
        leaf[own[i]] = found[i]
    for v in range(place << shift, (place + 1) << shift):
        dirty[v] = True


@njit(cache=True, nogil=True)
def next_change(node, tree, hist, touched, bar, look, rules):
    """Return the first touched node, from this one on, whose best split is another than the tree's; -1 if none."""
    for v in range(node, len(touched)):
        if touched[v]:
            j, slot = best_split(hist[v], bar, look, rules)
            if j != tree.feature[v] or slot != tree.slot[v]:
                return v
    return np.int64(-1)


@njit(cache=True, nogil=True)
def revalue(tree, sums, dirty, look, rules):
    """Bring the values of the leaves up to date; returns whether any changed."""
    changed = False
    for v in range(len(tree.value)):
        value = leaf_value(sums.leaf[v, 0], sums.leaf[v, 1], look.dither[v], rules)
        if value != tree.value[v]:
            tree.value[v] = value
            dirty[v] = True
            changed = True
    return changed


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def reach(tree, touched):
    """Mark every node that records reach."""
    touched[0] = True
    for node in range(len(touched) // 2):
        if touched[node] and tree.feature[node] >= 0:
            touched[2 * node + 1] = True
            touched[2 * node + 2] = True


@njit(cache=True, nogil=True)
def absorb(codes, y, rows, margins, leaf, n_old, dead, delta, tree, sums, touched, look, loss, rules):
    """Bring the sums of a round up to date, in place, and mark the touched nodes; returns (records left, least gain).

    Args:
        codes: bins, shape (d, n).
        y: targets, shape (n,), int64.
        rows: the sampled records, shape (m,), int32; new ones at the end.
        margins: theirs before this round as the round knows them (of new ones: as they are now), int32.
        leaf: theirs, uint8; of new ones anything.
        n_old: how many of `rows` are not new.
        dead: which records leave, shape (n,).
        delta: by how much margins differ from those known, shape (n,) int32; or shape (0,) where none does.
        tree: the round's tree.
        sums: its sums.
        touched: marks of the inner nodes; none is set.
        look: what the round looks at.
        loss: how margins become gradients.
        rules: hyper-parameters.
    """
    m = len(rows)
    places = np.empty(m, np.int32)
    pulls = np.empty((m, 2), np.int64)
    before = bar_of(sums.total, loss, rules)
    k = find_changes(y, rows, margins, n_old, dead, delta, sums.total, loss, places, pulls)
    bar = bar_of(sums.total, loss, rules)
    seen = gather(codes, pick(rows, places[:k]), look)
    for i in range(k):
        at = places[i]
        if at >= n_old:
            leaf[at] = walk(seen[i], tree, look, rules.depth)
        v = np.int64(leaf[at])
        sums.leaf[v, 0] += pulls[i, 0]
        sums.leaf[v, 1] += pulls[i, 1]
        add_change(sums.hist[deepest(v, tree, touched, rules.depth)], seen[i], pulls[i, 0], pulls[i, 1])
    add_up(tree, sums.hist, touched)
    if bar != before:
        reach(tree, touched)
    return drop_dead(rows, margins, leaf, dead), bar
