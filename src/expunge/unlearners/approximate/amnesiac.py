"""``Amnesiac``: undoes every step that a forgotten record had a part in, then repairs (U23)."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import numpy as np

from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import BadInput, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import rows_to_forget
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress
from expunge.models.descent import Meter, Watch
from expunge.models.logged import LoggedModel


@dataclass(frozen=True)
class Amnesiac:
    """Takes out of the weights of a `LoggedNetwork` what the batches with forgotten records moved them by.

    Attributes:
        epochs: of repair on the kept records, ≥ 0; the default was chosen on `stack`. They are logged as well, so that
            later requests find them.
        rate: step size of the repair; None = the recipe's.

    Guarantee: empirical. The steps after a batch were taken from weights that it had moved; they stay. A request that
        had a part in every batch leaves the first weights and the repair alone. What stays in the log was moved from
        such weights too. On `stack`, a fifth of the records at once, three seeds: φ is 1.81, 1.99, 1.96 from
        retraining's (before: 1.93, 2.18, 2.13; after one epoch of repair 3.9, none 4.1), at 11 points of accuracy.
    Cost: p numbers a step of the log, and the epochs of repair.
    Source: spec U23; Graves et al. (AAAI 2021). Where we differ: every batch is logged, repairs too; the log lets go of
        the steps that are undone.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.models.logged import LoggedNetwork
    >>> before = world_of(LoggedNetwork())(0)
    >>> outcome = Amnesiac().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:1]))
    >>> outcome.guarantee.kind, len(outcome.after.model.ids) == len(outcome.after.data)
    ('empirical', True)
    """

    epochs: int = 5
    rate: float | None = None

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return an empirical guarantee.

        Raises:
            Unsupported: the model kept no log.
        """
        self._model(deployment)
        told = (
            "nothing is proven: how much influence is left is what the measurements say",
            "steps of batches without the forgotten records were taken from weights that those had moved",
        )
        return Guarantee(kind="empirical", assumptions=told, covers=("model",))

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return the repair's share of the last fit."""
        model, ids = self._model(deployment), deployment.targets(request)
        if not ids:
            return Prediction(seconds=0.0, p95_s=0.0, records_read=0, why="no training record is named")
        hit, n = int(model.touched(np.array(ids, model.ids.dtype)).sum()), len(deployment.data)
        why = f"undoes {hit:,} of {len(model.moved):,} steps, and repairs for {self.epochs} epochs"
        n_read = n if self.epochs else len(ids)
        if deployment.fit_s is None:
            return Prediction(records_read=n_read, why=f"{why}; no fit was timed")
        seconds = deployment.fit_s * self.epochs / model.learner.network.epochs + 1e-3
        return Prediction(seconds=seconds, p95_s=4 * seconds, records_read=n_read, why=why)

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose network is without the steps, and repaired."""
        model, ids, guarantee = self._model(deployment), deployment.targets(request), self.promise(deployment)
        meter, began = Meter(), time.perf_counter()
        if ids:
            rows_to_forget(deployment.data, ids)
            model = model.undone(np.array(ids, model.ids.dtype))
            data, key = deployment.data.without(ids), deployment.key.child("unlearn")
            if self.epochs:
                rate = model.learner.network.rate if self.rate is None else self.rate
                model = model.learner.again(model, data, key, (self.epochs, rate), Watch(meter, progress))
        n_read = len(deployment.data) if self.epochs else len(ids)
        counts = {name: value for name, value in vars(meter).items() if ids}
        cost = Cost(seconds=time.perf_counter() - began, records_read=n_read if ids else 0, **counts)
        return Outcome(deployment.with_model(model, request), guarantee, cost, repr(self))

    def _model(self, deployment: Deployment) -> LoggedModel:
        if not isinstance(self.epochs, int) or isinstance(self.epochs, bool) or self.epochs < 0:
            raise BadInput(f"epochs must be 0 or more, not {self.epochs!r}")
        if self.rate is not None and not (math.isfinite(self.rate) and self.rate > 0):
            raise BadInput(f"rate must be above 0, not {self.rate!r}")
        if not isinstance(deployment.model, LoggedModel):
            raise Unsupported(f"{type(deployment.model).__name__} kept no log", hint="Learn it by LoggedNetwork.")
        return deployment.model
