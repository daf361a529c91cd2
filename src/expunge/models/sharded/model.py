"""``ShardedModel``: the parts of all shards, which answer together and forget each for itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import part_digest
from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadData, ClassVanished
from expunge.core.guarantee import Guarantee
from expunge.core.models import EXACT_ASSUMES, Identity, exactly
from expunge.core.roles import Forgets, Promises
from expunge.models.scores import class_codes, cross_entropy, label_bytes, squared_errors
from expunge.models.sharded import slices
from expunge.models.sharded.parts import Craft, Part, prior_of, same_records
from expunge.models.sharded.rooms import Rooms, with_own_classes

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.roles import Floats

FLOOR = 1e-9
"""A probability below this counts as this where its logarithm is taken."""
PUBLIC_SEED = "the seed is public: anybody can compute which shard a subject is in, and choose subjects by it"


class Rule(Protocol):
    """What a sharded model asks of the learner that made it."""

    @property
    def vote(self) -> str:
        """``mean`` or ``hard``."""
        ...


@dataclass(frozen=True, eq=False)
class ShardedModel:
    """The model of a `Sharded`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        craft: makes parts.
        rooms: the records, by shard.
        labels: the classes, in the order of the columns of `logits`; none for a target of numbers.
        parts: one a shard.
    """

    learner: Rule
    identity: Identity
    craft: Craft = field(repr=False)
    rooms: Rooms = field(repr=False)
    labels: tuple[str, ...]
    parts: tuple[Part, ...] = field(repr=False)

    @property
    def key(self) -> Any:
        """The key of all draws."""
        return self.craft.key

    @property
    def data(self) -> Dataset:
        """The kept records, in the order of their ids. What is gone leaves the memory of all parts with it."""
        for part in self.parts:
            getattr(part.model, "data", None)  # a part lets go of its own records when it is asked for them
        return self.rooms.data

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader should know of single shards, one sentence each."""
        told = [
            f"Shard {j} ({p.n} records) answers what all records say, because its learner refused it: {p.refused}"
            for j, p in enumerate(self.parts)
            if p.refused
        ]
        unused = len(self.rooms) - sum(part.n for part in self.parts)
        return (*told, *([f"{unused} records are beyond max_per_owner and are not learnt from."] if unused else []))

    def checked(self) -> ShardedModel:
        """Return self.

        Raises:
            BadData: no shard could be learnt.
        """
        refused = [part.refused for part in self.parts if part.refused]
        if refused and all(part.model is None for part in self.parts):
            raise BadData(f"no shard can be learnt: {refused[0]}", hint="Ask for fewer shards.")
        return self

    # -- predicting --------------------------------------------------------------------------------------------

    def probabilities(self, data: Dataset) -> Floats:
        """Return the mean of the shards' probabilities, or the shares of their votes; shape (n, k)."""
        place = {label: j for j, label in enumerate(self.labels)}
        prior, total = prior_of(self.parts, self.labels), np.zeros((len(data), len(self.labels)))
        for part in self.parts:
            shares = part.shares(data, place, prior)
            total += np.eye(len(place))[shares.argmax(axis=1)] if self.learner.vote == "hard" else shares
        return total / len(self.parts)

    def logits(self, data: Dataset) -> Floats:
        """Return log-probabilities, shape (n, k); no share counts as less than 10⁻⁹ (votes: a tenth of one)."""
        floor = 0.1 / len(self.parts) if self.learner.vote == "hard" else FLOOR
        found: Floats = np.log(np.maximum(self.probabilities(data), floor))
        return found

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,): the mean of the shards'."""
        prior, total = float(prior_of(self.parts, ())[0]), np.zeros(len(data))
        for part in self.parts:
            total += part.values(data, prior)
        return total / len(self.parts)

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropy in nats, or squared errors; shape (n,)."""
        if self.labels:
            return cross_entropy(self.logits(data), class_codes(data, self.labels))
        return squared_errors(self.values(data), data)

    # -- identity ----------------------------------------------------------------------------------------------

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the classes, and each shard's state under ``shard/…``."""
        self.rooms.settle()
        return {"classes/labels": label_bytes(self.labels), **self._under(Part.state)}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return each shard's memory under ``shard/…``."""
        return self._under(Part.memory)

    def _under(self, of: Any) -> dict[str, npt.NDArray[Any]]:
        parts = enumerate(self.parts)
        return {f"shard/{j:05d}/{name}": array for j, part in parts for name, array in of(part).items()}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def shard_digests(self) -> tuple[str, ...]:
        """Return the hex digest of each shard's state: those of shards that held no forgotten record stay."""
        return tuple(part_digest(part.state()).hex() for part in self.parts)

    def guarantee(self) -> Guarantee:
        """Return exact, with the weakest grade of the parts and all that they rest on."""
        models = [part.model for part in self.parts if part.model is not None]
        inner = [model.guarantee() for model in models if isinstance(model, Promises)]
        known = len(inner) == len(models)
        bits = known and all(g.grade == "bits" for g in inner)
        more = [a for g in inner for a in g.assumptions if a not in EXACT_ASSUMES and "seed is public" not in a]
        public = [PUBLIC_SEED] if self.craft.key.is_public else []
        return exactly("bits" if bits else "bits-here", *dict.fromkeys(more), *public)

    # -- forgetting --------------------------------------------------------------------------------------------

    def without(self, ids: Iterable[Id]) -> ShardedModel:
        """Return the model that never saw these records; self is untouched, and shards not hit are shared.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        listed = tuple(ids)
        hit = self._hit(listed)
        if not listed:
            return self
        rooms, parts = self.rooms.without(listed), list(self.parts)
        for shard, gone in hit.items():
            lost = with_own_classes(self.rooms.now.source.only(gone)) if gone else None
            part = parts[shard]
            parts[shard] = (
                self.craft.learn(rooms, shard) if lost is None else self.craft.forget(part, rooms, shard, lost)
            )
        return replace(self, rooms=rooms, parts=tuple(parts)).checked()

    def _hit(self, ids: Iterable[Id]) -> dict[int, tuple[Id, ...]]:
        """Return the shards that forgetting changes, each with its records; with none where others take their place."""
        hit = self.rooms.hit(ids)
        if self.rooms.plot.most is None or not hit:
            return hit
        after, changed = self.rooms.without([i for gone in hit.values() for i in gone]), {}
        for shard in hit:
            lost, new = same_records(self.rooms.local(shard), after.local(shard))
            if lost or new:
                changed[shard] = () if new else tuple(lost)
        return changed

    def adding(self, data: Dataset) -> ShardedModel:
        """Return the model that learnt from these records as well; self is untouched.

        Raises:
            DuplicateId, BadData: nothing was changed.
        """
        if not len(data):
            return self
        rooms, parts = self.rooms.adding(data), list(self.parts)
        homes = rooms.plot.shards(data.subjects)
        for shard in np.unique(homes).tolist():
            new = with_own_classes(data.take(homes == shard))
            capped = rooms.plot.most is not None
            parts[shard] = self.craft.learn(rooms, shard) if capped else self.craft.add(parts[shard], rooms, shard, new)
        target = rooms.data.target
        labels = self.labels if target is None or target.kind != "category" else target.vocabulary
        return replace(self, rooms=rooms, labels=rooms.data.classes or labels, parts=tuple(parts)).checked()

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; which shards are hit is known exactly. Changes nothing."""
        hit = self._hit(ids)
        costs = [self._cost(shard, gone) for shard, gone in hit.items()]
        known = all(seconds is not None for seconds, _ in costs)
        total = sum(seconds or 0.0 for seconds, _ in costs) + 1e-3
        fits = [self.parts[shard].fit_s for shard in hit]
        return Prediction(
            seconds=total if known else None,
            p95_s=2 * total if known else None,
            worst_s=1.5 * sum(fits) + 1e-3 if fits and all(fits) else None,
            records_read=sum(read for _, read in costs),
            parts_touched=len(hit),
            parts=len(self.parts),
            why=f"{len(hit)} of {len(self.parts)} shards held {'it' if len(tuple(ids)) == 1 else 'them'}",
        )

    def _cost(self, shard: int, gone: tuple[Id, ...]) -> tuple[float | None, int]:
        """Return (seconds, records read) of one shard; None = unknown."""
        part, left = self.parts[shard], self.rooms.size(shard) - len(gone)
        model = part.model
        if part.native and model is not None and isinstance(model, Forgets) and left > 0:
            try:
                told = model.plan(gone)
                return told.seconds, told.records_read or len(gone)
            except ClassVanished:  # here, not everywhere: the shard is learnt anew
                pass
        if part.chain:
            data = self.rooms.local(shard)
            sizes = np.bincount(self.rooms.turns(data), minlength=self.craft.n_slices)
            first = int(self.rooms.turns(data.only(gone)).min()) if gone else 0
            share = slices.stages_left(sizes, first)
            return (part.fit_s * share or None), int(sizes.sum()) - len(gone)
        share = left / max(part.n, 1)
        return (part.fit_s * share or None) if part.model is not None else 0.0, left
