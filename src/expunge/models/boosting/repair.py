"""Bringing a chain of rounds up to date after records go or come: what did not change is not even copied.

Source: spec X09. A round that a record was in is first asked whether any of its decisions changes; as long as none
does, the record is only marked. From the first change on, the margins that differ are carried through later rounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expunge.models.boosting.rounds import NOWHERE, Draws, Mask, Records, Round, Rows, Trainer

if TYPE_CHECKING:
    from expunge.models.kernels.boost import Look, Tree

FEW = 32
"""At most so many records wait in a round's histograms before they are taken out of them."""


@dataclass(frozen=True, eq=False)
class Change:
    """Which records go and come.

    Attributes:
        rows: the records that leave, ascending, int32.
        hits: in which rounds they are, shape (rounds, m).
        dead: which records leave, shape (n,).
        fresh: the records that come, int32: the last of all.
        fresh_hits: in which rounds these are.
    """

    rows: Rows
    hits: Mask
    dead: Mask
    fresh: Rows
    fresh_hits: Mask

    @classmethod
    def of(cls, records: Records, draws: Draws, rows: npt.NDArray[np.int64], n_old: int) -> Change:
        """Return the change that these rows leave, and that the records from `n_old` on are new."""
        dead = np.zeros(len(records.owners), bool)
        dead[rows] = True
        fresh = np.arange(n_old, len(dead), dtype=np.int32)
        hits, fresh_hits = draws.hits(records.owners[rows]), draws.hits(records.owners[n_old:])
        return cls(rows.astype(np.int32), hits, dead, fresh, fresh_hits)


def repaired(trainer: Trainer, chain: Sequence[Round], change: Change) -> tuple[Round, ...]:
    """Return the rounds after a change of the records: those that would be learnt from the records that are then there.

    Nothing that the chain given holds is written to.
    """
    wave, after = _Wave(trainer, change), list(chain)
    touched = np.concatenate([change.hits, change.fresh_hits], axis=1).sum(axis=1).tolist()
    for r, old in enumerate(chain):
        if touched[r] or len(wave.delta) or len(change.fresh):
            after[r] = wave.pass_over(r, old)
    return tuple(after)


class _Wave:
    """A change on its way through the rounds of a chain: the margins that differ because of it."""

    def __init__(self, trainer: Trainer, change: Change) -> None:
        self.trainer = trainer
        self.change = change
        self.delta = NOWHERE
        self.coming = np.full(len(change.fresh), trainer.base, np.int32)
        self.new_codes = np.ascontiguousarray(trainer.records.codes[:, change.fresh])

    def pass_over(self, r: int, old: Round) -> Round:
        """Return a round as it is after the change, and carry its differences on."""
        from expunge.models.kernels.boost_repair import stirred
        from expunge.models.kernels.boost_route import add_values

        leaving, coming = self.change.rows[self.change.hits[r]], self.change.fresh[self.change.fresh_hits[r]]
        new = old
        if len(coming) or (len(self.delta) and stirred(old.rows, self.delta)):
            new = self._decided(r, old, coming)
        elif len(leaving):
            new = self._spared(r, old, leaving) or self._decided(r, old, coming)
        if len(self.coming):
            add_values(self.coming, self.new_codes, new.tree, self.trainer.draws.looks[r], 1)
        return new

    def _spared(self, r: int, old: Round, leaving: Rows) -> Round | None:
        """Return the round with some records marked as gone, where that changes no decision; else None."""
        from expunge.models.kernels.boost_repair import spared

        us, sums, look = self.trainer, old.sums, self.trainer.draws.looks[r]
        if not us.full or len(old.gone) + len(leaving) > FEW:
            return None
        gone = np.concatenate([old.gone, old.rows.searchsorted(leaving).astype(np.int32)])
        sums = type(sums)(sums.hist, sums.leaf.copy(), sums.total.copy())
        own = (old.rows, old.margins, old.leaf, gone, len(old.gone), old.tree, sums)
        if not spared(us.records.codes, us.records.y[us.chain], *own, look, us.loss, us.rules):
            return None
        return Round(old.tree, sums, old.rows, old.margins, old.leaf, gone)

    def _decided(self, r: int, old: Round, coming: Rows) -> Round:
        """Return the round with every decision up to date."""
        us = self.trainer
        new = (coming, self.coming[self.change.fresh_hits[r]])
        found, what, dirty = us.decided(r, us.flushed(r, old), new, self.change.dead, self.delta)
        if what:
            self._carry(us.draws.looks[r], old.tree, found.tree, dirty, split=what > 1)
        return us.kept(found)

    def _carry(self, look: Look, old: Tree, new: Tree, dirty: Mask, *, split: bool) -> None:
        """Add the difference of two trees to the margins that differ."""
        from expunge.models.kernels.boost_route import add_values

        codes = self.trainer.records.codes
        if not len(self.delta):
            self.delta = np.zeros(codes.shape[1], np.int32)
        if not split:
            add_values(self.delta, codes, new._replace(value=new.value - old.value), look, 1)
            return
        for tree, sign in ((old, -1), (new, 1)):
            add_values(self.delta, codes, tree._replace(value=np.where(dirty, tree.value, np.int32(0))), look, sign)
