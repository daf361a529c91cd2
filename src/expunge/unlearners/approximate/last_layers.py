"""``LastLayers``: learn only the last layers again, from where they are (CF-k) or from first weights (EU-k)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import nn

from expunge.core.errors import BadInput, Unsupported
from expunge.models.descent import Pace
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene, blocks_of, only, weights_of, with_weights


@dataclass(frozen=True)
class LastLayers(Method):
    """Freezes all but the head and the last k blocks before it, and trains those on the kept records.

    Attributes:
        k: blocks before the head that may move; None = all.
        anew: whether they begin with first weights (EU-k), rather than where they are (CF-k).
        recipe: ``own`` = as below; ``training`` = what the network was trained with (only for all layers, anew: then
            the method is a retraining).
        epochs: over the kept records.
        rate: step size; a tenth of it from half, eight and nine tenths of the steps on.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical: what the frozen layers know of the forgotten records stays. By these defaults it moves *away*
        from retraining on `stack` (see `away`): decay at 0.1 flattens the last layers; at 5e-4 it moves toward it
        (by 0.16 in one draw).
    Cost: epochs · kept samples, forward and backward.
    Source: spec U08; Goel et al. (2022). Frozen weights keep every bit, whatever decay and momentum do (B10).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept"})
    stacks: ClassVar[bool] = True
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.57, 2.68, 2.61; before 2.24, 2.48, 2.37"
    )

    k: int | None = 1
    anew: bool = False
    recipe: Literal["own", "training"] = "own"
    epochs: int = 10
    rate: float = 0.01
    momentum: float = 0.9
    decay: float = 0.1
    batch: int = 64

    @classmethod
    def eu(cls, k: int | None = 1) -> LastLayers:
        """Return EU-k: the last layers begin with first weights."""
        return cls(k=k, anew=True)

    @classmethod
    def retraining(cls) -> LastLayers:
        """Return EU-k over all layers with the training's recipe: a retraining, with other draws."""
        return cls(k=None, anew=True, recipe="training")

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken (with the recipe ``training``: for one of its epochs)."""
        return kept if self.recipe == "training" else self.epochs * kept

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        if self.recipe == "training":
            return self._trained(scene)
        blocks = blocks_of(scene.module)
        if self.k is not None and self.k < 0:
            raise BadInput(f"k must be 0 or more blocks, not {self.k}")
        names = [name for block in (blocks if self.k is None else blocks[-self.k - 1 :]) for name in block]
        module = scene.module
        if self.anew:
            first = weights_of(scene.untrained("last_layers"))
            module = with_weights(module, {name: first[name] for name in names})
        stream = scene.stream("kept", self.epochs, self.batch)
        marks = [len(stream) * share // 10 for share in (5, 8, 9)]

        def schedule(step: int) -> float:
            return float(0.1 ** sum(step >= mark for mark in marks))

        pace = Pace("sgd", self.rate, self.momentum, self.decay, schedule=schedule, mask=only(module, names))
        return scene.recalibrated(scene.descend(module, stream, scene.own, pace))

    def _trained(self, scene: Scene) -> nn.Module:
        """Return a network trained from first weights as the one before was."""
        if not self.anew or self.k is not None:
            raise BadInput("the training's recipe is for all layers from first weights", hint="LastLayers.retraining()")
        if scene.train is None:
            raise Unsupported("nobody said how the network was trained")
        return scene.train(scene.untrained("last_layers"), scene.kept, scene.seed)
