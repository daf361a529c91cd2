"""The trees of a forest: who is in which, how they are built, repaired and read back, and how they are packed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.errors import StoreDamaged
from expunge.core.roles import Progress

if TYPE_CHECKING:
    from expunge.models.kernels.splits import Rules, Table

Rows = npt.NDArray[np.uint32]
Words = npt.NDArray[np.uint64]
REPAIRS = threading.RLock()
"""Held while trees are repaired in place, so that a prediction in another thread waits."""
NONE = np.zeros(0, np.uint32)
_ROOM = threading.local()


class Tables(NamedTuple):
    """What the kernels read.

    Attributes:
        table: the encoded records.
        rules: the hyper-parameters.
        flat: the arrays of both, in the order that the kernels take them.
    """

    table: Table
    rules: Rules
    flat: tuple[npt.NDArray[Any], ...]

    @classmethod
    def of(cls, table: Table, rules: Rules) -> Tables:
        """Return these."""
        return cls(table, rules, (*table, np.array(rules, np.int64)))


@dataclass(eq=False)
class Tree:
    """The arrays of one tree; see ``models/kernels/forest.py``. A repaired tree is another, which takes them over.

    Attributes:
        seal: the digest of its part of the state, once somebody asked for it.
    """

    nodes: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int64]
    hf: npt.NDArray[np.int32]
    hist: npt.NDArray[np.uint16]
    meta: npt.NDArray[np.int64]
    rows: Rows
    seal: list[bytes] = field(default_factory=list, repr=False, compare=False)

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """The arrays, in the order that the kernels take them."""
        return self.nodes, self.counts, self.hf, self.hist, self.meta, self.rows

    def copy(self) -> Tree:
        """Return a tree that shares no storage with this one."""
        nodes, counts, hf, hist, meta, rows = self.arrays
        return Tree(nodes.copy(), counts.copy(), hf.copy(), hist.copy(), meta.copy(), rows.copy())

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(array.nbytes for array in self.arrays)


@contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done (in the main thread; elsewhere interrupts do not arrive)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: arrived.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if arrived:
            signal.raise_signal(signal.SIGINT)


def choose(owner_words: Words, n_trees: int, per_owner: int) -> npt.NDArray[np.int32]:
    """Return the trees of each owner word, shape (n, per_owner)."""
    from expunge.models.kernels.draws import choose_trees

    if per_owner == n_trees:
        return np.broadcast_to(np.arange(n_trees, dtype=np.int32), (len(owner_words), n_trees))
    return np.asarray(choose_trees(owner_words, n_trees, per_owner))


def members(chosen: npt.NDArray[np.int32], n_trees: int) -> list[Rows]:
    """Return the rows of each tree, ascending, from the trees of each row."""
    if chosen.shape[1] == n_trees:
        return [np.arange(len(chosen), dtype=np.uint32)] * n_trees
    order = np.argsort(chosen.ravel().astype(np.uint16), kind="stable")
    ends = np.cumsum(np.bincount(chosen.ravel(), minlength=n_trees)).tolist()
    rows = (order // chosen.shape[1]).astype(np.uint32)
    return [rows[a:b] for a, b in zip([0, *ends], ends, strict=False)]


def touched(rows: npt.NDArray[np.int64], chosen: npt.NDArray[np.int32]) -> dict[int, Rows]:
    """Return tree → the rows among `rows` that are in it; `chosen` holds the trees of each, shape (m, per_owner)."""
    if len(rows) == 1:
        return dict.fromkeys(chosen[0].tolist(), rows.astype(np.uint32))
    order = np.argsort(chosen.ravel(), kind="stable")
    flat = chosen.ravel()[order]
    member = np.repeat(rows.astype(np.uint32), chosen.shape[1])[order]
    cuts = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    return {int(flat[a]): member[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if a < b}


def build(rows: list[Rows], tables: Tables, roots: Words, n_jobs: int, tick: Progress | None) -> list[Tree]:
    """Return a tree for each list of rows, in order, on `n_jobs` threads (no effect on bits)."""
    from joblib import Parallel, delayed

    def one(members: Rows, root: np.uint64) -> Tree:
        sprout = _sprout(members, tables)
        return _trim(_grow(sprout, tables, np.array([[0, 0, -1, 0]]), np.array([root], np.uint64)))

    trees = []
    jobs = Parallel(n_jobs=n_jobs, backend="threading", return_as="generator")
    for tree in jobs(delayed(one)(r, root) for r, root in zip(rows, roots, strict=True)):
        trees.append(tree)
        if tick is not None:
            tick(len(trees), len(rows))
    return trees


def _sprout(members: Rows, tables: Tables) -> Tree:
    """Return a tree that is one leaf, with room for what usually grows."""
    table, rules = tables.table, tables.rules
    n = len(members)
    y = table.y[members].astype(np.int64)
    nodes = np.zeros((16 + n // 4, 6), np.int32)
    nodes[0] = (-1, 0, n, 0, n, -1)
    first = [n, y.sum(), (y * y).sum()] if rules.sums else np.bincount(y, minlength=rules.channels)
    counts = np.zeros((len(nodes), len(first)), np.int64)
    counts[0] = first
    slots = 4 + 2 * n // rules.keep
    hist = np.zeros((slots, rules.max_features, rules.n_bins, rules.channels), np.uint16)
    meta = np.array([1, -1, 0, -1, n], np.int64)
    return Tree(nodes, counts, np.zeros((slots, rules.max_features), np.int32), hist, meta, members.copy())


def _grow(tree: Tree, tables: Tables, todo: npt.NDArray[np.int64], paths: Words) -> Tree:
    """Return the tree whose leaves of `todo` have been built; its arrays are reused."""
    from expunge.models.kernels.forest import build as kernel

    nodes, counts, hf, hist = kernel(*tree.arrays, *tables.flat, todo, paths)
    return Tree(nodes, counts, hf, hist, tree.meta, tree.rows)


def _trim(tree: Tree) -> Tree:
    """Return the tree with little room to spare."""
    nodes, slots = int(tree.meta[0]) + 16, int(tree.meta[2]) + 4
    tree = Tree(tree.nodes[:nodes], tree.counts[:nodes], tree.hf[:slots], tree.hist[:slots], tree.meta, tree.rows)
    return tree.copy()


@contextmanager
def _marks(n: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Give at least n zeros, which are to be zeros again afterwards; kept for this thread's next repair."""
    found = getattr(_ROOM, "marks", None)
    if found is None or len(found) < n:
        found = np.zeros(n, np.uint8)
    _ROOM.marks = None  # where the block fails, nobody knows what stands in them
    yield found
    _ROOM.marks = found


def repair(
    trees: list[Tree], owned: set[int], touched: dict[int, Rows], joins: bool, tables: Tables, roots: Words
) -> None:
    """Replace, in a list of trees, those that rows leave or join by those without or with these rows.

    Args:
        trees: the trees.
        owned: the trees whose arrays may be changed; the others are copied first.
        touched: tree → the rows that leave or join it.
        joins: whether they join.
        tables: what the kernels read.
        roots: the path words of the roots.
    """
    from expunge.models.kernels.repair import repair_tree

    with _marks(len(tables.table.y)) as mark:
        for t, rows in touched.items():
            tree = trees[t] if t in owned else trees[t].copy()
            both = (NONE, rows) if joins else (rows, NONE)
            hf, hist, own, todo, paths = repair_tree(*tree.arrays, *tables.flat, roots[t], *both, mark)
            tree = Tree(tree.nodes, tree.counts, hf, hist, tree.meta, own)
            if len(todo):
                tree = _grow(tree, tables, todo, paths)
            room = 2 * int(tree.meta[4]) > 3 * int(tree.nodes[0, 4]) + 128
            trees[t] = packed(tree) if room else tree


def packed(tree: Tree) -> Tree:
    """Return a copy of the tree without free room."""
    from expunge.models.kernels.trees import pack_tree

    return Tree(*pack_tree(*tree.arrays))


def pack(tree: Tree, place: Rows, renamed: dict[int, npt.NDArray[np.uint8]]) -> Tree:
    """Return a tree whose rows are numbered afresh, without the room that deletions left where it is much.

    Args:
        tree: the tree; untouched.
        place: the new number of each row, and at the end the mark of a gap.
        renamed: feature → old bin → new bin, where categories are numbered afresh.
    """
    seal = [] if renamed else tree.seal
    live = int(np.count_nonzero(tree.nodes[:, 4]))
    if 5 * live < 4 * len(tree.nodes) or 3 * int(tree.nodes[0, 4]) < 2 * len(tree.rows):
        tree = packed(tree)
    tree = Tree(tree.nodes, tree.counts, tree.hf, tree.hist, tree.meta, place[tree.rows.view(np.int32)], seal)
    if renamed:
        nodes, hist = tree.nodes.copy(), tree.hist.copy()
        for feature, table in renamed.items():
            renumber(nodes, hist, tree.hf, feature, table)
        tree = Tree(nodes, tree.counts, tree.hf, hist, tree.meta.copy(), tree.rows)
    return tree


def export(tree: Tree) -> tuple[npt.NDArray[Any], ...]:
    """Return a tree in preorder: feature, bin, right child, counts, and of each histogram its features and itself."""
    from expunge.models.kernels.trees import export_tree

    found: tuple[npt.NDArray[Any], ...] = export_tree(tree.nodes, tree.counts, tree.hf, tree.hist, tree.meta)
    return found


def state(name: str, tree: Tree, names: npt.NDArray[np.int64], sums: bool) -> dict[str, npt.NDArray[Any]]:
    """Return what of a tree predicts, as arrays under ``name/``.

    Args:
        name: the part's name.
        tree: the tree.
        names: the canonical name of each bin (`Grid.labels`).
        sums: whether the target is a number.
    """
    feature, chosen, right, counts, _, _ = export(tree)
    return {
        f"{name}/feature": feature,
        f"{name}/value": np.where(feature >= 0, names[feature, chosen], 0),
        f"{name}/right": right,
        f"{name}/counts": counts if sums else counts.astype(np.int32),
    }


def restore(arrays: Arrays, rows: list[Rows], tables: Tables, labels: npt.NDArray[np.int64]) -> list[Tree]:
    """Return the trees that were saved, their memory included.

    Args:
        arrays: the forest's state and memory.
        rows: the rows of each tree.
        tables: what the kernels read.
        labels: the canonical name of each bin (`Grid.labels`).

    Raises:
        StoreDamaged: an array is missing, or does not fit the records.
    """
    codes_of = [{int(value): code for code, value in enumerate(row)} for row in labels]
    trees = []
    for t, own in enumerate(rows):
        try:
            tree = _restored(arrays, f"tree/{t:05d}", own, tables, codes_of)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            raise StoreDamaged(f"saved tree {t} is not readable") from error
        if tree is None:
            raise StoreDamaged(f"saved tree {t} does not fit the records")
        trees.append(tree)
    return trees


def _restored(arrays: Arrays, name: str, own: Rows, tables: Tables, codes_of: list[dict[int, int]]) -> Tree | None:
    from expunge.models.kernels.trees import import_tree

    rules = tables.rules
    # copies: arrays read from a file may be read-only or of another layout, for which kernels would be compiled again
    feature, value = np.array(arrays[f"{name}/feature"], np.int16), arrays[f"{name}/value"]
    right, saved = np.array(arrays[f"{name}/right"], np.int32), np.array(arrays[f"{name}/counts"], np.int64, order="C")
    hf, hist = np.array(arrays[f"{name}/hist_features"], np.int32), np.array(arrays[f"{name}/hist"], np.uint16)
    named = zip(feature.tolist(), value.tolist(), strict=True)
    chosen = np.array([codes_of[f][v] if f >= 0 else 0 for f, v in named], np.int64)
    inner = np.flatnonzero(feature >= 0)
    if len(right) != len(feature) or (right[inner] <= inner).any() or (right[inner] >= len(feature)).any():
        return None
    if saved.shape != (len(feature), 3 if rules.sums else rules.channels) or not len(feature) % 2:
        return None
    own = own.copy()
    nodes, counts, meta, fits = import_tree(feature, chosen, right, saved, own, *tables.flat)
    shape = (int(meta[2]), rules.max_features, rules.n_bins, rules.channels)
    if not fits or hist.shape != shape or hf.shape != shape[:2]:
        return None
    return Tree(nodes, counts, hf, hist, meta, own)


def renumber(
    nodes: npt.NDArray[np.int32],
    hist: npt.NDArray[Any],
    hf: npt.NDArray[np.int32],
    feature: int,
    table: npt.NDArray[np.uint8],
) -> None:
    """Rename the bins of one nominal feature in a tree by old → new: splits and histograms, in place."""
    here = nodes[:, 0] == feature
    nodes[here, 1] = table[nodes[here, 1]]
    for slot, j in zip(*np.nonzero(hf == feature), strict=True):
        old = hist[slot, j].copy()
        held = np.flatnonzero(old.any(-1))
        hist[slot, j] = 0
        hist[slot, j, table[held]] = old[held]
