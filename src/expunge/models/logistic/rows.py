"""``Rows``: records as bounded rows for logistic regression, and passes over them with proven rounding bounds.

A row is (1, s·c): int16 codes c of the scale, shrunk by s so that ‖s·c‖ ≤ 1 whatever the data. Hence every constant
of a proof (the largest row, how fast the gradient may change) is declared, and none is measured.

Source: spec XL05 and 4.1. Rounding: Higham (2002), γ_k for dot products in any order; sums of blocks are compensated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import ROUNDOFF, above, rounding
from expunge.core.dataset import Dataset
from expunge.models.encoding.scale import UNIT, Scale
from expunge.models.scores import known_codes

if TYPE_CHECKING:
    from expunge.core.roles import Floats

Codes = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
BLOCK = 1 << 18
"""Numbers in one gradient block, which fits a cache; its sums are not compensated, so a block is short."""
TALL = 4096
"""Rows of one curvature block."""
REACH = above(math.sqrt(2.0) * (1 + 8 * ROUNDOFF))
"""The largest norm of a row: √2, of the constant 1 and a shrunk rest."""
ELEMENTARY = 16 * ROUNDOFF
"""Assumed error of a computed probability; libraries keep a tenth of it."""


def width(data: Dataset) -> int:
    """Return how many numbers the schema holds: 1 a column, d a column of vectors; not a matter of records."""
    sizes = [c.values.shape[1] if c.values.ndim == 2 else 1 for c in data.columns.values()]
    return max(1, sum(sizes))


def longest(data: Dataset, clip: float) -> float:
    """Return the norm of codes at which rows are cut: `clip` standard deviations in every column."""
    return clip * UNIT * math.sqrt(width(data))


def shrink(codes: Codes, limit: float) -> Floats:
    """Return the factor of each row that makes its norm at most 1, shape (n,)."""
    squares = np.einsum("ij,ij->i", codes, codes, dtype=np.float64, casting="unsafe")  # whole numbers: exact
    found: Floats = 1.0 / np.maximum(np.sqrt(squares), limit)
    return found


def chances(margins: Floats) -> Floats:
    """Return 1/(1 + e^-a)."""
    from scipy.special import expit

    found: Floats = expit(margins)
    return found


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows and their answers.

    Attributes:
        codes: shape (n, d), int16.
        factor: shape (n,): row = factor · codes.
        answers: shape (n, q): 1 where the record is of the head's class; q heads.
        alive: which rows count, shape (n,); None = all.
    """

    codes: Codes
    factor: Floats
    answers: Mask
    alive: Mask | None = None

    def __len__(self) -> int:
        return len(self.codes) if self.alive is None else int(np.count_nonzero(self.alive))

    @classmethod
    def of(cls, scale: Scale, data: Dataset, clip: float, labels: tuple[str, ...] = ()) -> Rows:
        """Return the rows of records, in their order; without labels there are no answers."""
        codes = scale.encode(data)
        found = answers(known_codes(data, labels), len(labels)) if labels else np.zeros((len(data), 0), bool)
        return cls(codes, shrink(codes, longest(data, clip)), found)

    def take(self, rows: Mask | Ints | slice) -> Rows:
        """Return some rows, counted among those that are alive."""
        if self.alive is not None:
            rows = np.flatnonzero(self.alive)[rows]
        return Rows(self.codes[rows], self.factor[rows], self.answers[rows])

    def _blocks(self, size: int) -> Iterator[tuple[Floats, Floats, Mask]]:
        """Yield (codes as float64, factors, answers) of consecutive live rows; the first is overwritten by the next.

        Blocks are of live rows, so that sums are the same whether dead ones have been let go of or not.
        """
        live = None if self.alive is None else np.flatnonzero(self.alive)
        n = len(self)
        room = np.empty((min(size, n), self.codes.shape[1]))
        for start in range(0, n, size):
            where: slice | Ints = slice(start, min(start + size, n))
            if live is not None:
                where = live[where]
                if where[-1] - where[0] + 1 == len(where):
                    where = slice(int(where[0]), int(where[-1]) + 1)
            factor = self.factor[where, None]
            block = room[: len(factor)]
            np.copyto(block, self.codes[where])
            yield block, factor, self.answers[where]

    def dense(self) -> Floats:
        """Return the rows as float64, the constant 1 first, shape (n, 1 + d)."""
        found = np.empty((len(self.codes), 1 + self.codes.shape[1]))
        found[:, 0] = 1.0
        np.multiply(self.codes, self.factor[:, None], out=found[:, 1:])
        return found

    def gradient(self, weights: Floats) -> tuple[Floats, Floats]:
        """Return the sum over rows of the loss's gradient, and a proven bound on its rounding error, a head.

        Args:
            weights: shape (1 + d, q).

        Returns:
            (gradient, shape (1 + d, q); bound, shape (q,)).

        Cost: one pass: 2 n d q multiplications.
        """
        total, lost = np.zeros_like(weights), np.zeros_like(weights)
        size = np.zeros(weights.shape[1])
        for codes, factor, wanted in self._blocks(self._height):
            miss = chances(factor * (codes @ weights[1:]) + weights[0]) - wanted
            size += np.abs(miss).sum(axis=0)
            part = np.concatenate([miss.sum(axis=0)[None], codes.T @ (factor * miss)])
            after = total + part  # two-sum: what is lost in the addition is kept beside it
            other = after - total
            lost += (total - (after - other)) + (part - other)
            total = after
        return total + lost, self._rounding(weights, size)

    @property
    def _height(self) -> int:
        d: int = self.codes.shape[1]
        return min(TALL, max(512, BLOCK // (1 + d)))

    def _rounding(self, weights: Floats, size: Floats) -> Floats:
        n, d = len(self), self.codes.shape[1]
        blocks = n // self._height + 1
        norms = np.linalg.norm(weights, axis=0)
        per_row = rounding(d + 4) * REACH * norms / 4 + ELEMENTARY
        summed = rounding(self._height + 4) + 2 * ROUNDOFF + rounding(blocks) ** 2
        bound: Floats = (n * REACH * per_row + summed * REACH * size) * 1.001
        return bound

    def curvature(self, weights: Floats, head: int) -> tuple[Floats, float]:
        """Return the sum over rows of the loss's second derivative at one head, and a bound on its error's norm.

        Returns:
            (shape (1 + d, 1 + d), without the penalty; bound in the spectral norm).

        Cost: n d² multiplications.
        """
        n, d = len(self), self.codes.shape[1]
        total, size, own = np.zeros((1 + d, 1 + d)), 0.0, weights[:, head]
        for codes, factor, _ in self._blocks(TALL):
            shares = chances(factor[:, 0] * (codes @ own[1:]) + own[0])
            bend = shares * (1.0 - shares)
            size += float(bend.sum())
            root = np.sqrt(bend)[:, None]
            rows = np.concatenate([root, codes * (root * factor)], axis=1)
            total += rows.T @ rows
        per_row = rounding(d + 4) * REACH * float(np.linalg.norm(own)) / 4 + 2 * ELEMENTARY
        terms = rounding(TALL + n // TALL + 12)
        return total, above(REACH * REACH * (n * per_row + terms * size))


def answers(codes: Ints, k: int) -> Mask:
    """Return one column a head: of two classes the second against the first, else each against the rest."""
    if k == 2:
        return np.asarray((codes == 1)[:, None])
    heads = np.arange(k if k > 2 else 0)
    return np.asarray(codes[:, None] == heads)
