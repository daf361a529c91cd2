"""``Langevin``: more epochs of the noisy steps that a model was learnt by, without the records (U36)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from expunge.core.accountant import Budget, above
from expunge.core.trajectories import langevin_rho, zcdp_rho
from expunge.models.heads.langevin import LangevinLogistic, slots_of
from expunge.models.heads.model import HeadModel, Parting, entry_of
from expunge.models.heads.slope import curve_of, rounding_of
from expunge.unlearners.course import HeadMethod, learner_of, only_by, rows_left

MOST = 1 << 20
"""Epochs beyond which nobody goes on."""


@dataclass(frozen=True)
class Langevin(HeadMethod):
    """Leaves the slots of the records empty and takes K more noisy epochs, K as few as the budget allows.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).

    Guarantee: certified (ε, δ) by zCDP, for all records taken out together and for streams of requests that do not
        react to the noise of earlier versions: the law of the weights is that close to the law of as many noisy
        epochs on the kept records alone. Nothing is secret but the key: the weights are published as they are.
        Numerics: float64; rounding is bounded and inside Z; noise is drawn from 53 bits.
    Cost: K passes over the kept records; learnt again where that takes fewer, or where the batches' size changes.
    Source: spec U36; Chien, Wang, Chen and Li (NeurIPS 2024), with the sharp constant of amplification by iteration.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.core.request import ForgetRequest
    >>> before = world_of(LangevinLogistic())(0)
    >>> outcome = Langevin().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.after.model.ledger.entries[-1].action
    ('certified', 'langevin')
    """

    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse heads that were not learnt by projected noisy steps, and ledgers of other methods.

        Raises:
            Unsupported: saying why.
        """
        _learner(model)
        only_by(model, "langevin")

    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return K, or the epochs of a fit where these are fewer."""
        return min(self._planned(model, m, budget)[0], _learner(model).epochs)

    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the version after K epochs with empty slots; learnt again where that is less work."""
        learner, (epochs, residual) = _learner(model), self._planned(model, parting.m, budget)
        encoded = rows_left(model, parting)
        encoded.settle()
        same = _slots(model) == slots_of(learner.places(encoded.now.ids, model.key))
        if epochs >= learner.epochs or not same:
            return model.learnt_again(parting, budget)
        weights = learner.walked(encoded, model.key, model.weights, (len(model.ledger.entries) + 1, epochs))
        return model.version(parting, weights, {}, entry_of("langevin", parting, residual, epochs, budget))

    def _planned(self, model: HeadModel, m: int, budget: Budget) -> tuple[int, float]:
        """Return (K, the shift that tells as much after it)."""
        learner, (d, q) = _learner(model), model.weights.shape
        curve = curve_of(learner.penalty, q)
        stride, allowed = learner.stride(curve), zcdp_rho(budget.epsilon, budget.delta) * (1 - 2.0**-30)
        fuzz = 4 * rounding_of(model.kept.n, (d, q), learner.penalty)
        far = above(stream_distance(model, m) + fuzz)

        def rho(epochs: int) -> float:
            return langevin_rho(far, curve.convex, stride, learner.sigma, epochs * learner.batches)

        low, high = 0, 1
        while rho(high) > allowed and high < MOST:
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if rho(middle) > allowed else (low, middle)
        return high, above(learner.sigma * math.sqrt(2 * rho(high)))


def stream_distance(model: HeadModel, m: int) -> float:
    """Return Z_s = c^(K n/b) Z_(s-1) + mZ of the deletions since the fit and m more."""
    learner, far, epochs = _learner(model), 0.0, 0
    one = learner.apart(_slots(model), model.weights.shape[1])
    curve = curve_of(learner.penalty, model.weights.shape[1])
    log = math.log1p(-learner.stride(curve) * curve.convex) * learner.batches
    for entry in model.ledger.entries:
        fresh = entry.action in ("fit", "refit")
        far = 0.0 if fresh else above(math.exp(log * epochs) * far + entry.forgotten * one)
        epochs = entry.passes
    return above(math.exp(log * epochs) * far + m * one)


def _slots(model: HeadModel) -> int:
    model.encoded.settle()
    return slots_of(_learner(model).places(model.encoded.now.ids, model.key))


def _learner(model: HeadModel) -> LangevinLogistic:
    return learner_of(
        model, LangevinLogistic, "this head was not learnt by projected noisy steps", "Use descent, rewind or retrain."
    )
