"""``Transpose``: swaps height and width of every kernel, and fine-tunes on kept records (CT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from expunge.core.errors import Unsupported
from expunge.models.descent import Pace
from expunge.models.network import factors
from expunge.unlearners.layers import CONVOLUTIONS, convolutions, head, weight_of
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene, with_weights


@dataclass(frozen=True)
class Transpose(Method):
    """Transposes the kernels of all convolutions, and goes on training.

    Attributes:
        epochs: over the kept records.
        rate: step size, along a cosine to 0.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical. By these defaults it moves *away* from retraining on `stack` (see `away`): its rate is that of
        fifty thousand records: a few dozen steps do not mend the kernels.
    Cost: epochs · kept samples, forward and backward; forgotten records are not read.
    Source: spec U28; NeurIPS 2023 competition. It is no dampening of weights, whatever ports of this name do (B13).
        Kernels that are not square, or have one axis, stay. In a network without convolutions the leading square
        block of each linear layer's weights but the head's is transposed (ours).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.78, 3.10, 2.90; before 2.14, 2.12, 2.23"
    )

    epochs: int = 3
    rate: float = 1e-3
    momentum: float = 0.9
    decay: float = 5e-4
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * kept

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        stream = scene.stream("kept", self.epochs, self.batch)
        pace = Pace("sgd", self.rate, momentum=self.momentum, decay=self.decay, schedule=factors("cosine", len(stream)))
        after = with_weights(scene.module, transposed(scene.module))
        return scene.recalibrated(scene.descend(after, stream, scene.own, pace))


def transposed(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of the layers whose kernels are transposed, parameter name → tensor.

    Raises:
        Unsupported: nothing can be transposed.
    """
    found: dict[str, Tensor] = {}
    for name, layer in convolutions(module):
        weight = weight_of(module, name).detach()
        if isinstance(layer, CONVOLUTIONS):
            if weight.dim() > 3 and weight.shape[-1] == weight.shape[-2] > 1:
                found[f"{name}.weight"] = weight.transpose(-1, -2).contiguous()
        elif name != head(module):
            found[f"{name}.weight"] = _block_transposed(weight)
    if not found:
        raise Unsupported(
            "Transpose finds no square kernel and no hidden layer to transpose", hint="Use RandomLayers or Prune."
        )
    return found


def _block_transposed(weight: Tensor) -> Tensor:
    side, after = min(weight.shape), weight.clone()
    after[:side, :side] = weight[:side, :side].T
    return after
