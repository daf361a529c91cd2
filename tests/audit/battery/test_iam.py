"""IAM: its arithmetic, its game, and what it is not (B15)."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gumbel_r

from expunge.audit.battery import iam
from expunge.audit.battery.games import area
from expunge.audit.battery.membership_evidence import arena
from expunge.audit.pools import FORGOTTEN, NEVER
from expunge.core.errors import BadInput


def measured(pools):
    return by_name(iam.measure(pools, POLICY))


@given(st.floats(-6, 6), st.floats(-2, 8), st.integers(3, 60))
def test_the_score_is_the_weighted_mean_of_gumbel_distributions(now, then, n_steps):
    grid = np.linspace(0, 1, n_steps)
    total = 0.0
    for alpha, weight in zip(grid[:-1], grid[1:], strict=True):
        scale = np.sqrt(6) / np.pi * (1 - alpha)
        with np.errstate(over="ignore"):
            total += weight * gumbel_r.cdf(now, alpha * then - np.euler_gamma * scale, scale)
    assert iam.unlearned(np.array([now]), np.array([then]), n_steps) == pytest.approx(1 - total / grid[1:].sum())


def test_scores_lie_between_the_original_and_those_who_never_learnt():
    then = np.full(3, 8.0)
    original, between, never = iam.unlearned(np.array([8.0, 4.0, 0.0]), then)
    assert original < 0.2 < between < 0.8 < never
    wild = iam.unlearned(np.array([-1e4, 1e4]), np.array([1e4, -1e4]))
    assert np.isfinite(wild).all()
    assert ((wild >= 0) & (wild <= 1)).all()


def test_the_game_is_inside_one_model_and_runs_from_a_half_to_the_references_value():
    gone, half, all_left = (measured(pools_of(24, 160, shift=3.0, left=left)) for left in (0.0, 1.5, 3.0))
    value = [f["membership.iam_auc@after"].value for f in (all_left, half, gone)]
    assert value[0] == pytest.approx(0.5, abs=0.04)
    assert value[0] + 0.1 < value[1] < value[2] - 0.05
    assert gone["membership.iam_auc_excess@after"].p_value > 0.05
    harmful = all_left["membership.iam_auc_excess@after"]
    assert harmful.high < -0.1  # *less* than retraining is residue
    assert harmful.p_value < 1e-4


def test_completeness():
    gone, half = (
        measured(pools_of(24, 160, shift=3.0, left=left))["membership.iam_completeness@after"] for left in (0.0, 1.5)
    )
    assert gone.low <= 1 <= gone.high
    assert gone.p_value > 0.05
    assert 0.2 < half.value < 0.9
    assert half.p_value < 0.01
    pools = pools_of(24, 160, shift=3.0)
    nothing = replace(pools, pools=tuple(_as_before(p, pools) for p in pools.pools))
    assert measured(nothing)["membership.iam_completeness@after"].value == 0


def _as_before(pool, pools):
    return replace(pool, given=pools.need("before").phi) if pool.world == "after" else pool


def test_b15_used_against_never_members_perfect_unlearning_does_not_read_a_half():
    """B15: published 'high = forgetting shows' is a game against *kept* records; as a leakage attack it misleads."""
    pools = pools_of(64, 160, shift=2.0, left=0.0)  # perfect
    ground = arena(pools, "after", ("before",), POLICY)
    unlearned, known = iam.Iam().scores(ground)(None)
    roles = ground.target.roles
    as_leakage = area(*(-unlearned[known_all & (roles == r)] for known_all, r in _both(ground, unlearned)))
    assert as_leakage < 0.45  # reads as if forgotten records stood out
    found = measured(pools)
    assert found["membership.iam_auc@after"].value > 0.6
    assert found["membership.iam_auc_excess@after"].p_value > 0.05
    assert "no leakage attack" in found["membership.iam_auc@after"].note
    assert not (known & (roles == NEVER)).any()  # our game never touches them


def _both(ground, unlearned):
    """Score never-members too, as the misuse does: with the original's signal of records that it did not learn."""
    from expunge.audit.battery.normals import Sums

    target, originals = ground.target, ground.pools["before"]
    for cells, models in ground.split.rounds(None):
        out = Sums.of(originals.phi, originals.has(NEVER), ground.split.cells).fit(cells)
        rows = target.has(NEVER)[models]
        part = iam.unlearned(out.standardised(target.phi[models])[rows], out.standardised(originals.phi[models])[rows])
        block = unlearned[models]
        block[rows] = part
        unlearned[models] = block
    everywhere = np.ones(target.roles.shape, bool)
    return [(everywhere, FORGOTTEN), (everywhere, NEVER)]


def test_what_cannot_be_measured_is_said():
    pools = pools_of(16)
    bare = measured(replace(pools, pools=tuple(p for p in pools.pools if p.world != "before")))
    assert {e.status for e in bare.values()} == {"not_measured"}
    same = replace(pools, pools=tuple(replace(p, given=pools.need("before").phi) for p in pools.pools))
    assert "retraining moves no forgotten record" in measured(same)["membership.iam_completeness@after"].note
    with pytest.raises(BadInput, match="three steps"):
        iam.Iam(n_steps=2).play(arena(pools, "after", ("before",), POLICY))
