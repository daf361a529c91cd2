"""Intervals, tests and power over *models*: an audit's unit is a trained model, and models share their shadows.

A measure of a pool of models (an AUC of cross-fitted scores, an excess over retraining, a share of rejected records)
gets its interval by leaving out blocks of models, from shadows and targets together. A t interval over the models' own
values is far too narrow there: each value was computed with the help of all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.errors import BadInput
from expunge.core.estimates import Interval, auc, placements, student
from expunge.core.roles import Floats

Harmful = Literal["higher", "lower", "both"]
Positions = npt.NDArray[np.int64]
Scores = tuple[npt.ArrayLike, npt.ArrayLike]
"""Scores of positives, and of negatives."""

FEWEST_SEEDS: Final = 3
FEWEST_BLOCKS: Final = 3


@dataclass(frozen=True)
class Estimate:
    """A number with its standard error.

    Attributes:
        value: the point estimate.
        se: its standard error, ≥ 0. Zero = every block of models gives the same value.
        degrees: degrees of freedom of Student's t.
        n: the units behind it (models, seeds).
    """

    value: float
    se: float
    degrees: float
    n: int

    def interval(self, alpha: float = 0.05, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """Return the two-sided 1 − alpha interval by Student's t, cut to the measure's range.

        Where the standard error is zero the interval is a point: a fact for two equal models, but not for a share that
        came out as 0 or 1 (take `core.estimates.around` for those).
        """
        half = student(self.degrees, 1 - alpha / 2) * self.se
        low, high = max(self.value - half, bounds[0]), min(self.value + half, bounds[1])
        return Interval(self.value, min(low, self.value), max(high, self.value), self.n)

    def p_value(self, harmful: Harmful = "both", margin: float = 0.0) -> float:
        """Return how often chance gives as much, if the true value is on the margin.

        Args:
            harmful: ``higher`` tests value ≤ margin, ``lower`` tests value ≥ −margin, ``both`` tests value = margin.
            margin: how much harm is accepted, ≥ 0 (``both``: the value tested).

        Without any spread (se 0) a value beyond the margin has the p-value of a sign test over the blocks.
        """
        beyond = self.value - margin if harmful != "lower" else -self.value - margin
        if self.se == 0:
            sure = 0.5 ** (self.degrees + 1)
            if harmful == "both":
                return 1.0 if beyond == 0 else 2 * sure
            return sure if beyond > 0 else 1.0
        if harmful == "both":
            return 2 * _upper_tail(abs(beyond) / self.se, self.degrees)
        return _upper_tail(beyond / self.se, self.degrees)

    def minus(self, number: float) -> Estimate:
        """Return the estimate shifted by a known number."""
        return Estimate(self.value - number, self.se, self.degrees, self.n)

    def detectable(self, alpha: float = 0.05, power: float = 0.8) -> float:
        """Return the smallest true excess that a one-sided test finds with this power."""
        return self.se * noncentrality(self.degrees, alpha, power)

    def models_needed(self, effect: float, alpha: float = 0.05, power: float = 0.8) -> int:
        """Return how many models would find this excess with this power, if se falls with 1/√models.

        Raises:
            BadInput: the effect is not positive.
        """
        if effect <= 0:
            raise BadInput(f"an effect to be found is greater than zero, and {effect:g} is not")
        return max(2, int(np.ceil(self.n * (self.detectable(alpha, power) / effect) ** 2)))

    def equivalence(self, margin: float) -> float:
        """Return the p-value of two one-sided tests: small = the true value lies inside ± margin."""
        return max(self.minus(margin).p_value("lower"), self.minus(-margin).p_value("higher"))

    def models_for_equivalence(self, margin: float, alpha: float = 0.05, power: float = 0.8) -> int:
        """Return how many models show equivalence within ± margin with this power, if there is no difference.

        Raises:
            BadInput: the margin is not positive.
        """
        if margin <= 0:
            raise BadInput(f"a margin is greater than zero, and {margin:g} is not")
        ratio = student(self.degrees, 1 - alpha) + student(self.degrees, (1 + power) / 2)
        return max(2, int(np.ceil(self.n * (self.se * ratio / margin) ** 2)))


def _upper_tail(t: float, degrees: float) -> float:
    from scipy.special import stdtr

    return float(stdtr(degrees, -t))


def noncentrality(degrees: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return how many standard errors a one-sided t test at alpha needs for this power."""
    from scipy.special import nctdtrinc

    return float(nctdtrinc(degrees, 1 - power, student(degrees, 1 - alpha)))


def blocks(n_models: int, n_blocks: int) -> tuple[Positions, ...]:
    """Return the positions of each block: block b holds b, b + n_blocks, b + 2·n_blocks …; fewer models, fewer blocks.

    Raises:
        BadInput: fewer than three models or blocks.
    """
    count = min(n_models, n_blocks)
    if count < FEWEST_BLOCKS:
        raise BadInput(f"an interval over models needs {FEWEST_BLOCKS} blocks of models or more, not {count}")
    return tuple(np.arange(b, n_models, count) for b in range(count))


def jackknife(
    n_models: int, n_blocks: int, statistic: Callable[[Positions], float], value: float | None = None
) -> Estimate:
    """Return a statistic of a pool of models with its delete-one-block jackknife standard error.

    Args:
        n_models: models in the pool (pairs, where two pools are compared in pairs).
        n_blocks: blocks that are left out in turn; t gets n_blocks − 1 degrees.
        statistic: given the positions of the models kept, ascending. It must leave the others out *everywhere*, as
            shadows, as references and as targets: whatever they touched would tie the values together again. All else
            stays as it was: folds that are dealt anew add noise of their own.
        value: the statistic of all models, if it is known already.

    Raises:
        BadInput: fewer than three models, or a value that is not finite.

    Right for a statistic to which models add up, and never too small on average otherwise (Efron and Stein 1981). For
    an AUC of cross-fitted scores each pair of models counts twice, once in each role; where nothing is left to find
    that is all there is, and the standard error comes out 1.4 to 1.7 times too large: a nominal 95 % interval then
    covers 98 to 99 %. For the p-value of such a measure shuffle labels (`nulls.shuffled`), which is exact.

    Source: spec section 7; unequal blocks as in Busing, Meijer and van der Leeden (1999).
    """
    left_out = blocks(n_models, n_blocks)
    everyone = np.arange(n_models)
    without = [float(statistic(np.delete(everyone, block))) for block in left_out]
    centre = float(statistic(everyone)) if value is None else value
    return of_deletions(centre, np.array(without), np.array([len(b) for b in left_out]))


def of_deletions(value: float, without: npt.ArrayLike, sizes: npt.ArrayLike) -> Estimate:
    """Return the jackknife estimate from the statistic without each block.

    Args:
        value: the statistic of all models.
        without: the statistic without each block, shape (blocks,).
        sizes: models in each block, shape (blocks,).

    Raises:
        BadInput: a value that is not finite.
    """
    deleted, size = np.asarray(without, np.float64), np.asarray(sizes, np.float64)
    if not np.isfinite(deleted).all() or not np.isfinite(value):
        raise BadInput("the measure is not finite when a block of models is left out")
    n = float(size.sum())
    ratio = n / size
    pseudo = ratio * value - (ratio - 1) * deleted
    centre = float((size * pseudo).sum() / n)
    variance = float(((pseudo - centre) ** 2 / (ratio - 1)).mean())
    # equal blocks with equal values differ by rounding only
    se = 0.0 if np.ptp(deleted) <= 1e-12 * max(1.0, abs(value)) else float(np.sqrt(variance))
    return Estimate(value, se, len(deleted) - 1.0, round(n))


def over_seeds(values: npt.ArrayLike) -> Estimate:
    """Return the mean of independent runs (one value a seed) with its standard error.

    Right for values that share nothing; for cross-fitted models use `jackknife`.

    Raises:
        BadInput: fewer than three values, or one that is not finite.
    """
    x = np.asarray(values, np.float64).ravel()
    if len(x) < FEWEST_SEEDS or not np.isfinite(x).all():
        raise BadInput(f"a mean over seeds needs {FEWEST_SEEDS} finite values or more, not {len(x)}")
    return Estimate(float(x.mean()), float(x.std(ddof=1) / np.sqrt(len(x))), len(x) - 1.0, len(x))


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Return p-values adjusted for several questions: each below alpha is found at a family-wise error of alpha.

    Source: Holm (1979).
    """
    p = _probabilities(p_values)
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    return tuple(float(v) for v in _restored(np.minimum(steps, 1.0), order))


def benjamini_hochberg(p_values: npt.ArrayLike) -> Floats:
    """Return adjusted p-values of many records: rejecting those below q keeps the false discovery rate at q.

    Source: Benjamini and Hochberg (1995).
    """
    p = _probabilities(p_values)
    if not len(p):
        return p
    order = np.argsort(p, kind="stable")
    steps = p[order] * len(p) / np.arange(1, len(p) + 1)
    return _restored(np.minimum(np.minimum.accumulate(steps[::-1])[::-1], 1.0), order)


def alpha_at_looks(alpha: float, looks: Sequence[int]) -> float:
    """Return the level of each look at an audit that grows: alpha over the number of planned looks.

    The number is that of the plan, not of the looks taken: an audit that stops early has still used its share.

    Raises:
        BadInput: no look is planned, or they do not grow.
    """
    if not looks or any(b <= a for a, b in zip(looks, looks[1:], strict=False)):
        raise BadInput(f"planned looks are growing numbers of models, not {list(looks)}")
    return alpha / len(looks)


def inflation(values: npt.ArrayLike, errors: npt.ArrayLike) -> float:
    """Return by how much single models of a pool scatter more than their record formula says, at least 1.

    Args:
        values: the measure of each retrained model, shape (J,).
        errors: its standard error over records in each, shape (J,).

    Raises:
        BadInput: fewer than three models, or errors that are not positive.
    """
    x, se = np.asarray(values, np.float64).ravel(), np.asarray(errors, np.float64).ravel()
    if len(x) < FEWEST_SEEDS or len(x) != len(se) or not (se > 0).all():
        raise BadInput(f"inflation needs {FEWEST_SEEDS} models with positive errors or more, not {len(x)}")
    return max(1.0, float(x.std(ddof=1) / np.sqrt((se**2).mean())))


def auc_of_one(scores: Scores, references: Sequence[Scores]) -> Interval:
    """Return the AUC of one model with DeLong's interval over records, widened by how retrained models scatter.

    Args:
        scores: of the model's positives and of its negatives.
        references: the same of each retrained model, three or more.

    Source: spec section 7; DeLong says how records were drawn, the retrained pool what training adds to it.
    """
    pool = [placements(*each) for each in references]
    errors = np.sqrt([each.variance for each in pool])
    factor = inflation([each.area for each in pool], errors)
    found = auc(*scores)
    if found.value in (0.0, 1.0):
        return found
    centre, *ends = (float(np.log(v / (1 - v))) for v in (found.value, found.low, found.high))
    low, high = (float(1 / (1 + np.exp(-centre - factor * (end - centre)))) for end in ends)
    return Interval(found.value, low, high, found.n)


def _probabilities(p_values: npt.ArrayLike) -> Floats:
    p = np.asarray(p_values, np.float64).ravel()
    if not ((p >= 0) & (p <= 1)).all():
        raise BadInput("a p-value lies between 0 and 1")
    return p


def _restored(values: Floats, order: npt.NDArray[np.intp]) -> Floats:
    restored = np.empty_like(values)
    restored[order] = values
    return restored
