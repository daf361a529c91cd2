"""A 2-4-3 network in numpy, by hand, and six records: what gradient methods are recomputed with."""

from __future__ import annotations

import numpy as np
import torch

from expunge.models.modules import seeded
from expunge.models.streams import Records, mix
from expunge.models.vision import perceptron
from expunge.unlearners.scene import Scene

EYE = np.eye(3)


def network(seed=3):
    """Return a 2-4-3 perceptron in float64."""
    with seeded(seed):
        return perceptron((2, 4, 3)).double()


def samples(n, seed):
    """Return n records of two numbers and three classes."""
    draw = np.random.Generator(np.random.PCG64(seed))
    X, y = torch.from_numpy(draw.normal(size=(n, 2))), torch.from_numpy(draw.integers(0, 3, n))
    return Records.of(X, y, mix(np.arange(1, n + 1, dtype=np.uint64) * np.uint64(977 + seed)))


def scene(kept=4, forgotten=2, module=None, **more):
    """Return a scene of so many records."""
    module = network() if module is None else module
    given = {"outputs": 3, "seed": 7, "fresh": lambda purpose: network(11), **more}
    return Scene(module, samples(forgotten, 1), samples(kept, 2), **given)


def theta(module):
    """Return a module's weights as one numpy vector."""
    return np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])


def parts(w):
    """Return W1, b1, W2, b2 of a vector."""
    return w[:8].reshape(4, 2), w[8:12], w[12:24].reshape(3, 4), w[24:]


def outputs(w, X):
    """Return the outputs, shape (n, 3); for complex weights too."""
    W1, b1, W2, b2 = parts(w)
    h = X @ W1.T + b1
    return np.where(h.real > 0, h, 0) @ W2.T + b2


def shares(z):
    """Return class probabilities."""
    e = np.exp(z - z.real.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def back(w, X, dz):
    """Return the gradient by the weights of what has gradient dz by the outputs; shape (27,)."""
    W1, b1, W2, _ = parts(w)
    h = X @ W1.T + b1
    a = np.where(h.real > 0, h, 0)
    dh = (dz @ W2) * (h.real > 0)
    return np.concatenate([(dh.T @ X).ravel(), dh.sum(0), (dz.T @ a).ravel(), dz.sum(0)])


def losses(w, X, y):
    """Return cross-entropies."""
    z = outputs(w, X)
    return np.logaddexp.reduce(z, axis=1) - z[np.arange(len(y)), y]


def slope(w, X, y, weight=None):
    """Return the gradient of the mean cross-entropy, or of a weighted sum."""
    weight = np.full(len(y), 1 / len(y)) if weight is None else weight
    return back(w, X, (shares(outputs(w, X)) - EYE[y]) * weight[:, None])


def slopes(w, X, y):
    """Return the gradient of each record's loss, shape (n, 27)."""
    return np.stack([slope(w, X[i : i + 1], y[i : i + 1]) for i in range(len(y))])


def hessian(w, X, y):
    """Return the Hessian of the mean cross-entropy by complex steps, exact to rounding."""
    step = 1e-30
    columns = [slope(w + 1j * step * row, X, y).imag / step for row in np.eye(len(w))]
    return np.stack(columns, axis=1)


def arrays(batch):
    """Return inputs and classes of a batch."""
    return batch.x.numpy(), batch.y.numpy()


class Sgd:
    """Steps with momentum and decay, by hand."""

    def __init__(self, rate, momentum=0.0, decay=0.0):
        self.rate, self.momentum, self.decay, self.memory = rate, momentum, decay, None

    def __call__(self, w, g, factor=1.0):
        g = g + self.decay * w
        self.memory = g if self.memory is None else self.momentum * self.memory + g
        return w - self.rate * factor * self.memory
