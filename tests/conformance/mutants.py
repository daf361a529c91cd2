"""Defects of public code, each re-created in a few lines as a method or a function of ours; checks must reject them."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace

import torch

from expunge.core.deployment import Cost, Outcome
from expunge.models.curvature import gradient
from expunge.models.descent import Pace
from expunge.models.losses import averaged, cross_entropies, divergences
from expunge.models.modules import copied, seeded
from expunge.models.vision import perceptron
from expunge.unlearners.approximate.bad_teacher import BadTeacher
from expunge.unlearners.approximate.dampening import Dampening
from expunge.unlearners.approximate.matching import Matching
from expunge.unlearners.approximate.saliency import Saliency
from expunge.unlearners.approximate.scrub import Scrub
from expunge.unlearners.method import Method
from expunge.unlearners.parts import largest


@dataclass(frozen=True)
class AliasedTeacher(Scrub):
    """B1: the teacher is a shallow copy of the student, and so always agrees with it."""

    def _descent(self, scene):
        stream, _, ends = super()._descent(scene)

        def loss(module, batch):
            apart = divergences(scene.taught(copy(module), batch), module(batch.x), self.temperature)
            fit = self.gamma * cross_entropies(module(batch.x), batch.y) + self.alpha * apart
            return -averaged(apart) if batch.part == "forgotten" else averaged(fit)

        return stream, loss, ends


@dataclass(frozen=True)
class TeachersOptimiser(Scrub):
    """B2: the optimiser holds the parameters of the teacher; the student is given back as it was."""

    def change(self, scene):
        student, teacher = copied(scene.module), copied(scene.module)
        stream, loss, _ = self._descent(scene)
        scene.descend(teacher, stream, loss, Pace("sgd", 0.5))
        return student


def shallow_reset(module, seed):
    """B3: draws the direct children that are layers again, and leaves what is inside containers."""
    fresh = copied(module)
    with seeded(seed):
        for child in fresh.children():
            if hasattr(child, "reset_parameters"):
                child.reset_parameters()
    return fresh


@dataclass(frozen=True)
class ShallowRetrain:
    """B3: learns again from a network of which only the last layer was drawn again, and calls it exact."""

    def promise(self, deployment):
        return deployment.model.guarantee()

    def predict_cost(self, deployment, request):
        raise NotImplementedError

    def unlearn(self, deployment, request, progress=None):
        model, left = deployment.model, deployment.data.without(deployment.targets(request))
        module = model.module
        names = [name for name, _ in module.named_parameters()]
        with seeded(deployment.key.word("network/first")), torch.no_grad():
            fresh = model.learner.build(model.table.width, len(model.labels) or 1)
            for name, p in fresh.named_parameters():
                if name not in names[-2:]:
                    p.copy_(dict(module.named_parameters())[name])
        after = model.learner._trained(model.changed(fresh), left, deployment.key, model.learner.epochs, None)
        return Outcome(deployment.with_model(after, request), self.promise(deployment), Cost(seconds=0.0), repr(self))


@dataclass(frozen=True)
class NoOp(Method):
    """B4: says that it reads forgotten records, and gives the model back as it was."""

    def passes(self, kept, forgotten):
        return 0

    def change(self, scene):
        return copied(scene.module)


@dataclass(frozen=True)
class NeverReads(Method):
    """B4: says that it reads forgotten records, and goes over kept ones alone."""

    def passes(self, kept, forgotten):
        return kept

    def change(self, scene):
        return scene.descend(scene.module, scene.stream("kept", 1, 64), scene.own, Pace("sgd", 0.1))


@dataclass(frozen=True)
class FallsBack(Matching):
    """B4: where it cannot do what its name says, it does something else, silently."""

    def change(self, scene):
        if scene.train is None:
            return scene.descend(scene.module, scene.stream("forgotten", 1, 64), scene.own, Pace("adam", -1e-3))
        return super().change(scene)


@dataclass(frozen=True)
class MaskedGradients(Saliency):
    """B10: gradients are masked, but decay and momentum move every weight."""

    def change(self, scene):
        slopes = gradient(scene.terrain(scene.forgotten))
        mask = largest(scene.module, {n: g.abs() for n, g in slopes.items()}, self.share)
        scales = {n: m.to(dict(scene.module.named_parameters())[n].dtype) for n, m in mask.items()}
        pace = Pace("sgd", self.rate, self.momentum, self.decay, scales=scales)
        return scene.descend(scene.module, self._turns(scene), scene.own, pace)


@dataclass(frozen=True)
class DriftingWeights(Saliency):
    """B10: what masked weights are put back to is captured anew in each epoch, after they have moved."""

    def change(self, scene):
        module = scene.module
        for epoch in range(self.epochs):
            free = Pace("sgd", self.rate, self.momentum, self.decay)
            stream = scene.stream("forgotten", range(epoch, epoch + 1), self.batch)
            module = scene.descend(module, stream, scene.own, free)  # the step in which θ₀ is not held
            module = Saliency.change(replace(self, epochs=1), replace(scene, module=module))
        return module


@dataclass(frozen=True)
class LiveStatistics(Saliency):
    """B10: running statistics of normalisers take in what the masked steps see, forgotten records included."""

    def change(self, scene):
        pace = Pace("sgd", self.rate, self.momentum, self.decay)
        return scene.descend(scene.module, self._turns(scene), scene.own, pace)


def squared_batch_means():
    """B11: squares the gradient of a batch's mean."""
    return Dampening(alpha=1.2, importance="batch", batch=2)


@dataclass(frozen=True)
class DampeningByAnotherName(Dampening):
    """B13: a port of kernel transposition that dampens weights."""

    epochs: int = 1
    rate: float = 1e-9


def weighted_after_the_mean(logits, y, weights):
    """W12: class weights multiplied onto a loss that is averaged already."""
    return (weights[y] * cross_entropies(logits, y).mean()).mean()


@dataclass(frozen=True)
class OneArchitecture(BadTeacher):
    """W13: the bad teacher is built from a name, whatever network it is to teach."""

    def change(self, scene):
        return BadTeacher.change(self, replace(scene, fresh=lambda purpose: perceptron((64, 128, 10)).double()))
