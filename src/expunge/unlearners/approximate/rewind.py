"""``RewindNetwork``: goes back to weights of before the last epochs, and takes these without the records (U35)."""

from __future__ import annotations

import time
from dataclasses import dataclass

from expunge.core.costs import refit
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import BadInput, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import rows_to_forget
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress
from expunge.models.checkpointed import CheckpointedModel, noisy


@dataclass(frozen=True)
class RewindNetwork:
    """Takes the last epochs of training again, over the kept records alone, from the weights that were kept for it.

    Attributes:
        sigma: noise on every weight at the end, ≥ 0. It certifies nothing here.

    Guarantee: empirical. The constants by which `expunge.unlearners.certified.rewind` bounds what is left have no
        closed form for networks; estimates of them prove nothing. What the weights learnt before, they keep.
    Cost: the epochs gone back over, on the kept records.
    Source: spec U35; Mu and Klabjan (2024). Where we differ: their (ε, δ) from estimated constants is not claimed.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.models.checkpointed import CheckpointedNetwork
    >>> before = world_of(CheckpointedNetwork())(0)
    >>> outcome = RewindNetwork().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.guarantee.epsilon
    ('empirical', None)
    """

    sigma: float = 0.0

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return an empirical guarantee.

        Raises:
            Unsupported: the model kept no weights to go back to.
        """
        self._model(deployment)
        told = (
            "nothing is proven: how much influence is left is what the measurements say",
            "the weights gone back to were learnt with the forgotten records",
        )
        return Guarantee(kind="empirical", assumptions=told, covers=("model",))

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return the share of a fit that is taken again."""
        learner = self._model(deployment).learner
        if not deployment.targets(request):
            return Prediction(seconds=0.0, p95_s=0.0, records_read=0, why="no training record is named")
        again, share = refit(deployment, request), learner.rewind / learner.network.epochs
        seconds = again.seconds and again.seconds * share
        p95_s = again.p95_s and again.p95_s * share
        why = f"takes {learner.rewind} of {learner.network.epochs} epochs again"
        return again.model_copy(update={"seconds": seconds, "p95_s": p95_s, "why": why})

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose network took the end of its training again."""
        guarantee, model, ids = self.promise(deployment), self._model(deployment), deployment.targets(request)
        began = time.perf_counter()
        if ids:
            rows_to_forget(deployment.data, ids)
            data = deployment.data.without(ids)
            module = model.learner.again(model, data, deployment.key)
            if self.sigma:
                module = noisy(module, self.sigma, deployment.key.word(f"rewind/{len(data)}"))
            model = model.changed(module)
        cost = Cost(seconds=time.perf_counter() - began, records_read=len(deployment.data) - len(ids) if ids else 0)
        return Outcome(deployment.with_model(model, request), guarantee, cost, repr(self))

    def _model(self, deployment: Deployment) -> CheckpointedModel:
        if not self.sigma >= 0:
            raise BadInput(f"sigma must be 0 or more, not {self.sigma!r}")
        if not isinstance(deployment.model, CheckpointedModel):
            raise Unsupported(
                f"{type(deployment.model).__name__} kept no weights to go back to",
                hint="Learn it by CheckpointedNetwork.",
            )
        return deployment.model
