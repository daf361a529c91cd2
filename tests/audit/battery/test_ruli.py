"""RULI: its densities, its two games, its halves, and what public code does instead (W6)."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of
from scipy.stats import gaussian_kde

from expunge.audit.battery import ruli
from expunge.audit.battery.games import area
from expunge.audit.battery.membership_evidence import arena


def measured(pools):
    return by_name(ruli.measure(pools, POLICY))


def test_densities_are_those_of_silverman():
    generator = np.random.default_rng(0)
    phi, inside = generator.normal(3, 2, size=(30, 4)), generator.random((30, 4)) < 0.7
    ours = ruli.Densities.of(phi, inside)
    asked = generator.normal(3, 4, size=(6, 4))
    for x in range(4):
        theirs = gaussian_kde(phi[inside[:, x], x], "silverman").logpdf(asked[:, x])
        own = ours.log_density(asked)[:, x]
        assert own - own[0] == pytest.approx(theirs - theirs[0], abs=2e-4)
        assert ours.count[x] == inside[:, x].sum()


def test_densities_far_away_and_without_spread_are_finite():
    phi = np.ones((6, 3))
    inside = np.array([[1, 1, 0]] * 6, bool)
    inside[3:, 1] = False
    ours = ruli.Densities.of(phi, inside)
    assert np.isfinite(ours.log_density(np.array([[1e4, -1e4, 0.0]]))).all()
    assert ours.known.tolist() == [True, True, False]


def test_a_density_takes_thirty_points_at_most():
    ours = ruli.Densities.of(np.arange(80.0)[:, None], np.ones((80, 1), bool))
    assert ours.points.shape == (30, 1)
    assert ours.centre[0] == np.arange(30).mean()


@pytest.mark.parametrize("left", [0.0, 2.0])
def test_both_games_know_what_is_left(left):
    found = measured(pools_of(64, 160, left=left, seed=1))
    for game in ("leakage", "efficacy"):
        excess = found[f"membership.ruli_{game}_auc_excess@after"]
        assert (excess.low > 0.15) if left else (excess.low <= 0 <= excess.high)
        assert found[f"membership.ruli_{game}_auc_excess@before"].low > 0.15
    assert "membership.ruli_efficacy_auc@reference" not in found
    assert found["membership.ruli_efficacy_auc@after"].null is None


def test_the_vulnerable_half_is_the_one_that_learning_moves():
    pools = pools_of(64, 160, shift=2.0, left=0.0)
    easy = np.arange(160) % 2 == 0  # these are hardly learnt
    never = pools_of(64, 160, shift=0.0, left=0.0).need("reference").phi
    learnt = np.where(easy, never, pools.need("before").phi)
    changed = tuple(replace(p, given=learnt) if p.world != "reference" else p for p in pools.pools)
    found = measured(replace(pools, pools=changed))
    vulnerable, protected = (found[f"membership.ruli_leakage_auc_{h}@after"].value for h in ("vulnerable", "protected"))
    assert vulnerable > 0.75
    assert protected < 0.6
    ground = arena(replace(pools, pools=changed), "after", ("before",), POLICY)
    board = ruli.Ruli().play(ground)(None)
    members = board.inside | board.outside
    assert (board.groups["vulnerable"] & members)[:, ~easy].sum() > 10 * (board.groups["vulnerable"] & members)[
        :, easy
    ].sum()
    assert not (board.groups["vulnerable"] & board.groups["protected"]).any()


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_w6_a_fixed_bandwidth_depends_on_the_unit_of_the_signal(scale):
    """W6: with a bandwidth of 1.0, signals in other units lose what Silverman's keeps."""

    def fixed(pool):
        roles, phi = pool.roles, pool.phi
        scores = np.zeros(phi.shape)
        for i in range(len(phi)):
            others = np.arange(len(phi)) != i
            parts = []
            for role in (2, 0):
                kernels = np.exp(-0.5 * (phi[i] - phi) ** 2) * ((roles == role) & others[:, None])
                parts.append(np.log(kernels.sum(0) / np.maximum((roles == role).sum(0), 1) + 1e-300))
            scores[i] = parts[0] - parts[1]
        return area(scores[roles == 2], scores[roles == 0])

    def silverman(pools):
        return area(*ruli.Ruli().play(arena(pools, "after", ("before",), POLICY))(None).sides())

    plain, other = pools_of(48, 120, left=2.0), pools_of(48, 120, left=2.0, scale=scale)
    assert silverman(other) == pytest.approx(silverman(plain), abs=1e-4)
    assert fixed(plain.need("after")) - fixed(other.need("after")) > 0.03


def test_few_models_are_not_measured():
    assert "36 models" in measured(pools_of(35, 120))["membership.ruli_leakage_auc@after"].note
