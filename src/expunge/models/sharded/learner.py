"""``Sharded``: any learner in keyed shards by owner; forgetting learns anew only the shards that held the records."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, Unsupported
from expunge.core.models import Identity, check_classes, class_labels
from expunge.core.roles import Learner, Prepares
from expunge.core.seeds import Key
from expunge.models.outside.learner import Outside
from expunge.models.outside.named import ESTIMATORS, Named
from expunge.models.sharded.model import ShardedModel
from expunge.models.sharded.parts import Craft, Part
from expunge.models.sharded.rooms import Plot, Rooms

if TYPE_CHECKING:
    from collections.abc import Callable

    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

NAMED = {
    "forest": "expunge.models.forest.learner:Forest",
    "boosting": "expunge.models.boosting.learner:Boosting",
    "ridge": "expunge.models.linear.ridge:Ridge",
    "bayes": "expunge.models.bayes.naive:NaiveBayes",
    "network": "expunge.models.network:Network",
}
"""Learners of ours that may be given by name, as on a command line; others' are `ESTIMATORS`."""
EXTRA = "pip install 'expunge[torch]'"


def as_learner(given: Any) -> Learner:
    """Return a learner: as it is, by name, or an estimator of another library put into `Outside`.

    Args:
        given: a learner, an estimator, a name, or ``{name: options}``.

    Raises:
        BadInput: none of these.
        Unsupported: what it needs is not installed.
    """
    if isinstance(given, str):
        given = {given: {}}
    if isinstance(given, dict):
        return _named(given)
    if isinstance(given, type) or not hasattr(given, "fit"):
        raise BadInput(f"shards need a learner or an estimator, not {given!r}", hint="Give an instance of one.")
    if hasattr(given, "get_params"):
        own = getattr(given, "_learner", None)  # an estimator of ours knows the learner behind it
        return Outside(given) if own is None else as_learner(own())
    found: Learner = given
    return found


def _named(given: dict[str, Any]) -> Learner:
    name, options = next(iter(given.items()), ("", {}))
    if len(given) != 1 or not isinstance(options, dict) or name not in (*NAMED, *ESTIMATORS):
        hint = (
            f"By name there are {', '.join((*NAMED, *ESTIMATORS))}; options are given as {{name: {{option: value}}}}."
        )
        raise BadInput(f"shards cannot learn by {given if len(given) != 1 else name!r}", hint=hint)
    if name in ESTIMATORS:
        return Outside(Named(name, options))
    module, _, kind = NAMED[name].partition(":")
    try:
        found: Learner = getattr(import_module(module), kind)(**options)
    except ImportError as error:
        raise Unsupported(f"{name} needs {error.name}, which is not installed", hint=EXTRA) from error
    except TypeError as error:
        raise BadInput(f"{name} cannot be built: {error}") from error
    return found


@dataclass(frozen=True)
class Sharded:
    """Any learner, in shards: a subject's records lie in one shard, and every shard learns by itself.

    Attributes:
        learner: what learns a shard: a learner of ours, an estimator of another library (see `Outside`), or a name:
            of `NAMED`, or of the closed list `ESTIMATORS`; with options as ``{name: {option: value}}``.
        n_shards: shards. Which one a subject is in is a keyed hash of the subject: nobody can choose it.
        n_slices: slices of a shard, for learners that can go on learning; forgetting restarts at the slice hit.
        vote: ``mean`` of the shards' probabilities, or ``hard``: each shard has one vote (spec D15). Numbers: the mean.
        target_encode: columns of categories that each shard encodes by its own target (spec XE07); not with slices.
        max_per_owner: records of one subject that are learnt from, at most (those of the least keyed hash of their
            id), so that no subject outweighs a shard; None = all. The others are kept in the data and ignored.

    Guarantee: exact, with the grade of the inner learner; ``bits-here`` for other libraries' (spec X01).
    Cost: forgetting m random subjects hits s(1 - (1 - 1/s)^m) of s shards; each is learnt anew from its kept records,
        or forgets by itself where its model can. A shard without a class answers 0 for it, one without records (or
        with fewer than 50 that its learner refuses) what all records say.
    Source: spec XL03, U02, D15; SISA (Bourtoule et al., IEEE S&P 2021). Where we differ: shards and slices are keyed
        hashes of the owner, and a model after forgetting has the bits of one that never saw the records.
    """

    learner: Any = "ridge"
    n_shards: int = 8
    n_slices: int = 1
    vote: Literal["mean", "hard"] = "mean"
    target_encode: tuple[str, ...] = ()
    max_per_owner: int | None = None

    def __post_init__(self) -> None:
        """Read the learner: what ``repr`` says must not depend on how it was given."""
        object.__setattr__(self, "learner", as_learner(self.learner))
        object.__setattr__(self, "target_encode", tuple(self.target_encode))

    def prepare(self, say: Callable[[str], None]) -> None:
        """Get the inner learner ready."""
        if isinstance(self.learner, Prepares):
            self.learner.prepare(say)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ShardedModel:
        """Return the model of these records.

        Args:
            data: records with a target that the inner learner takes.
            key: of all draws.
            progress: called with (shards done, shards).

        Raises:
            BadTarget, ClassVanished, BadData: nothing to learn.
            BadInput, Unsupported: a hyper-parameter out of range, or a learner that cannot do what is asked.
        """
        craft, rooms, labels = self._ground(data, key)
        parts: list[Part] = []
        for shard in range(self.n_shards):
            parts.append(craft.learn(rooms, shard))
            if progress is not None:
                progress(shard + 1, self.n_shards)
        return ShardedModel(self, Identity.of(self, data, key), craft, rooms, labels, tuple(parts)).checked()

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ShardedModel:
        """Return the model that was saved as its state and memory.

        Boosters, networks and our own learners are read; any other estimator is fitted again, shard by shard, and
        compared with what was saved.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        craft, rooms, labels = self._ground(data, key)
        parts = []
        for shard in range(self.n_shards):
            prefix = f"shard/{shard:05d}/"
            own = {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
            if not own:
                raise StoreDamaged(f"nothing was saved of shard {shard}")
            parts.append(craft.restore(own, rooms, shard))
        return ShardedModel(self, Identity.of(self, data, key), craft, rooms, labels, tuple(parts))

    def _ground(self, data: Dataset, key: Key) -> tuple[Craft, Rooms, tuple[str, ...]]:
        self._check()
        if data.target is None:
            raise BadTarget("shards need a target: what each answers is averaged")
        labels = class_labels(data) if data.target.kind == "category" else ()
        plot = Plot(key, self.n_shards, self.n_slices, self.max_per_owner)
        rooms = Rooms.of(data, plot)
        if labels and not data.classes and rooms.counts is not None:
            check_classes(labels, rooms.counts)
        return Craft(self.learner, self.n_slices, self.target_encode, key), rooms, labels

    def _check(self) -> None:
        for name, value, most in (("n_shards", self.n_shards, 10_000), ("n_slices", self.n_slices, 100)):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise BadInput(f"{name} must be a whole number from 1 to {most}, not {value!r}")
        if self.vote not in ("mean", "hard"):
            raise BadInput(f"vote must be mean or hard, not {self.vote!r}")
        if self.max_per_owner is not None and not (isinstance(self.max_per_owner, int) and self.max_per_owner > 0):
            raise BadInput(f"max_per_owner must be a positive number or None, not {self.max_per_owner!r}")
        if self.target_encode and self.n_slices > 1:
            raise Unsupported("target encoding changes with every record of a shard", hint="Use n_slices=1 with it.")
