"""U-LiRA and LiRA on pools whose truth is known, on digits, and against the defects of public code (B5, W8)."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

from expunge.audit.battery import ulira
from expunge.audit.battery.games import Board, Split, area, balanced_accuracy, true_positives
from expunge.audit.battery.membership_evidence import arena, evidence
from expunge.audit.battery.normals import Sums, log_ratio
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, Pool, Pools
from expunge.core.errors import BadInput


def measured(pools, policy=POLICY):
    return by_name(ulira.measure(pools, policy))


def replaced(pools, world, phi):
    """The same audit with other signals in one world."""
    others = tuple(replace(p, given=phi) if p.world == world else p for p in pools.pools)
    return replace(pools, pools=others)


# -- known truth ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", ["normal", "t3"])
@pytest.mark.parametrize("left", [0.0, 1.0, 2.0])
def test_what_is_left_is_found_and_nothing_is_where_nothing_is(noise, left):
    found = measured(pools_of(128, left=left, noise=noise, seed=int(left)))
    after, excess = found["membership.ulira_auc@after"], found["membership.ulira_auc_excess@after"]
    assert found["membership.ulira_auc@reference"].low <= 0.5 <= found["membership.ulira_auc@reference"].high
    assert after.null.what == "reference"
    assert after.n_models == 128
    if left == 0:
        assert excess.low <= 0 <= excess.high
        assert excess.p_value > 0.05
        assert abs(after.value - 0.5) < 0.02
    else:
        assert excess.low > 0
        assert excess.p_value < 1e-4
    if noise == "normal" and left:
        best = norm.cdf(left / np.sqrt(2))  # the AUC of an attacker who knows both normals
        assert best - 0.05 < after.value
        assert after.low <= best
    assert 0.005 < excess.power < 0.1
    assert excess.null.low < 0 == excess.null.value < excess.null.high


def test_the_original_is_the_positive_control_and_kept_records_give_themselves_away():
    found = measured(pools_of(left=0.0))
    assert found["membership.ulira_auc_excess@before"].low > 0.3
    assert found["membership.ulira_kept_auc@after"].low > 0.8
    assert abs(found["membership.ulira_kept_auc_excess@after"].value) < 0.02


def test_balanced_accuracy_and_rates_of_known_normals():
    found = measured(pools_of(128, left=2.0))
    assert found["membership.ulira_balanced_accuracy@after"].value == pytest.approx(norm.cdf(1.0), abs=0.02)
    at_one_percent = norm.sf(norm.isf(0.01) - 2.0)
    assert found["membership.ulira_tpr_1pct@after"].value == pytest.approx(at_one_percent, abs=0.06)
    assert found["membership.ulira_balanced_accuracy@reference"].value == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("variance", ["pooled", "record", "shrunk"])
def test_variances(variance):
    """Where records differ in spread, their own variances beat one for all; where nothing is left, each gives ½."""
    generator = np.random.default_rng(5)
    pools = pools_of(128, left=1.5, seed=5)
    spread = np.exp(generator.normal(size=260))
    for world in ("after", "reference"):
        phi = pools.need(world).phi
        pools = replaced(pools, world, phi.mean(0) + (phi - phi.mean(0)) * spread)
    found = by_name(evidence(pools, POLICY, ulira.ulira(variance)))
    assert found["membership.ulira_auc@reference"].value == pytest.approx(0.5, abs=0.02)
    pooled = by_name(evidence(pools, POLICY, ulira.ulira()))["membership.ulira_auc@after"].value
    assert found["membership.ulira_auc@after"].value >= pooled
    assert variance == "pooled" or found["membership.ulira_auc@after"].value > pooled


def test_lira_knows_the_original_and_offline_knows_less():
    found = measured(pools_of(128, left=2.0))
    online, offline = found["membership.lira_online_auc@before"], found["membership.lira_offline_auc@before"]
    assert online.value == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.02)
    assert 0.85 < offline.value <= online.value + 0.005
    assert found["membership.lira_offline_auc_excess@after"].low > 0.3


# -- the arithmetic ---------------------------------------------------------------------------------------------------


def plainly(pool, role, n_folds):
    """U-LiRA again, with loops: pooled variance, fold = position mod folds."""
    M, n = pool.roles.shape
    inside, outside = [], []
    for f in range(n_folds):
        fit = [i for i in range(M) if i % n_folds != f]
        worlds = []
        for wanted in (role, NEVER):
            values = [[pool.phi[i, x] for i in fit if pool.roles[i, x] == wanted] for x in range(n)]
            scatter = sum(((np.array(v) - np.mean(v)) ** 2).sum() for v in values if v)
            degrees = sum(len(v) - 1 for v in values if v)
            worlds.append(([np.mean(v) if v else None for v in values], scatter / degrees))
        (was, v_was), (never, v_never) = worlds
        for i in range(f, M, n_folds):
            for x in range(n):
                if was[x] is None or never[x] is None or pool.roles[i, x] not in (role, NEVER):
                    continue
                ratio = norm.logpdf(pool.phi[i, x], was[x], v_was**0.5) - norm.logpdf(
                    pool.phi[i, x], never[x], v_never**0.5
                )
                (inside if pool.roles[i, x] == role else outside).append(ratio)
    return np.array(inside), np.array(outside)


@pytest.mark.parametrize("role", [FORGOTTEN, KEPT])
def test_the_scores_are_those_of_plain_loops(role):
    pools = pools_of(19, 70, left=1.0, seed=3)
    ground = arena(pools, "after", (), POLICY)
    sides = ulira.ULira(role).play(ground)(None).sides()
    for ours, theirs in zip(sides, plainly(pools.need("after"), role, 8), strict=True):
        assert np.sort(ours) == pytest.approx(np.sort(theirs), abs=1e-9)


def test_a_block_left_out_is_left_out_everywhere():
    """Without block b the board is that of an audit that never had these models, fold for fold."""
    pools = pools_of(24, 80, left=1.0, seed=4)
    ground = arena(pools, "after", (), POLICY)
    board = ulira.ULira().play(ground)(3)
    rest = np.arange(24) % 8 != 3
    assert not (board.inside | board.outside)[~rest].any()
    changed = replaced(pools, "after", np.where(rest[:, None], pools.need("after").phi, 1e3))
    again = ulira.ULira().play(arena(changed, "after", (), POLICY))(3)
    for ours, theirs in zip(board.sides(), again.sides(), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-6)


def test_no_model_is_scored_by_normals_that_it_took_part_in():
    """One model's signals are moved: its own scores move, and its normals do not."""
    pools = pools_of(16, 80, left=1.0, seed=6)
    first = ulira.ULira().play(arena(pools, "after", (), POLICY))(None)
    phi = pools.need("after").phi.copy()
    phi[5] = 0.0
    second = ulira.ULira().play(arena(replaced(pools, "after", phi), "after", (), POLICY))(None)
    fold = np.arange(16) % 8 == 5
    differs = (first.scores != second.scores) & first.inside
    assert differs[~fold].any()  # others were fitted on it
    fitted = [Sums.of(p, first.inside, np.arange(16) % 8 == 5 * np.ones(16)) for p in (pools.need("after").phi, phi)]
    assert np.array_equal(fitted[0].counts, fitted[1].counts)
    twin = 13  # shares the fold of model 5: the fit for both leaves both out
    assert np.array_equal(first.scores[twin], second.scores[twin])


def test_models_in_another_order_and_in_pairs_give_the_same():
    pools = pools_of(32, left=1.0)
    shuffled = np.random.default_rng(0).permutation(32)
    mixed = replace(pools, pools=tuple(p.take(shuffled) if p.world == "after" else p for p in pools.pools))
    assert measured(mixed) == measured(pools)


def test_arms_of_different_size_are_compared_in_pairs():
    pools = pools_of(64, left=1.0)
    fewer = replace(pools, pools=tuple(p.take(np.arange(24)) if p.world == "reference" else p for p in pools.pools))
    found = measured(fewer)
    assert found["membership.ulira_auc@after"].n_models == 64
    assert found["membership.ulira_auc_excess@after"].n_models == 24
    assert found["membership.ulira_auc_excess@after"].low > 0


def test_equal_models_have_an_excess_of_exactly_zero():
    pools = pools_of(16)
    same = replaced(pools, "after", pools.need("reference").phi)
    excess = measured(same)["membership.ulira_auc_excess@after"]
    assert (excess.value, excess.low, excess.high, excess.p_value) == (0, 0, 0, 1)


# -- signals at the edge ----------------------------------------------------------------------------------------------


def test_b5_a_constant_signal_scores_a_half_and_not_nan():
    """B5: normals fitted to 'right or wrong' have no variance where every model is right; public code gives NaN."""
    pools = pools_of(16, 80)
    right = np.ones(pools.need("after").roles.shape)

    def public(values):
        with np.errstate(all="ignore"):
            return norm.logpdf(values, values.mean(0), values.std(0))  # scored on what it was fitted to, no negatives

    assert np.isnan(public(right)).all()
    same = replaced(replaced(pools, "after", right), "reference", right)
    found = measured(same)
    assert found["membership.ulira_auc@after"].value == 0.5
    assert found["membership.ulira_balanced_accuracy@after"].value == 0.5
    assert found["membership.ulira_tpr_1pct@after"].value == 0
    assert found["membership.ulira_auc_excess@after"].value == 0


def test_b5_scoring_what_was_fitted_finds_residue_where_there_is_none():
    """B5: without held-out models, a perfectly unlearned pool looks as if it leaked."""
    pool = pools_of(16, 200, left=0.0).need("after")
    was, never = (Sums.of(pool.phi, pool.has(role)).fit(variance="shrunk") for role in (FORGOTTEN, NEVER))
    seen = was.known & never.known
    scores = log_ratio(pool.phi, was, never)
    overfitted = Board(scores, pool.has(FORGOTTEN) & seen, pool.has(NEVER) & seen)
    assert area(*overfitted.sides()) > 0.6
    held_out = measured(pools_of(16, 200, left=0.0))["membership.ulira_auc@after"]
    assert held_out.low <= 0.5 <= held_out.high


def test_signals_of_ten_thousand_are_finite():
    pools = pools_of(16, 80)
    wild = np.where(pools.need("after").has(FORGOTTEN), 1e4, -1e4)
    found = measured(replaced(pools, "after", wild))
    assert found["membership.ulira_auc@after"].value == 1.0
    assert found["membership.ulira_auc@after"].low < 1.0
    assert all(np.isfinite(e.value) for e in found.values())


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e3))
def test_units_and_origin_of_the_signal_do_not_matter(origin, scale):
    pools = pools_of(10, 90, left=1.0)
    ground = arena(pools, "after", (), POLICY)
    moved = arena(replaced(pools, "after", origin + scale * pools.need("after").phi), "after", (), POLICY)
    before, after = (area(*ulira.ULira().play(g)(None).sides()) for g in (ground, moved))
    assert after == pytest.approx(before, abs=1e-6)


# -- W8 ---------------------------------------------------------------------------------------------------------------


def test_w8_shadows_that_never_pass_the_unlearner_miss_what_it_leaves():
    """W8: an unlearner that pushes records *below* those never learnt leaves a mark that only U-LiRA is trained on."""
    found = measured(pools_of(128, shift=2.0, left=-2.0))
    fooled, ours = found["membership.lira_online_auc@after"], found["membership.ulira_auc@after"]
    assert fooled.high < 0.2  # reads as 'forgotten better than perfectly'
    assert ours.low > 0.85
    assert found["membership.ulira_auc_excess@after"].p_value < 1e-4


# -- what cannot be measured ------------------------------------------------------------------------------------------


def test_what_cannot_be_measured_is_said():
    few = measured(pools_of(7))
    assert few["membership.ulira_auc_excess@after"].status == "not_measured"
    assert "8 models or more" in few["membership.ulira_auc@after"].note
    pools = pools_of(16)
    alone = measured(replace(pools, pools=tuple(p for p in pools.pools if p.world == "after")))
    assert alone["membership.ulira_auc@after"].status == "measured"
    assert alone["membership.ulira_auc@after"].null is None
    assert "no pool of models reference" in alone["membership.ulira_auc_excess@after"].note
    assert "no pool of models before" in alone["membership.lira_online_auc@after"].note
    labels = Pool(
        "after", pools.need("after").roles, pools.truth, np.arange(16), top=pools.need("after").roles.astype(int)
    )
    tops = measured(Pools(pools.ids, pools.truth, 4, (labels,)))
    assert "signals need logits" in tops["membership.ulira_auc@after"].note


def test_every_name_is_there_whatever_happens():
    pools = pools_of(16)
    assert list(measured(pools)) == list(measured(replace(pools, pools=())))


def test_own_variances_need_64_models():
    found = by_name(evidence(pools_of(32), POLICY, ulira.ulira("record")))
    assert "needs 64 models, not 32" in found["membership.ulira_auc@after"].note


# -- rates ------------------------------------------------------------------------------------------------------------


def test_few_negatives_flag_one_percent_and_refuse_one_permille():
    policy = POLICY.model_copy(update={"fprs": (0.01, 0.001)})
    small = measured(pools_of(8, 150), policy)
    assert small["membership.ulira_tpr_1pct@after"].status == "measured"
    assert "negatives: the false positive rate" in small["membership.ulira_tpr_1pct@after"].note
    assert "not given below 10,000 negatives" in small["membership.ulira_tpr_1permille@after"].note
    large = measured(pools_of(128, 260), policy)
    assert large["membership.ulira_tpr_1pct@after"].note is None
    assert large["membership.ulira_tpr_1permille@after"].status == "measured"


@given(st.lists(st.integers(0, 8), min_size=1, max_size=40), st.lists(st.integers(0, 8), min_size=1, max_size=40))
def test_the_threshold_is_the_smallest_whose_rate_is_low_enough(inside, outside):
    a, b = np.array(inside, float), np.array(outside, float)
    for fpr in (0.01, 0.1, 0.25, 0.5):
        fine = [t for t in np.concatenate([b, [b.max()]]) if (b > t).mean() <= fpr + 1e-9]
        assert true_positives(a, b, fpr) == (a > min(fine)).mean()


def test_w6_the_nearest_point_of_the_curve_may_exceed_the_rate():
    """W6: the point nearest to 1 % lies at 1.4 %; ours never exceeds the rate, ties included."""
    outside = np.repeat(np.arange(72.0), 1)
    inside = np.array([71.0, 71.5, 10.0])
    cuts = np.concatenate([[np.inf], np.sort(outside)[::-1]])
    fpr = np.array([(outside >= c).mean() for c in cuts])
    nearest = cuts[np.abs(fpr - 0.01).argmin()]
    assert (outside >= nearest).mean() > 0.01
    assert (inside >= nearest).mean() > true_positives(inside, outside, 0.01)
    assert true_positives(inside, outside, 0.01) == pytest.approx(1 / 3)
    assert true_positives(np.full(5, 3.0), np.full(50, 3.0), 0.01) == 0


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.lists(st.integers(0, 6), min_size=1, max_size=30))
def test_area_and_accuracy_by_counting(inside, outside):
    a, b = np.array(inside, float) - 3, np.array(outside, float) - 3
    wins = (a[:, None] > b).mean() + 0.5 * (a[:, None] == b).mean()
    assert area(a, b) == pytest.approx(wins)
    right = ((a > 0).mean() + 0.5 * (a == 0).mean() + (b < 0).mean() + 0.5 * (b == 0).mean()) / 2
    assert balanced_accuracy(a, b) == pytest.approx(right)


def test_empty_sides_and_nan_are_refused():
    for sides in ((np.zeros(0), np.ones(2)), (np.ones(2), np.zeros(0)), (np.array([np.nan]), np.ones(2))):
        with pytest.raises(BadInput):
            area(*sides)
    with pytest.raises(BadInput, match="both sides"):
        true_positives(np.zeros(0), np.ones(2), 0.1)


@given(st.integers(3, 40), st.integers(2, 9), st.integers(3, 9))
def test_splits_score_every_model_once_and_never_fit_on_it(n_models, n_folds, n_blocks):
    split = Split.of(n_models, POLICY.model_copy(update={"n_folds": n_folds, "n_blocks": n_blocks}))
    for left in (None, *range(len(split.sizes))):
        scored = []
        for fit, models in split.rounds(left):
            assert not fit[split.cells[models]].any()
            assert split.playing(left)[models].all()
            scored += models.tolist()
        assert len(scored) == len(set(scored)) <= split.playing(left).sum()
    assert split.sizes.sum() == n_models
