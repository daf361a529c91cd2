"""An audit of (ε, δ) by one run: many canaries, each in or out by a coin; guesses give a lower bound of ε."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from expunge.core.errors import BadInput

STEPS: Final = 60
"""Halvings of the search: ε to 12 digits."""
LARGEST: Final = 50.0
"""No bound is searched for above: it would take e^50 canaries."""


@dataclass(frozen=True)
class Guesses:
    """What an auditor guessed of the canaries' coins.

    Attributes:
        n: canaries, each in or out by a fair coin that nobody but the auditor saw.
        made: how many were guessed; of the others nothing is said.
        right: how many guesses were right.
    """

    n: int
    made: int
    right: int

    def __post_init__(self) -> None:
        if not 0 <= self.right <= self.made <= self.n or self.n < 1:
            raise BadInput(f"{self.right} right guesses of {self.made}, for {self.n} canaries")


def guess(scores: npt.ArrayLike, inside: npt.ArrayLike, n_in: int, n_out: int) -> Guesses:
    """Guess that the highest scores were in and the lowest out.

    The numbers must be fixed before the coins are looked at; equal scores are taken in their order.

    Args:
        scores: of each canary, larger = more like those that are in, shape (n,).
        inside: the coins, shape (n,).
        n_in: guesses of *in*.
        n_out: guesses of *out*.

    Raises:
        BadInput: more guesses than canaries, a score that is NaN, or other shapes.
    """
    s, coins = np.asarray(scores, np.float64).ravel(), np.asarray(inside, bool).ravel()
    if len(s) != len(coins) or np.isnan(s).any():
        raise BadInput(f"each canary needs a score that is a number and a coin: {len(s)} and {len(coins)} were given")
    if min(n_in, n_out) < 0 or n_in + n_out > len(s):
        raise BadInput(f"{n_in} guesses of in and {n_out} of out are too many for {len(s)} canaries")
    order = np.argsort(-s, kind="stable")
    right = int(coins[order[:n_in]].sum()) + int((~coins[order[len(s) - n_out :]]).sum())
    return Guesses(len(s), n_in + n_out, right)


def p_value(guesses: Guesses, epsilon: float, delta: float = 0.0) -> float:
    """Return the largest chance that training which keeps (ε, δ) allows so many right guesses.

    With δ = 0 it is P[Binomial(made, 1/(1 + e^−ε)) ≥ right]: each coin is at best a randomised response. Failures of
    probability δ add up to 2·n·δ·max over i of P[right > Binomial ≥ right − i]/i.

    Args:
        guesses: what was guessed.
        epsilon: ≥ 0.
        delta: in [0, 1].

    Raises:
        BadInput: ε or δ outside its range.

    Source: M32; Steinke, Nasr and Jagielski (NeurIPS 2023), theorem 5.2 and corollary 5.4.
    """
    from scipy.stats import binom

    if not epsilon >= 0 or not 0 <= delta <= 1:
        raise BadInput(f"a promise has ε of 0 or more and δ between 0 and 1, not {epsilon} and {delta}")
    share = 1 / (1 + np.exp(-epsilon))
    plain = float(binom.sf(guesses.right - 1, guesses.made, share))
    if delta == 0 or guesses.right == 0:
        return min(1.0, plain)
    fewer = np.arange(guesses.right - 1, -1, -1)
    within = np.cumsum(binom.pmf(fewer, guesses.made, share)) / np.arange(1, guesses.right + 1)
    return min(1.0, plain + 2 * guesses.n * delta * float(within.max()))


def epsilon_lower_bound(guesses: Guesses, delta: float = 0.0, alpha: float = 0.05) -> float:
    """Return an ε that training is not private with, at confidence 1 − alpha; 0 where nothing was shown.

    What holds of training that is (ε, δ)-private when one record is added or left out. A promise of *removal* says that
    the model is (ε, δ)-close to one retrained without the canaries: then two worlds that differ in one canary are
    (2ε, (1 + e^ε)·δ)-close, so half of this bound contradicts it (`removal_lower_bound`).

    Guarantee: if training keeps (ε, δ), the value is above ε with probability alpha at most: canaries may influence
        each other, for their coins are independent. It is never evidence that a promise holds.
    Cost: 60 sums over the right guesses.
    Source: M32; Steinke, Nasr and Jagielski (NeurIPS 2023). 75 right of 100 guesses, 1 000 canaries, δ 10⁻⁴: 0.673.

    Args:
        guesses: what was guessed.
        delta: δ of the promise.
        alpha: chance of a bound that is too high, in (0, 1).

    Raises:
        BadInput: alpha outside (0, 1).
    """
    if not 0 < alpha < 1:
        raise BadInput(f"alpha lies between 0 and 1, and {alpha} does not")
    return _largest(lambda epsilon: p_value(guesses, epsilon, delta) < alpha)


def removal_lower_bound(guesses: Guesses, delta: float = 0.0, alpha: float = 0.05) -> float:
    """Return an ε that a promise of (ε, δ) removal does not hold with; arguments and errors as above.

    Each canary was learnt and then forgotten, or never learnt, by its coin. Both are (ε, δ)-close to the same retrained
    model, so they are (2ε, (1 + e^ε)·δ)-close to each other.

    Source: M32 and the triangle inequality of (ε, δ); ours.
    """
    if not 0 < alpha < 1:
        raise BadInput(f"alpha lies between 0 and 1, and {alpha} does not")
    return _largest(lambda epsilon: p_value(guesses, 2 * epsilon, min(1.0, (1 + np.exp(epsilon)) * delta)) < alpha)


def _largest(rejected: Callable[[float], bool]) -> float:
    """Return the largest ε that is rejected, by halving; the p-value grows with ε."""
    if not rejected(0.0):
        return 0.0
    low, high = 0.0, 1.0
    while high < LARGEST and rejected(high):
        low, high = high, 2 * high
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if rejected(middle) else (low, middle)
    return low
