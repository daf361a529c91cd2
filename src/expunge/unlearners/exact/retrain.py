"""``Retrain``: learn again from the kept records, with the same key. Always possible; the yardstick of all others."""

from __future__ import annotations

import time
from dataclasses import dataclass

from expunge.core.costs import refit
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress
from expunge.unlearners.exact.promise import exactness


@dataclass(frozen=True)
class Retrain:
    """Fits the deployment's learner on the kept records.

    Guarantee: exact, by definition; the grade is the model's, or ``bits-here`` where the model does not say.
    Cost: one fit; reads every kept record.
    Source: the naive baseline of machine unlearning (spec U01).
    """

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return the exact guarantee."""
        return exactness(deployment)

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return the last fit's time, scaled by the share of records kept."""
        return refit(deployment, request)

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose model was learnt from the kept records alone."""
        kept = deployment.data.without(deployment.targets(request))
        started = time.perf_counter()
        model = deployment.learner.fit(kept, deployment.key, progress)
        seconds = time.perf_counter() - started
        return Outcome(
            deployment.with_model(model, request, fit_s=seconds),
            self.promise(deployment),
            Cost(seconds=seconds, records_read=len(kept), refitted=True),
            repr(self),
        )
