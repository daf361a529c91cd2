"""Slopes and curvature against dense matrices by hand; of stacks, replica by replica; whatever the batches."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate import plain  # noqa: E402

from expunge.models.conjugate import conjugate_gradients  # noqa: E402
from expunge.models.curvature import (  # noqa: E402
    Chosen,
    Terrain,
    counts,
    fisher_diagonal,
    fisher_product,
    gradient,
    hessian_product,
    sample_gradients,
    sample_gradients_squared,
    sample_jacobians,
)
from expunge.models.stack import Many, Stacked, flat  # noqa: E402
from expunge.models.streams import Records  # noqa: E402
from expunge.models.vision import over_rows  # noqa: E402

N = 40


def one(n=N):
    """Return a terrain of n records, its weights, inputs and classes."""
    module, records = plain.network(), plain.samples(n, 5)
    X, y = plain.arrays(next(iter(records.blocks(n))))
    return Terrain.of(module, records), plain.theta(module), X, y


def flattened(vector):
    return np.concatenate([t.detach().numpy().ravel() for t in vector.values()])


def vector_of(terrain, values):
    """Return a flat vector by parameters."""
    given, found = torch.from_numpy(np.asarray(values, float)), {}
    for name, p in terrain.weights.items():
        found[name], given = given[: p.numel()].reshape(p.shape), given[p.numel() :]
    return found


def test_against_dense_matrices():
    terrain, w, X, y = one()
    G, v = plain.slopes(w, X, y), np.random.Generator(np.random.PCG64(1)).normal(size=27)
    direction = vector_of(terrain, v)
    for found, wanted in (
        (gradient(terrain), G.mean(0)),
        (sample_gradients_squared(terrain), (G**2).mean(0)),
        (fisher_product(terrain, direction), G.T @ (G @ v) / N),
        (hessian_product(terrain, direction), plain.hessian(w, X, y) @ v),
    ):
        assert np.abs(flattened(found) - wanted).max() <= 1e-12


def test_fisher_diagonal_of_all_classes():
    """E_x Σ_y p(y|x) (∂ loss)², each class by itself."""
    terrain, w, X, _ = one()
    p = plain.shares(plain.outputs(w, X))
    wanted = sum((p[:, [c]] * plain.slopes(w, X, np.full(N, c)) ** 2).mean(0) for c in range(3))
    assert np.abs(flattened(fisher_diagonal(terrain, 3)) - wanted).max() <= 1e-12


def test_jacobians_and_single_gradients():
    terrain, w, X, y = one(7)
    ((found, weight),) = sample_gradients(terrain)
    assert (
        np.abs(np.concatenate([g.flatten(1).numpy() for g in found.values()], 1) - plain.slopes(w, X, y)).max() < 1e-12
    )
    assert weight.tolist() == [1] * 7
    ((rows, answers, _),) = sample_jacobians(terrain, 3)
    for c in range(3):
        wanted = np.stack([plain.back(w, X[i : i + 1], plain.EYE[[c]]) for i in range(7)])
        assert np.abs(np.concatenate([g[:, c].flatten(1).numpy() for g in rows.values()], 1) - wanted).max() < 1e-12
    assert np.abs(answers.numpy() - plain.outputs(w, X)).max() < 1e-12


def test_no_batches_and_no_order(monkeypatch):
    """B11: squares of single gradients are the same for any batch size and order; a batch's mean squared is not."""
    module, records = plain.network(), plain.samples(N, 5)
    X, y = next(iter(records.blocks(N)))[:2]
    found, public = [], []
    for size in (1, 16, 64):
        for seed in range(3):
            monkeypatch.setattr("expunge.models.curvature.NUMBERS", size * 27)
            order = np.random.Generator(np.random.PCG64(seed)).permutation(N)
            terrain = Terrain.of(module, Records.of(X[order], y[order], records.words[order]))
            found.append(flattened(sample_gradients_squared(terrain)))
            cuts = [slice(at, at + size) for at in range(0, N, size)]
            w, data = plain.theta(module), (X[order].numpy(), y[order].numpy())
            public.append(np.mean([plain.slope(w, data[0][c], data[1][c]) ** 2 for c in cuts], axis=0))
    assert max(np.abs(f - found[0]).max() for f in found) <= 1e-15
    assert max(np.abs(f - public[0]).max() / public[0].max() for f in public) > 0.1


def test_a_stack_is_its_replicas():
    """Replicas with records of their own, and fewer of them: each has the numbers that it has alone."""
    modules = [plain.network(seed) for seed in range(3)]
    X, y = next(iter(plain.samples(N, 5).blocks(N)))[:2]
    words = np.arange(3 * N, dtype=np.uint64).reshape(3, N)
    rows = [np.arange(0, 30), np.arange(3, 33), np.arange(10, 22)]
    stacked = Stacked.of(X, y, rows, words)
    whole = Terrain.of(Many(modules), stacked)
    alone = [Terrain.of(m, Records.of(X, y, w).take(r)) for m, r, w in zip(modules, rows, words, strict=True)]
    draw = np.random.Generator(np.random.PCG64(2))
    directions = [vector_of(t, draw.normal(size=27)) for t in alone]
    joint = {flat(n): torch.stack([d[n] for d in directions]) for n in directions[0]}
    for of in (gradient, sample_gradients_squared, lambda t: fisher_diagonal(t, 3)):
        found = of(whole)
        for i, single in enumerate(alone):
            assert max(float((found[flat(n)][i] - t).abs().max()) for n, t in of(single).items()) <= 1e-14
    for product in (fisher_product, hessian_product):
        found = product(whole, joint)
        solved = conjugate_gradients(lambda u, of=product: of(whole, u), joint, 3.0, stacked=True)
        for i, (single, direction) in enumerate(zip(alone, directions, strict=True)):
            assert (
                max(float((found[flat(n)][i] - t).abs().max()) for n, t in product(single, direction).items()) <= 1e-14
            )
            same = conjugate_gradients(lambda u, of=product, t=single: of(t, u), direction, 3.0).vector
            assert max(float((solved.vector[flat(n)][i] - t).abs().max()) for n, t in same.items()) <= 1e-9
    assert counts(stacked).tolist() == [30, 30, 12]
    assert whole.meter.backward == sum(t.meter.backward for t in alone)
    assert whole.meter.products > 0


def test_conjugate_gradients_solve():
    """B16's measure: (F + δI)x = b to 1e-6 of a dense solution, and the residual is what it says."""
    terrain, w, X, y = one()
    G, b = plain.slopes(w, X, y), np.linspace(-1, 1, 27)
    found = conjugate_gradients(lambda u: fisher_product(terrain, u), vector_of(terrain, b), 1e-2)
    matrix = G.T @ G / N + 1e-2 * np.eye(27)
    wanted = np.linalg.solve(matrix, b)
    assert np.abs(flattened(found.vector) - wanted).max() <= 1e-6 * np.abs(wanted).max()
    left = np.linalg.norm(matrix @ flattened(found.vector) - b) / np.linalg.norm(b)
    assert float(found.residual) <= 1e-10
    assert left <= 1e-9
    assert bool(found.convex)


def test_negative_curvature_is_told():
    """A direction along which the loss bends down ends the search; a right side of zero is solved by zero."""
    matrix = torch.diag(torch.tensor([2.0, -1.0, 3.0]))
    target = {"w": torch.tensor([1.0, 2.0, 0.0])}
    found = conjugate_gradients(lambda u: {"w": matrix @ u["w"]}, target)
    assert not bool(found.convex)
    lifted = conjugate_gradients(lambda u: {"w": matrix @ u["w"]}, target, 2.0, floor=0.1)
    assert bool(lifted.convex)
    assert torch.allclose(lifted.vector["w"], torch.tensor([0.25, 2.0, 0.0]))
    assert not bool(conjugate_gradients(lambda u: {"w": matrix @ u["w"]}, target, 2.0, floor=0.9).convex)
    assert conjugate_gradients(lambda u: u, {"w": torch.zeros(3)}).steps == 0


def test_one_batch_as_samples():
    records = plain.samples(N, 5)
    whole, module = Terrain.of(plain.network(), records), plain.network()
    part = Terrain.of(module, Chosen(records.batch(np.arange(N), "kept", 0)))
    assert np.abs(flattened(gradient(whole)) - flattened(gradient(part))).max() <= 1e-15


def test_some_parameters_alone():
    terrain, w, X, y = one()
    head = terrain.over(list(terrain.weights)[2:])
    assert np.abs(flattened(gradient(head)) - plain.slope(w, X, y)[12:]).max() <= 1e-12


@pytest.mark.parametrize("name", ["resnet20", "small_cnn", "vit"])
def test_networks_of_images(name):
    """Convolutions and attention have gradients of single samples and products as well."""
    shape = (1, 28, 28) if name == "small_cnn" else (3, 32, 32)
    width = int(np.prod(shape))
    module = over_rows(name, shape, (width, 10))
    draw = torch.Generator().manual_seed(1)
    X, y = torch.randn((3, width), generator=draw), torch.tensor([1, 2, 3])
    terrain = Terrain.of(module, Records.of(X, y, np.arange(3, dtype=np.uint64)))
    v = gradient(terrain)
    ((found, _),) = sample_gradients(terrain)
    along = [sum(float((g[i] * v[n]).sum()) for n, g in found.items()) for i in range(3)]
    wanted = {n: sum(a * g[i] for i, a in enumerate(along)) / 3 for n, g in found.items()}
    product = fisher_product(terrain, v)
    scale = max(float(t.abs().max()) for t in wanted.values())
    assert max(float((product[n] - wanted[n]).abs().max()) for n in v) <= 1e-8 * scale
    assert all(bool(torch.isfinite(t).all()) for t in hessian_product(terrain, v).values())
