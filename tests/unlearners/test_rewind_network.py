"""Rewinding of networks (U35): the end of training anew, by the recipe; certifies nothing."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, Unsupported
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.models.checkpointed import CheckpointedNetwork
from expunge.models.network import Network
from expunge.unlearners.approximate.rewind import RewindNetwork
from expunge.unlearners.certified.rewind import Rewind

KEY = Key(bytes(range(32)), "1")
RECIPE = {"hidden": (5,), "form": "plain", "optimiser": "sgd", "momentum": 0.0, "rate": 0.1, "batch": 16, "epochs": 12}
LEARNER = CheckpointedNetwork(Network(**RECIPE), rewind=8)


def records(n=60):
    draw = np.random.default_rng(0)
    X = draw.normal(size=(n, 4)).astype(np.float32)
    names = np.array(["a", "b", "c"])[(X @ draw.normal(size=(4, 3)) + draw.normal(size=(n, 3))).argmax(axis=1)]
    return Dataset.from_vectors(X, names, ids=np.arange(n))


def deployed(learner=LEARNER):
    return Deployment(learner, records(), KEY, learner.fit(records(), KEY), fit_s=1.2)


def flat(module):
    return np.concatenate([p.detach().double().numpy().ravel() for p in module.parameters()])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "steps"])
def test_the_last_epochs_on_all_records_give_the_model_to_rounding(schedule):
    learner = CheckpointedNetwork(Network(**RECIPE, schedule=schedule), rewind=8)
    before = deployed(learner)
    assert np.abs(flat(learner.again(before.model, before.data, KEY)) - flat(before.model.model.module)).max() < 1e-6
    assert np.abs(flat(before.model.then) - flat(before.model.model.module)).max() > 1e-3
    assert before.model.digest() == learner.network.fit(before.data, KEY).digest()


def test_weights_come_nearer_to_retraining_the_further_back_it_goes():
    left = []
    for rewind in (1, 6, 11):
        learner = CheckpointedNetwork(Network(**{**RECIPE, "batch": 60, "rate": 0.5}), rewind=rewind)
        before = deployed(learner)
        after = RewindNetwork().unlearn(before, ForgetRequest(records=tuple(range(12)))).after
        again = learner.fit(after.data, KEY)
        away = np.linalg.norm(flat(before.model.model.module) - flat(again.model.module))
        left.append(np.linalg.norm(flat(after.model.model.module) - flat(again.model.module)) / away)
    assert left[2] < left[1] < left[0] < 1


def test_noise_is_seeded_and_certifies_nothing():
    before, request = deployed(), ForgetRequest(records=(1, 2))
    one, other = (RewindNetwork(0.1).unlearn(before, request) for _ in range(2))
    plain = RewindNetwork().unlearn(before, request)
    assert one.guarantee.kind == "empirical"
    assert one.after.model.digest() == other.after.model.digest()
    apart = flat(one.after.model.model.module) - flat(plain.after.model.model.module)
    assert 0.05 < apart.std() < 0.2
    assert RewindNetwork().predict_cost(before, request).seconds == pytest.approx(1.2 * 8 / 12, rel=0.1)


def test_what_cannot_be_gone_back_over_is_refused():
    for wrong in ({"momentum": 0.9}, {"optimiser": "adam"}, {"dropout": 0.5}, {"form": "scaled"}):
        with pytest.raises(BadInput):
            CheckpointedNetwork(Network(**{**RECIPE, **wrong}), rewind=2).fit(records(), KEY)
    for rewind in (0, 12, 1.5, True):
        with pytest.raises(BadInput):
            CheckpointedNetwork(Network(**RECIPE), rewind=rewind).fit(records(), KEY)
    numbers = Dataset.from_arrays(np.arange(12.0).reshape(6, 2), np.arange(6.0))
    with pytest.raises(BadTarget):
        LEARNER.fit(numbers, KEY)
    before = deployed()
    with pytest.raises(Unsupported):
        Rewind().promise(before)
    with pytest.raises(BadInput):
        RewindNetwork(-1.0).promise(before)
    plain = Network(**RECIPE)
    with pytest.raises(Unsupported, match="no weights to go back to"):
        RewindNetwork().promise(Deployment(plain, records(), KEY, plain.fit(records(), KEY)))
    arrays = {**before.model.state(), **before.model.memory()}
    name = next(n for n in arrays if n.startswith("secret/"))
    with pytest.raises(StoreDamaged):
        LEARNER.restore({n: a for n, a in arrays.items() if n != name}, before.data, KEY)
