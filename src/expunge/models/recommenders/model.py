"""``ItemsModel``: the model of a recommender on counts of pairs; what a deletion leaves to do is done when read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity
from expunge.core.seeds import Key
from expunge.models.recommenders.answers import Shelf, interaction_losses, recommended
from expunge.models.recommenders.interactions import Ints, Taken, names_of
from expunge.models.recommenders.inverse import Inverse
from expunge.models.recommenders.pairs import Pairs

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress


MANY = 256
"""From so many corrections on, solving anew is faster."""


@dataclass(frozen=True, eq=False)
class Standing:
    """What a model knows at one moment; a value.

    Attributes:
        taken: the interactions.
        pairs: the counts.
        inverse: P, where it was solved; None = not yet, or there is none.
    """

    taken: Taken
    pairs: Pairs
    inverse: Inverse | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing of forgotten records is left, and P is the solution for the counts."""
        return not self.pairs.pending and bool(self.taken.alive.all())

    def settle(self) -> Standing:
        """Return the same with nothing pending; P is kept where the counts did not change."""
        if self.settled:
            return self
        taken = self.taken.settled()
        inverse = None if self.pairs.pending else self.inverse
        return Standing(taken, self.pairs.settled(taken.words), inverse)

    def without(self, ids: Iterable[Id]) -> Standing:
        """Return what is known without these records.

        Raises:
            UnknownRecord, NothingLeft: nothing was changed.
        """
        taken, changes = self.taken.without(ids)
        pairs = self.pairs.changed(changes)
        return Standing(taken, pairs, self._bent(pairs))

    def adding(self, data: Dataset) -> Standing:
        """Return what is known with more records; an item that is no longer cold has everything counted again.

        Raises:
            DuplicateId, BadData: nothing was changed.
        """
        now = self.settle()
        taken, changes = now.taken.joined(data)
        pairs = now.pairs.learned(taken, changes)
        if pairs is None:
            return Standing(taken, Pairs.of(taken, self.pairs.min_raters))
        return Standing(taken, pairs, now._bent(pairs))

    def _bent(self, after: Pairs) -> Inverse | None:
        """Return P of other counts that differ by their last pending changes; None = solve it when it is needed."""
        inverse, gone = self.inverse, self.pairs.live & ~after.live
        left = (change.within(~gone) for change in after.pending[len(self.pairs.pending) :])
        changes = [change for change in left if len(change.before) != len(change.after)]
        if inverse is None or len(changes) + int(gone.sum()) > MANY:
            return None
        for item in np.flatnonzero(gone).tolist():  # first: an item that nobody took any more is one correction
            inverse = inverse.dropped(item)
        for change in changes:
            inverse = inverse.changed(change)
        return inverse


class Scores(Protocol):
    """A learner whose models are `ItemsModel`."""

    @property
    def min_raters(self) -> int:
        """Users that an item needs."""
        ...

    @property
    def at_least(self) -> float | None:
        """The rating that counts as taken."""
        ...

    def served(self, pairs: Pairs) -> Inverse | None:
        """Return what is solved from settled counts, if anything."""
        ...

    def arrays(self, standing: Standing) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts."""
        ...

    def scores(self, standing: Standing, history: Ints, less: Ints) -> Floats:
        """Return the scores of a history without each of some items."""
        ...

    def guarantee(self) -> Guarantee:
        """Return the promise."""
        ...


@dataclass(eq=False)
class ItemsModel:
    """The model of `Ease` and of `ItemNeighbours`. To its users a value; what is pending is settled when it is read.

    Attributes:
        learner: its hyper-parameters, and how counts become scores.
        identity: learner, schema and key commitment, for the digest.
        now: interactions, counts, and what is solved from them; replaced as a whole.
        fit_s: seconds of the last fit.
        digested: what `digest` was last asked of, and what it was.
    """

    learner: Scores
    identity: Identity
    now: Standing = field(repr=False)
    fit_s: float = 0.0
    digested: tuple[Standing | None, str] = field(default=(None, ""), repr=False)

    @classmethod
    def counted(cls, learner: Scores, data: Dataset, key: Key) -> ItemsModel:
        """Return the model of these interactions, counted but not solved."""
        taken = Taken.of(data, learner.at_least)
        return cls(learner, Identity.of(learner, data, key), Standing(taken, Pairs.of(taken, learner.min_raters)))

    @classmethod
    def of(cls, learner: Scores, data: Dataset, key: Key, progress: Progress | None = None) -> ItemsModel:
        """Return the model of these interactions, counted and solved."""
        began = time.perf_counter()
        model = cls.counted(learner, data, key)
        model._solved()
        if progress is not None:
            progress(len(data), len(data))
        return replace(model, fit_s=time.perf_counter() - began)

    def serving(self, inverse: Inverse) -> ItemsModel:
        """Return the model with a P that was solved before."""
        return self._with(replace(self.now, inverse=inverse))

    def _with(self, now: Standing) -> ItemsModel:
        return replace(self, now=now, digested=(None, ""))  # nothing of the model before stays behind

    def _solved(self) -> Standing:
        """Settle, and solve where that was not done yet."""
        now = self.now.settle()
        if now.inverse is None:
            now = replace(now, inverse=self.learner.served(now.pairs))
        self.now = now  # one assignment: a second reader sees the old or the new
        return now

    def _serves(self) -> Standing:
        """Return what recommendations come from: P with its corrections, or settled counts."""
        return self.now if self.now.inverse is not None else self._solved()

    def _still(self) -> ItemsModel:
        """Return the model as it stands, for one answer: another thread may settle self in the middle of it."""
        return replace(self, now=self._serves())

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.now = self.now.settle()
        return self.now.taken.source

    def taken(self) -> Taken:
        """Return the kept interactions."""
        return self.now.taken

    def shelf(self) -> Shelf:
        """Return the items that can be recommended."""
        pairs = self._serves().pairs
        return Shelf(pairs.words, pairs.place, pairs.raters, pairs.live)

    def scores(self, history: Ints, less: Ints) -> Floats:
        """Return the score of every item for a history without each of some items (-1 = none), shape (m, d)."""
        return self.learner.scores(self._serves(), history, less)

    def recommend(self, user: Id, k: int = 10, exclude_seen: bool = True) -> list[tuple[str, float]]:
        """Return the k best items for a user with their scores, best first."""
        return recommended(self._still(), user, k, exclude_seen)

    def losses(self, data: Dataset) -> Floats:
        """Return the loss of each interaction given the user's other items, shape (n,), in nats."""
        return interaction_losses(self._still(), data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: the items' names, and P or the counts, from the kept records alone."""
        now = self._solved()
        return {"items/names": names_of(now.pairs.words), **self.learner.arrays(now)}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the counts."""
        return {"counts": self._solved().pairs.counts}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        now = self._solved()
        if now is not self.digested[0]:
            self.digested = (now, self.identity.digest(self.state()))
        return self.digested[1]

    def guarantee(self) -> Guarantee:
        """Return what the learner promises."""
        return self.learner.guarantee()

    def without(self, ids: Iterable[Id]) -> ItemsModel:
        """Return the model that never saw these interactions; self is untouched.

        Raises:
            UnknownRecord, NothingLeft: nothing was changed.
        """
        listed = list(ids)
        return self._with(self.now.without(listed)) if listed else self

    def adding(self, data: Dataset) -> ItemsModel:
        """Return the model of these interactions as well; self is untouched.

        Raises:
            DuplicateId, BadData: nothing was changed.
        """
        return self._with(self.now.adding(data))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` and the solution for the next receipt would cost; changes nothing."""
        taken, changes = self.now.taken.without(ids)
        worst_s = 1.5 * self.fit_s if self.fit_s else None
        return Prediction(
            seconds=worst_s and min(worst_s, 1e-3 + 1e-4 * len(changes)),
            p95_s=worst_s and min(worst_s, 4e-3 + 4e-4 * len(changes)),
            worst_s=worst_s,
            records_read=self.now.taken.n - taken.n,
            parts_touched=1,
            parts=1,
            why=f"subtracts the pairs of {len(changes)} baskets; weights are solved again for the next digest",
        )
