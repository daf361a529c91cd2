"""``Confuse``: noise on the first convolutions, then training on kept records that weighs all classes alike (CFW)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from expunge.models.descent import Pace
from expunge.models.losses import cross_entropies
from expunge.models.network import factors
from expunge.models.streams import Batch
from expunge.unlearners.layers import CONVOLUTIONS, convolutions
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene, with_weights


@dataclass(frozen=True)
class Confuse(Method):
    """Adds noise to the top-level convolutions, trains, adds a little more, and trains one last epoch.

    Attributes:
        noise: its standard deviation before the first epoch.
        again: before the last one.
        epochs: over the kept records.
        rate: step size, along a cosine to 0 over all epochs.
        momentum: of the steps; starts anew in the last epoch.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical. A standard deviation of 0.6 is many times that of a small network's own weights: it is the
        first layer drawn anew, and four epochs at 7e-4 do not train it. By these defaults it moves *away* from
        retraining on `stack` (see `away`): its rate is that of fifty thousand records: a few dozen steps do not mend
        the noise.
    Cost: epochs · kept samples, forward and backward; forgotten records are not read.
    Source: spec U26; NeurIPS 2023 competition. A record's weight is n / (k·n_c), inside the mean over a batch: a port
        multiplies it onto a loss that is averaged already, where it says nothing of classes (W12). Where no child of
        the module is a convolution, the first one below gets the noise, or the first linear layer (ours).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "classes"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 5.20, 4.98, 5.03; before 2.14, 2.12, 2.23"
    )

    noise: float = 0.6
    again: float = 0.005
    epochs: int = 4
    rate: float = 7e-4
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * kept

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        weights = class_weights(scene).to(scene.device)

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            return balanced(module(batch.x), batch.y, weights)

        draws = scene.generator("confuse")
        module = self._noisy(scene.module, self.noise, draws)
        steps, taken = len(scene.stream("kept", self.epochs, self.batch)), 0
        for epochs in (range(self.epochs - 1), range(self.epochs - 1, self.epochs)):
            stream = scene.stream("kept", epochs, self.batch)
            module = scene.descend(module, stream, loss, self._pace(steps, taken))
            taken += len(stream)
            if taken < steps:
                module = self._noisy(module, self.again, draws)
        return scene.recalibrated(module)

    def _pace(self, steps: int, taken: int) -> Pace:
        cosine = factors("cosine", steps)
        return Pace(
            "sgd",
            self.rate,
            momentum=self.momentum,
            decay=self.decay,
            schedule=lambda step: 1.0 if cosine is None else cosine(taken + step),
        )

    def _noisy(self, module: nn.Module, size: float, draws: torch.Generator) -> nn.Module:
        """Return a copy whose first layers have noise of this standard deviation added."""
        top = [name for name, part in module.named_children() if isinstance(part, CONVOLUTIONS)]
        prefixes = tuple(f"{name}." for name in top or [convolutions(module)[0][0]])
        given = {name: p for name, p in module.named_parameters() if name.startswith(prefixes)}
        noise = {name: torch.randn(p.shape, generator=draws).to(p) for name, p in given.items()}
        return with_weights(module, {name: p.detach() + size * noise[name] for name, p in given.items()})


def class_counts(scene: Scene) -> Tensor:
    """Return how many kept samples each class has, shape (k,)."""
    y = torch.cat([block.y for block in scene.kept.blocks()])
    return torch.bincount(y, minlength=scene.outputs).double()


def class_weights(scene: Scene) -> Tensor:
    """Return n / (k·n_c) of each class, k the classes that have kept samples; 0 of those that have none."""
    counts = class_counts(scene)
    return torch.where(counts > 0, counts.sum() / (counts.clamp(min=1) * (counts > 0).sum()), 0.0)


def balanced(logits: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Return Σ w_y ℓ / Σ w_y over a batch: weights inside the mean (W12)."""
    each = weights[y].to(logits.dtype)
    return (each * cross_entropies(logits, y)).sum() / each.sum()
