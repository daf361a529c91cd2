"""Certified removal: conforms, is chosen where it should be, and refuses what is not certified (B8)."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.stats import beta

from expunge.core.accountant import Budget, Ledger
from expunge.core.conformance import ConformanceFailure, check_unlearner, world_of
from expunge.core.conformance.unlearners import check_residual_within_bound
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment, Outcome
from expunge.core.errors import BadInput, Unsupported
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.core.tiny import deploy, tiny_deployment, tiny_world
from expunge.fulfilment import dry_run, fulfil
from expunge.models.logistic.learner import Logistic
from expunge.unlearners.certified.removal import Removal
from expunge.unlearners.exact.native import Native
from expunge.unlearners.exact.retrain import Retrain


def one_of(deployment):
    return ForgetRequest(records=deployment.data.ids.tolist()[7:8])


def deployed(sigma=1e-3, n=400, d=4, penalty=1e-2, seed=0):
    draw = np.random.Generator(np.random.PCG64(seed))
    X = draw.normal(size=(n, d))
    y = np.where(X @ draw.normal(size=d) + draw.normal(size=n) / 2 > 0, "yes", "no")
    data, key = Dataset.from_arrays(X, y), Key(bytes([seed + 1] * 32), "7")
    learner = Logistic(penalty=penalty, sigma=sigma)
    return Deployment(learner, data, key, learner.fit(data, key), fit_s=0.01)


def spent(deployment, unlearner):
    """Return the deployment after as many single removals as the budget allows, at least one."""
    deployment = unlearner.unlearn(deployment, one_of(deployment)).after
    for _ in range(100):
        try:
            deployment = unlearner.unlearn(deployment, one_of(deployment)).after
        except Unsupported:
            break
    return deployment


def test_it_conforms_where_noise_lets_it_go_without_reading():
    """With so little noise that losses tell of the records: with σ=1 on 20 records they tell of the noise alone."""
    check_unlearner(Removal(epsilon=5.0, delta=1e-3), world_of(Logistic(sigma=0.05, penalty=0.1)))


def test_the_planner_offers_it_for_certified_and_retraining_for_exact():
    deployment = deployed(sigma=1.0, n=3000)
    for asked, chosen in (("exact", "retrain"), ("certified", "removal"), ("empirical", "removal")):
        _, plan = dry_run(one_of(deployment), deployment, policy=Policy(guarantee=asked))
        assert plan.unlearner == chosen
        assert "native" in {dropped.name for dropped in plan.dropped}
    assert plan.options[-1].unlearner == "retrain"
    assert plan.prediction.records_read == 1
    with pytest.raises(Unsupported, match="cannot forget by itself"):
        Native().promise(deployment)
    assert Retrain().promise(deployment).kind == "exact"


def test_the_whole_path_of_a_request():
    deployment = deployed()
    done = fulfil(one_of(deployment), deployment, policy=Policy(guarantee="certified", probes=("cost",), bounds=()))
    assert done.plan.unlearner == "removal"
    assert (done.guarantee.kind, done.guarantee.epsilon, done.guarantee.delta) == ("certified", 1.0, 1e-5)
    assert done.deployment.model.ledger.entries[-1].forgotten == 1


def test_what_it_says_it_did_is_what_it_did():
    loud = deployed(sigma=1.0)
    outcome = Removal(epsilon=2.0).unlearn(loud, one_of(loud))
    assert (outcome.cost.records_read, outcome.cost.refitted) == (1, False)
    assert outcome.method == "Removal(epsilon=2.0, delta=1e-05, passes=20)"
    assert outcome.guarantee.epsilon == 2.0
    quiet = deployed(sigma=1e-4)
    assert Removal().unlearn(quiet, one_of(quiet)).cost.records_read == 399
    spike = Dataset.from_arrays([[float(v)] for v in range(20)] + [[1e9]], ["a", "b"] * 10 + ["a"])
    learner, key = Logistic(), Key.public(0)
    world = Deployment(learner, spike, key, learner.fit(spike, key), fit_s=2.1)
    gone = ForgetRequest(records=(20,))
    assert Removal().predict_cost(world, gone).seconds == pytest.approx(2.0)
    assert Removal().unlearn(world, gone).cost.refitted


def test_a_public_seed_is_no_secret_and_the_promise_says_so():
    secret = deployed()
    assert Removal().promise(secret).kind == "certified"
    assert not any("NOT secret" in a for a in Removal().promise(secret).assumptions)
    public = deploy(Logistic(), tiny_world(0))
    assert Removal().promise(public).kind == "empirical"
    done = Removal().unlearn(public, one_of(public))
    assert (done.guarantee.kind, done.guarantee.epsilon) == ("empirical", None)
    assert "NOT secret" in done.guarantee.assumptions[0]
    _, plan = dry_run(one_of(public), public, policy=Policy(guarantee="certified"))
    assert plan.unlearner == "retrain"


def with_holdout():
    deployment = deployed(sigma=1.0)
    held = Dataset.from_arrays(np.ones((20, 4)), ["yes", "no"] * 10, ids=list(range(1000, 1020)))
    return replace(deployment, holdout=held)


@pytest.mark.parametrize("request_", [ForgetRequest(), ForgetRequest(records=(1003,))], ids=["empty", "holdout"])
def test_a_request_without_training_records_gives_no_certificate_that_the_model_refuses(request_):
    loose = Removal(20.0, 1e-2, passes=0).unlearn(with_holdout(), ForgetRequest(records=(1, 2, 3, 4, 5, 6))).after
    with pytest.raises(Unsupported, match="residual may be"):
        Removal(1e-3, 1e-9).unlearn(loose, request_)
    with pytest.raises(Unsupported, match="residual may be"):
        Removal(1e-3, 1e-9).predict_cost(loose, request_)
    given = Removal(20.0, 1e-2).unlearn(loose, request_)
    assert given.after.model is loose.model
    assert loose.model.ledger.residual <= Budget(given.guarantee.epsilon, given.guarantee.delta).allowance(1.0)


def test_the_outcome_names_its_ledger():
    deployment = deployed()
    outcome = Removal().unlearn(deployment, one_of(deployment))
    assert any(outcome.after.model.ledger.digest() in told for told in outcome.guarantee.assumptions)


def test_models_without_a_ledger_noise_or_budget_are_refused():
    with pytest.raises(Unsupported, match="keeps no ledger"):
        Removal().promise(tiny_deployment(1))
    with pytest.raises(Unsupported, match="sigma=0"):
        Removal().promise(deployed(sigma=0.0))
    for passes in (-1, 1.5, "a", True):
        with pytest.raises(BadInput, match="passes"):
            Removal(passes=passes).promise(deployed())
    with pytest.raises(BadInput):
        Removal(epsilon=0).promise(deployed())
    deployment = deployed()
    broken = replace(deployment, model=replace(deployment.model, ledger=Ledger(sigma=1e-3)))
    with pytest.raises(Unsupported, match="ledger is broken"):
        Removal().promise(broken)


def test_a_spent_budget_is_refused_without_reading_and_mended_by_reading():
    blind = Removal(passes=0)
    deployment = spent(deployed(sigma=0.02), blind)
    with pytest.raises(Unsupported, match="above what the noise hides"):
        blind.unlearn(deployment, one_of(deployment))
    with pytest.raises(Unsupported, match="above what the noise hides"):
        blind.predict_cost(deployment, one_of(deployment))
    _, plan = dry_run(one_of(deployment), deployment, policy=Policy(guarantee="certified"))
    assert plan.unlearner == "removal"
    after = Removal().unlearn(deployment, one_of(deployment)).after
    assert after.model.ledger.entries[-1].action == "measured"


def test_xd12_a_smaller_epsilon_is_never_easier():
    """B8: in the verifier of others, a smaller ε makes the bound larger and certifies more."""
    deployment = deployed(sigma=0.02)
    after = Removal(passes=0).unlearn(deployment, one_of(deployment)).after.model
    tight = after.ledger.residual / 0.02
    verdicts = []
    for epsilon in (1e-6, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0):
        allowed = Budget(epsilon).allowance(0.02)
        try:
            after.certificate(Budget(epsilon))
            verdicts.append(True)
        except Unsupported:
            verdicts.append(False)
        assert verdicts[-1] == (after.ledger.residual <= allowed)
    assert tight > 0
    assert verdicts == sorted(verdicts)
    assert verdicts[0] is False
    assert verdicts[-1] is True
    with pytest.raises(Unsupported):
        Removal(epsilon=1e-9).promise(deployment)


@dataclass(frozen=True)
class Idle:
    """Says that it forgot, and gives back the weights of before (B8: never unlearned)."""

    random: bool = False

    def promise(self, deployment):
        return Removal().promise(deployment)

    def predict_cost(self, deployment, request):
        return Removal().predict_cost(deployment, request)

    def unlearn(self, deployment, request, progress=None):
        real = Removal().unlearn(deployment, request)
        weights = deployment.model.core.weights
        if self.random:
            weights = np.random.Generator(np.random.PCG64(0)).normal(size=weights.shape)
        after = real.after.model
        if weights.shape != after.core.weights.shape:
            return real
        model = replace(after, core=replace(after.core, weights=weights))
        return Outcome(replace(real.after, model=model), real.guarantee, real.cost, repr(self))


@dataclass(frozen=True)
class Boastful:
    """Promises an ε that its noise does not give."""

    def promise(self, deployment):
        return Removal().promise(deployment).model_copy(update={"epsilon": 1e-9})

    def predict_cost(self, deployment, request):
        return Removal().predict_cost(deployment, request)

    def unlearn(self, deployment, request, progress=None):
        return replace(Removal().unlearn(deployment, request), guarantee=self.promise(deployment))


def a_world(seed):
    return deployed(seed=seed, n=60)


@pytest.mark.parametrize(
    "mutant", [Idle(), Idle(random=True), Boastful()], ids=["never-unlearned", "random", "boastful"]
)
def test_xd12_the_suite_refuses_what_was_not_removed(mutant):
    check_residual_within_bound(Removal(), a_world)
    with pytest.raises(ConformanceFailure, match=r"measured are|noise hides"):
        check_residual_within_bound(mutant, a_world)


def sides_of(seed, n_draws, budget):
    """Return published weights along the line between the secret centres: removed, retrained; and the deployment.

    The budget is used up on purpose (no passes), so the centres are as far apart as the promise allows here.
    """
    unlearner = Removal(epsilon=budget.epsilon, delta=budget.delta, passes=0)
    deployment = spent(deployed(sigma=0.1, n=300, seed=seed), unlearner)
    removed, retrained = deployment.model, deployment.learner.fit(deployment.data, deployment.key)
    way = (removed.core.weights - retrained.core.weights)[:, 0]
    way /= np.linalg.norm(way)
    keys = [Key(i.to_bytes(32, "big"), f"law-{seed}") for i in range(2 * n_draws)]
    parts = ((removed, keys[:n_draws]), (retrained, keys[n_draws:]))
    return [np.array([replace(m, key=k).weights[:, 0] @ way for k in part]) for m, part in parts], deployment


def test_no_test_tells_removal_from_retraining_better_than_promised():
    """The likelihood-ratio test between the two centres, over secret keys, against ε: in 20 of 20 audits."""
    budget = Budget(1.0, 1e-3)
    for seed in range(20):
        (removed, retrained), deployment = sides_of(seed, 1500, budget)
        assert lower_bound_of_epsilon(removed, retrained, budget.delta) <= budget.epsilon
        shift = abs(removed.mean() - retrained.mean()) * 1e-2 * deployment.model.kept.n / 0.1
        assert shift <= budget.allowance(1.0) + 4 * math.sqrt(2 / 1500)


def test_the_audit_finds_what_the_noise_does_not_hide():
    budget = Budget(1.0, 1e-3)
    (_, retrained), _ = sides_of(0, 1500, budget)
    allowed = budget.allowance(1.0) * retrained.std()
    assert lower_bound_of_epsilon(retrained + 12 * allowed, retrained, budget.delta) > budget.epsilon


def lower_bound_of_epsilon(one, other, delta):
    """Return the largest ε refuted at 95 % over thresholds and both directions (Clopper-Pearson, Bonferroni)."""
    cuts, best = np.quantile(np.concatenate([one, other]), np.linspace(0.02, 0.98, 25)), 0.0
    level = 0.05 / (4 * len(cuts))
    for cut in cuts:
        for a, b in (
            (one > cut, other > cut),
            (one <= cut, other <= cut),
            (other > cut, one > cut),
            (other <= cut, one <= cut),
        ):
            hits, false = int(a.sum()), int(b.sum())
            low = beta.ppf(level / 2, hits, len(a) - hits + 1) if hits else 0.0
            high = beta.ppf(1 - level / 2, false + 1, len(b) - false)
            if low > delta:
                best = max(best, math.log((low - delta) / high))
    return best
