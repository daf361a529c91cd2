"""The population attack, in both forms, with many models and with one."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from expunge.audit.battery import population
from expunge.audit.battery.rmia import log_probability
from expunge.audit.pools import FORGOTTEN, NEVER, POPULATION
from expunge.core import estimates
from expunge.core.errors import BadInput


def measured(pools, policy=POLICY):
    return by_name(population.measure(pools, policy))


def only(pools, **counts):
    """Pools cut to some models; a world that is not named is gone."""
    return replace(pools, pools=tuple(p.take(np.arange(counts[p.world])) for p in pools.pools if p.world in counts))


def test_the_value_is_the_mean_of_the_models_own_areas():
    pools = pools_of(16, left=1.0)
    pool = pools.need("after")
    areas = []
    for phi, roles in zip(pool.phi, pool.roles, strict=True):
        ranks = rankdata(phi[(roles == FORGOTTEN) | (roles == POPULATION)])
        inside = roles[(roles == FORGOTTEN) | (roles == POPULATION)] == FORGOTTEN
        m, n = inside.sum(), (~inside).sum()
        areas.append((ranks[inside].sum() - m * (m + 1) / 2) / (m * n))
    assert measured(pools)["membership.population_auc@after"].value == pytest.approx(np.mean(areas))


def test_only_the_excess_tells_hard_records_from_memory():
    """V8: forgotten records may be unlike the population; against retraining, nothing is left of it."""
    found = measured(pools_of(64, left=0.0, seed=2))
    after, excess = found["membership.population_auc@after"], found["membership.population_auc_excess@after"]
    assert abs(after.value - 0.5) > 0.01  # difficulty, not memory
    assert after.null.value == found["membership.population_auc@reference"].value
    assert excess.low <= 0 <= excess.high
    assert found["membership.population_auc_excess@before"].low > 0.1
    assert measured(pools_of(64, left=1.0, seed=2))["membership.population_auc_excess@after"].p_value < 1e-4


def test_loss_and_signal_have_one_order():
    phi = np.array([-1e4, -30.0, -1.0, 0.0, 2.0, 30.0, 1e4])
    losses = -log_probability(phi)
    assert np.isfinite(losses).all()
    assert losses[3] == pytest.approx(np.log(2))
    assert losses[0] == pytest.approx(1e4)
    assert (np.diff(losses) <= 0).all()


def test_without_a_population_records_never_learnt_stand_in():
    pools = pools_of(16, left=1.0)
    bare = replace(
        pools,
        pools=tuple(replace(p, roles=np.where(p.roles == POPULATION, NEVER, p.roles)) for p in pools.pools),
    )
    assert measured(bare)["membership.population_auc@after"].status == "measured"


def test_the_starter_kit_form():
    found = measured(pools_of(32, left=2.0, shift=3.0))
    before, reference = (found[f"membership.population_starter_accuracy@{a}"] for a in ("before", "reference"))
    assert before.value > 0.55
    assert reference.low < 0.55
    assert found["membership.population_starter_accuracy_excess@after"].low > 0
    assert measured(pools_of(32, left=2.0, shift=3.0)) == found  # seeded


def test_the_starter_kit_form_of_losses_that_say_nothing_or_everything():
    generator = np.random.default_rng(0)
    inside = np.repeat([True, False], [40, 90])
    assert population.starter_accuracy(np.where(inside, 0.0, 5.0), inside, generator) == 1.0
    noise = [population.starter_accuracy(generator.exponential(size=130), inside, generator) for _ in range(40)]
    assert np.mean(noise) == pytest.approx(0.5, abs=0.04)
    with pytest.raises(BadInput, match="10 records"):
        population.starter_accuracy(np.ones(60), np.arange(60) < 9, generator)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("apart", [0.0, 1.0, 30.0])
def test_the_logistic_regressions_are_those_of_scikit_learn(scale, apart):
    generator = np.random.default_rng(3)
    inside = generator.random((4, 80)) < 0.5
    x = scale * (generator.exponential(size=(4, 80)) - apart * inside)
    slope, offset = population.logistic(x, inside)
    for k in range(4):
        theirs = LogisticRegression(tol=1e-10, max_iter=10_000).fit(x[k][:, None], inside[k])
        assert slope[k] == pytest.approx(theirs.coef_[0, 0], rel=1e-3, abs=1e-5)
        assert offset[k] == pytest.approx(theirs.intercept_[0], rel=1e-3, abs=1e-4)


def test_one_model_and_references():
    pools = pools_of(40, left=2.0)
    found = measured(only(pools, after=1, reference=40))
    at, excess = found["membership.population_auc@after"], found["membership.population_auc_excess@after"]
    pool = pools.need("after")
    inside, outside = pool.phi[0][pool.roles[0] == FORGOTTEN], pool.phi[0][pool.roles[0] == POPULATION]
    plain = estimates.auc(inside, outside)
    assert at.value == plain.value
    assert at.low <= plain.low < plain.high <= at.high
    assert "normal-assumed" in excess.estimator
    assert excess.p_value < 0.05
    assert excess.null.value == pytest.approx(0, abs=0.05)
    assert found["membership.population_starter_accuracy@after"].status == "not_measured"
    retrained = pools.need("reference").take(np.array([0]))
    others = replace(pools, pools=(replace(retrained, world="after"), pools.need("reference").take(np.arange(1, 40))))
    assert measured(others)["membership.population_auc_excess@after"].p_value > 0.05


def test_99_references_give_ranks_and_none_give_a_note():
    pools = pools_of(100, 160, left=8.0)
    ranked = measured(only(pools, after=1, reference=100))["membership.population_auc_excess@after"]
    assert "rank" in ranked.estimator
    assert ranked.p_value == pytest.approx(1 / 101)
    alone = measured(only(pools, after=1))
    assert "Without references" in alone["membership.population_auc@after"].note
    assert "no pool of models reference" in alone["membership.population_auc_excess@after"].note
    assert measured(only(pools, before=9))["membership.population_auc@after"].status == "not_measured"
