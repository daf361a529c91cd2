"""Sums of squared gradients of single samples, by layers against one sample after another."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
import numpy as np  # noqa: E402
from torch import nn  # noqa: E402

from expunge.models.curvature import Terrain, fisher_diagonal, sample_gradients_sized  # noqa: E402
from expunge.models.squares import treatable  # noqa: E402
from expunge.models.streams import Records  # noqa: E402


class Residual(nn.Module):
    """Convolutions with normalisers, an activation in place, a shortcut."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 3, stride=2, padding=1)
        self.deep = nn.Conv2d(4, 4, 3, padding="same", groups=2)
        self.group = nn.GroupNorm(2, 4)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.act(self.norm(self.first(x)))
        x = self.act(self.second(x))
        x = x + self.act(self.group(self.deep(x)))
        return self.head(x.mean((2, 3)))


class Words(nn.Module):
    """Linear layers over positions, and a table of vectors."""

    def __init__(self):
        super().__init__()
        self.table, self.inner = nn.Embedding(7, 5), nn.Linear(5, 6)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.norm(torch.tanh(self.inner(self.table(x)))).mean(1))


class Twice(nn.Module):
    """A layer that is called twice."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.inner(torch.tanh(self.inner(x)))))


class Aside(nn.Module):
    """A layer whose weight is used beside its call, which no hook hears."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.tanh(self.inner(x)) + x @ self.inner.weight)


def perceptron():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3))


class Mixing(nn.Module):
    """A network in which the samples of a batch mix even in evaluation."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        h = self.inner(x)
        return self.head(torch.tanh(h - h.mean(0) / 2))


def drawn(shape, n=23, whole=False):
    torch.manual_seed(1)
    x = torch.randint(0, 7, (n, *shape)) if whole else torch.randn(n, *shape)
    return Records.of(x, torch.randint(0, 3, (n,)), np.arange(n, dtype=np.uint64))


def by_hand(terrain, classes):
    """Return means of squares and sizes with the records' classes, and over all classes, one sample after another."""
    given = list(terrain.module.parameters())
    square, size, whole = ([torch.zeros_like(p) for p in given] for _ in range(3))
    n = 0
    for batch in terrain.batches(1):
        n += 1
        p = torch.softmax(terrain.module(batch.x), -1).detach()[0]
        for label in range(classes):
            y = torch.tensor([label])
            loss = nn.functional.cross_entropy(terrain.module(batch.x), y)
            for i, g in enumerate(torch.autograd.grad(loss, given)):
                whole[i] += p[label] * g**2
                if int(batch.y) == label:
                    square[i] += g**2
                    size[i] += g.abs()
    return [[t / n for t in part] for part in (square, size, whole)]


def check(terrain):
    square, size, whole = by_hand(terrain, 3)
    for found, wanted in (
        (sample_gradients_sized(terrain, torch.square), square),
        (sample_gradients_sized(terrain, torch.abs), size),
        (fisher_diagonal(terrain, 3), whole),
    ):
        assert max(float((f - w).abs().max()) for f, w in zip(found.values(), wanted, strict=True)) <= 1e-12


KINDS = {
    "perceptron": (perceptron, (4,), False),
    "residual": (Residual, (2, 6, 6), False),
    "words": (Words, (5,), True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_layers_are_one_by_one(kind):
    build, shape, whole = KINDS[kind]
    torch.manual_seed(0)
    module = build()
    if kind == "residual":
        module.train()(torch.randn(30, *shape))  # statistics that are not those of the start
    terrain = Terrain.of(module, drawn(shape, whole=whole))
    assert treatable(terrain.module, next(terrain.batches(4)).x) is not None
    check(terrain)


@pytest.mark.parametrize("build", [Twice, Aside])
def test_what_no_layer_tells_goes_by_samples(build):
    torch.manual_seed(0)
    terrain = Terrain.of(build(), drawn((4,)))
    assert treatable(terrain.module, next(terrain.batches(4)).x) is None
    check(terrain)


def test_mixed_samples_are_told():
    """What two samples give together is not what they give alone: the layers are not used."""
    torch.manual_seed(0)
    terrain = Terrain.of(Mixing(), drawn((4,)))
    assert treatable(terrain.module, next(terrain.batches(4)).x) is None


def test_some_weights_alone_and_the_meter():
    torch.manual_seed(0)
    terrain = Terrain.of(perceptron(), drawn((4,)))
    whole = fisher_diagonal(terrain, 3)
    one = fisher_diagonal(Terrain.of(terrain.module, terrain.samples).over(["2.weight"]), 3)
    assert list(one) == ["2.weight"]
    assert float((one["2.weight"] - whole["2.weight"]).abs().max()) <= 1e-15
    assert (terrain.meter.forward, terrain.meter.backward) == (23, 23)
