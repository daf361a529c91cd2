"""``Pools``: what the models of three worlds say about the same records; every measure rests on it alone.

A *pool* is some models of one world: ``before`` (the originals), ``after`` (each original, unlearned), ``reference``
(each retrained without what was forgotten). Model i of two pools with the same *pair* has the same rows of members and
of forgotten records, so the pools can be compared in pairs. Where the numbers come from (live models, files of an
outsider) does not matter to what is computed from them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from expunge.audit.signals import margins
from expunge.core.errors import BadData, Unsupported
from expunge.core.roles import Floats

World = Literal["before", "after", "reference", "other"]
ARMS: Final[tuple[World, ...]] = ("before", "after", "reference")

NEVER: Final = 0
"""The record was in this model's draw, and not taken: it is not a member."""
KEPT: Final = 1
"""The model learnt the record, and keeps it."""
FORGOTTEN: Final = 2
"""The model's original learnt the record, and it is forgotten."""
POPULATION: Final = 3
"""The record is in no model's draw."""

Roles = npt.NDArray[np.uint8]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Pool:
    """Some models of one world.

    At least one of `logits`, `given` and `top` is there; abilities follow (`has_logits`, `has_signals`).

    Attributes:
        world: which world.
        roles: shape (M, n): `NEVER`, `KEPT`, `FORGOTTEN` or `POPULATION`, of each model and record.
        truth: shape (n,): the true class of each record.
        pairs: shape (M,): models of other pools with the same number have the same rows of roles.
        seeds: of each model.
        logits: shape (M, n, k), float16 or float32.
        given: shape (M, n): φ, where logits were not handed over.
        top: shape (M, n): predicted classes, where nothing else was handed over.
    """

    world: World
    roles: Roles
    truth: Codes
    pairs: Codes
    seeds: tuple[str, ...] = ()
    logits: npt.NDArray[Any] | None = field(default=None, repr=False)
    given: Floats | None = field(default=None, repr=False)
    top: Codes | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        shape = self.roles.shape
        for what, array in (("logits", self.logits), ("signals", self.given), ("predicted classes", self.top)):
            if array is not None and array.shape[:2] != shape:
                raise BadData(f"{what} of shape {array.shape} do not fit {shape[0]} models and {shape[1]} records")
        if self.truth.shape != shape[1:] or self.pairs.shape != shape[:1]:
            raise BadData(f"{len(self.truth)} classes and {len(self.pairs)} pairs for roles of shape {shape}")
        if self.logits is None and self.given is None and self.top is None:
            raise BadData("a pool needs logits, signals or predicted classes")

    def __len__(self) -> int:
        return len(self.roles)

    @property
    def n_records(self) -> int:
        """How many records the models were asked about."""
        return int(self.roles.shape[1])

    @property
    def has_signals(self) -> bool:
        """Whether φ is known, from logits or as given."""
        return self.logits is not None or self.given is not None

    @property
    def has_logits(self) -> bool:
        """Whether logits are known."""
        return self.logits is not None

    @cached_property
    def phi(self) -> Floats:
        """φ = z_y − log Σ_{c≠y} e^{z_c}, shape (M, n), float64: *the* membership signal, larger for members.

        Raises:
            Unsupported: only predicted classes were handed over.
        """
        if self.given is not None:
            return np.asarray(self.given, np.float64)
        if self.logits is None:
            raise Unsupported("signals need logits (or φ), and only predicted classes were given")
        rows = [margins(np.asarray(z, np.float64), self.truth) for z in self.logits]
        return np.array(rows).reshape(self.roles.shape)

    @cached_property
    def predicted(self) -> Codes:
        """The predicted class of each model and record, shape (M, n).

        Raises:
            Unsupported: only φ was handed over.
        """
        if self.top is not None:
            return self.top
        if self.logits is None:
            raise Unsupported("predicted classes need logits, and only φ was given")
        return np.array([z.argmax(axis=1) for z in self.logits], np.int64).reshape(self.roles.shape)

    @cached_property
    def correct(self) -> Floats:
        """1.0 where the predicted class is the true one, shape (M, n).

        Raises:
            Unsupported: only φ was handed over (a record can be right with φ below zero).
        """
        return np.asarray(self.predicted == self.truth, np.float64)

    def probabilities(self) -> Iterator[Floats]:
        """Yield each model's class probabilities, shape (n, k), float64.

        Raises:
            Unsupported: there are no logits.
        """
        if self.logits is None:
            raise Unsupported("class probabilities need logits")
        for z in self.logits:
            wide = np.asarray(z, np.float64)
            raised = np.exp(wide - wide.max(axis=1, keepdims=True))
            yield raised / raised.sum(axis=1, keepdims=True)

    def has(self, role: int) -> Mask:
        """Return where a record has a role, shape (M, n)."""
        return np.asarray(self.roles == role)

    def take(self, models: npt.NDArray[Any]) -> Pool:
        """Return some of the models (positions or a mask), in their order; computed signals go along."""
        at = np.arange(len(self))[models]
        taken = replace(
            self,
            roles=self.roles[at],
            pairs=self.pairs[at],
            seeds=tuple(self.seeds[i] for i in at.tolist()) if self.seeds else (),
            logits=None if self.logits is None else self.logits[at],
            given=None if self.given is None else self.given[at],
            top=None if self.top is None else self.top[at],
        )
        if "phi" in self.__dict__:
            taken.__dict__["phi"] = self.phi[at]
        return taken


@dataclass(frozen=True, eq=False)
class Pools:
    """The pools of one audit.

    Attributes:
        ids: names of the records (pseudonyms, where an outsider is given them), shape (n,).
        truth: the true class of each record, shape (n,).
        n_classes: how many classes there are.
        pools: the pools, at most one a world; ``other`` may hold controls (see `controls`).
        subgroups: name → shape (n,): which records belong to a group that is looked at by itself.
        controls: name → a pool that an audit must judge rightly (``no-op``, ``random init``, ``retrain 2`` ...).
    """

    ids: tuple[str, ...]
    truth: Codes
    n_classes: int
    pools: tuple[Pool, ...]
    subgroups: dict[str, Mask] = field(default_factory=dict)
    controls: dict[str, Pool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if any(pool.n_records != len(self.truth) for pool in (*self.pools, *self.controls.values())):
            raise BadData(f"a pool was asked about other records than the {len(self.truth)} of this audit")
        worlds = [pool.world for pool in self.pools]
        if len(set(worlds)) != len(worlds):
            raise BadData(f"two pools of one world: {', '.join(sorted(worlds))}")

    def get(self, world: World) -> Pool | None:
        """Return the pool of a world, or None."""
        return next((pool for pool in self.pools if pool.world == world), None)

    def need(self, world: World) -> Pool:
        """Return the pool of a world.

        Raises:
            Unsupported: there is none.
        """
        found = self.get(world)
        if found is None:
            raise Unsupported(f"there is no pool of models {world}")
        return found

    def paired(self, world: World, other: World = "reference") -> tuple[Pool, Pool]:
        """Return two pools cut to the models whose pairs are in both, in the same order.

        Raises:
            Unsupported: a pool is missing, or they have no pair in common.
        """
        a, b = self.need(world), self.need(other)
        shared, left, right = np.intersect1d(a.pairs, b.pairs, return_indices=True)
        if not len(shared):
            raise Unsupported(f"no model {world} has a partner {other}")
        return a.take(left), b.take(right)

    def judging(self, after: Pool) -> Pools:
        """Return the same audit with another pool in the place of ``after``: what a control is judged by."""
        others = tuple(pool for pool in self.pools if pool.world != "after")
        return replace(self, pools=(*others, replace(after, world="after")), controls={})
