"""Rounds of boosting: what the key draws for them, learning a chain of them, and bringing a chain up to date.

Source: spec XL02, X09.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.seeds import Key, unit
from expunge.models.draws import mixed
from expunge.models.forest.trees import interrupts_deferred

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from expunge.models.encoding.grid import Grid
    from expunge.models.kernels.boost import Look, Loss, Rules, Sums, Tree

Rows = npt.NDArray[np.int32]
Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

NOWHERE = np.zeros(0, np.int32)
PHI = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, eq=False)
class Draws:
    """All that the key alone decides.

    Attributes:
        words: keyed word of each round, shape (rounds,).
        looks: what each round looks at.
        bound: an owner is in a round if the owner's draw is at most this.
    """

    words: Words
    looks: tuple[Look, ...]
    bound: np.uint64

    @classmethod
    def of(cls, key: Key, grid: Grid, rounds: int, bound: int, shape: tuple[int, int, int]) -> Draws:
        """Draw for each round; `shape` are columns a round, cuts a column, leaves a tree."""
        words = np.array([key.word(f"round/{r}") for r in range(rounds)], np.uint64)
        names = np.array([key.word(f"column/{name}") for name in grid.names], np.uint64)
        equal = np.array([f.kind in ("nominal", "hashed") for f in grid.features for _ in range(f.width)], bool)
        labels = grid.labels().astype(np.uint64)
        return cls(words, tuple(_look(word, names, labels, equal, shape) for word in words), np.uint64(bound))

    def hits(self, owners: Words) -> Mask:
        """Return in which rounds owners are, shape (rounds, m)."""
        return np.asarray(mixed(owners[None, :] + self.words[:, None]) <= self.bound)


def _look(word: np.uint64, names: Words, labels: Words, equal: Mask, shape: tuple[int, int, int]) -> Look:
    """Return what the round of this word looks at.

    A column that is split by side is cut at the bins whose draws are smallest; of one that is split by equality, each
    bin is drawn into a slot by its label, whichever other bins there are.
    """
    from expunge.models.kernels.boost import Look

    n_columns, n_cuts, n_leaves = shape
    own = mixed(word ^ names)
    columns = np.sort(np.argsort(own, kind="stable")[:n_columns]).astype(np.int32)
    own, labels, equal = own[columns, None], labels[columns], equal[columns]
    drawn = mixed(own + PHI * np.arange(1, labels.shape[1], dtype=np.uint64))
    last = np.sort(drawn, axis=1)[:, min(n_cuts, drawn.shape[1]) - 1]
    slots = np.zeros(labels.shape, np.uint8)
    slots[:, 1:] = np.cumsum(drawn <= last[:, None], axis=1)
    slots[equal] = mixed(own[equal] ^ labels[equal]) % np.uint64(n_cuts + 1)
    dither = mixed(word + PHI * np.arange(1, n_leaves + 1, dtype=np.uint64))
    return Look(columns, slots, equal, unit(dither))


@dataclass(frozen=True, eq=False)
class Records:
    """The encoded records.

    Attributes:
        codes: bins, shape (d, n).
        owners: keyed words of the owners, shape (n,).
        y: each chain's target, shape (chains, n), int64.
    """

    codes: npt.NDArray[np.uint8]
    owners: Words
    y: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[Any]) -> Records:
        """Return these records."""
        return Records(np.ascontiguousarray(self.codes[:, rows]), self.owners[rows], self.y[:, rows].copy())


@dataclass(frozen=True, eq=False)
class Round:
    """One round: its tree, and what decides whether the tree stands when records go.

    Attributes:
        tree: splits and values.
        sums: histograms (empty if they are not kept), leaf sums, totals.
        rows: the records it was learnt from, ascending; those at `gone` included.
        margins: theirs before the round.
        leaf: the leaf that each is in.
        gone: places in `rows` of forgotten records that are still in the histograms, but not in the other sums.
    """

    tree: Tree
    sums: Sums
    rows: Rows
    margins: npt.NDArray[np.int32]
    leaf: npt.NDArray[np.uint8]
    gone: Rows

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        own = (*self.tree, *self.sums, self.rows, self.margins, self.leaf, self.gone)
        return sum(a.nbytes for a in own)


@dataclass(frozen=True, eq=False)
class Trainer:
    """Learns and repairs one chain of rounds.

    Attributes:
        records: the encoded records.
        chain: which of their targets it learns.
        base: the margin before the first round.
        draws: what the key decided.
        loss: how margins become gradients.
        rules: hyper-parameters.
        full: whether rounds keep their histograms.
    """

    records: Records
    chain: int
    base: int
    draws: Draws
    loss: Loss
    rules: Rules
    full: bool

    def learn(self, tick: Callable[[], None]) -> list[Round]:
        """Return the rounds learnt from all records."""
        from expunge.models.kernels.boost_route import add_values, draw_rows

        codes = self.records.codes
        now = np.full(codes.shape[1], self.base, np.int32)
        chain = []
        nobody = np.zeros(len(now), bool)
        for r, (word, look) in enumerate(zip(self.draws.words, self.draws.looks, strict=True)):
            with interrupts_deferred():  # inside a kernel they would surface as another error
                rows = draw_rows(self.records.owners, word, self.draws.bound)
                found, _, _ = self.decided(r, self._empty(look), (rows, now[rows]), nobody, NOWHERE)
                add_values(now, codes, found.tree, look, 1)
            chain.append(self.kept(found))
            tick()
        return chain

    def _empty(self, look: Look) -> Round:
        """Return a round that has learnt from nobody."""
        from expunge.models.kernels.boost import Sums, Tree

        leaves = 1 << self.rules.depth
        hist = np.zeros((leaves - 1, len(look.columns), self.rules.width, 2), np.int64)
        tree = Tree(np.full(leaves - 1, -1, np.int32), np.zeros(leaves - 1, np.int32), np.zeros(leaves, np.int32))
        sums = Sums(hist, np.zeros((leaves, 2), np.int64), np.zeros(2, np.int64))
        return Round(tree, sums, NOWHERE, NOWHERE, np.zeros(0, np.uint8), NOWHERE)

    def decided(
        self, r: int, own: Round, coming: tuple[Rows, Rows], dead: Mask, delta: Rows
    ) -> tuple[Round, int, Mask]:
        """Bring a round of our own up to date: its arrays are written to.

        Args:
            r: which round.
            own: the round, as `flushed` returns it.
            coming: (rows, margins) of records that are new to it.
            dead: which records leave, shape (n,).
            delta: by how much margins differ from those that the round knows, shape (n,), or (0,) where none does.

        Returns:
            The round, what changed (0 nothing, 1 values, 2 splits), and which leaves differ.
        """
        from expunge.models.kernels.boost_repair import absorb, next_change, rebuild, revalue

        codes, y, look, rules = self.records.codes, self.records.y[self.chain], self.draws.looks[r], self.rules
        tree, sums = own.tree, own.sums
        rows, margins = (np.concatenate(pair) for pair in zip((own.rows, own.margins), coming, strict=True))
        leaf = np.concatenate([own.leaf, np.zeros(len(coming[0]), np.uint8)])
        touched, dirty = np.zeros(len(tree.feature), bool), np.zeros(len(tree.value), bool)
        sample, told = (rows, margins, leaf, len(own.rows)), (look, self.loss, rules)
        m, bar = absorb(codes, y, *sample, dead, delta, tree, sums, touched, *told)
        if m < len(rows):
            rows, margins, leaf = rows[:m].copy(), margins[:m].copy(), leaf[:m].copy()
        node = next_change(0, tree, sums.hist, touched, bar, look, rules)
        while node >= 0:
            rebuild(node, codes, y, rows, margins, leaf, tree, sums, touched, dirty, bar, *told)
            node = next_change(node + 1, tree, sums.hist, touched, bar, look, rules)
        split = bool(dirty.any())
        what = max(int(revalue(tree, sums, dirty, look, rules)), 2 * split)
        return Round(tree, sums, rows, margins, leaf, NOWHERE), what, dirty

    def flushed(self, r: int, old: Round) -> Round:
        """Return a round whose arrays are its own, and which holds nothing more of records that are gone."""
        from expunge.models.kernels.boost import Sums, Tree
        from expunge.models.kernels.boost_repair import flush, recount

        codes, y, look = self.records.codes, self.records.y[self.chain], self.draws.looks[r]
        left = np.ones(len(old.rows), bool)
        left[old.gone] = False
        rows, margins, leaf = old.rows[left], old.margins[left], old.leaf[left]
        if not self.full:
            hist = recount(codes, y, rows, margins, leaf, old.tree, look, self.loss, self.rules)
        else:
            hist = old.sums.hist.copy()
            if len(old.gone):
                own = (old.rows, old.margins, old.leaf, old.gone)
                flush(codes, y, *own, old.tree, hist, look, self.loss, self.rules)
        tree = Tree(*(a.copy() for a in old.tree))
        return Round(tree, Sums(hist, old.sums.leaf.copy(), old.sums.total.copy()), rows, margins, leaf, NOWHERE)

    def settled(self, chain: Sequence[Round], place: Rows) -> list[Round]:
        """Return the rounds after the rows were numbered afresh; nothing of records that are gone is left in them."""
        after = []
        for r, old in enumerate(chain):
            clean = self.kept(self.flushed(r, old)) if len(old.gone) else old
            after.append(replace(clean, rows=place[clean.rows]))
        return after

    def kept(self, found: Round) -> Round:
        """Return the round as it is kept: with or without its histograms."""
        if self.full:
            return found
        return replace(found, sums=found.sums._replace(hist=np.zeros((0, *found.sums.hist.shape[1:]), np.int64)))
