"""Fisher noise, tangent, influence and Newton steps, computed again from dense matrices in numpy float64."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate import plain  # noqa: E402

from expunge.core.errors import BadData, BadInput, Unsupported  # noqa: E402
from expunge.models.streams import Records  # noqa: E402
from expunge.unlearners.approximate import tangent  # noqa: E402
from expunge.unlearners.approximate.fisher import Fisher  # noqa: E402
from expunge.unlearners.approximate.influence import Influence  # noqa: E402
from expunge.unlearners.approximate.newton import Newton  # noqa: E402
from expunge.unlearners.approximate.tangent import Tangent  # noqa: E402
from expunge.unlearners.scene import Scene  # noqa: E402

HEAD = slice(12, 27)


def agree(module, w, within=1e-10):
    assert np.abs(plain.theta(module) - w).max() <= within


def sides(scene):
    """Return inputs and classes of the kept, and of the forgotten records."""
    return [plain.arrays(next(iter(part.blocks()))) for part in (scene.kept, scene.forgotten)]


def noise(scene):
    """Return the normal numbers that U09 draws, a weight each."""
    draw = scene.generator("fisher")
    return np.concatenate(
        [torch.randn(p.shape, generator=draw, dtype=torch.float64).numpy().ravel() for p in scene.module.parameters()]
    )


def spread(F, alpha=1e-4):
    """Return σ of U09 from the diagonal F."""
    body, head = np.minimum(1 / (F[:12] + 1e-8), 1e3), np.minimum(1 / (F[12:] + 1e-8), 1e2)
    variance = alpha * np.concatenate([body, head])
    variance[:8] = np.repeat(variance[:8].reshape(4, 2).mean(1), 2)
    variance[12:24] = np.repeat(variance[12:24].reshape(3, 4).mean(1), 4)
    variance[8:] *= 10  # vectors, and the head
    return np.sqrt(variance)


def test_fisher():
    """U09: one draw of noise, its variance from E Σ_y p(y|x)(∂ loss)² of the kept records, one by one."""
    scene = plain.scene()
    w, (X, _) = plain.theta(scene.module), sides(scene)[0]
    p = plain.shares(plain.outputs(w, X))
    F = sum((p[:, [c]] * plain.slopes(w, X, np.full(4, c)) ** 2).mean(0) for c in range(3))
    agree(Fisher(alpha=1e-4).change(scene), w + spread(F) * noise(scene))


def test_fisher_with_the_classes_that_are_there():
    scene = plain.scene()
    w, kept = plain.theta(scene.module), sides(scene)[0]
    F = (plain.slopes(w, *kept) ** 2).mean(0)
    agree(Fisher(alpha=1e-4, importance="data").change(scene), w + spread(F) * noise(scene))


def test_fisher_of_batches_is_another():
    """B11: the public form squares the gradient of a batch's mean: it depends on the batch size, ours does not."""
    scene = plain.scene(kept=6)
    w, stream = plain.theta(scene.module), scene.stream("kept", 1, 2)
    F = np.zeros(27)
    for batch in stream:
        X = batch.x.numpy()
        p = plain.shares(plain.outputs(w, X))
        F += sum(plain.slope(w, X, np.full(2, c), p[:, c] / 2) ** 2 for c in range(3)) / 3
    legacy = [Fisher(alpha=1e-4, importance="batch", batch=size).change(scene) for size in (2, 3)]
    agree(legacy[0], w + spread(F) * noise(scene))
    assert np.abs(plain.theta(legacy[0]) - plain.theta(legacy[1])).max() > 1e-4
    ours = [Fisher(alpha=1e-4, batch=size).change(scene) for size in (2, 3)]
    assert plain.theta(ours[0]).tobytes() == plain.theta(ours[1]).tobytes()
    with pytest.raises(BadInput, match="importance"):
        Fisher(importance="mean").change(scene)


@pytest.mark.parametrize(("kept", "blocks"), [(4, 1), (30, 1), (4, None), (30, None)])
def test_tangent(kept, blocks):
    """U10: both sides of the linear system (weights, or records and classes), of the head and of all weights."""
    scene = plain.scene(kept=kept)
    w, chosen = plain.theta(scene.module), HEAD if blocks else slice(0, 27)

    def solution(X, y):
        n = len(y)
        G = np.stack([plain.back(w, X[i : i + 1], plain.EYE[[c]])[chosen] for i in range(n) for c in range(3)], axis=1)
        r = (plain.outputs(w, X) - plain.EYE[y]).ravel()
        return -G @ np.linalg.solve(G.T @ G + n * 0.1 * np.eye(3 * n), r)

    (X, y), (Xf, yf) = sides(scene)
    w_after = w.copy()
    w_after[chosen] += 0.5 * (solution(X, y) - solution(np.concatenate([X, Xf]), np.concatenate([y, yf])))
    agree(Tangent(blocks=blocks, scale=0.5).change(scene), w_after)


def test_tangent_is_exact_for_a_linear_network():
    """U10: a linear network that has learnt least squares steps to the least squares of the kept records."""
    draw = np.random.Generator(np.random.PCG64(4))
    X, y, m = draw.normal(size=(12, 2)), draw.normal(size=(12, 1)), 4
    A = np.concatenate([X, np.ones((12, 1))], axis=1)
    whole, kept = np.linalg.lstsq(A, y)[0][:, 0], np.linalg.lstsq(A[m:], y[m:])[0][:, 0]
    module = torch.nn.Sequential(torch.nn.Linear(2, 1)).double()
    with torch.no_grad():
        module[0].weight.copy_(torch.from_numpy(whole[None, :2]))
        module[0].bias.copy_(torch.from_numpy(whole[2:]))
    records = Records.of(torch.from_numpy(X), torch.from_numpy(y), np.arange(12, dtype=np.uint64))
    forgotten, others = (records.take(np.arange(12)[s]) for s in (slice(0, m), slice(m, 12)))
    scene = Scene(module, forgotten, others, outputs=1, task="numbers")
    agree(Tangent(decay=1e-12).change(scene), kept)
    assert np.abs(whole - kept).max() > 0.1


def test_tangent_says_what_is_too_large(monkeypatch):
    monkeypatch.setattr(tangent, "LARGEST", 10)
    with pytest.raises(Unsupported, match="too many to solve"):
        Tangent(blocks=None).change(plain.scene())
    with pytest.raises(BadInput, match="blocks"):
        Tangent(blocks=0).change(plain.scene())


def pull(w, kept, forgotten):
    """Return v of U11."""
    n, m = len(kept[1]) + len(forgotten[1]), len(forgotten[1])
    return m / n * (plain.slope(w, *forgotten) - plain.slope(w, *kept))


@pytest.mark.parametrize("damping", [1e-1, 1e-2, 1e-4])
def test_influence(damping):
    """U11 against a dense solve (B16): v as the formula has it, F of the kept records."""
    scene = plain.scene(kept=9)
    w, (kept, forgotten) = plain.theta(scene.module), sides(scene)
    G = plain.slopes(w, *kept)
    step = np.linalg.solve(G.T @ G / 9 + damping * np.eye(27), pull(w, kept, forgotten))
    method = Influence(alpha=0.2, damping=damping, tolerance=1e-13)
    assert np.abs(plain.theta(method.change(scene)) - w - 0.2 * step).max() <= 1e-10
    n = 11
    direct = plain.slope(w, *forgotten) * 2 / n - 2 / (n * 9) * plain.slopes(w, *kept).sum(0)
    assert np.abs(direct - pull(w, kept, forgotten)).max() <= 1e-14


def test_the_public_recursion_is_no_inverse_fisher_product():
    """B16: the recursion as it was read is `legacy`; it is far from F⁻¹v, which ours is to 1e-6."""
    scene = plain.scene(kept=9)
    w, (kept, forgotten) = plain.theta(scene.module), sides(scene)
    v = pull(w, kept, forgotten)
    k, o = v, None
    for g in plain.slopes(w, *plain.arrays(next(iter(scene.stream("kept", 1, 1000))))):
        if o is None:
            o = g
            continue
        k, o = k - (k @ g) / (1000 + o @ g) * o, o - (o @ g) / (1000 + o @ g) * o
    agree(Influence(legacy=True).change(scene), w + 0.2 * k)
    G = plain.slopes(w, *kept)
    for damping in (1.0, 1e-1, 1e-2):
        wanted = np.linalg.solve(G.T @ G / 9 + damping * np.eye(27), v)
        ours = (plain.theta(Influence(damping=damping, tolerance=1e-10).change(scene)) - w) / 0.2
        assert np.abs(ours - wanted).max() <= 1e-6 * np.abs(wanted).max()
        assert np.abs(k - wanted).max() > 0.05 * np.abs(wanted).max()


def test_newton():
    """U12 against a dense Hessian, with as much γ as makes it convex."""
    scene = plain.scene(kept=9)
    w, (kept, forgotten) = plain.theta(scene.module), sides(scene)
    g, H = plain.slope(w, *forgotten) * 2 / 9, plain.hessian(w, *kept)
    wanted = np.linalg.solve(H + 1.0 * np.eye(27), g)
    agree(Newton(gamma=1.0, tolerance=1e-13).change(scene), w + wanted)


def test_newton_raises_gamma_where_the_loss_is_not_convex():
    """A network's Hessian is indefinite: where too little curvature is met γ is ten times as large, and the step
    small; conjugate gradients that go on regardless blow up."""
    scene = plain.scene(kept=9, module=plain.network(21))
    w, (kept, forgotten) = plain.theta(scene.module), sides(scene)
    g, H = plain.slope(w, *forgotten) * 2 / 9, plain.hessian(w, *kept)
    least = -np.linalg.eigvalsh(H)[0]
    assert least > 0
    after = plain.theta(Newton(gamma=least, tolerance=1e-13).change(scene))
    found = [np.abs(after - w - np.linalg.solve(H + least * 10**t * np.eye(27), g)).max() for t in range(4)]
    assert min(found[1:]) <= 1e-9
    assert np.linalg.norm(after - w) < np.linalg.norm(np.linalg.solve(H + least * 1.001 * np.eye(27), g))


def test_newton_by_a_series():
    """The Neumann series over batches: two terms by hand; many of them come near the solution; or it is said."""
    scene = plain.scene(kept=9)
    w, (kept, forgotten) = plain.theta(scene.module), sides(scene)
    g = plain.slope(w, *forgotten) * 2 / 9
    found = g
    for batch, _ in zip(scene.stream("kept", 1, 4), range(2), strict=False):
        found = found + g - (plain.hessian(w, *plain.arrays(batch)) @ found + 0.5 * found) / 10
    agree(Newton(gamma=0.5, solver="series", n_steps=2, scale=10.0, batch=4).change(scene), w + found / 10)
    many = Newton(gamma=1.0, solver="series", n_steps=300, scale=5.0, batch=9).change(scene)
    wanted = np.linalg.solve(plain.hessian(w, *kept) + np.eye(27), g)
    agree(many, w + wanted, 1e-8)
    with pytest.raises(BadData, match="grows without bound"):
        Newton(gamma=1.0, solver="series", n_steps=150, scale=1e-3, batch=9).change(scene)
    with pytest.raises(BadInput, match="solver"):
        Newton(solver="exact").change(scene)
