"""Forgetting quality: exact sweeps against brute force, the published grid to 1e-6, and F over its null (M18, B6)."""

import numpy as np
import pytest
from audit.battery.fixed_pools import POLICY, by_name, fixed_pools
from hypothesis import example, given
from hypothesis import strategies as st

from expunge.audit.battery import quality
from expunge.audit.battery.grid import CAP, DELTA, grid_epsilons, table
from expunge.audit.battery.quality import epsilons, shuffled_epsilons
from expunge.audit.battery.quality import quality as f_of
from expunge.audit.battery.sides import Sides


def epsilon_of(fpr, fnr):
    """The rule of one guess, in plain words: None where it says too little."""
    if fpr == 0 and fnr == 0:
        return 50.0
    if fpr == 0 or fnr == 0:
        return None
    found = [np.log(1 - DELTA - a) - np.log(b) for a, b in ((fpr, fnr), (fnr, fpr)) if 1 - DELTA - a > 0]
    return max([0.0, *found])


def best(guesses, inside, outside):
    """The largest ε of some closed intervals that guess ``inside``."""
    found = [0.0]
    for low, high in guesses:
        fnr = 1 - np.mean((inside >= low) & (inside <= high))
        fpr = np.mean((outside >= low) & (outside <= high))
        found.append(epsilon_of(fpr, 0.0 if fnr < 1e-12 else fnr))
    return max(e for e in found if e is not None)


def by_peak(u, r):
    return (u, r) if np.ptp(u) <= np.ptp(r) else (r, u)


def plain_grid(u, r):
    """The published rule for one record, threshold by threshold."""
    inside, outside = by_peak(u, r)
    if np.ptp(inside) < 0.01 * np.ptp(outside):
        return 50.0
    positive, negative = (r, u) if np.median(r) > np.median(u) else (u, r)
    low, high = min(u.min(), r.min()), max(u.max(), r.max())
    single = [(t, np.inf) for t in np.linspace(low, high, int(np.ceil((high - low) * 100)))]
    width = inside.max() - inside.min()
    start, end = inside.min() + width - 2.0, inside.max() + 2.0
    double = [
        (left, right)
        for right in np.linspace(start, end, int(np.ceil((end - start) * 100)))
        for left in np.linspace(right - width - 2.0, right - width + 2.0, 400)
    ]
    return max(best(single, positive, negative), *(best(double[i::4], inside, outside) for i in range(4)))


def rates(thresholds, inside, outside):
    """Counts of many intervals at once: the plain rule, fast enough for a test."""
    left, right = np.array(thresholds).T
    within = [((x[:, None] >= left) & (x[:, None] <= right)).sum(axis=0) for x in (inside, outside)]
    n = len(inside)
    pairs = set(zip((n - within[0]).tolist(), within[1].tolist(), strict=True))
    found = [epsilon_of(false / n, missed / n) for missed, false in pairs]
    return max(e for e in [0.0, *found] if e is not None)


@pytest.mark.parametrize("kind", ["normal", "t3", "logistic", "narrow"])
def test_the_grid_is_the_published_one(monkeypatch, kind):
    """M18: |Δε| ≤ 1e-6 against the rule written out (measured against the scorer itself: no difference at all)."""
    monkeypatch.setitem(plain_grid.__globals__, "best", rates)
    generator = np.random.default_rng(5)
    draw = {
        "normal": lambda: generator.normal(0.4, 1, (20, 3)),
        "t3": lambda: generator.standard_t(3, (20, 3)),
        "logistic": lambda: generator.logistic(size=(20, 3)),
        "narrow": lambda: generator.normal(0, 0.2, (20, 3)),
    }[kind]
    u, r = draw(), generator.normal(size=(20, 3))
    expected = [plain_grid(u[:, i], r[:, i]) for i in range(3)]
    assert grid_epsilons(u, r) == pytest.approx(expected, abs=1e-6)


@example(284, 7, True, 1.0)  # the next signals of the other pool are three that are equal
@given(st.integers(0, 10_000), st.integers(3, 11), st.booleans(), st.sampled_from([0.0, 1.0, 6.0]))
def test_sweeps_are_exact(seed, n_models, ties, shift):
    """Against every interval between any two signals."""
    generator = np.random.default_rng(seed)
    u, r = generator.normal(shift, 1.2, n_models), generator.normal(size=n_models)
    u, r = (np.round(u, 1), np.round(r, 1)) if ties else (u, r)
    inside, outside = by_peak(u, r)
    cuts = np.unique(np.concatenate([u, r]))
    intervals = [(a, b) for a in cuts for b in cuts if a <= b]
    expected = 50.0 if np.ptp(inside) < 0.01 * np.ptp(outside) else best(intervals, inside, outside)
    assert epsilons(u[:, None], r[:, None])[0] == pytest.approx(expected, abs=1e-5)


def test_extremes():
    apart = np.linspace(0, 1, 9)[:, None]
    assert epsilons(apart, apart + 5)[0] == CAP == grid_epsilons(apart, apart + 5)[0]
    peak = 0.5 + apart / 200
    assert epsilons(peak, apart)[0] == CAP == grid_epsilons(peak, apart)[0]
    same = np.ones((9, 1))
    assert epsilons(same, same)[0] == 0 == grid_epsilons(same, same)[0]
    assert epsilons(same, 2 * same)[0] == CAP
    assert f_of(np.array([0.0, 0.49, 0.5, 1.2, 50.0]), 128) == pytest.approx((1 + 1 + 0.5 + 0.25 + 0) / 5)
    assert f_of(np.array([4.99, 5.0]), 128) == pytest.approx(2.0**-9 / 2)
    assert table(4)[0, 0] == CAP
    assert np.isneginf(table(4)[0, 1:]).all()


F_NULL = [(32, 0.173, 0.180), (64, 0.178, 0.192), (128, 0.165, 0.191), (256, 0.203, 0.184)]
"""Models, the table of M18 (few records), and 600 records of the published rule (± 0.0045)."""


@pytest.mark.parametrize(("n_models", "table_value", "expected"), F_NULL)
def test_perfect_unlearning_does_not_score_one(n_models, table_value, expected):
    """M18, K05: F of two pools alike on the published grid, within 0.03 of the table; median ε 1.4–1.65."""
    assert expected == pytest.approx(table_value, abs=0.03)
    a, b = np.random.default_rng(n_models).normal(size=(2, n_models, 200))
    found = grid_epsilons(a, b)
    assert float(f_of(found, n_models)) == pytest.approx(expected, abs=0.03)
    assert 1.4 <= np.round(np.median(found), 1) <= 1.6
    exact = epsilons(a, b)
    assert (exact >= found - 1e-9).mean() > 0.99  # the grid's intervals are some of all
    assert 0.055 <= f_of(exact, n_models) <= 0.13
    assert 1.8 <= np.median(exact) <= 2.4


def test_a_wider_spread_does_not_raise_the_null():
    """M18's table has F 0.225 at a spread of 2.5; 600 records of the published rule give 0.182 ± 0.004."""
    a, b = np.random.default_rng(1).normal(0, 2.5, (2, 128, 200))
    assert float(f_of(grid_epsilons(a, b), 128)) == pytest.approx(0.182, abs=0.03)


def test_many_thresholds_do_not_crash():
    """B6: the scorer asserts an array, and so stops whenever more than one threshold counts; ours gives a number."""
    u, r = np.random.default_rng(0).random((2, 64, 3))

    def mutant(after, reference):
        kept = np.array([epsilon_of(f / 64, m / 64) or np.nan for f in range(1, 9) for m in range(1, 9)])
        assert kept[~np.isnan(kept)], "all thresholds gave NaN"
        return np.nanmax(kept)

    with pytest.raises(ValueError, match="truth value of an array"):
        mutant(u, r)
    for ours in (grid_epsilons, epsilons):
        assert np.isfinite(ours(u, r)).all()
        assert ((ours(u, r) > 0) & (ours(u, r) < 5)).all()


@pytest.mark.parametrize("paired", [False, True])
def test_shuffles_are_sweeps_of_relabelled_models(paired):
    generator = np.random.default_rng(3)
    for ties in (False, True):
        pools = generator.normal(size=(2, 16, 5))
        sides = Sides.of(*(np.round(pools, 1) if ties else pools), paired=paired)
        labels = sides.shuffled(np.random.default_rng(8), 6)
        found = shuffled_epsilons(sides, np.random.default_rng(8), 6)
        for row, got in zip(labels, found, strict=True):
            pooled = sides.pooled
            assert got == pytest.approx(epsilons(pooled[row], pooled[~row]))


def test_f_over_its_null_is_one_for_retrained_pools():
    """Normal, Student-t3 and logistic signals: F is 0.07–0.1, F/F_null is 1."""
    generator = np.random.default_rng(4)
    for draw in (generator.normal, generator.logistic, lambda size: generator.standard_t(3, size=size)):
        sides = Sides.of(draw(size=(64, 150)), draw(size=(64, 150)), paired=True)
        f, null = f_of(epsilons(sides.arm, sides.reference), 64), f_of(shuffled_epsilons(sides, generator, 40), 64)
        assert 0.06 < f < 0.11
        assert f / null.mean() == pytest.approx(1, abs=0.12)
        split = quality.disjoint_null(sides.reference, generator, 3)
        assert split.mean() == pytest.approx(0.102, abs=0.02)  # that of 32 models a side


def test_evidence():
    cases = (fixed_pools(left=left, seed=6, n_forgotten=15) for left in (0.0, 1.0))
    clean, residue = (by_name(quality.measure(pools, POLICY)) for pools in cases)
    name = "likeness.forgetting_quality_ratio"
    assert clean[f"{name}@after"].low < 1 < clean[f"{name}@after"].high
    assert clean[f"{name}@after"].p_value > 0.01
    for found in (clean[f"{name}@before"], residue[f"{name}@after"]):
        assert found.high < 1
        assert found.p_value == pytest.approx(1 / 201)
        assert found.null.low < 1 < found.null.high
    assert residue["likeness.forgetting_epsilon_excess@after"].low > 0
    assert clean["likeness.forgetting_epsilon_excess@after"].low <= 0
    old = clean["likeness.forgetting_quality_legacy@after"]
    assert 0.05 < old.value < 0.4
    assert old.null.low <= old.value <= old.null.high
    assert residue["likeness.forgetting_quality_legacy@after"].value < old.null.low
    score = clean["likeness.forgetting_score_legacy@after"].value
    pools = fixed_pools(left=0.0, seed=6, n_forgotten=15)
    after, reference = pools.need("after"), pools.need("reference")
    ratio = [
        after.correct[after.roles == role].mean() / reference.correct[reference.roles == role].mean() for role in (1, 3)
    ]
    assert score == pytest.approx(old.value * ratio[0] * ratio[1])


def test_without_logits_the_score_alone_is_missing_and_without_models_all():
    found = by_name(quality.measure(fixed_pools(form="phi", n_forgotten=5), POLICY))
    assert found["likeness.forgetting_quality_legacy@after"].status == "measured"
    assert found["likeness.forgetting_score_legacy@after"].status == "not_measured"
    few = quality.measure(fixed_pools(16), POLICY)
    assert len(few) == 8
    assert all(e.status == "not_measured" for e in few)
