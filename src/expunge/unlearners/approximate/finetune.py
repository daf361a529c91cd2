"""``Finetune``: go on training on the kept records. It does not forget: it is here as the baseline that shows so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from expunge.models.descent import Pace
from expunge.models.network import Schedule, factors
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Finetune(Method):
    """Stochastic gradient descent on the loss of the kept records.

    Attributes:
        epochs: over the kept records.
        rate: step size.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.
        schedule: of the rate, as of `Network`.

    Guarantee: empirical, and a weak one: what is forgotten fades at the pace of ordinary drift.
    Cost: epochs · kept samples, forward and backward.
    Source: spec U04; defaults of SalUn (Fan et al., ICLR 2024). **Not forgetting**: on `stack` the U-LiRA AUC stays
        within .03 of the original's (K03).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept"})
    stacks: ClassVar[bool] = True

    epochs: int = 10
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 64
    schedule: Schedule = "constant"

    @classmethod
    def starter(cls) -> Finetune:
        """Return the setting of the NeurIPS 2023 competition's starting kit."""
        return cls(epochs=5, rate=0.1, schedule="cosine")

    @classmethod
    def ssd(cls) -> Finetune:
        """Return the setting of the SSD harness: one cycle, up and down."""
        return cls(epochs=5, rate=0.02, schedule="peak")

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * kept

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        stream = scene.stream("kept", self.epochs, self.batch)
        pace = Pace("sgd", self.rate, self.momentum, self.decay, schedule=factors(self.schedule, len(stream)))
        return scene.recalibrated(scene.descend(scene.module, stream, scene.own, pace))
