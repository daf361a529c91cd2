"""Sums over samples of the squares (or sizes) of each one's gradient, layer by layer, with no gradient kept a sample.

A layer's gradient of one sample is made of what went in and of the slope that came back. Of a linear layer it is their
outer product, so the sum of squares is a product of two matrices of squares; of a convolution it is a product a sample.
A module that this cannot treat is told by trying: two samples are compared with ordinary gradients of each alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.func import functional_call, vjp, vmap

Sizes = Callable[[Tensor], Tensor]
"""``torch.square`` or ``torch.abs``: that of a product is the product of those of its factors."""
TOGETHER = 2**22
"""Numbers that the gradients of single samples may take together."""


@dataclass(eq=False)
class Layer:
    """A part of a module that has parameters of its own, and what its last call took and gave.

    Attributes:
        part: the layer.
        names: name of each of its parameters in the module, by its name in the layer.
        x: what went in; first axis = samples.
        edge: where the slope of what came out is found.
        calls: how often it was called.
        odd: whether a call was not of one tensor to one tensor.
    """

    part: nn.Module
    names: dict[str, str]
    x: Tensor = field(default_factory=lambda: torch.empty(0))
    edge: GradientEdge | None = None
    calls: int = 0
    odd: bool = False

    def hear(self, _: nn.Module, given: Any, found: Any) -> None:
        """Keep what a call took and gave (a forward hook)."""
        self.calls += 1
        plain = len(given) == 1 and isinstance(given[0], Tensor) and isinstance(found, Tensor)
        if not plain or len(found) != len(given[0]) or not found.requires_grad:
            self.odd = True
            return
        self.x, self.edge = given[0].detach(), get_gradient_edge(found)

    @property
    def usable(self) -> bool:
        """Whether the last forward pass called it once, on one tensor."""
        return self.calls == 1 and not self.odd


def layers_of(module: nn.Module) -> list[Layer] | None:
    """Return the layers whose parameters may move; None where layers share a parameter."""
    named = [(name, p) for name, p in module.named_parameters(remove_duplicate=False) if p.requires_grad]
    if len({id(p) for _, p in named}) < len(named):
        return None
    found = []
    for prefix, part in module.named_modules():
        own = [name for name, p in part.named_parameters(recurse=False) if p.requires_grad]
        if own:
            found.append(Layer(part, {name: f"{prefix}.{name}" if prefix else name for name in own}))
    return found


@contextmanager
def listening(layers: Sequence[Layer]) -> Iterator[None]:
    """Let layers keep what the calls inside the block take and give; sums are taken after it."""
    for layer in layers:
        layer.calls, layer.odd = 0, False
    hooks = [layer.part.register_forward_hook(layer.hear) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def summed(layers: Sequence[Layer], outputs: Tensor, slope: Tensor, of: Sizes = torch.square) -> dict[str, Tensor]:
    """Return Σ over samples of the squares (or sizes) of the gradient of each, parameter name → tensor.

    Args:
        layers: that heard the forward pass of the outputs; its graph is kept.
        outputs: what is differentiated, first axis = samples.
        slope: what each sample's outputs are multiplied by, of the shape of the outputs.
        of: ``torch.square`` or ``torch.abs``.
    """
    edges = [layer.edge for layer in layers if layer.edge is not None]
    slopes = torch.autograd.grad(outputs, edges, slope, retain_graph=True, allow_unused=True)
    with torch.no_grad():
        parts = [_of_layer(layer, g, of) for layer, g in zip(layers, slopes, strict=True)]
    return {name: value for part in parts for name, value in part.items()}


def _of_layer(layer: Layer, g: Tensor | None, of: Sizes) -> dict[str, Tensor]:
    """Return the sums of one layer's parameters, from the slope of what it gave; None = nothing came back."""
    if g is None:
        return {name: torch.zeros_like(layer.part.get_parameter(own)) for own, name in layer.names.items()}
    if type(layer.part) is nn.Linear and g.dim() == 2:
        parts = {"weight": lambda: of(g).T @ of(layer.x), "bias": lambda: of(g).sum(0)}
        return {name: parts[own]() for own, name in layer.names.items()}
    largest = max(p.numel() for p in layer.part.parameters(recurse=False))
    size = max(1, TOGETHER // largest)
    total: dict[str, Tensor] = {}
    for x, slope in zip(torch.split(layer.x, size), torch.split(g, size), strict=True):
        for own, each in _each(layer, x, slope).items():
            name, part = layer.names[own], of(each).sum(0)
            total[name] = total[name] + part if name in total else part
    return total


def _each(layer: Layer, x: Tensor, g: Tensor) -> dict[str, Tensor]:
    """Return the gradient of each sample, (b, *shape), of one layer's parameters."""
    part = layer.part
    if type(part) is nn.Linear:
        slopes, inputs = g.flatten(1, -2).mT, x.flatten(1, -2)
    elif type(part) is nn.Conv2d and part.groups == 1 and not isinstance(part.padding, str) and x.dim() == 4:
        if part.padding_mode != "zeros":
            return _pulled(layer, x, g)
        slopes = g.flatten(2)
        inputs = nn.functional.unfold(x, part.kernel_size, part.dilation, part.padding, part.stride).mT
    else:
        return _pulled(layer, x, g)
    parts = {"weight": lambda: (slopes @ inputs).reshape(-1, *part.weight.shape), "bias": lambda: slopes.sum(-1)}
    return {own: parts[own]() for own in layer.names}


def _pulled(layer: Layer, x: Tensor, g: Tensor) -> dict[str, Tensor]:
    """Return the gradient of each sample of any layer, by going back through it sample by sample, all at once."""
    weights = {own: p.detach() for own, p in layer.part.named_parameters(recurse=False) if own in layer.names}

    def alone(one: Tensor, slope: Tensor) -> dict[str, Tensor]:
        def call(own: dict[str, Tensor]) -> Tensor:
            found: Tensor = functional_call(layer.part, own, (one.unsqueeze(0),))
            return found

        found: dict[str, Tensor] = vjp(call, weights)[1](slope.unsqueeze(0))[0]
        return found

    each: dict[str, Tensor] = vmap(alone)(x, g)
    return each


def treatable(module: nn.Module, x: Tensor) -> list[Layer] | None:
    """Return the module's layers, if sums taken by them are right for these samples; else None.

    Two samples at most are gone through together by layers, and each alone by ordinary gradients.

    Args:
        module: evaluating.
        x: samples, first axis; not none.
    """
    layers = layers_of(module)
    if not layers:
        return None
    pair = x[:2]
    with listening(layers):
        outputs = module(pair)
    if outputs.dim() != 2 or not all(layer.usable for layer in layers):
        return None
    slope = torch.linspace(1.0, 2.0, outputs.numel(), dtype=outputs.dtype, device=outputs.device).view_as(outputs)
    found = summed(layers, outputs, slope)
    wanted = _one_by_one(module, pair, slope)
    return layers if all(_close(found[name], value) for name, value in wanted.items()) else None


def _one_by_one(module: nn.Module, x: Tensor, slope: Tensor) -> dict[str, Tensor]:
    """Return the sums of squares by ordinary gradients of each sample alone."""
    given = {name: p for name, p in module.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in given.items()}
    for one, back in zip(torch.split(x, 1), torch.split(slope, 1), strict=True):
        slopes = torch.autograd.grad(module(one), list(given.values()), back, materialize_grads=True)
        for name, value in zip(given, slopes, strict=True):
            total[name] += value.square()
    return total


def _close(found: Tensor, wanted: Tensor) -> bool:
    size = float(wanted.max()) if wanted.numel() else 0.0
    near = 1e-9 if wanted.dtype == torch.float64 else 1e-3
    return torch.allclose(found, wanted, rtol=near, atol=near * size)
