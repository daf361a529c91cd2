"""``Saliency``: random labels on the forgotten records, learnt by the weights that these records pull at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from expunge.models.curvature import gradient
from expunge.models.descent import Pace
from expunge.models.losses import averaged, cross_entropies
from expunge.models.streams import Batch, Stream, joined
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.parts import largest
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Saliency(Method):
    """Relabels as `Relabel` does, moving only the half of all weights where the forgotten gradient is largest.

    Attributes:
        share: of the weights that may move.
        epochs: each over the forgotten records with fresh random labels, then over the kept ones.
        rate: step size.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.
        wrong: whether a random label is never the true one.

    Guarantee: empirical. By these defaults it moves *away* from retraining on `stack` (see `away`): random labels push
        forgotten records further than retraining does.
    Cost: forgotten + epochs · (kept + forgotten) samples, forward and backward.
    Source: spec U19; SalUn (Fan et al., ICLR 2024). The other weights stay bit for bit as they were before the first
        step, whatever decay and momentum say (B10); statistics of normalisers are frozen, and at the end taken anew
        from kept records (ours).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten", "classes"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.47, 2.57, 2.58; before 2.14, 2.12, 2.23"
    )
    stacks: ClassVar[bool] = True

    share: float = 0.5
    epochs: int = 10
    rate: float = 0.013
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 256
    wrong: bool = False

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return forgotten + self.epochs * (kept + forgotten)

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        slopes = gradient(scene.terrain(scene.forgotten))
        mask = largest(scene.module, {name: slope.abs() for name, slope in slopes.items()}, self.share)

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            y = scene.labels(batch, other=self.wrong) if batch.part == "forgotten" else batch.y
            return averaged(cross_entropies(module(batch.x), y), batch.weight)

        pace = Pace("sgd", self.rate, momentum=self.momentum, decay=self.decay, mask=mask, freeze_norms=True)
        return scene.recalibrated(scene.descend(scene.module, self._turns(scene), loss, pace))

    def _turns(self, scene: Scene) -> Stream:
        return joined(
            [
                scene.stream(part, range(epoch, epoch + 1), self.batch)
                for epoch in range(self.epochs)
                for part in ("forgotten", "kept")
            ]
        )
