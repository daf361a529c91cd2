"""Shrunk and expanded boundaries, and flattened surroundings: two steps each, computed again in numpy float64."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate import plain  # noqa: E402

from expunge.core.errors import BadInput, Unsupported  # noqa: E402
from expunge.models.modules import seeded  # noqa: E402
from expunge.unlearners.approximate.boundary import Boundary, widened  # noqa: E402
from expunge.unlearners.approximate.lipschitz import Lipschitz, normals  # noqa: E402


def agree(module, w):
    assert np.abs(plain.theta(module) - w).max() <= 1e-10


def nearest(w, X, y, bound):
    """Return the classes of records moved along the sign of their loss's gradient by the inputs."""
    W1, b1, W2, _ = plain.parts(w)
    dz = plain.shares(plain.outputs(w, X)) - plain.EYE[y]
    slope = ((dz @ W2) * (X @ W1.T + b1 > 0)) @ W1
    return plain.outputs(w, X + bound * np.sign(slope)).argmax(axis=1)


def test_shrink():
    """U18: the classes are those that the network *before* sees beside the records, in both steps."""
    scene = plain.scene(kept=2, forgotten=4)
    first = w = plain.theta(scene.module)
    step, seen = plain.Sgd(0.4, 0.9), []
    for batch in scene.stream("forgotten", 2, 4):
        X, y = plain.arrays(batch)
        seen.append(nearest(first, X, y, 0.7))
        w = step(w, plain.slope(w, X, seen[-1]))
    agree(Boundary(bound=0.7, epochs=2, rate=0.4, batch=4).change(scene), w)
    assert any((s != b.y.numpy()).any() for s, b in zip(seen, scene.stream("forgotten", 2, 4), strict=True))


def test_expand():
    """U18: a fourth class is learnt for the forgotten records, and dropped."""
    scene = plain.scene(kept=2, forgotten=4)
    w = plain.theta(scene.module)
    with seeded(scene.seed):
        row = torch.nn.Linear(4, 4)
    W1, b1, W2, b2 = plain.parts(w)
    W2 = np.concatenate([W2, row.weight.detach().double().numpy()[3:]])
    b2 = np.concatenate([b2, row.bias.detach().double().numpy()[3:]])
    for batch in scene.stream("forgotten", 2, 4):
        X = batch.x.numpy()
        h = X @ W1.T + b1
        a = np.maximum(h, 0)
        dz = (plain.shares(a @ W2.T + b2) - np.eye(4)[[3] * 4]) / 4
        dh = (dz @ W2) * (h > 0)
        W1, b1, W2, b2 = W1 - 0.4 * dh.T @ X, b1 - 0.4 * dh.sum(0), W2 - 0.4 * dz.T @ a, b2 - 0.4 * dz.sum(0)
    after = Boundary(form="expand", epochs=2, rate=0.4, momentum=0.0, batch=4).change(scene)
    agree(after, np.concatenate([W1.ravel(), b1, W2[:3].ravel(), b2[:3]]))


def test_a_head_that_cannot_be_widened_is_said():
    with pytest.raises(Unsupported, match="has none"):
        widened(torch.nn.Sequential(torch.nn.Conv1d(1, 3, 1)), 3, 0)
    with pytest.raises(Unsupported, match="gives 3 numbers"):
        widened(plain.network(), 5, 0)
    with pytest.raises(BadInput, match="form"):
        Boundary(form="move").change(plain.scene())


def test_lipschitz():
    """U22: two steps down Σ_k ‖f(x) − f(x + ξ_k)‖ / ‖ξ_k‖, each record's noise its own, gradients not kept."""
    scene = plain.scene(kept=2, forgotten=4)
    w = plain.theta(scene.module)
    for batch in scene.stream("forgotten", 2, 4):
        X, g = batch.x.numpy(), np.zeros(27)
        for k in range(3):
            away = 0.5 * normals(batch.words, 2, batch.epoch * 3 + k)
            apart = plain.outputs(w, X) - plain.outputs(w, X + away)
            dz = apart / np.linalg.norm(apart, axis=1, keepdims=True) / np.linalg.norm(away, axis=1, keepdims=True) / 4
            g += plain.back(w, X, dz) - plain.back(w, X + away, dz)
        w = w - 0.3 * g
    agree(Lipschitz(samples=3, epochs=2, rate=0.3, batch=4).change(scene), w)
    with pytest.raises(BadInput, match="noise"):
        Lipschitz(noise=0.0).change(scene)


def test_noise_is_normal_and_a_records_own():
    words = plain.samples(4000, 3).words
    drawn = normals(words, 5, 1)
    assert drawn.shape == (4000, 5)
    assert np.abs(drawn.mean(axis=0)).max() < 4 / np.sqrt(4000)
    assert np.abs(np.cov(drawn.T) - np.eye(5)).max() < 0.1
    assert np.abs(np.mean(np.abs(drawn) < 1) - 0.6827) < 0.02
    assert normals(words[7:9], 5, 1).tobytes() == drawn[7:9].tobytes()
    assert np.abs(np.corrcoef(drawn[:, 0], normals(words, 5, 2)[:, 0])[0, 1]) < 0.06
