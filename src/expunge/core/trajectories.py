"""How far a descended, rewound or noisy trajectory can be from retraining, and what noise hides of it.

Pure functions on floats, rounded outwards, which a reader of a ledger can run again. Distances are Euclidean; a Rényi
divergence of at most αρ at every order α is given as its ρ (zCDP): a conversion without the factor α would promise
eight times too much (B14).

Source: spec 4.1 and U34-U38; Neel, Roth and Sharifi-Malvajerdi (ALT 2021) for descent; Mu and Klabjan (2024) for
rewinding; Chien, Wang, Chen and Li (NeurIPS 2024) for Langevin; Koloskova et al. (ICML 2025) for noisy fine-tuning;
Feldman et al. (2018) and Altschuler and Talwar (2022) for amplification by iteration. The sharp constants of `hidden`
are ours: absorbing a distance Z in S contracting steps of noise σ costs ρ = Z²/(2σ² Σ c⁻²ⁱ), i = 1 … S, by
Cauchy-Schwarz; the published ones are ceilings, and tested as such.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from expunge.core.accountant import Budget, above, gaussian_sigma
from expunge.core.errors import BadInput


def below(value: float) -> float:
    """Return a number below a computed positive bound by more than the few roundings that made it."""
    return max(0.0, math.nextafter(value * (1 - 2.0**-40), -math.inf))


@dataclass(frozen=True)
class Curve:
    """Closed-form constants of an objective that is a mean over records and a penalty.

    Attributes:
        convex: μ > 0, strong convexity.
        smooth: M ≥ μ, Lipschitz constant of the gradient.
        steep: L > 0, largest norm of one record's gradient, its penalty apart.

    >>> round(Curve(0.01, 0.26, 1.0).rate, 6)
    0.925926
    """

    convex: float
    smooth: float
    steep: float

    def __post_init__(self) -> None:
        if not (0 < self.convex <= self.smooth < math.inf and 0 < self.steep < math.inf):
            raise BadInput(f"no constants of a strongly convex objective: {self!r}")

    @property
    def stride(self) -> float:
        """η = 2/(M+μ), the step that contracts most."""
        return 2 / (self.smooth + self.convex)

    @property
    def rate(self) -> float:
        """γ = (M-μ)/(M+μ): what one full step of that size leaves of the distance to the minimum, at most."""
        return above((self.smooth - self.convex) / (self.smooth + self.convex))

    def moved(self, m: int, n: int) -> float:
        """Return how far the minimum moves, at most, when m of n records go: 2mL/(μn)."""
        return above(2 * m * self.steep / (self.convex * n))


def descent_distance(curve: Curve, n: int, steps: int) -> float:
    """Return Δ = 4Lγᴵ/(μn(1-γᴵ)): how far two descents with I steps an update are apart, for any stream of updates.

    One record an update; each descent is within half of it of the minimum.

    >>> round(descent_distance(Curve(0.01, 0.26, 1.0), 1000, 50), 7)
    0.0087143
    """
    left = curve.rate**steps
    return above(4 * curve.steep * left / (curve.convex * n * (1 - left))) if left < 1 else math.inf


def descent_step(distance: float, curve: Curve, m: int, n: int, steps: int) -> float:
    """Return the next distance to the minimum: γᴵ(d + 2mL/(μn)), when m of n records go and I full steps follow.

    The recursion behind `descent_distance`, for batches and for a number of steps that changes.
    """
    return above(curve.rate**steps * (distance + curve.moved(m, n)))


def descent_steps(start: float, aim: float, curve: Curve) -> int:
    """Return the least number of full steps that brings a distance down to `aim`.

    Raises:
        BadInput: the aim is not positive.
    """
    if not 0 < aim < math.inf:
        raise BadInput("no number of steps reaches the minimum itself")
    if start <= aim:
        return 0
    return max(1, math.ceil(math.log(start / aim) / -math.log(curve.rate) + 1e-9))


def published_descent_sigma(distance: float, epsilon: float, delta: float) -> float:
    """Return the paper's σ = √2·Δ/(√(ln(1/δ)+ε) - √ln(1/δ)): the ceiling of ours.

    >>> round(published_descent_sigma(0.0087143, 1.0, 1e-5), 6)
    0.08541
    """
    log = math.log(1 / delta)
    return math.sqrt(2) * distance / (math.sqrt(log + epsilon) - math.sqrt(log))


def rewind_distance(shared: float, growth: float, apart: int, again: int) -> float:
    """Return how far K steps from w_{T-K} are from T steps without the records, whatever the loss.

    Unrolled: the first T-K steps differ by at most `shared` each and grow by `growth`, the last K only grow.

    Args:
        shared: η·2mG/n, by which m of n records move one step, at gradients up to G.
        growth: Lipschitz constant of one step: 1+ηL of any smooth loss, γ of a strongly convex one.
        apart: T-K.
        again: K.

    >>> round(rewind_distance(0.1 * 2 * 1.0 / 1000, 1 + 0.1 * 0.25, 10, 5), 8)
    0.00253512
    """
    if growth == 1.0:
        return above(shared * apart)
    try:
        return above(shared * math.expm1(apart * math.log(growth)) / (growth - 1) * growth**again)
    except OverflowError:
        return math.inf


def hidden(distance: float, rate: float, steps: int, noise: float) -> float:
    """Return ρ of a distance that S contracting steps, each with noise, absorb: Z²/(2s² Σ c⁻²ⁱ), i = 1 … S.

    Args:
        distance: Z, before the first of them, in every coupling the same.
        rate: c ≤ 1, contraction of one step.
        steps: S ≥ 1.
        noise: s, standard deviation of each step's noise in each coordinate.
    """
    if distance <= 0:
        return 0.0
    if steps < 1 or noise <= 0:
        return math.inf
    slow = -2 * math.log(rate)
    try:
        weight = steps if slow <= 0 else math.expm1(slow * steps) / -math.expm1(-slow)
    except OverflowError:
        weight = math.inf
    return above(distance**2 / (2 * noise**2 * weight))


def langevin_distance(curve: Curve, stride: float, batch: int, batches: int) -> float:
    """Return Z = (2ηL/b)/(1-c^(n/b)): how far apart one exchanged record ever drives two projected noisy trajectories.

    Args:
        curve: of the objective.
        stride: η ≤ 1/M.
        batch: b, slots of a batch.
        batches: n/b, steps of an epoch.

    >>> curve = Curve(0.011264, 0.261264, 1.0)
    >>> round(langevin_distance(curve, 1 / 0.261264, 128, 88), 6)
    0.061069
    """
    contracting = -math.expm1(batches * math.log1p(-stride * curve.convex))
    return above(2 * stride * curve.steep / batch / contracting)


def langevin_rho(distance: float, convex: float, stride: float, sigma: float, steps: int) -> float:
    """Return ρ after S more steps with noise √(2η)σ: Z²c^(2S)(1-c²)/(4ησ²(1-c^(2S))), c = 1-ημ.

    The paper's Z²c^(2S)/(2ησ²) is never less (`published_langevin_rho`).
    """
    rate = above(1 - stride * convex)
    return hidden(distance, min(rate, 1.0), steps, math.sqrt(2 * stride) * sigma)


def published_langevin_rho(distance: float, convex: float, stride: float, sigma: float, steps: int) -> float:
    """Return the paper's ρ."""
    return distance**2 * (1 - stride * convex) ** (2 * steps) / (2 * stride * sigma**2)


@dataclass(frozen=True)
class Clipped:
    """Noisy clipped steps θ ← θ - η(clip(g, C₁) + λθ) + N(0, σ²I) from a start cut to ‖θ‖ ≤ C₀.

    Attributes:
        start: C₀.
        clip: C₁.
        stride: η.
        penalty: λ ≥ 0, ηλ < 1.
        steps: K ≥ 1.
    """

    start: float
    clip: float
    stride: float
    penalty: float
    steps: int

    def __post_init__(self) -> None:
        sizes = min(self.start, self.clip, self.stride, self.steps)
        if not (sizes > 0 and 0 <= self.stride * self.penalty < 1 and math.isfinite(self.start + self.clip)):
            raise BadInput(f"these are no noisy steps: {self!r}")

    @property
    def _slow(self) -> float:
        return -math.log1p(-self.stride * self.penalty)

    @property
    def distance(self) -> float:
        """Z = 2C₀ρ̄ᴷ + 2ηC₁(1-ρ̄ᴷ)/(1-ρ̄), ρ̄ = 1-ηλ: nothing is assumed of the loss.

        >>> round(Clipped(10.0, 1.0, 0.1, 0.5, 100).distance, 4)
        4.0947
        """
        shrunk = self.stride * self.penalty
        total = -math.expm1(-self._slow * self.steps) / shrunk if shrunk > 0 else self.steps
        return above(2 * self.start * math.exp(-self._slow * self.steps) + 2 * self.stride * self.clip * total)

    @property
    def weight(self) -> float:
        """S = Σ ρ̄²ⁱ, i = 0 … K-1: how much of the noise of K steps is left at the end, in variances of one."""
        slow = 2 * self._slow
        return below(math.expm1(-slow * self.steps) / math.expm1(-slow) if slow > 0 else float(self.steps))

    def rho(self, sigma: float) -> float:
        """Return ρ = Z²/(2σ²S)."""
        return above(self.distance**2 / (2 * sigma**2 * self.weight)) if sigma > 0 else math.inf

    def sigma(self, epsilon: float, delta: float) -> float:
        """Return the least noise of one step that keeps (ε, δ) by zCDP.

        >>> round(Clipped(10.0, 1.0, 0.1, 0.0, 100).sigma(1.0, 1e-5), 3)
        19.602
        """
        return above(self.distance / math.sqrt(2 * self.weight * zcdp_rho(epsilon, delta)))


def published_noisy_sigma(steps: Clipped, epsilon: float, delta: float) -> float:
    """Return the paper's σ for λ = 0: 3√(ln(1/δ)/K)·(C₀+C₁ηK)/ε, sound for ε ≤ 0.257 ln(1/δ)."""
    far = steps.start + steps.clip * steps.stride * steps.steps
    return 3 * math.sqrt(math.log(1 / delta) / steps.steps) * far / epsilon


def output_sigma(start: float, epsilon: float, delta: float) -> float:
    """Return the noise that hides all of weights cut to ‖θ‖ ≤ C₀: two of them are 2C₀ apart."""
    return above(2 * start * gaussian_sigma(epsilon, delta))


def zcdp_rho(epsilon: float, delta: float) -> float:
    """Return the largest ρ whose ρ + 2√(ρ ln 1/δ) is at most ε.

    >>> round(zcdp_rho(1.0, 1e-5), 6)
    0.02082
    """
    Budget(epsilon, delta).allowance(1.0)  # refuses what cannot be
    log = math.log(1 / delta)
    return below((epsilon / (math.sqrt(log + epsilon) + math.sqrt(log))) ** 2)


def hides(sigma: float, budget: Budget) -> float:
    """Return the largest shift that Gaussian noise hides within a budget: σ over the least noise of a shift of 1."""
    budget.allowance(sigma)  # refuses what cannot be
    return below(sigma / gaussian_sigma(budget.epsilon, budget.delta))
