"""``Descent``: full gradient steps on the kept records from the secret weights, hidden in fresh noise (U34)."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.accountant import Budget, above
from expunge.core.errors import Unsupported
from expunge.core.trajectories import descent_step, descent_steps, hides
from expunge.models.heads.model import HeadModel, Parting, entry_of
from expunge.models.heads.slope import curve_of, rounding_of
from expunge.models.heads.stepped import SteppedLogistic
from expunge.unlearners.course import HeadMethod, descended, learner_of, only_by


@dataclass(frozen=True)
class Descent(HeadMethod):
    """Descends on the kept records from the weights without noise until the bound is what fresh noise hides.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).
        steps: I, full steps a request; None = as few as the bound allows.

    Guarantee: certified (ε, δ) for all records taken out together, for any stream of requests, adaptive ones included:
        after each, the weights are proven to be within Δ of what retraining gives, by constants in closed form alone.
        The weights without noise stay secret and are not covered.
        Numerics: float64; rounding is bounded and inside Δ.
    Cost: I passes over the kept records, known before they are read; I grows with log(m/(nσ)) and with 1/λ.
    Source: spec U34; Neel, Roth and Sharifi-Malvajerdi (ALT 2021). Where we differ: the recursion behind their bound
        instead of its fixed point, so that batches and changing I are covered, and the exact Gaussian mechanism.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.core.request import ForgetRequest
    >>> before = world_of(SteppedLogistic())(0)
    >>> outcome = Descent().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.guarantee.epsilon, outcome.after.model.ledger.entries[-1].action
    ('certified', 1.0, 'descent')
    """

    steps: int | None = None

    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse heads that were not learnt by full steps, and ledgers of other methods.

        Raises:
            Unsupported: saying why.
        """
        if not isinstance(model.learner, SteppedLogistic) or "weights" not in model.secret:
            raise Unsupported("descent needs the weights of full gradient steps without noise", hint="Use retrain.")
        only_by(model, "descent")

    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return I.

        Raises:
            Unsupported: so many steps as were asked for do not do.
        """
        return self._planned(model, m, budget)[0]

    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the version after I full steps on what is left."""
        steps, residual = self._planned(model, parting.m, budget)
        entry = entry_of("descent", parting, residual, steps, budget)
        return descended(model, parting, model.secret["weights"], entry, model.secret)

    def _planned(self, model: HeadModel, m: int, budget: Budget) -> tuple[int, float]:
        """Return (I, the bound on the distance to retraining after it), from the ledger and sizes alone."""
        learner, n, shape = _learner(model), model.kept.n, model.weights.shape
        curve = curve_of(learner.penalty, shape[1])
        fit = learner.fit_distance(n - m, (shape[0], shape[1]))
        fuzz = rounding_of(n - m, (shape[0], shape[1]), learner.penalty)
        start = model.ledger.residual  # the fit's own distance is in it, and counted again: outwards
        room = hides(model.ledger.sigma, budget) - fit - 2 * fuzz
        if not room > 0:
            raise Unsupported("the noise does not even hide how far a fit ends from its minimum", hint="Use retrain.")
        steps = self.steps or max(1, descent_steps(start + curve.moved(m, n), room, curve))
        left = above(descent_step(start, curve, m, n, steps) + fuzz + fit)
        if not left <= hides(model.ledger.sigma, budget):
            raise Unsupported(f"{steps} steps leave {left:.3g}, which the noise does not hide", hint="Allow more.")
        return steps, left


def _learner(model: HeadModel) -> SteppedLogistic:
    return learner_of(model, SteppedLogistic, "descent needs a head learnt by full gradient steps")
