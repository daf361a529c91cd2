"""``Newton``: one damped Newton step from the minimum of all records towards that of the kept ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from expunge.core.errors import BadData, BadInput
from expunge.models.conjugate import Solution, conjugate_gradients
from expunge.models.curvature import (
    Terrain,
    Vector,
    counts,
    gradient,
    hessian_product,
    inner,
    plus,
    scaled,
)
from expunge.models.streams import Batch
from expunge.unlearners.method import Method
from expunge.unlearners.scene import Scene, weights_of, with_weights

RAISES = 12
"""How often γ is raised, at most."""


@dataclass(frozen=True)
class Newton(Method):
    """Adds (H + γI)⁻¹ Σ_forgotten ∇loss / n_kept, H the Hessian of the kept records' mean loss.

    Attributes:
        gamma: γ, added to the curvature. Where ``cg`` meets a direction with less than half of it, the loss is not
            convex there, and γ is raised tenfold.
        solver: ``cg`` = conjugate gradients over all kept records; ``series`` = a Neumann series over batches (LiSSA).
        n_steps: products, at most.
        tolerance: at which ``cg`` is good, as a share of the gradient.
        scale: of ``series``: larger than the largest curvature.
        batch: records a product of ``series``.

    Guarantee: empirical: a network's weights are no minimum, and its loss is not convex, whatever γ.
        On `stack` the RMSE of φ to retraining falls by 0.05 to 0.19 of 2.4 in 3 of 3 draws.
    Cost: one gradient a forgotten record; for each γ up to n_steps products over all kept records; ``series``:
        over a batch each.
    Source: spec U12; Zhang et al. (ICML 2024), whose γ and scale are the defaults; its title promises more than this.
    """

    stacks: ClassVar[bool] = True

    gamma: float = 0.01
    solver: Literal["cg", "series"] = "cg"
    n_steps: int = 100
    tolerance: float = 1e-6
    scale: float = 1000.0
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken; the products are counted apart."""
        return forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched.

        Raises:
            BadData: the series grows without bound.
        """
        m, kept = counts(scene.forgotten), counts(scene.kept)
        mean = gradient(scene.terrain(scene.forgotten))
        target = scaled(mean, m / kept)
        before = weights_of(scene.module)
        moved = plus({n: before[n].double() for n in target}, self._solution(scene, target))
        return with_weights(scene.module, moved)

    def _solution(self, scene: Scene, target: Vector) -> Vector:
        """Return (H + γI)⁻¹ of a vector."""
        terrain = scene.terrain(scene.kept)
        if self.solver == "cg":
            gamma = self.gamma * torch.ones_like(inner(target, target, scene.stacked))
            return convexly(lambda damping: self._step(terrain, target, damping), gamma)
        if self.solver != "series":
            raise BadInput(f"solver must be cg or series, not {self.solver!r}")
        per_epoch = len(scene.stream("kept", 1, self.batch))
        stream = scene.stream("kept", -(-self.n_steps // per_epoch), self.batch).first(self.n_steps)
        return series(
            (partial(_bent, terrain, batch) for batch in stream),
            target,
            damping=self.gamma,
            scale=self.scale,
            stacked=scene.stacked,
        )

    def _step(self, terrain: Terrain, target: Vector, gamma: Tensor) -> Solution:
        """Return the solution with so much added curvature."""
        return conjugate_gradients(
            lambda u: hessian_product(terrain, u),
            target,
            gamma,
            floor=0.5,
            until=(self.n_steps, self.tolerance),
            stacked=terrain.stacked,
        )


def convexly(solve: Callable[[Tensor], Solution], gamma: Tensor) -> Vector:
    """Return the solution with the smallest γ·10^t for which no direction of too little curvature is met.

    Args:
        solve: γ, of shape () or (M,) → the solution.
        gamma: where to begin.

    Raises:
        BadData: there is none.
    """
    for _ in range(RAISES):
        found = solve(gamma)
        if bool(found.convex.all()):
            return found.vector
        gamma = torch.where(found.convex, gamma, 10 * gamma)
    raise BadData("the loss is not convex however much curvature is added", hint="Give a larger gamma.")


def _bent(terrain: Terrain, batch: Batch, vector: Vector) -> Vector:
    return hessian_product(terrain, vector, [batch])


def series(
    products: Iterator[Callable[[Vector], Vector]],
    target: Vector,
    *,
    damping: float,
    scale: float,
    stacked: bool = False,
) -> Vector:
    """Return Σ_t (I − (A + damping·I)/scale)^t b / scale, one product a term: near (A + damping·I)⁻¹b after many.

    Args:
        products: v → A v, one for each term.
        target: b.
        damping: added to the diagonal.
        scale: larger than half of the largest eigenvalue.
        stacked: whether vectors have a leading axis of replicas.

    Raises:
        BadData: the sum grows without bound.
    """
    found = target
    for product in products:
        bent = plus(product(found), found, damping)
        found = plus(plus(found, target), bent, -1.0 / scale)
    found = scaled(found, 1.0 / scale)
    if not bool(torch.isfinite(inner(found, found, stacked)).all()):
        raise BadData("the series grows without bound", hint="Give a larger scale, or a larger gamma.")
    return found
