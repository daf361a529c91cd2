"""Certified heads under audit: what an auditor with white-box access claims of ε is within what was promised (M19).

The scene is `pair38`: digits 3 against 8. Forgotten are ten records with the wrong label, which pull the most.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expunge.audit.battery.epsilon import largest_bound, lower_bound
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.models.heads.langevin import LangevinLogistic
from expunge.models.heads.private import PrivateLogistic
from expunge.models.heads.stepped import SteppedLogistic
from expunge.models.logistic.learner import Logistic
from expunge.unlearners.certified.descent import Descent
from expunge.unlearners.certified.group_privacy import GroupPrivacy
from expunge.unlearners.certified.langevin import Langevin
from expunge.unlearners.certified.noisy_finetune import NoisyFinetune
from expunge.unlearners.certified.output_noise import OutputNoise
from expunge.unlearners.certified.removal import Removal
from expunge.unlearners.certified.rewind import Rewind

MODELS, GONE = 256, 10
STEPPED = SteppedLogistic(penalty=0.1, n_steps=150, rewind=60, sigma=1e-2)
SERVED = [
    (Removal(), Logistic(penalty=0.1, sigma=1e-2)),
    (Descent(), STEPPED),
    (Rewind(), STEPPED),
    (Langevin(), LangevinLogistic(penalty=0.1, sigma=1e-2, batches=2, epochs=60)),
    (NoisyFinetune(steps=10, free=5), STEPPED),
    (OutputNoise(free=5), STEPPED),
    (GroupPrivacy(refit=False), PrivateLogistic(penalty=0.1, noise=400.0, n_steps=30)),
]
IDS = [type(unlearner).__name__ for unlearner, _ in SERVED]


def pair38(n=280, seed=0):
    """Return digits 3 and 8, the first ten with the wrong label."""
    from sklearn.datasets import load_digits

    X, y = load_digits(return_X_y=True)
    X, y = X[(y == 3) | (y == 8)] / 16, y[(y == 3) | (y == 8)]
    order = np.random.default_rng(seed).permutation(len(y))[:n]
    names = np.where(y[order] == 3, "three", "eight")
    names[:GONE] = np.where(names[:GONE] == "three", "eight", "three")
    return Dataset.from_vectors(X[order].astype(np.float32), names, ids=np.arange(n))


def weights_of(model):
    return model.weights.ravel()


def after_retraining(unlearner, deployment, ids):
    """Return retrained weights; of a method that compares with retraining and its own noise, after both."""
    data = deployment.data.without(ids)
    model = deployment.learner.fit(data, deployment.key)
    if not isinstance(unlearner, NoisyFinetune | OutputNoise):
        return model
    again = Deployment(deployment.learner, data, deployment.key, model, fit_s=0.01)
    parting = again.model.parted([])
    return unlearner.turned(model, parting, unlearner_budget(unlearner))


def unlearner_budget(unlearner):
    from expunge.core.accountant import Budget

    return Budget(unlearner.epsilon, unlearner.delta)


def pools(unlearner, learner, n_models):
    """Return weights before, after, and of retraining, each of models with keys of their own."""
    data = pair38()
    gone, found = data.ids[:GONE].tolist(), {"before": [], "after": [], "reference": []}
    for number in range(n_models):
        keys = [Key(bytes([side + 1, number % 256, number // 256, *range(29)]), "audit") for side in range(2)]
        before = Deployment(learner, data, keys[0], learner.fit(data, keys[0]), fit_s=0.01)
        after = unlearner.unlearn(before, ForgetRequest(records=tuple(gone))).after
        other = Deployment(learner, data, keys[1], before.model, fit_s=0.01)
        found["before"].append(weights_of(before.model))
        found["after"].append(weights_of(after.model))
        found["reference"].append(weights_of(after_retraining(unlearner, other, gone)))
    return {name: np.array(rows) for name, rows in found.items()}


def bound(arm, reference):
    """Return the best bound of two attacks along what the first halves say, each at half of 5 %."""
    half = len(arm) // 2
    gap = arm[:half].mean(axis=0) - reference[:half].mean(axis=0)
    spread = (arm[:half].var(axis=0) + reference[:half].var(axis=0)) / 2 + 1e-12
    directions = (gap, gap / spread)
    return max(lower_bound(arm @ d, reference @ d, alpha=0.025).epsilon for d in directions)


@pytest.mark.slow
@pytest.mark.parametrize(("unlearner", "learner"), SERVED, ids=IDS)
def test_no_auditor_claims_more_than_was_promised(unlearner, learner):
    """V4: ε_LB of unlearned against retrained models is at most ε."""
    found = pools(unlearner, learner, MODELS)
    assert bound(found["after"], found["reference"]) <= unlearner.epsilon


@pytest.mark.slow
def test_the_auditor_does_find_what_was_never_unlearned():
    """The positive control: the models of before, which hide nothing, contradict any such promise."""
    found = pools(Descent(), replace(STEPPED, sigma=1e-3), MODELS)
    assert bound(found["before"], found["reference"]) > 3 > Descent().epsilon
    assert largest_bound(MODELS, alpha=0.025) > 3
