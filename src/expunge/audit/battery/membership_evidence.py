"""The evidence of a membership attack on pools: each arm beside the reference, and the excess over retraining."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from expunge.audit.battery.games import Arena, Attack, Rated, Split, is_few, measures_of, rate
from expunge.audit.battery.redraw import Redrawn, redraw
from expunge.audit.pools import ARMS, Codes, Pool, Pools, World
from expunge.audit.statistics import Estimate
from expunge.core import estimates
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence, Null
from expunge.core.policy import AuditPolicy

Found = Rated | str
"""What an attack gave on an arm, or why it could not be run."""
AUDITED: tuple[World, ...] = ("before", "after")


def arena(pools: Pools, world: World, others: Iterable[World], policy: AuditPolicy) -> Arena:
    """Return the pools that an attack needs, cut to the pairs that all of them have, with their signals only.

    Raises:
        Unsupported: a pool is missing, has no signals, or shares no pair with the others.
        BadInput: fewer than three models are left.
    """
    wanted = list(dict.fromkeys([world, *others]))
    whole = [pools.need(w) for w in wanted]
    pairs = whole[0].pairs
    for pool in whole[1:]:
        pairs = np.intersect1d(pairs, pool.pairs)
    if not len(pairs):
        raise Unsupported(f"no pair of models is in all of the pools {', '.join(wanted)}")
    cut = {w: _signals(pool, np.unique(pairs)) for w, pool in zip(wanted, whole, strict=True)}
    return Arena(world, cut, Split.of(len(cut[world]), policy))


def _signals(pool: Pool, pairs: Codes) -> Pool:
    if np.array_equal(pool.pairs, pairs):
        return Pool(pool.world, pool.roles, pool.truth, pool.pairs, given=pool.phi)
    order = np.argsort(pool.pairs, kind="stable")
    at = order[np.searchsorted(pool.pairs[order], pairs)]
    return Pool(pool.world, pool.roles[at], pool.truth, pool.pairs[at], given=pool.phi[at])


def evidence(pools: Pools, policy: AuditPolicy, *attacks: Attack) -> list[Evidence]:
    """Return each attack's measures on each arm, and their excess over the reference before and after.

    What cannot be measured is there by name, with the reason.
    """
    return [e for attack in attacks for e in _Writing(pools, policy, attack).evidence()]


@dataclass(frozen=True)
class _Writing:
    """One attack on its way into evidence; each arm is played once for each set of models."""

    pools: Pools
    policy: AuditPolicy
    attack: Attack
    played: dict[tuple[World, bytes], Found] = field(default_factory=dict, repr=False)
    nulls: dict[bytes, dict[str, Redrawn]] = field(default_factory=dict, repr=False)
    grounds: dict[tuple[World, ...], Arena] = field(default_factory=dict, repr=False)

    def evidence(self) -> Iterator[Evidence]:
        for measure, fpr in measures_of(self.attack, self.policy).items():
            for world in ARMS:
                yield self._arm(measure, fpr, world)
            for world in AUDITED:
                yield self._excess(measure, fpr, world)

    def _ground(self, world: World, *others: World) -> Arena:
        key = (world, *others)
        if key not in self.grounds:
            self.grounds[key] = arena(self.pools, world, others, self.policy)
        return self.grounds[key]

    def _rated(self, world: World, partner: World | None = None) -> Rated:
        """Return what the attack gives on an arm, cut to the pairs that it shares with a partner."""
        ground = self._ground(world, *self.attack.needs, *([partner] if partner else []))
        key = (world, ground.target.pairs.tobytes())
        if key not in self.played:
            try:
                self.played[key] = rate(self.attack, ground, self.policy)
            except (BadInput, Unsupported) as error:
                self.played[key] = error.message
        found = self.played[key]
        if isinstance(found, str):
            raise Unsupported(found)
        return found

    def _arm(self, measure: str, fpr: float, world: World) -> Evidence:
        name = f"membership.{self.attack.name}_{measure}@{world}"
        try:
            rated = self._rated(world)
            estimate = self._settled(measure, rated.estimate(measure))
            null = self._control(measure) if world == "after" else None
        except (BadInput, Unsupported) as error:
            return Evidence.missing(name, error.message)
        return self._record(name, rated, fpr, estimate, null=null)

    def _settled(self, measure: str, estimate: Estimate, partner: World | None = None, n_pools: int = 1) -> Estimate:
        """Return an estimate with the null's part of its variance counted once, where as many references give it."""
        if not self.attack.redrawn:
            return estimate
        try:
            ground = self._ground("reference", *([partner] if partner else []))
            key = ground.target.pairs.tobytes()
            if key not in self.nulls:
                self.nulls[key] = redraw(self.attack, ground, self.policy)
        except (BadInput, Unsupported):
            return estimate
        null = self.nulls[key].get(measure)
        return estimate if null is None or len(ground.target) != estimate.n else null.settled(estimate, n_pools)

    def _control(self, measure: str) -> Null | None:
        try:
            estimate = self._settled(measure, self._rated("reference").estimate(measure))
        except (BadInput, Unsupported):
            return None
        value, low, high, n = _share(estimate)
        return Null(what="reference", value=value, low=low, high=high, n=n)

    def _excess(self, measure: str, fpr: float, world: World) -> Evidence:
        name = f"membership.{self.attack.name}_{measure}_excess@{world}"
        try:
            rated, reference = self._rated(world, "reference"), self._rated("reference", world)
            found = self._settled(measure, rated.estimate(measure, less=reference), world, n_pools=2)
            control = self._settled(measure, reference.estimate(measure), world)
        except (BadInput, Unsupported) as error:
            return Evidence.missing(name, error.message)
        return self._record(
            name,
            rated,
            fpr,
            found,
            interval=None if found.se else self._unmoved(found, world),
            p_value=found.p_value(self.attack.harmful),
            power=found.detectable(self.policy.alpha, self.policy.power),
            null=between_references(control),
        )

    def _unmoved(self, found: Estimate, world: World) -> Interval:
        """Return the interval of an excess that no block of models moves: a fact only where the models are the same."""
        audited = self._ground(world, *self.attack.needs, "reference").target
        reference = self._ground("reference", *self.attack.needs, world).target
        same = np.array_equal(audited.phi, reference.phi)
        tail = 0.0 if same else estimates.around(0.0, found.n, found.n).high
        return Interval(found.value, max(-1.0, found.value - tail), min(1.0, found.value + tail), found.n)

    def _record(
        self, name: str, rated: Rated, fpr: float, found: Estimate, interval: Interval | None = None, **more: Any
    ) -> Evidence:
        count, excess = len(rated.sizes), "_excess@" in name
        interval = interval or (found.interval(bounds=(-1.0, 1.0)) if excess else _share(found))
        compared = f"; {name.rsplit('@')[1]} − reference, in pairs of models" if excess else ""
        once = "" if found.degrees == count - 1 else ", pairs of models counted once (redrawn labels)"
        return Evidence(
            name=name,
            estimator=f"{self.attack.how}{compared}; 95 % jackknife over {count} blocks of models{once}",
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n=rated.n_inside + rated.n_outside,
            unit="scores",
            n_models=int(rated.sizes.sum()),
            seeds=self.policy.seeds,
            note=" ".join(filter(None, (self.attack.note, few_negatives(rated.n_outside, fpr)))) or None,
            **more,
        )


def few_negatives(n_negatives: int, fpr: float) -> str | None:
    """Return what must be said of a true positive rate from few negatives; None where there are enough."""
    if not fpr or not is_few(n_negatives, fpr):
        return None
    return f"Only {n_negatives} negatives: the false positive rate behind the nominal {fpr:.2g} is barely known."


def between_references(reference: Estimate) -> Null | None:
    """Return what the excess of one more retrained pool would be: 0, with √2 times the reference's own error.

    None where the reference has no error of its own, as one that is compared with itself.
    """
    if reference.se == 0:
        return None
    _, low, high, n = replace(reference, value=0.0, se=float(np.sqrt(2)) * reference.se).interval()
    return Null(what="retrain − retrain (√2 × the error of the reference)", value=0.0, low=low, high=high, n=n)


def _share(estimate: Estimate) -> Interval:
    """Return the interval of a measure in [0, 1]; without any spread, what so many models leave open."""
    if estimate.se == 0:
        return estimates.around(min(max(estimate.value, 0.0), 1.0), estimate.n, estimate.n)
    return estimate.interval(bounds=(0.0, 1.0))
