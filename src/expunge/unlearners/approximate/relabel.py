"""``Relabel``: teach random classes for the forgotten records, and the true ones for the kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor, nn

from expunge.models.descent import Pace
from expunge.models.losses import averaged, cross_entropies
from expunge.models.streams import Batch, Stream, joined
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Relabel(Method):
    """Each epoch: the forgotten records with random classes, then the kept records with their own.

    Attributes:
        epochs: over all records.
        rate: step size.
        momentum: of the steps.
        decay: weight decay.
        labels: ``any`` = of all classes, the true one among them; ``wrong`` = never the true one.
        once: whether classes are drawn once, and batches of forgotten and kept records mixed; else they are drawn anew
            in each epoch, which begins with the forgotten records.
        batch: records a step.

    Guarantee: empirical. By these defaults it moves *away* from retraining on `stack` (see `away`): records with random
        classes end up less likely than to a network that never saw them.
    Cost: epochs · all samples, forward and backward.
    Source: spec U07; Golatkar et al. (CVPR 2020), SalUn (Fan et al., ICLR 2024) for ``any``, ERASURE for ``wrong``;
        `amnesiac` is what the SSD harness calls so (not U23). Where it mixes records within a batch, we mix batches.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten", "classes"})
    stacks: ClassVar[bool] = True
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.43, 2.73, 2.50; before 2.24, 2.48, 2.37"
    )

    epochs: int = 10
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 5e-4
    labels: Literal["any", "wrong"] = "any"
    once: bool = False
    batch: int = 64

    @classmethod
    def amnesiac(cls) -> Relabel:
        """Return the setting that the SSD harness calls amnesiac: wrong classes, drawn once."""
        return cls(epochs=3, rate=1e-4, labels="wrong", once=True)

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * (kept + forgotten)

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            y = batch.y
            if batch.part == "forgotten":
                drawn = batch._replace(epoch=0) if self.once else batch
                y = scene.labels(drawn, other=self.labels == "wrong")
            return averaged(cross_entropies(module(batch.x), y), batch.weight)

        pace = Pace("sgd", self.rate, self.momentum, self.decay, freeze_norms=True)
        stream = joined([self._turn(scene, range(epoch, epoch + 1)) for epoch in range(self.epochs)])
        return scene.recalibrated(scene.descend(scene.module, stream, loss, pace))

    def _turn(self, scene: Scene, epoch: range) -> Stream:
        """Return the batches of an epoch."""
        forgotten, kept = (scene.stream(part, epoch, self.batch) for part in ("forgotten", "kept"))
        return mingled(forgotten, kept) if self.once else forgotten.then(kept)


def mingled(few: Stream, many: Stream) -> Stream:
    """Return the batches of two streams, each in its order, those of the first spread evenly among the others."""
    a, b = len(few), len(many)
    turns = sorted([((2 * i + 1) / (2 * a), 0) for i in range(a)] + [((2 * i + 1) / (2 * b), 1) for i in range(b)])

    def start(step: int) -> Iterator[Batch]:
        begun = [sum(which == side for _, which in turns[:step]) for side in (0, 1)]
        sides = (few.start(begun[0]), many.start(begun[1]))
        return (next(sides[which]) for _, which in turns[step:])

    return Stream(a + b, start)
