"""One normal distribution a record, fitted to what models say about it, and the likelihood ratio of two of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from expunge.audit.pools import Mask
from expunge.core.errors import BadInput
from expunge.core.roles import Floats

Variance = Literal["pooled", "record", "shrunk"]

RECORD_VARIANCE_FROM: Final = 64
"""Models from which a variance of each record's own may be asked for."""
PRIOR_DEGREES: Final = 4.0
"""Degrees of freedom of the inverse-gamma prior that ``shrunk`` puts around the pooled variance."""
RECORD_FLOOR: Final = 0.1
"""Smallest standard deviation of ``record``, in units of φ: a few equal signals do not make a certainty."""
TINY: Final = 1e-12
"""Smallest variance of all: signals that never differ give finite ratios."""


@dataclass(frozen=True, eq=False)
class Sums:
    """Count, sum and sum of squares of each record's signals, by group of models.

    Attributes:
        counts: shape (groups, n).
        totals: shape (groups, n), of signals less `centre`.
        squares: shape (groups, n), of signals less `centre`.
        centre: shape (n,): what was subtracted first, so that squares lose no digits.
    """

    counts: Floats
    totals: Floats
    squares: Floats
    centre: Floats

    @classmethod
    def of(cls, phi: Floats, inside: Mask, groups: npt.NDArray[np.int64] | None = None) -> Sums:
        """Sum up signals.

        Args:
            phi: shape (M, n).
            inside: which of them count, shape (M, n).
            groups: the group of each model, 0 … groups − 1, shape (M,); None = one group.
        """
        which = np.zeros(len(phi), np.int64) if groups is None else groups
        centre = phi[0] if len(phi) else np.zeros(phi.shape[1])
        n_groups = int(which.max()) + 1 if len(which) else 1
        counts, totals, squares = (np.zeros((n_groups, phi.shape[1])) for _ in range(3))
        for group in range(n_groups):
            rows = np.flatnonzero(which == group)
            mask = inside[rows]
            apart = np.where(mask, phi[rows] - centre, 0.0)
            counts[group], totals[group] = mask.sum(axis=0), apart.sum(axis=0)
            squares[group] = np.einsum("ij,ij->j", apart, apart)
        return cls(counts, totals, squares, centre)

    def fit(self, groups: Mask | None = None, variance: Variance = "pooled", floor: float | None = None) -> Normals:
        """Return each record's normal from some of the groups.

        Args:
            groups: which, shape (groups,); None = all.
            variance: ``pooled`` over records; ``record`` = each record's own; ``shrunk`` = between the two.
            floor: smallest standard deviation; None = 0.1 for ``record``, else next to nothing.

        Raises:
            BadInput: no record has two models, so that nothing is known of the variance.
        """
        take = slice(None) if groups is None else groups
        count, total, squares = (a[take].sum(axis=0) for a in (self.counts, self.totals, self.squares))
        mean = total / np.maximum(count, 1)
        scatter = np.maximum(squares - count * mean**2, 0.0)
        degrees = np.maximum(count - 1, 0)
        if not degrees.any():
            raise BadInput("no record is on one side in two models, so nothing is known of how signals vary")
        if floor is None:
            floor = RECORD_FLOOR if variance == "record" else 0.0
        spread = np.maximum(_variance(scatter, degrees, variance), max(floor**2, TINY))
        return Normals(count, self.centre + mean, spread, 2 if variance == "record" else 1)


def _variance(scatter: Floats, degrees: Floats, variance: Variance) -> Floats:
    pooled = scatter.sum() / degrees.sum()
    if variance == "pooled":
        return np.full(len(scatter), pooled)
    if variance == "record":
        return np.asarray(scatter / np.maximum(degrees, 1))
    return np.asarray((PRIOR_DEGREES * pooled + scatter) / (PRIOR_DEGREES + degrees))


@dataclass(frozen=True, eq=False)
class Normals:
    """One normal a record.

    Attributes:
        count: models behind each, shape (n,).
        mean: shape (n,).
        variance: shape (n,), > 0.
        fewest: models that a record needs.
    """

    count: Floats
    mean: Floats
    variance: Floats
    fewest: int = 1

    @property
    def known(self) -> Mask:
        """Which records were seen by enough models, shape (n,)."""
        return np.asarray(self.count >= self.fewest)

    def log_density(self, phi: Floats) -> Floats:
        """Return log N(φ; μ, σ) up to a constant, shape of `phi` (…, n)."""
        return np.asarray(-0.5 * (np.log(self.variance) + (phi - self.mean) ** 2 / self.variance))

    def standardised(self, phi: Floats) -> Floats:
        """Return (φ − μ)/σ, shape of `phi` (…, n)."""
        return np.asarray((phi - self.mean) / np.sqrt(self.variance))


def log_ratio(phi: Floats, inside: Normals, outside: Normals) -> Floats:
    """Return Λ = log N(φ; μ_in, σ_in) − log N(φ; μ_out, σ_out), shape of `phi` (…, n).

    Source: Carlini et al. (2022), eq. 2; the worlds of U-LiRA are Hayes et al.'s (2024).
    """
    return np.asarray(inside.log_density(phi) - outside.log_density(phi))
