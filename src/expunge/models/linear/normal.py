"""Normal equations from integer sums: centring, the canonical solution, and the inverse that leaves records out.

The penalty is on standardised columns; standardising happens here, on the sums, so that it is forgotten too.

Source: spec XL04. Where we differ: it is solved in units of codes; Cholesky does not mind the scale of columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expunge.models.linear.gram import Goal, Sums

if TYPE_CHECKING:
    from expunge.core.roles import Floats

Mask = npt.NDArray[np.bool_]
ALONE = 0.1
"""Where the others leave every column this share of its variance, the solution needs no refinement."""
DEPENDENT = 1e-9
"""A column of which the others leave a smaller share of its variance is taken to be a combination of them."""


def variances(sums: Sums) -> Floats:
    """Return n²σ² of each column, shape (d,); zero exactly where a column is constant.

    In Python's integers where floats would cancel: whether a column is constant is a fact, not a matter of rounding.
    """
    n, total, squares = sums.gram[0, 0], sums.gram[0, 1:], np.diagonal(sums.gram)[1:]
    found = n * squares - total * total
    for j in np.flatnonzero(found <= 2.0**-20 * n * squares).tolist():
        found[j] = int(n) * int(squares[j]) - int(total[j]) ** 2
    return np.asarray(found)


@dataclass(frozen=True)
class Normal:
    """The centred system A·w = c of the columns that vary.

    Attributes:
        varies: which columns do, shape (d,).
        mean: of each column, shape (d,).
        base: mean of what is regressed, shape (q,).
        scatter: n·variance of each column that varies, with the penalty on the diagonal: A, shape (v, v).
        right: c, shape (v, q).
    """

    varies: Mask
    mean: Floats
    base: Floats
    scatter: Floats
    right: Floats

    @classmethod
    def of(cls, sums: Sums, goal: Goal, alpha: float) -> Normal:
        """Return the system of ridge with penalty alpha on standardised columns."""
        n, wanted = sums.gram[0, 0], goal.whole(sums.cross)
        spread = variances(sums)
        varies = spread > 0
        total, inner, right = sums.gram[0, 1:], sums.gram[1:, 1:], wanted[1:]
        if not varies.all():
            total, inner, right = total[varies], inner[np.ix_(varies, varies)], right[varies]
        from scipy.linalg.blas import dger

        system = np.array(inner, order="C")
        if len(total):
            dger(-1.0 / n, total, total, a=system.T, overwrite_a=1)
        np.fill_diagonal(system, spread[varies] / n * (1.0 + alpha / n))
        right = right - np.multiply.outer(total, wanted[0] / n)
        return cls(varies, sums.gram[0, 1:] / n, wanted[0] / n, system, right)

    def weights(self, found: Floats) -> Floats:
        """Return weights of the codes, intercepts in row 0, shape (1 + d, q), from those of the varying columns."""
        out = np.zeros((1 + len(self.mean), len(self.base)))
        out[1:][self.varies] = found
        out[0] = self.base - self.mean @ out[1:]
        return out

    def factor(self, spend: bool = False) -> tuple[Floats | None, float]:
        """Return (the Cholesky factor in the lower triangle, the least share of its variance that a column has alone).

        Args:
            spend: whether the factor may take the place of `scatter`'s upper triangle and diagonal.

        The factor is None where a column depends on the others.
        """
        from scipy.linalg.lapack import dpotrf

        diagonal = np.diagonal(self.scatter).copy()
        factor, failed = dpotrf(self.scatter.T, lower=1, clean=0, overwrite_a=spend)
        alone = 0.0 if failed else float((np.square(np.diagonal(factor)) / diagonal).min(initial=1.0))
        if alone >= DEPENDENT:
            return factor, alone
        if spend:
            lower = np.tril(self.scatter, -1)
            np.add(lower, lower.T, out=self.scatter)
            np.fill_diagonal(self.scatter, diagonal)
        return None, alone

    def solve(self) -> Floats:
        """Return the solution, shape (v, q): the least one (of standardised columns) where there are several.

        To be asked once: `scatter` is spent.
        """
        from scipy.linalg.blas import dsymm
        from scipy.linalg.lapack import dpotrs

        if not self.varies.any():
            return self.right
        diagonal = np.diagonal(self.scatter).copy()
        factor, alone = self.factor(spend=True)
        if factor is None:
            return self.inverse() @ self.right
        found: Floats = dpotrs(factor, self.right, lower=1)[0]
        if alone < ALONE:
            product = dsymm(1.0, self.scatter.T, found, lower=0)  # the triangle that is not spent
            product += (diagonal - np.diagonal(factor))[:, None] * found
            found += dpotrs(factor, self.right - product, lower=1)[0]
        return found

    def inverse(self) -> Floats:
        """Return A⁻¹, shape (v, v); where columns depend on each other, the inverse in the span of the others."""
        from scipy.linalg import eigh
        from scipy.linalg.lapack import dpotri

        factor, _ = self.factor()
        if factor is not None:
            lower = np.tril(dpotri(factor, lower=1)[0])
            found: Floats = lower + lower.T
            np.fill_diagonal(found, np.diagonal(lower))
            return found
        sigma = np.sqrt(np.diagonal(self.scatter))
        values, vectors = eigh(self.scatter / np.multiply.outer(sigma, sigma))
        there = values > DEPENDENT * values[-1]
        scaled = vectors[:, there] / sigma[:, None]
        return np.asarray((scaled / values[there]) @ scaled.T)


def solve(sums: Sums, goal: Goal, alpha: float) -> Floats:
    """Return the canonical weights of the codes, intercepts in row 0, shape (1 + d, q)."""
    system = Normal.of(sums, goal, alpha)
    return system.weights(system.solve())
