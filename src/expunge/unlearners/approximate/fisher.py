"""``Fisher``: noise on every weight, the more the less the kept records determine it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput
from expunge.models.curvature import Terrain, Vector, fisher_diagonal, sample_gradients_squared
from expunge.models.losses import cross_entropies
from expunge.models.modules import seeded
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene, head_of, with_weights


@dataclass(frozen=True)
class Fisher(Method):
    """Adds to weight i noise of variance σ²_i = α / F_i, F the diagonal Fisher information of the kept records.

    1/F is clamped, and averaged over the inputs of each unit; the head's and all vectors' variances are multiplied.

    Attributes:
        alpha: scale of the variances; to be tuned from 1e-9 to 1e-6.
        importance: ``model`` = F_i = E_x Σ_y p(y|x) (∂_i loss(x, y))², record by record; ``data`` = with the classes
            that the records have; ``batch`` = the squared gradient of a batch's mean, as public code has it: it depends
            on batches, and is for comparison alone.
        largest: 1/F of the body and of the head at most.
        emphasis: factor of the variances of the head and of vectors.
        batch: records a step of ``batch``.

    Guarantee: empirical. Noise moves every record, forgotten or not, and by these defaults not toward retraining (see
        `away`).
    Cost: one forward and k backward a kept sample, k classes; memory for the gradients of a block of samples.
    Source: spec U09; Golatkar et al. (CVPR 2020). Record by record, which the public code is not (B11).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "classes"})

    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.22, 2.47, 2.37; before 2.24, 2.48, 2.37"
    )

    alpha: float = 1e-7
    importance: Literal["model", "data", "batch"] = "model"
    largest: tuple[float, float] = (1e3, 1e2)
    emphasis: float = 10.0
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken (those of all classes counted once)."""
        return kept

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        information, head = self._information(scene), set(head_of(scene.module))
        draw, weights = scene.generator("fisher"), dict(scene.module.named_parameters())
        moved: dict[str, Tensor] = {}
        for name, found in information.items():
            variance = self._variance(found.cpu(), name in head)
            noise = torch.randn(variance.shape, generator=draw, dtype=torch.float64)
            moved[name] = weights[name].detach().cpu() + variance.sqrt() * noise
        return with_weights(scene.module, moved)

    def _variance(self, information: Tensor, head: bool) -> Tensor:
        """Return σ² of a parameter's weights."""
        inverse = (1.0 / (information + 1e-8)).clamp(max=self.largest[head])
        variance = self.alpha * inverse
        if variance.dim() > 1:
            variance = variance.mean(1, keepdim=True).expand(variance.shape)
        return variance * self.emphasis if head or variance.dim() == 1 else variance

    def _information(self, scene: Scene) -> Vector:
        """Return the diagonal of the Fisher information."""
        terrain = scene.terrain(scene.kept)
        if self.importance == "model":
            return fisher_diagonal(terrain, scene.outputs)
        if self.importance == "data":
            return sample_gradients_squared(terrain)
        if self.importance != "batch":
            raise BadInput(f"importance must be model, data or batch, not {self.importance!r}")
        return _of_batches(scene, terrain, self.batch)


def _of_batches(scene: Scene, terrain: Terrain, size: int) -> Vector:
    """Return the mean over batches of Σ_y of the squared gradient of the batch's mean of p(y|x)·loss(x, y): legacy."""
    given = list(terrain.weights.values())
    total = [torch.zeros_like(p, dtype=torch.float64) for p in given]
    stream = scene.stream("kept", 1, size)
    for batch in stream:
        placed = terrain.placed(batch)
        with seeded(scene.seed, scene.device):
            outputs = terrain.module(placed.x)
            shares = torch.softmax(outputs, -1).detach()
            for label in range(scene.outputs):
                losses = cross_entropies(outputs, torch.full_like(placed.y, label))
                slope = torch.autograd.grad((shares[:, label] * losses).mean(), given, retain_graph=True)
                for sums, part in zip(total, slope, strict=True):
                    sums.add_(part.double().square() / len(stream))
        scene.meter.forward += batch.n_samples
        scene.meter.backward += batch.n_samples
    return dict(zip(terrain.weights, total, strict=True))
