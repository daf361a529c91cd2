"""The portfolio: it finds what its best attack finds, and choosing costs nothing where there is nothing to find."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of

from expunge.audit.battery import portfolio, ulira
from expunge.audit.battery.games import Split
from expunge.core.errors import BadInput


def measured(pools):
    return by_name(portfolio.measure(pools, POLICY))


def test_it_is_as_good_as_its_best_attack():
    pools = pools_of(64, left=2.0)
    best = by_name(ulira.measure(pools, POLICY))["membership.ulira_auc_excess@after"]
    ours = measured(pools)["membership.portfolio_auc_excess@after"]
    assert ours.value == pytest.approx(best.value, abs=0.02)
    assert ours.p_value < 1e-4
    assert measured(pools)["membership.portfolio_auc_excess@before"].low > 0.2


def test_choosing_and_reporting_on_the_same_models_finds_what_is_not_there():
    """M17: the best of three on all models is above zero on average; chosen on the other half it is not."""
    naive, split = [], []
    for seed in range(24):
        found = portfolio.areas(pools_of(16, 160, left=0.0, seed=seed), POLICY, "after")
        excess = (found.values["after"] - found.values["reference"])[0].mean(axis=1)
        naive.append(excess.max())
        split.append(found.chosen("after")[2].value)
    error = np.std(split) / np.sqrt(len(split))
    assert np.mean(naive) > 2 * np.std(naive) / np.sqrt(len(naive))
    assert abs(np.mean(split)) < 2.5 * error


@pytest.mark.parametrize("n_models", [8, 16, 19, 64, 128])
def test_halves_share_every_block_that_has_two_models(n_models):
    split = Split.of(n_models, POLICY)
    first = portfolio.halves(split)
    assert abs(int(first.sum()) - n_models / 2) <= 1
    blocks = split.block[split.cells]
    for block in range(8):
        mine = first[blocks == block]
        assert len(mine) < 2 or 0 < mine.sum() < len(mine)


def test_what_cannot_be_measured_is_said():
    pools = pools_of(16)
    alone = measured(replace(pools, pools=(pools.need("after"),)))
    assert "no pool of models reference" in alone["membership.portfolio_auc_excess@after"].note
    assert "no pool of models before" in alone["membership.portfolio_auc@before"].note
    assert "8 models" in measured(pools_of(7))["membership.portfolio_auc@after"].note
    with pytest.raises(BadInput, match="8 models"):
        portfolio.areas(pools_of(7), POLICY, "after")
