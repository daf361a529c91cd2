"""Losses that methods are made of: a mean over the samples of a batch, summed over replicas where there are several.

Everything is written for leading axes: logits of shape (..., b, k), targets and weights of shape (..., b). So the same
loss serves one module and a stack of them (`expunge.models.stack.Many`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Loss = Callable[[nn.Module, Any], Tensor]
"""Takes the module and a batch, gives what is to be made small: a tensor of one number, in nats where it can be."""


def averaged(values: Tensor, weight: Tensor | None = None) -> Tensor:
    """Return the mean over samples (the last axis), summed over the axes before it.

    Args:
        values: shape (..., b).
        weight: shape (..., b), 0 or 1; None = all are one.
    """
    if weight is None:
        return values.mean(-1).sum()
    return ((values * weight).sum(-1) / weight.sum(-1).clamp(min=1)).sum()


def cross_entropies(logits: Tensor, y: Tensor) -> Tensor:
    """Return −log p_y of each sample, shape (..., b)."""
    if logits.dim() <= 2:
        return nn.functional.cross_entropy(logits, y, reduction="none")
    flat = nn.functional.cross_entropy(logits.flatten(0, -2), y.flatten(), reduction="none")
    return flat.reshape(y.shape)


def divergences(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """Return KL(p_teacher ‖ p_student)·T² of each sample at a temperature, shape (..., b), from logits."""
    p, q = torch.log_softmax(teacher / temperature, -1), torch.log_softmax(student / temperature, -1)
    return (p.exp() * (p - q)).sum(-1) * temperature**2


def weight_of(batch: Any) -> Tensor | None:
    """Return the weights of a batch; None where it has none (a plain pair of tensors)."""
    return batch[2] if len(tuple(batch)) > 2 else None


def nats(module: nn.Module, batch: Any) -> Tensor:
    """Return the mean cross-entropy of a batch (inputs, class codes)."""
    return averaged(cross_entropies(module(batch[0]), batch[1]), weight_of(batch))


def squares(module: nn.Module, batch: Any) -> Tensor:
    """Return the mean squared error of a batch (inputs, numbers of shape (..., b, 1))."""
    return averaged(((module(batch[0]) - batch[1]) ** 2).mean(-1), weight_of(batch))
