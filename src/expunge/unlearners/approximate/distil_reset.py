"""``DistilReset``: draws first layer and head again, and learns from the model before on records it never saw (KDE)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from expunge.models.descent import Pace
from expunge.models.losses import averaged, cross_entropies, divergences
from expunge.models.network import factors
from expunge.models.streams import Batch
from expunge.unlearners.layers import convolutions, head, redrawn
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.parts import teacher_of
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class DistilReset(Method):
    """Distils the model before into a partly new one: on holdout records first, then, with labels, on kept ones.

    Attributes:
        temperature: T of the divergences (times T²).
        aside: epochs over the holdout.
        epochs: over the kept records.
        aside_rate: step size on the holdout.
        rate: step size on kept records, along a cosine to 0.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical. By these defaults it moves *away* from retraining on `stack` (see `away`): its rates are those
        of fifty thousand records: a few dozen steps do not train new layers.
    Cost: epochs · kept + aside · holdout samples, forward and backward, and forward through the model before;
        forgotten records are not read.
    Source: spec U29; NeurIPS 2023 competition. On kept records the loss is cross-entropy with the softmax of the model
        before, cross-entropy with the label, and the divergence at T. Where there is no convolution, the first linear
        layer is drawn again (ours).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "holdout", "classes"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 4.39, 4.52, 4.49; before 2.14, 2.12, 2.23"
    )

    temperature: float = 5.0
    aside: int = 3
    epochs: int = 3
    aside_rate: float = 9e-4
    rate: float = 1e-3
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken, those of the holdout apart."""
        return self.epochs * kept

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        before = teacher_of(scene)

        def aside(module: nn.Module, batch: Batch) -> Tensor:
            apart = divergences(scene.taught(before, batch), module(batch.x), self.temperature)
            return averaged(apart, batch.weight)

        def both(module: nn.Module, batch: Batch) -> Tensor:
            said, logits = scene.taught(before, batch), module(batch.x)
            soft = -(torch.softmax(said, -1) * torch.log_softmax(logits, -1)).sum(-1)
            apart = divergences(said, logits, self.temperature)
            return averaged(soft + cross_entropies(logits, batch.y) + apart, batch.weight)

        stream = scene.stream("kept", self.epochs, self.batch)
        pace = Pace("sgd", self.aside_rate, momentum=self.momentum, decay=self.decay)
        module = self.reset(scene)
        module = scene.descend(module, scene.stream("holdout", self.aside, self.batch), aside, pace, "holdout")
        pace = Pace("sgd", self.rate, momentum=self.momentum, decay=self.decay, schedule=factors("cosine", len(stream)))
        return scene.recalibrated(scene.descend(module, stream, both, pace, "kept"))

    def reset(self, scene: Scene) -> nn.Module:
        """Return the network with its first layer and head drawn again."""
        return redrawn(scene.module, {convolutions(scene.module)[0][0], head(scene.module)}, scene.seed)
