"""Measures with the influence of each record on them, so that intervals and paired differences count owners, not rows.

A measure g of n records is kept as its value and its influence function ψ (shape (n,), sums to zero): to first order
g moves by ψᵢ when record i is drawn once more. Records of one owner are summed first; the variance is then taken
between owners. The difference of two models on the same records is the difference of their ψ: pairing is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core import estimates
from expunge.core.errors import BadInput
from expunge.core.estimates import Interval
from expunge.core.roles import Floats

Owners = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
TINY = 1e-12


@dataclass(frozen=True)
class Measured:
    """A measure of some records.

    Attributes:
        value: the point estimate.
        influence: shape (n,): how far each record moves it.
    """

    value: float
    influence: Floats

    def minus(self, other: Measured) -> Measured:
        """Return the paired difference: two models on the same records."""
        return Measured(self.value - other.value, self.influence - other.influence)

    def interval(self, owners: Owners, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
        """Return the value with its 95 % t interval over owners, cut to the measure's range.

        Raises:
            BadInput: fewer than two owners, or a value that is not finite.
        """
        half = self.half_width(owners)
        low, high = max(self.value - half, bounds[0]), min(self.value + half, bounds[1])
        return Interval(self.value, min(low, self.value), max(high, self.value), len(self.influence))

    def half_width(self, owners: Owners) -> float:
        """Return half the width of the 95 % interval; zero if no record moves the measure.

        Raises:
            BadInput: fewer than two owners, or a value that is not finite.
        """
        half = estimates.half_width(self.influence, owners)
        if not np.isfinite(self.value):
            raise BadInput("the measure is not finite")
        return half


def mean(values: Floats) -> Measured:
    """Return a mean (accuracy, loss, mean squared error).

    Raises:
        BadInput: there is nothing to take it over.
    """
    if not len(values):
        raise BadInput("there are no records to measure on")
    centre = float(values.mean())
    return Measured(centre, (values - centre) / len(values))


def explained(squared_errors: Floats, targets: Floats) -> Measured:
    """Return R² = 1 − S/T, with S the mean squared error and T the targets' variance.

    Raises:
        BadInput: all targets are equal, or there are none.
    """
    if not len(targets):
        raise BadInput("there are no records to measure on")
    spread = (targets - targets.mean()) ** 2
    error, total = float(squared_errors.mean()), float(spread.mean())
    if total < TINY:
        raise BadInput("R² needs targets that differ")
    influence = (error * (spread - total) / total - (squared_errors - error)) / total / len(targets)
    return Measured(1 - error / total, influence)


def auc(scores: Floats, positive: Mask) -> Measured:
    """Return P(positive scores higher), ties one half, with DeLong's components as the influence.

    Args:
        scores: shape (n,).
        positive: shape (n,).

    Raises:
        BadInput: fewer than two records on a side.

    Source: DeLong et al. (1988); summed by owner it is Obuchowski's (1997) estimate for clustered data.
    """
    area, over, under = estimates.placements(scores[positive], scores[~positive])
    influence = np.empty(len(scores))
    influence[positive] = (over - area) / len(over)
    influence[~positive] = (under - area) / len(under)
    return Measured(area, influence)


def auc_interval(found: Measured, positive: Mask, owners: Owners, like: Interval | None = None) -> Interval:
    """Return the interval of an AUC, or of a difference of two AUCs, over the owners on each side.

    An AUC is transformed to the logit scale; the variance is that between owners, each side with its own count, and the
    degrees of freedom are Welch–Satterthwaite's, so that a handful of forgotten subjects gives a wide interval. If the
    positives have one owner only, their records are taken as independent (say so: `arms.owners_note`).

    Args:
        found: the AUC or the difference.
        positive: shape (n,).
        owners: shape (n,).
        like: for a difference: the interval of one of the two, whose width is taken where no record tells them apart.
    """
    count = len(found.influence)
    (v_pos, k_pos), (v_neg, k_neg) = (_side(found.influence, owners, side) for side in (positive, ~positive))
    variance = v_pos + v_neg
    if variance < TINY or (like is None and found.value in (0.0, 1.0)):
        if like is not None:
            half = (like.high - like.low) / 2
            return Interval(found.value, max(-1.0, found.value - half), min(1.0, found.value + half), count)
        return estimates.around(found.value, min(k_pos, k_neg), count)
    degrees = variance**2 / (v_pos**2 / (k_pos - 1) + v_neg**2 / (k_neg - 1))
    half = estimates.student(degrees) * float(np.sqrt(variance))
    if like is not None:
        return Interval(found.value, max(-1.0, found.value - half), min(1.0, found.value + half), count)
    logit = float(np.log(found.value / (1 - found.value)))
    half /= found.value * (1 - found.value)
    low, high = (float(1 / (1 + np.exp(-v))) for v in (logit - half, logit + half))
    return Interval(found.value, low, high, count)


def _side(influence: Floats, owners: Owners, side: Mask) -> tuple[float, int]:
    """Return the variance that one side contributes, and how many units it has."""
    sums = estimates.owner_sums(influence[side], owners[side])
    if len(sums) < 2:
        sums = influence[side]
    k = len(sums)
    return k / (k - 1) * float((sums**2).sum()), k


def n_units(owners: Owners) -> int:
    """Return how many independent units some records are: their owners, or the records where there is one owner."""
    k = len(np.unique(owners))
    return k if k > 1 else len(owners)


def average(parts: Sequence[Measured]) -> Measured:
    """Return the plain average of several measures of the same records (macro averages)."""
    influence = np.mean([p.influence for p in parts], axis=0)
    return Measured(float(np.mean([p.value for p in parts])), influence)


def share(values: Floats, owners: Owners) -> Interval:
    """Return a share of records with an interval over owners.

    Where every record says the same the variance between owners is zero; certainty is not claimed: the interval is then
    Clopper–Pearson's for as many trials as there are owners. Records of one owner alone are taken as independent
    (Wilson); the caller says so in the note.
    """
    k = len(np.unique(owners))
    if k < 2:
        return estimates.proportion(int(values.sum()), len(values))
    found = mean(values)
    if found.value in (0.0, 1.0):
        return estimates.around(found.value, k, len(values))
    return found.interval(owners, (0.0, 1.0))
