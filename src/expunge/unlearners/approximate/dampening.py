"""``Dampening``: shrinks the weights that matter more to the forgotten records than to all; no training at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput, Unsupported
from expunge.models.curvature import Terrain, Vector, gradient, sample_gradients_sized
from expunge.models.modules import placed
from expunge.models.stack import Stacked
from expunge.models.streams import Batch, Samples
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene, with_weights


@dataclass(frozen=True)
class Dampening(Method):
    """Selective synaptic dampening: where I_f > α·I_D, a weight is multiplied by min(λ·I_D / I_f, 1).

    Attributes:
        alpha: α; ``auto`` = the (100 − ln(1 + 100·m/n))-th percentile of I_f / I_D (ASSD). The published numbers are
            for few forgotten records: as I_D counts these as well, I_f / I_D is at most n/m, so that an α of n/m or
            above would dampen nothing, and is refused.
        strength: λ.
        importance: ``sample`` = the mean over records of each record's squared gradient: no order and no batch size
            shows (SSD-Det); ``batch`` = the square of a batch's mean gradient, as public code has it.
        score: ``loss``, or ``norm`` = the absolute (not squared) gradient of the squared norm of the outputs, for
            which no label is read (LFSSD).
        batch: records of a batch, for ``batch``.

    Guarantee: empirical. By these defaults it moves as often away from retraining as towards it on `stack` (see
        `away`): weights are shrunk, and nothing is learnt. `score="norm"` came nearer in 3 of 3 draws, by less than
        0.01: 2.131, 2.115, 2.231 against 2.137, 2.119, 2.232.
    Cost: kept + forgotten samples, forward and backward, one by one for ``sample``; memory for a block's gradients.
    Source: spec U21; Foster et al. (AAAI 2024), and its label-free and adaptive forms. The published numbers are
        `ssd`, `transformer` and `faces`; the default is that of ASSD. Public code squares the gradient of a batch's
        mean, so that its importances depend on the batches (B11).
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten"})
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.16, 2.10, 2.24; before 2.14, 2.12, 2.23"
    )
    stacks: ClassVar[bool] = True

    alpha: float | Literal["auto"] = "auto"
    strength: float = 1.0
    importance: Literal["sample", "batch"] = "sample"
    score: Literal["loss", "norm"] = "loss"
    batch: int = 64

    @classmethod
    def ssd(cls) -> Dampening:
        """Return the authors' setting for a ResNet and few random records."""
        return cls(alpha=10.0)

    @classmethod
    def transformer(cls) -> Dampening:
        """Return the authors' setting for a vision transformer and a class."""
        return cls(alpha=5.0)

    @classmethod
    def faces(cls) -> Dampening:
        """Return the authors' setting for faces."""
        return cls(alpha=50.0, strength=0.1)

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return kept + forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        mine, theirs = (self.importances(scene, part) for part in (scene.forgotten, scene.kept))
        m, kept = (_counts(part) for part in (scene.forgotten, scene.kept))
        share = m / (m + kept)
        whole = {n: _beside(share, mine[n]) * mine[n] + _beside(1 - share, mine[n]) * theirs[n] for n in mine}
        alpha = self._alpha(mine, whole, share)
        before = dict(placed(scene.module, scene.device).named_parameters())
        weights = {}
        for name, own in mine.items():
            factor = (self.strength * whole[name] / own.clamp(min=torch.finfo(own.dtype).tiny)).clamp(max=1.0)
            chosen = own > _beside(alpha, own) * whole[name]
            weights[name] = torch.where(chosen, before[name] * factor.to(before[name].dtype), before[name]).detach()
        return scene.recalibrated(with_weights(placed(scene.module, scene.device), weights))

    def _alpha(self, mine: Vector, whole: Vector, share: Tensor) -> Tensor:
        """Return α, of shape () or (M,).

        Raises:
            BadInput: it is no number above 0, and not ``auto``.
            Unsupported: so many records are forgotten that it selects no weight.
        """
        if self.alpha != "auto":
            if not (isinstance(self.alpha, float | int) and self.alpha > 0):
                raise BadInput(f"alpha must be a number above 0 or 'auto', not {self.alpha!r}")
            most = 1 / float(share.max())
            if self.alpha >= most:
                raise Unsupported(
                    f"alpha {self.alpha:g} dampens no weight: with 1 of {most:.3g} records forgotten, none matters more"
                    " than that many times as much to them as to all",
                    hint="Use alpha='auto', or a smaller number.",
                )
            return torch.full_like(share, float(self.alpha))
        ratios = [torch.where(whole[n] > 0, mine[n] / whole[n], 0.0).reshape(*share.shape, -1) for n in mine]
        rows = torch.cat(ratios, -1).cpu().numpy().reshape(share.numel(), -1)
        found = [
            np.percentile(row, 100 - math.log1p(100 * part))
            for row, part in zip(rows, share.flatten().tolist(), strict=True)
        ]
        return torch.tensor(found, dtype=torch.float64).reshape(share.shape)

    def importances(self, scene: Scene, samples: Samples) -> Vector:
        """Return the importance of every weight to samples, name → float64 tensor."""
        terrain = scene.terrain(samples)
        if self.score == "norm":
            terrain = replace(terrain, score=_square_norms)
        if self.importance == "batch":
            return self._of_batches(terrain)
        return sample_gradients_sized(terrain, torch.abs if self.score == "norm" else torch.square)

    def _of_batches(self, terrain: Terrain) -> Vector:
        """Return the mean over batches of the square (or size) of a batch's mean gradient: the published defect."""
        total: Vector = {}
        blocks = list(terrain.samples.blocks(self.batch))
        for block in blocks:
            for name, g in gradient(replace(terrain, samples=_One(block))).items():
                total[name] = total.get(name, 0.0) + (g.abs() if self.score == "norm" else g.square()) / len(blocks)
        return total


@dataclass(frozen=True)
class _One:
    """One batch as the samples of a terrain."""

    batch: Batch

    def blocks(self, size: int = 0) -> Iterator[Batch]:
        """Yield it."""
        yield self.batch


def _square_norms(outputs: Tensor, y: Tensor) -> Tensor:
    """Return ‖f(x)‖² of each sample; targets are not read."""
    return outputs.square().sum(-1)


def _counts(samples: Samples) -> Tensor:
    """Return how many samples there are, of shape (), or (M,) of a stack."""
    found = [len(rows) for rows in samples.rows] if isinstance(samples, Stacked) else len(samples)
    return torch.tensor(found, dtype=torch.float64)


def _beside(factor: Tensor, tensor: Tensor) -> Tensor:
    return factor.to(tensor.device).reshape(*factor.shape, *[1] * (tensor.dim() - factor.dim()))
