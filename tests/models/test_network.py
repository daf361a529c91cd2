"""Networks: a function of the set of records, saved and read, any module of the user's, as good as a line."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402
from models.awkward import same_bits, stories  # noqa: E402

from expunge.core.archive import pack, unpack  # noqa: E402
from expunge.core.dataset import Dataset  # noqa: E402
from expunge.core.errors import BadData, BadInput, BadTarget, StoreDamaged, Unsupported  # noqa: E402
from expunge.core.seeds import Key  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.models.sharded.learner import Sharded  # noqa: E402
from expunge.models.vision import perceptron  # noqa: E402
from expunge.unlearners.exact.native import Native  # noqa: E402

TINY = Network((6,), epochs=3, batch=8)


def two_moons(n=400, seed=0, numbers=False):
    draw = np.random.Generator(np.random.PCG64(seed))
    angle, side = draw.random(n) * np.pi, draw.integers(0, 2, n)
    X = np.stack([np.cos(angle) * (1 - 2 * side) + side, np.sin(angle) * (1 - 2 * side) + side / 2], axis=1)
    X = 50 + 7 * (X + draw.normal(size=(n, 2)) / 10)
    return Dataset.from_arrays(X, X[:, 0] ** 2 if numbers else np.where(side, "up", "down"))


@settings(max_examples=10)
@given(story=stories())
def test_any_order_gives_the_same_bits(story):
    key = Key.public(2)
    first = TINY.fit(story.data, key)
    order = np.random.Generator(np.random.PCG64(1)).permutation(len(story.data))
    again = TINY.fit(story.data.take(order), key)
    same_bits(first.state(), again.state())
    restored = TINY.restore(unpack(pack(first.state())), story.data, key)
    assert np.array_equal(restored.losses(story.data), first.losses(story.data))


def test_it_learns_what_a_line_cannot():
    train, test = two_moons(), two_moons(seed=1)
    model = Network((32,), epochs=30, batch=32, rate=1e-2).fit(train, Key.public(0))
    right = np.array(model.labels)[model.logits(test).argmax(axis=1)] == np.array(model.labels)[test.target.values]
    assert right.mean() > 0.97
    told = []
    numbers = Network((32,), epochs=60, batch=32, rate=1e-2).fit(
        two_moons(numbers=True), Key.public(0), lambda *at: told.append(at)
    )
    truth = two_moons(seed=1, numbers=True)
    assert numbers.losses(truth).mean() < 0.02 * truth.target.values.var()
    assert told[-1] == (len(told), len(told))


def test_vectors():
    draw = np.random.Generator(np.random.PCG64(0))
    X = draw.integers(0, 255, (200, 12)).astype(np.uint8)
    y = np.where(X[:, :6].astype(int).sum(axis=1) > X[:, 6:].astype(int).sum(axis=1), "a", "b")
    data = Dataset.from_vectors(X, y)
    model = Network((16,), epochs=40, batch=16, rate=5e-3).fit(data, Key.public(0))
    assert (model.logits(data).argmax(axis=1) == (y == "b")).mean() > 0.95
    gone = data.ids[:5].tolist()
    sharded = Sharded(TINY, 3)
    assert sharded.fit(data, Key.public(1)).without(gone).digest() == (
        sharded.fit(data.without(gone), Key.public(1)).digest()
    )


def wide(inputs, outputs):
    return torch.nn.Sequential(torch.nn.BatchNorm1d(inputs), perceptron((inputs, 5, outputs)))


def test_a_module_of_the_users_own():
    data, key = two_moons(60), Key.public(0)
    network = Network.of(wide, epochs=3, batch=16)
    assert "test_network:wide'" in repr(network)
    model = network.fit(data, key)
    assert "weights/0.running_mean" in model.state()
    assert not model.module.training
    same_bits(network.restore(unpack(pack(model.state())), data, key).state(), model.state())
    sharded, gone = Sharded(Network.of(wide, epochs=2, batch=8), 2, n_slices=2), data.ids[7:9].tolist()
    after = sharded.fit(data, key).without(gone)
    assert after.digest() == sharded.fit(data.without(gone), key).digest()
    with pytest.raises(BadInput, match="name"):
        Network.of(lambda a, b: perceptron((a, b)))
    assert Network.of(lambda a, b: perceptron((a, b)), "line").fit(data, key).labels == ("down", "up")
    with pytest.raises(BadInput, match="given by the user"):
        Network(module="line").fit(data, key)


def test_features_are_what_the_last_layer_sees():
    data = two_moons(30)
    model = TINY.fit(data, Key.public(0))
    seen = model.features(data)
    assert seen.shape == (30, 6)
    last = model.module[-1]
    assert np.allclose(seen @ last.weight.detach().numpy().T + last.bias.detach().numpy(), model.logits(data))
    assert np.allclose(model.features(data.take(np.arange(3))), seen[:3], rtol=1e-12)
    assert model.features(data.take(np.arange(0))).shape == (0, 6)


def test_saved_weights_must_fit():
    data, key = two_moons(60), Key.public(0)
    arrays = dict(TINY.fit(data, key).state())
    with pytest.raises(StoreDamaged):
        TINY.restore({**arrays, "weights/0.weight": arrays["weights/0.weight"][:, :1]}, data, key)
    with pytest.raises(StoreDamaged):
        TINY.restore({n: a for n, a in arrays.items() if n != "weights/0.bias"}, data, key)
    with pytest.raises(StoreDamaged):
        TINY.restore(arrays, two_moons(60, numbers=True), key)


def test_bad_input():
    data, key = two_moons(40), Key.public(0)
    for wrong in ({"hidden": (0,)}, {"epochs": 0}, {"batch": True}, {"dropout": 1.0}, {"rate": 0.0}, {"decay": -1.0}):
        with pytest.raises(BadInput):
            Network(**wrong).fit(data, key)
    with pytest.raises(BadData, match="loss is"):
        Network((4,), rate=1e30, optimiser="sgd").fit(two_moons(numbers=True), key)
    with pytest.raises(BadTarget):
        TINY.fit(Dataset.from_arrays([[1.0], [2.0]]), key)
    from expunge.core.tiny import deploy

    with pytest.raises(Unsupported, match="cannot forget by itself"):
        Native().promise(deploy(TINY, data))


@pytest.mark.data
def test_on_adult_it_is_as_good_as_logistic_regression(shared_data):
    from sklearn.linear_model import LogisticRegression

    from expunge.models.encoding.table import Table

    frame = shared_data("adult").sample(8000, random_state=0)
    target = next(c for c in ("income", "class", "target") if c in frame)
    data = Dataset.from_frame(frame.reset_index(drop=True), target=target)
    key = Key.public(0)
    train, test = data.split(key, 0.25)
    model = Network((64,), epochs=5, dropout=0.2).fit(train, key)
    table = Table.of(train, key, "scaled")
    line = LogisticRegression(max_iter=2000).fit(table.encode(train), train.target.values)
    mine = (model.logits(test).argmax(axis=1) == test.target.values).mean()
    assert mine >= line.score(table.encode(test), test.target.values) - 0.005
    shares = line.predict_proba(table.encode(test))
    theirs = -np.log(shares[np.arange(len(test)), test.target.values]).mean()
    assert model.losses(test).mean() <= theirs + 0.01
