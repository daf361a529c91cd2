"""``conjugate_gradients``: solve a symmetric system from products alone; the replicas of a stack each by itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from expunge.models.curvature import Vector, inner, plus


@dataclass(frozen=True, eq=False)
class Solution:
    """What conjugate gradients found.

    Attributes:
        vector: x with (A + damping·I) x ≈ b.
        residual: ‖(A + damping·I) x − b‖ / ‖b‖, shape () or (M,).
        convex: whether every direction met had a curvature above the floor, shape () or (M,); where one had not, x is
            what was found before it.
        steps: products taken.
    """

    vector: Vector
    residual: Tensor
    convex: Tensor
    steps: int


def conjugate_gradients(
    product: Callable[[Vector], Vector],
    target: Vector,
    damping: Tensor | float = 0.0,
    *,
    floor: float = 0.0,
    until: tuple[int, float] = (100, 1e-10),
    stacked: bool = False,
) -> Solution:
    """Return x with (A + damping·I) x = b, from products with A alone.

    Args:
        product: v → A v, A symmetric.
        target: b.
        damping: added to the diagonal: a number, or one for each replica.
        floor: least curvature of a direction, as a share of the damping that it includes; what is below counts as
            negative.
        until: products at most, and the residual at which the solution is good.
        stacked: whether the vectors have a leading axis of replicas.
    """
    x: Vector = {n: torch.zeros_like(t) for n, t in target.items()}
    left, direction = dict(target), dict(target)
    size = whole = inner(target, target, stacked)
    convex, open_, steps = torch.ones_like(whole, dtype=torch.bool), whole > 0, 0
    while bool(open_.any()) and steps < until[0]:
        bent = plus(product(direction), direction, damping)
        steps += 1
        curvature, length = inner(direction, bent, stacked), inner(direction, direction, stacked)
        convex = convex & ((curvature > floor * damping * length) | ~open_)
        open_ = open_ & convex
        pace = torch.where(open_, size / _positive(curvature), 0.0)
        x, left = plus(x, direction, pace), plus(left, bent, -pace)
        rest = inner(left, left, stacked)
        share = torch.where(open_, rest / _positive(size), 0.0)
        direction, size = plus(left, direction, share), torch.where(open_, rest, size)
        open_ = open_ & (size > until[1] ** 2 * whole)
    return Solution(x, (size / _positive(whole)).sqrt(), convex, steps)


def _positive(values: Tensor) -> Tensor:
    """Return the values, 1 where they are not above 0."""
    return values.where(values > 0, torch.ones_like(values))
