"""``Tangent``: the step from all records' solution to the kept ones', of the network made linear where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput, Unsupported
from expunge.models.curvature import sample_jacobians
from expunge.models.streams import Samples
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene, blocks_of, with_weights

LARGEST = 8192
"""Rows of the linear system, at most: half a gigabyte, and a minute."""


@dataclass(frozen=True)
class Tangent(Method):
    """Moves weights by s·(w_kept − w_all), w_D = −G(GᵀG + nλI)⁻¹r the ridge solution of the linearised network on D.

    G = gradients of all outputs of all n records (p × nk), r = outputs − one-hot classes (or numbers).

    Attributes:
        blocks: how many of the last blocks may move: the system has min(p, n·k) rows; None = all.
        decay: λ.
        scale: s.

    Guarantee: empirical: the squared loss of a linear model stands for the network's. By these defaults
        the head alone moves, and by 0.01 of 2.4 at most toward retraining on `stack` (see `away`).
    Cost: one forward and k backward a sample, O(q² · max(p, nk) + q³) for q = min(p, nk), and memory for G.
    Source: spec U10; Golatkar et al. (ECCV 2020). Without its noise. Solved on the side of the weights where p < nk.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten"})
    batches: ClassVar[tuple[str, ...]] = ()
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.23, 2.47, 2.36; before 2.24, 2.48, 2.37"
    )

    blocks: int | None = 1
    decay: float = 0.1
    scale: float = 1.0

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken (those of all outputs counted once)."""
        return kept + forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched.

        Raises:
            Unsupported: the system is too large.
        """
        if self.blocks is not None and self.blocks < 1:
            raise BadInput(f"blocks must be 1 or more, or None, not {self.blocks}")
        blocks = blocks_of(scene.module)
        names = [name for block in (blocks if self.blocks is None else blocks[-self.blocks :]) for name in block]
        weights = {n: p.detach() for n, p in scene.module.named_parameters()}
        sizes = [weights[n].numel() for n in names]
        n_equations = (len(scene.kept) + len(scene.forgotten)) * scene.outputs
        if min(sum(sizes), n_equations) > LARGEST:
            raise Unsupported(
                f"{sum(sizes):,} weights and {n_equations:,} equations are too many to solve",
                hint="Let fewer of the last blocks move: Tangent(blocks=1).",
            )
        kept, forgotten = (self._equations(scene, part, names) for part in (scene.kept, scene.forgotten))
        whole = torch.cat([kept[0], forgotten[0]]), torch.cat([kept[1], forgotten[1]])
        n, m = len(scene.kept), len(scene.forgotten)
        step = self._solution(kept[0], kept[1], n) - self._solution(whole[0], whole[1], n + m)
        parts = torch.split(self.scale * step, sizes)
        return with_weights(
            scene.module,
            {n: weights[n].cpu() + part.reshape(weights[n].shape) for n, part in zip(names, parts, strict=True)},
        )

    def _equations(self, scene: Scene, samples: Samples, names: list[str]) -> tuple[Tensor, Tensor]:
        """Return Gᵀ, shape (n·k, p), and r, shape (n·k,); float64."""
        terrain = scene.terrain(samples).over(names)
        slopes, errors = [], []
        for found, answers, batch in sample_jacobians(terrain, scene.outputs):
            goal = nn.functional.one_hot(batch.y, scene.outputs) if scene.task == "classes" else batch.y
            slopes.append(torch.cat([found[n].flatten(2) for n in names], 2).flatten(0, 1).double().cpu())
            errors.append((answers.detach() - goal).flatten().double().cpu())
        return torch.cat(slopes), torch.cat(errors)

    def _solution(self, slopes: Tensor, errors: Tensor, n: int) -> Tensor:
        """Return −G(GᵀG + nλI)⁻¹r from Gᵀ."""
        equations, weights = slopes.shape
        if weights < equations:
            matrix, right = slopes.T @ slopes, slopes.T @ errors
        else:
            matrix, right = slopes @ slopes.T, errors
        matrix.diagonal().add_(n * self.decay)
        found = torch.cholesky_solve(right[:, None], torch.linalg.cholesky(matrix))[:, 0]
        return -found if weights < equations else -(slopes.T @ found)
