"""``SteppedLogistic``: logistic heads learnt by full gradient steps, and published with noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from expunge.core.accountant import Budget, Ledger, above
from expunge.core.errors import BadInput
from expunge.core.seeds import Key
from expunge.core.trajectories import below, hides, zcdp_rho
from expunge.models.heads.model import HeadModel
from expunge.models.heads.slope import Slope, curve_of, radius, rounding_of
from expunge.models.heads.start import HeadLearner, check_counts, check_numbers, ledger_of
from expunge.models.logistic.model import noise, snapped

if TYPE_CHECKING:
    from expunge.core.roles import Floats, Progress
    from expunge.models.logistic.kept import Encoded


@dataclass(frozen=True)
class SteppedLogistic(HeadLearner):
    """Logistic regression by T full gradient steps; k > 2 classes each against the rest.

    Minimises ``(1/n) Σ ℓ(w·x) + (λ/2)‖w‖²`` from zero, and publishes ``w + N(0, σ²I)``. The weights without noise and
    those K steps before the end are secret; the noise comes from the key, the version, and the secret weights.

    Attributes:
        penalty: λ, a record, > 0; its inverse is about the condition number, and how many steps everything takes.
        sigma: σ of the published weights, ≥ 0; 0 = no noise, and no certificate.
        clip: rows are cut at so many standard deviations, all columns together; ‖x‖ ≤ √2 then holds whatever the data.
        n_steps: T.
        rewind: K < T, steps between the weights that are kept for `rewind` and the last.

    Guarantee: certified (ε, δ) through `expunge.unlearners.certified.descent`, `rewind`, `noisy_finetune` and
        `output_noise`; retraining is exact, ``bits-here``.
    Cost: T passes, 4nd multiplications each; 8nd bytes while it learns; 2d secret numbers a head.
    Source: spec U34 and U35. Neel, Roth and Sharifi-Malvajerdi (ALT 2021); Mu and Klabjan (2024).
    """

    secrets: ClassVar[tuple[str, ...]] = ("weights", "checkpoint")

    penalty: float = 1e-2
    sigma: float = 1e-3
    clip: float = 3.0
    n_steps: int = 1200
    rewind: int = 600

    def learnt(
        self, encoded: Encoded, key: Key, progress: Progress | None
    ) -> tuple[Floats, dict[str, Floats], tuple[float, int]]:
        """Return the weights after T steps with noise; without it, and K steps before; and twice the fit's distance."""
        slope = Slope.of(encoded.now.rows, self.penalty)
        first = slope.descended(np.zeros(slope.shape), self.n_steps - self.rewind, progress)
        last = slope.descended(first, self.rewind, progress)
        n = len(encoded.now.ids)
        residual = above(2 * self.fit_distance(n, slope.shape))
        return self.published(key, last, n, 1), {"weights": last, "checkpoint": first}, (residual, self.n_steps)

    def published(self, key: Key, secret: Floats, n: int, version: int) -> Floats:
        """Return secret weights with this version's noise, on a grid that hides how they were added."""
        if not self.sigma:
            return secret
        return snapped(secret + self.sigma * noise(key, self, secret, (version, n)), self.sigma)

    def fit_distance(self, n: int, shape: tuple[int, int]) -> float:
        """Return how far from its minimum a fit ends at most: γᵀ‖w*‖ and rounding."""
        curve = curve_of(self.penalty, shape[1])
        return above(curve.rate**self.n_steps * radius(self.penalty, shape[1]) + rounding_of(n, shape, self.penalty))

    def stands(self, ledger: Ledger, budget: Budget) -> tuple[float, float]:
        """Return (distance to retraining, what Gaussian noise hides at this budget); of noisy steps by zCDP."""
        if ledger.entries[-1].action == "noised":
            return ledger.residual, below(ledger.sigma * math.sqrt(2 * zcdp_rho(budget.epsilon, budget.delta)))
        return ledger.residual, hides(ledger.sigma, budget)

    def off(self, model: HeadModel) -> tuple[float, float]:
        """Return bounds on the distance to retraining, from one pass: the gradient says how far the minimum is."""
        if model.ledger.entries[-1].action in ("noised", "output"):
            return 0.0, model.ledger.residual
        slope = model.slope
        low, high = slope.off(model.secret["weights"])
        fit = self.fit_distance(len(slope.rows), slope.shape)
        return max(0.0, low - fit), above(high + fit)

    @property
    def empty(self) -> Ledger:
        """The ledger before the first entry."""
        return ledger_of(self.sigma, penalty=self.penalty, full_steps_of_a_fit=self.n_steps, rewound=self.rewind)

    def check(self) -> None:
        """Refuse hyper-parameters that cannot be.

        Raises:
            BadInput: naming one.
        """
        check_numbers(penalty=self.penalty, clip=self.clip)
        if self.sigma != 0 or isinstance(self.sigma, bool):
            check_numbers(sigma=self.sigma)
        check_counts(n_steps=self.n_steps, rewind=self.rewind)
        if self.rewind >= self.n_steps:
            raise BadInput(f"rewind must be less than the {self.n_steps} steps of a fit, not {self.rewind}")
