"""``Pairs``: how many users took both of two items; integers, so that what is forgotten leaves no trace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from expunge.core.errors import TooLarge
from expunge.models.recommenders.interactions import Change, Ints, Mask, Taken

Counts = npt.NDArray[np.int32]
MAX_ITEMS = 30_000
"""A dense matrix of so many items squared is 3.6 GB of counts."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Counts of pairs of items; a value. What is gone is subtracted when the counts are `settled`.

    Attributes:
        words: the items that are counted, in the order of their bytes: those of `min_raters` users or more.
        place: where each item of the vocabulary is among `words`, shape (v,); -1 for the others.
        counts: shape (d, d): users who took both; on the diagonal, who took the item. Without `pending`.
        raters: shape (d,): users who took the item, now.
        pending: changes of baskets, in places of `words`, that `counts` lacks.
        min_raters: an item of fewer users is cold.
    """

    words: tuple[str, ...]
    place: Ints
    counts: Counts
    raters: Ints
    pending: tuple[Change, ...]
    min_raters: int

    @classmethod
    def of(cls, taken: Taken, min_raters: int) -> Pairs:
        """Count the pairs of all baskets.

        Raises:
            TooLarge: too many items have so many users.
        """
        from expunge.models.kernels.items import count_pairs

        starts, items, _ = taken.baskets()
        raters = np.bincount(items, minlength=len(taken.words))
        words, place = _counted(taken.words, raters >= min_raters)
        if len(words) > MAX_ITEMS:
            raise TooLarge(f"{len(words)} items, at most {MAX_ITEMS}", hint="Raise min_raters.", limit=MAX_ITEMS)
        known = place[items] >= 0
        ends = np.concatenate([[0], np.cumsum(known)])
        counts = np.zeros((len(words), len(words)), np.int32)
        count_pairs(ends[starts], place[items[known]], counts)
        return cls(words, place, counts, raters[place >= 0], (), min_raters)

    @cached_property
    def live(self) -> Mask:
        """Which items have enough users (still), shape (d,)."""
        return np.asarray(self.raters >= self.min_raters)

    def known(self, places: Ints) -> Ints:
        """Return the places among `words` of items of the vocabulary, without those that are not counted."""
        found = self.place[places]
        return found[found >= 0]

    def changed(self, changes: tuple[Change, ...]) -> Pairs:
        """Return the counts after baskets changed (items in places of the vocabulary)."""
        ours = tuple(Change(self.known(c.before), self.known(c.after)) for c in changes)
        raters = self.raters.copy()
        for c in ours:
            raters[c.before] -= 1
            raters[c.after] += 1
        return replace(self, raters=raters, pending=self.pending + ours)

    def settled(self, words: tuple[str, ...]) -> Pairs:
        """Return the same with nothing pending, for a new vocabulary; items that became cold leave."""
        counts = self.counts.copy() if self.pending else self.counts
        for c in self.pending:
            counts[np.ix_(c.before, c.before)] -= 1
            counts[np.ix_(c.after, c.after)] += 1
        live = self.live
        if not live.all():
            counts = counts[np.ix_(live, live)]
        left = [word for word, there in zip(self.words, live.tolist(), strict=True) if there]
        ours, place = _counted(words, np.isin(np.array(words, object), np.array(left, object)))
        return replace(self, words=ours, place=place, counts=counts, raters=self.raters[live], pending=())

    def learned(self, taken: Taken, changes: tuple[Change, ...]) -> Pairs | None:
        """Return settled counts with more interactions; None where an item is no longer cold, so that all is counted.

        Args:
            taken: the interactions of before and after, settled.
            changes: of baskets, in places of the new vocabulary.
        """
        raters = np.bincount(taken.baskets()[1], minlength=len(taken.words))
        words, place = _counted(taken.words, raters >= self.min_raters)
        return replace(self, place=place).changed(changes) if words == self.words else None


def _counted(words: tuple[str, ...], there: Mask) -> tuple[tuple[str, ...], Ints]:
    place = np.where(there, np.cumsum(there) - 1, -1).astype(np.int64)
    return tuple(word for word, t in zip(words, there.tolist(), strict=True) if t), place
