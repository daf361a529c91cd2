"""The reference probe (scene `stack`): population attacks are blind, U-LiRA sees, fine-tuning forgets nothing (K03)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.datasets import load_digits  # noqa: E402

from expunge.audit.battery.run import run  # noqa: E402
from expunge.audit.scene import scene  # noqa: E402
from expunge.audit.worlds import Making, Numbers, pools_of  # noqa: E402
from expunge.core.dataset import Dataset  # noqa: E402
from expunge.core.policy import AuditPolicy  # noqa: E402
from expunge.core.seeds import Key  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.unlearners.approximate.finetune import Finetune  # noqa: E402

LEARNER = Network((128,), epochs=60, batch=64, optimiser="sgd", rate=0.05, form="plain")
TUNED = Finetune(epochs=6, rate=0.02, decay=0.0)


@cache
def found(seed, n_models):
    """The evidence of one audit: 15 % of the digits' labels replaced, 297 records in no model."""
    X, y = load_digits(return_X_y=True)
    draw = np.random.default_rng(seed)
    told = np.where(draw.random(len(y)) < 0.15, draw.integers(0, 10, len(y)), y)
    data = Dataset.from_vectors((X / 16).astype(np.float32), told.astype(str))
    data = replace(data, classes=tuple("0123456789"))
    drawn = scene(data, LEARNER, Key.public(seed), n_population=297)
    pools = pools_of(drawn, {"ft": TUNED}, Numbers(n_models, n_models, second=False), Making(vectorise=True))["ft"]
    evidence = run(pools, AuditPolicy(legacy=False), ("ulira", "population", "accuracy", "likeness"))
    return {e.name: e for e in evidence}


def check(found, wide):
    """The reference order, with as much slack as so many models need."""
    auc = {arm: found[f"membership.ulira_auc@{arm}"].value for arm in ("before", "after", "reference")}
    population = found["membership.population_auc@before"].value
    assert auc["before"] - population >= 0.08 - wide
    assert abs(auc["after"] - auc["before"]) <= 0.03
    assert abs(auc["reference"] - 0.5) <= 0.02 + wide
    assert found["membership.ulira_auc_excess@after"].low > 0.05
    assert found["membership.ulira_auc_excess@before"].low > 0.05


def test_population_attacks_are_blind_and_ulira_sees():
    check(found(0, 32), wide=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_reference_figures(seed):
    """128 x 3 models: U-LiRA .705, .696, .501; TPR at 1 % .148, .135, .010; population .581, .572, .507."""
    evidence = found(seed, 128)
    check(evidence, wide=0.0)
    for arm, auc, tpr in (("before", 0.705, 0.148), ("after", 0.696, 0.135), ("reference", 0.501, 0.010)):
        assert abs(evidence[f"membership.ulira_auc@{arm}"].value - auc) <= 0.02
        assert abs(evidence[f"membership.ulira_tpr_1pct@{arm}"].value - tpr) <= 0.03
