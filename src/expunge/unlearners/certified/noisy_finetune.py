"""``NoisyFinetune``: noisy clipped steps that hide any start, then free ones: nothing is assumed of the loss (U37)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from expunge.core.accountant import Budget, above
from expunge.core.errors import BadInput, Unsupported
from expunge.core.roles import Floats
from expunge.core.trajectories import Clipped
from expunge.models.heads.model import HeadModel, Parting, drawn, entry_of
from expunge.models.heads.slope import Slope
from expunge.models.heads.stepped import SteppedLogistic
from expunge.unlearners.course import HeadMethod, descended, learner_of, rows_left


@dataclass(frozen=True)
class NoisyFinetune(HeadMethod):
    """Cuts the weights to ‖w‖ ≤ C₀, takes K steps w ← w - η(clip(g, C₁) + λw) + N(0, σ²I), and free steps after them.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).
        start: C₀, norm that the weights are cut to.
        clip: C₁, norm that the mean gradient is cut to.
        stride: η of the noisy steps.
        penalty: λ of the noisy steps, ≥ 0; ηλ < 1. What they shrink needs no noise.
        steps: K.
        free: full steps on the kept records afterwards, without noise.

    Guarantee: certified (ε, δ) by zCDP, for any loss and any weights before: compared is retraining, *followed by the
        same cut, noise and free steps*. Whatever was forgotten earlier, by whatever method, is covered with it.
        Requests must not react to the noise of earlier versions. Utility is what the free steps bring back; that is
        most of a fit, which is why this is a point of reference for heads.
    Cost: K + free passes over the kept records.
    Source: spec U37; Koloskova et al. (ICML 2025). Where we differ: λ enters their bound as a contraction, σ(λ→0) is
        σ(0), and the Rényi divergence is converted with its factor α (B14).

    >>> from expunge.core.conformance import world_of
    >>> from expunge.core.request import ForgetRequest
    >>> before = world_of(SteppedLogistic())(0)
    >>> outcome = NoisyFinetune().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.after.model.ledger.entries[-1].action
    ('certified', 'noised')
    """

    start: float = 1.0
    clip: float = 1.0
    stride: float = 0.5
    penalty: float = 0.5
    steps: int = 20
    free: int = 800

    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse what is no head of full gradient steps.

        Raises:
            Unsupported: saying why.
        """
        if not isinstance(model.learner, SteppedLogistic) or "weights" not in model.secret:
            raise Unsupported("noisy fine-tuning needs a head learnt by full gradient steps", hint="Use retrain.")
        if not isinstance(self.free, int) or isinstance(self.free, bool) or self.free < 0:
            raise BadInput(f"free must be a whole number, 0 or more, not {self.free!r}")

    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return K + free."""
        return self._course.steps + self.free

    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the version after K noisy and then free steps on what is left."""
        course = self._course
        sigma = course.sigma(budget.epsilon, budget.delta) * (1 + 2.0**-30)
        encoded = rows_left(model, parting)
        slope, weights = Slope.of(encoded.kept(), model.learner.penalty), cut(model.secret["weights"], course.start)
        encoded.settle()
        xi = drawn((model.key, self, encoded.now.ids), weights, len(model.ledger.entries) + 1, course.steps)
        for each in xi:
            gradient = cut(slope.gradient(weights), course.clip)
            weights = weights - course.stride * (gradient + course.penalty * weights) + sigma * each
        return relearnt(model, parting, (weights, self.free), (budget, course.rho(sigma), "noised"))

    @property
    def _course(self) -> Clipped:
        return Clipped(self.start, self.clip, self.stride, self.penalty, self.steps)


def cut(weights: Floats, norm: float) -> Floats:
    """Return weights no longer than `norm`."""
    size = float(np.linalg.norm(weights))
    return weights if size <= norm else weights * (norm / size * (1 - 2.0**-40))


def relearnt(
    model: HeadModel,
    parting: Parting,
    noisy: tuple[Floats, int],
    told: tuple[Budget, float, str],
) -> HeadModel:
    """Return the version of noisy weights after free steps; old weights are let go of.

    Args:
        model: of before.
        parting: what goes.
        noisy: the weights, and how many free steps follow.
        told: the budget, ρ (half the square of the shift that tells as much), and the ledger's action.
    """
    learner = learner_of(model, SteppedLogistic, "free steps need a head learnt by full gradient steps")
    (weights, free), (budget, rho, action) = noisy, told
    residual = above(learner.sigma * math.sqrt(2 * rho))
    entry = entry_of("noised" if action == "noised" else "output", parting, residual, free, budget)
    return descended(model, parting, weights, entry, {})
