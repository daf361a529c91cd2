"""``Ascent``: climb the loss of the forgotten records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from expunge.models.descent import Pace
from expunge.models.losses import averaged
from expunge.models.streams import Batch
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Ascent(Method):
    """Steps along the gradient of the loss of the forgotten records, each record's loss capped.

    Attributes:
        epochs: over the forgotten records.
        rate: step size.
        momentum: of the steps.
        decay: weight decay.
        clip: largest norm of a step's gradient; None = any.
        cap: loss at which a record is left alone, in nats (or squared steps of the target); None = never.
        batch: records a step.

    Guarantee: empirical. Nothing holds the kept records: their loss should be watched. By these defaults
        nothing moves toward retraining on `stack` (see `away`): by 0.003 of 2.4 at most, either way.
    Cost: epochs · forgotten samples, forward and backward.
    Source: spec U05; Thudi et al. (2022), Graves et al. (AAAI 2021). The cap and the clipped norm are what keep the
        loss, which has no upper bound, from breaking the network; running statistics stay as they are.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"forgotten"})
    stacks: ClassVar[bool] = True
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.23, 2.48, 2.37; before 2.24, 2.48, 2.37"
    )

    epochs: int = 5
    rate: float = 5e-4
    momentum: float = 0.0
    decay: float = 0.0
    clip: float | None = 1.0
    cap: float | None = 8.0
    batch: int = 64

    @classmethod
    def supreme(cls) -> Ascent:
        """Return the setting of the SUPREME benchmark."""
        return cls(rate=0.02)

    @classmethod
    def deepunlearn(cls) -> Ascent:
        """Return the setting of the DeepUnlearn study."""
        return cls(rate=0.01, momentum=0.9)

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            return -averaged(capped(scene.losses(module, batch), self.cap), batch.weight)

        pace = Pace("sgd", self.rate, self.momentum, self.decay, self.clip, freeze_norms=True)
        after = scene.descend(scene.module, scene.stream("forgotten", self.epochs, self.batch), loss, pace)
        return scene.recalibrated(after)


def capped(losses: Tensor, cap: float | None) -> Tensor:
    """Return losses that have no gradient above a cap; None = as they are."""
    return losses if cap is None else losses.clamp(max=cap)
