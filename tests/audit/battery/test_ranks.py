"""Rank tests of many records at once are the textbook's, record by record; the energy test has the power it should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, mannwhitneyu, wilcoxon

from expunge.audit.battery.ranks import (
    EXACT_MODELS,
    EXACT_PAIRS,
    RankSums,
    SignedRanks,
    energy_p_values,
    rank_sum_cdf,
    rejected,
    signed_rank_cdf,
)


@pytest.mark.parametrize("n_pairs", [6, 13, 40, EXACT_PAIRS, 80])
def test_signed_ranks_are_those_of_scipy_for_every_shuffling(n_pairs):
    generator = np.random.default_rng(n_pairs)
    gaps = generator.normal(0.3, 1, (n_pairs, 20))
    swaps = generator.random((3, n_pairs)) < 0.5
    swaps[0] = False
    method = "exact" if n_pairs <= EXACT_PAIRS else "approx"
    flipped = [np.where(row[:, None], -gaps, gaps) for row in swaps]
    expected = [wilcoxon(x, axis=0, method=method, correction=True).pvalue for x in flipped]
    assert SignedRanks.of(gaps, np.ones(gaps.shape, bool)).p_values(swaps) == pytest.approx(np.array(expected))


@pytest.mark.parametrize(("a", "b"), [(4, 7), (20, 20), (28, 28), (3, 50), (40, 40)])
@pytest.mark.parametrize("ties", [False, True])
def test_rank_sums_are_those_of_scipy(a, b, ties):
    generator = np.random.default_rng(a)
    x, y = generator.normal(0.4, 1, (a, 20)), generator.normal(0, 1, (b, 20))
    x, y = (np.round(x), np.round(y)) if ties else (x, y)
    method = "exact" if a + b <= EXACT_MODELS and not ties else "asymptotic"
    both = np.concatenate([x, y])
    found = RankSums.of(both, np.ones(both.shape, bool)).p_values((np.arange(a + b) < a)[None])[0]
    assert found == pytest.approx(mannwhitneyu(x, y, axis=0, method=method).pvalue)


@given(st.integers(0, 10_000), st.booleans())
def test_each_record_has_models_of_its_own(seed, paired):
    generator = np.random.default_rng(seed)
    values, used = generator.normal(size=(24, 6)), generator.random((24, 6)) < 0.6
    if paired:
        found = SignedRanks.of(values, used).p_values(np.zeros((1, 24), bool))[0]
    else:
        first = np.arange(24) < 12
        found = RankSums.of(values, used).p_values(first[None])[0]
    for j in range(6):
        own = used[:, j]
        if paired:
            expected = wilcoxon(values[own, j], method="exact").pvalue if own.any() else 1.0
        else:
            x, y = values[own & first, j], values[own & ~first, j]
            expected = mannwhitneyu(x, y, method="exact").pvalue if len(x) and len(y) else 1.0
        assert found[j] == pytest.approx(expected)


def test_pairs_without_a_difference_are_left_out():
    gaps = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [-3.0, 0.0]])
    found = SignedRanks.of(gaps, np.ones(gaps.shape, bool)).p_values(np.zeros((1, 4), bool))[0]
    assert found == pytest.approx([wilcoxon([1.0, 2.0, -3.0], method="exact").pvalue, 1.0])


@pytest.mark.parametrize(("few", "many"), [(1, 1), (2, 5), (6, 9)])
def test_tables_are_counts_of_orders(few, many):
    """Spec-free check: brute force over every order of labels."""
    from itertools import combinations
    from math import comb

    found = np.zeros(few * many + 1)
    for chosen in combinations(range(few + many), few):
        found[sum(chosen) - few * (few - 1) // 2] += 1
    assert rank_sum_cdf(few, many) == pytest.approx(np.cumsum(found) / comb(few + many, few))
    assert signed_rank_cdf(3) == pytest.approx(np.cumsum([1, 1, 1, 2, 1, 1, 1]) / 8)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50))
def test_rejected_is_the_share_below_q_after_benjamini_and_hochberg(p_values):
    expected = np.mean(false_discovery_control(p_values) <= 0.05 * (1 + 1e-12))
    assert rejected(np.array([p_values, p_values]), 0.05).tolist() == pytest.approx([expected] * 2)


@pytest.mark.parametrize(("n", "half", "whole"), [(20, 0.316, 0.825), (50, 0.649, 0.998), (100, 0.919, 1.0)])
def test_energy_has_the_power_measured_over_two_thousand_repeats(n, half, whole):
    """M27, 5 %, shifts of half and of one standard deviation; Student's t test would have 0.34 and 0.87 at n 20."""
    generator = np.random.default_rng(n)
    for shift, golden in ((0.5, half), (1.0, whole)):
        p = energy_p_values(generator.normal(shift, 1, (n, 300)), generator.normal(0, 1, (n, 300)), generator, 99)
        assert np.mean(p <= 0.05) == pytest.approx(golden, abs=0.09)


def test_energy_sees_spread_and_keeps_its_level():
    generator = np.random.default_rng(3)
    nothing = energy_p_values(generator.normal(size=(30, 400)), generator.normal(size=(40, 400)), generator, 99)
    assert 0.02 <= np.mean(nothing <= 0.05) <= 0.08
    wide = energy_p_values(generator.normal(0, 3, (60, 50)), generator.normal(0, 1, (60, 50)), generator, 99)
    assert np.mean(wide <= 0.05) > 0.9
