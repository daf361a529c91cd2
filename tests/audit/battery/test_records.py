"""The record test (M27): zero when perfect, honest at both ends, and paired where models share members."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of

from expunge.audit.battery import records
from expunge.audit.battery.records import Signals
from expunge.audit.pools import FORGOTTEN, NEVER, POPULATION, Pool, Pools


def asked(n_models=32, n_records=200, *, shift=0.0, share=1.0, pair=0.5, seed=0, paired=True, n_references=None):
    """All models have forgotten the same records; a share of these still stands `shift` standard deviations off."""
    generator = np.random.default_rng(seed)
    n_references = n_models if n_references is None else n_references
    off = np.where(np.arange(n_records) < share * n_records, shift * np.sqrt(2), 0.0)
    common = pair * generator.normal(size=(max(n_models, n_references), n_records)) * paired
    truth = np.zeros(n_records, np.int64)

    def pool(world, count, first, gain):
        roles = np.full((count, n_records), FORGOTTEN, np.uint8)
        phi = common[:count] + gain + generator.normal(size=roles.shape)
        return Pool(world, roles, truth, first + np.arange(count), given=phi)

    worlds = (
        pool("before", n_models, 0, 3.0),
        pool("after", n_models, 0, off),
        pool("reference", n_references, 0 if paired else 1000, 0.0),
    )
    return Pools(tuple(map(str, range(n_records))), truth, 2, worlds)


def measured(pools):
    found = by_name(records.measure(pools, POLICY))
    return found["likeness.record_test@before"], found["likeness.record_test@after"]


def test_perfect_forgetting_rejects_nothing_and_is_inside_the_margin():
    before, after = measured(asked())
    assert (after.value, after.low) == (0.0, 0.0)
    assert 0 < after.high < 0.05
    assert after.null.value == 0
    assert after.p_value == 1.0
    assert before.value == 1.0
    assert before.p_value == pytest.approx(1 / 201)
    assert (after.n, after.n_models) == (200, 64)


@pytest.mark.parametrize("paired", [True, False])
def test_records_that_still_stand_off_are_found(paired):
    after = measured(asked(shift=2.0, share=0.3, paired=paired))[1]
    assert after.value == pytest.approx(0.3, abs=0.04)
    assert after.low > 0.2
    assert after.p_value < 0.01
    assert ("Wilcoxon" in after.estimator) == paired


def test_pairing_finds_what_the_unpaired_test_cannot_see():
    """Section 7: on models that share members Mann–Whitney is badly conservative, and misses what is there."""
    pools = asked(shift=1.0, share=0.3, pair=4.0)
    after = pools.need("after")
    apart = replace(pools, pools=(*pools.pools[::2], replace(after, pairs=after.pairs + 1000)))
    assert measured(pools)[1].value > 0.2
    assert measured(apart)[1].value == 0.0


def test_equal_signals_are_an_exact_zero():
    pools = asked()
    same = replace(pools.need("reference"), world="after")
    after = measured(pools.judging(same))[1]
    assert (after.value, after.low, after.high) == (0.0, 0.0, 0.0)


def test_too_few_models_are_never_within_the_margin():
    """Eight pairs can reject nothing that holds for less than a sixth of the records: no interval may say otherwise."""
    after = measured(asked(8))[1]
    assert after.high == after.power == 1.0
    assert measured(asked(5))[1].status == "not_measured"
    assert "6 pairs" in measured(asked(5))[1].note


def test_records_with_models_enough_are_tested_and_others_are_not():
    pools = pools_of(48, 400, left=0.0)
    after = measured(pools)[1]
    both = (pools.need("after").roles == FORGOTTEN).sum(axis=0)
    assert after.n == int((both >= 6).sum())
    assert after.power > 0.05, "six pairs a record have next to no power, and the evidence says so"


@pytest.mark.parametrize(("n_models", "n_references"), [(20, 36), (36, 20)])
def test_pools_of_other_sizes_are_compared(n_models, n_references):
    after = measured(asked(n_models, shift=2.0, share=0.3, paired=False, n_references=n_references))[1]
    assert after.value == pytest.approx(0.3, abs=0.06)
    assert after.n_models == 56


def test_without_signals_or_references_nothing_is_measured():
    pools = asked()
    without = replace(pools, pools=pools.pools[:2])
    assert measured(without)[1].note == "there is no pool of models reference"
    never = replace(pools.need("after"), roles=np.full_like(pools.need("after").roles, NEVER))
    assert measured(pools.judging(never))[1].status == "not_measured"
    shown = replace(pools.need("after"), given=None, top=np.zeros((32, 200), np.int64))
    assert "signals need logits" in measured(pools.judging(shown))[1].note


@pytest.mark.parametrize("paired", [True, False])
def test_a_low_end_above_zero_needs_what_shuffled_labels_do_not_give(paired):
    """Under the null the share is above zero in one of twenty audits at most, and its low end in fewer."""
    above, low = 0, 0
    for seed in range(100):
        pools = asked(24, 60, seed=seed, paired=paired)
        signals = records.face(pools, "after")
        compared = signals.compared(np.random.default_rng(seed), 99)
        above += compared.value > 0
        low += records.interval(signals, compared, POLICY).low > 0
    assert above <= 11
    assert low <= 6


def test_reach_is_the_share_found_with_eighty_percent():
    """Records one standard deviation off, at the share that is printed: found in 80 % of audits or more."""
    generator = np.random.default_rng(5)
    n = 400
    share = 0.0
    found = []
    for _ in range(60):
        off = np.where(np.arange(n) < max(share, 1 / n) * n, np.sqrt(2), 0.0)
        values = np.concatenate([off + generator.normal(size=(16, n)), generator.normal(size=(16, n))])
        signals = Signals(values, np.ones(values.shape, bool), 16, paired=True)
        share = signals.reach()
        found.append(signals.share() > 0)
    assert share == pytest.approx(0.043, abs=0.001)
    assert np.mean(found[1:]) >= 0.8


def test_the_population_is_not_tested():
    pools = asked()
    roles = np.full_like(pools.need("after").roles, POPULATION)
    roles[:, :100] = FORGOTTEN
    cut = replace(pools, pools=tuple(replace(p, roles=roles) for p in pools.pools))
    assert measured(cut)[1].n == 100
