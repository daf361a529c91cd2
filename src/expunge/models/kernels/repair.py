"""The canonical tree, repaired: rows leave it and rows join it, and only what that can have changed is decided again.

A node keeps its split unless its sample changed; where it did, the split is chosen again from the counts kept with
the node, or for a small node from its rows. A split that stands passes the rows on to its children. One that moves
along its own feature moves the rows between: they leave one child and join the other. Any other is built again.

Source: spec XL01.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from expunge.models.kernels.draws import LEFT, RIGHT, bucket, draw_sample, mix, rate, walk_of
from expunge.models.kernels.forest import count_in, is_final, partition
from expunge.models.kernels.pool import (
    BIN,
    CHILD,
    FEATURE,
    GONE,
    ROOM,
    SIZE,
    SLOT,
    START,
    clear_hist,
    free_below,
    free_slot,
    keep_features,
    put,
    set_marks,
    take_rows,
    take_slot,
)
from expunge.models.kernels.scores import add_sum
from expunge.models.kernels.splits import (
    Table,
    as_pairs,
    best_split,
    decide,
    make_scratch,
    measure_spans,
    pick,
    rules_of,
)

FEW = 8
"""Rows are moved between children where they are less than one in this many; otherwise both are built again."""
MANY = 12
"""A node is built again where more than one in this many of its rows leave or join: to repair it would cost more."""


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def collect(nodes, rows, top, mark, out, max_depth):
    """Copy the rows below a node that are not marked to `out`; return how many."""
    stack = np.empty(max_depth + 4, np.int64)
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
            out[m] = rows[i]
            m += 1 - mark[rows[i]]
    return m


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def edit_leaf(nodes, rows, meta, leaf, lost, gained, mark):
    """Take marked rows out of a leaf and put new ones in; returns the rows, which may have grown."""
    start, n = np.int64(nodes[leaf, START]), np.int64(nodes[leaf, SIZE])
    m = start + n
    if len(lost) > 0:
        m = start
        for i in range(start, start + n):
            row = rows[i]
            rows[m] = row
            m += 1 - mark[row]
        for i in range(m, start + n):
            rows[i] = GONE
    kept = m - start
    size = kept + len(gained)
    if size > nodes[leaf, ROOM]:
        rows, new = take_rows(rows, meta, size + size // 4 + 2)
        for i in range(kept):
            rows[new + i] = rows[start + i]
            rows[start + i] = GONE
        start = new
        nodes[leaf, START] = new
        nodes[leaf, ROOM] = size + size // 4 + 2
    for i in range(len(gained)):
        rows[start + kept + i] = gained[i]
    nodes[leaf, SIZE] = size
    return rows


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def to_leaf(nodes, counts, hf, hist, meta, rows, node, kept, n, max_depth):
    """Turn the subtree of a node into a leaf that holds the first n of the rows `kept`; returns the rows."""
    free_below(nodes, counts, hf, hist, meta, rows, node, max_depth)
    rows, start = take_rows(rows, meta, n)
    for i in range(n):
        rows[start + i] = kept[i]
    nodes[node, START] = start
    nodes[node, SIZE] = n
    nodes[node, ROOM] = n
    return rows


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def update(hist, feats, changed, sign, path, exponent, codes, y, h, rules):
    """Add the sampled ones of these rows to a histogram, or take them out; return how many there were."""
    bound = rate(exponent, rules.sample)
    hit = 0
    for i in range(len(changed)):
        row = changed[i]
        if exponent > 0 and mix(h[row] ^ path) > bound:
            continue
        hit += 1
        target = y[row]
        for j in range(rules.max_features):
            f = feats[j]
            if f < 0:
                break
            b = codes[row, np.uint64(f)]
            if rules.sums:
                add_sum(hist[j], b, sign, sign * np.int64(target))
            else:
                hist[j, b, target] += sign
    return hit


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def find_witness(nodes, rows, top, mark, path, bound, h, max_depth):
    """Return a sampled row below a node that is not marked; -1 if there is none."""
    stack = np.empty(max_depth + 4, np.int64)
    stack[0] = top
    height = 1
    while height > 0:
        height -= 1
        node = stack[height]
        if nodes[node, FEATURE] >= 0:
            stack[height] = nodes[node, CHILD] + 1
            stack[height + 1] = nodes[node, CHILD]
            height += 2
            continue
        for i in range(nodes[node, START], nodes[node, START] + nodes[node, SIZE]):
            row = rows[i]
            if mark[row] == 0 and mix(h[row] ^ path) <= bound:
                return np.int64(row)
    return np.int64(-1)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def revives(nodes, rows, node, feats, gained, mark, path, exponent, table, rules):
    """Say whether rows that join a node may vary a feature that was skipped there because it was constant."""
    at, stride = walk_of(path, rules.prime)
    bound = rate(exponent, rules.sample)
    witness = np.int64(-1)
    found = 0
    for _ in range(rules.prime):
        place = at
        at += stride
        if at >= rules.prime:
            at -= rules.prime
        if place >= len(table.order):
            continue
        f = table.order[place]
        if feats[found] == f:
            found += 1
            if found == rules.max_features:
                return False
            continue
        if witness < 0:
            witness = find_witness(nodes, rows, node, mark, path, bound, table.h, rules.max_depth)
            if witness < 0:
                return True
        for i in range(len(gained)):
            row = gained[i]
            if table.codes[row, f] != table.codes[witness, f] and mix(table.h[row] ^ path) <= bound:
                return True
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def is_few(hist, picked, old, new, feature, rules):
    """Say whether few rows lie between two thresholds of a feature, as far as the node's histogram tells."""
    if old == new:
        return True
    j = 0
    while picked[j, 0] != feature:
        j += 1
    between = np.int64(0)
    total = np.int64(0)
    for b in range(rules.n_bins):
        here = np.int64(0)
        for c in range(1 if rules.sums else rules.channels):
            here += hist[j, b, c]
        total += here
        if min(old, new) < b <= max(old, new):
            between += here
    return between * FEW < total


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def move_rows(nodes, rows, node, new, lost, gained, arena, top, table, mark, buffer, max_depth):
    """List in `arena` from `top` on what leaves and joins the children of a node whose threshold moves to `new`.

    Returns the arena, which may have grown, and the five ends of the four lists: left lost, right lost, left gained,
    right gained.
    """
    feature, old = np.int64(nodes[node, FEATURE]), np.int64(nodes[node, BIN])
    grows = new > old
    side = np.int64(nodes[node, CHILD]) + (1 if grows else 0)
    set_marks(mark, lost, np.uint8(1))
    m = collect(nodes, rows, side, mark, buffer, max_depth)
    set_marks(mark, lost, np.uint8(0))
    moved = 0
    for i in range(m):
        b = table.codes[buffer[i], feature]
        buffer[moved] = buffer[i]
        moved += 1 if (b <= new) == grows else 0
    need = top + len(lost) + len(gained) + 2 * moved + 1
    if need > len(arena):
        grown = np.empty(need + len(arena), np.uint32)
        for i in range(top):
            grown[i] = arena[i]
        arena = grown
    ends = np.empty(5, np.int64)
    ends[0] = top
    at = top
    for part in range(4):
        right = part % 2 == 1
        joins = part >= 2
        whole = gained if joins else lost
        cut = new if joins else old
        for i in range(len(whole)):
            arena[at] = whole[i]
            at += 1 if (table.codes[whole[i], feature] > cut) == right else 0
        if joins == (right != grows):
            for i in range(moved):
                arena[at] = buffer[i]
                at += 1
        ends[part + 1] = at
    return arena, ends


@njit(cache=True, nogil=True)
def repair_tree(
    nodes, counts, hf, hist, meta, rows, codes, y, h, nominal, names, order, numbers, root_path, lost, gained, mark
):
    """Take rows out of a tree and put others in (uint32 lists).

    `mark` (n,) uint8 is zero, and is zero again afterwards. Returns the arrays that may have grown, and which leaves
    are to be built again, for `build`. Then the tree equals, node for node, the one built from its new rows.
    """
    table, rules = Table(codes, y, h, nominal, names, order), rules_of(numbers)
    deep, keep = rules.max_depth, rules.keep
    scratch = make_scratch(rules, nodes[0, SIZE] + len(gained) + 1, hist)
    picked, sampled = scratch.picked, scratch.sampled
    buffer = np.empty(len(sampled), np.uint32)
    constant = np.zeros(len(table.names), np.bool_)
    todo = np.empty((8, 4), np.int64)
    todo_paths = np.empty(8, np.uint64)
    n_todo = np.int64(0)
    arena = np.empty(len(lost) + len(gained) + 16, np.uint32)
    for i in range(len(lost)):
        arena[i] = lost[i]
    for i in range(len(gained)):
        arena[len(lost) + i] = gained[i]
    stack = np.zeros((2 * deep + 4, 6), np.int64)  # node, depth, and where its lost and its gained rows start and end
    paths = np.zeros(2 * deep + 4, np.uint64)
    stack[0, 3] = stack[0, 4] = len(lost)
    stack[0, 5] = len(lost) + len(gained)
    paths[0] = root_path
    height = 1
    while height > 0:
        height -= 1
        node, depth, path = stack[height, 0], stack[height, 1], paths[height]
        a, b, c, e = stack[height, 2], stack[height, 3], stack[height, 4], stack[height, 5]
        away, new = arena[a:b], arena[c:e]
        n_old = np.int64(nodes[node, SIZE])
        n = n_old - len(away) + len(new)
        held = counts[node]
        for i in range(len(away)):
            count_in(held, y[away[i]], np.int64(-1), rules.sums)
        for i in range(len(new)):
            count_in(held, y[new[i]], np.int64(1), rules.sums)
        leaf = nodes[node, FEATURE] < 0
        final = is_final(held, n, depth, rules)
        if leaf and final:
            set_marks(mark, away, np.uint8(1))
            rows = edit_leaf(nodes, rows, meta, node, away, new, mark)
            set_marks(mark, away, np.uint8(0))
            continue
        slot = np.int64(nodes[node, SLOT])
        exponent = bucket(n_old, rules.sample)
        feature, chosen = np.int64(nodes[node, FEATURE]), np.int64(nodes[node, BIN])
        few = listed = False
        found = 0
        counted = slot >= 0 and n > keep and exponent == bucket(n, rules.sample) and not final
        counted = counted and MANY * (len(away) + len(new)) < n
        if counted:
            own, feats = hist[slot], hf[slot]
            pairs = as_pairs(own)
            hit = update(own, feats, away, np.int64(-1), path, exponent, codes, y, h, rules)
            joined = np.int64(0)
            if len(new) > 0:
                joined += update(own, feats, new, np.int64(1), path, exponent, codes, y, h, rules)
            if hit + joined > 0:
                for j in range(rules.max_features):
                    picked[j, 0] = feats[j]
                found, again = measure_spans(own, pairs, rules, picked)
                if joined > 0 and not again:
                    set_marks(mark, away, np.uint8(1))
                    again = revives(nodes, rows, node, feats, new, mark, path, exponent, table, rules)
                    set_marks(mark, away, np.uint8(0))
                counted = not again
                if counted:
                    feature, chosen = best_split(own, pairs, found, path, depth, nominal, names, rules, scratch)
                    few = feature == nodes[node, FEATURE] and is_few(
                        own, picked, nodes[node, BIN], chosen, feature, rules
                    )
        if not counted:
            listed = True
            found = 0
            s = np.int64(0)
            set_marks(mark, away, np.uint8(1))
            collect(nodes, rows, node, mark, buffer, deep)
            set_marks(mark, away, np.uint8(0))
            for i in range(len(new)):
                buffer[n - len(new) + i] = new[i]
            if not leaf and not final and MANY * (len(away) + len(new)) < n:
                s = draw_sample(buffer, np.int64(0), n, path, h, rules.sample, sampled)
                if s > 0:
                    # not a leaf here: nothing is marked as constant
                    found = pick(sampled, s, path, codes, order, rules, constant, leaf, picked)
            if found == 0:
                rows = to_leaf(nodes, counts, hf, hist, meta, rows, node, buffer, n, deep)
                if not final:
                    todo, todo_paths = put(todo, todo_paths, n_todo, node, depth, np.int64(-1), np.int64(-1), path)
                    n_todo += 1
                continue
            own = scratch.hist
            if n > keep:
                if slot < 0:
                    hf, hist, slot = take_slot(hf, hist, meta)
                    nodes[node, SLOT] = slot
                else:
                    clear_hist(hist[slot], rules.max_features)
                keep_features(hf, slot, picked)
                own = hist[slot]
            elif slot >= 0:
                free_slot(nodes, hf, hist, meta, node)
                slot = np.int64(-1)
            feature, chosen = decide(sampled, s, found, path, depth, table, rules, scratch, own)
            few = feature == nodes[node, FEATURE] and is_few(own, picked, nodes[node, BIN], chosen, feature, rules)
            if n <= keep:
                clear_hist(scratch.hist, found)
        same = feature == nodes[node, FEATURE] and chosen == nodes[node, BIN]
        if not same and not (few and not nominal[feature]):
            if not listed:
                set_marks(mark, away, np.uint8(1))
                collect(nodes, rows, node, mark, buffer, deep)
                set_marks(mark, away, np.uint8(0))
                for i in range(len(new)):
                    buffer[n - len(new) + i] = new[i]
            nodes[node, SLOT] = -1  # the histogram stays with the node while the subtree below it goes
            rows = to_leaf(nodes, counts, hf, hist, meta, rows, node, buffer, n, deep)
            nodes[node, SLOT] = slot
            todo, todo_paths = put(todo, todo_paths, n_todo, node, depth, feature, chosen, path)
            n_todo += 1
            continue
        nodes[node, SIZE] = n
        left = np.int64(nodes[node, CHILD])
        if same:
            b_left = a + partition(arena, a, b - a, codes, feature, chosen, nominal[feature], sampled)
            e_left = c
            if e > c:
                e_left += partition(arena, c, e - c, codes, feature, chosen, nominal[feature], sampled)
            ends = (a, b_left, b, c, e_left, e)
        else:
            arena, at = move_rows(nodes, rows, node, chosen, away, new, arena, max(b, e), table, mark, buffer, deep)
            nodes[node, BIN] = chosen
            ends = (at[0], at[1], at[2], at[2], at[3], at[4])
        for side in range(2):
            if ends[side] < ends[side + 1] or ends[side + 3] < ends[side + 4]:
                stack[height, 0], stack[height, 1] = left + side, depth + 1
                stack[height, 2], stack[height, 3] = ends[side], ends[side + 1]
                stack[height, 4], stack[height, 5] = ends[side + 3], ends[side + 4]
                paths[height] = mix(path ^ (RIGHT if side else LEFT))
                height += 1
    return hf, hist, rows, todo[:n_todo], todo_paths[:n_todo]
