"""``DeltaGrad``: walks the training again without the records, most steps from the slopes that were kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import BadInput, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import rows_to_forget
from expunge.core.request import ForgetRequest, Id
from expunge.core.roles import Progress
from expunge.models.descent import Meter, Pace, Watch, descend
from expunge.models.encoding.table import in_order
from expunge.models.losses import nats
from expunge.models.streams import Batch, Stream
from expunge.models.trailed import Trail, TrailedModel
from expunge.models.wrapped import flattened
from expunge.unlearners.method import ASSUMES

Pair = tuple[Tensor, Tensor]
"""By how much weights, and slopes, differ from those of the trail."""


REACH = 2.0
"""How far from the trail a slope is foretold, as a multiple of the distance at the last exact step."""


@dataclass(frozen=True)
class DeltaGrad:
    """Takes records out of a `TrailedNetwork`: w ← w − η/(n − m) · (n·∇F(w) − Σ_forgotten ∇loss(w)).

    It begins at the first weights. ∇F(w) is taken over all records in some steps; in the others it is the slope kept,
    plus B·(w − where it was kept), B the quasi-Newton matrix of the last differences.

    Attributes:
        first: steps at the start that are exact; the one after them is as well.
        every: of the later steps, one in so many is exact.
        pairs: differences that B is made of.

    Guarantee: empirical for networks: what B misses of the curvature is not bounded, and training's step size must be
        below 2 / the largest curvature. With `every` = 1 the steps are those of a retraining, up to rounding. By the
        defaults, of a tenth of 90 records in two requests, a 70th of the distance to the retrained weights is left for
        logistic regression, and a ninth with one hidden layer.
    Cost: exact steps n gradients, the others m, and O(pairs · p) each.
    Source: spec U31; Wu et al. (ICML 2020), full-batch form. A difference of no positive curvature is not kept. A step
        that has none, or is twice as far from the trail as the last exact one, is exact: ours, against blowing up. The
        trail is replaced by the new one, so that requests may follow each other.

    >>> from expunge.core.conformance import world_of
    >>> from expunge.models.trailed import TrailedNetwork
    >>> before = world_of(TrailedNetwork())(0)
    >>> outcome = DeltaGrad().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.cost.steps
    ('empirical', 60)
    """

    first: int = 10
    every: int = 5
    pairs: int = 2

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return an empirical guarantee.

        Raises:
            Unsupported: the model kept no trail.
        """
        self._model(deployment)
        return Guarantee(kind="empirical", assumptions=ASSUMES[:1], covers=("model",))

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return the last fit's time, scaled by how many gradients are taken."""
        n_steps, n, m = len(self._model(deployment).weights), len(deployment.data), len(deployment.targets(request))
        if not m:
            return Prediction(seconds=0.0, records_read=0, why="nothing is asked for")
        taken = sum(n if self._exact(step) else m for step in range(n_steps))
        why = f"takes {taken:,} gradients of records; a training takes {n_steps * n:,}"
        if deployment.fit_s is None:
            return Prediction(records_read=n, why=f"{why}; no fit was timed")
        seconds = deployment.fit_s * taken / (n_steps * n)
        return Prediction(seconds=seconds, p95_s=4 * seconds, records_read=n, why=why)

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose network walked its trail again without the records."""
        guarantee, ids = self.promise(deployment), deployment.targets(request)
        model, meter, began = self._model(deployment), Meter(), time.perf_counter()
        if ids:
            rows_to_forget(deployment.data, ids)
            model = self._without(deployment, ids, Watch(meter, progress))
        cost = Cost(
            seconds=time.perf_counter() - began,
            records_read=len(deployment.data) if ids else 0,
            **{name: value for name, value in vars(meter).items() if ids},
        )
        return Outcome(deployment.with_model(model, request), guarantee, cost, repr(self))

    def _without(self, deployment: Deployment, ids: tuple[Id, ...], watch: Watch) -> TrailedModel:
        """Return the model after the walk, and its new trail."""
        model, data, key = self._model(deployment), deployment.data, deployment.key
        network = model.learner.network
        sides = [
            next(iter(model.model.records(in_order(part), key).blocks(len(part))))
            for part in (data.without(ids), data.only(ids))
        ]
        trail = Trail(torch.from_numpy(model.weights), torch.from_numpy(model.slopes))
        first = network.begin(data, key).module
        module, walked = self.walked(first, (sides[0], sides[1]), trail, network.pace(len(trail.weights)), watch)
        changed = model.model.changed(module)
        return replace(model, model=changed, weights=walked.weights.numpy(), slopes=walked.slopes.numpy())

    def walked(
        self, first: nn.Module, sides: tuple[Batch, Batch], trail: Trail, pace: Pace, watch: Watch | None = None
    ) -> tuple[nn.Module, Trail]:
        """Return the module after the steps of a trail without some records, and the trail of these steps.

        Args:
            first: with first weights.
            sides: the kept and the forgotten records.
            trail: of the same module over both.
            pace: of plain gradient steps.
            watch: who looks on; None = nobody.

        Raises:
            BadInput: numbers of steps or pairs that are none.
        """
        if min(self.first, self.every, self.pairs) < 1:
            raise BadInput("first, every and pairs must be 1 or more")
        kept, forgotten = sides
        k, m = len(kept.x), len(forgotten.x)
        walked, pairs, meter = Trail.of(first, len(trail.weights)), list[Pair](), (watch or Watch()).meter or Meter()
        exact = [kept._replace(part="exact", partner=forgotten), forgotten._replace(part="near")]
        steps = [exact[not self._exact(step)] for step in range(len(trail.weights))]
        at, reach = iter(range(len(steps))), [0.0]

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            step, given = next(at), list(module.parameters())
            here, gone = flattened(given).detach(), m * _slope(module, forgotten, given)
            off = here - trail.weights[step]
            if batch.part == "exact" or not pairs or float(off.norm()) > REACH * reach[0]:
                reach[0] = float(off.norm())
                if batch.part != "exact":
                    meter.forward, meter.backward = meter.forward + k, meter.backward + k
                mean = _slope(module, kept, given)
                whole = (k * mean + gone) / (k + m)
                remember(pairs, (off, whole - trail.slopes[step]), self.pairs)
            else:
                mean = ((k + m) * (trail.slopes[step] + bent(pairs, off)) - gone) / k
            walked.keep(here, mean)
            return (flattened(given) * mean).sum()

        return descend(first, Stream.of(steps), loss, pace, watch=replace(watch or Watch(), meter=meter)), walked

    def _exact(self, step: int) -> bool:
        """Say whether a step's gradient is taken over all records."""
        return step < self.first or (step - self.first) % self.every == 0

    def _model(self, deployment: Deployment) -> TrailedModel:
        model = deployment.model
        if not isinstance(model, TrailedModel):
            raise Unsupported(f"{type(model).__name__} kept no trail", hint="Learn it by TrailedNetwork.")
        return model


def _slope(module: nn.Module, batch: Batch, given: list[nn.Parameter]) -> Tensor:
    """Return the gradient of the mean loss of a batch, as one vector."""
    return flattened(torch.autograd.grad(nats(module, batch), given))


def remember(pairs: list[Pair], pair: Pair, most: int) -> None:
    """Keep a difference of positive curvature, and let go of the oldest beyond so many."""
    by, slope = pair
    if float(by @ slope) > 1e-10 * float(by @ by) > 0:
        pairs.append(pair)
        del pairs[:-most]


def bent(pairs: list[Pair], vector: Tensor) -> Tensor:
    """Return B·v, B the L-BFGS approximation of the Hessian from differences of weights and slopes, oldest first.

    In compact form: σv − [σS Y] [[σSᵀS, L], [Lᵀ, −D]]⁻¹ [σSᵀv; Yᵀv] with σ of the last difference, L and D the strictly
    lower part and the diagonal of SᵀY (Byrd, Nocedal and Schnabel, 1994).
    """
    S, Y = (torch.stack([pair[i] for pair in pairs], dim=1).double() for i in (0, 1))
    v, across = vector.double(), S.T @ Y
    sigma = across[-1, -1] / (S[:, -1] @ S[:, -1])
    lower, diagonal = across.tril(-1), torch.diag(across.diagonal())
    middle = torch.cat([torch.cat([sigma * (S.T @ S), lower], 1), torch.cat([lower.T, -diagonal], 1)])
    right = torch.cat([sigma * (S.T @ v), Y.T @ v])
    found = torch.linalg.lstsq(middle, right[:, None], driver="gelsd").solution[:, 0]
    product: Tensor = sigma * v - torch.cat([sigma * S, Y], 1) @ found
    return product.to(vector.dtype)
