"""The null of U-LiRA by drawing forgotten records again, and intervals that hold the truth as often as they say."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of

from expunge.audit.battery import ulira
from expunge.audit.battery.games import area, rate
from expunge.audit.battery.membership_evidence import arena, evidence
from expunge.audit.battery.redraw import Redrawn, doubling, redraw, redrawn_roles
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION
from expunge.audit.statistics import Estimate, of_deletions

AREA = replace(ulira.ulira(), measures=("auc",))
EXCESS = "membership.ulira_auc_excess@after"


def excess(**world):
    return by_name(evidence(pools_of(**world), POLICY, ulira.ulira()))[EXCESS]


def test_each_record_is_forgotten_by_as_many_others_of_the_models_without_it():
    pool = pools_of(12, 120).need("reference")
    again = redrawn_roles(pool, np.random.default_rng(0))
    for role in (KEPT, POPULATION):
        assert np.array_equal(again == role, pool.roles == role)
    assert np.array_equal((again == FORGOTTEN).sum(0), (pool.roles == FORGOTTEN).sum(0))
    assert set(np.unique(again)) == {NEVER, KEPT, FORGOTTEN, POPULATION}
    assert (again != pool.roles).any()


def test_where_retrained_models_can_tell_the_plain_jackknife_stands():
    """Whole classes are forgotten: retrained models know the classes of records never learnt, not of forgotten ones."""
    pools = pools_of(24, 160, left=1.0)
    pool = pools.need("reference")
    blind = replace(pool, given=pool.phi - 3.0 * (pool.roles == FORGOTTEN))
    pools = replace(pools, pools=(pools.need("before"), pools.need("after"), blind))
    ground = arena(pools, "reference", (), POLICY)
    assert redraw(AREA, ground, POLICY) == {}
    plain = rate(AREA, ground, POLICY).estimate("auc").interval(bounds=(0, 1))
    found = by_name(evidence(pools, POLICY, AREA))["membership.ulira_auc@reference"]
    assert (found.value, found.low, found.high) == plain[:3]


def test_the_null_is_around_one_half_and_as_wide_as_retrained_pools_are():
    pools = pools_of(24, 160)
    nulls = redraw(ulira.ulira(), arena(pools, "reference", (), POLICY), POLICY)
    assert list(nulls) == ["auc", "balanced_accuracy", "tpr_1pct"]
    draws = nulls["auc"].draws
    assert np.mean(draws) == pytest.approx(0.5, abs=0.02)
    grounds = [arena(pools_of(24, 160, seed=s), "reference", (), POLICY) for s in range(1, 41)]
    areas = [area(*ulira.ULira().play(g)(None).sides()) for g in grounds]
    assert draws.std() == pytest.approx(np.std(areas), rel=0.4)


@pytest.mark.parametrize("n", [5, 8, 16])
def test_the_jackknife_counts_pairs_of_blocks_as_often_as_we_say(n):
    """A mean over all pairs of blocks, of pure noise with no effect of any block alone."""
    generator = np.random.default_rng(n)
    made, found = [], []
    for _ in range(1000):
        noise = np.triu(generator.normal(size=(n, n)), 1)
        noise += noise.T

        def mean(kept, noise=noise):
            return noise[np.ix_(kept, kept)].sum() / (len(kept) * (len(kept) - 1))

        everyone = np.arange(n)
        value = mean(everyone)
        without = [mean(np.delete(everyone, i)) for i in range(n)]
        made.append(value)
        found.append(of_deletions(value, without, np.ones(n)).se ** 2)
    assert np.mean(found) / np.var(made) == pytest.approx(doubling(n), rel=0.15)


def test_settling_never_goes_below_the_null_and_leaves_what_is_beyond():
    null = Redrawn(np.array([0.45, 0.55] * 20))
    assert null.settled(Estimate(0.1, 0.0, 7, 64)).se == 0
    small = null.settled(Estimate(0.1, 0.01, 7, 64))
    assert small.se**2 == pytest.approx(null.variance)
    assert small.degrees == pytest.approx(39)
    large = null.settled(Estimate(0.1, 0.5, 7, 64), n_pools=2)
    assert large.se**2 == pytest.approx(2 * null.variance + 0.25 - doubling(8) * 2 * null.variance)
    assert 7 <= large.degrees < 10


@pytest.mark.slow
@pytest.mark.parametrize("left", [0.0, 1.0])
def test_intervals_hold_the_truth_and_the_test_keeps_its_level(left):
    """Section 7: 32 models; 93 to 97.5 % (within the error of 500 repeats), type-I error at most 0.06."""
    found = [excess(n_models=32, n_records=160, left=left, seed=1_000 + s) for s in range(500)]
    truth = np.mean([e.value for e in found])
    covered = np.mean([e.low <= truth <= e.high for e in found])
    assert 0.915 <= covered <= 0.985
    if left == 0:
        assert np.mean([e.p_value < 0.05 for e in found]) <= 0.06 + 2 * np.sqrt(0.06 * 0.94 / 500)


def test_a_t_interval_over_the_models_own_values_is_too_narrow():
    """Section 7: cross-fitted models share shadows. A naive t at 5 % finds residue in 20 % of 200 clean pools."""
    naive, ours = [], []
    for seed in range(60):
        ground = arena(pools_of(24, 160, seed=seed), "reference", (), POLICY)
        board = ulira.ULira().play(ground)(None)
        played = [i for i in range(24) if board.inside[i].any()]
        own = [area(board.scores[i][board.inside[i]], board.scores[i][board.outside[i]]) for i in played]
        naive.append(abs(np.mean(own) - 0.5) > 2.07 * np.std(own, ddof=1) / np.sqrt(len(own)))
        if seed < 20:
            areas = rate(AREA, ground, POLICY).estimate("auc")
            found = redraw(AREA, ground, POLICY)["auc"].settled(areas).interval()
            ours.append(not found.low <= 0.5 <= found.high)
    assert np.mean(naive) > 0.1
    assert np.sum(ours) <= 3
