"""The public conformance suite: what every learner and every unlearner must hold, whoever wrote it.

In the spirit of scikit-learn's ``parametrize_with_checks``::

    @pytest.mark.parametrize(("name", "check"), unlearner_checks())
    def test_my_unlearner(name, check):
        check(MyUnlearner(), tiny_deployment)

    @pytest.mark.parametrize(("name", "check"), learner_checks())
    def test_my_learner(name, check):
        check(MyLearner(), tiny_world)

A check gets a factory, because it needs fresh worlds: seed → `Deployment` for unlearners, seed → `Dataset` for
learners. It returns when there is nothing to check (an ability that is not there) and raises `ConformanceFailure`
with one sentence when a promise is broken. `check_examples` goes on from there: random examples, as many as one has
patience for.

>>> from expunge.catalog import build
>>> check_unlearner(build("unlearner", "retrain"))
>>> from expunge.core.tiny import Tally
>>> check_learner(Tally())
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from expunge.core.conformance import learners, unlearners
from expunge.core.conformance.examples import check_examples
from expunge.core.conformance.learners import Records, suits
from expunge.core.conformance.unlearners import World
from expunge.core.conformance.watch import ConformanceFailure
from expunge.core.deployment import Deployment
from expunge.core.errors import BadData
from expunge.core.roles import Learner, Unlearner
from expunge.core.seeds import Key
from expunge.core.tiny import deploy, tiny_deployment, tiny_world
from expunge.core.tiny_worlds import tiny_graph, tiny_shop, tiny_vectors

__all__ = [
    "ConformanceFailure", "Records", "World", "check_examples", "check_learner", "check_unlearner", "learner_checks",
    "records_for", "tiny_deployment", "tiny_graph", "tiny_shop", "tiny_vectors", "tiny_world", "unlearner_checks",
    "world_of",
]  # fmt: skip

UnlearnerCheck = Callable[[Unlearner, World], None]
LearnerCheck = Callable[[Learner, Records], None]


def _checks(module: Any) -> list[tuple[str, Any]]:
    found = {name: value for name, value in vars(module).items() if name.startswith("check_")}
    return [(name.removeprefix("check_"), value) for name, value in found.items()]


def unlearner_checks() -> list[tuple[str, UnlearnerCheck]]:
    """Return (name, check) of every unlearner check; a check takes the unlearner and a `World`."""
    return _checks(unlearners)


def learner_checks() -> list[tuple[str, LearnerCheck]]:
    """Return (name, check) of every learner check; a check takes the learner and `Records`."""
    return _checks(learners)


def records_for(learner: Learner) -> tuple[Records, ...]:
    """Return tiny worlds of the kinds that a learner takes: it says `BadTarget` or `BadData` to the others.

    Tables and vectors come without a target for a learner that needs none, else with classes, with numbers, or both;
    a learner of neither gets interactions (who took what), or a graph (nodes, linked, with classes).

    Raises:
        BadData: it takes none of them.
        ConformanceFailure: it fails otherwise than by `BadTarget` or `BadData`.
    """

    def taken(*kinds: Records) -> tuple[Records, ...]:
        return tuple(records for records in kinds if suits(learner, records))

    table, vectors = partial(tiny_world, target=None), partial(tiny_vectors, target=None)
    found = taken(table) or taken(tiny_world, partial(tiny_world, target="number"))
    found += taken(vectors) or taken(tiny_vectors)
    found = found or taken(tiny_shop) or taken(tiny_graph)
    if not found:
        raise BadData(f"{learner!r} learns neither from tables nor from vectors, interactions or a graph")
    return found


def world_of(learner: Learner) -> World:
    """Return the `World` of a learner: seed → the learner, fitted on a tiny world."""
    records, *_ = records_for(learner)

    def world(seed: int) -> Deployment:
        return deploy(learner, records(seed), seed, Key(bytes(range(32)), str(seed)))  # not the public one

    return world


def check_unlearner(unlearner: Unlearner, world: World = tiny_deployment) -> None:
    """Run every unlearner check.

    Raises:
        ConformanceFailure: the first promise that is broken.
    """
    for name, check in unlearner_checks():
        _run(name, partial(check, unlearner, world))


def check_learner(learner: Learner, records: Records | None = None) -> None:
    """Run every learner check.

    Raises:
        ConformanceFailure: the first promise that is broken.
    """
    for each in records_for(learner) if records is None else (records,):
        for name, check in learner_checks():
            _run(name, partial(check, learner, each))


def _run(name: str, check: Callable[[], None]) -> None:
    try:
        check()
    except Exception as error:
        said = error if isinstance(error, ConformanceFailure) else f"{type(error).__name__}: {error}"
        raise ConformanceFailure(f"{name}: {said}") from error
