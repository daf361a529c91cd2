"""Hessian-free online unlearning (U40): traces are what their definition says, and weights come nearer by them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, TooLarge, Unsupported
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.models import watched
from expunge.models.network import Network
from expunge.models.streams import Batch
from expunge.models.watched import Traces, WatchedNetwork
from expunge.unlearners.approximate.trajectory import Trajectory

KEY = Key(bytes(range(32)), "1")
RECIPE = {"form": "plain", "optimiser": "sgd", "momentum": 0.0, "rate": 0.1, "decay": 1e-2}
HEAD = WatchedNetwork(Network(hidden=(), epochs=15, batch=16, **RECIPE))


def records(n=60, seed=0):
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n, 4)).astype(np.float32)
    names = np.array(["a", "b", "c"])[(X @ draw.normal(size=(4, 3)) + draw.normal(size=(n, 3))).argmax(axis=1)]
    return Dataset.from_vectors(X, names, ids=np.arange(n))


def deployed(learner=HEAD):
    data = records()
    return Deployment(learner, data, KEY, learner.fit(data, KEY), fit_s=0.1)


def flat(model):
    return np.concatenate([p.detach().double().numpy().ravel() for p in model.module.parameters()])


def test_golden_traces_of_linear_steps_by_hand():
    """Squared loss of a linear map, five batches, each trace recomputed in numpy."""
    draw, decay, rate, words = np.random.default_rng(3), 0.05, 0.07, np.arange(6, dtype=np.uint64) * 7 + 1
    x, y = draw.normal(size=(6, 3)), draw.normal(size=(6, 1))
    order = [np.array(rows) for rows in ([0, 3], [1, 2, 5], [4, 0], [3, 5], [2, 1, 4])]

    def trained(without=None, rate=rate):
        w = np.zeros(3)
        for rows in order:
            used = rows[rows != without] if without is not None else rows
            gradient = 2 * x[used].T @ (x[used] @ w - y[used, 0]) / len(rows)
            w = w - rate * (gradient + decay * w)
        return w

    module = nn.Linear(3, 1, bias=False).double()
    traces = Traces.of(module, words, (lambda out, goal: ((out - goal) ** 2).mean(-1), decay), [rate] * 5)
    traces.found = traces.found.double()
    with torch.no_grad():
        module.weight.zero_()
    for rows in order:
        batch = Batch(torch.from_numpy(x[rows]), torch.from_numpy(y[rows]), None, "kept", 0, words[rows])
        traces.saw(module, batch)
        w = module.weight.detach().numpy()[0]
        gradient = 2 * x[rows].T @ (x[rows] @ w - y[rows, 0]) / len(rows)
        with torch.no_grad():
            module.weight -= torch.from_numpy(rate * (gradient + decay * w))
    whole = trained()
    assert np.abs(module.weight.detach().numpy()[0] - whole).max() < 1e-12
    expected = by_hand(x, y, order, (rate, decay))
    assert np.abs(traces.found.numpy() - expected).max() < 1e-10
    small = by_hand(x, y, order, (rate / 100, decay))
    for record in range(6):  # what is left is of second order: a hundredth of the rate, a hundredth of the share
        missing = trained(record, rate / 100) - trained(None, rate / 100)
        assert np.linalg.norm(missing - small[record]) < 1e-2 * np.linalg.norm(missing)


def by_hand(x, y, order, steps):
    """Return the traces of linear squared loss from their definition: products of (I - ηH) and η∇ℓ/b."""
    rate, decay = steps
    w, found = np.zeros(3), np.zeros((len(x), 3))
    for rows in order:
        bend = 2 * x[rows].T @ x[rows] / len(rows) + decay * np.eye(3)
        found = found @ (np.eye(3) - rate * bend).T
        for row in rows:
            found[row] += rate / len(rows) * 2 * x[row] * (x[row] @ w - y[row, 0])
        gradient = 2 * x[rows].T @ (x[rows] @ w - y[rows, 0]) / len(rows)
        w = w - rate * (gradient + decay * w)
    return found


@pytest.mark.parametrize("hidden", [(), (5,)])
def test_weights_come_nearer_to_retraining(hidden):
    before = deployed(WatchedNetwork(Network(hidden=hidden, epochs=15, batch=60, **RECIPE)))
    for gone in ((3,), (1, 5, 9)):
        after = Trajectory().unlearn(before, ForgetRequest(records=gone)).after
        again = before.learner.fit(after.data, KEY)
        away = np.linalg.norm(flat(before.model.model) - flat(again.model))
        left = np.linalg.norm(flat(after.model.model) - flat(again.model))
        assert left < away
        assert after.model.traces.shape == (60 - len(gone), flat(after.model.model).size)
        assert set(after.model.ids.tolist()) == set(range(60)) - set(gone)


def test_watching_does_not_change_what_is_learnt():
    data = records()
    assert HEAD.fit(data, KEY).digest() == HEAD.network.fit(data, KEY).digest()


def test_what_it_cannot_follow_is_refused(monkeypatch):
    for wrong in ({"momentum": 0.9}, {"optimiser": "adam"}, {"dropout": 0.5, "hidden": (3,)}, {"form": "scaled"}):
        with pytest.raises(BadInput):
            WatchedNetwork(Network(**{**RECIPE, **wrong})).fit(records(), KEY)
    numbers = Dataset.from_arrays(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    with pytest.raises(BadTarget):
        HEAD.fit(numbers, KEY)
    plain = Network(hidden=(), epochs=1, **RECIPE)
    with pytest.raises(Unsupported, match="kept no traces"):
        Trajectory().promise(Deployment(plain, records(), KEY, plain.fit(records(), KEY)))
    before = deployed()
    arrays = {**before.model.state(), **before.model.memory()}
    for traces in (np.zeros((3, 3), np.float32), before.model.traces.astype(np.float64), before.model.traces * np.nan):
        with pytest.raises(StoreDamaged):
            HEAD.restore({**arrays, "secret/traces": traces}, before.data, KEY)
    monkeypatch.setattr(watched, "MOST", 10)
    with pytest.raises(TooLarge):
        HEAD.fit(records(), KEY)
