"""Networks of our own: a perceptron, a small convolutional net, residual nets, a small transformer; no torchvision.

Normalisers are groups by default: they keep no statistics of the records, and replicas of a network can be trained in
one stack. ``norm="batch"`` gives the published form.

Source: deep-and-audit section 2.4; He et al. (2016) for residual nets, ResNet-20 in its CIFAR form (option A
shortcuts); Dosovitskiy et al. (2021) for the transformer.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any, Final, Literal

import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput

Norm = Literal["group", "batch"]
Shape = tuple[int, ...]


def perceptron(widths: tuple[int, ...], dropout: float = 0.0) -> nn.Sequential:
    """Return a multi-layer perceptron: linear layers of these widths with ReLU (and dropout) between them."""
    layers: list[nn.Module] = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(a, b), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers[: -2 - bool(dropout)], layers[-2 - bool(dropout)])


def normaliser(norm: Norm, channels: int) -> nn.Module:
    """Return a normaliser of feature maps: over groups of up to 32 channels, or over the batch."""
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "group":
        return nn.GroupNorm(max(g for g in (1, 2, 4, 8, 16, 32) if channels % g == 0 and g <= channels // 2), channels)
    raise BadInput(f"norm must be group or batch, not {norm!r}")


def _conv(a: int, b: int, stride: int = 1, size: int = 3) -> nn.Conv2d:
    return nn.Conv2d(a, b, size, stride, size // 2, bias=False)


def small_cnn(shape: Shape = (1, 28, 28), outputs: int = 10, norm: Norm = "group") -> nn.Module:
    """Return two convolutions of 8 and 16 channels with pooling, and a linear layer; no normaliser."""
    channels, height, width = shape
    return nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16 * (height // 4) * (width // 4), outputs),
    )  # fmt: skip


class Residual(nn.Module):
    """Layers whose result is added to what they were given, through a shortcut.

    Args:
        body: the layers.
        shortcut: what brings the input to the result's shape.
        after: what is applied to the sum.
    """

    def __init__(self, body: nn.Module, shortcut: nn.Module, after: nn.Module) -> None:
        super().__init__()
        self.body, self.shortcut, self.after = body, shortcut, after

    def forward(self, x: Tensor) -> Tensor:
        """Return ``after(shortcut(x) + body(x))``."""
        found: Tensor = self.after(self.shortcut(x) + self.body(x))
        return found


def _unit(a: int, b: int, norm: Norm, *more: nn.Module) -> nn.Sequential:
    return nn.Sequential(_conv(a, b), normaliser(norm, b), nn.ReLU(), *more)


def resnet9(shape: Shape = (3, 32, 32), outputs: int = 10, norm: Norm = "group") -> nn.Module:
    """Return the nine-layer residual net of fast CIFAR-10 training: 64-128-256-512 channels, two residual pairs."""

    def pair(c: int) -> nn.Module:
        return Residual(nn.Sequential(_unit(c, c, norm), _unit(c, c, norm)), nn.Identity(), nn.Identity())

    return nn.Sequential(
        _unit(shape[0], 64, norm), _unit(64, 128, norm, nn.MaxPool2d(2)), pair(128),
        _unit(128, 256, norm, nn.MaxPool2d(2)), _unit(256, 512, norm, nn.MaxPool2d(2)), pair(512),
        nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(512, outputs),
    )  # fmt: skip


def _block(a: int, b: int, stride: int, norm: Norm) -> nn.Module:
    body = nn.Sequential(_conv(a, b, stride), normaliser(norm, b), nn.ReLU(), _conv(b, b), normaliser(norm, b))
    same = stride == 1 and a == b
    shortcut = nn.Identity() if same else nn.Sequential(_conv(a, b, stride, 1), normaliser(norm, b))
    return Residual(body, shortcut, nn.ReLU())


def resnet18(shape: Shape = (3, 32, 32), outputs: int = 10, norm: Norm = "group") -> nn.Module:
    """Return ResNet-18 for small images: a 3x3 stem without pooling, 64-128-256-512 channels, two blocks each."""
    layers: list[nn.Module] = [_conv(shape[0], 64), normaliser(norm, 64), nn.ReLU()]
    a = 64
    for b, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [_block(a, b, stride, norm), _block(b, b, 1, norm)]
        a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, outputs))


class Thinned(nn.Module):
    """A shortcut without weights: every second pixel, and channels of zeros beside (option A).

    Args:
        more: channels of zeros, half before and half behind.
    """

    def __init__(self, more: int) -> None:
        super().__init__()
        self.more = more

    def forward(self, x: Tensor) -> Tensor:
        """Return the smaller, deeper map."""
        half = self.more // 2
        return nn.functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, self.more - half))


def resnet20(shape: Shape = (3, 32, 32), outputs: int = 10, norm: Norm = "group") -> nn.Module:
    """Return ResNet-20 for CIFAR: 16-32-64 channels, three blocks each, shortcuts without weights."""
    layers: list[nn.Module] = [_conv(shape[0], 16), normaliser(norm, 16), nn.ReLU()]
    a = 16
    for b, stride in ((16, 1), (32, 2), (64, 2)):
        for i in range(3):
            first = i == 0 and stride == 2
            body = nn.Sequential(
                _conv(a, b, stride if first else 1), normaliser(norm, b), nn.ReLU(), _conv(b, b), normaliser(norm, b)
            )
            layers.append(Residual(body, Thinned(b - a) if first else nn.Identity(), nn.ReLU()))
            a = b
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, outputs))


class Attention(nn.Module):
    """Self-attention of several heads.

    Args:
        width: of tokens.
        heads: how many.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.given, self.back = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended tokens, shape (n, t, width)."""
        n, t, width = x.shape
        q, k, v = self.given(x).reshape(n, t, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) * (width // self.heads) ** -0.5, -1)
        found: Tensor = self.back((weights @ v).transpose(1, 2).reshape(n, t, width))
        return found


class Transformer(nn.Module):
    """A small vision transformer: patches as tokens, a class token, learned positions, layers normalised first.

    Args:
        shape: (channels, height, width).
        outputs: classes.
        patch: side of a patch.
        width: of tokens.
        depth: layers.
        heads: of each layer.
        hidden: of each layer's perceptron.
    """

    def __init__(
        self, shape: Shape, outputs: int, patch: int = 4, width: int = 128, layers: tuple[int, int, int] = (6, 4, 256)
    ) -> None:
        super().__init__()
        depth, heads, hidden = layers
        tokens = (shape[1] // patch) * (shape[2] // patch)
        self.patches = nn.Conv2d(shape[0], width, patch, patch)
        self.start = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, tokens + 1, width))
        self.layers = nn.Sequential(*(self._layer(width, heads, hidden) for _ in range(depth)))
        self.last, self.head = nn.LayerNorm(width), nn.Linear(width, outputs)

    @staticmethod
    def _layer(width: int, heads: int, hidden: int) -> nn.Module:
        attend = nn.Sequential(nn.LayerNorm(width), Attention(width, heads))
        think = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        return nn.Sequential(
            Residual(attend, nn.Identity(), nn.Identity()), Residual(think, nn.Identity(), nn.Identity())
        )

    def reset_parameters(self) -> None:
        """Draw the parameters again that belong to no layer."""
        with torch.no_grad():
            self.start.zero_()
            self.places.copy_(0.02 * torch.randn_like(self.places))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits, shape (n, outputs)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.start.expand(len(x), -1, -1), tokens], 1) + self.places
        found: Tensor = self.head(self.last(self.layers(tokens))[:, 0])
        return found


def vit(shape: Shape = (3, 32, 32), outputs: int = 10, norm: Norm = "group") -> nn.Module:
    """Return the small vision transformer."""
    return Transformer(shape, outputs)


NETWORKS: Final[dict[str, Callable[..., nn.Module]]] = {
    "small_cnn": small_cnn,
    "resnet9": resnet9,
    "resnet18": resnet18,
    "resnet20": resnet20,
    "vit": vit,
    "resnet9_batch": partial(resnet9, norm="batch"),
    "resnet18_batch": partial(resnet18, norm="batch"),
    "resnet20_batch": partial(resnet20, norm="batch"),
}
"""Networks of images by name; ``…_batch`` normalises over batches, as published."""


def over_rows(name: str, shape: Shape, sizes: tuple[int, int]) -> nn.Module:
    """Return a network of images that takes each image as a row of numbers.

    Args:
        name: of `NETWORKS`.
        shape: (channels, height, width).
        sizes: numbers a row, and outputs.

    Raises:
        BadInput: the shape is not one of an image of so many numbers.
    """
    width, outputs = sizes
    if len(shape) != 3 or prod(shape) != width:
        raise BadInput(
            f"{name} learns from images, and {shape!r} is no shape (channels, height, width) of {width} numbers",
            hint="Say it: Network(module=..., shape=(3, 32, 32)).",
        )
    module: Any = NETWORKS[name](shape, outputs)
    return nn.Sequential(nn.Unflatten(1, shape), *(module if isinstance(module, nn.Sequential) else [module]))
