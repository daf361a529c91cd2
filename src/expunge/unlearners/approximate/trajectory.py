"""``Trajectory``: adds to the weights what was kept of each record while the network learnt (U40)."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import rows_to_forget
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress
from expunge.models.watched import WatchedModel


@dataclass(frozen=True)
class Trajectory:
    """Takes records out of a `WatchedNetwork` by one vector addition a record.

    Guarantee: empirical. To first order the weights are those of the same steps without the records; what the second
        order leaves is not bounded for networks. Traces of the records that stay are not corrected for those that go.
    Cost: p numbers a record; nothing is read.
    Source: spec U40; Qiao et al. (ICLR 2025). Where we differ: weight decay is in the recursion, gradients are not
        clipped.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.models.watched import WatchedNetwork
    >>> before = world_of(WatchedNetwork())(0)
    >>> outcome = Trajectory().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.after.model.traces.shape[0] == len(outcome.after.data)
    ('empirical', True)
    """

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return an empirical guarantee.

        Raises:
            Unsupported: the model kept no traces.
        """
        self._model(deployment)
        told = (
            "nothing is proven: how much influence is left is what the measurements say",
            "the traces of the records that stay were taken with those that went",
        )
        return Guarantee(kind="empirical", assumptions=told, covers=("model",))

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return microseconds a record."""
        self._model(deployment)
        m = len(deployment.targets(request))
        return Prediction(seconds=1e-3 * bool(m), p95_s=1e-2 * bool(m), records_read=m, why="adds the records' traces")

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose weights were shifted by the traces."""
        model, ids, guarantee = self._model(deployment), deployment.targets(request), self.promise(deployment)
        began = time.perf_counter()
        if ids:
            rows_to_forget(deployment.data, ids)
            model = model.shifted(np.array(ids, model.ids.dtype))
        cost = Cost(seconds=time.perf_counter() - began, records_read=len(ids))
        return Outcome(deployment.with_model(model, request), guarantee, cost, repr(self))

    def _model(self, deployment: Deployment) -> WatchedModel:
        model = deployment.model
        if not isinstance(model, WatchedModel):
            raise Unsupported(f"{type(model).__name__} kept no traces", hint="Learn it by WatchedNetwork.")
        return model
