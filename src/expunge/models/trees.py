"""The trees of a forest: who is in which, how they are built and read back, and how categories are renumbered."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.errors import StoreDamaged
from expunge.core.roles import Progress

if TYPE_CHECKING:
    from expunge.models.kernels.splits import Rules, Table

Rows = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Tree:
    """The arrays of one tree; see ``models/kernels/forest.py``."""

    nodes: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]
    hf: npt.NDArray[np.int32]
    hist: npt.NDArray[np.uint16]
    meta: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]

    def copy(self) -> Tree:
        """Return a tree that shares no storage with this one."""
        return Tree(
            self.nodes.copy(),
            self.counts.copy(),
            self.hf.copy(),
            self.hist.copy(),
            self.meta.copy(),
            self.rows.copy(),
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(a.nbytes for a in (self.nodes, self.counts, self.hf, self.hist, self.meta, self.rows))


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

    if not len(owner_words):
        return np.zeros((0, per_owner), np.int32)
    unique, which = np.unique(owner_words, return_inverse=True)
    return np.asarray(choose_trees(unique, n_trees, per_owner)[which])


def members(chosen: npt.NDArray[np.int32], n_trees: int) -> list[Rows]:
    """Return the rows of each tree, ascending, from the trees of each row."""
    order = np.argsort(chosen.ravel(), kind="stable")
    ends = np.searchsorted(chosen.ravel()[order], np.arange(n_trees + 1))
    rows = (order // chosen.shape[1]).astype(np.int32)
    return [rows[a:b] for a, b in zip(ends, ends[1:], strict=False)]


def touched(rows: npt.NDArray[np.int64], chosen: npt.NDArray[np.int32]) -> dict[int, Rows]:
    """Return tree → the rows among `rows` that are in it; `chosen` holds the trees of each, shape (m, per_owner)."""
    if len(rows) == 1:
        one = rows.astype(np.int32)
        return {t: one.copy() for t in chosen[0].tolist()}
    order = np.argsort(chosen.ravel(), kind="stable")
    flat = chosen.ravel()[order]
    member = np.repeat(rows.astype(np.int32), chosen.shape[1])[order]
    cuts = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    return {int(flat[a]): member[a:b] for a, b in zip(cuts, cuts[1:], strict=False) if a < b}


def build(
    rows: list[Rows], tables: tuple[Table, Rules], roots: Words, n_jobs: int, tick: Progress | None
) -> list[Tree]:
    """Return a tree for each list of rows, in order, on `n_jobs` threads (no effect on bits)."""
    from joblib import Parallel, delayed

    from expunge.models.kernels.forest import fit_tree

    def one(members: Rows, root: np.uint64) -> Tree:
        own = members.copy()
        nodes, counts, hf, hist, meta = fit_tree(own, *tables, root)
        return Tree(nodes, counts, hf, hist, meta, own)

    trees = []
    jobs = Parallel(n_jobs=n_jobs, backend="threading", return_as="generator")
    for tree in jobs(delayed(one)(r, root) for r, root in zip(rows, roots, strict=True)):
        trees.append(tree)
        if tick is not None:
            tick(len(trees), len(rows))
    return trees


def restore(arrays: Arrays, rows: list[Rows], tables: tuple[Table, Rules], labels: npt.NDArray[np.int64]) -> list[Tree]:
    """Return the trees that were saved, their memory included.

    Args:
        arrays: the forest's state and memory.
        rows: the rows of each tree.
        tables: what the kernels read.
        labels: the canonical name of each bin (`Grid.labels`).

    Raises:
        StoreDamaged: an array is missing, or does not fit the records.
    """
    from expunge.models.kernels.trees import import_tree

    codes_of = [{int(value): code for code, value in enumerate(row)} for row in labels]
    trees = []
    for t, own in enumerate(rows):
        name = f"tree/{t:05d}"
        try:
            # copies: arrays read from a file may be read-only, for which the kernels would be compiled again
            feature, value = np.array(arrays[f"{name}/feature"]), arrays[f"{name}/value"]
            named = zip(feature.tolist(), value.tolist(), strict=True)
            chosen = np.array([codes_of[f][v] if f >= 0 else 0 for f, v in named], np.int64)
            right, counts = np.array(arrays[f"{name}/right"]), np.array(arrays[f"{name}/counts"])
            nodes, counts, meta, fits = import_tree(feature, chosen, right, counts, own, *tables)
            hf, hist = arrays[f"{name}/hist_features"], arrays[f"{name}/hist"]
        except (KeyError, IndexError, ValueError) as error:
            raise StoreDamaged(f"saved tree {t} is not readable") from error
        if not fits or len(hf) != meta[2] or len(hist) != meta[2]:
            raise StoreDamaged(f"saved tree {t} does not fit the records")
        trees.append(Tree(nodes, counts, hf.copy(), hist.copy(), meta, own))
    return trees


def renumber(
    nodes: npt.NDArray[np.int32],
    hist: npt.NDArray[np.uint16],
    hf: npt.NDArray[np.int32],
    feature: int,
    old: npt.NDArray[np.uint8],
    new: npt.NDArray[np.uint8],
) -> None:
    """Rename the bins of one nominal feature in a tree: splits and histograms, in place."""
    table = np.zeros(hist.shape[2], np.int64)
    table[old] = new
    here = nodes[:, 0] == feature
    nodes[here, 1] = table[nodes[here, 1]]
    present = np.unique(old)
    for slot, j in zip(*np.nonzero(hf == feature), strict=True):
        moved = np.zeros_like(hist[slot, j])
        moved[table[present]] = hist[slot, j][present]
        hist[slot, j] = moved
