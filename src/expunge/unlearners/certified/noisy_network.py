"""``NoisyNetwork``: noise that hides any weights, at once or over clipped steps, and training after it (U37, U38)."""

from __future__ import annotations

import hashlib
import math
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from expunge.core.accountant import Budget, Entry, above
from expunge.core.canonical import L
from expunge.core.costs import refit
from expunge.core.dataset import Dataset
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import BadInput, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import rows_to_forget
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress
from expunge.core.seeds import Key, id_bytes
from expunge.core.trajectories import Clipped, output_sigma
from expunge.models.descent import Pace, descend
from expunge.models.encoding.table import in_order
from expunge.models.ledgered import LedgeredModel
from expunge.models.logistic.model import noise
from expunge.models.losses import nats
from expunge.models.modules import copied
from expunge.models.network_model import NetworkModel
from expunge.unlearners.course import beside, scaled

WITHIN = 1 - 2.0**-16
"""Share of a norm that float32 weights and gradients are cut to, so that their rounding stays below it."""


@dataclass(frozen=True)
class NoisyNetwork:
    """Cuts all weights to ‖θ‖ ≤ C₀, takes K steps θ ← θ - η(clip(g, C₁) + λθ) + N(0, σ²I), and trains freely after.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).
        start: C₀, norm that the weights are cut to.
        clip: C₁, norm that a batch's gradient is cut to.
        stride: η of the noisy steps; no momentum.
        penalty: λ of the noisy steps, ≥ 0; ηλ < 1.
        steps: K; 0 = noise at once, which hides 2C₀ by the exact Gaussian mechanism (U38).
        batch: records a noisy step.
        free: epochs on the kept records afterwards, as a share of a training's.

    Guarantee: certified (ε, δ), of any network and any loss: compared is retraining, *followed by the same cut, noise
        and free training*. Whatever was forgotten before is covered with it. Requests must not react to the noise of
        earlier versions. The noise is that of a fresh start, so the free training is most of a training: this is the
        honest price of a certificate for networks, and retraining is cheaper where it is allowed.
        Numerics: float32 weights; norms are cut a little short for it, further rounding is not counted.
    Cost: K batches and `free` of a training.
    Source: spec U37 and U38; Koloskova et al. (ICML 2025). Where we differ: see `noisy_finetune`; networks with a
        learnt encoder or running statistics are refused (`LedgeredNetwork`).

    >>> from expunge.core.conformance import world_of
    >>> from expunge.models.ledgered import LedgeredNetwork
    >>> before = world_of(LedgeredNetwork())(0)
    >>> outcome = NoisyNetwork().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:2]))
    >>> outcome.guarantee.kind, outcome.after.model.ledger.entries[-1].action
    ('certified', 'noised')
    """

    epsilon: float = 1.0
    delta: float = 1e-5
    start: float = 0.01
    clip: float = 0.01
    stride: float = 0.5
    penalty: float = 0.5
    steps: int = 20
    batch: int = 256
    free: float = 1.0

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return the certified guarantee; of a model whose key is public only an empirical one.

        Raises:
            Unsupported: no `LedgeredNetwork`, or a broken ledger.
            BadInput: a hyper-parameter cannot be.
        """
        model = self._served(deployment)
        return model.certificate(Budget(self.epsilon, self.delta))

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return the time of a fit, times what is trained."""
        self._served(deployment)
        if not deployment.targets(request):
            return Prediction(seconds=0.0, p95_s=0.0, records_read=0, why="no training record is named")
        again = scaled(refit(deployment, request), self.free + 0.1)
        return again.model_copy(update={"why": f"noise, then {self.free:g} of a training"})

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose weights were drowned, and learnt from what is left.

        Raises:
            Unsupported: not served; nothing was changed.
        """
        self.promise(deployment)
        before, ids, budget = self._served(deployment), deployment.targets(request), Budget(self.epsilon, self.delta)
        began, after = time.perf_counter(), before
        if ids:
            rows_to_forget(deployment.data, ids)
            data = deployment.data.without(ids)
            version = (before.key, in_order(data), len(before.ledger.entries) + 1)
            module, shift = self._drowned(before.model, version, budget)
            model = before.model.changed(module)
            if self.free > 0:
                model = model.learner.resume(model, data, before.key, self.free)
            action = "noised" if self.steps else "output"
            entry = Entry(
                action=action,
                forgotten=len(ids),
                kept=len(data),
                residual=above(shift),
                epsilon=self.epsilon,
                delta=self.delta,
            )
            after = before.version(model, entry)
        guarantee = after.certificate(budget)
        cost = Cost(seconds=time.perf_counter() - began, records_read=after.n if ids else 0)
        return Outcome(deployment.with_model(after, request), beside(guarantee, after.ledger), cost, repr(self))

    def _drowned(
        self, model: NetworkModel, version: tuple[Key, Dataset, int], budget: Budget
    ) -> tuple[nn.Module, float]:
        """Return (the module after cut and noise, the shift that tells as much)."""
        (key, data, number), module = version, cut(model.module, self.start)
        draw = Draws.of(self, key, data, number)
        if not self.steps:
            sigma = output_sigma(self.start, budget.epsilon, budget.delta) * (1 + 2.0**-30)
            return draw.added(module, sigma, 0), 2 * self.start / sigma
        course = self._course
        sigma = course.sigma(budget.epsilon, budget.delta) * (1 + 2.0**-30)
        samples = model.records(data, key.child("unlearn"))
        per_epoch = max(1, -(-len(samples) // self.batch))
        stream = samples.stream("kept", range(-(-self.steps // per_epoch)), self.batch).first(self.steps)

        def veil(now: nn.Module, step: int) -> None:
            draw.add(now, sigma, step)

        pace = Pace("sgd", self.stride, decay=self.penalty, clip=self.clip * WITHIN, after_step=(veil,))
        seed = key.word(f"noisy/{number}") % 2**62
        return descend(module, stream, nats, pace, seed=seed), math.sqrt(2 * course.rho(sigma))

    @property
    def _course(self) -> Clipped:
        return Clipped(self.start, self.clip, self.stride, self.penalty, max(self.steps, 1))

    def _served(self, deployment: Deployment) -> LedgeredModel:
        model = deployment.model
        whole = isinstance(self.steps, int) and not isinstance(self.steps, bool) and self.steps >= 0
        if not (whole and self.free >= 0 and isinstance(self.batch, int) and self.batch >= 1) or not self._course:
            raise BadInput(f"steps, batch and free must be 0 or more: {self!r}")
        if not isinstance(model, LedgeredModel):
            raise Unsupported(
                f"{type(model).__name__} keeps no ledger of noise added to a network",
                hint="Learn it by LedgeredNetwork.",
            )
        if any(not p.requires_grad for p in model.model.module.parameters()):
            raise Unsupported("some weights are frozen, and noisy steps would not reach them", hint="Use retrain.")
        return model


@dataclass(frozen=True)
class Draws:
    """Normal noise for every weight and step, by key, method, the ids of the kept, and the version."""

    key: Key
    named: str
    version: int

    @classmethod
    def of(cls, method: object, key: Key, data: Dataset, version: int) -> Draws:
        """Return the draws of a version over these records."""
        told = hashlib.sha256(b"".join(L(id_bytes(i)) for i in data.ids.tolist())).hexdigest()
        return cls(key, f"{method!r} {told}", version)

    def add(self, module: nn.Module, sigma: float, step: int) -> None:
        """Add the noise of a step to the weights of a module."""
        drawn = noise(self.key, self.named, np.zeros(sum(p.numel() for p in module.parameters())), (self.version, step))
        start = 0
        with torch.no_grad():
            for weight in module.parameters():
                part = drawn[start : start + weight.numel()].reshape(tuple(weight.shape))
                weight.add_(torch.from_numpy(sigma * part).to(weight))
                start += weight.numel()

    def added(self, module: nn.Module, sigma: float, step: int) -> nn.Module:
        """Return a copy with the noise of a step."""
        after = copied(module)
        self.add(after, sigma, step)
        return after


def cut(module: nn.Module, norm: float) -> nn.Module:
    """Return a copy whose weights together are no longer than `norm`."""
    after = copied(module)
    with torch.no_grad():
        size = math.sqrt(sum(float((p.double() ** 2).sum()) for p in after.parameters()))
        if size > norm * WITHIN:
            for weight in after.parameters():
                weight.mul_(norm * WITHIN / size)
    return after
