"""Utility of pools (M01): means of models, excess in pairs, the worst part beside its null."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of, with_logits
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import t

from expunge.audit.battery import accuracy
from expunge.audit.battery.accuracy import by_model, members
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Pool, Pools
from expunge.core.errors import BadInput


def answers(correct, roles, world, pairs=None, truth=None):
    """A pool of two classes that is right where `correct` says."""
    truth = np.zeros(roles.shape[1], np.int64) if truth is None else truth
    top = np.where(np.asarray(correct, bool), truth, 1 - truth)
    return Pool(world, roles, truth, np.arange(len(roles)) if pairs is None else pairs, top=top)


def audit(after, reference, roles, truth=None, **more):
    pools = (answers(after, roles, "after", truth=truth), answers(reference, roles, "reference", truth=truth))
    return Pools(tuple(map(str, range(roles.shape[1]))), pools[0].truth, 2, pools, **more)


def right(shape, chance, seed):
    return np.random.default_rng(seed).random(shape) < chance


def measured(pools, policy=POLICY):
    return by_name(accuracy.measure(pools, policy))


ROLES = np.tile(np.repeat(np.array([NEVER, KEPT, FORGOTTEN, POPULATION], np.uint8), (20, 60, 20, 100)), (12, 1))


def test_excess_is_the_mean_difference_of_pairs_with_a_t_interval():
    after, reference = right(ROLES.shape, 0.7, 0), right(ROLES.shape, 0.8, 1)
    found = measured(audit(after, reference, ROLES))
    for group, role in (("kept", KEPT), ("forgotten", FORGOTTEN), ("holdout", POPULATION)):
        where = ROLES[0] == role
        gaps = after[:, where].mean(axis=1) - reference[:, where].mean(axis=1)
        excess = found[f"utility.{group}_accuracy_excess@after"]
        low, high = t.interval(0.95, 11, gaps.mean(), gaps.std(ddof=1) / np.sqrt(12))
        assert (excess.value, excess.low, excess.high) == pytest.approx((gaps.mean(), low, high))
        assert (excess.n, excess.n_models) == (where.sum(), 12)
    assert found["utility.holdout_accuracy_excess@after"].p_value < 0.01
    assert found["utility.forgotten_accuracy_excess@after"].p_value > 0.9, "being worse on the forgotten is no residue"


def test_the_holdout_is_the_population_or_else_those_never_learnt():
    pool = answers(right(ROLES.shape, 0.5, 0), ROLES, "after")
    assert members(pool, "holdout")[0].sum() == 100
    none = np.where(ROLES == POPULATION, KEPT, ROLES).astype(np.uint8)
    assert members(replace(pool, roles=none), "holdout")[0].sum() == 20


def test_loss_is_the_cross_entropy_from_phi_or_logits_alike():
    pools = with_logits(pools_of(6, 120))
    pool = pools.need("after")
    expected = -np.log(softmax(np.asarray(pool.logits, np.float64), axis=2))
    expected = np.take_along_axis(expected, np.broadcast_to(pool.truth[:, None], (*pool.roles.shape, 1)), 2)[..., 0]
    kept = by_model(expected, pool.has(KEPT)).mean()
    assert measured(pools)["utility.kept_loss@after"].value == pytest.approx(kept)
    signals = measured(pools_of(6, 120))
    assert signals["utility.kept_loss@after"].value == pytest.approx(kept, abs=1e-5)
    assert "only φ was given" in signals["utility.kept_accuracy@after"].note


def test_perfect_forgetting_costs_nothing_and_random_answers_cost_much():
    """A control of the audit: a random network fails utility."""
    same = right(ROLES.shape, 0.8, 0)
    found = measured(audit(same, same, ROLES))
    for name in ("utility.kept_accuracy_excess@after", "utility.holdout_worst_class_excess@after"):
        assert (found[name].value, found[name].low, found[name].high) == (0.0, 0.0, 0.0)
    random = measured(audit(right(ROLES.shape, 0.5, 2), same, ROLES))
    assert random["utility.holdout_accuracy_excess@after"].high < -0.1
    assert random["utility.kept_accuracy_excess@after"].p_value < 1e-6


def test_models_that_differ_on_records_but_not_in_number_are_not_taken_for_equal():
    after = np.ones((12, 200), bool)
    reference = after.copy()
    after[:, 100], reference[:, 101] = False, False
    excess = measured(audit(after, reference, ROLES))["utility.holdout_accuracy_excess@after"]
    assert excess.value == 0
    assert (excess.low, excess.high) == (-0.01, 0.01)
    assert excess.power is None


def test_the_worst_class_is_found_and_chance_alone_is_not_blamed():
    """The lowest of ten noisy excesses is low by chance: less the mean of its null it is zero on average."""
    truth = np.arange(200) % 2
    values, found_low = [], 0
    for seed in range(60):
        after, reference = right(ROLES.shape, 0.8, seed), right(ROLES.shape, 0.8, 1000 + seed)
        groups = {str(g): np.arange(200) % 10 == g for g in range(10)}
        found = measured(audit(after, reference, ROLES, truth=truth, subgroups=groups))
        worst = found["utility.holdout_worst_group_excess@after"]
        values.append(worst.value)
        found_low += worst.p_value <= 0.05
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(60)
    assert found_low <= 8

    after = right(ROLES.shape, 0.8, 0)
    after[:, np.arange(200) % 10 == 3] = False
    worst = measured(audit(after, right(ROLES.shape, 0.8, 1), ROLES, truth=truth, subgroups=groups))
    assert worst["utility.holdout_worst_group_excess@after"].high < -0.5
    assert worst["utility.holdout_accuracy_group_3_excess@after"].value < -0.6


def test_pools_that_share_no_members_are_compared_by_the_references_spread():
    after, reference = right(ROLES.shape, 0.8, 0), right(ROLES.shape, 0.8, 1)
    pools = audit(after, reference, ROLES)
    apart = replace(pools, pools=(replace(pools.pools[0], pairs=np.arange(12) + 50), pools.pools[1]))
    excess = measured(apart)["utility.holdout_accuracy_excess@after"]
    where = ROLES[0] == POPULATION
    per = reference[:, where].mean(axis=1)
    assert excess.value == pytest.approx(after[:, where].mean() - reference[:, where].mean())
    others = (per.sum() - per) / 11
    half = t.ppf(0.975, 11) * (per - others).std(ddof=1) * np.sqrt(1 / 12 + 1 / 12)
    assert excess.high - excess.value == pytest.approx(half)
    assert "normal-assumed" in excess.estimator
    assert measured(apart)["utility.holdout_worst_class_excess@after"].status == "not_measured"


@pytest.mark.parametrize("n_models", [1, 2])
def test_one_or_two_models_have_a_level_but_no_excess(n_models):
    found = measured(audit(right((n_models, 200), 0.8, 0), right((n_models, 200), 0.8, 1), ROLES[:n_models]))
    level = found["utility.holdout_accuracy@after"]
    assert level.low < level.value < level.high
    assert found["utility.holdout_accuracy_excess@after"].status == "not_measured"


def test_missing_groups_and_pools_are_said():
    roles = np.full((4, 30), KEPT, np.uint8)
    found = measured(audit(np.ones((4, 30)), np.ones((4, 30)), roles))
    assert "no such record" in found["utility.forgotten_accuracy@after"].note
    assert found["utility.kept_accuracy@before"].note == "there is no pool of models before"
    assert found["utility.kept_accuracy@after"].high == 1.0
    assert found["utility.kept_accuracy@after"].low < 1.0


@given(st.integers(0, 1000))
def test_a_mean_over_records_is_that_of_numpy(seed):
    generator = np.random.default_rng(seed)
    scores, where = generator.random((5, 9)), generator.random((5, 9)) < 0.5
    if not where.any(axis=1).all():
        with pytest.raises(BadInput, match="no such record"):
            by_model(scores, where)
        return
    assert by_model(scores, where) == pytest.approx([row[mask].mean() for row, mask in zip(scores, where, strict=True)])
