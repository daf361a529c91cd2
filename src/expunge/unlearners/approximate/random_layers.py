"""``RandomLayers``: a new head, then epochs in which a few random parameters move, some of them under noise (RNI)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from expunge.models.descent import Pace
from expunge.models.modules import NORMS, placed
from expunge.unlearners.layers import head, redrawn
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene, only, with_weights

SCALERS = (*NORMS, nn.GroupNorm, nn.LayerNorm)
"""Normalisers, whose own parameters move in every epoch."""


@dataclass(frozen=True)
class RandomLayers(Method):
    """Draws the head again; trains on kept records with all but some random parameter tensors fixed, then all of it.

    Attributes:
        tensors: parameter tensors that move in an epoch (drawn anew for each), beside the normalisers'.
        noisy: of these, how many get noise before the epoch, save in the first one.
        noise: its standard deviation.
        epochs: in which some tensors move.
        last: step sizes of the epochs after, in which everything moves.
        rate: step size before.
        momentum: of the steps; starts anew each epoch.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical. By these defaults it moves *away* from retraining on `stack` (see `away`): its rates are those
        of fifty thousand records: a few dozen steps do not train a new head.
    Cost: (epochs + len(last)) · kept samples, forward and backward; forgotten records are not read.
    Source: spec U30; NeurIPS 2023 competition: nine epochs, the last four of which move everything.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 4.41, 4.59, 4.46; before 2.14, 2.12, 2.23"
    )

    tensors: int = 9
    noisy: int = 6
    noise: float = 0.04
    epochs: int = 5
    last: tuple[float, ...] = (2e-4, 2e-4, 2e-4, 1e-3)
    rate: float = 2e-4
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return (self.epochs + len(self.last)) * kept

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        draws = scene.generator("random layers")
        module = redrawn(placed(scene.module, scene.device), {head(scene.module)}, scene.seed)
        scalers = _scalers(module)
        others = [name for name, _ in module.named_parameters() if name not in scalers]
        for epoch, rate in enumerate([self.rate] * self.epochs + list(self.last)):
            mask = None
            if epoch < self.epochs:
                chosen = [others[i] for i in torch.randperm(len(others), generator=draws)[: self.tensors].tolist()]
                module = self._noisy(module, chosen[: self.noisy], draws) if epoch else module
                mask = only(module, [*chosen, *scalers])
            pace = Pace("sgd", rate, momentum=self.momentum, decay=self.decay, mask=mask)
            stream = scene.stream("kept", range(epoch, epoch + 1), self.batch)
            module = scene.descend(module, stream, scene.own, pace)
        return scene.recalibrated(module)

    def _noisy(self, module: nn.Module, names: list[str], draws: torch.Generator) -> nn.Module:
        """Return a copy with noise on some parameter tensors."""
        weights = {name: p.detach() for name, p in module.named_parameters() if name in names}
        noise = {name: torch.randn(weights[name].shape, generator=draws).to(weights[name]) for name in names}
        return with_weights(module, {name: p + self.noise * noise[name] for name, p in weights.items()})


def _scalers(module: nn.Module) -> list[str]:
    return [
        f"{name}.{own}"
        for name, part in module.named_modules()
        if isinstance(part, SCALERS)
        for own, _ in part.named_parameters(recurse=False)
    ]
