"""``Prune``: draws all but the largest weights again, and trains with the entropies of before (PRMQ)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from expunge.core.errors import Unsupported
from expunge.models.descent import Pace
from expunge.models.losses import averaged
from expunge.models.modules import copied
from expunge.models.streams import Batch, n_batches
from expunge.unlearners.approximate.confuse import balanced, class_counts
from expunge.unlearners.layers import CONVOLUTIONS, fans
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.parts import largest, n_drawn, teacher_of
from expunge.unlearners.scene import Scene, with_weights


@dataclass(frozen=True)
class Prune(Method):
    """Prunes the smallest weights of all layers together, draws them again, trains, and rounds to half precision.

    Attributes:
        share: of weights and biases of convolutions and linear layers that are pruned: weights are then
            U(±inputs^−½), biases 0.
        epochs: over the kept records; may be a fraction.
        power: a record's loss is weighted by (its class's count)^−power.
        rate: step size.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.
        half: whether the weights end rounded to float16.

    Guarantee: empirical. By these defaults it moves *away* from retraining on `stack` (see `away`): its rate is that of
        fifty thousand records: a few dozen steps do not train a new network.
    Cost: epochs · kept samples, forward and backward, and forward through the model before; forgotten records are
        not read.
    Source: spec U27; NeurIPS 2023 competition. The loss is the weighted cross-entropy plus the mean squared
        difference of the entropies (in nats) of student and model before.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "classes"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 4.76, 4.89, 4.81; before 2.14, 2.12, 2.23"
    )

    share: float = 0.99
    epochs: float = 3.2
    power: float = 0.1
    rate: float = 5e-4
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 64
    half: bool = True

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return n_drawn(kept, self.batch, self._steps(n_batches(kept, self.batch)))

    def _steps(self, per_epoch: int) -> int:
        return max(1, round(self.epochs * per_epoch))

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        before = teacher_of(scene)
        weights = class_counts(scene).clamp(min=1).pow(-self.power).to(scene.device)

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            logits = module(batch.x)
            fit = balanced(logits, batch.y, weights)
            return fit + averaged((entropies(logits) - entropies(scene.taught(before, batch))).square(), batch.weight)

        whole = scene.stream("kept", math.ceil(self.epochs), self.batch)
        stream = whole.first(self._steps(n_batches(len(scene.kept), self.batch)))
        pace = Pace("sgd", self.rate, momentum=self.momentum, decay=self.decay)
        after = scene.descend(self.pruned(scene), stream, loss, pace)
        return scene.recalibrated(_rounded(after) if self.half else after)

    def pruned(self, scene: Scene) -> nn.Module:
        """Return the network with its smallest weights drawn again.

        Raises:
            Unsupported: it has neither convolutions nor linear layers.
        """
        kinds = (*CONVOLUTIONS, nn.Linear)
        layers = [name for name, part in scene.module.named_modules() if isinstance(part, kinds)]
        if not layers:
            raise Unsupported("Prune needs convolutions or linear layers, and the network has none")
        given = {
            f"{layer}.{name}": p.detach()
            for layer in layers
            for name, p in scene.module.get_submodule(layer).named_parameters(recurse=False)
        }
        smallest = largest(scene.module, {name: -p.abs() for name, p in given.items()}, self.share)
        draws, fresh = scene.generator("prune"), {}
        for name, p in given.items():
            new = torch.zeros_like(p)
            if p.dim() > 1:
                new = ((2 * torch.rand(p.shape, generator=draws) - 1) / math.sqrt(fans(p)[0])).to(p)
            fresh[name] = torch.where(smallest[name], new, p)
        return with_weights(scene.module, fresh)


def entropies(logits: Tensor) -> Tensor:
    """Return −Σ p log p of each sample, in nats."""
    shares = torch.log_softmax(logits, -1)
    return -(shares.exp() * shares).sum(-1)


def _rounded(module: nn.Module) -> nn.Module:
    """Return a copy with its parameters rounded to float16 (and kept in their own type)."""
    after = copied(module)
    with torch.no_grad():
        for p in after.parameters():
            p.copy_(p.half().to(p.dtype))
    return after
