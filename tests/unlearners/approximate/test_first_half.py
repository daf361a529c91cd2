"""What U04–U12, U18 and U22 promise alike: before is sacred, counted passes, the same bits, a stack is its networks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from unlearners.approximate import plain  # noqa: E402

from expunge.core.conformance.watch import changed, portrait, quiet_globals  # noqa: E402
from expunge.core.dataset import Dataset  # noqa: E402
from expunge.core.deployment import Deployment  # noqa: E402
from expunge.core.errors import Unsupported  # noqa: E402
from expunge.core.request import ForgetRequest  # noqa: E402
from expunge.core.seeds import Key  # noqa: E402
from expunge.models.modules import recalibrated, seeded  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.models.streams import Records  # noqa: E402
from expunge.models.vision import perceptron  # noqa: E402
from expunge.unlearners.approximate.ascent import Ascent  # noqa: E402
from expunge.unlearners.approximate.boundary import Boundary  # noqa: E402
from expunge.unlearners.approximate.finetune import Finetune  # noqa: E402
from expunge.unlearners.approximate.fisher import Fisher  # noqa: E402
from expunge.unlearners.approximate.influence import Influence  # noqa: E402
from expunge.unlearners.approximate.last_layers import LastLayers  # noqa: E402
from expunge.unlearners.approximate.lipschitz import Lipschitz  # noqa: E402
from expunge.unlearners.approximate.negative_plus import NegativePlus  # noqa: E402
from expunge.unlearners.approximate.newton import Newton  # noqa: E402
from expunge.unlearners.approximate.relabel import Relabel  # noqa: E402
from expunge.unlearners.approximate.tangent import Tangent  # noqa: E402
from expunge.unlearners.scene import Scene  # noqa: E402

METHODS = [
    Finetune(epochs=2, batch=16),
    Finetune.starter(),
    Ascent(batch=5),
    Ascent.deepunlearn(),
    NegativePlus(epochs=3, rate=0.05, batch=8),
    Relabel(epochs=2, batch=16),
    Relabel(epochs=2, rate=0.01, labels="wrong", once=True, batch=7),
    LastLayers(epochs=2, batch=16),
    LastLayers(k=0, epochs=2, batch=16),
    LastLayers.eu(0),
    Fisher(alpha=1e-4),
    Fisher(alpha=1e-4, importance="batch", batch=16),
    Tangent(),
    Influence(samples=20),
    Influence(samples=20, legacy=True),
    Newton(),
    Newton(solver="series", n_steps=10, batch=16),
    Boundary(rate=0.01, batch=6),
    Boundary(form="expand", rate=0.01, batch=6),
    Lipschitz(samples=3, batch=6),
]
NUMBERS = [m for m in METHODS if not isinstance(m, Relabel | Fisher | Boundary)]
STACKED = [m for m in METHODS if m.stacks and m not in (LastLayers.eu(0), METHODS[-2])]
LEARNER = Network((8,), epochs=6, batch=16, optimiser="sgd", rate=0.1, form="plain")


def records(numbers=False):
    draw = np.random.Generator(np.random.PCG64(9))
    y = np.arange(80) % 3
    X = (draw.normal(size=(80, 5)) + 1.5 * np.eye(5)[y]).astype(np.float32)
    if numbers:
        return Dataset.from_vectors(X, X.sum(axis=1) + draw.normal(size=80))
    return replace(Dataset.from_vectors(X, y.astype(str)), classes=("0", "1", "2"))


@cache
def world(numbers=False):
    """Return a deployment of 70 records, and a request for eleven of them."""
    data = records(numbers)
    kept, holdout = data.take(np.arange(70)), data.take(np.arange(70, 80))
    key = Key.public("first half")
    deployment = Deployment(LEARNER, kept, key, LEARNER.fit(kept, key), holdout, fit_s=1.0)
    return deployment, ForgetRequest(records=tuple(kept.ids[3:69:6].tolist()))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.module.parameters()])


def methods(given):
    return pytest.mark.parametrize("method", given, ids=[repr(m)[:70] for m in given])


@methods(METHODS)
def test_a_request(method):
    deployment, request = world()
    before = portrait(deployment)
    with quiet_globals("unlearn"):
        outcome = method.unlearn(deployment, request)
    assert not changed(before, deployment)
    assert outcome.after.data.id_set == deployment.data.id_set - set(request.records)
    assert outcome.cost.backward == method.passes(59, 11)
    assert outcome.cost.forward >= outcome.cost.backward
    assert not torch.equal(weights(outcome.after.model), weights(deployment.model))
    assert torch.equal(weights(method.unlearn(deployment, request).after.model), weights(outcome.after.model))
    assert outcome.guarantee.kind == "empirical"
    assert method.predict_cost(deployment, request).seconds == pytest.approx(method.passes(59, 11) / (6 * 70))


@methods(METHODS)
def test_an_empty_request_is_the_identity(method):
    deployment, _ = world()
    outcome = method.unlearn(deployment, ForgetRequest())
    assert outcome.after.model.digest() == deployment.model.digest()
    assert not outcome.cost.backward


@methods(NUMBERS)
def test_targets_of_numbers(method):
    deployment, request = world(numbers=True)
    outcome = method.unlearn(deployment, request)
    assert not torch.equal(weights(outcome.after.model), weights(deployment.model))
    assert bool(torch.isfinite(weights(outcome.after.model)).all())


@methods([m for m in METHODS if m not in NUMBERS])
def test_methods_of_classes_say_so(method):
    with pytest.raises(Unsupported, match="classes"):
        method.promise(world(numbers=True)[0])


@methods(STACKED)
def test_many_are_one_by_one(method):
    """Networks of a stack, of different records and numbers of them, come out as each by itself."""
    data, draw = records(), np.random.Generator(np.random.PCG64(3))
    members = draw.random((4, 80)) < 0.7
    forgotten = members & (draw.random((4, 80)) < 0.2)
    keys = [Key.public(f"network {i}") for i in range(4)]
    stack = LEARNER.fit_many(data, members, keys)
    found = method.unlearn_many(stack, data, (forgotten, members & ~forgotten), keys).models()
    for i, key in enumerate(keys):
        deployment = Deployment(LEARNER, data.take(members[i]), key, stack.models()[i])
        request = ForgetRequest(records=tuple(data.ids[forgotten[i]].tolist()))
        alone = weights(method.unlearn(deployment, request).after.model)
        assert float((weights(found[i]) - alone).abs().max()) <= 1e-6


@methods([m for m in METHODS if not m.stacks])
def test_others_say_that_they_treat_one_at_a_time(method):
    with pytest.raises(Unsupported, match="one network at a time"):
        method.unlearn_many(
            LEARNER.fit_many(records(), np.ones((1, 80), bool), [Key.public("k")]), records(), ([], []), []
        )


@methods(METHODS)
def test_what_is_needed_is_what_is_read(method):
    """B4: a method that names the forgotten records as its own gives another network for others; the rest do not."""
    whole = plain.samples(30, 2)
    kept, sides = whole.take(np.arange(10, 30)), (whole.take(np.arange(5)), whole.take(np.arange(5, 10)))
    fresh = {"outputs": 3, "seed": 7, "fresh": lambda purpose: plain.network(11)}
    found = [plain.theta(method.change(Scene(plain.network(), side, kept, **fresh))) for side in sides]
    assert (found[0] != found[1]).any() == ("forgotten" in method.needs)


@methods([Ascent(), NegativePlus(epochs=2), Relabel(epochs=1), Boundary(rate=0.01), Lipschitz(samples=2)])
def test_running_statistics_are_those_of_the_kept(method):
    """Spec 2.3: ascent leaves normalisers as they are, and afterwards they hold the kept records' statistics alone."""
    with seeded(2):
        layers = perceptron((5, 8, 3))
    module = torch.nn.Sequential(layers[0], torch.nn.BatchNorm1d(8), layers[1], layers[2])
    draw = np.random.Generator(np.random.PCG64(1))
    X, y = torch.from_numpy(draw.normal(size=(40, 5)).astype(np.float32)), torch.arange(40) % 3
    whole = Records.of(X, y, np.arange(40, dtype=np.uint64))
    forgotten, kept = whole.take(np.arange(8)), whole.take(np.arange(8, 40))
    after = method.change(Scene(module, forgotten, kept, outputs=3))
    again = recalibrated(after, [X[8:]])
    assert not torch.equal(after[0].weight, module[0].weight)
    assert torch.equal(after[1].running_mean, again[1].running_mean)
    assert torch.equal(module[1].running_mean, torch.zeros(8))
