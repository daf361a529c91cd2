"""``Removal``: certified removal by Newton steps, hidden in noise, for every model that keeps a ledger of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from expunge.core.accountant import Budget
from expunge.core.costs import refit
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import BadInput, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress, Removes


@dataclass(frozen=True)
class Removal:
    """Takes one Newton step away from the records, bounds what is left, and measures it where the bound is too large.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).
        passes: how often the kept records may be read in one removal; 0 = never.

    Guarantee: certified (ε, δ): no test tells the published model from retraining to the minimum and fresh noise
        better than ε and δ allow. It holds for the batch as a whole, however many records it names (no factor g as
        in group privacy), and for a request that reacts to earlier versions. Observers of all versions: `Ledger.rho`.
        Nothing is promised about the unpublished weights and curvature, which stay secret; with a public key (a
        library seed) they do not, and the guarantee is only empirical.
        Numerics: float64 throughout; rounding is bounded and counted, and so is the optimiser's residual.
    Cost: d² a head and the forgotten records where the bound of the step is within budget; else a few passes over the
        kept records. A strongly convex problem never forces a scratch fit; a scale that moves does.
    Source: spec U33 and XL05; Guo et al. (ICML 2020). Where we differ: see `expunge.Logistic` for the
        noise and `expunge.models.logistic.core` for the bound; the measured residual replaces the sum of bounds.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.models.logistic.learner import Logistic
    >>> before = world_of(Logistic())(0)
    >>> outcome = Removal().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.guarantee.epsilon, outcome.after.model.ledger.entries[-1].forgotten
    ('certified', 1.0, 2)
    """

    epsilon: float = 1.0
    delta: float = 1e-5
    passes: int = 20

    @property
    def budget(self) -> Budget:
        """What must hold after each removal."""
        return Budget(self.epsilon, self.delta)

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return the certified guarantee; of a model whose key is public only an empirical one.

        Raises:
            Unsupported: the model keeps no ledger, has no noise, or cannot be brought within the budget.
            BadInput: ε or δ cannot be.
        """
        return self._model(deployment).certificate(self.budget, again=self.passes > 0)

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return what the model plans; whether the data must be read is known exactly."""
        ids, model = deployment.targets(request), self._model(deployment)
        if not ids:
            model.certificate(self.budget)
            return Prediction(seconds=0.0, p95_s=0.0, records_read=0, why="no training record is named")
        planned = model.plan_removal(ids, self.budget, self.passes)
        again = refit(deployment, request)
        same = {"seconds": again.seconds, "p95_s": again.p95_s}
        return planned if planned.seconds is not None else planned.model_copy(update=same)

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose model took the records out.

        Raises:
            Unsupported: the budget cannot be kept, also where no training record is named; nothing was changed.
        """
        self.promise(deployment)
        ids, before = deployment.targets(request), self._model(deployment)
        started = time.perf_counter()
        model = before.removing(ids, self.budget, self.passes) if ids else deployment.model
        seconds = time.perf_counter() - started
        after = deployment.with_model(model, request)
        last = self._model(after).ledger.entries[-1]
        read = last.kept if ids and last.passes else len(ids)
        cost = Cost(seconds=seconds, records_read=read, refitted=bool(ids) and last.action == "refit")
        guarantee, ledger = self._model(after).certificate(self.budget), self._model(after).ledger
        told = (*guarantee.assumptions, f"the ledger of {len(ledger.entries)} versions is that of {ledger.digest()}")
        return Outcome(after, guarantee.model_copy(update={"assumptions": told}), cost, repr(self))

    def _model(self, deployment: Deployment) -> Removes:
        if not isinstance(self.passes, int) or isinstance(self.passes, bool) or self.passes < 0:
            raise BadInput(f"passes must be a whole number, 0 or more, not {self.passes!r}")
        model = deployment.model
        if not isinstance(model, Removes):
            raise Unsupported(f"{type(model).__name__} keeps no ledger of removals", hint="Use native or retrain.")
        return model
