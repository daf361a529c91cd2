"""``Rewind``: goes back to weights from before the end of training, and walks the rest without the records (U35)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from expunge.core.accountant import Budget, above
from expunge.core.errors import Unsupported
from expunge.core.trajectories import hides, rewind_distance
from expunge.models.heads.model import HeadModel, Parting, entry_of
from expunge.models.heads.slope import curve_of, rounding_of
from expunge.models.heads.stepped import SteppedLogistic
from expunge.unlearners.course import HeadMethod, descended, learner_of, only_by, since_fit


@dataclass(frozen=True)
class Rewind(HeadMethod):
    """Takes the weights of K steps before the end of the fit, and takes these K steps over the kept records alone.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).

    Guarantee: certified (ε, δ) for all records taken out since the fit together; adaptive requests are covered. It is
        refused where the bound Δ is above the norm of the weights: noise that hides it would be all there is.
        The weights without noise, old ones included, stay secret and are not covered.
        Numerics: float64; rounding is bounded and inside Δ.
    Cost: K passes over the kept records (`SteppedLogistic.rewind`), whatever is asked for.
    Source: spec U35; Mu and Klabjan (2024). Where we differ: where steps contract, Δ = (2mL/(nμ))(1-γ^(T-K))γᴷ takes
        the place of growth (1+ηM); for networks, whose constants are estimates, the same steps certify nothing.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.core.request import ForgetRequest
    >>> before = world_of(SteppedLogistic())(0)
    >>> outcome = Rewind().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.after.model.ledger.entries[-1].passes
    ('certified', 600)
    """

    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse heads without old weights, and ledgers of other methods.

        Raises:
            Unsupported: saying why.
        """
        if not isinstance(model.learner, SteppedLogistic) or "checkpoint" not in model.secret:
            raise Unsupported("there are no weights from before the end of training", hint="Use retrain.")
        only_by(model, "rewind")

    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return K.

        Raises:
            Unsupported: Δ is above what the noise hides, or above the norm of the weights.
        """
        self._bound(model, m, budget)
        return _learner(model).rewind

    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the version after K full steps on what is left."""
        residual = self._bound(model, parting.m, budget)
        entry = entry_of("rewind", parting, residual, _learner(model).rewind, budget)
        return descended(model, parting, model.secret["checkpoint"], entry, model.secret)

    def _bound(self, model: HeadModel, m: int, budget: Budget) -> float:
        """Return Δ, from the ledger and sizes alone."""
        learner, (d, q) = _learner(model), model.weights.shape
        n, gone = since_fit(model)
        curve = curve_of(learner.penalty, q)
        shared = curve.stride * 2 * (gone + m) * curve.steep / n
        apart = rewind_distance(shared, curve.rate, learner.n_steps - learner.rewind, learner.rewind)
        left = above(apart + 2 * rounding_of(n, (d, q), learner.penalty))
        size = float(np.linalg.norm(model.secret["weights"]))
        hidden = min(hides(model.ledger.sigma, budget), size)
        if not left <= hidden:
            raise Unsupported(
                f"going back {learner.rewind} steps leaves up to {left:.3g}; the noise hides "
                f"{hides(model.ledger.sigma, budget):.3g}, and the weights have norm {size:.3g}",
                hint="Fit with more steps to go back, or use retrain.",
            )
        return left


def _learner(model: HeadModel) -> SteppedLogistic:
    return learner_of(model, SteppedLogistic, "rewinding needs a head learnt by full gradient steps")
