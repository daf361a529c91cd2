"""Every learner and every unlearner of the catalogue keeps the promises of the public suite; new ones are picked up."""

from __future__ import annotations

from functools import cache

import pytest

from expunge import catalog
from expunge.core.conformance import ConformanceFailure, learner_checks, records_for, unlearner_checks, world_of
from expunge.core.errors import Unsupported
from expunge.core.tiny import Tally


@cache
def built(role, name):
    return Tally() if name == "tally" else catalog.build(role, name)


def available(role, name):
    try:
        return built(role, name)
    except Unsupported as error:
        pytest.skip(f"{error.message}")


LEARNERS = ("tally", *catalog.names("learner"))


@pytest.mark.parametrize("check", [check for _, check in learner_checks()], ids=[name for name, _ in learner_checks()])
@pytest.mark.parametrize("learner", LEARNERS)
def test_learner(learner, check):
    subject = available("learner", learner)
    for records in records_for(subject):
        check(subject, records)


@cache
def first_world(learner):
    return world_of(built("learner", learner))(0)


@cache
def promises(name):
    """Return what an unlearner promises for each learner that it serves."""
    found = {}
    for learner in LEARNERS:
        try:
            found[learner] = available("unlearner", name).promise(first_world(learner))
        except Unsupported:
            continue
    return found


@pytest.mark.parametrize("check", [c for _, c in unlearner_checks()], ids=[name for name, _ in unlearner_checks()])
@pytest.mark.parametrize("unlearner", catalog.names("unlearner"))
def test_unlearner(unlearner, check):
    for learner in promises(unlearner):
        try:
            check(available("unlearner", unlearner), world_of(built("learner", learner)))
        except ConformanceFailure as error:
            raise ConformanceFailure(f"{unlearner} on {learner}: {error}") from error


@pytest.mark.parametrize("entry", [e for e in catalog.ENTRIES if e.role == "unlearner"], ids=lambda e: e.name)
def test_the_folder_is_the_promise(entry):
    """`unlearners/<kind>/`: folder, catalogue and promise say the same kind; none says `Unsupported` everywhere.

    An unlearner that serves nobody would pass every check without being checked.
    """
    folder = entry.target.split(".")[2]
    assert {"approximate": "empirical"}.get(folder, folder) == entry.kind
    assert {promise.kind for promise in promises(entry.name).values()} == {entry.kind}
