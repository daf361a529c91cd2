"""``Sides``: the signals of two pools for the same records, as many models a side for each, and their labels shuffled.

The measures of pools (M18, M19, M20) ask of each record how its signal is distributed over models that forgot it and
over models retrained without it. Which models those are differs from record to record where each model has forgotten
records of its own; here every record gets the same number of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from expunge.audit.nulls import Compared
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Mask, Pool, Pools
from expunge.audit.statistics import Estimate, Harmful, Positions
from expunge.core.errors import Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence, Null
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats
from expunge.core.seeds import Key

Arm = Literal["before", "after"]
Group = Literal["forgotten", "kept", "holdout"]
GROUPS: Final[tuple[Group, ...]] = ("forgotten", "kept", "holdout")
ROLES: Final[dict[Group, tuple[int, ...]]] = {
    "forgotten": (FORGOTTEN,),
    "kept": (KEPT,),
    "holdout": (NEVER, POPULATION),
}

FEWEST_MODELS: Final = 64
"""Models a side for each record, below which M18, M19 and M20 are not measured (spec section 8)."""


@dataclass(frozen=True, eq=False)
class Sides:
    """The signals φ of two pools of models for some records.

    Attributes:
        arm: the models in question, shape (P, n).
        reference: the retrained ones, shape (P, n).
        used: which models count for a record, shape (P, n); the first `n_models` of them do.
        used_reference: the same among the retrained ones, shape (P, n).
        records: positions of the records in the audit, shape (n,).
        paired: whether row i of both has the same members and the same forgotten records.
    """

    arm: Floats
    reference: Floats
    used: Mask
    used_reference: Mask
    records: Positions
    paired: bool

    @classmethod
    def of(cls, arm: npt.ArrayLike, reference: npt.ArrayLike, *, paired: bool = False) -> Sides:
        """Return the sides of two plain arrays of shape (N, n): every model counts for every record."""
        a, r = np.asarray(arm, np.float64), np.asarray(reference, np.float64)
        return cls(a, r, np.ones(a.shape, bool), np.ones(r.shape, bool), np.arange(a.shape[1]), paired)

    def __len__(self) -> int:
        return len(self.arm)

    @cached_property
    def n_models(self) -> int:
        """Models a side for each record: as many as the record with the fewest has."""
        return int(min(self.used.sum(axis=0).min(), self.used_reference.sum(axis=0).min()))

    @cached_property
    def _rows(self) -> tuple[Positions, Positions]:
        """Which models count for each record, two arrays of shape (n_models, n)."""
        first = np.argsort(~self.used, axis=0, kind="stable")[: self.n_models]
        second = np.argsort(~self.used_reference, axis=0, kind="stable")[: self.n_models]
        return first, second

    @cached_property
    def pooled(self) -> Floats:
        """Both sides, the arm's rows first, shape (2·n_models, n)."""
        first, second = self._rows
        rows = (np.take_along_axis(self.arm, first, 0), np.take_along_axis(self.reference, second, 0))
        return np.concatenate(rows)

    @cached_property
    def units(self) -> Positions:
        """The column of `shuffled` that says on which side each entry of `pooled` counts, same shape."""
        if self.paired:
            first, second = self._rows
            return np.concatenate([first, len(self) + second])
        rows = np.arange(2 * self.n_models)[:, None]
        return np.broadcast_to(rows, (2 * self.n_models, self.arm.shape[1]))

    def shuffled(self, generator: np.random.Generator, n_shuffles: int) -> Mask:
        """Return draws of labels, shape (n_shuffles, units): True = counts as the arm.

        In pairs, the two models of a pair are swapped or not; else the labels of the pooled models are permuted.
        """
        if self.paired:
            swap = generator.random((n_shuffles, len(self))) < 0.5
            return np.concatenate([~swap, swap], axis=1)
        labels = np.broadcast_to(np.arange(2 * self.n_models) < self.n_models, (n_shuffles, 2 * self.n_models))
        return generator.permuted(labels, axis=1)

    def keeping(self, models: Positions) -> Sides:
        """Return the sides with these models (or pairs) only: what a jackknife leaves."""
        return Sides(
            self.arm[models],
            self.reference[models],
            self.used[models],
            self.used_reference[models],
            self.records,
            self.paired,
        )

    def compared(self, value: float, draws: Floats) -> Compared:
        """Return a measure beside its null by shuffled labels; draws that differ from it by rounding only equal it."""
        draws = np.where(np.isclose(draws, value, rtol=1e-9, atol=1e-12), value, draws)
        what = "labels swapped within pairs of models" if self.paired else "labels of the pooled models permuted"
        return Compared(value, draws, what, "rank")


def face(pools: Pools, arm: Arm, group: Group, fewest: int = FEWEST_MODELS) -> Sides:
    """Return the models of an arm and the retrained ones, for the records of a group.

    Models with partners are compared in pairs; without any, the first of each pool, as many as the smaller one has.

    Raises:
        Unsupported: a pool or its signals are missing, or no record has `fewest` models on each side.
    """
    ours, theirs, paired = _pair(pools, arm)
    used, used_theirs = (np.isin(pool.roles, ROLES[group]) for pool in (ours, theirs))
    if paired:
        used = used_theirs = used & used_theirs
    counts = np.minimum(used.sum(axis=0), used_theirs.sum(axis=0))
    found = np.flatnonzero(counts >= fewest)
    if not len(found):
        most = int(counts.max(initial=0))
        raise Unsupported(
            f"no record is {group} in {fewest} models {arm} and {fewest} references or more; {most} at most. "
            "Train more models, or let all of them forget the same records"
        )
    return Sides(ours.phi[:, found], theirs.phi[:, found], used[:, found], used_theirs[:, found], found, paired)


def _pair(pools: Pools, arm: Arm) -> tuple[Pool, Pool, bool]:
    ours, theirs = pools.need(arm), pools.need("reference")
    if len(np.intersect1d(ours.pairs, theirs.pairs)):
        return (*pools.paired(arm), True)
    size = np.arange(min(len(ours), len(theirs)))
    return ours.take(size), theirs.take(size), False


@dataclass(frozen=True)
class Reading:
    """How a measure of pools is written down.

    Attributes:
        name: of the evidence.
        estimator: in one line.
        n: records it rests on.
        n_models: models a side.
        seeds: of the randomness.
        unit: what n counts.
    """

    name: str
    estimator: str
    n: int
    n_models: int
    seeds: tuple[str, ...] = ()
    unit: str = "records"

    def excess(
        self, compared: Compared, estimate: Estimate, alpha: float = 0.05, harmful: Harmful = "higher"
    ) -> Evidence:
        """Return a measure less the mean of its null, with its jackknife interval, p-value and power."""
        draws = compared.draws - compared.draws.mean()
        shifted = Compared(compared.excess, draws, compared.what, compared.form)
        return self._tested(shifted, estimate.interval(), alpha, harmful)

    def ratio(self, compared: Compared, estimate: Estimate, alpha: float = 0.05) -> Evidence:
        """Return a ratio to the mean of its null, lower = worse, with jackknife interval, p-value and power."""
        return self._tested(compared, estimate.interval(bounds=(0.0, np.inf)), alpha, "lower")

    def beside(
        self, compared: Compared, note: str | None = None, bounds: tuple[float, float] = (0.0, np.inf)
    ) -> Evidence:
        """Return a measure as it is, beside its null; the null's spread is its interval."""
        spread = Estimate(compared.value, compared.estimate.se, compared.estimate.degrees, compared.n)
        wide = replace(self, estimator=f"{self.estimator}; interval from the spread of its null")
        return wide.plain(spread.interval(bounds=bounds), compared.null, note)

    def plain(self, interval: Interval, null: Null | None = None, note: str | None = None) -> Evidence:
        """Return a measure with its interval, beside a null if there is one; no test is made."""
        value, low, high, _ = interval
        return Evidence(
            name=self.name,
            estimator=self.estimator,
            value=value,
            low=low,
            high=high,
            n=self.n,
            unit=self.unit,
            n_models=self.n_models,
            null=null,
            seeds=self.seeds,
            note=note,
        )

    def _tested(self, compared: Compared, interval: Interval, alpha: float, harmful: Harmful) -> Evidence:
        tested = {"p_value": compared.p_value(harmful), "power": detectable(compared, alpha)}
        return self.plain(interval, compared.null).model_copy(update=tested)


def randomness(policy: AuditPolicy, purpose: str) -> np.random.Generator:
    """Return the randomness of one measure, by the policy's seeds and the measure's name."""
    return Key.public("/".join(policy.seeds)).generator(purpose)


def detectable(compared: Compared, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the smallest excess that the shuffled labels would let through in this share of cases, if normal."""
    from scipy.special import ndtri

    spread = float(compared.draws.std(ddof=1))
    return spread * float(ndtri(1 - alpha) + ndtri(power))
