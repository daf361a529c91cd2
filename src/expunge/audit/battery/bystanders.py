"""M31, bystanders: on how many *kept* records does membership show more after others were forgotten (attack A10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.sides import detectable, randomness
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import KEPT, NEVER, Mask, Pool, Pools, World
from expunge.audit.statistics import Estimate, Positions
from expunge.core import estimates
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

SIGMAS: Final = 2.0
"""A record whose exposure rises by more than this many standard errors counts."""
FEWEST: Final = 8
"""Models that keep a record, and models that never learnt it, for the record to count: chance is then 3.3 % at most."""
LATER: Final[tuple[World, ...]] = ("after", "reference")
NAMES: Final = (
    *(f"bystanders.share@{world}" for world in LATER),
    "bystanders.share_excess@after",
    *(f"bystanders.rise@{world}" for world in LATER),
)


@dataclass(frozen=True, eq=False)
class Changes:
    """How the signals of each pair of models changed, in standard deviations of a record's signal.

    Attributes:
        gaps: later − earlier, about the middle of what kept and never learnt records do, shape (P, n).
        kept: where both models keep the record, shape (P, n).
        never: where neither learnt it, shape (P, n).
    """

    gaps: Floats
    kept: Mask
    never: Mask

    @classmethod
    def of(cls, earlier: Pool, later: Pool) -> Changes:
        """Compare two pools whose models are partners, row by row.

        Raises:
            Unsupported: no record is kept by, and unknown to, models enough.
        """
        kept, never = (earlier.has(role) & later.has(role) for role in (KEPT, NEVER))
        enough = np.flatnonzero(np.minimum(kept.sum(axis=0), never.sum(axis=0)) >= FEWEST)
        if not len(enough):
            raise Unsupported(
                f"no record is kept by {FEWEST} pairs of models and unknown to {FEWEST} others; an exposure needs both"
            )
        kept, never = kept[:, enough], never[:, enough]
        levels = [phi / spread(phi, kept, never) for phi in (earlier.phi[:, enough], later.phi[:, enough])]
        gaps = levels[1] - levels[0]
        middle = sum(np.where(side, gaps, 0.0).sum(axis=0) / side.sum(axis=0) for side in (kept, never)) / 2
        return cls(gaps - middle, kept, never)

    def __len__(self) -> int:
        return len(self.gaps)

    def keeping(self, models: Positions) -> Changes:
        """Return some of the pairs: what a jackknife leaves."""
        return Changes(self.gaps[models], self.kept[models], self.never[models])

    def rises(self, signs: Floats | None = None) -> tuple[Floats, Floats]:
        """Return by how much each record's exposure rose, and the standard error of that, two arrays (draws, n).

        Exposure is the mean signal of models that keep the record less that of models that never learnt it, in
        standard deviations: what U-LiRA lives on.

        Args:
            signs: −1 where the labels of a pair are swapped, shape (draws, P); None = one draw as observed.
        """
        signs = np.ones((1, len(self))) if signs is None else signs
        means, variances = zip(*(_moments(self.gaps, side, signs) for side in (self.kept, self.never)), strict=True)
        return means[0] - means[1], np.sqrt(variances[0] + variances[1])

    def shares(self, signs: Floats | None = None) -> Floats:
        """Return the share of records that rose by more than two standard errors, shape (draws,)."""
        rise, error = self.rises(signs)
        return np.asarray((rise > SIGMAS * error + 1e-9).mean(axis=1))

    def share(self) -> float:
        """Return the observed share."""
        return float(self.shares()[0])

    def rise(self) -> float:
        """Return the mean rise of the records' exposure, in standard deviations."""
        return float(self.rises()[0].mean())

    def signs(self, generator: np.random.Generator, n_shuffles: int = N_SHUFFLES) -> Floats:
        """Return draws of swapped labels, shape (n_shuffles, P)."""
        return np.asarray(1.0 - 2.0 * (generator.random((n_shuffles, len(self))) < 0.5))


def spread(phi: Floats, *groups: Mask) -> float:
    """Return the standard deviation of a record's signal within its groups of models, pooled over records.

    Raises:
        BadInput: the signals do not vary.
    """
    scatter, degrees = 0.0, 0
    for inside in groups:
        count = inside.sum(axis=0)
        mean = np.where(inside, phi, 0.0).sum(axis=0) / np.maximum(count, 1)
        scatter += float(np.where(inside, (phi - mean) ** 2, 0.0).sum())
        degrees += int(np.maximum(count - 1, 0).sum())
    if degrees == 0 or scatter <= 0:
        raise BadInput("the signals of these models do not vary, so that nothing is large beside their spread")
    return float(np.sqrt(scatter / degrees))


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return what forgetting did to the exposure of kept records, beside what retraining does to it.

    * ``bystanders.share@<later>``: share of kept records whose exposure rose by more than 2 standard errors from
      ``before`` to ``after`` (or to ``reference``), beside its null by labels swapped within pairs.
    * ``bystanders.rise@<later>``: the mean rise over records, in standard deviations.
    * ``bystanders.share_excess@after``: the share after, less that of retraining.

    Guarantee: none. Where nothing changed, 2 to 3 % of the records rise by chance (at most 5 %). An honest retraining
        may raise kept records too (the "onion"), so what an unlearner adds is the excess.
        In 150 simulated audits of 48 models without any change p was below 5 % in 4.7 %; the interval of the rise held
        the truth in 93 %, those of share and excess, which count records over a line, always: they are too wide.
    Cost: 200 products of (models × records) arrays.
    Source: M31, A10; Carlini et al. (2022, "The privacy onion effect"). Names of records stay inside; whoever may see
        them takes `Changes.rises`.
    """
    return [*_shares(pools, policy), *(_rise(pools, policy, world) for world in LATER)]


def _shares(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    found = []
    for world in LATER:
        name = f"bystanders.share@{world}"
        try:
            found.append(_share(_changes(pools, world), name, policy))
        except (Unsupported, BadInput) as error:
            found.append(Evidence.missing(name, error.message))
    return [*found, _excess(pools, policy)]


def _changes(pools: Pools, later: World) -> Changes:
    second, first = pools.paired(later, "before")
    return Changes.of(first, second)


def _share(changes: Changes, name: str, policy: AuditPolicy) -> Evidence:
    drawn = changes.shares(changes.signs(randomness(policy, name)))
    compared = Compared(changes.share(), drawn, "labels before and after swapped within pairs of models", "rank")
    found = statistics.jackknife(len(changes), policy.n_blocks, lambda m: changes.keeping(m).share(), compared.value)
    what = f"share of kept records whose exposure rose by more than {SIGMAS:g} standard errors since before"
    return _written(name, what, changes, _of_share(found, changes), policy).model_copy(
        update={
            "null": compared.null,
            "p_value": compared.p_value("higher"),
            "power": detectable(compared, policy.alpha, policy.power),
        }
    )


def _of_share(found: Estimate, changes: Changes) -> Interval:
    """Return the interval; where no block of models moves the share, what so many records leave open."""
    n = changes.gaps.shape[1]
    if found.se == 0 and changes.gaps.any():
        return estimates.around(found.value, n, n)
    return found.interval(bounds=(0.0, 1.0))


def _excess(pools: Pools, policy: AuditPolicy) -> Evidence:
    name = "bystanders.share_excess@after"
    try:
        changes, retrained = _common(pools)
        found = statistics.jackknife(
            len(changes),
            policy.n_blocks,
            lambda m: changes.keeping(m).share() - retrained.keeping(m).share(),
        )
    except (Unsupported, BadInput) as error:
        return Evidence.missing(name, error.message)
    what = "share of kept records that rose, after − reference, in pairs of models"
    interval = found.interval(bounds=(-1.0, 1.0))
    tested = {"p_value": found.p_value("higher"), "power": found.detectable(policy.alpha, policy.power)}
    return _written(name, what, changes, interval, policy).model_copy(update=tested)


def _common(pools: Pools) -> tuple[Changes, Changes]:
    """Return the changes by unlearning and by retraining of the same pairs of models and records.

    Raises:
        Unsupported: a pool is missing, or no pair is in all three.
    """
    worlds: tuple[World, ...] = ("before", "after", "reference")
    shared = pools.need("before").pairs
    for world in worlds[1:]:
        shared = np.intersect1d(shared, pools.need(world).pairs)
    if not len(shared):
        raise Unsupported("no model before has both a partner after and a retrained one")
    cut = {w: pools.need(w).take(_places(pools.need(w), shared)) for w in worlds}
    return Changes.of(cut["before"], cut["after"]), Changes.of(cut["before"], cut["reference"])


def _places(pool: Pool, pairs: Positions) -> Positions:
    order = np.argsort(pool.pairs, kind="stable")
    return np.asarray(order[np.searchsorted(pool.pairs[order], pairs)], np.int64)


def _rise(pools: Pools, policy: AuditPolicy, world: World) -> Evidence:
    name = f"bystanders.rise@{world}"
    try:
        changes = _changes(pools, world)
        found = statistics.jackknife(len(changes), policy.n_blocks, lambda m: changes.keeping(m).rise())
        drawn = changes.rises(changes.signs(randomness(policy, name)))[0].mean(axis=1)
    except (Unsupported, BadInput) as error:
        return Evidence.missing(name, error.message)
    compared = Compared(found.value, drawn, "labels before and after swapped within pairs of models", "rank")
    what = "mean rise of the exposure of kept records since before, in standard deviations of a record's signal"
    return _written(name, what, changes, found.interval(), policy).model_copy(
        update={
            "null": compared.null,
            "p_value": compared.p_value("higher"),
            "power": found.detectable(policy.alpha, policy.power),
        }
    )


def _written(name: str, what: str, changes: Changes, interval: Interval, policy: AuditPolicy) -> Evidence:
    return Evidence(
        name=name,
        estimator=f"{what}; 95 % jackknife over {policy.n_blocks} blocks of pairs",
        value=interval.value,
        low=interval.low,
        high=interval.high,
        n=changes.gaps.shape[1],
        n_models=len(changes),
        seeds=policy.seeds,
    )


def _moments(gaps: Floats, inside: Mask, signs: Floats) -> tuple[Floats, Floats]:
    """Return mean and squared standard error of signed gaps over the models of a group, two arrays (draws, n)."""
    count = inside.sum(axis=0)
    held = np.where(inside, gaps, 0.0)
    mean = signs @ held / np.maximum(count, 1)
    scatter = np.maximum((held**2).sum(axis=0) - count * mean**2, 0.0)
    return mean, scatter / np.maximum(count - 1, 1) / np.maximum(count, 1)
