"""``Method``: a gradient method as an unlearner; what all share, so that each is a loss, a mask or a schedule."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from expunge.core.dataset import Dataset
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import BadInput, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress, Stack
from expunge.core.seeds import Key
from expunge.models.descent import Meter
from expunge.models.encoding.table import in_order
from expunge.models.modules import seeded
from expunge.models.network_model import NetworkModel
from expunge.models.network_stack import NetworkStack, over_groups, replicas, samples_of, words_of
from expunge.models.stack import Many, check_stackable
from expunge.models.streams import Samples, n_batches
from expunge.unlearners.scene import Scene

Mask = npt.NDArray[np.bool_]
Needs = Literal["kept", "forgotten", "holdout", "classes", "fresh", "train"]

ASSUMES = (
    "nothing is proven: how much influence is left is what the measurements say",
    "the encoder (scales, vocabularies) and the classes are those learnt with the forgotten records",
)


class Method(ABC):
    """A method that changes a network by gradients.

    A subclass is a frozen dataclass of hyper-parameters with a `change`.

    Attributes:
        needs: what the method reads.
        away: where its published defaults move forgotten records *away* from retraining: by how much, and on which
            scene. The catalogue tags it ``not-toward-retrain``.
        stacks: whether `change` works on a stack of replicas: it does if it only makes streams, passes losses of the
            module's outputs and copies modules.
        batches: sizes of the batches that it makes streams of, as names of its fields.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten"})
    away: ClassVar[str] = ""
    stacks: ClassVar[bool] = False
    batches: ClassVar[tuple[str, ...]] = ("batch",)

    @abstractmethod
    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""

    @abstractmethod
    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients `change` takes, at least; what the meter counts as ``backward``."""

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return an empirical guarantee.

        Raises:
            Unsupported: the model is no network, or lacks what the method reads.
        """
        model = deployment.model
        if not isinstance(model, NetworkModel):
            raise Unsupported(f"{type(self).__name__} changes networks, not {type(model).__name__}")
        if "classes" in self.needs and not model.labels:
            raise Unsupported(f"{type(self).__name__} needs a target of classes")
        if "holdout" in self.needs and deployment.holdout is None:
            raise Unsupported(f"{type(self).__name__} needs a holdout")
        plain = ASSUMES[:1] if model.table.form == "plain" else ASSUMES
        return Guarantee(kind="empirical", assumptions=plain, covers=("model",))

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return the last fit's time, scaled by how many gradients the method takes."""
        model, n, m = deployment.model, len(deployment.data), len(deployment.targets(request))
        if not isinstance(model, NetworkModel):
            raise Unsupported(f"{type(self).__name__} changes networks")
        taken = self.passes(n - m, m) if m else 0
        share = taken / (model.learner.epochs * n)
        why = f"takes {taken:,} gradients of records, {share:.3g} of a training's"
        if deployment.fit_s is None:
            return Prediction(records_read=n if m else 0, why=f"{why}; no fit was timed")
        seconds = deployment.fit_s * share
        return Prediction(seconds=seconds, p95_s=4 * seconds, records_read=n if m else 0, why=why)

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose network was changed by the method."""
        guarantee, ids = self.promise(deployment), deployment.targets(request)
        model, meter, began = deployment.model, Meter(), time.perf_counter()
        if not isinstance(model, NetworkModel):
            raise Unsupported(f"{type(self).__name__} changes networks")
        if ids:
            model = model.changed(self.change(_scene(deployment, request, meter, progress)))
        cost = Cost(
            seconds=time.perf_counter() - began,
            records_read=len(deployment.data) if ids else 0,
            **{name: value for name, value in vars(meter).items() if ids},
        )
        return Outcome(deployment.with_model(model, request), guarantee, cost, repr(self))

    def unlearn_many(
        self,
        stack: Stack,
        data: Dataset,
        roles: tuple[Mask, Mask],
        keys: Sequence[Key],
        progress: Progress | None = None,
    ) -> NetworkStack:
        """Return the networks of a stack, each unlearned; the results are those of one by one.

        Args:
            stack: the networks before.
            data: the universe of records, n.
            roles: which records each network forgets, and which it keeps, each of shape (M, n).
            keys: of each network, as it was fitted with.
            progress: called with (networks done, networks).

        Raises:
            Unsupported: the method, or the networks, cannot be treated together.
        """
        if not self.stacks or not isinstance(stack, NetworkStack):
            raise Unsupported(f"{type(self).__name__} treats one network at a time")
        order = np.argsort(data.ids, kind="stable")
        data, (forgotten, kept) = in_order(data), (roles[0][:, order], roles[1][:, order])
        members = stack.members
        check_stackable(members[0].module)
        words = words_of(data, [_drawn(key) for key in keys])
        done = 0

        def treat(chunk: list[int]) -> list[nn.Module]:
            nonlocal done
            chosen = [members[i] for i in chunk]
            many = Many([m.module for m in chosen])
            sides = [samples_of(chosen, data, side[chunk], words[chunk]) for side in (forgotten, kept)]
            changed = self.change(_scene_of(chosen[0], many, (sides[0], sides[1]), Meter()))
            done += len(chunk)
            if progress is not None:
                progress(done, len(members))
            return replicas(changed, chosen)

        counts = zip(forgotten.sum(axis=1).tolist(), kept.sum(axis=1).tolist(), strict=True)
        sizes = [tuple(n_batches(n, getattr(self, b)) for n in pair for b in self.batches) for pair in counts]
        return over_groups(members, sizes, treat)


def _drawn(key: Key) -> Key:
    """Return the key of an unlearner's draws."""
    return key.child("unlearn")


def _scene(deployment: Deployment, request: ForgetRequest, meter: Meter, progress: Progress | None) -> Scene:
    """Return the scene of a deployment; records of the holdout that the request names are not in it."""
    model = deployment.model
    if not isinstance(model, NetworkModel):
        raise Unsupported("only networks are changed by gradients")
    key, data, ids = _drawn(deployment.key), deployment.data, deployment.targets(request)
    sides = [model.records(in_order(part), key) for part in (data.only(ids), data.without(ids))]
    scene = _scene_of(model, model.module, (sides[0], sides[1]), meter, (key, progress))
    holdout, named = deployment.holdout, deployment.set_aside(request)
    if holdout is not None:
        holdout = holdout.take(~np.isin(holdout.ids, np.array(named, holdout.ids.dtype)))
    aside = None if holdout is None or not _known(model, holdout) else model.records(in_order(holdout), key)
    return replace(scene, holdout=aside)


def _known(model: NetworkModel, data: Dataset) -> bool:
    """Say whether there are records, and every one has a class of the model (or a number)."""
    if not len(data):
        return False
    try:
        model.goals(data)
    except BadInput:
        return False
    return True


def _scene_of(
    model: NetworkModel,
    module: nn.Module,
    sides: tuple[Samples, Samples],
    meter: Meter,
    drawn: tuple[Key | None, Progress | None] = (None, None),
) -> Scene:
    learner, width, outputs = model.learner, model.table.width, len(model.labels) or 1
    key, progress = drawn

    def fresh(purpose: str) -> nn.Module:
        with seeded(0 if key is None else key.word(f"fresh/{purpose}")):
            built: nn.Module = learner.build(width, outputs)
        return built

    def train(untrained: nn.Module, samples: Samples, seed: int) -> nn.Module:
        found: nn.Module = learner.trained(untrained, samples, scene.own, seed, (learner.epochs, progress, meter))
        return found

    scene = Scene(
        module,
        *sides,
        outputs=outputs,
        seed=0 if key is None else key.word("draws") % 2**62,
        task="classes" if model.labels else "numbers",
        fresh=None if key is None else fresh,
        train=train,
        device=torch.device(learner.device),
        precision=learner.precision,
        meter=meter,
        progress=progress,
    )
    return scene
