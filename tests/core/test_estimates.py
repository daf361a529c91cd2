"""Intervals: against brute force, against known truths by simulation, and refused where they would be guesses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from expunge.core.errors import BadInput
from expunge.core.estimates import (
    Interval,
    auc,
    bootstrap,
    clustered_mean,
    detectable_auc,
    half_width,
    mean,
    owner_sums,
    placements,
    proportion,
    roc,
    student,
    tpr_at,
)


def covered(intervals: list[Interval], truth: float) -> float:
    return float(np.mean([i.low <= truth <= i.high for i in intervals]))


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


# --- shares ---


@given(st.integers(1, 10**6), st.data())
def test_a_share_lies_in_its_interval(n, data):
    s = data.draw(st.integers(0, n))
    found, mirrored = proportion(s, n), proportion(n - s, n)
    assert 0 <= found.low <= found.value == s / n <= found.high <= 1
    assert found.low < found.high
    assert (found.low, found.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-9)


@pytest.mark.parametrize(("s", "n"), [(1, 10), (5, 10), (30, 40), (499, 500)])
def test_a_share_is_wilsons(s, n):
    reference = stats.binomtest(s, n).proportion_ci(0.95, method="wilson")
    assert proportion(s, n)[1:3] == pytest.approx((reference.low, reference.high), abs=1e-9)


@pytest.mark.parametrize(("s", "n"), [(0, 1), (1, 1), (0, 30), (30, 30)])
def test_none_or_all_are_clopper_and_pearsons(s, n):
    reference = stats.binomtest(s, n).proportion_ci(0.95, method="exact")
    assert proportion(s, n)[1:3] == pytest.approx((reference.low, reference.high), abs=1e-12)


@pytest.mark.parametrize("n", [10, 40, 200])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_a_share_covers_its_truth(n, p):
    chances = stats.binom.pmf(np.arange(n + 1), n, p)  # exactly, not by simulation
    inside = [proportion(s, n).low <= p <= proportion(s, n).high for s in range(n + 1)]
    assert 0.92 <= float(chances[inside].sum()) <= 0.99


@pytest.mark.parametrize(("s", "n"), [(0, 0), (1, 0), (-1, 5), (6, 5), (0, -1)])
def test_no_trials_no_share(s, n):
    with pytest.raises(BadInput):
        proportion(s, n)


# --- means ---


def test_a_mean_is_students():
    x = rng(0).normal(size=17)
    reference = stats.ttest_1samp(x, 0).confidence_interval(0.95)
    assert mean(x)[1:3] == pytest.approx(tuple(reference), rel=1e-9)


def test_a_mean_covers_its_truth():
    draws = rng(1)
    assert 0.93 <= covered([mean(draws.normal(3, 2, 6)) for _ in range(2000)], 3) <= 0.97


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan], [1.0, math.inf]])
def test_a_mean_of_nothing_is_refused(values):
    with pytest.raises(BadInput):
        mean(values)


def test_owners_of_one_record_each_are_independent():
    x = rng(2).normal(size=30)
    assert clustered_mean(x, np.arange(30))[:3] == pytest.approx(mean(x)[:3], rel=1e-12)
    names = np.array([f"p{i}" for i in range(30)])
    assert clustered_mean(x, names) == clustered_mean(x, np.arange(30))


def test_a_mean_over_owners_covers_where_the_plain_one_does_not():
    draws, own, plain = rng(3), [], []
    for _ in range(800):
        sizes = draws.integers(1, 12, 30)
        owners = np.repeat(np.arange(30), sizes)
        x = draws.normal(size=30)[owners] + 0.3 * draws.normal(size=len(owners))
        own.append(clustered_mean(x, owners))
        plain.append(mean(x))
    assert 0.91 <= covered(own, 0) <= 0.98
    assert covered(plain, 0) < 0.75


@pytest.mark.parametrize(
    ("values", "owners"),
    [([], []), ([1.0, 2.0], [1, 1]), ([1.0, math.nan], [1, 2]), ([1.0, math.inf], [1, 2]), ([1.0, 2.0, 3.0], [1, 2])],
)
def test_a_mean_over_one_owner_is_refused(values, owners):
    with pytest.raises(BadInput):
        clustered_mean(values, np.array(owners))


# --- ranking ---

scores = st.lists(st.integers(-3, 3).map(float) | st.sampled_from([math.inf, -math.inf]), min_size=2, max_size=12)


@given(scores, scores)
def test_the_area_is_the_share_of_pairs(pos, neg):
    found = auc(pos, neg)
    pairs = [1.0 if p > n else 0.5 if p == n else 0.0 for p in pos for n in neg]
    assert found.value == pytest.approx(np.mean(pairs), abs=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high
    assert found.n == len(pos) + len(neg)
    other = auc(neg, pos)
    assert (other.value, other.low, other.high) == pytest.approx(
        (1 - found.value, 1 - found.high, 1 - found.low), abs=1e-9
    )


@given(scores, scores)
def test_the_variance_is_delongs(pos, neg):
    a = np.array([[1.0 if p > n else 0.5 if p == n else 0.0 for n in neg] for p in pos])
    variance = a.mean(1).var(ddof=1) / len(pos) + a.mean(0).var(ddof=1) / len(neg)
    area = float(a.mean())
    if variance < 1e-9 or area in (0, 1):
        return
    half = stats.norm.ppf(0.975) * math.sqrt(variance) / (area * (1 - area))
    low = 1 / (1 + math.exp(-(math.log(area / (1 - area)) - half)))
    assert auc(pos, neg).low == pytest.approx(low, abs=1e-9)


@pytest.mark.parametrize(("shift", "m", "n"), [(0.0, 40, 60), (0.5, 60, 40), (1.5, 50, 50)])
def test_the_area_covers_its_truth(shift, m, n):
    draws = rng(4)
    found = [auc(draws.normal(shift, 1, m), draws.normal(0, 1, n)) for _ in range(1500)]
    assert 0.925 <= covered(found, float(stats.norm.cdf(shift / math.sqrt(2)))) <= 0.975


def test_the_area_covers_its_truth_with_ties():
    draws = rng(5)
    found = [auc(draws.integers(0, 3, 50), draws.integers(0, 3, 50)) for _ in range(1500)]
    assert 0.925 <= covered(found, 0.5) <= 0.975


def test_a_handful_is_never_certain():
    found = auc([2, 3], [0, 1])
    assert found.value == found.high == 1
    assert found.low < 0.2
    tied = auc([1, 1, 1], [1, 1, 1])  # one and a half of three: neither one nor two
    assert (tied.value, tied.low + tied.high) == (0.5, pytest.approx(1))
    assert tied.low < 0.1
    assert auc(range(100, 200), range(100)).low > 0.95


@pytest.mark.parametrize(("pos", "neg"), [([1.0], [1.0, 2.0]), ([1.0, 2.0], []), ([1.0, math.nan], [1.0, 2.0])])
def test_an_area_of_nothing_is_refused(pos, neg):
    with pytest.raises(BadInput):
        auc(pos, neg)


@given(scores, scores)
def test_the_curve_holds_the_area(pos, neg):
    fpr, tpr = roc(pos, neg)
    assert (fpr[-1], tpr[-1]) == (1, 1)
    assert (np.diff(fpr) >= 0).all()
    assert (np.diff(tpr) >= 0).all()
    if max(*pos, *neg) < math.inf:
        assert (fpr[0], tpr[0]) == (0, 0)
    area = np.trapezoid([0, *tpr], [0, *fpr])
    assert area == pytest.approx(auc(pos, neg).value, abs=1e-12)


# --- the rate at a rate ---


@pytest.mark.parametrize(("fpr", "n"), [(0.01, 999), (0.1, 99), (0.001, 9999), (0.5, 19)])
def test_too_few_negatives_are_refused_and_one_more_is_enough(fpr, n):
    with pytest.raises(BadInput, match=str(n + 1)):
        tpr_at([1.0], np.arange(n), fpr)
    assert tpr_at([1.0], np.arange(n + 1), fpr).n == 1


@pytest.mark.parametrize("fpr", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_a_rate_that_is_none_is_refused(fpr):
    with pytest.raises(BadInput):
        tpr_at([1.0], np.arange(1000.0), fpr)


def test_scores_without_rank_or_number_are_refused():
    with pytest.raises(BadInput):
        tpr_at([math.nan], np.arange(1000.0), 0.1)
    with pytest.raises(BadInput):
        tpr_at([], np.arange(1000.0), 0.1)


@given(
    st.lists(st.integers(0, 9), min_size=1, max_size=20),
    st.lists(st.integers(0, 9), min_size=40, max_size=60),
    st.sampled_from([0.25, 0.29, 0.3, 0.35, 0.5, 0.7, 0.99]),
)
def test_the_rate_is_the_best_that_the_negatives_allow(pos, neg, fpr):
    cuts = [-math.inf, *sorted(set(neg + pos))]
    allowed = [t for t in cuts if sum(v > t for v in neg) <= fpr * len(neg) + 1e-9]
    assert tpr_at(pos, neg, fpr).value == sum(v > min(allowed) for v in pos) / len(pos)


def test_a_product_that_should_be_whole_is_whole():
    assert 0.29 * 100 < 29
    assert tpr_at(np.arange(100.0), np.arange(100.0), 0.29).value == 0.29


# --- bootstrap and power ---


def test_the_bootstrap_covers_and_repeats():
    draws = rng(6)
    found = [bootstrap([draws.exponential(size=60)], np.median, rng(i), 200) for i in range(200)]
    assert covered(found, math.log(2)) >= 0.88
    x = [draws.normal(size=20), draws.normal(size=30)]

    def difference(a, b):
        return a.mean() - b.mean()

    one, two = (bootstrap(x, difference, rng(7), 100) for _ in range(2))
    assert one == two
    assert one.n == 50
    assert one.low <= one.value <= one.high


def test_the_bootstrap_draws_units_not_their_rows():
    rows = np.repeat(rng(8).normal(size=(10, 1)), 50, axis=1)
    by_unit = bootstrap([rows], np.mean, rng(9), 400)
    by_row = bootstrap([rows.ravel()], np.mean, rng(9), 400)
    assert by_unit.high - by_unit.low > 3 * (by_row.high - by_row.low)


@pytest.mark.parametrize(("m", "n"), [(50, 50), (30, 120)])
def test_the_detectable_excess_is_detected(m, n):
    excess = detectable_auc(m, n)
    shift = math.sqrt(2) * stats.norm.ppf(0.5 + excess)
    draws, hits = rng(10), []
    for _ in range(800):
        ranks = stats.mannwhitneyu(draws.normal(shift, 1, m), draws.normal(0, 1, n), alternative="greater")
        hits.append(ranks.pvalue < 0.05)
    assert 0.74 <= np.mean(hits) <= 0.87


@pytest.mark.parametrize(("m", "n"), [(0, 5), (5, 0)])
def test_an_auc_of_one_side_is_refused(m, n):
    with pytest.raises(BadInput):
        detectable_auc(m, n)


def test_placements_are_shares_of_the_other_side():
    positives, negatives = rng(11).normal(1, 1, 6), rng(12).normal(0, 1, 9)
    found = placements(positives, negatives)
    assert found.over == pytest.approx((positives[:, None] > negatives).mean(axis=1))
    assert found.under == pytest.approx((positives[:, None] > negatives).mean(axis=0))
    assert found.area == auc(positives, negatives).value
    assert found.variance == pytest.approx(found.over.var(ddof=1) / 6 + found.under.var(ddof=1) / 9)


def test_sums_by_owner_and_their_half_width():
    owners = np.array(["b", "a", "b", "c"])
    assert owner_sums(np.array([1.0, 2.0, 3.0, 4.0]), owners).tolist() == [2.0, 4.0, 4.0]
    influence = np.array([0.1, -0.2, 0.3, -0.2])
    expected = student(2) * math.sqrt(3 / 2 * (0.4**2 + 0.2**2 + 0.2**2))
    assert half_width(influence, owners) == pytest.approx(expected)
    with pytest.raises(BadInput, match="two owners"):
        half_width(influence, np.zeros(4))
    with pytest.raises(BadInput, match="finite"):
        half_width(np.array([0.1, np.nan, 0.0, 0.0]), owners)
