"""A 2-4-3 network, its gradients and its optimisers in numpy float64, and the six records that it is asked about."""

from __future__ import annotations

import numpy as np
import torch

from expunge.core.seeds import Key
from expunge.models.modules import seeded
from expunge.models.streams import Records
from expunge.models.vision import perceptron
from expunge.unlearners.scene import Scene

DRAW = np.random.Generator(np.random.PCG64(11))
X = DRAW.normal(size=(9, 2))
Y = np.array([0, 2, 1, 0, 2, 1, 1, 0, 2])
FORGOTTEN, KEPT, HOLDOUT = slice(0, 2), slice(2, 6), slice(6, 9)
NAMES = ("0.weight", "0.bias", "2.weight", "2.bias")


def network(seed=3):
    with seeded(seed):
        return perceptron((2, 4, 3)).double()


def records(part, name, y=None):
    targets = torch.from_numpy(Y if y is None else np.asarray(y))[part]
    return Records.of(torch.from_numpy(X)[part], targets, Key.public(5).child(name).words(range(len(targets))))


def scene(module=None, y=None, **more):
    given = {"holdout": records(HOLDOUT, "holdout"), "fresh": lambda purpose: network(8), **more}
    sides = (records(FORGOTTEN, "forgotten", y), records(KEPT, "kept", y))
    return Scene(module or network(), *sides, outputs=3, seed=77, **given)


def weights(module):
    return [p.detach().numpy().copy() for p in module.parameters()]


def forward(W, x):
    hidden = np.maximum(x @ W[0].T + W[1], 0)
    return hidden @ W[2].T + W[3], hidden


def backward(W, x, dz):
    """Return the gradients of the weights, given those of the logits, and of the inputs."""
    _, hidden = forward(W, x)
    back = dz @ W[2] * (hidden > 0)
    return [back.T @ x, back.sum(0), dz.T @ hidden, dz.sum(0)], back @ W[0]


def softmax(z, T=1.0):
    e = np.exp((z - z.max(1, keepdims=True)) / T)
    return e / e.sum(1, keepdims=True)


def onehot(y):
    return np.eye(3)[y]


def kl(p, q):
    return float((p * (np.log(p) - np.log(q))).sum(1).mean())


def cross_entropy(part, y=None):
    """Return a gradient: of the mean cross-entropy of a part."""
    y = Y[part] if y is None else y

    def slope(W):
        z, _ = forward(W, X[part])
        return backward(W, X[part], (softmax(z) - onehot(y)) / len(y))[0]

    return slope


def toward(part, teacher, T=1.0, sign=1.0):
    """Return a gradient: of sign · T² · mean KL(teacher ‖ student), the teacher's logits given."""

    def slope(W):
        z, _ = forward(W, X[part])
        return backward(W, X[part], sign * T * (softmax(z, T) - softmax(teacher, T)) / len(z))[0]

    return slope


def both(*slopes):
    return lambda W: [sum(parts) for parts in zip(*(slope(W) for slope in slopes), strict=True)]


def sgd(W, slopes, rates, momentum=0.0, decay=0.0):
    """Return the weights after one step a slope; each rate is its step's."""
    W, speed = [w.copy() for w in W], None
    for slope, rate in zip(slopes, rates, strict=True):
        g = [s + decay * w for s, w in zip(slope(W), W, strict=True)]
        speed = g if speed is None else [momentum * v + s for v, s in zip(speed, g, strict=True)]
        W = [w - rate * v for w, v in zip(W, speed, strict=True)]
    return W


def adam(W, slopes, rates, decay=0.0):
    W = [np.array(w, float) for w in W]
    m, v = [0.0 * w for w in W], [0.0 * w for w in W]
    for t, (slope, rate) in enumerate(zip(slopes, rates, strict=True), 1):
        g = [s + decay * w for s, w in zip(slope(W), W, strict=True)]
        m = [0.9 * a + 0.1 * s for a, s in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * s * s for a, s in zip(v, g, strict=True)]
        steps = [(a / (1 - 0.9**t)) / (np.sqrt(b / (1 - 0.999**t)) + 1e-8) for a, b in zip(m, v, strict=True)]
        W = [w - rate * s for w, s in zip(W, steps, strict=True)]
    return W


def same(module, W, within=1e-10):
    """Say whether a module has these weights."""
    return all(np.abs(mine - theirs).max() <= within for mine, theirs in zip(weights(module), W, strict=True))
