"""DeltaGrad and the trail it walks: three steps by hand, the secant, exact steps ≡ retraining, near it otherwise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate import plain  # noqa: E402
from unlearners.approximate.worlds import data  # noqa: E402

from expunge.core.deployment import Deployment  # noqa: E402
from expunge.core.errors import BadData, BadInput, TooLarge, Unsupported  # noqa: E402
from expunge.core.request import ForgetRequest  # noqa: E402
from expunge.core.seeds import Key  # noqa: E402
from expunge.models import trailed  # noqa: E402
from expunge.models.descent import Meter, Pace, Watch  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.models.trailed import Trail, TrailedNetwork  # noqa: E402
from expunge.unlearners.approximate import deltagrad  # noqa: E402
from expunge.unlearners.approximate.deltagrad import DeltaGrad, bent, remember  # noqa: E402

LEARNER = TrailedNetwork()
HIDDEN = TrailedNetwork(replace(LEARNER.network, hidden=(8,), epochs=40))


def world(learner=LEARNER, n=90):
    whole, key = data(n), Key.public("trail")
    return Deployment(learner, whole, key, learner.fit(whole, key), fit_s=1.0)


def weights(model):
    return torch.cat([p.detach().flatten().double() for p in model.model.module.parameters()])


def retrained(deployment, ids):
    return deployment.learner.fit(deployment.data.without(ids), deployment.key)


def test_the_trail_is_that_of_the_same_network_without_one():
    deployment = world(HIDDEN)
    model, network = deployment.model, HIDDEN.network
    assert model.digest() == network.fit(deployment.data, deployment.key).digest()
    steps = model.weights[:-1] - network.rate * (model.slopes[:-1] + network.decay * model.weights[:-1])
    assert np.abs(steps - model.weights[1:]).max() < 1e-6
    assert model.weights.shape == model.slopes.shape == (40, weights(model).numel())


def test_three_steps_by_hand():
    """U31: two exact steps and one from the slope kept, in numpy float64, with decay."""
    scene, w = plain.scene(), plain.theta(plain.network())
    (X, y), (Xf, yf) = (plain.arrays(next(iter(part.blocks()))) for part in (scene.kept, scene.forgotten))
    whole = np.concatenate([X, Xf]), np.concatenate([y, yf])
    kept_at = [w, w + 0.01 * np.sin(np.arange(27)), w - 0.02 * np.cos(np.arange(27))]
    slopes = [plain.slope(v, *whole) for v in kept_at]
    trail = Trail(torch.from_numpy(np.stack(kept_at)), torch.from_numpy(np.stack(slopes)))
    pairs, here, wanted = [], w + 0.05, []
    for step in range(3):
        off, gone = here - kept_at[step], 2 * plain.slope(here, Xf, yf)
        if step < 2:
            full = plain.slope(here, *whole)
            pairs.append((off, full - slopes[step]))
        else:
            full = slopes[step] + matrix(pairs) @ off
        wanted.append((6 * full - gone) / 4)
        here = here - 0.3 * (wanted[-1] + 0.1 * here)
    assert all(s @ y > 0 for s, y in pairs)
    first = plain.network()
    with torch.no_grad():
        for p in first.parameters():
            p.add_(0.05)
    sides = tuple(next(iter(part.blocks())) for part in (scene.kept, scene.forgotten))
    meter = Meter()
    pace = Pace("sgd", 0.3, decay=0.1)
    after, walked = DeltaGrad(first=1, every=5).walked(first, sides, trail, pace, Watch(meter))
    assert np.abs(plain.theta(after) - here).max() <= 1e-10
    assert np.abs(walked.slopes.numpy() - np.stack(wanted)).max() <= 1e-10
    assert (meter.backward, meter.steps) == (6 + 6 + 2, 3)


def matrix(pairs):
    """Return the L-BFGS matrix by the textbook's rank-two updates, from σ of the last difference."""
    s, y = pairs[-1]
    B = (s @ y) / (s @ s) * np.eye(len(s))
    for s, y in pairs:
        Bs = B @ s
        B = B - np.outer(Bs, Bs) / (s @ Bs) + np.outer(y, y) / (y @ s)
    return B


def test_the_last_difference_is_met():
    """The secant: B s = y of the last pair; the compact form is the one by rank-two updates."""
    draw = np.random.Generator(np.random.PCG64(1))
    A = draw.normal(size=(9, 9))
    A = A @ A.T + np.eye(9)
    pairs = [(s, A @ s) for s in draw.normal(size=(3, 9))]
    tensors = [(torch.from_numpy(s), torch.from_numpy(y)) for s, y in pairs]
    for n in (1, 2, 3):
        B = matrix(pairs[:n])
        for v in np.eye(9):
            assert np.abs(bent(tensors[:n], torch.from_numpy(v)).numpy() - B @ v).max() < 1e-10
        assert np.abs(bent(tensors[:n], tensors[n - 1][0]).numpy() - pairs[n - 1][1]).max() < 1e-10


def test_differences_of_no_positive_curvature_are_not_kept():
    pairs = []
    s = torch.ones(3)
    for y in (s, -s, 0 * s, 2 * s, 3 * s):
        remember(pairs, (s, y), 2)
    remember(pairs, (0 * s, s), 2)
    assert [float(y[0]) for _, y in pairs] == [2.0, 3.0]


@pytest.mark.parametrize("learner", [LEARNER, HIDDEN], ids=["convex", "hidden"])
def test_exact_steps_are_a_retraining(learner):
    """With every step exact the walk is that of a fit without the records, but for rounding."""
    deployment = world(learner)
    ids = deployment.data.ids.tolist()[5:50:5]
    after = DeltaGrad(every=1).unlearn(deployment, ForgetRequest(records=tuple(ids))).after.model
    reference = retrained(deployment, ids)
    assert float((weights(after) - weights(reference)).abs().max()) < 1e-5
    assert np.abs(after.slopes - reference.slopes).max() < 1e-5
    assert float((weights(deployment.model) - weights(reference)).abs().max()) > 1e-2


@pytest.mark.parametrize(("learner", "left"), [(LEARNER, 1 / 40), (HIDDEN, 1 / 5)], ids=["convex", "hidden"])
def test_most_steps_from_the_trail_come_near(learner, left):
    """Two requests, less than half of the gradients: a 70th of the distance is left where the loss is convex, a ninth
    where it is not."""
    deployment = world(learner)
    ids = deployment.data.ids.tolist()[5:50:5]
    at = deployment
    for some in (ids[:5], ids[5:]):
        outcome = DeltaGrad().unlearn(at, ForgetRequest(records=tuple(some)))
        at = outcome.after
        assert outcome.cost.backward < 0.5 * learner.network.epochs * len(at.data)
    reference = retrained(deployment, ids)
    before = float((weights(deployment.model) - weights(reference)).norm())
    assert float((weights(at.model) - weights(reference)).norm()) < before * left


def test_steps_too_long_for_the_curvature_do_not_blow_up(monkeypatch):
    """Above 2 / the largest curvature foretold slopes carry the walk off: a step twice as far from the trail as the
    last exact one is exact, and the walk stays where training goes (though nearer to the retrained it is not)."""
    deployment = world(TrailedNetwork(replace(HIDDEN.network, rate=2.0, epochs=100)))
    request = ForgetRequest(records=tuple(deployment.data.ids.tolist()[5:50:3]))
    outcome = DeltaGrad().unlearn(deployment, request)
    assert float((weights(outcome.after.model) - weights(deployment.model)).norm()) < 10
    monkeypatch.setattr(deltagrad, "REACH", np.inf)
    with pytest.raises(BadData, match="the loss is inf"):
        DeltaGrad().unlearn(deployment, request)


def test_the_cost_is_foretold():
    deployment = world()
    request = ForgetRequest(records=tuple(deployment.data.ids.tolist()[:9]))
    told, outcome = DeltaGrad().predict_cost(deployment, request), DeltaGrad().unlearn(deployment, request)
    assert outcome.cost.backward == 20 * 90 + 40 * 9
    assert told.seconds == pytest.approx(outcome.cost.backward / (60 * 90))
    untimed = DeltaGrad().predict_cost(replace(deployment, fit_s=None), request)
    assert untimed.seconds is None
    assert DeltaGrad().predict_cost(deployment, ForgetRequest()).seconds == 0


def test_what_cannot_be_walked_is_said(monkeypatch):
    deployment = world()
    with pytest.raises(BadInput, match="1 or more"):
        DeltaGrad(every=0).unlearn(deployment, ForgetRequest(records=(deployment.data.ids.tolist()[0],)))
    bare = LEARNER.network.fit(deployment.data, deployment.key)
    with pytest.raises(Unsupported, match="no trail"):
        DeltaGrad().promise(replace(deployment, model=bare))
    for change in ({"batch": 16}, {"momentum": 0.9}, {"form": "scaled"}, {"optimiser": "adam"}):
        with pytest.raises(BadInput):
            TrailedNetwork(replace(LEARNER.network, **change)).fit(deployment.data, deployment.key)
    monkeypatch.setattr(trailed, "MOST", 100)
    with pytest.raises(TooLarge, match="at most 100"):
        LEARNER.fit(deployment.data, deployment.key)
    assert isinstance(LEARNER.network, Network)
