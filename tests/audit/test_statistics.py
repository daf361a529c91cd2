"""Intervals and tests over models: equal to the textbook where it speaks, and refusing what they cannot answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, nct, norm, t, ttest_1samp

from expunge.audit import statistics
from expunge.audit.statistics import Estimate, jackknife, over_seeds
from expunge.core import estimates
from expunge.core.errors import BadInput

VALUES = st.lists(st.floats(-50, 50), min_size=4, max_size=40)


# -- jackknife --------------------------------------------------------------------------------------------------------


@given(VALUES)
def test_the_jackknife_of_a_mean_leaving_one_out_is_the_textbook_error(values):
    x = np.array(values)
    found = jackknife(len(x), len(x), lambda kept: float(x[kept].mean()))
    expected = over_seeds(x)
    assert found.se == pytest.approx(expected.se, rel=1e-9, abs=1e-9)
    assert (found.value, found.degrees, found.n) == pytest.approx((expected.value, expected.degrees, expected.n))


def test_equal_blocks_give_the_plain_formula_and_seven_degrees():
    x = np.random.default_rng(0).normal(size=32)
    without = np.array([np.delete(x, np.arange(b, 32, 8)).mean() for b in range(8)])
    found = jackknife(32, 8, lambda kept: float(x[kept].mean()))
    assert found.se == pytest.approx(np.sqrt(7 / 8 * ((without - without.mean()) ** 2).sum()))
    assert found.degrees == 7
    assert found.interval() == pytest.approx((x.mean(), *t.interval(0.95, 7, x.mean(), found.se), 32))


def test_unequal_blocks_are_weighted_by_their_size():
    """30 models in 8 blocks of 3 or 4: the mean squared error agrees with the truth over many draws."""
    generator = np.random.default_rng(1)
    squares = []
    for _ in range(400):
        x = generator.normal(size=30)
        squares.append(jackknife(30, 8, lambda kept, x=x: float(x[kept].mean())).se ** 2)
    assert np.mean(squares) == pytest.approx(1 / 30, rel=0.08)


def test_blocks_part_the_models():
    parts = statistics.blocks(30, 8)
    assert sorted(np.concatenate(parts).tolist()) == list(range(30))
    assert len(statistics.blocks(5, 8)) == 5


@pytest.mark.parametrize(("n_models", "n_blocks"), [(2, 8), (32, 2), (0, 8)])
def test_too_few_models_or_blocks_are_refused(n_models, n_blocks):
    with pytest.raises(BadInput, match="3 blocks of models or more"):
        jackknife(n_models, n_blocks, lambda kept: 0.0)


def test_a_measure_that_is_not_finite_is_refused():
    with pytest.raises(BadInput, match="not finite"):
        jackknife(8, 8, lambda kept: float("nan") if 3 not in kept else 1.0)


def test_a_statistic_that_no_block_moves_has_no_error_and_no_certainty():
    found = jackknife(32, 8, lambda kept: 0.1 + 0.2)
    assert found.se == 0
    assert found.interval()[:3] == (found.value, found.value, found.value)
    assert found.p_value("higher") == 0.5**8
    assert found.p_value("lower") == 1.0
    assert found.minus(found.value).p_value("both") == 1.0


# -- p-values, power --------------------------------------------------------------------------------------------------


@given(VALUES.filter(lambda v: np.std(v) > 1e-3), st.sampled_from(["higher", "lower", "both"]))
def test_p_values_of_means_are_those_of_the_t_test(values, harmful):
    side = {"higher": "greater", "lower": "less", "both": "two-sided"}[harmful]
    assert over_seeds(values).p_value(harmful) == pytest.approx(ttest_1samp(values, 0, alternative=side).pvalue)


def test_a_margin_is_what_is_accepted_on_the_harmful_side():
    found = Estimate(0.06, 0.01, 7, 32)
    assert found.p_value("higher", 0.05) == pytest.approx(t.sf(1, 7))
    assert found.p_value("lower", 0.05) == pytest.approx(t.sf(-11, 7))
    assert Estimate(-0.06, 0.01, 7, 32).p_value("lower", 0.05) == pytest.approx(t.sf(1, 7))


@pytest.mark.parametrize("degrees", [2, 7, 31, 127])
def test_the_detectable_effect_is_found_with_eighty_percent(degrees):
    effect = Estimate(0.0, 1.0, degrees, 32).detectable()
    assert nct.sf(t.ppf(0.95, degrees), degrees, effect) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize(
    ("n", "golden"), [(50, 0.144), (100, 0.102), (200, 0.072), (500, 0.045), (1000, 0.032), (5000, 0.014)]
)
def test_power_of_an_auc_is_the_spec_table(n, golden):
    """Spec section 7, n a side; the standard error under no effect, one-sided 5 %."""
    se = np.sqrt((2 * n + 1) / (12 * n * n))
    assert Estimate(0.0, se, 1e9, 2 * n).detectable() == pytest.approx(golden, abs=5e-4)
    assert estimates.detectable_auc(n, n) == pytest.approx(golden, abs=5e-4)


def test_equivalence_needs_a_standard_error_of_the_margin_over_293():
    found = Estimate(0.0, 0.05 / 2.9264, 1e9, 600)
    assert found.models_for_equivalence(0.05) == pytest.approx(600, abs=1)
    se = np.sqrt((2 * 600 + 1) / (12 * 600**2))
    assert se == pytest.approx(0.05 / 2.93, rel=0.03), "about 600 a side, as the spec says"


@given(st.floats(-0.1, 0.1), st.floats(0.005, 0.05))
def test_equivalence_is_the_ninety_percent_interval_inside_the_margin(value, se):
    found = Estimate(value, se, 7, 32)
    _, low, high, _ = found.interval(alpha=0.1)
    assert (found.equivalence(0.05) < 0.05) == (low > -0.05 and high < 0.05)


def test_models_needed_grow_with_the_square():
    found = Estimate(0.0, 0.02, 7, 32)
    effect = found.detectable()
    assert found.models_needed(effect) == 32
    assert found.models_needed(effect / 2) == pytest.approx(128, abs=1)
    for refuse in (found.models_needed, found.models_for_equivalence):
        with pytest.raises(BadInput, match="greater than zero"):
            refuse(0.0)


# -- means, one model, many tests, looks ------------------------------------------------------------------------------


def test_a_mean_over_seeds_needs_three():
    assert over_seeds([1, 2, 3]).interval()[:3] == pytest.approx(estimates.mean([1, 2, 3])[:3])
    for values in ([1.0, 2.0], [1, 2, np.nan]):
        with pytest.raises(BadInput, match="3 finite values"):
            over_seeds(values)


def test_one_model_is_widened_by_the_scatter_of_retrained_ones():
    generator = np.random.default_rng(2)

    def scores(shift):
        return generator.normal(shift, 1, 150), generator.normal(0, 1, 700)

    own = scores(0.5)
    calm = statistics.auc_of_one(own, [own, own, own])
    assert calm == pytest.approx(estimates.auc(*own)), "equal references add nothing, and take nothing away"
    wide = statistics.auc_of_one(own, [scores(s) for s in (-0.6, 0.6, -0.3, 0.3)])
    assert wide.value == calm.value
    assert wide.low < calm.low - 0.02
    assert wide.high > calm.high + 0.02


def test_inflation_is_the_ratio_of_two_standard_deviations():
    assert statistics.inflation([0.4, 0.5, 0.6], [0.05, 0.05, 0.05]) == pytest.approx(2.0)
    assert statistics.inflation([0.5, 0.5, 0.5], [0.05, 0.05, 0.05]) == 1.0
    with pytest.raises(BadInput, match="3 models"):
        statistics.inflation([0.5, 0.5], [0.1, 0.1])


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert statistics.holm([0.5, 0.9]) == (1.0, 1.0)
    assert statistics.holm([]) == ()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_benjamini_hochberg_is_that_of_scipy(p_values):
    assert statistics.benjamini_hochberg(p_values) == pytest.approx(false_discovery_control(p_values))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_lies_under_bonferroni(p_values):
    adjusted = np.array(statistics.holm(p_values))
    assert (adjusted >= p_values).all()
    assert (adjusted <= np.minimum(1, np.array(p_values) * len(p_values)) + 1e-12).all()


@pytest.mark.parametrize("correct", [statistics.holm, statistics.benjamini_hochberg])
def test_what_is_no_p_value_is_refused(correct):
    with pytest.raises(BadInput, match="between 0 and 1"):
        correct([0.5, 1.5])


def test_looks_share_alpha():
    assert statistics.alpha_at_looks(0.05, (16, 32, 64, 128)) == 0.0125
    for looks in ((), (16, 16), (32, 16)):
        with pytest.raises(BadInput, match="growing"):
            statistics.alpha_at_looks(0.05, looks)


def test_noncentrality_of_many_degrees_is_the_normal_one():
    assert statistics.noncentrality(1e9) == pytest.approx(norm.ppf(0.95) + norm.ppf(0.8), rel=1e-5)
