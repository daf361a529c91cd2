"""RMIA: its arithmetic, its null, and signals at the edge."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of

from expunge.audit.battery import rmia
from expunge.audit.battery.games import area
from expunge.audit.battery.membership_evidence import arena, evidence
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION
from expunge.core.errors import BadInput
from expunge.core.estimates import proportion


def measured(pools):
    return by_name(rmia.measure(pools, POLICY))


def plainly(pool, attack, n_folds=8):
    """RMIA again, with loops."""
    M, n = pool.roles.shape
    p = 1 / (1 + np.exp(-pool.phi))
    scores = np.full((M, n), np.nan)
    for i in range(M):
        others = [j for j in range(M) if j % n_folds != i % n_folds]
        ratio = np.full(n, np.nan)
        for x in range(n):
            out = [p[j, x] for j in others if pool.roles[j, x] in (NEVER, POPULATION)]
            held = [p[j, x] for j in others if pool.roles[j, x] in (KEPT, FORGOTTEN)]
            if not out:
                continue
            expected = 0.5 * ((1 + attack.a) * np.mean(out) + 1 - attack.a)
            if attack.online and held:
                expected = 0.5 * (np.mean(held) + np.mean(out))
            ratio[x] = p[i, x] / expected
        population = ratio[pool.roles[i] == POPULATION]
        for x in range(n):
            if pool.roles[i, x] in (FORGOTTEN, NEVER) and not np.isnan(ratio[x]):
                scores[i, x] = np.mean([ratio[x] / z >= attack.gamma for z in population])
    return scores


@pytest.mark.parametrize(
    "attack", [rmia.Rmia(), rmia.Rmia(gamma=2.0, a=0.7), rmia.Rmia(online=True)], ids=["offline", "gamma", "online"]
)
def test_the_scores_are_those_of_plain_loops(attack):
    pools = pools_of(17, 90, left=1.0, seed=3)
    board = attack.play(arena(pools, "after", (), POLICY))(None)
    expected = plainly(pools.need("after"), attack)
    mine = board.inside | board.outside
    assert np.array_equal(mine, ~np.isnan(expected))
    assert board.scores[mine] == pytest.approx(expected[mine])


def test_retraining_gives_a_half_and_residue_is_found():
    gone = [measured(pools_of(64, left=0.0, seed=s)) for s in range(5)]
    assert all(abs(g["membership.rmia_auc@after"].value - 0.5) < 0.03 for g in gone)
    assert np.median([g["membership.rmia_auc_excess@after"].p_value for g in gone]) > 0.05
    left = measured(pools_of(64, left=2.0))
    assert left["membership.rmia_auc_excess@after"].low > 0.1


def test_signals_of_ten_thousand_are_finite():
    pools = pools_of(16, 100)
    after = pools.need("after")
    wild = np.select([after.has(FORGOTTEN), after.has(POPULATION)], [1e4, 0.0], -1e4)
    others = tuple(replace(p, given=wild) if p.world == "after" else p for p in pools.pools)
    board = rmia.Rmia().play(arena(replace(pools, pools=others), "after", (), POLICY))(None)
    assert np.isfinite(board.scores).all()
    assert area(*board.sides()) == 1.0


def test_bad_settings_and_small_populations_are_refused():
    pools = pools_of(16, 100)
    ground = arena(pools, "after", (), POLICY)
    for attack in (rmia.Rmia(gamma=0.0), rmia.Rmia(a=1.5)):
        with pytest.raises(BadInput, match="RMIA needs"):
            attack.play(ground)
    few = measured(_with_population(pools, 4))
    assert "population of 10" in few["membership.rmia_auc@after"].note


def _with_population(pools, count):
    def cut(pool):
        roles = np.where(pool.roles == POPULATION, KEPT, pool.roles)
        roles[:, :count] = POPULATION
        return replace(pool, roles=roles.astype(np.uint8))

    return replace(pools, pools=tuple(cut(p) for p in pools.pools))


@pytest.mark.parametrize("world", ["before", "after"])
def test_an_excess_that_no_models_move_has_no_width_only_where_they_are_the_same(world):
    """Two attacks that find nobody differ by 0 in every block; of other models that says only so much."""
    pools = pools_of(16, 120, left=1.0)
    blind = replace(rmia.rmia(), play=rmia.Rmia(gamma=1e9).play)
    found = by_name(evidence(pools, POLICY, blind))[f"membership.rmia_tpr_1pct_excess@{world}"]
    assert (found.value, found.n_models) == (0.0, 16)
    assert found.high == -found.low == pytest.approx(proportion(0, 16).high)
    same = by_name(evidence(pools.judging(pools.need("reference")), POLICY, blind))
    assert same["membership.rmia_tpr_1pct_excess@after"].high == 0.0
