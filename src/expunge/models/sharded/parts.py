"""``Part``: what one shard has learnt, and ``Craft``, which makes parts and makes them anew when records go or come."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, ClassVanished, NothingLeft, Unsupported
from expunge.core.models import check_saved
from expunge.core.roles import Forgets, Learner, Learns, Model, Promises, Remembers, Restores
from expunge.core.seeds import Key
from expunge.models.encoding.targets import TargetMeans
from expunge.models.scores import log_shares
from expunge.models.sharded import slices

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats
    from expunge.models.sharded.rooms import Rooms

SMALL = 50
"""A shard of fewer records than this may be refused by its learner, and then answers the shares of all records."""


@dataclass(frozen=True, eq=False)
class Part:
    """What one shard has learnt. Without a model it answers its only class, or what all records say.

    Attributes:
        labels: the classes of its records; none for a target of numbers.
        counts: records of each class, shape (k,); of a target of numbers the number of records, shape (1,).
        total: exactly rounded sum of a target of numbers.
        model: what was learnt; None for no record, one class, or records that the learner refuses.
        targets: the target encoder, where there is one.
        chain: the models of the stages, where there are slices.
        refused: what the learner said to too few records.
        fit_s: seconds of the last fit; 0 = unknown.
    """

    labels: tuple[str, ...] = ()
    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(1, np.int64))
    total: float = 0.0
    model: Model | None = None
    targets: TargetMeans | None = None
    chain: tuple[Model, ...] = ()
    refused: str = ""
    fit_s: float = 0.0

    @property
    def n(self) -> int:
        """How many records it has learnt from."""
        return int(self.counts.sum())

    @property
    def native(self) -> bool:
        """Whether its model can forget by itself, exactly, and nothing else in it depends on the records."""
        model = self.model
        if model is None or self.targets is not None or self.chain or not isinstance(model, Forgets):
            return False
        return not isinstance(model, Promises) or model.guarantee().kind == "exact"

    def shares(self, data: Dataset, place: dict[str, int], prior: Floats) -> Floats:
        """Return the probability of each class of all shards, shape (n, k).

        Args:
            data: the questions.
            place: class → column.
            prior: what a part without an opinion answers, shape (k,).
        """
        if self.model is None and (self.refused or not self.labels):
            return np.tile(prior, (len(data), 1))
        found = np.zeros((len(data), len(place)))
        columns = [place[label] for label in self.labels]
        known = self._asked(data) if self.model is not None else np.ones((len(data), 1))
        found[:, columns] = np.exp(log_shares(known)) if self.model is not None else known
        return found

    def _asked(self, data: Dataset) -> Floats:
        model: Any = self.model
        found: Floats = model.logits(data if self.targets is None else self.targets.encode(data))
        order = [model.labels.index(label) for label in self.labels]
        return found[:, order]

    def values(self, data: Dataset, prior: float) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        if self.model is None:
            return np.full(len(data), prior)
        model: Any = self.model
        found: Floats = model.values(data if self.targets is None else self.targets.encode(data))
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts, name → array."""
        words = "\0".join(self.labels).encode()
        own: dict[str, npt.NDArray[Any]] = {
            "part/labels": np.frombuffer(words, np.uint8),
            "part/counts": self.counts,
            "part/total": np.array([self.total], np.float64),
            "part/refused": np.array([bool(self.refused)], np.uint8),
        }
        targets = {} if self.targets is None else self.targets.state()
        return {**own, **targets, **({} if self.model is None else self.model.state())}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: its model's memory, or the checkpoints of its stages."""
        if self.chain:
            return slices.saved(self.chain)
        model = self.model
        found: Arrays = model.memory() if model is not None and isinstance(model, Remembers) else {}
        return dict(found)


@dataclass(frozen=True)
class Craft:
    """How parts are made.

    Attributes:
        learner: learns a shard.
        n_slices: stages of a shard.
        encoded: columns that are encoded by the target, inside each shard.
        key: of all draws.
    """

    learner: Learner
    n_slices: int
    encoded: tuple[str, ...]
    key: Key

    def own(self, shard: int) -> Key:
        """Return the key of a shard."""
        return self.key.child(f"shard/{shard}")

    def learn(self, rooms: Rooms, shard: int, known: tuple[Model, ...] = ()) -> Part:
        """Return the part of a shard.

        Args:
            rooms: all records.
            shard: which.
            known: models of the first stages that are still good.

        Raises:
            BadTarget, BadData: the learner refuses these records, and they are not few.
        """
        data = rooms.local(shard)
        part = _counted(data)
        if not len(data) or len(part.labels) == 1:
            return part
        began = time.perf_counter()
        try:
            part = self._learnt(part, rooms, data, shard, known)
        except ValueError as error:
            if len(data) >= SMALL:
                raise BadData(f"shard {shard} ({len(data)} records) cannot be learnt: {error}") from error
            return replace(part, refused=str(error))
        return replace(part, fit_s=time.perf_counter() - began)

    def _learnt(self, part: Part, rooms: Rooms, data: Dataset, shard: int, known: tuple[Model, ...]) -> Part:
        key = self.own(shard)
        if self.n_slices > 1:
            learner = slices.goes_on(self.learner)
            chain = slices.walk(learner, data, rooms.turns(data), key, (self.n_slices, known))
            return replace(part, chain=chain, model=chain[-1])
        if self.encoded:
            targets = TargetMeans.of(data, self.encoded, key)
            return replace(part, targets=targets, model=self.learner.fit(targets.encode(data, learning=True), key))
        return replace(part, model=self.learner.fit(data, key))

    def forget(self, part: Part, rooms: Rooms, shard: int, gone: Dataset) -> Part:
        """Return the part of a shard without some of its records.

        Args:
            part: what it was.
            rooms: the records that are left, of all shards.
            shard: which.
            gone: the records that are not.
        """
        model = part.model
        if part.native and model is not None and isinstance(model, Forgets):
            try:
                return self._less(part, rooms, shard, gone, model.without(gone.ids.tolist()))
            except (ClassVanished, NothingLeft):  # here, not everywhere
                return self.learn(rooms, shard)
        first = int(rooms.turns(gone).min()) if part.chain and len(gone) else 0
        return self.learn(rooms, shard, part.chain[: first + 1])

    def _less(self, part: Part, rooms: Rooms, shard: int, gone: Dataset, model: Model) -> Part:
        if not part.labels:
            counted = _counted(rooms.local(shard))
            return replace(part, counts=counted.counts, total=counted.total, model=model)
        place = {label: j for j, label in enumerate(part.labels)}
        table = np.array([place[word] for word in gone.target.vocabulary] if gone.target else [], np.int64)
        codes = table[gone.target.values] if gone.target else table
        counts = part.counts - np.bincount(codes, minlength=len(part.labels))
        if (counts == 0).any():
            raise ClassVanished("a class has no record left in this shard")
        return replace(part, counts=counts, model=model)

    def add(self, part: Part, rooms: Rooms, shard: int, new: Dataset) -> Part:
        """Return the part of a shard with more records; as `forget`."""
        whole, model = _counted(rooms.local(shard)), part.model
        if part.native and model is not None and isinstance(model, Learns) and whole.labels == part.labels:
            return replace(part, counts=whole.counts, total=whole.total, model=model.adding(new))
        first = int(rooms.turns(new).min()) if part.chain and len(new) else 0
        return self.learn(rooms, shard, part.chain[: first + 1])

    def restore(self, arrays: Arrays, rooms: Rooms, shard: int) -> Part:
        """Return the part that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of these records.
        """
        data, key = rooms.local(shard), self.own(shard)
        part = _counted(data)
        refused = bool(np.any(arrays.get("part/refused", 0)))
        if len(data) and len(part.labels) != 1 and not refused:
            part = self._reread(part, arrays, rooms, data, key)
        elif refused:
            part = replace(part, refused="refused when it was learnt")
        check_saved(_Saved(part), arrays)
        return part

    def _reread(self, part: Part, arrays: Arrays, rooms: Rooms, data: Dataset, key: Key) -> Part:
        if self.n_slices > 1:
            learner = slices.goes_on(self.learner)
            chain = slices.reread(learner, arrays, data, rooms.turns(data), key, self.n_slices)
            return replace(part, chain=chain, model=chain[-1])
        targets = TargetMeans.of(data, self.encoded, key) if self.encoded else None
        seen = data if targets is None else targets.encode(data, learning=True)
        model = (
            self.learner.restore(arrays, seen, key)
            if isinstance(self.learner, Restores)
            else self.learner.fit(seen, key)
        )
        return replace(part, targets=targets, model=model)


@dataclass(frozen=True, eq=False)
class _Saved:
    """A part as the check of saved arrays sees it."""

    part: Part

    def state(self) -> Any:
        return self.part.state()

    def memory(self) -> Any:
        return self.part.memory()

    def losses(self, data: Dataset) -> Floats:
        raise Unsupported("a part has no losses of its own")

    def digest(self) -> str:
        raise Unsupported("a part has no digest of its own")


def _counted(data: Dataset) -> Part:
    """Return the part of records that nothing was learnt from yet."""
    target = data.target
    if target is None or target.kind != "category":
        values = np.zeros(0) if target is None else np.asarray(target.values, np.float64)
        return Part(counts=np.array([len(values)], np.int64), total=math.fsum(values))
    counts = np.bincount(target.values, minlength=len(target.vocabulary)).astype(np.int64)
    return Part(target.vocabulary, counts if len(data) else np.zeros(1, np.int64))


def prior_of(parts: Sequence[Part], labels: tuple[str, ...]) -> Floats:
    """Return the shares of the classes among all records, shape (k,), or the mean of the numbers, shape (1,)."""
    n = max(sum(part.n for part in parts), 1)
    if not labels:
        return np.array([math.fsum(part.total for part in parts) / n])
    place = {label: j for j, label in enumerate(labels)}
    counts = np.zeros(len(labels), np.int64)
    for part in parts:
        for label, count in zip(part.labels, part.counts.tolist(), strict=False):
            counts[place[label]] += count
    return np.asarray(counts / n, np.float64)


def same_records(before: Dataset, after: Dataset) -> tuple[Sequence[Id], Sequence[Id]]:
    """Return the ids that are only before, and those that are only after."""
    old, new = set(before.ids.tolist()), set(after.ids.tolist())
    return sorted(old - new), sorted(new - old)
