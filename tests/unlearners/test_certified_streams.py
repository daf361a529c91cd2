"""Streams of certified deletions: 200 one by one, with a restart half-way, end with one ledger and one model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expunge.core.accountant import Budget
from expunge.core.archive import pack, unpack
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.models.heads.langevin import LangevinLogistic
from expunge.models.heads.private import PrivateLogistic
from expunge.models.heads.stepped import SteppedLogistic
from expunge.unlearners.certified.descent import Descent
from expunge.unlearners.certified.group_privacy import GroupPrivacy
from expunge.unlearners.certified.langevin import Langevin
from expunge.unlearners.certified.noisy_finetune import NoisyFinetune
from expunge.unlearners.certified.output_noise import OutputNoise
from expunge.unlearners.certified.rewind import Rewind

STEPPED = SteppedLogistic(penalty=0.5, n_steps=60, rewind=40, sigma=1e-2)
SERVED = [
    (Descent(), STEPPED),
    (Rewind(), STEPPED),
    (Langevin(), LangevinLogistic(penalty=0.5, epochs=40, batches=1)),
    (NoisyFinetune(free=5), STEPPED),
    (OutputNoise(free=5), STEPPED),
    (GroupPrivacy(), PrivateLogistic(penalty=0.1, n_steps=10, noise=2000.0)),
]
IDS = [type(unlearner).__name__ for unlearner, _ in SERVED]


def deployed(learner):
    draw = np.random.Generator(np.random.PCG64(3))
    X = draw.normal(size=(300, 2))
    data = Dataset.from_arrays(X, np.where(X[:, 0] + draw.normal(size=300) > 0, "yes", "no"))
    key = Key(bytes([5] * 32), "7")
    return Deployment(learner, data, key, learner.fit(data, key), fit_s=0.01)


@pytest.mark.parametrize(("unlearner", "learner"), SERVED, ids=IDS)
def test_a_stream_of_200_deletions_survives_a_restart(unlearner, learner):
    """One of the two is saved as bytes half-way and read back."""
    plain = saved = deployed(learner)
    for done in range(200):
        request = ForgetRequest(records=(int(plain.data.ids[0]),))
        plain, saved = (unlearner.unlearn(each, request).after for each in (plain, saved))
        if done == 99:
            arrays = unpack(pack({**saved.model.state(), **saved.model.memory()}))
            saved = replace(saved, model=learner.restore(arrays, saved.data, saved.key))
    assert plain.model.ledger.digest() == saved.model.ledger.digest()
    assert plain.model.digest() == saved.model.digest()
    assert [e.forgotten for e in plain.model.ledger.entries] == [0] + [1] * 200
    assert [e.kept for e in plain.model.ledger.entries] == list(range(300, 99, -1))
    assert plain.model.certificate(Budget()).epsilon == 1.0
