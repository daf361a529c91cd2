"""Intervals over owners: equal to the textbook where it speaks, covering the truth where it is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from expunge.audit import clustered
from expunge.core import estimates
from expunge.core.errors import BadInput


def drawn(seed, m=40, n=160, shift=0.5, per_owner=1):
    generator = np.random.default_rng(seed)
    scores = np.concatenate([generator.normal(shift, 1, m), generator.normal(0, 1, n)])
    return scores, np.arange(m + n) < m, np.arange(m + n) // per_owner


@given(st.integers(0, 10_000), st.integers(2, 60), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_a_mean_over_owners_is_that_of_core(seed, n, per_owner):
    values, owners = np.random.default_rng(seed).normal(size=n), np.arange(n) // per_owner
    if len(np.unique(owners)) < 2:
        with pytest.raises(BadInput):
            clustered.mean(values).interval(owners)
        return
    assert clustered.mean(values).interval(owners) == pytest.approx(estimates.clustered_mean(values, owners))


@given(st.integers(0, 10_000), st.booleans())
@settings(max_examples=50, deadline=None)
def test_auc_equals_pair_counting_and_influences_sum_to_zero(seed, ties):
    scores, positive, _ = drawn(seed, 7, 13)
    scores = np.round(scores) if ties else scores
    pairs = scores[positive][:, None] - scores[~positive][None]
    found = clustered.auc(scores, positive)
    assert found.value == pytest.approx(float((pairs > 0).mean() + (pairs == 0).mean() / 2))
    assert abs(found.influence.sum()) < 1e-12


def test_auc_interval_of_independent_records_is_delongs():
    scores, positive, owners = drawn(3, 400, 900)
    ours = clustered.auc_interval(clustered.auc(scores, positive), positive, owners)
    assert ours == pytest.approx(estimates.auc(scores[positive], scores[~positive]), abs=5e-4)


@pytest.mark.parametrize(("m", "per_owner", "shift"), [(6, 1, 0.0), (12, 1, 0.5), (30, 3, 0.5)])
def test_auc_interval_covers_the_truth(m, per_owner, shift):
    """M owners with dependent records each; 95 % intervals hold the true AUC in 90 % of 300 draws or more."""
    generator = np.random.default_rng(m)
    truth, hits = float(norm.cdf(shift / np.sqrt(2))), 0

    def side(owners, mu):
        own = np.repeat(generator.normal(size=owners) * np.sqrt(0.5), per_owner)
        return own + generator.normal(size=owners * per_owner) * np.sqrt(0.5) + mu

    for _ in range(300):
        scores = np.concatenate([side(m, shift), side(200, 0.0)])
        positive = np.arange(len(scores)) < m * per_owner
        owners = np.arange(len(scores)) // per_owner
        found = clustered.auc_interval(clustered.auc(scores, positive), positive, owners)
        hits += found.low <= truth <= found.high
    assert hits >= 275


def test_complete_separation_claims_no_certainty():
    scores, positive = np.array([5.0, 6, 7, 1, 2, 3, 0]), np.arange(7) < 3
    found = clustered.auc_interval(clustered.auc(scores, positive), positive, np.arange(7))
    assert found.value == 1 == found.high
    assert found.low < 0.4


def test_few_owners_widen_the_interval_and_one_owner_falls_back_to_records():
    scores, positive, _ = drawn(5, 12, 400)
    auc = clustered.auc(scores, positive)
    records = np.arange(412)
    three, one = records.copy(), records.copy()
    three[:12], one[:12] = -1 - records[:12] // 4, -1
    as_records = clustered.auc_interval(auc, positive, records)
    assert clustered.auc_interval(auc, positive, one) == as_records
    wide = clustered.auc_interval(auc, positive, three)
    assert wide.value == as_records.value
    assert clustered.n_units(one[:12]) == 12
    assert clustered.n_units(three[:12]) == 3


def test_a_paired_difference_is_tighter_than_either_arm():
    scores, positive, owners = drawn(7, 100, 400)
    other = scores + np.random.default_rng(1).normal(0, 0.05, len(scores))
    first, second = clustered.auc(scores, positive), clustered.auc(other, positive)
    own = clustered.auc_interval(first, positive, owners)
    paired = clustered.auc_interval(first.minus(second), positive, owners, like=own)
    assert paired.low <= 0 <= paired.high
    assert paired.high - paired.low < 0.2 * (own.high - own.low)
    nothing = clustered.auc_interval(first.minus(first), positive, owners, like=own)
    assert nothing.high == pytest.approx((own.high - own.low) / 2)


def test_r2_and_its_interval():
    generator = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        target = generator.normal(0, 2, 300)
        errors = generator.normal(0, 1, 300) ** 2
        found = clustered.explained(errors, target).interval(np.arange(300), (-np.inf, 1.0))
        assert found.value == pytest.approx(1 - errors.sum() / ((target - target.mean()) ** 2).sum())
        hits += found.low <= 0.75 <= found.high
    assert hits >= 180
    with pytest.raises(BadInput):
        clustered.explained(np.ones(3), np.ones(3))


def test_shares():
    everyone = clustered.share(np.ones(12), np.arange(12) // 3)
    assert (everyone.value, everyone.high) == (1, 1)
    assert everyone.low == pytest.approx(0.025 ** (1 / 4))
    alone = clustered.share(np.array([1.0, 0, 1, 1]), np.zeros(4))
    assert alone == estimates.proportion(3, 4)
