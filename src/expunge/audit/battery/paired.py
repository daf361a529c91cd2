"""What one number a model says of two pools: the mean of each, and the difference to retraining with its null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from expunge.audit import statistics
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import Pool, Pools, World
from expunge.audit.statistics import FEWEST_SEEDS, Estimate, Harmful
from expunge.core import estimates
from expunge.core.errors import Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence, Null
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats
from expunge.core.seeds import Key

SWAPPED: Final = "labels swapped within pairs of models"


@dataclass(frozen=True)
class Sheet:
    """Who writes evidence: the policy, and how many records stand behind the numbers.

    Attributes:
        policy: alpha, power, blocks, seeds.
        n: records of the group, in the model with the fewest.
        equal: whether the two pools gave the very same answers on these records.
    """

    policy: AuditPolicy
    n: int
    equal: bool = False

    def write(self, name: str, estimator: str, interval: Interval, n_models: int, **more: object) -> Evidence:
        """Return an interval as evidence."""
        record = Evidence(
            name=name,
            estimator=estimator,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n=self.n,
            n_models=n_models,
            seeds=self.policy.seeds,
        )
        return record.model_copy(update=more)

    def difference(self, name: str, estimator: str, differences: Floats, harmful: Harmful) -> Evidence:
        """Return the mean of paired differences, one a pair of models, with t over the pairs.

        Raises:
            BadInput: fewer than three pairs.
        """
        found = statistics.over_seeds(differences)
        return self.write(
            name,
            f"{estimator}; mean over {len(differences)} pairs of models, 95 % t over pairs",
            self._wide(found, floor=1 / self.n),
            len(differences),
            null=Compared(found.value, self.swapped(name, differences), SWAPPED, "rank").null,
            p_value=found.p_value(harmful),
            power=self.power(found),
            note=self._note(),
        )

    def unpaired(self, name: str, estimator: str, values: Floats, references: Floats, harmful: Harmful) -> Evidence:
        """Return how far models are from the mean of references that they share no members with.

        Raises:
            Unsupported: fewer than three references.
        """
        count = len(references)
        if count < FEWEST_SEEDS:
            raise Unsupported(f"an excess needs {FEWEST_SEEDS} pairs of models, or as many references, not {count}")
        others = (references.sum() - references) / (count - 1)
        compared = Compared(
            float(values.mean() - references.mean()),
            references - others,
            "retrain against retrain",
            "normal-assumed",
            len(values),
        )
        found = compared.estimate
        return self.write(
            name,
            f"{estimator}; 95 % t from the spread of {count} references (normal-assumed)",
            self._wide(Estimate(compared.value, found.se, found.degrees, count), floor=1 / self.n),
            len(values) + count,
            null=compared.null,
            p_value=found.p_value(harmful),
            power=self.power(found),
            note=self._note(),
        )

    def swapped(self, name: str, differences: Floats) -> Floats:
        """Return the mean difference under random swaps of the two labels of each pair, shape (draws, …).

        Args:
            name: of the evidence: each has randomness of its own.
            differences: shape (pairs, …).
        """
        generator = Key.public("/".join(self.policy.seeds)).generator(name)
        signs = 1.0 - 2.0 * (generator.random((N_SHUFFLES, len(differences))) < 0.5)
        return np.asarray(signs @ differences / len(differences), np.float64)

    def power(self, found: Estimate) -> float | None:
        """Return the smallest excess found with the policy's power; None where nothing varied, so that nobody knows."""
        return found.detectable(self.policy.alpha, self.policy.power) if found.se > 0 or self.equal else None

    def _wide(self, found: Estimate, floor: float) -> Interval:
        """Return the interval; not a point where models differ in their answers but not in this number."""
        if self.equal or found.se > 0:
            return found.interval()
        return Interval(found.value, found.value - floor, found.value + floor, found.n)

    def _note(self) -> str | None:
        return "The two pools gave the same answers on all of these records." if self.equal else None


def pair(pools: Pools, world: World) -> tuple[Pool, Pool, bool]:
    """Return an arm and the references, cut to common pairs where there are three or more, and whether they are.

    Raises:
        Unsupported: a pool is missing.
    """
    first, second = pools.need(world), pools.need("reference")
    if len(first) >= FEWEST_SEEDS and np.array_equal(first.pairs, second.pairs):
        return first, second, True
    if len(np.intersect1d(first.pairs, second.pairs)) >= FEWEST_SEEDS:
        return (*pools.paired(world), True)
    return first, second, False


def level(values: Floats, n_records: int, bounds: tuple[float, float]) -> Interval:
    """Return the mean of one value a model with t over models; of one or two models, without knowledge of others.

    Args:
        values: shape (M,).
        n_records: behind each, for shares that no model varies.
        bounds: of the measure.
    """
    if len(values) < FEWEST_SEEDS:
        return _few(values, n_records, bounds)
    found = statistics.over_seeds(values)
    if found.se == 0 and bounds == (0.0, 1.0):
        return estimates.around(found.value, n_records, len(values))
    return found.interval(bounds=bounds)


def _few(values: Floats, n_records: int, bounds: tuple[float, float]) -> Interval:
    value = float(values.mean())
    if bounds == (0.0, 1.0):
        return estimates.around(value, n_records, len(values))
    return Interval(value, float(values.min()), float(values.max()), len(values))


def control(values: Floats, n_records: int, bounds: tuple[float, float]) -> Null:
    """Return the references' own level as the control of the after arm."""
    value, low, high, n = level(values, n_records, bounds)
    return Null(what="reference", value=value, low=low, high=high, n=n)
