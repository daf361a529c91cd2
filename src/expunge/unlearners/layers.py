"""Layers as methods speak of them: convolutions (or linear layers, where there are none), the first, the head, anew."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import nn

from expunge.core.errors import Unsupported
from expunge.models.modules import copied, seeded

CONVOLUTIONS = (nn.modules.conv._ConvNd,)


def convolutions(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return (name, layer) of all convolutions, or of all linear layers where there is none, in the module's order.

    Raises:
        Unsupported: there are neither.
    """
    for kinds in (CONVOLUTIONS, (nn.Linear,)):
        found: list[tuple[str, nn.Module]] = [
            (n, part) for n, part in module.named_modules() if isinstance(part, kinds)
        ]
        if found:
            return found
    raise Unsupported("this method changes convolutions or linear layers, and the network has neither")


def head(module: nn.Module) -> str:
    """Return the name of the last linear layer.

    Raises:
        Unsupported: there is none.
    """
    found = [name for name, part in module.named_modules() if isinstance(part, nn.Linear)]
    if not found:
        raise Unsupported("this method draws the head again, and the network has no linear layer")
    return str(found[-1])


def redrawn(module: nn.Module, names: Collection[str], seed: int) -> nn.Module:
    """Return a copy in which these layers have drawn their first weights again.

    Raises:
        Unsupported: a layer cannot.
    """
    after = copied(module)
    with seeded(seed):
        for name, part in after.named_modules():
            if name in names:
                reset = getattr(part, "reset_parameters", None)
                if not callable(reset):
                    raise Unsupported(f"{name!r} cannot be drawn again: it has no reset_parameters")
                reset()
    return after


def weight_of(module: nn.Module, name: str) -> nn.Parameter:
    """Return the weight of a layer."""
    found = module.get_submodule(name).weight
    if not isinstance(found, nn.Parameter):
        raise Unsupported(f"the weight of {name!r} is no parameter of its own")
    return found


def fans(weight: torch.Tensor) -> tuple[int, int]:
    """Return (inputs, outputs) that a weight joins, kernels counted."""
    size = weight[0, 0].numel() if weight.dim() > 2 else 1
    return weight.shape[1] * size, weight.shape[0] * size
