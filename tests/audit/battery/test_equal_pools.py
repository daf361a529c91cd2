"""Models that are equal to retrained ones, and pools without partners: every measure of pools says what it can."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.fixed_pools import POLICY, by_name, fixed_pools
from audit.battery.pool_worlds import pools_of, with_logits

from expunge.audit.battery import composites, epsilon, klom, outputs, quality, untrained
from expunge.audit.battery.run import GIVES
from expunge.audit.pools import Pools

MEASURES = (klom, quality, epsilon, outputs, untrained, composites)


def measured(pools):
    return by_name([e for m in MEASURES for e in m.measure(pools, POLICY)])


def test_exact_unlearning_has_no_excess_at_all():
    pools = fixed_pools(64, seed=1, n_forgotten=8, n_kept=10, n_holdout=10)
    equal = measured(pools.judging(pools.need("reference")))
    excesses = [e for name, e in equal.items() if name.endswith("_excess@after") and e.status == "measured"]
    assert len(excesses) == 4 * 3 + 1 + 2 * 3
    for found in excesses:
        assert found.value == pytest.approx(0, abs=1e-9)
        assert found.high - found.low < 1e-9
        assert found.p_value == pytest.approx(1)
    ratio = equal["likeness.forgetting_quality_ratio@after"]
    assert (ratio.low, ratio.value, ratio.high) == pytest.approx((1, 1, 1))
    assert equal["likeness.epsilon_lower_bound@after"].value == 0
    assert equal["composite.tow@after"].value == 1


def test_pools_without_partners_are_compared_as_pools():
    found = measured(fixed_pools(64, seed=2, left=2.0, paired=False, n_forgotten=8, n_kept=10, n_holdout=10))
    for name in ("klom_forgotten_excess", "energy_forgotten_excess", "forgetting_epsilon_excess"):
        assert found[f"likeness.{name}@after"].low > 0
        assert found[f"likeness.{name}@after"].null.what == "labels of the pooled models permuted"
    assert found["likeness.epsilon_lower_bound@after"].value > 1
    assert found["likeness.klom_kept_excess@after"].p_value > 0.01
    assert found["composite.tow@after"].status == "not_measured"


def test_many_models_with_forgotten_records_of_their_own():
    """KLoM needs 64 models that forgot a record: of kept and holdout records there are as many here."""
    pools = pools_of(200, 120, seed=4)
    found = measured(with_logits(pools))
    assert found["likeness.klom_forgotten_excess@after"].status == "not_measured"
    assert found["likeness.klom_kept_excess@after"].p_value > 0.01
    assert found["likeness.klom_holdout_excess@after"].low <= 0
    assert found["likeness.klom_kept_excess@after"].n_models >= 64
    assert found["likeness.epsilon_lower_bound@before"].value > 1


def test_without_references_everything_is_missing_by_name():
    pools = fixed_pools(64, n_forgotten=4, n_kept=4, n_holdout=4)
    alone = Pools(pools.ids, pools.truth, pools.n_classes, pools.pools[:2], controls=pools.controls)
    found = measured(alone)
    assert {e.status for e in found.values()} == {"not_measured"}
    assert {name for name in measured(pools) if "legacy" not in name} <= set(found)


def test_names_are_those_that_the_battery_expects():
    pools = fixed_pools(16, n_forgotten=4, n_kept=4, n_holdout=4)
    for measure in MEASURES:
        starts = GIVES[measure.__name__.rsplit(".", 1)[1]]
        assert all(e.name.startswith(starts) for e in measure.measure(pools, POLICY))


def test_the_same_seeds_give_the_same_evidence_and_pools_stay_as_they_were():
    pools = fixed_pools(64, seed=5, n_forgotten=4, n_kept=4, n_holdout=4)
    held = [pool.logits.copy() for pool in pools.pools]
    assert measured(pools) == measured(replace(pools))
    assert all((pool.logits == old).all() for pool, old in zip(pools.pools, held, strict=True))
    assert np.isfinite([e.value for e in measured(pools).values()]).all()
