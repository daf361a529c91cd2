"""``SmallGradients``: draws those weights again on which forgotten and kept records agree, then fine-tunes (MSG)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from expunge.models.curvature import gradient
from expunge.models.descent import Pace
from expunge.models.modules import placed
from expunge.unlearners.layers import convolutions, fans
from expunge.unlearners.method import Method
from expunge.unlearners.parts import largest, some
from expunge.unlearners.scene import Scene, with_weights


@dataclass(frozen=True)
class SmallGradients(Method):
    """Re-initialises, in each convolution, the weights whose gradient on kept less forgotten records is smallest.

    Attributes:
        share: of a layer's weights that are drawn again (Kaiming normal, fan-out).
        epochs: over the kept records.
        rate: step size at its highest: it rises to epoch (epochs + 1) // 2, then falls to 0.
        old: factor of the gradients of weights that were not drawn again.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical. By these defaults it moves *away* from retraining on `stack` (see `away`): its rate is that of
        fifty thousand records.
    Cost: epochs · kept + 2 · forgotten samples, forward and backward.
    Source: spec U25; second of the NeurIPS 2023 competition. As many kept records as there are forgotten ones are
        compared with them, by gradients summed over records (no batch size shows). In a network without convolutions
        the layers are its linear ones (ours). Dampening weights is another method (B13).
    """

    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.22, 2.20, 2.36; before 2.14, 2.12, 2.23"
    )

    share: float = 0.3
    epochs: int = 5
    rate: float = 1e-3
    old: float = 0.1
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * kept + forgotten + min(forgotten, kept)

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        module, chosen = placed(scene.module, scene.device), self.chosen(scene)
        draws, fresh = scene.generator("small gradients"), {}
        for name, new in chosen.items():
            old = dict(module.named_parameters())[name]
            drawn = torch.randn(old.shape, generator=draws) * math.sqrt(2 / fans(old)[1])
            fresh[name] = torch.where(new, drawn.to(old), old).detach()
        scales = {name: torch.ones_like(p) * self.old for name, p in module.named_parameters()}
        scales |= {name: torch.where(new, torch.ones_like(scales[name]), self.old) for name, new in chosen.items()}
        stream = scene.stream("kept", self.epochs, self.batch)
        pace = Pace(
            "sgd",
            self.rate,
            momentum=self.momentum,
            decay=self.decay,
            scales=scales,
            schedule=self._schedule(len(stream)),
        )
        return scene.recalibrated(scene.descend(with_weights(module, fresh), stream, scene.own, pace))

    def chosen(self, scene: Scene) -> dict[str, Tensor]:
        """Return which weights are drawn again, parameter name → mask."""
        m = len(scene.forgotten)
        kept = some(scene.kept, m)
        theirs, mine = gradient(scene.terrain(kept)), gradient(scene.terrain(scene.forgotten))
        apart = {n: (len(kept) * theirs[n] - m * mine[n]).abs() for n in mine}
        names = [f"{name}.weight" for name, _ in convolutions(scene.module)]
        return {name: largest(scene.module, {name: -apart[name]}, self.share)[name] for name in names}

    def _schedule(self, steps: int) -> Callable[[int], float]:
        peak = max(steps * ((self.epochs + 1) // 2) // max(self.epochs, 1), 1)
        return lambda step: (step + 1) / peak if step < peak else (steps - step) / max(steps - peak, 1)
