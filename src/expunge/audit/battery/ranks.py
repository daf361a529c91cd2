"""Rank tests of many records at once, and of many shufflings of the models' labels at once; with exact small tables.

Shuffling labels leaves the ranks as they are: the statistic of every shuffling is one product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np

from expunge.audit.pools import Mask
from expunge.core.roles import Floats

EXACT_PAIRS: Final = 60
"""Pairs up to which the signed-rank distribution is tabulated; beyond, it is normal."""
EXACT_MODELS: Final = 56
"""Models on both sides together up to which the rank-sum distribution is tabulated: its counts are exact floats."""


@dataclass(frozen=True)
class SignedRanks:
    """Wilcoxon's signed-rank test of each record; pairs without a difference are left out.

    Attributes:
        plus: ranks of positive differences, else 0, shape (P, n).
        minus: ranks of negative differences, else 0, shape (P, n).

    Source: Wilcoxon (1945). Exact up to `EXACT_PAIRS` pairs without ties, else normal with the sign-flip variance
        Σ r²/4 (exact under ties) and a continuity correction.
    """

    plus: Floats
    minus: Floats

    @classmethod
    def of(cls, differences: Floats, used: Mask) -> SignedRanks:
        """Return the ranks of differences, both of shape (P, n)."""
        ranks = _ranks(np.abs(differences), used & (differences != 0))
        return cls(np.where(differences > 0, ranks, 0.0), np.where(differences < 0, ranks, 0.0))

    def p_values(self, swapped: Mask) -> Floats:
        """Return two-sided p-values, shape (B, n).

        Args:
            swapped: whether a pair's two labels are swapped, shape (B, P).
        """
        all_plus = self.plus.sum(axis=0)
        totals = all_plus + self.minus.sum(axis=0)
        smaller = all_plus + swapped.astype(np.float64) @ (self.minus - self.plus)
        smaller = np.minimum(smaller, totals - smaller)
        ranks = self.plus + self.minus
        counts = (ranks > 0).sum(axis=0)
        p = _normal(totals / 2 - smaller, (ranks**2).sum(axis=0) / 4)
        exact = (counts <= EXACT_PAIRS) & ~_tied(ranks, counts)
        for count in np.unique(counts[exact]).tolist():
            at = np.flatnonzero(exact & (counts == count))
            p[:, at] = _two_sided(signed_rank_cdf(count), smaller[:, at])
        return p


@dataclass(frozen=True)
class RankSums:
    """The Mann–Whitney test of each record, for pools that share nothing.

    Attributes:
        ranks: of the values of both pools together, 0 where not used, shape (P, n).

    Source: Mann and Whitney (1947). Exact up to `EXACT_MODELS` models without ties, else normal with the permutation
        variance (exact under ties) and a continuity correction.
    """

    ranks: Floats

    @classmethod
    def of(cls, values: Floats, used: Mask) -> RankSums:
        """Return the ranks of the values of both pools laid end to end, both of shape (P, n)."""
        return cls(_ranks(values, used))

    def p_values(self, first: Mask) -> Floats:
        """Return two-sided p-values, shape (B, n); 1 where a pool has no model for the record.

        Args:
            first: which models belong to the first pool, shape (B, P).
        """
        used = self.ranks > 0
        label = first.astype(np.float64)
        total = used.sum(axis=0)
        mine = label @ used
        others = total - mine
        spread = (self.ranks**2).sum(axis=0) - total * (total + 1.0) ** 2 / 4
        above = label @ self.ranks - mine * (mine + 1) / 2
        smaller = np.minimum(above, mine * others - above)
        variance = mine * others / np.maximum(total * (total - 1.0), 1) * spread
        p = _normal(mine * others / 2 - smaller, variance)
        exact = (mine > 0) & (others > 0) & ((total <= EXACT_MODELS) & ~_tied(self.ranks, total))
        codes = np.where(exact, np.minimum(mine, others) * 1000 + np.maximum(mine, others), -1).astype(np.int64)
        for code in np.unique(codes[codes >= 0]).tolist():
            at = codes == code
            p[at] = _two_sided(rank_sum_cdf(code // 1000, code % 1000), smaller[at])
        return p


@cache
def signed_rank_cdf(n_pairs: int) -> Floats:
    """Return P(W ≤ w) of the signed-rank statistic, w = 0 … n(n + 1)/2."""
    chances = np.ones(1)
    for rank in range(1, n_pairs + 1):
        longer = np.zeros(len(chances) + rank)
        longer[: len(chances)] += chances / 2
        longer[rank:] += chances / 2
        chances = longer
    return np.asarray(np.minimum(np.cumsum(chances), 1.0))


@cache
def rank_sum_cdf(few: int, many: int) -> Floats:
    """Return P(U ≤ u) of the Mann–Whitney statistic, u = 0 … few·many.

    The counts are the coefficients of a Gaussian binomial: ∏ (1 − q^{many + i}) / (1 − q^i), i = 1 … few.
    """
    counts = np.zeros(few * many + 1)
    counts[0] = 1
    for i in range(1, few + 1):
        counts[many + i :] -= counts[: max(0, len(counts) - many - i)].copy()
        for start in range(i):
            counts[start::i] = np.cumsum(counts[start::i])
    return np.asarray(np.minimum(np.cumsum(counts) / counts.sum(), 1.0))


def rejected(p_values: Floats, q: float) -> Floats:
    """Return the share of records that Benjamini and Hochberg's rule rejects in each row, shape (B,).

    Args:
        p_values: shape (B, n).
        q: the false discovery rate.
    """
    n = p_values.shape[1]
    ranks = np.arange(1, n + 1)
    below = np.sort(p_values, axis=1) <= q * ranks / n * (1 + 1e-12)
    return np.asarray((below * ranks).max(axis=1) / n, np.float64)


def energy_p_values(first: Floats, second: Floats, generator: np.random.Generator, n_permutations: int = 199) -> Floats:
    """Return p-values of the energy distance of two pools by permuted labels, shape (n,).

    It sees differences of spread as well as of location, but cannot be smaller than 1/(n_permutations + 1): too coarse
    for the correction over many records.

    Args:
        first: shape (a, n).
        second: shape (b, n).
        generator: the randomness.
        n_permutations: draws of the null.

    Source: Székely and Rizzo (2004); spec M27.
    """
    a, b = len(first), len(second)
    labels = np.broadcast_to(np.arange(a + b) < a, (n_permutations, a + b))
    labels = np.concatenate([labels[:1], generator.permuted(labels, axis=1)])
    weights = np.where(labels, 1 / a, -1 / b)
    values = np.concatenate([first, second])
    distances = np.empty((n_permutations + 1, values.shape[1]))
    for j, column in enumerate(values.T):
        gaps = np.abs(column[:, None] - column)
        distances[:, j] = -np.einsum("bi,bi->b", weights @ gaps, weights)
    return np.asarray((distances >= distances[0] * (1 - 1e-12)).mean(axis=0), np.float64)


def _ranks(values: Floats, used: Mask) -> Floats:
    """Return midranks among the used values of each column, 0 elsewhere."""
    from scipy.stats import rankdata

    ranks = np.asarray(rankdata(np.where(used, values, np.inf), axis=0), np.float64)
    return np.where(used, ranks, 0.0)


def _tied(ranks: Floats, counts: Floats) -> Mask:
    """Say which columns hold ties: their squared ranks sum to less than 1² + … + n²."""
    full = counts * (counts + 1.0) * (2 * counts + 1.0) / 6
    return np.asarray((ranks**2).sum(axis=0) < full - 0.25)


def _two_sided(cdf: Floats, smaller: Floats) -> Floats:
    return np.minimum(1.0, 2 * cdf[np.rint(smaller).astype(np.int64)])


def _normal(distance: Floats, variance: Floats) -> Floats:
    """Return two-sided p-values of statistics this far from their mean, with a continuity correction."""
    from scipy.special import ndtr

    spread = np.sqrt(np.broadcast_to(variance, distance.shape))
    nothing = spread <= 0
    z = np.maximum(distance - 0.5, 0) / np.where(nothing, 1.0, spread)
    return np.where(nothing, 1.0, np.minimum(1.0, 2 * ndtr(-z)))
