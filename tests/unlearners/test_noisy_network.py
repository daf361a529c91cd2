"""Certified noise for networks: the steps recomputed by hand, old weights drowned, what it cannot serve refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from expunge.core.accountant import Budget, Ledger
from expunge.core.archive import pack, unpack
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, Unsupported
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.core.trajectories import Clipped, output_sigma, zcdp_rho
from expunge.models.ledgered import LedgeredNetwork
from expunge.models.network import Network
from expunge.unlearners.certified import noisy_network
from expunge.unlearners.certified.noisy_finetune import NoisyFinetune
from expunge.unlearners.certified.noisy_network import NoisyNetwork, cut

LEARNER = LedgeredNetwork(Network(hidden=(4,), form="plain", epochs=2))
KEY = Key(bytes(range(32)), "1")


def records(n=24, seed=0):
    draw = np.random.default_rng(seed)
    X = draw.normal(size=(n, 2)).astype(np.float32)
    names = np.array(["a", "b", "c"])[np.arange(n) % 3]
    return Dataset.from_vectors(X, names, ids=np.arange(n))


def deployed(learner=LEARNER, key=KEY, data=None):
    data = records() if data is None else data
    return Deployment(learner, data, key, learner.fit(data, key), fit_s=0.01)


def flat(module):
    return np.concatenate([p.detach().double().numpy().ravel() for p in module.parameters()])


def by_hand(x, y, weights, steps):
    """Return a 2-4-3 perceptron after full clipped steps with decay and noise, in float64."""
    course, sigma, noises = steps
    shapes, at = [(4, 2), (4,), (3, 4), (3,)], np.cumsum([0, 8, 4, 12, 3])
    weights = weights * min(1.0, course.start / np.linalg.norm(weights))
    for noise in noises:
        w1, b1, w2, b2 = (weights[a:b].reshape(s) for a, b, s in zip(at, at[1:], shapes, strict=False))
        hidden = np.maximum(x @ w1.T + b1, 0)
        scores = hidden @ w2.T + b2
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        miss = (share / share.sum(axis=1, keepdims=True) - np.eye(3)[y]) / len(x)
        back = (miss @ w2) * (hidden > 0)
        gradient = np.concatenate([(back.T @ x).ravel(), back.sum(0), (miss.T @ hidden).ravel(), miss.sum(0)])
        gradient *= min(1.0, course.clip / np.linalg.norm(gradient))
        weights = weights - course.stride * (gradient + course.penalty * weights) + sigma * noise
    return weights


def test_golden_noisy_steps_against_numpy(monkeypatch):
    """Six records, a 2-4-3 network, two steps: cut, clip, decay outside of the clip, noise (U37)."""
    before, given = deployed(data=records(8)), np.random.default_rng(1).normal(size=(2, 27))
    monkeypatch.setattr(noisy_network, "noise", lambda key, named, like, version: given[version[1]])
    method = NoisyNetwork(start=0.5, clip=0.2, steps=2, free=0.0, stride=0.3, penalty=0.4)
    after = method.unlearn(before, ForgetRequest(records=(0, 1))).after
    course = Clipped(0.5, 0.2, 0.3, 0.4, 2)
    kept = after.data
    x, y = before.model.model.inputs(kept).double().numpy(), before.model.model.goals(kept).numpy()
    expected = by_hand(x, y, flat(before.model.model.module), (course, course.sigma(1.0, 1e-5), given))
    assert np.abs(flat(after.model.model.module) - expected).max() < 2e-4 * np.abs(expected).max()
    assert after.model.ledger.residual == pytest.approx(np.sqrt(2 * zcdp_rho(1.0, 1e-5)), rel=1e-6)


def test_golden_output_noise(monkeypatch):
    """U38: cut to C₀, and noise of 2C₀ times the analytic Gaussian's."""
    before, given = deployed(), np.random.default_rng(1).normal(size=27)
    monkeypatch.setattr(noisy_network, "noise", lambda key, named, like, version: given)
    after = NoisyNetwork(start=0.5, steps=0, free=0.0).unlearn(before, ForgetRequest(records=(0,))).after
    w = flat(before.model.model.module)
    expected = w * min(1.0, 0.5 / np.linalg.norm(w)) + output_sigma(0.5, 1.0, 1e-5) * given
    assert np.abs(flat(after.model.model.module) - expected).max() < 1e-4 * np.abs(expected).max()
    assert after.model.ledger.entries[-1].action == "output"


def test_weights_are_cut_all_together_and_the_module_before_is_left_alone():
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    before = flat(module)
    after = flat(cut(module, 0.25))
    assert 0.2499 < np.linalg.norm(after) <= 0.25
    assert np.abs(after / np.linalg.norm(after) - before / np.linalg.norm(before)).max() < 1e-6
    assert (flat(module) == before).all()
    assert (flat(cut(module, 1e9)) == before).all()


def test_noise_is_fresh_for_each_version_set_of_records_and_step():
    before, gone = deployed(), [ForgetRequest(records=(i,)) for i in range(2)]
    method = NoisyNetwork(free=0.0, steps=1, start=1e-6, clip=1e-6, epsilon=5.0, delta=1e-2)
    one, other = (flat(method.unlearn(before, g).after.model.model.module) for g in gone)
    again = flat(method.unlearn(before, gone[0]).after.model.model.module)
    more = flat(method.unlearn(method.unlearn(before, gone[0]).after, gone[1]).after.model.model.module)
    assert (one == again).all()
    vectors = np.array([one, other, more])
    assert np.abs(np.corrcoef(vectors) - np.eye(3)).max() < 0.7
    assert len(np.unique(np.round(vectors, 12))) == vectors.size


def test_what_a_network_is_not_certified_for_is_refused():
    """Refused: learnt encoders, running statistics, numbers, networks without a ledger, frozen weights."""
    with pytest.raises(BadInput, match="scaled by the records"):
        LedgeredNetwork(Network()).fit(records(), KEY)
    normed = Network.of(lambda d, k: nn.Sequential(nn.BatchNorm1d(d), nn.Linear(d, k)), "normed-1", form="plain")
    with pytest.raises(BadInput, match="running statistics"):
        LedgeredNetwork(normed).fit(records(), KEY)
    numbers = Dataset.from_arrays(np.ones((6, 2)) * np.arange(6)[:, None], np.arange(6.0))
    with pytest.raises(BadTarget, match="ruler"):
        LEARNER.fit(numbers, KEY)
    plain = Network(hidden=(4,), form="plain", epochs=1)
    with pytest.raises(Unsupported, match="keeps no ledger"):
        NoisyNetwork().promise(deployed(plain))
    with pytest.raises(Unsupported, match="no head"):
        NoisyFinetune().promise(deployed())

    def half_frozen(d, k):
        module = nn.Sequential(nn.Linear(d, 4), nn.Linear(4, k))
        module[0].weight.requires_grad = False
        return module

    frozen = LedgeredNetwork(Network.of(half_frozen, "half-frozen-1", form="plain", epochs=1))
    with pytest.raises(Unsupported, match="frozen"):
        NoisyNetwork().promise(deployed(frozen))
    for wrong in (NoisyNetwork(steps=-1), NoisyNetwork(free=-1.0), NoisyNetwork(batch=0), NoisyNetwork(start=0.0)):
        with pytest.raises(BadInput):
            wrong.promise(deployed())


def test_b8_a_smaller_epsilon_a_broken_ledger_and_a_public_key_are_not_certified():
    """B8: never unlearned, random, or certified for more than the noise gives."""
    before = deployed()
    after = NoisyNetwork(free=0.0).unlearn(before, ForgetRequest(records=(0, 1))).after
    assert after.model.certificate(Budget(1.0, 1e-5)).kind == "certified"
    for epsilon in (0.9, 0.1, 1e-6):
        with pytest.raises(Unsupported, match="would have to hide"):
            after.model.certificate(Budget(epsilon, 1e-5))
    broken = replace(after.model, ledger=Ledger(sigma=1.0))
    with pytest.raises(Unsupported, match="ledger is broken"):
        NoisyNetwork().promise(replace(after, model=broken))
    passed_off = replace(before.model, ledger=after.model.ledger)
    with pytest.raises(Unsupported, match="ledger is broken"):
        passed_off.certificate(Budget())
    public = deployed(key=Key.public(0))
    assert NoisyNetwork(free=0.0).unlearn(public, ForgetRequest(records=(0,))).guarantee.kind == "empirical"


def test_saved_models_come_back_and_changed_ones_do_not():
    plain = saved = deployed()
    for done in range(6):
        method = NoisyNetwork(free=0.0) if done % 2 else NoisyNetwork(steps=0, free=0.0)
        plain, saved = (method.unlearn(each, ForgetRequest(records=(done,))).after for each in (plain, saved))
        if done == 2:
            arrays = unpack(pack({**saved.model.state(), **saved.model.memory()}))
            saved = replace(saved, model=LEARNER.restore(arrays, saved.data, KEY))
    assert plain.model.ledger.digest() == saved.model.ledger.digest()
    assert plain.model.digest() == saved.model.digest()
    arrays = {**plain.model.state(), **plain.model.memory()}
    other = Ledger.from_bytes(plain.model.ledger.canonical()).model_copy(update={"sigma": 2.0})
    for name, value in (
        ("secret/ledger", np.frombuffer(other.canonical(), np.uint8)),
        ("secret/ledger", np.zeros(3, np.uint8)),
        ("secret/seal", np.zeros(32, np.uint8)),
    ):
        with pytest.raises(StoreDamaged):
            LEARNER.restore({**arrays, name: value}, plain.data, KEY)
    with pytest.raises(StoreDamaged):
        LEARNER.restore(arrays, plain.data, Key(bytes(range(1, 33)), "1"))


def test_torch_state_is_left_alone():
    state = torch.get_rng_state()
    NoisyNetwork(free=0.5).unlearn(deployed(), ForgetRequest(records=(0,)))
    assert (torch.get_rng_state() == state).all()
