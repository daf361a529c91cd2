"""Likeness of pools (M23, M24): each model against all references but its partner, beside its partner doing so too."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of, with_logits
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.battery import likeness
from expunge.audit.battery.likeness import KINDS, agreements, beside, squares
from expunge.audit.pools import FORGOTTEN, KEPT, Pool

AGREEMENT, PHI, LOGIT = KINDS


def measured(pools):
    return by_name(likeness.measure(pools, POLICY))


def arrays(seed, m=4, j=5, n=11):
    generator = np.random.default_rng(seed)
    signal = generator.normal(size=(m, n)) * 3 + 100, generator.normal(size=(j, n)) * 3 + 100
    masks = generator.random((m, n)) < 0.6, generator.random((j, n)) < 0.6
    return *signal, *masks


@given(st.integers(0, 10_000))
def test_sums_are_those_of_a_plain_loop(seed):
    a, b, used, alike = arrays(seed)
    found, votes = squares([a], [b], used, alike), agreements(a.astype(int) % 3, b.astype(int) % 3, used, alike)
    for i in range(len(a)):
        for j in range(len(b)):
            both = used[i] & alike[j]
            assert found.sums[i, j] == pytest.approx(((a[i] - b[j])[both] ** 2).sum(), abs=1e-9)
            assert votes.sums[i, j] == (a.astype(int)[i] % 3 == b.astype(int)[j] % 3)[both].sum()
            assert found.counts[i, j] == votes.counts[i, j] == both.sum()


def test_phi_rmse_on_forgotten_records_by_hand():
    """Model i, records that it forgot, all references but its partner that were trained without the record."""
    pools = pools_of(6, 200, left=1.0)
    after, reference = pools.need("after"), pools.need("reference")
    ours, theirs = [], []
    for i in range(6):
        for to, phi in ((ours, after.phi), (theirs, reference.phi)):
            squared = [
                (phi[i, x] - reference.phi[j, x]) ** 2
                for x in np.flatnonzero(after.roles[i] == FORGOTTEN)
                for j in range(6)
                if j != i and reference.roles[j, x] != KEPT
            ]
            to.append(np.sqrt(np.mean(squared)))
    found = measured(pools)
    assert found["likeness.phi_rmse_forgotten@after"].value == pytest.approx(np.mean(ours))
    assert found["likeness.phi_rmse_forgotten_excess@after"].value == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert found["likeness.phi_rmse_forgotten@after"].null.value == pytest.approx(np.median(theirs))


def test_completeness_by_hand():
    pools = with_logits(pools_of(5, 90))
    after, reference = pools.need("after"), pools.need("reference")
    each = []
    for i in range(5):
        same = [
            after.predicted[i, x] == reference.predicted[j, x]
            for x in np.flatnonzero(after.roles[i] == KEPT)
            for j in range(5)
            if j != i and reference.roles[j, x] == KEPT
        ]
        each.append(np.mean(same))
    assert measured(pools)["likeness.agreement_kept@after"].value == pytest.approx(np.mean(each))


def test_what_is_left_is_seen_and_nothing_is_where_nothing_is():
    found = measured(with_logits(pools_of(32, 300, left=2.0)))
    assert found["likeness.phi_rmse_forgotten_excess@after"].low > 0.3
    assert found["likeness.phi_rmse_forgotten_excess@after"].p_value < 0.001
    assert found["likeness.phi_rmse_kept_excess@after"].p_value > 0.01
    assert found["likeness.phi_rmse_forgotten_excess@before"].low > 0.3
    nothing = measured(pools_of(32, 300, left=0.0))["likeness.phi_rmse_forgotten_excess@after"]
    assert nothing.low < 0 < nothing.high
    assert nothing.null.low < 0 < nothing.null.high


def test_a_retrained_model_is_no_nearer_than_another():
    """Spec: the null is g(R_j; the others): the value of a retrained model is not zero, and its excess is."""
    pools = pools_of(24, 200)
    found = measured(pools.judging(pools.need("reference")))
    assert found["likeness.phi_rmse_holdout@after"].value > 1.0
    excess = found["likeness.phi_rmse_holdout_excess@after"]
    assert (excess.value, excess.low, excess.high) == (0.0, 0.0, 0.0)


def test_logits_are_compared_without_what_softmax_ignores():
    pools = with_logits(pools_of(6, 80, left=1.0))
    after = pools.need("after")
    shifted = replace(after, logits=after.logits + np.float32(7))
    found = measured(pools)["likeness.logit_rmse_forgotten@after"]
    assert measured(pools.judging(shifted))["likeness.logit_rmse_forgotten@after"].value == pytest.approx(
        found.value, rel=1e-5
    )


def test_pools_that_share_nothing_get_the_t_form():
    pools = pools_of(16, 200, left=2.0)
    apart = replace(pools.need("after"), pairs=np.arange(16) + 100)
    excess = measured(pools.judging(apart))["likeness.phi_rmse_forgotten_excess@after"]
    assert "normal-assumed" in excess.estimator
    assert excess.low > 0
    found, _ = beside(pools.judging(apart), "forgotten", PHI, "after")
    assert found.estimates(8)[2].form == "normal-assumed"


def test_what_the_answers_do_not_give_is_said():
    found = measured(pools_of(6, 80))
    assert "only φ was given" in found["likeness.agreement_holdout@after"].note
    assert "needs logits" in found["likeness.logit_rmse_holdout_excess@after"].note
    few = pools_of(2, 80)
    assert "takes 3" in measured(few)["likeness.phi_rmse_kept@after"].note


def test_models_without_forgotten_records_are_left_out_and_those_without_partners_are_said():
    pools = pools_of(6, 200, left=1.0)
    roles = pools.need("after").roles.copy()
    roles[0] = np.where(roles[0] == FORGOTTEN, KEPT, roles[0])
    cut = replace(pools, pools=tuple(replace(p, roles=roles) for p in pools.pools))
    five = replace(pools, pools=tuple(replace(p, roles=roles).take(np.arange(1, 6)) for p in pools.pools))
    name = "likeness.phi_rmse_forgotten_excess@after"
    assert measured(cut)[name].value == measured(five)[name].value
    lonely = np.full((4, 40), KEPT, np.uint8)
    lonely[np.arange(4), np.arange(4)] = FORGOTTEN
    few = pools_of(4, 40)
    alone = replace(few, pools=tuple(Pool(p.world, lonely, p.truth, p.pairs, given=p.phi) for p in few.pools))
    assert "another model's reference" in measured(alone)[name].note
