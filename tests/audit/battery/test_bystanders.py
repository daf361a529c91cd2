"""Bystanders (M31, A10): kept records are found to rise where they do, and at chance where nothing changed."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.fixed_pools import fixed_pools
from audit.battery.pool_worlds import POLICY, by_name, pools_of
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.battery import bystanders
from expunge.audit.battery.bystanders import FEWEST, Changes, measure
from expunge.audit.pools import KEPT, NEVER, Pool, Pools

NAMES = set(bystanders.NAMES)


def later(pools, change, seed=9, noise=0.5):
    """The pools, where ``after`` is ``before`` but for noise that all worlds have, and a change of kept records."""
    generator = np.random.default_rng([seed, 1])
    before = pools.need("before")

    def pool(world, phi):
        moved = phi + noise * generator.normal(size=phi.shape)
        return Pool(world, before.roles, before.truth, before.pairs, given=moved)

    raised = before.phi + change * (before.roles == KEPT)
    worlds = {"before": before.phi, "after": raised, "reference": pools.need("reference").phi}
    return replace(pools, pools=tuple(pool(world, phi) for world, phi in worlds.items()))


def mutant(pools):
    """A10 by hand: signals of kept records that rose by two standard errors, whoever rose with them."""
    before, after = pools.need("before"), pools.need("after")
    kept = before.roles == KEPT
    seen = kept.sum(axis=0) > FEWEST
    held = np.where(kept, after.phi - before.phi, np.nan)[:, seen]
    return float(np.mean(np.nanmean(held, axis=0) > 2 * np.nanstd(held, axis=0) / np.sqrt(kept.sum(axis=0)[seen])))


@pytest.mark.parametrize("paired_noise", [0.0, 0.5, 3.0])
def test_with_after_as_before_at_most_five_percent_rise(paired_noise):
    """A10's pass: after = before, equal or but for noise, gives a share above 2 σ of 5 % at most."""
    found = by_name(measure(later(pools_of(64, seed=1), 0.0, noise=paired_noise), POLICY))
    share = found["bystanders.share@after"]
    assert share.value <= 0.05
    assert share.p_value > 0.01
    assert share.null.value <= 0.04
    rise = found["bystanders.rise@after"]
    assert rise.low <= 0 <= rise.high
    assert set(found) == NAMES


def test_equal_models_give_exactly_nothing():
    pools = pools_of(32, seed=2)
    found = by_name(measure(pools.judging(pools.need("before")), POLICY))
    share = found["bystanders.share@after"]
    assert (share.low, share.value, share.high, share.p_value) == (0, 0, 0, 1)
    same = pools.judging(replace(pools.need("reference"), world="after"))
    excess = by_name(measure(same, POLICY))["bystanders.share_excess@after"]
    assert (excess.low, excess.value, excess.high, excess.p_value) == (0, 0, 0, 1)


def test_raised_bystanders_are_found_and_retraining_is_not_blamed():
    """Kept records that stand out by one standard deviation more: nearly all of them rise, of retraining few do."""
    found = by_name(measure(later(pools_of(64, seed=3), 1.0), POLICY))
    share, excess = found["bystanders.share@after"], found["bystanders.share_excess@after"]
    assert share.value > 0.9
    assert share.p_value == pytest.approx(1 / 201)
    assert 0 < share.power < 0.2
    assert found["bystanders.share@reference"].value <= 0.05
    assert excess.low > 0.7
    assert excess.p_value < 1e-4
    assert found["bystanders.rise@after"].low > 0.8
    assert found["bystanders.rise@reference"].low <= 0


def test_a_shift_of_all_records_alike_is_no_exposure():
    """A mutant that looks at the kept records alone blames a model that is merely surer of everything."""
    alike = later(pools_of(64, seed=4), 0.0)
    after = alike.need("after")
    surer = alike.judging(replace(after, given=after.phi + 1.5))
    assert mutant(surer) > 0.9
    found = by_name(measure(surer, POLICY))["bystanders.share@after"]
    assert found.value <= 0.05
    assert found.p_value > 0.01


def test_the_share_is_at_its_level_on_average():
    """Fresh pools of the same kind, 40 audits: 2 to 4 % of records rise, the p-value rejects seldom, intervals hold."""
    shares, p_values, covered = [], [], []
    for seed in range(40):
        twin = later(pools_of(48, 160, seed=seed), 0.0, seed=seed, noise=1.0)
        changes = Changes.of(twin.need("before"), twin.need("after"))
        shares.append(changes.share())
        draws = changes.shares(changes.signs(np.random.default_rng(seed)))
        p_values.append((1 + np.sum(draws >= shares[-1])) / 201)
        rise = by_name(measure(twin, POLICY))["bystanders.rise@after"]
        covered.append(rise.low <= 0 <= rise.high)
    assert 0.02 <= np.mean(shares) <= 0.04
    assert np.mean(np.array(p_values) <= 0.05) <= 0.15
    assert np.mean(covered) >= 0.85


@given(st.integers(0, 10_000))
def test_a_rise_is_what_welch_says(seed):
    """Independent recomputation of one record, one draw as observed and one with swapped labels."""
    generator = np.random.default_rng(seed)
    pools = pools_of(40, 70, seed=seed)
    before = pools.need("before")
    after = Pool("after", before.roles, before.truth, before.pairs, given=before.phi + generator.normal(size=(40, 70)))
    try:
        changes = Changes.of(before, after)
    except bystanders.Unsupported:
        return
    signs = np.stack([np.ones(40), changes.signs(generator, 1)[0]])
    rise, error = changes.rises(signs)
    for row, sign in enumerate(signs):
        x, y = ((sign * changes.gaps[:, 0])[side[:, 0]] for side in (changes.kept, changes.never))
        assert rise[row, 0] == pytest.approx(x.mean() - y.mean())
        assert error[row, 0] == pytest.approx(np.sqrt(x.var(ddof=1) / len(x) + y.var(ddof=1) / len(y)))


def test_exposure_is_in_standard_deviations():
    """Signals ten times as large are the same exposure; a shift is none."""
    pools = pools_of(48, seed=5)
    before = pools.need("before")
    large = Pool("after", before.roles, before.truth, before.pairs, given=10 * before.phi)
    assert np.abs(Changes.of(before, large).gaps).max() < 1e-9
    moved = Pool("after", before.roles, before.truth, before.pairs, given=before.phi + 7)
    assert np.abs(Changes.of(before, moved).gaps).max() < 1e-9


def test_what_cannot_be_measured_is_said():
    fixed = measure(fixed_pools(16, n_forgotten=4, n_kept=6, n_holdout=4), POLICY)
    assert {e.name for e in fixed} == NAMES
    assert all(e.status == "not_measured" and f"{FEWEST} pairs" in e.note for e in fixed)
    pools = pools_of(32, seed=6)
    alone = Pools(pools.ids, pools.truth, 4, tuple(p for p in pools.pools if p.world != "reference"))
    found = by_name(measure(alone, POLICY))
    assert found["bystanders.share@after"].status == "measured"
    assert found["bystanders.share@reference"].status == "not_measured"
    assert found["bystanders.share_excess@after"].status == "not_measured"
    flat = [Pool(p.world, p.roles, p.truth, p.pairs, given=np.zeros(p.roles.shape)) for p in pools.pools]
    assert "do not vary" in measure(Pools(pools.ids, pools.truth, 4, tuple(flat)), POLICY)[0].note


def test_partners_are_found_in_any_order():
    pools = pools_of(32, seed=7)
    order = np.random.default_rng(0).permutation(32)[:24]
    mixed = replace(pools, pools=tuple(p if p.world == "before" else p.take(order) for p in pools.pools))
    found, straight = (
        by_name(measure(mixed, POLICY)),
        by_name(measure(replace(pools, pools=tuple(p.take(np.sort(order)) for p in pools.pools)), POLICY)),
    )
    for name in ("bystanders.share@after", "bystanders.rise@reference"):
        assert found[name].value == pytest.approx(straight[name].value)
    assert found["bystanders.share_excess@after"].value == pytest.approx(
        straight["bystanders.share_excess@after"].value
    )
    assert {NEVER, KEPT} <= set(np.unique(pools.need("before").roles).tolist())


def test_a_share_that_no_block_moves_has_the_interval_of_as_many_records():
    """All signals of kept records rise far: every block of models gives 1, and certainty is not claimed."""
    share = by_name(measure(later(pools_of(64, seed=8), 20.0), POLICY))["bystanders.share@after"]
    assert share.value == share.high == 1
    assert 0.95 < share.low < 1


def test_without_a_model_in_all_three_pools_there_is_no_excess():
    pools = pools_of(40, seed=9)
    cut = {"before": np.arange(40), "after": np.arange(20), "reference": np.arange(20, 40)}
    apart = replace(pools, pools=tuple(p.take(cut[p.world]) for p in pools.pools))
    assert "no model before" in by_name(measure(apart, POLICY))["bystanders.share_excess@after"].note
