"""The lower bound of ε: the table of its power, its error rate, and what it may be held against (M19, V4)."""

import numpy as np
import pytest
from audit.battery.fixed_pools import POLICY, by_name, fixed_pools
from audit.battery.pool_worlds import pools_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta, norm

from expunge.audit.battery import epsilon
from expunge.audit.battery.epsilon import largest_bound, lower_bound, model_scores
from expunge.core.errors import BadInput

POWER = [  # shift in σ, models a side, P(ε_LB > 0), mean ε_LB (M19's table, of 200 repeats;
    # it says 1 for 2σ and 64 models, where 1 000 repeats give 0.979)
    *((0, n, 0.0, 0.0) for n in (64, 128, 256, 512)),
    *((1, n, p, e) for n, p, e in ((64, 0.25, 0.06), (128, 0.57, 0.24), (256, 0.75, 0.38), (512, 0.90, 0.64))),
    *((2, n, p, e) for n, p, e in ((64, 0.98, 0.86), (128, 1.0, 1.39), (256, 1.0, 1.85), (512, 1.0, 2.30))),
    *((3, n, 1.0, e) for n, e in ((64, 1.38), (128, 1.93), (256, 2.56), (512, 3.18))),
]


def repeats(shift, n_models, count, seed, **more):
    generator = np.random.default_rng(seed)
    pairs = ((generator.normal(shift, 1, n_models), generator.normal(size=n_models)) for _ in range(count))
    return np.array([lower_bound(a, b, **more).epsilon for a, b in pairs])


def check(shift, n_models, found_share, mean, count):
    """The choice by rates gives the table; the choice by bounds, ours, is nowhere weaker."""
    plain = repeats(shift, n_models, count, n_models, choose="rate", both_ways=False)
    noise = 3 * np.sqrt(1 / count + 1 / 200)
    assert (plain > 0).mean() == pytest.approx(
        found_share, abs=max(0.02, noise * np.sqrt(found_share * (1 - found_share)))
    )
    assert plain.mean() == pytest.approx(mean, abs=0.03 + noise * plain.std())
    ours = repeats(shift, n_models, count, n_models)
    assert ours.mean() >= plain.mean() - noise * max(ours.std(), plain.std()) / 3
    if shift == 0:
        assert (ours > 0).mean() <= 0.05
    if shift == 1:
        assert (ours > 0).mean() > (plain > 0).mean()


@pytest.mark.parametrize(("shift", "n_models", "found_share", "mean"), POWER)
def test_power_is_that_of_the_table(shift, n_models, found_share, mean):
    """M19: fewer repeats than the table had."""
    check(shift, n_models, found_share, mean, 60)


@pytest.mark.slow
@pytest.mark.parametrize(("shift", "n_models", "found_share", "mean"), POWER)
def test_power_is_that_of_the_table_in_full(shift, n_models, found_share, mean):
    check(shift, n_models, found_share, mean, 1000)


def test_the_bound_is_wrong_in_a_share_alpha_at_most():
    """Randomised response tells the worlds apart by exactly e^ε: no bound may exceed it in more than 5 % of audits."""
    generator = np.random.default_rng(0)
    true = 1.0
    p = np.exp(true) / (1 + np.exp(true))
    over = 0
    for _ in range(400):
        a, b = (generator.random(128) < p).astype(float), (generator.random(128) < 1 - p).astype(float)
        over += lower_bound(a, b, delta=0.0).epsilon > true
    assert over / 400 <= 0.05
    assert lower_bound(np.ones(512), np.zeros(512)).epsilon > 3


def test_a_gaussian_promise_is_not_contradicted_and_a_broken_one_is():
    """V4: noise calibrated to ε = 1 at δ = 1e-5 (σ/Δ 3.7306) stays; a fifth of it does not."""
    generator = np.random.default_rng(1)
    kept = [lower_bound(generator.normal(1 / 3.7306, 1, 256), generator.normal(size=256)).epsilon for _ in range(40)]
    broken = [lower_bound(generator.normal(5 / 3.7306, 1, 256), generator.normal(size=256)).epsilon for _ in range(40)]
    assert max(kept) <= 1.0
    strong = [lower_bound(generator.normal(3, 1, 256), generator.normal(size=256)).epsilon for _ in range(20)]
    assert np.mean(np.array(strong) > 1.0) == 1.0
    assert np.mean(broken) > 0.5


def test_a_bound_by_hand():
    """Eight models a side: the halves that choose are apart; of those that count, three of four are recognised."""
    arm = np.array([9.0, 8, 7, 6, 9, 8, 7, 0])
    reference = np.array([1.0, 2, 3, 0, 1, 2, 3, 4])
    found = lower_bound(arm, reference, both_ways=False)
    assert found.true_rate == pytest.approx(beta.ppf(0.025, 3, 2))
    assert found.false_rate == pytest.approx(beta.ppf(0.975, 1, 4))
    assert found.epsilon == 0 == largest_bound(8)
    assert found.n == 8
    many = largest_bound(512)
    assert many == pytest.approx(np.log((0.025 ** (1 / 256) - 1e-5) / (1 - 0.025 ** (1 / 256))))


@given(st.integers(0, 10_000), st.sampled_from([1.5, -1.5]))
def test_only_the_order_of_scores_counts(seed, shift):
    generator = np.random.default_rng(seed)
    a, b = generator.normal(shift, 1, 60), generator.normal(size=60)
    assert lower_bound(np.exp(a), np.exp(b)) == lower_bound(a, b)
    assert lower_bound(a, b).epsilon <= largest_bound(60) + 1e-12


def test_either_side_and_either_world_may_be_tested():
    generator = np.random.default_rng(2)
    a, b = generator.normal(3, 1, 200), generator.normal(size=200)
    for first, second in ((a, b), (-a, -b), (b, a), (-b, -a)):
        assert lower_bound(first, second).epsilon > 1.5


def test_scores_rest_on_the_first_halves_alone():
    """The half that counts must not have chosen: its signals move its own scores and no weight."""
    generator = np.random.default_rng(3)
    signals = generator.normal(1, 1, (40, 6)), generator.normal(size=(40, 6))
    used = np.ones((40, 6), bool), np.ones((40, 6), bool)
    first, second = model_scores(signals, used)
    changed = signals[0].copy()
    changed[20:] += 100
    moved, still = model_scores((changed, signals[1]), used)
    assert (moved[:20] == first[:20]).all()
    assert (still == second).all()
    assert (moved[20:] > first[20:]).all()


def test_scores_are_those_of_fishers_rule():
    generator = np.random.default_rng(4)
    signals = generator.normal(1, 2, (400, 3)), generator.normal(0, 2, (400, 3))
    ones = np.ones((400, 3), bool)
    a, b = model_scores(signals, (ones, ones))
    area = (a[200:, None] > b[None, 200:]).mean()
    assert area == pytest.approx(norm.cdf(np.sqrt(3) / 2 / np.sqrt(2)), abs=0.06)


def test_evidence():
    for pools in (fixed_pools(left=0.0, seed=2), pools_of(96, 220, seed=2)):
        found = by_name(epsilon.measure(pools, POLICY))
        after, before = (found[f"likeness.epsilon_lower_bound@{arm}"] for arm in ("after", "before"))
        assert after.value == after.low == 0
        assert after.high > 1
        assert before.value > 1.5
        assert before.p_value < 0.01 < after.p_value
        assert before.null.high == 0
        assert before.unit == "models"
    few = epsilon.measure(fixed_pools(32), POLICY)
    assert [e.status for e in few] == ["not_measured"] * 2
    assert "64 models" in few[0].note


@pytest.mark.parametrize(
    ("arm", "more"), [([1.0, 2, 3], {}), ([1.0, 2, 3, np.nan], {}), ([1.0, 2, 3, 4], {"alpha": 0.0})]
)
def test_bad_input(arm, more):
    with pytest.raises(BadInput):
        lower_bound(arm, [1.0, 2, 3, 4], **more)
