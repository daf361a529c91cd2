"""``Inverse``: (G + λI)⁻¹ of a matrix of counts, bent by rank-1 corrections while it serves, solved anew when asked.

Taking a basket x out of G adds p·pᵀ/(1 - t) to the inverse P, where p = P·x and t = xᵀ·p. The correction is kept beside
P instead of being added to its d² numbers, so that it costs d numbers; after `MOST` of them they are added at once.

Source: spec XL10; Sherman and Morrison (1950). The bent inverse serves; states are solved from integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expunge.core.roles import Floats
from expunge.models.recommenders.interactions import Change, Ints
from expunge.models.recommenders.pairs import Counts

MOST = 64
BLOCK = 256


@dataclass(frozen=True, eq=False)
class Inverse:
    """P = base + Σ c·u·uᵀ; a value.

    Attributes:
        base: shape (d, d), symmetric.
        diagonal: of P, shape (d,).
        bends: (u, c) of each correction.
    """

    base: Floats
    diagonal: Floats
    bends: tuple[tuple[Floats, float], ...] = ()

    @classmethod
    def of(cls, counts: Counts, penalty: float) -> Inverse:
        """Solve (counts + penalty·I)⁻¹: always the same numbers from the same counts, on one LAPACK."""
        from scipy.linalg import lapack

        d = len(counts)
        if d == 0:
            return cls(np.zeros((0, 0)), np.zeros(0))
        system = np.array(counts, np.float64, order="F")
        system[np.diag_indices(d)] += penalty
        factor, _ = lapack.dpotrf(system, lower=1, overwrite_a=1)
        found, _ = lapack.dpotri(factor, lower=1, overwrite_c=1)
        for start in range(0, d, BLOCK):
            stop = min(start + BLOCK, d)
            found[start:stop, stop:] = found[stop:, start:stop].T
            part = found[start:stop, start:stop]
            part[:] = np.tril(part) + np.tril(part, -1).T
        return cls(found.T, np.diagonal(found).copy())

    def rows(self, items: Ints) -> Floats:
        """Return P[items], shape (m, d)."""
        found: Floats = self.base[items]
        for u, c in self.bends:
            found += np.multiply.outer(c * u[items], u)
        return found

    def total(self, items: Ints) -> Floats:
        """Return the sum of P[items], shape (d,)."""
        found: Floats = self.base[items].sum(axis=0)
        for u, c in self.bends:
            found += (c * float(u[items].sum())) * u
        return found

    def changed(self, change: Change) -> Inverse:
        """Return the inverse after one basket became another."""
        after = self
        for items, sign in ((change.before, -1.0), (change.after, 1.0)):
            if len(items):
                p = after.total(items)
                after = after._bent(p, -sign / (1.0 + sign * float(p[items].sum())))
        return after

    def dropped(self, item: int) -> Inverse:
        """Return the inverse of G without one item: its row and column become zero."""
        u = self.rows(np.array([item]))[0]
        return self._bent(u, -1.0 / float(u[item]))

    def _bent(self, u: Floats, c: float) -> Inverse:
        diagonal, bends = self.diagonal + c * u * u, (*self.bends, (u, c))
        if len(bends) < MOST:
            return Inverse(self.base, diagonal, bends)
        each = np.array([u for u, _ in bends])
        base: Floats = (each.T * np.array([c for _, c in bends])) @ each
        base += self.base
        return Inverse(base, diagonal)
