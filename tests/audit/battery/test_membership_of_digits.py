"""All membership measures on real pools: ridge regressions of random features of digits that memorise noisy labels."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name
from sklearn.datasets import load_digits

from expunge.audit.battery import iam, legacy_attacks, population, portfolio, rmia, ruli, ulira
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Pool, Pools

N_MODELS, N_DRAWN, N_POPULATION = 40, 420, 180
FILES = (ulira, rmia, population, iam, ruli, portfolio, legacy_attacks)


def outputs(X, y, members, seed):
    """Logits of every record by a ridge regression of 300 random ReLU features on some of them."""
    generator = np.random.default_rng(seed)
    Z = np.maximum(X @ generator.normal(size=(X.shape[1], 300)) / 8, 0)
    A = Z[members]
    weights = np.linalg.solve(A.T @ A + 0.3 * np.eye(300), A.T @ (np.eye(10)[y[members]] - 0.1))
    return (8 * Z @ weights).astype(np.float32)


@cache
def digits():
    """Before, a perfect retraining, half of the way, and the reference; 30 % of labels are noise."""
    generator = np.random.default_rng(0)
    X, y = load_digits(return_X_y=True)
    chosen = generator.permutation(len(y))[: N_DRAWN + N_POPULATION]
    X, y = X[chosen] / 16, y[chosen]
    y = np.where(generator.random(len(y)) < 0.3, generator.integers(0, 10, len(y)), y)
    member = generator.random((N_MODELS, len(y))) < 0.5
    roles = np.where(member & (generator.random(member.shape) < 0.2), FORGOTTEN, np.where(member, KEPT, NEVER))
    roles[:, N_DRAWN:] = POPULATION
    roles = roles.astype(np.uint8)
    held = {"before": (roles == KEPT) | (roles == FORGOTTEN), "retrained": roles == KEPT, "reference": roles == KEPT}
    made = {
        name: np.array([outputs(X, y, rows[i], 1_000 * k + i) for i in range(N_MODELS)])
        for k, (name, rows) in enumerate(held.items())
    }
    made["half"] = (made["before"] + made["retrained"]) / 2
    return roles, y.astype(np.int64), made


def measured(after):
    roles, y, made = digits()
    worlds = {"before": "before", "after": after, "reference": "reference"}
    pools = tuple(Pool(world, roles, y, np.arange(N_MODELS), logits=made[name]) for world, name in worlds.items())
    whole = Pools(tuple(map(str, range(len(y)))), y, 10, pools)
    return by_name([e for file in FILES for e in file.measure(whole, POLICY)])


@pytest.fixture(scope="module")
def found():
    return {after: measured(after) for after in ("before", "half", "retrained")}


def excess(found, after, name):
    return found[after][f"membership.{name}_excess@after"]


LEAKS = ("ulira_auc", "lira_online_auc", "rmia_auc", "ruli_leakage_auc", "ruli_efficacy_auc", "portfolio_auc")


@pytest.mark.parametrize("name", [*LEAKS, "population_auc", "ulira_tpr_1pct"])
def test_nothing_done_is_residue_half_is_less_and_retraining_is_none(found, name):
    nothing, half, none = (excess(found, after, name) for after in ("before", "half", "retrained"))
    assert nothing.low > 0
    assert nothing.p_value < 1e-3
    assert nothing.value > half.value > none.value
    assert none.low <= 0 <= none.high
    assert nothing.value == pytest.approx(found["half"][f"membership.{name}_excess@before"].value)


def test_records_compared_with_themselves_tell_more_than_one_threshold(found):
    assert excess(found, "before", "ulira_auc").value > excess(found, "before", "population_auc").high


def test_iam_runs_from_a_half_to_the_references_value(found):
    areas = [found[after]["membership.iam_auc@after"].value for after in ("before", "half", "retrained")]
    assert areas[0] == pytest.approx(0.5, abs=0.03)
    assert areas == sorted(areas)
    assert excess(found, "before", "iam_auc").high < 0
    complete = [found[after]["membership.iam_completeness@after"] for after in ("before", "half", "retrained")]
    assert complete[0].value == 0
    assert 0.1 < complete[1].value < 0.9
    assert complete[2].low <= 1 <= complete[2].high


def test_legacy_forms_stand_beside_their_reference(found):
    at = found["retrained"]["membership.svc_confidence_legacy@after"]
    assert at.null.value == found["retrained"]["membership.svc_confidence_legacy@reference"].value
    assert excess(found, "before", "svc_confidence").high < 0


def test_names_are_the_same_whatever_is_audited(found):
    assert list(found["before"]) == list(found["half"]) == list(found["retrained"])
    assert {e.status for e in found["half"].values()} == {"measured"}


def test_signals_alone_give_the_same_as_logits(found):
    """Section 9: a bundle of φ is as good as live models for measures of φ."""
    roles, y, made = digits()
    pools = [
        Pool(world, roles, y, np.arange(N_MODELS), logits=made[name])
        for world, name in (("before", "before"), ("after", "half"), ("reference", "reference"))
    ]
    bare = tuple(replace(p, logits=None, given=p.phi) for p in pools)
    again = by_name(ulira.measure(Pools(tuple(map(str, range(len(y)))), y, 10, bare), POLICY))
    assert all(found["half"][name] == e for name, e in again.items())
