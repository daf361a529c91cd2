"""M02, M04, M05, M06: several numbers made one, as the literature prints them. Offered, never judged by.

A composite hides which part failed, and two of them pay for over-forgetting. No policy may ask one as its question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.sides import ROLES, Group, Reading, randomness
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import Pool, Pools
from expunge.audit.statistics import Positions
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.evidence import Evidence, Null
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

NOTE: Final = "A composite: look at its parts. It answers no question of a policy."
WEIGHT: Final = 0.5
"""λ of NoMUS."""


@dataclass(frozen=True, eq=False)
class Accuracies:
    """Shares of right predictions of each model, shape (M,) each; NaN where a model has no such record.

    Attributes:
        kept: RA.
        forgotten: FA; UA is 1 − FA.
        holdout: TA.
    """

    kept: Floats
    forgotten: Floats
    holdout: Floats

    def table(self) -> Floats:
        """Return forgotten, kept and holdout accuracy, shape (3, M)."""
        return np.stack([self.forgotten, self.kept, self.holdout])


def accuracies(pool: Pool) -> Accuracies:
    """Return the accuracy of each model on its kept, forgotten and holdout records.

    Raises:
        Unsupported: predicted classes are missing.
    """
    return Accuracies(*(_shares(pool.correct, pool, group) for group in ("kept", "forgotten", "holdout")))


def attack_areas(pool: Pool) -> Floats:
    """Return the AUC of φ, forgotten against holdout records, of each model, shape (M,): the MIA of the composites.

    Raises:
        Unsupported: signals are missing, or a model has no forgotten or no holdout record.

    Source: M07, on one model. The literature puts several attacks here; numbers of different ones do not compare.
    """
    positive, negative = (np.isin(pool.roles, ROLES[group]) for group in ("forgotten", "holdout"))
    if not (positive.any(axis=1) & negative.any(axis=1)).all():
        raise Unsupported("the attack needs forgotten and holdout records in every model")
    return np.array([_area(f[p], f[n]) for f, p, n in zip(pool.phi, positive, negative, strict=True)])


def gaps(first: Floats, second: Floats) -> Floats:
    """Return |mean over models − that of the retrained ones| of each number, shape (j,) for tables of shape (j, M)."""
    return np.asarray(np.abs(first.mean(axis=-1) - second.mean(axis=-1)))


def average_gap(first: Floats, second: Floats) -> float:
    """Return the mean of `gaps` (M02); 0 = like retraining."""
    return float(gaps(first, second).mean())


def tug_of_war(first: Floats, second: Floats) -> float:
    """Return ToW = Π(1 − gap) (M04); 1 = like retraining. With the MIA in place of FA it is ToW-MIA."""
    return float(np.prod(1 - gaps(first, second)))


def adaptive_score(holdout_before: float, holdout: float, forgotten: float) -> float:
    """Return AUS = (1 − (TA_o − TA_u))/(1 + |TA_u − FA_u|) (M05).

    Args:
        holdout_before: TA of the original.
        holdout: TA of the model in question.
        forgotten: FA of the model in question.
    """
    return (1 - (holdout_before - holdout)) / (1 + abs(holdout - forgotten))


def normalised_score(holdout: float, attack: float, weight: float = WEIGHT) -> float:
    """Return NoMUS = λTA + (1 − λ)(1 − 2|MIA − ½|) (M06)."""
    return weight * holdout + (1 - weight) * (1 - 2 * abs(attack - 0.5))


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the composites of unlearned models, each beside what retrained models give.

    * ``composite.average_gap@after`` over UA, RA, TA and MIA, ``composite.tow@after``, ``composite.tow_mia@after``:
      null by swapping the labels of pairs.
    * ``composite.ratio_{forgotten,kept,holdout}@after``: accuracy over that of retraining.
    * ``composite.aus@after``, ``composite.nomus@after``: null = the score of the retrained models.

    Guarantee: none, and no question may rest on them.
    Cost: one pass over predictions and signals.
    Source: M02, M04 (Zhao et al. 2024), M05 (Cotogni et al. 2023), M06 (Choi and Na 2023). MIA is `attack_areas`.
    """
    found: list[Evidence] = []
    for names, write in FAMILIES.items():
        try:
            found += write(*pools.paired("after"), pools, policy)
        except (Unsupported, BadInput, BadData) as error:
            found += [Evidence.missing(f"composite.{name}@after", error.message) for name in names]
    return found


def _of_accuracies(after: Pool, reference: Pool, pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    tables = [_complete(accuracies(pool).table()) for pool in (after, reference)]
    found = [_swapped("tow", "ToW: product of 1 − gap over FA, RA, TA", tug_of_war, tables, policy)]
    for i, group in enumerate(("forgotten", "kept", "holdout")):
        if tables[1][i].min() > 0:
            what = f"{group} accuracy over that of retrained models"
            pair = [t[i : i + 1] for t in tables]
            found.append(_swapped(f"ratio_{group}", what, lambda a, b: float(a.mean() / b.mean()), pair, policy))
        else:
            why = f"a retrained model is never right on {group} records"
            found.append(Evidence.missing(f"composite.ratio_{group}@after", why))
    return found


def _of_attacks(after: Pool, reference: Pool, pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    tables = []
    for pool in (after, reference):
        fa, ra, ta = _complete(accuracies(pool).table())
        tables.append(np.stack([1 - fa, ra, ta, attack_areas(pool)]))
    mia = [t[[3, 1, 2]] for t in tables]
    return [
        _swapped("average_gap", "mean gap to retraining over UA, RA, TA and MIA (AUC)", average_gap, tables, policy),
        _swapped("tow_mia", "ToW-MIA: product of 1 − gap over MIA (AUC), RA, TA", tug_of_war, mia, policy),
        _beside_reference(
            "nomus",
            f"NoMUS, λ {WEIGHT:g}, MIA = AUC",
            lambda table: normalised_score(float(table[2].mean()), float(table[3].mean())),
            tables,
            policy,
        ),
    ]


def _of_originals(after: Pool, reference: Pool, pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    before = float(_complete(accuracies(pools.need("before")).holdout[None]).mean())
    tables = [_complete(accuracies(pool).table()) for pool in (after, reference)]

    def score(table: Floats) -> float:
        return adaptive_score(before, float(table[2].mean()), float(table[0].mean()))

    return [_beside_reference("aus", "AUS", score, tables, policy)]


Family = Callable[[Pool, Pool, Pools, AuditPolicy], list[Evidence]]
FAMILIES: Final[dict[tuple[str, ...], Family]] = {
    ("tow", "ratio_forgotten", "ratio_kept", "ratio_holdout"): _of_accuracies,
    ("average_gap", "tow_mia", "nomus"): _of_attacks,
    ("aus",): _of_originals,
}


def _swapped(
    name: str,
    what: str,
    statistic: Callable[[Floats, Floats], float],
    tables: list[Floats],
    policy: AuditPolicy,
) -> Evidence:
    """Return a composite of two tables of shape (j, M), beside its null by labels swapped within pairs."""
    first, second = tables
    m = first.shape[1]
    swaps = randomness(policy, f"composite.{name}").random((N_SHUFFLES, m)) < 0.5
    draws = [statistic(np.where(s, second, first), np.where(s, first, second)) for s in swaps]
    compared = Compared(statistic(first, second), np.array(draws), "labels swapped within pairs of models", "rank")

    def without(kept: Positions) -> float:
        return statistic(first[:, kept], second[:, kept])

    bounds = (0.0, np.inf if name.startswith("ratio") else 1.0)
    interval = statistics.jackknife(m, policy.n_blocks, without, compared.value).interval(bounds=bounds)
    return _reading(name, what, m, policy).plain(interval, compared.null, NOTE)


def _beside_reference(
    name: str, what: str, score: Callable[[Floats], float], tables: list[Floats], policy: AuditPolicy
) -> Evidence:
    """Return a composite of one table, beside that of the retrained models."""
    m = tables[0].shape[1]
    ours, theirs = (
        statistics.jackknife(m, policy.n_blocks, lambda kept, t=t: score(t[:, kept])).interval()  # type: ignore[misc]
        for t in tables
    )
    null = Null(what="retrained models", value=theirs.value, low=theirs.low, high=theirs.high, n=theirs.n)
    return _reading(name, what, m, policy).plain(ours, null, NOTE)


def _reading(name: str, what: str, n_models: int, policy: AuditPolicy) -> Reading:
    return Reading(f"composite.{name}@after", what, n_models, n_models, policy.seeds, "models")


def _shares(correct: Floats, pool: Pool, group: Group) -> Floats:
    used = np.isin(pool.roles, ROLES[group])
    counts = used.sum(axis=1)
    hits = np.where(used, correct, 0.0).sum(axis=1)
    return np.asarray(np.divide(hits, counts, out=np.full(len(pool), np.nan), where=counts > 0))


def _complete(table: Floats) -> Floats:
    if not np.isfinite(table).all():
        raise Unsupported("composites need kept, forgotten and holdout records in every model")
    return table


def _area(positive: Floats, negative: Floats) -> float:
    """Return P(positive > negative), ties one half."""
    ascending = np.sort(negative)
    below = np.searchsorted(ascending, positive) + np.searchsorted(ascending, positive, side="right")
    return float(below.mean() / (2 * len(negative)))
