"""``Head``: least squares on integer rows, from the sums of products of either columns or rows, whichever are fewer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from expunge.core.errors import TooLarge
from expunge.core.roles import Floats
from expunge.models.graph.nodes import Ints, Mask

MOST = 2**23
"""So many products of two 16-bit numbers are below 2⁵³ together."""
Codes = npt.NDArray[np.int16]
Scales = tuple[float, float, int]
"""Penalty, the size of one unit of the rows, and the number of classes."""


@dataclass(frozen=True, eq=False)
class Head:
    """A linear head of m rows of d whole numbers; a value, and a pure function of rows and classes in their order.

    Attributes:
        Z: shape (m, d).
        y: classes, shape (m,).
        rows: which nodes the rows are, shape (m,).
        sums: Z·Zᵀ where m < d, else ZᵀZ; whole numbers below 2⁵³ as float64, so exact in any order.
        weights: shape (1 + d, k), intercepts in row 0.
    """

    Z: Codes
    y: Ints
    rows: Ints
    sums: Floats
    weights: Floats

    @classmethod
    def of(cls, Z: Codes, y: Ints, rows: Ints, scales: Scales) -> Head:
        """Take the sums, and solve.

        Raises:
            TooLarge: a sum could be too large to be exact.
        """
        if max(Z.shape) > MOST:
            raise TooLarge(f"{len(Z):,} nodes with {Z.shape[1]:,} features, at most {MOST:,} of either", limit=MOST)
        exact = Z.astype(np.float64)
        sums = exact @ exact.T if len(Z) < Z.shape[1] else exact.T @ exact
        return cls(Z, y, rows, sums, _solve(exact, y, sums, scales))

    def moved(self, alive: Mask, touched: Ints, fresh: Codes, scales: Scales) -> Head:
        """Return the head after some nodes went and others have new rows.

        Args:
            alive: of all nodes, who is kept.
            touched: kept nodes whose rows may be new, in order.
            fresh: their rows.
            scales: as for `of`.
        """
        stay = alive[self.rows]
        place = np.full(len(alive), -1)
        place[self.rows[stay]] = np.arange(int(stay.sum()))
        Z, at = self.Z[stay], place[touched]
        new = (Z[at] != fresh).any(axis=1)
        at, fresh = at[new], fresh[new]
        gone = np.concatenate([self.Z[~stay], Z[at]]).astype(np.float64)
        Z[at] = fresh
        y, rows, d = self.y[stay], self.rows[stay], Z.shape[1]
        if (len(Z) < d) != (len(self.Z) < d):
            return Head.of(Z, y, rows, scales)
        exact, new_rows = Z.astype(np.float64), fresh.astype(np.float64)
        if len(Z) < d:
            sums = self.sums[np.ix_(stay, stay)]
            sums[at] = new_rows @ exact.T
            sums[:, at] = sums[at].T
        else:
            sums = self.sums - gone.T @ gone + new_rows.T @ new_rows
        return Head(Z, y, rows, sums, _solve(exact, y, sums, scales))

    def scores(self, Z: Codes) -> Floats:
        """Return the scores of rows, shape (n, k)."""
        found: Floats = Z.astype(np.float64) @ self.weights[1:] + self.weights[0]
        return found


def _solve(Z: Floats, y: Ints, sums: Floats, scales: Scales) -> Floats:
    """Return the weights of min Σ(±1 - w·z - b)² + α·‖w‖², with z in real units and b free; shape (1 + d, k)."""
    from scipy.linalg import cho_factor, cho_solve

    alpha, unit, k = scales
    (m, d), weights = Z.shape, np.zeros((1 + Z.shape[1], k))
    if m == 0:
        return weights
    wanted = 2.0 * np.eye(k)[y] - 1.0
    mean, centred = wanted.mean(axis=0), wanted - wanted.mean(axis=0)
    total = Z.sum(axis=0)
    if m < d:
        own = sums.sum(axis=0) / m
        system = (sums - own[:, None] - own[None, :] + own.sum() / m) * unit**2
        right = centred
    else:
        system = (sums - np.multiply.outer(total, total) / m) * unit**2
        right = (Z.T @ centred) * unit
    system[np.diag_indices(len(system))] += alpha
    found = cho_solve(cho_factor(system, lower=True, check_finite=False), right, check_finite=False)
    weights[1:] = Z.T @ found * unit**2 if m < d else found * unit
    weights[0] = mean - (total / m) @ weights[1:]
    return weights
