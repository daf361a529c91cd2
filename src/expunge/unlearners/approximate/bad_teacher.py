"""``BadTeacher``: like the model before on kept records, like an untrained one on the forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from expunge.models.descent import Pace
from expunge.models.losses import averaged, divergences
from expunge.models.modules import frozen
from expunge.models.streams import Batch, Records
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.parts import pooled, records_of, some, stream_of, teacher_of, with_targets
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class BadTeacher(Method):
    """Minimises KL((1 − l)·p_good + l·p_bad ‖ student) over forgotten records (l = 1) and a sample of kept ones.

    Attributes:
        epochs: over both together.
        share: of the kept records that are gone over.
        temperature: T of the divergences.
        rate: step size of Adam.
        batch: records a step.

    Guarantee: empirical. By these defaults it moves nearly nothing on `stack` (see `away`): one epoch at 1e-4 over a
        few hundred records is some three steps.
    Cost: epochs · (share · kept + forgotten) samples, forward and backward, and forward through two teachers.
    Source: spec U14; Chundawat et al. (AAAI 2023). The mean is over samples alone: public code divides by the number
        of classes as well, so its rate is k times ours. The bad teacher is an untrained module of the architecture at
        hand, whatever it is (W13); the good one shares no storage with the student (B1).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten", "classes", "fresh"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.14, 2.12, 2.23; before 2.14, 2.12, 2.23"
    )

    epochs: int = 1
    share: float = 0.3
    temperature: float = 1.0
    rate: float = 1e-4
    batch: int = 256

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * (self._sample(kept) + forgotten)

    def _sample(self, kept: int) -> int:
        return max(1, round(self.share * kept))

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        good, bad = teacher_of(scene), frozen(scene.untrained("bad teacher"))

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            answers = [scene.taught(teacher, batch) for teacher in (good, bad)]
            wanted = torch.where(batch.y.unsqueeze(-1), answers[1], answers[0])
            return averaged(divergences(wanted, module(batch.x), self.temperature), batch.weight)

        stream = stream_of(scene, self._samples(scene), "mixed", self.epochs, self.batch)
        after = scene.descend(scene.module, stream, loss, Pace("adam", self.rate, freeze_norms=True))
        return scene.recalibrated(after)

    def _samples(self, scene: Scene) -> Records:
        """Return forgotten records and a sample of kept ones; the target says which is which."""
        forgotten = records_of(scene.forgotten)
        kept = some(scene.kept, self._sample(len(scene.kept)))
        marks = [torch.full((len(part),), part is forgotten) for part in (forgotten, kept)]
        return pooled([with_targets(part, y) for part, y in zip((forgotten, kept), marks, strict=True)])
