"""``Scrub``: away from a frozen teacher on the forgotten records, towards it on the kept ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.models.descent import Pace
from expunge.models.losses import averaged, cross_entropies, divergences
from expunge.models.modules import frozen
from expunge.models.streams import Batch, Stream, joined
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Scrub(Method):
    """Ascends KL(teacher ‖ student) on the forgotten, descends γ·loss + α·KL on the kept records, epoch by epoch.

    Attributes:
        epochs: of descent; the first `msteps` of them begin with an epoch of ascent.
        msteps: epochs of ascent.
        alpha: weight of the divergence on kept records.
        gamma: weight of the loss on kept records.
        temperature: T of the divergences (times T²).
        optimiser: ``adam`` or ``sgd``.
        rate: step size; a tenth of it from the epochs at half, eight and nine tenths on.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical.
    Cost: (epochs · kept + msteps · forgotten) samples, forward and backward, and forward through the teacher.
    Source: spec U13; Kurmanji et al. (NeurIPS 2023). The teacher is a deep copy that shares no storage (B1), and the
        optimiser holds the student's parameters (B2).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten", "classes"})
    stacks: ClassVar[bool] = True

    epochs: int = 10
    msteps: int = 3
    alpha: float = 0.5
    gamma: float = 1.0
    temperature: float = 2.0
    optimiser: Literal["adam", "sgd"] = "adam"
    rate: float = 5e-4
    decay: float = 0.1
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * kept + min(self.msteps, self.epochs) * forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        teacher, turns = frozen(scene.module), self._turns(scene)
        stream = joined([turn for _, turn in turns])
        ends = torch.tensor([len(turn) for _, turn in turns]).cumsum(0)
        epoch_of = [epoch for epoch, _ in turns]

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            logits = module(batch.x)
            apart = divergences(scene.taught(teacher, batch), logits, self.temperature)
            if batch.part == "forgotten":
                return -averaged(apart, batch.weight)
            return averaged(self.gamma * cross_entropies(logits, batch.y) + self.alpha * apart, batch.weight)

        def schedule(step: int) -> float:
            at = epoch_of[int((ends <= step).sum())] / self.epochs
            return float(0.1 ** sum(at >= mark for mark in (0.5, 0.8, 0.9)))

        pace = Pace(self.optimiser, self.rate, decay=self.decay, schedule=schedule, freeze_norms=True)
        return scene.recalibrated(scene.descend(scene.module, stream, loss, pace))

    def _turns(self, scene: Scene) -> list[tuple[int, Stream]]:
        """Return (epoch, batches) of each turn: ascent, then descent."""
        turns: list[tuple[int, Stream]] = []
        for epoch in range(self.epochs):
            if epoch < self.msteps:
                turns.append((epoch, scene.stream("forgotten", range(epoch, epoch + 1), self.batch)))
            turns.append((epoch, scene.stream("kept", range(epoch, epoch + 1), self.batch)))
        return turns
