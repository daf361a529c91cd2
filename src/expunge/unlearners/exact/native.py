"""``Native``: the model's own exact deletion, for every model that can give itself without some records."""

from __future__ import annotations

import time
from dataclasses import dataclass

from expunge.core.costs import completed, refit
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.core.roles import Forgets, Progress, Promises
from expunge.unlearners.exact.promise import exactness

REFIT_FROM = 0.8
"""From this share of a refit's time on, the model is learnt again instead (spec section 6): the bits are the same."""


@dataclass(frozen=True)
class Native:
    """Calls `Forgets.without`; serves every model that has it.

    Guarantee: exact, with the grade that the model promises.
    Cost: what the model's `plan` says; no record is read but those that share a part with the forgotten ones.
    Source: spec section 4 and X01; the learners cite their own.
    """

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return the model's own exact guarantee.

        Raises:
            Unsupported: the model cannot forget by itself, or not exactly.
        """
        model = deployment.model
        if not isinstance(model, Forgets):
            raise Unsupported(f"{type(model).__name__} cannot forget by itself", hint="Use retrain.")
        if isinstance(model, Promises) and (kind := model.guarantee().kind) != "exact":
            raise Unsupported(f"{type(model).__name__} forgets by itself, but promises only {kind}")
        return exactness(deployment)

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return what the model plans, with times scaled from the last fit where the model gives none."""
        ids, model = deployment.targets(request), deployment.model
        if not ids:
            why = "the model never learnt these records: they are set aside, and only deleted"
            return Prediction(seconds=0.0, p95_s=0.0, worst_s=0.0, records_read=0, why=why)
        if not isinstance(model, Forgets):
            raise Unsupported(f"{type(model).__name__} cannot forget by itself", hint="Use retrain.")
        return self._way(model, deployment, request)[0]

    def _way(self, model: Forgets, deployment: Deployment, request: ForgetRequest) -> tuple[Prediction, bool]:
        """Return what it will cost, and whether a fit on the kept records, which gives the same bits, is sooner."""
        ids, again = deployment.targets(request), refit(deployment, request)
        planned = completed(model.plan(ids), again.seconds, len(ids))
        if planned.seconds is None or again.seconds is None or planned.seconds <= REFIT_FROM * again.seconds:
            return planned, False
        sooner = f"{planned.why}; learning again from the kept records gives the same bits sooner"
        return again.model_copy(update={"why": sooner, "memory_bytes": planned.memory_bytes}), True

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose model gave itself without the records."""
        guarantee, model, ids = self.promise(deployment), deployment.model, deployment.targets(request)
        if not ids or not isinstance(model, Forgets):
            return Outcome(
                deployment.with_model(model, request), guarantee, Cost(seconds=0.0, records_read=0), repr(self)
            )
        planned, again = self._way(model, deployment, request)
        started = time.perf_counter()
        if again:
            after = deployment.learner.fit(deployment.data.without(ids), deployment.key, progress)
        else:
            after = model.without(ids)
        cost = Cost(
            seconds=time.perf_counter() - started,
            records_read=planned.records_read,
            parts_touched=planned.parts_touched,
            refitted=again,
        )
        return Outcome(deployment.with_model(after, request), guarantee, cost, repr(self))
