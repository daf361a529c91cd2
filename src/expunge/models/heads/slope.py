"""``Slope``: the gradient of a penalised logistic head over rows of declared length, its constants and its rounding.

The objective of a head is ``F(w) = (1/n) Σ ℓ(w·x) + (λ/2)‖w‖²``; heads of several classes, each against the rest, are
one matrix. Rows are at most √2 long by construction (`expunge.models.logistic.rows`), so every constant is closed-form.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import ROUNDOFF, above, rounding
from expunge.core.trajectories import Curve
from expunge.models.logistic.rows import ELEMENTARY, REACH, Rows, chances

if TYPE_CHECKING:
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]


def curve_of(penalty: float, heads: int) -> Curve:
    """Return the constants of the objective: μ = λ, M = ‖x‖²/4 + λ, L = ‖x‖√q, all at ‖x‖ = √2."""
    return Curve(penalty, above(REACH**2 / 4 + penalty), above(REACH * math.sqrt(heads)))


def radius(penalty: float, heads: int) -> float:
    """Return a norm that no minimum exceeds: (λ/2)‖w‖² ≤ F(0) = q ln 2."""
    return above(math.sqrt(2 * heads * math.log(2) / penalty))


def rounding_of(n: int, shape: tuple[int, int], penalty: float) -> float:
    """Return how far rounding alone drives full steps that start at zero or near a minimum, however many there are.

    Args:
        n: records.
        shape: (D, q) of the weights.
        penalty: λ.
    """
    (d, q), size = shape, 2 * radius(penalty, shape[1])
    curve = curve_of(penalty, q)
    row = rounding(d + 4) * REACH * size / 4 + ELEMENTARY * math.sqrt(q)
    gradient = REACH * row + rounding(n + 4) * REACH * math.sqrt(q)
    added = 8 * ROUNDOFF * (size + curve.stride * (curve.steep + penalty * size))
    return above((curve.stride * gradient + added) / (1 - curve.rate))


@dataclass(frozen=True, eq=False)
class Slope:
    """Rows as float64 and their answers.

    Attributes:
        rows: shape (n, D), the constant 1 first.
        answers: shape (n, q), 0 or 1.
        penalty: λ.
    """

    rows: Floats
    answers: Floats
    penalty: float

    @classmethod
    def of(cls, rows: Rows, penalty: float) -> Slope:
        """Return the slope over these rows. Cost: 8nD bytes."""
        alive = rows.take(slice(None))
        return cls(alive.dense(), alive.answers.astype(np.float64), penalty)

    @property
    def shape(self) -> tuple[int, int]:
        """(D, q) of the weights."""
        return self.rows.shape[1], self.answers.shape[1]

    @property
    def curve(self) -> Curve:
        """The closed-form constants."""
        return curve_of(self.penalty, self.shape[1])

    def total(self, weights: Floats, chosen: slice | Ints | None = None) -> Floats:
        """Return the sum of the loss's gradients over all rows, or over chosen ones; without the penalty."""
        rows, answers = (self.rows, self.answers) if chosen is None else (self.rows[chosen], self.answers[chosen])
        found: Floats = rows.T @ (chances(rows @ weights) - answers)
        return found

    def gradient(self, weights: Floats) -> Floats:
        """Return the gradient of the objective, shape (D, q)."""
        return self.total(weights) / len(self.rows) + self.penalty * weights

    def descended(self, weights: Floats, steps: int, progress: Progress | None = None) -> Floats:
        """Return the weights after full steps of the size that contracts most. Cost: 4nDq multiplications a step."""
        stride = self.curve.stride
        for done in range(1, steps + 1):
            weights = weights - stride * self.gradient(weights)
            if progress is not None:
                progress(done, steps)
        return weights

    def off(self, weights: Floats) -> tuple[float, float]:
        """Return proven bounds from below and above on the distance to the minimum: ‖∇F‖/M and ‖∇F‖/μ.

        The bounds are for weights as far out as a minimum can be, or a descent from zero can go.
        """
        curve, fuzz = self.curve, rounding_of(len(self.rows), self.shape, self.penalty)
        found = float(np.linalg.norm(self.gradient(weights)))
        slack = fuzz * (1 - curve.rate) / curve.stride  # what one gradient is off by
        return max(0.0, found - slack) / curve.smooth * (1 - 2.0**-30), above((found + slack) / curve.convex)
