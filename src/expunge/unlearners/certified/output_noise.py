"""``OutputNoise``: noise that drowns the weights at once, then free steps: the point of reference (U38)."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.accountant import Budget
from expunge.core.errors import BadInput, Unsupported
from expunge.core.trajectories import output_sigma
from expunge.models.heads.model import HeadModel, Parting, drawn
from expunge.models.heads.stepped import SteppedLogistic
from expunge.unlearners.certified.noisy_finetune import cut, relearnt
from expunge.unlearners.course import HeadMethod, rows_left


@dataclass(frozen=True)
class OutputNoise(HeadMethod):
    """Cuts the weights to ‖w‖ ≤ C₀, adds N(0, σ²I) that hides 2C₀, and takes free full steps on the kept records.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).
        start: C₀, norm that the weights are cut to.
        free: full steps on the kept records afterwards, without noise.

    Guarantee: certified (ε, δ) by the exact Gaussian mechanism, for any loss and any weights before: compared is
        retraining, followed by the same cut, noise and free steps. Requests must not react to the noise of earlier
        versions. Nothing of the old weights is left to speak of, so neither is their use.
    Cost: `free` passes over the kept records.
    Source: spec U38.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.core.request import ForgetRequest
    >>> before = world_of(SteppedLogistic())(0)
    >>> outcome = OutputNoise().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.after.model.ledger.entries[-1].action
    ('certified', 'output')
    """

    start: float = 1.0
    free: int = 800

    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse what is no head of full gradient steps.

        Raises:
            Unsupported: saying why.
        """
        if not isinstance(model.learner, SteppedLogistic) or "weights" not in model.secret:
            raise Unsupported("output noise needs a head learnt by full gradient steps", hint="Use retrain.")
        if not isinstance(self.free, int) or isinstance(self.free, bool) or self.free < 0 or not self.start > 0:
            raise BadInput(f"free must be a whole number, 0 or more, and start positive: {self!r}")

    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return the free steps."""
        return self.free

    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the version after noise and free steps on what is left."""
        sigma = output_sigma(self.start, budget.epsilon, budget.delta) * (1 + 2.0**-30)
        weights = cut(model.secret["weights"], self.start)
        encoded = rows_left(model, parting)
        encoded.settle()
        xi = drawn((model.key, self, encoded.now.ids), weights, len(model.ledger.entries) + 1, 1)[0]
        shift = 2 * self.start / sigma
        return relearnt(model, parting, (weights + sigma * xi, self.free), (budget, shift**2 / 2, "output"))
