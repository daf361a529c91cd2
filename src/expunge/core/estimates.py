"""Intervals and tests: the one place where a number gets its uncertainty. All intervals are 95 % and two-sided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from expunge.core.errors import BadInput

Z = 1.959963984540054
"""Two-sided 95 % quantile of the standard normal."""

ROUNDING = 1e-9
"""Slack where a product of a share and a count should be whole: 0.29 · 100 is 28.999999999999996."""


class Interval(NamedTuple):
    """A point estimate with its 95 % interval and the number of observations."""

    value: float
    low: float
    high: float
    n: int


def proportion(successes: int, n: int) -> Interval:
    """Return a share with Wilson's interval; Clopper–Pearson's when none or all succeed.

    Raises:
        BadInput: no trials.
    """
    if not 0 <= successes <= n or n == 0:
        raise BadInput(f"{successes} successes of {n} trials")
    share = successes / n
    if successes in (0, n):
        tail = float(0.025 ** (1 / n))
        return Interval(share, 0.0, 1 - tail, n) if successes == 0 else Interval(share, tail, 1.0, n)
    z2 = Z * Z
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n)))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half), n)


def around(share: float, trials: int, n: int) -> Interval:
    """Return a share whose own variance came out as zero, with the interval that this many trials would leave.

    The hull of `proportion`'s intervals of the whole numbers of successes below and above the share.

    Args:
        share: the estimate, in [0, 1].
        trials: the independent units behind it.
        n: the records behind it, for the result.
    """
    low = proportion(int(np.floor(share * trials + ROUNDING)), trials).low
    high = proportion(int(np.ceil(share * trials - ROUNDING)), trials).high
    return Interval(share, min(low, share), max(high, share), n)


def student(degrees: float, probability: float = 0.975) -> float:
    """Return a quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, probability))


def mean(values: npt.ArrayLike) -> Interval:
    """Return a mean with Student's t interval.

    Raises:
        BadInput: fewer than two values, or a value that is not finite.
    """
    x = np.asarray(values, np.float64).ravel()
    if len(x) < 2 or not np.isfinite(x).all():
        raise BadInput(f"a mean with an interval needs two finite values or more, not {len(x)}")
    centre = float(x.mean())
    half = student(len(x) - 1) * float(x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(centre, centre - half, centre + half, len(x))


def clustered_mean(values: npt.ArrayLike, clusters: npt.NDArray[Any]) -> Interval:
    """Return a mean of records with an interval over their owners: records of one subject are not independent.

    Uses the ratio estimator Σ sums / Σ sizes with the linearised between-cluster variance and t with
    (clusters - 1) degrees of freedom. `n` counts records.

    Raises:
        BadInput: fewer than two clusters, a value that is not finite, or not one cluster a value.
    """
    x = np.asarray(values, np.float64).ravel()
    if not len(x) or len(x) != len(clusters) or not np.isfinite(x).all():
        raise BadInput(
            f"a mean over owners needs finite values, one owner each: {len(x)} and {len(clusters)} were given"
        )
    centre = float(x.mean())
    half = half_width((x - centre) / len(x), clusters)
    return Interval(centre, centre - half, centre + half, len(x))


def owner_sums(values: npt.NDArray[Any], owners: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Return the sum of each owner's values, shape (owners,)."""
    _, which = np.unique(owners, return_inverse=True)
    return np.asarray(np.bincount(which, weights=values), np.float64)


def half_width(influence: npt.NDArray[Any], owners: npt.NDArray[Any]) -> float:
    """Return half the 95 % t interval of a number that each record moves by its influence (summing to zero), by owner.

    Raises:
        BadInput: fewer than two owners, or an influence that is not finite.
    """
    sums = owner_sums(influence, owners)
    k = len(sums)
    if k < 2:
        raise BadInput("an interval over owners needs two owners or more")
    if not np.isfinite(sums).all():
        raise BadInput("the measure is not finite")
    return student(k - 1) * float(np.sqrt(k / (k - 1) * np.sum(sums**2)))


def _scores(*sides: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], ...]:
    arrays = tuple(np.asarray(v, np.float64).ravel() for v in sides)
    if any(np.isnan(a).any() for a in arrays):
        raise BadInput("a score is NaN and has no rank")
    return arrays


def _midranks(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return ((2 * ends - counts + 1) / 2)[inverse]


class Placements(NamedTuple):
    """DeLong's parts of an AUC.

    Attributes:
        area: P(positive scores higher), ties one half.
        over: the share of negatives below each positive, shape (m,).
        under: the share of positives above each negative, shape (n,).
    """

    area: float
    over: npt.NDArray[np.float64]
    under: npt.NDArray[np.float64]

    @property
    def variance(self) -> float:
        """The variance over records, DeLong's."""
        return float(self.over.var(ddof=1) / len(self.over) + self.under.var(ddof=1) / len(self.under))


def placements(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Placements:
    """Return an AUC with what each record contributes to it; arguments, errors and source as for `auc`."""
    pos, neg = _scores(positives, negatives)
    m, n = len(pos), len(neg)
    if min(m, n) < 2:
        raise BadInput(f"an AUC with an interval needs two records on each side, not {m} and {n}")
    together = _midranks(np.concatenate([pos, neg]))
    over = (together[:m] - _midranks(pos)) / n
    return Placements(float(over.mean()), over, 1 - (together[m:] - _midranks(neg)) / m)


def auc(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> Interval:
    """Return P(positive scores higher) with DeLong's interval on the logit scale; ties count one half.

    With complete separation DeLong's variance is zero; the interval is then that of `proportion` at the smaller
    group's size, so that certainty is never claimed from a handful of records.

    Args:
        positives: scores of members, shape (m,).
        negatives: scores of non-members, shape (n,).

    Raises:
        BadInput: fewer than two scores on a side, or a score that is NaN.

    Source: DeLong, DeLong and Clarke-Pearson (1988), by midranks.
    """
    found = placements(positives, negatives)
    area, variance, m, n = found.area, found.variance, len(found.over), len(found.under)
    if variance < 1e-12 or area in (0.0, 1.0):
        return around(area, min(m, n), m + n)
    logit = np.log(area / (1 - area))
    half = Z * np.sqrt(variance) / (area * (1 - area))
    low, high = (float(1 / (1 + np.exp(-v))) for v in (logit - half, logit + half))
    return Interval(area, low, high, m + n)


def roc(positives: npt.ArrayLike, negatives: npt.ArrayLike) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the ROC curve as (false positive rates, true positive rates), one point a distinct score."""
    pos, neg = (np.sort(np.asarray(v, np.float64).ravel()) for v in (positives, negatives))
    cuts = np.concatenate([[np.inf], np.unique(np.concatenate([pos, neg]))[::-1]])
    fpr = 1 - np.searchsorted(neg, cuts, "left") / len(neg)
    tpr = 1 - np.searchsorted(pos, cuts, "left") / len(pos)
    return fpr, tpr


def tpr_at(positives: npt.ArrayLike, negatives: npt.ArrayLike, fpr: float) -> Interval:
    """Return the true positive rate at a false positive rate: smallest threshold whose empirical FPR ≤ ``fpr``.

    Raises:
        BadInput: fewer than ``10 / fpr`` negatives: the true rate behind the nominal one would be unknown
            (spec M17); or no positives, a score that is NaN, a rate outside (0, 1).
    """
    pos, neg = _scores(positives, negatives)
    if not 0 < fpr < 1:
        raise BadInput(f"a false positive rate lies between 0 and 1, and {fpr:g} does not")
    if len(neg) * fpr < 10 - ROUNDING:
        raise BadInput(f"TPR at {fpr:g} needs {int(np.ceil(10 / fpr))} non-members or more, not {len(neg)}")
    return proportion(int((pos > threshold_at(neg, fpr)).sum()), len(pos))


def threshold_at(negatives: npt.ArrayLike, fpr: float) -> float:
    """Return the smallest threshold that at most this share of the negatives lies *strictly* above (ties lie below).

    Args:
        negatives: scores, shape (n,), n ≥ 1.
        fpr: in (0, 1).
    """
    scores = np.asarray(negatives, np.float64).ravel()
    place = len(scores) - 1 - int(np.floor(fpr * len(scores) + ROUNDING))
    return float(np.partition(scores, place)[place])


def bootstrap(
    groups: Sequence[npt.NDArray[Any]],
    statistic: Any,
    generator: np.random.Generator,
    n_draws: int = 1000,
) -> Interval:
    """Return a statistic of several samples with its percentile interval.

    Args:
        groups: arrays whose *first axis* is the unit that is drawn (models, owners), never rows of a unit.
        statistic: called as ``statistic(*resampled groups)``.
        generator: the randomness.
        n_draws: bootstrap samples.
    """
    value = float(statistic(*groups))
    draws = np.array([statistic(*(g[generator.integers(0, len(g), len(g))] for g in groups)) for _ in range(n_draws)])
    low, high = np.quantile(draws, [0.025, 0.975])
    return Interval(value, min(float(low), value), max(float(high), value), sum(len(g) for g in groups))


def detectable_auc(m: int, n: int) -> float:
    """Return the smallest excess of an AUC over ½ that shows with 80 % power (one-sided 5 %).

    Args:
        m: positives.
        n: negatives.

    Raises:
        BadInput: there is no positive, or no negative.
    """
    if min(m, n) < 1:
        raise BadInput(f"an AUC needs positives and negatives, not {m} and {n}")
    return float((1.6449 + 0.8416) * np.sqrt((m + n + 1) / (12 * m * n)))
