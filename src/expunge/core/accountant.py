"""The (ε, δ) accountant: what noise allows which distance, and the ledger of every certified removal.

Pure functions on floats, recomputable by anybody who reads a receipt. Bounds are rounded outwards.

Source: spec 4.1; Guo et al. (ICML 2020) for the allowance of a gradient residual; Balle and Wang (ICML 2018) for the
exact δ of Gaussian noise; Bun and Steinke (2016) for zCDP; Higham (2002, ch. 3) for rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

from pydantic import Field, model_validator

from expunge.core.errors import BadInput, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.record import Record

SHARP_GAMMA: Final = 1 / (6 * math.sqrt(3))
"""max |p(1-p)(1-2p)|: how fast the curvature of the logistic loss can change."""
PUBLISHED_GAMMA: Final = 0.25
"""What the literature uses in its place."""
ROUNDOFF: Final = 2.0**-53

LEAST_DELTA: Final = 1e-12
"""Noise is drawn from 53 bits, and published on a grid; nothing is said of rarer events."""

Proof = Literal["closed-form", "interval", "estimated"]
Action = Literal["fit", "step", "measured", "refit", "descent", "rewind", "langevin", "noised", "output", "spared"]


def above(value: float) -> float:
    """Return a number above a computed bound by more than the few roundings that made it.

    >>> above(1.0) > 1.0 + 1e-13
    True
    """
    return math.nextafter(value * (1 + 2.0**-40), math.inf)


def rounding(k: int) -> float:
    """Return γ_k = ku/(1-ku): the relative error of a float64 sum of k products, in any order.

    Raises:
        BadInput: so many that nothing could be said.
    """
    share = k * ROUNDOFF
    if share >= 0.5:
        raise BadInput(f"a float64 sum of {k} terms has no useful error bound")
    return above(share / (1 - share))


def _normal(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))


def gaussian_delta(mu: float, epsilon: float) -> float:
    """Return the δ of Gaussian noise at ε, for a shift of μ standard deviations; never below the truth.

    >>> 0.99e-5 < gaussian_delta(1 / 3.7306, 1.0) < 1.01e-5
    True
    """
    if mu <= 0:
        return 0.0
    near, far = mu / 2, epsilon / mu
    if not math.isfinite(near) or not math.isfinite(far):
        return 1.0 if far < near else 1e-300
    blur = 8 * ROUNDOFF * (near + far)  # rounding of the arguments; each side is taken where it errs upwards
    first, low = _normal(near - far + blur), _normal(-near - far - blur)
    power = epsilon + math.log(low) if low > 1e-290 else -math.inf  # leaving it out errs upwards
    second = math.exp(min(power - 8 * ROUNDOFF * (epsilon + abs(power - epsilon)), 0.0)) if low > 1e-290 else 0.0
    return min(1.0, max(0.0, first * (1 + 1e-13) - second * (1 - 1e-13)) + 1e-300)


def gaussian_epsilon(mu: float, delta: float) -> float:
    """Return the ε of Gaussian noise at δ, for a shift of μ standard deviations; inf where none is found.

    >>> round(gaussian_epsilon(1 / 3.7306, 1e-5), 3)
    1.0
    """
    _check(1.0, delta)
    if not math.isfinite(mu):
        return math.inf
    if gaussian_delta(mu, 0.0) <= delta:
        return 0.0
    low, high = 0.0, 1.0
    while gaussian_delta(mu, high) > delta:
        low, high = high, 2 * high
        if high > 1e6:
            return math.inf
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(mu, middle) > delta else (low, middle)
    return high


@cache
def gaussian_sigma(epsilon: float, delta: float) -> float:
    """Return σ/Δ, the smallest noise for a shift of 1 that is (ε, δ): the analytic Gaussian mechanism.

    >>> [round(gaussian_sigma(e, 1e-5), 4) for e in (0.5, 1.0, 2.0, 5.0)]
    [7.0318, 3.7306, 1.9938, 0.8919]
    """
    _check(epsilon, delta)
    low, high = 1e-9, 1.0
    while gaussian_delta(1 / high, epsilon) > delta:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if gaussian_delta(1 / middle, epsilon) > delta else (low, middle)
    return high


def removal_constant(delta: float) -> float:
    """Return c = √(2 ln(1.5/δ)) of the published removal theorem.

    >>> round(removal_constant(1e-5), 4), round(removal_constant(1e-4), 4)
    (4.8823, 4.3854)
    """
    _check(1.0, delta)
    return math.sqrt(2 * math.log(1.5 / delta))


def zcdp_epsilon(rho: float, delta: float) -> float:
    """Return ε = ρ + 2√(ρ ln 1/δ) of ρ-zCDP; the factor α of the Rényi divergence is inside ρ."""
    _check(1.0, delta)
    return rho + 2 * math.sqrt(max(rho, 0.0) * math.log(1 / delta))


def group(epsilon: float, delta: float, g: int) -> tuple[float, float]:
    """Return (gε, g·e^((g-1)ε)·δ): a promise for one record, read for g of them.

    `Budget` needs none of it: there the promise is about the whole batch already.
    """
    return g * epsilon, min(1.0, g * math.exp((g - 1) * epsilon) * delta)


def independent_residual(m: int, n: int, penalty: float, reach: float = 1.0, gamma: float = SHARP_GAMMA) -> float:
    """Return the textbook bound on the gradient left by one Newton step, whatever the data: 4γm²C⁵/(λ²(n-m)).

    Args:
        m: records taken out.
        n: records before.
        penalty: λ a record.
        reach: C, the largest norm of a row.
        gamma: `SHARP_GAMMA`, or `PUBLISHED_GAMMA` as in the paper (which has C = 1).
    """
    return above(4 * gamma * m * m * reach**5 / (penalty * penalty * (n - m)))


def published_residual(gamma: float, norm: float, step: float, moved: float) -> float:
    """Return the paper's data-dependent bound γ‖X‖₂‖v‖‖Xv‖ on what one Newton step v leaves.

    Args:
        gamma: as above.
        norm: a certified *upper* bound of ‖X‖₂ (the Frobenius norm is one; power iterations give a lower one).
        step: ‖v‖.
        moved: ‖Xv‖.
    """
    return above(gamma * norm * step * moved)


def _check(epsilon: float, delta: float) -> None:
    if any(isinstance(x, bool) or not isinstance(x, int | float) for x in (epsilon, delta)):
        raise BadInput(f"epsilon and delta must be numbers, not {epsilon!r} and {delta!r}")
    if not (0 < epsilon < math.inf and 0 < delta < 1):
        raise BadInput(f"epsilon must be positive and delta between 0 and 1, not {epsilon!r} and {delta!r}")


@dataclass(frozen=True)
class Budget:
    """What is promised about a version: (ε, δ)-close to retraining, for the batch as a whole.

    >>> round(Budget(1.0, 1e-5).allowance(1.0) * 4.8823, 4)
    1.0
    """

    epsilon: float = 1.0
    delta: float = 1e-5

    def allowance(self, sigma: float) -> float:
        """Return the largest gradient residual that noise σ hides: σε/c, and never more than Gaussian noise allows.

        The published rule σε/c is the smaller one for moderate ε; for large ε it would promise too much.
        """
        _check(self.epsilon, self.delta)
        if self.delta < LEAST_DELTA:
            raise BadInput(f"delta must be at least {LEAST_DELTA:g}: noise in float64 gives no less")
        exact = sigma / gaussian_sigma(self.epsilon, self.delta)
        return min(sigma * self.epsilon / removal_constant(self.delta), exact)


class Constant(Record):
    """A number that the proof rests on, and how it is known."""

    name: str
    value: float
    proof: Proof = "closed-form"


class Entry(Record):
    """One version of a model in its ledger.

    Attributes:
        action: ``fit``, ``step`` (bounded, no pass over the data), ``measured``, or ``refit``; of trajectories
            ``descent``, ``rewind``, ``langevin``, ``noised``, ``output``; or ``spared`` (the noise of training hides
            them, and nothing was done).
        forgotten: records taken out since the version before.
        kept: records that are left.
        residual: proven bound on what the noise has to hide, all heads together: the norm of the gradient at the
            secret weights of a removal, the distance to retraining of a trajectory; of ρ-zCDP the shift σ√(2ρ), which
            tells as much.
        passes: passes over the kept records.
        epsilon: what was promised; None for a fit.
        delta: what was promised; None for a fit.
    """

    action: Action
    forgotten: int = Field(ge=0)
    kept: int = Field(ge=1)
    residual: float = Field(ge=0)
    passes: int = Field(default=0, ge=0)
    epsilon: float | None = None
    delta: float | None = None


class Ledger(Record):
    """Every version of a certified model since its fit, in order; only ever appended to.

    Attributes:
        sigma: standard deviation of the noise, in units of what it hides.
        constants: what the proof rests on.
        entries: one a version.
    """

    sigma: float = Field(ge=0)
    constants: tuple[Constant, ...] = ()
    entries: tuple[Entry, ...] = ()

    @model_validator(mode="after")
    def _whole(self) -> Ledger:
        for before, entry in zip((None, *self.entries), self.entries, strict=False):
            _check_next(before, entry)
        return self

    def adding(self, entry: Entry) -> Ledger:
        """Return the ledger with one more version.

        Raises:
            ValueError: it does not follow from the last one.
        """
        _check_next(self.entries[-1] if self.entries else None, entry)
        entries = (*self.entries, entry)  # those before were checked when they came
        return Ledger.model_construct(sigma=self.sigma, constants=self.constants, entries=entries)

    @property
    def residual(self) -> float:
        """The bound of the newest version; infinite for an empty ledger."""
        return self.entries[-1].residual if self.entries else math.inf

    @property
    def rho(self) -> float:
        """zCDP of all versions together, for an observer who saw every one (each has noise of its own)."""
        if not self.sigma:
            return math.inf
        return above(sum((entry.residual / self.sigma) ** 2 / 2 for entry in self.entries))

    def broken(self, kept: int) -> str:
        """Return why nothing can be proven from this ledger for a model of so many records; empty if it can."""
        if not self.entries:
            return "it has no entry"
        if self.entries[-1].kept != kept:
            return f"it ends with {self.entries[-1].kept} records, and the model has {kept}"
        guessed = [c.name for c in self.constants if c.proof == "estimated"]
        return f"{guessed[0]} is an estimate, and proves nothing" if guessed else ""


def _check_next(before: Entry | None, entry: Entry) -> None:
    if before is None and entry.action != "fit":
        raise ValueError("a ledger begins with a fit")
    if before is not None and before.kept - entry.forgotten != entry.kept:
        raise ValueError("a version does not follow from the one before")


COMPARED: Final = (
    "each version is published with fresh noise: (ε, δ) compares it with retraining and fresh noise, for the batch as "
    "a whole, whatever was published before and however the request reacted to it",
    "the unpublished part of the model (weights without noise, curvature) and the key stay secret; it is not covered",
    "the noise is drawn from 53 bits a weight and published on a grid; how long arithmetic takes is not considered",
)
PUBLIC_KEY: Final = (
    "the key is NOT secret here (a library seed): whoever knows the seed can take the noise off, so nothing is "
    "certified; fit with a key of your own for that"
)


def certified(ledger: Ledger, budget: Budget, kept: int, public_key: bool, again: bool = False) -> Guarantee:
    """Return the promise of a model whose ledger stands, at this budget; with a public key it is only empirical.

    Args:
        ledger: the model's.
        budget: what is to hold.
        kept: records that the model has.
        public_key: whether anybody can draw the noise again.
        again: the data may be read once more, which brings the residual back to what it was after the fit.

    Raises:
        Unsupported: no noise, a ledger that does not stand, or a residual above what the noise allows.
    """
    allowed = budget.allowance(ledger.sigma)
    if ledger.sigma <= 0:
        raise Unsupported("the model was learnt without noise (sigma=0)", hint="Fit with sigma > 0, or use retrain.")
    if reason := ledger.broken(kept):
        raise Unsupported(f"the ledger is broken: {reason}", hint="Use retrain.")
    residual = min(ledger.residual, ledger.entries[0].residual if again else math.inf)
    if not residual <= allowed:
        raise Unsupported(
            f"the residual may be {residual:.3g}, and noise of {ledger.sigma:g} hides {allowed:.3g} "
            f"at epsilon={budget.epsilon:g}, delta={budget.delta:g}",
            hint="Allow passes over the kept records, ask for a larger epsilon, or use retrain.",
        )
    proofs = tuple(f"{c.name} = {c.value:g} ({c.proof})" for c in ledger.constants)
    if public_key:
        return Guarantee(kind="empirical", assumptions=(PUBLIC_KEY, *proofs), covers=("model", "encoder"))
    return Guarantee(
        kind="certified",
        epsilon=budget.epsilon,
        delta=budget.delta,
        assumptions=(*COMPARED, *proofs),
        covers=("model", "encoder"),
    )
