"""The accountant of noisy gradient steps on sampled records: Rényi divergences, and what they say of groups.

One step adds N(0, z²C²I) to a sum of gradients of norm at most C over records that are drawn independently with
probability q. Neighbours differ by one record more or less, which is what deletion is.

Source: spec U39 and B9; Mironov, Talwar and Zhang (2019) for whole orders: A_α = Σ C(α,k)(1-q)^(α-k) q^k e^(k(k-1)/2z²)
bounds both directions; Canonne, Kamath and Steinke (2020, prop. 12) for the conversion. No q² approximation, no
"amplification" of an ε: a public accountant that has one claims 0.614 where the truth is 3.53.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import above, gaussian_delta, gaussian_epsilon
from expunge.core.errors import BadInput

ORDERS: Final = (*range(2, 65), *range(68, 257, 4), *range(272, 1025, 16))
"""Whole orders; more are hardly ever better."""


@dataclass(frozen=True)
class Sampled:
    """T noisy steps on sampled records.

    Attributes:
        rate: q, in (0, 1]: probability that a record takes part in a step; 1 = all do, in every step.
        noise: z > 0: standard deviation of the noise over the largest norm of a gradient.
        steps: T ≥ 1.

    >>> round(Sampled(0.5, 1.0, 1).epsilon(1e-5), 2) >= 3.53
    True
    """

    rate: float
    noise: float
    steps: int

    def __post_init__(self) -> None:
        if not (0 < self.rate <= 1 and 0 < self.noise < math.inf and self.steps >= 1):
            raise BadInput(f"no noisy steps on sampled records: {self!r}")

    def renyi(self, order: int) -> float:
        """Return the Rényi divergence of a whole order α ≥ 2, of all steps together."""
        return above(self.steps * _one_step(self.rate, self.noise, order))

    def epsilon(self, delta: float) -> float:
        """Return an ε at this δ, for one record; exact where all records take part in every step."""
        if not 0 < delta < 1:
            raise BadInput(f"delta must be between 0 and 1, not {delta!r}")
        if self.rate == 1:
            return gaussian_epsilon(above(math.sqrt(self.steps) / self.noise), delta)
        found = min(self.renyi(a) + _gap(a) - math.log(delta) / (a - 1) for a in ORDERS)
        return above(max(0.0, found))

    def delta(self, epsilon: float, group: int = 1) -> float:
        """Return a δ at this ε for any g records together; 1 where nothing can be said.

        Where all take part in every step, a group is a shift g times as far. Else the promise for one record, g times
        in a row: (ε/g, δ₁) gives (ε, g·e^((g-1)ε/g)·δ₁).
        """
        if not (epsilon > 0 and group >= 1):
            raise BadInput(f"epsilon must be positive and a group one record or more, not {epsilon!r} and {group!r}")
        if self.rate == 1:
            return gaussian_delta(above(group * math.sqrt(self.steps) / self.noise), epsilon)
        share = epsilon / group
        log = min((a - 1) * (self.renyi(a) + _gap(a) - share) for a in ORDERS)
        return min(1.0, above(math.exp(min(log + math.log(group) + (group - 1) * share, 0.0))))


def _gap(order: int) -> float:
    """Return what the conversion at an order adds beside the divergence and log(1/δ)/(α-1)."""
    return math.log1p(-1 / order) - math.log(order) / (order - 1)


@cache
def _one_step(rate: float, noise: float, order: int) -> float:
    """Return the divergence of one step: the logarithm of A_α over α-1."""
    if rate == 1:
        return above(order / (2 * noise**2))
    k, factorials = np.arange(order + 1), _log_factorials()
    chosen = factorials[order] - factorials[k] - factorials[order - k]
    logs = chosen + (order - k) * math.log1p(-rate) + k * math.log(rate) + k * (k - 1) / (2 * noise**2)
    top = float(logs.max())
    total = top + math.log(float(np.exp(logs - top).sum()))
    slack = 2.0**-42 * (1 + 8 * order + float(np.abs(logs).max()))  # roundings of the terms, outwards
    return (max(total, 0.0) + slack) / (order - 1)


@cache
def _log_factorials() -> npt.NDArray[np.float64]:
    return np.array([math.lgamma(k + 1) for k in range(ORDERS[-1] + 1)])
