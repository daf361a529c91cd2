"""The conformance suite catches what it should: each mutant breaks one promise, and is named for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from conformance.stump import Stump

from expunge.core.conformance import (
    ConformanceFailure,
    check_examples,
    check_learner,
    check_unlearner,
    learner_checks,
    tiny_deployment,
    tiny_world,
    unlearner_checks,
)
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import UnknownRecord
from expunge.core.guarantee import Guarantee
from expunge.core.tiny import Counts, Tally

EXACT = Guarantee(kind="exact", grade="bits")


@dataclass(frozen=True)
class Mutant:
    """An unlearner that is right but for one function."""

    change: Callable[[Deployment, tuple[Any, ...]], Any]
    predict: Callable[[Deployment], None] = lambda deployment: None
    holdout: bool = True
    forgiving: bool = False
    guarantee: Guarantee = EXACT

    def promise(self, deployment):
        return self.guarantee

    def predict_cost(self, deployment, request):
        self.predict(deployment)
        return Prediction(seconds=0.0)

    def unlearn(self, deployment, request, progress=None):
        if self.forgiving:
            known = tuple(i for i in request.records if i in deployment.data.id_set)
            request = request.model_copy(update={"records": known})
        model = self.change(deployment, deployment.targets(request))
        after = deployment.with_model(model, request)
        if not self.holdout:
            after = replace(after, holdout=deployment.holdout)
        return Outcome(after, self.guarantee, Cost(seconds=0.0), repr(self))


def right(deployment, ids):
    return deployment.model.without(ids)


def nothing(deployment, ids):
    return deployment.model


def half(deployment, ids):
    return deployment.model.without(ids[: len(ids) // 2])


def in_place(deployment, ids):
    after = deployment.model.without(ids)
    deployment.model.counts[:] = after.counts
    return after


def global_draws(deployment, ids):
    after = right(deployment, ids)
    return replace(after, counts=after.counts + (np.random.rand(*after.counts.shape) > 2)) if ids else after  # noqa: NPY002


def random_noise(deployment, ids):
    after = right(deployment, ids)
    return (
        replace(after, counts=after.counts + np.random.default_rng().integers(0, 2, after.counts.shape))
        if ids
        else after
    )


def drifts(deployment, ids):
    return replace(right(deployment, ids), counts=right(deployment, ids).counts + (1 if ids else 0))


def by_call_order(deployment, ids):
    after = right(deployment, ids)
    if len(ids) > 3:
        after = replace(after, counts=after.counts + 1)
    return after


def away(deployment, ids):
    return replace(deployment.model, counts=deployment.model.counts[::-1] * 9) if ids else deployment.model


def looks_and_touches(deployment):
    deployment.model.counts[0, 0] += 1


MUTANTS = {
    "no-op": (Mutant(nothing), {"does_something", "equals_retraining"}),
    "no-op that calls itself empirical": (Mutant(nothing, guarantee=Guarantee(kind="empirical")), {"does_something"}),
    "mutates before": (Mutant(in_place), {"before_unchanged"}),
    "forgets half": (Mutant(half), {"equals_retraining"}),
    "seeded by the global generator": (Mutant(global_draws), {"reproducible"}),
    "random": (Mutant(random_noise), {"reproducible", "equals_retraining"}),
    "drifts": (Mutant(drifts), {"order_is_free", "equals_retraining"}),
    "depends on the batch": (Mutant(by_call_order), {"order_is_free"}),
    "predicting changes the model": (Mutant(right, predict=looks_and_touches), {"predicts_without_touching"}),
    "keeps the holdout": (Mutant(right, holdout=False), {"ids_gone"}),
    "swallows unknown ids": (Mutant(right, forgiving=True), {"unknown_id_raises", "twice_is_unknown"}),
    "moves away": (Mutant(away, guarantee=Guarantee(kind="empirical")), {"moves_toward_retraining"}),
}


def caught(checks, subject, world) -> set[str]:
    found = set()
    for name, check in checks:
        try:
            check(subject, world)
        except ConformanceFailure:
            found.add(name)
    return found


@pytest.mark.parametrize("name", MUTANTS)
def test_unlearner_mutants_are_caught(name):
    mutant, expected = MUTANTS[name]
    assert expected <= caught(unlearner_checks(), mutant, tiny_deployment)
    with pytest.raises(ConformanceFailure, match=": "):
        check_unlearner(mutant)


def test_what_is_right_passes():
    assert caught(unlearner_checks(), Mutant(right), tiny_deployment) == set()
    check_learner(Tally())


@dataclass(frozen=True)
class MutantLearner:
    """A `Tally` whose model is changed after fitting, or whose forgetting is."""

    fitted: Callable[[Counts], Counts] = lambda model: model
    kind: type[Counts] = Counts

    def fit(self, data, key, progress=None):
        model = self.fitted(Tally().fit(data, key))
        return self.kind(**{name: getattr(model, name) for name in Counts.__dataclass_fields__})

    def restore(self, arrays, data, key):
        return self.fit(data, key)


def by_position(model):
    weights = np.arange(len(model.data))[model.data.ids == sorted(model.data.ids.tolist())[0]]
    return replace(model, counts=model.counts + weights.sum())


def by_global(model):
    return replace(model, counts=model.counts + (np.random.rand() > 2))  # noqa: NPY002


@dataclass(frozen=True, eq=False)
class KeepsVocabulary(Counts):
    """An encoder that does not forget: the widest vocabulary ever seen stays in the state."""

    def state(self):
        return {**super().state(), "words": np.array([len(c.vocabulary) for c in self.data.columns.values()])}

    def without(self, ids):
        after = super().without(ids)
        return (
            replace(
                after,
                data=replace(
                    after.data,
                    columns={
                        n: replace(c, vocabulary=self.data.columns[n].vocabulary) for n, c in after.data.columns.items()
                    },
                ),
            )
            if ids
            else after
        )


@dataclass(frozen=True, eq=False)
class KeepsMemory(Counts):
    """Remembers how many records it has ever forgotten."""

    ever: int = 0

    def memory(self):
        return {"ever": np.array([self.ever])}

    def without(self, ids):
        after = super().without(ids)
        return replace(after, ever=self.ever + len(list(ids)))


@dataclass(frozen=True, eq=False)
class Silent(Counts):
    """Ignores unknown ids."""

    def without(self, ids):
        try:
            return super().without(ids)
        except UnknownRecord:
            return self


LEARNERS = {
    "draws by position": (MutantLearner(by_position), {"order_of_records_is_free"}),
    "draws from the global generator": (MutantLearner(by_global), {"reproducible_from_key"}),
    "keeps the vocabulary": (MutantLearner(kind=KeepsVocabulary), {"forgets_exactly"}),
    "keeps a memory of deletions": (MutantLearner(kind=KeepsMemory), {"forgets_exactly"}),
    "ignores unknown ids": (MutantLearner(kind=Silent), {"forgetting_fails_cleanly"}),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_learner_mutants_are_caught(name):
    mutant, expected = LEARNERS[name]
    assert expected <= caught(learner_checks(), mutant, tiny_world)


def test_an_unlearner_that_serves_nothing_passes_everything():
    from expunge.unlearners.exact.native import Native

    def world(seed):
        deployment = tiny_deployment(seed)

        @dataclass(frozen=True)
        class Fixed:
            inner: Any

            def losses(self, data):
                return self.inner.losses(data)

            def state(self):
                return self.inner.state()

            def digest(self):
                return self.inner.digest()

        return replace(deployment, model=Fixed(deployment.model))

    assert caught(unlearner_checks(), Native(), world) == set()


EXACTNESS = ("order_of_records_is_free", "forgets_exactly", "forgets_one_by_one", "forgets_hard_batches")
FAMOUS = (
    "best score only ever lowered",
    "0/0 counts as valid",
    "saved rows in history order",
    "hash by position",
    "no encoder update",
)
"""Mistakes of published trees that forget, and of ours if we slipped (spec X10, XD01, XD05)."""


def first_failure(learner, run):
    """Return the first exactness check that fails, in worlds that no other run has; "" if none does."""
    checks = dict(learner_checks())
    for name in EXACTNESS:
        try:
            checks[name](learner, lambda seed: tiny_world(seed + 4 * run))
        except ConformanceFailure:
            return name
    return ""


@pytest.mark.parametrize("run", range(3))
def test_the_tree_that_the_mutants_are_made_of_is_exact(run):
    assert first_failure(Stump(), run) == ""


@pytest.mark.parametrize("mutation", FAMOUS)
def test_famous_mistakes_are_caught_in_every_run(mutation):
    assert all(first_failure(Stump(mutation), run) for run in range(20))


EXAMPLES = 100
"""Within so many random examples each famous mistake must be caught (spec section 2, power)."""


def caught_by_examples(mutation, run):
    """Say whether random examples that no other run has catch a mutant."""
    try:
        check_examples(Stump(mutation), tiny_world, EXAMPLES, first=1000 * run)
    except ConformanceFailure:
        return True
    return False


@pytest.mark.parametrize("run", range(3))
def test_random_examples_find_nothing_in_the_tree_that_the_mutants_are_made_of(run):
    check_examples(Stump(), tiny_world, EXAMPLES, first=1000 * run)


@pytest.mark.parametrize("mutation", FAMOUS)
def test_famous_mistakes_are_caught_by_random_examples(mutation):
    assert all(caught_by_examples(mutation, run) for run in range(3))


@pytest.mark.slow
@pytest.mark.parametrize("mutation", FAMOUS)
def test_famous_mistakes_are_caught_by_random_examples_in_twenty_runs_of_twenty(mutation):
    assert all(caught_by_examples(mutation, run) for run in range(20))


def test_an_example_says_how_to_see_it_again():
    learner = Stump("hash by position")
    with pytest.raises(ConformanceFailure, match=r"^example 70\d: ") as failure:
        check_examples(learner, tiny_world, EXAMPLES, first=700)
    seed = int(str(failure.value).split()[1].rstrip(":"))
    with pytest.raises(ConformanceFailure, match=f"^example {seed}: "):
        check_examples(learner, tiny_world, 1, first=seed)


class Half(Counts):
    """Forgets, but does not say what that costs: `Forgets` is then not what it is."""

    plan = property()


def test_forgetting_without_a_plan_does_not_go_unchecked():
    with pytest.raises(ConformanceFailure, match=r"forgetting_is_whole: .*only \['without'\]"):
        check_learner(MutantLearner(kind=Half), tiny_world)


class Picky(Stump):
    """Stumbles over records without a target instead of refusing them."""

    def fit(self, data, key, progress=None):
        if data.target is None:
            raise ValueError("no target")
        return super().fit(data, key)


def test_a_learner_that_stumbles_is_told_what_to_do():
    with pytest.raises(ConformanceFailure, match=r"ValueError \(no target\).*check_learner\(learner, tiny_world\)"):
        check_learner(Picky())
    check_learner(Picky(), tiny_world)
