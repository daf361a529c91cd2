"""M19, a lower bound of ε: what an auditor may claim about a certified promise, from scores of models of two worlds.

Half of the models chooses the test, the other half counts; the counts give a one-sided bound that is wrong in at most
a share alpha of audits, whatever the scores are. It never shows that a promise holds: it can only contradict one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from expunge.audit.battery.sides import FEWEST_MODELS, Arm, randomness
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import FORGOTTEN, Mask, Pools
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

Choice = Literal["bound", "rate"]
DELTA: Final = 1e-5


@dataclass(frozen=True)
class Guess:
    """Which world a model is from, guessed from its score.

    Attributes:
        threshold: where the guess turns.
        above: whether scores at or above the threshold (else: at or below it) are guessed to be the tested world.
        swapped: whether the tested world is the reference.
    """

    threshold: float
    above: bool
    swapped: bool

    def counts(self, arm: Floats, reference: Floats) -> tuple[int, int]:
        """Return how many models of the tested world, and of the other, are guessed to be the tested one."""
        tested, other = (reference, arm) if self.swapped else (arm, reference)
        hits = [(s >= self.threshold) if self.above else (s <= self.threshold) for s in (tested, other)]
        return int(hits[0].sum()), int(hits[1].sum())


class LowerBound(NamedTuple):
    """A lower bound of ε and the counts behind it.

    Attributes:
        epsilon: with confidence 1 − alpha, the true ε (at this δ) is no smaller. 0 = nothing can be claimed.
        true_rate: lower bound of the rate at which the tested world is recognised.
        false_rate: upper bound of the rate at which the other world is taken for it.
        n: models that counted, both worlds together.
    """

    epsilon: float
    true_rate: float
    false_rate: float
    n: int


def lower_bound(
    arm: npt.ArrayLike,
    reference: npt.ArrayLike,
    *,
    delta: float = DELTA,
    alpha: float = 0.05,
    choose: Choice = "bound",
    both_ways: bool = True,
) -> LowerBound:
    """Return ε_LB = max(0, ln((TPR_low − δ)/FPR_high)), rates by Clopper–Pearson at alpha/2 each.

    The first half of each side chooses threshold, direction and which world is tested; the second half counts. Scores
    must not depend on the second halves, and the models of a side must be independent draws.

    Args:
        arm: one score a model, shape (N,), e.g. of unlearned models.
        reference: one score a model, shape (M,), e.g. of models retrained without the records.
        delta: δ of the promise.
        alpha: how often the bound may be wrong.
        choose: ``bound`` takes the test with the best bound on the first half; ``rate`` the one with the largest
            ratio of rates there, which finds less.
        both_ways: whether the promise holds with the worlds exchanged too, so that either may be the tested one.

    Raises:
        BadInput: fewer than four models a side, a score that is not finite, or δ or alpha outside (0, 1).

    Source: M19; Jagielski, Ullman and Oprea (2020). V4: above the promised ε, the promise is contradicted.
    """
    sides = [np.asarray(v, np.float64).ravel() for v in (arm, reference)]
    if min(map(len, sides)) < 4 or not all(np.isfinite(s).all() for s in sides):
        raise BadInput(f"a bound of ε needs four finite scores a side or more, not {len(sides[0])} and {len(sides[1])}")
    if not (0 <= delta < 1 and 0 < alpha < 1):
        raise BadInput(f"δ = {delta:g} and alpha = {alpha:g} are shares between 0 and 1")
    first, second = zip(*(np.split(s, [len(s) // 2]) for s in sides), strict=True)
    worlds = (False, True) if both_ways else (False,)
    test = _chosen(first[0], first[1], delta, alpha if choose == "bound" else 0.0, worlds)
    tested, other = reversed(second) if test.swapped else second
    hits, false = test.counts(*second)
    true_rate = float(_limits(len(tested), alpha / 2)[0][hits])
    false_rate = float(_limits(len(other), alpha / 2)[1][false])
    epsilon = max(0.0, float(np.log(max(true_rate - delta, 1e-300) / false_rate)))
    return LowerBound(epsilon, true_rate, false_rate, len(tested) + len(other))


def largest_bound(n: int, delta: float = DELTA, alpha: float = 0.05) -> float:
    """Return the ε_LB of perfect separation with n models a side: no audit of this size can claim more."""
    half = n - n // 2
    low, high = _limits(half, alpha / 2)
    return max(0.0, float(np.log((low[half] - delta) / high[0])))


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the lower bound of ε between unlearned and retrained models, and between originals and retrained ones.

    * ``likeness.epsilon_lower_bound@<arm>``: the interval reaches up to infinity in truth; `high` is the bound that
      perfect separation would give with as many models, so that low = value ≤ high.

    The score of a model is a sum over its forgotten records of what the first half of the models says of the record.

    Guarantee: the true ε is below the value in at most a share ``policy.alpha`` of audits, if models of a side are
        independent draws. It is never evidence that a promise of ε holds.
    Cost: one pass over the signals and 200 shuffles.
    Source: M19, V4.
    """
    found = []
    for arm in ("after", "before"):
        name = f"likeness.epsilon_lower_bound@{arm}"
        try:
            found.append(_evidence(pools, arm, name, policy))
        except (Unsupported, BadInput, BadData) as error:
            found.append(Evidence.missing(name, error.message))
    return found


def model_scores(signals: tuple[Floats, Floats], used: tuple[Mask, Mask]) -> tuple[Floats, Floats]:
    """Return one score of each model of two pools, two arrays of shapes (N,) and (M,).

    Each record weighs (mean of the arm − mean of the reference)/variance and is centred between them: the log of the
    likelihood ratio of two normals. Means and variances are those of the first halves, so the second halves may count.

    Args:
        signals: φ of both pools, shapes (N, n) and (M, n).
        used: which records count for which model, same shapes.

    Raises:
        BadInput: no record has two models on each side of the first halves.
    """
    moments = (_moments(s[: len(s) // 2], u[: len(s) // 2]) for s, u in zip(signals, used, strict=True))
    counts, means, squares = zip(*moments, strict=True)
    known = np.minimum(*counts) >= 2
    if not known.any():
        raise BadInput("no record was forgotten by two models on each side of the half that chooses")
    variance = (squares[0] + squares[1])[known] / (counts[0] + counts[1] - 2)[known]
    scale = np.maximum(variance, 1e-12 * max(1.0, float(variance.max())))
    weight = (means[0] - means[1])[known] / scale
    middle = (means[0] + means[1])[known] / 2
    first, second = (
        np.where(u[:, known], (s[:, known] - middle) * weight, 0.0).sum(axis=1)
        for s, u in zip(signals, used, strict=True)
    )
    return first, second


def _evidence(pools: Pools, arm: Arm, name: str, policy: AuditPolicy) -> Evidence:
    ours, theirs = pools.need(arm), pools.need("reference")
    n_models = min(len(ours), len(theirs))
    if n_models < FEWEST_MODELS:
        raise Unsupported(f"a bound of ε needs {FEWEST_MODELS} models a side or more, not {n_models}")
    used = ours.has(FORGOTTEN), theirs.has(FORGOTTEN)
    some = used[0].any(axis=0) & used[1].any(axis=0)
    signals, used = (ours.phi[:, some], theirs.phi[:, some]), (used[0][:, some], used[1][:, some])
    bound = lower_bound(*model_scores(signals, used), alpha=policy.alpha)
    compared = _compared(bound.epsilon, signals, used, policy)
    high = largest_bound(n_models, alpha=policy.alpha)
    return Evidence(
        name=name,
        estimator=f"lower bound of ε at δ = {DELTA:g}, confidence {1 - policy.alpha:.0%}, half of the models chooses",
        value=bound.epsilon,
        low=bound.epsilon,
        high=max(high, bound.epsilon),
        n=bound.n,
        unit="models",
        n_models=n_models,
        null=compared.null,
        p_value=compared.p_value("higher"),
        seeds=policy.seeds,
        note=f"A lower bound has no upper end; the upper end shown is the largest bound that {n_models} models a side "
        "can give.",
    )


def _compared(value: float, signals: tuple[Floats, Floats], used: tuple[Mask, Mask], policy: AuditPolicy) -> Compared:
    """Return the bound beside its null by permuted labels."""
    generator = randomness(policy, "likeness.epsilon_lower_bound")
    pooled, known = np.concatenate(signals), np.concatenate(used)
    found = []
    for _ in range(N_SHUFFLES):
        order = generator.permutation(len(pooled))
        parts = np.split(order, [len(signals[0])])
        scores = model_scores((pooled[parts[0]], pooled[parts[1]]), (known[parts[0]], known[parts[1]]))
        found.append(lower_bound(*scores, alpha=policy.alpha).epsilon)
    return Compared(value, np.array(found), "labels of the pooled models permuted", "rank")


def _moments(signals: Floats, used: Mask) -> tuple[Floats, Floats, Floats]:
    """Return count, mean and sum of squares about the mean of each record, over the models that count."""
    count = used.sum(axis=0)
    mean = np.where(used, signals, 0.0).sum(axis=0) / np.maximum(count, 1)
    return count, mean, (np.where(used, signals - mean, 0.0) ** 2).sum(axis=0)


def _chosen(arm: Floats, reference: Floats, delta: float, alpha: float, worlds: tuple[bool, ...]) -> Guess:
    """Return the test that looks best on these scores, with either world of ``worlds`` (swapped or not) tested."""
    cuts = np.unique(np.concatenate([arm, reference]))
    best, found = -np.inf, Guess(float(cuts[0]), True, False)
    for above in (True, False):
        arm_hits, reference_hits = (_hits(side, cuts, above) for side in (arm, reference))
        for swapped in worlds:
            hits, false = (reference_hits, arm_hits) if swapped else (arm_hits, reference_hits)
            sizes = (len(reference), len(arm)) if swapped else (len(arm), len(reference))
            worth = _worth(hits, false, sizes, delta, alpha)
            i = int(worth.argmax())
            if worth[i] > best:
                best, found = float(worth[i]), Guess(float(cuts[i]), above, swapped)
    return found


def _hits(scores: Floats, cuts: Floats, above: bool) -> npt.NDArray[np.intp]:
    ascending = np.sort(scores)
    if above:
        return np.asarray(len(scores) - np.searchsorted(ascending, cuts))
    return np.asarray(np.searchsorted(ascending, cuts, side="right"))


def _worth(
    hits: npt.NDArray[np.intp], false: npt.NDArray[np.intp], sizes: tuple[int, int], delta: float, alpha: float
) -> Floats:
    """Return ε by bounds of the rates; with alpha 0 by the rates themselves, where the false one is above zero."""
    if alpha > 0:
        true_rate, false_rate = _limits(sizes[0], alpha / 2)[0][hits], _limits(sizes[1], alpha / 2)[1][false]
    else:
        true_rate, false_rate = hits / sizes[0], np.where(false > 0, false / sizes[1], np.inf)
    return np.asarray(np.log(np.maximum(true_rate - delta, 1e-300)) - np.log(false_rate))


@lru_cache(maxsize=256)
def _limits(n: int, tail: float) -> tuple[Floats, Floats]:
    """Return the one-sided Clopper–Pearson limits, lower and upper, of each number of successes of n trials."""
    from scipy.special import betaincinv

    k = np.arange(n + 1.0)
    low, high = np.zeros(n + 1), np.ones(n + 1)
    low[1:] = betaincinv(k[1:], n - k[1:] + 1, tail)
    high[:-1] = betaincinv(k[:-1] + 1, n - k[:-1], 1 - tail)
    return low, high
