"""``Unsir``: impairs the network with noise made to be wrong about the forgotten records, then repairs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from expunge.models.descent import Pace
from expunge.models.losses import Loss, averaged, cross_entropies
from expunge.models.streams import Batch, Records, Rows, Stream, mix
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.parts import pooled, records_of, some, stream_of, teacher_of
from expunge.unlearners.scene import Scene

NOISE = 0x6E6F_6973_65
"""Mixed into the keyed words of batches of noise."""


@dataclass(frozen=True)
class Unsir(Method):
    """Learns a batch of noise that the network is wrong about, trains on it and on kept records, then on these alone.

    Attributes:
        noise: records of the batch of noise.
        steps: of Adam on the noise, at 0.1.
        penalty: weight of the noise's mean squared norm.
        copies: how often the batch of noise is gone over while impairing.
        share: of the kept records that both epochs go over.
        impair: step size of the first epoch.
        repair: step size of the second.
        batch: records a step.

    Guarantee: empirical; made for whole classes. By these defaults it moves *away* from retraining on `stack` (see
        `away`): it is made for whole classes.
    Cost: noise · (steps + copies) + 2 · share · kept samples, forward and backward.
    Source: spec U15; Tarun et al. (2023). Where all forgotten records are of one class, the noise descends −ℓ(f(Z), c)
        + penalty·‖Z‖²; where they are of several, it ascends the squared distance between its outputs and those of as
        many forgotten records, whose labels it bears (the form for records). The share of kept records is ours.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten", "classes"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 3.21, 3.24, 3.41; before 2.14, 2.12, 2.23"
    )

    noise: int = 32
    steps: int = 25
    penalty: float = 0.1
    copies: int = 80
    share: float = 0.3
    impair: float = 0.02
    repair: float = 0.01
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.noise * (self.steps + self.copies) + 2 * self._sample(kept)

    def _sample(self, kept: int) -> int:
        return max(1, round(self.share * kept))

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        sample = some(scene.kept, self._sample(len(scene.kept)))
        mixed = pooled([sample, self._noise(scene)])
        module = scene.module
        for name, samples, rate in (("impair", mixed, self.impair), ("repair", sample, self.repair)):
            stream = stream_of(scene, samples, name, 1, self.batch)
            module = scene.descend(module, stream, scene.own, Pace("sgd", rate, freeze_norms=True), name)
        return scene.recalibrated(module)

    def _noise(self, scene: Scene) -> Records:
        """Return as many copies of the noise, with the labels that it bears, as are gone over."""
        forgotten = records_of(scene.forgotten)
        rows = np.arange(self.noise, dtype=np.int64) % len(forgotten)
        like, y = forgotten.fetch(rows)
        batch = Batch(like, y, part="noise").to(scene.device)
        start = torch.randn(like.shape, generator=scene.generator("noise")).to(like.dtype)
        made = scene.descend(
            _Noise(start), Stream.of([batch] * self.steps), self._loss(scene, y), Pace("adam", 0.1), "noise"
        )
        x = next(made.parameters()).detach().cpu()
        words = mix(np.arange(self.noise * self.copies, dtype=np.uint64) ^ np.uint64((scene.seed ^ NOISE) % 2**64))

        def fetch(rows: Rows) -> tuple[Tensor, Tensor]:
            at = torch.from_numpy(rows % self.noise)
            return x[at], y[at]

        return Records(fetch, words)

    def _loss(self, scene: Scene, y: Tensor) -> Loss:
        """Return what the noise is made to lower."""
        network, one_class = teacher_of(scene), len(torch.unique(y)) == 1

        def loss(noise: nn.Module, batch: Batch) -> Tensor:
            z = noise(batch.x)
            size = self.penalty * averaged(z.square().flatten(1).sum(1))
            if one_class:
                return size - averaged(cross_entropies(network(z), batch.y))
            return size - averaged((network(z) - scene.taught(network, batch)).square().mean(-1))

        return loss


class _Noise(nn.Module):
    """A batch of inputs that is learnt.

    Args:
        start: its first values.
    """

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.values = nn.Parameter(start)

    def forward(self, x: Tensor) -> Tensor:
        """Return the noise, whatever is asked."""
        found: Tensor = self.values
        return found
