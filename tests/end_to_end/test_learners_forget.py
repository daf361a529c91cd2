"""With every learner, the store forgets: the person is in no byte of it, and the model is a retrained one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from service.world import IDS, PERSON, build, clinic, plant_tally, traces, wish

from expunge import catalog
from expunge.core.conformance import records_for
from expunge.core.errors import Unsupported
from expunge.core.seeds import Key
from expunge.service.create import Recipe, create
from expunge.service.forgetting import forget
from expunge.service.reading import headline
from expunge.service.store import Store

PARAMS = {"forest": {"n_trees": 12, "trees_per_owner": 6}}


def recipe(name: str) -> Recipe:
    """Return the clinic's recipe with another learner, or skip where it is not there yet."""
    plant_tally()
    try:
        learner = catalog.build("learner", name)
    except Unsupported as error:
        pytest.skip(error.message)
    if {"item", "links"} & {column for records in records_for(learner) for column in records(0).columns}:
        pytest.skip(f"{name} learns from interactions or from a graph, not from a clinic's table")
    if "form='plain'" in repr(learner):
        pytest.skip(f"{name} learns from numbers and vectors as they are, not from a clinic's table")
    return Recipe("ill", name, PARAMS.get(name, {}), "email", "visit", holdout=0.25)


@pytest.mark.parametrize("name", [e.name for e in catalog.ENTRIES if e.role == "learner"])
def test_the_store_forgets(tmp_path: Path, name: str) -> None:
    root = tmp_path / "store"
    build(root, recipe(name))
    before = traces(root)
    assert {found.split(" as ")[0] for found in before} >= {PERSON, "Zanzibar-Quux", "violet xylophone", *IDS}
    facts = headline(forget(root, wish()))
    assert facts["n_forgotten"] == 2
    assert facts["equals_retrained"] is True
    assert traces(root) == {}
    with Store.open(root) as store:
        after = store.deployment()
        assert after.model.digest() == after.learner.fit(after.data, after.key).digest()
    facts = headline(forget(root, wish("person3@example.org")))  # and again, from what was saved
    assert facts["equals_retrained"] is True


@pytest.mark.parametrize("name", ["tally", "forest", "ridge"])
def test_the_store_forgets_numbered_people(tmp_path: Path, name: str) -> None:
    """Ids and subjects that are whole numbers leave every byte too, in any byte order and as text."""
    root, who, visits = tmp_path / "store", 8_123_456_789_017, (7_987_654_321_001, 7_987_654_321_002)
    frame = clinic()
    is_canary = frame.email == PERSON
    frame["visit"] = range(5_000_000, 5_000_000 + len(frame))
    frame.loc[is_canary, "visit"] = visits
    frame["email"] = frame.email.astype("category").cat.codes.astype("int64") + 9_000_000
    frame.loc[is_canary, "email"] = who
    data = recipe(name).read(frame)
    plant_tally()
    for seed in range(100):
        deployment = recipe(name).train(data, Key.public(seed))
        if deployment.data.owned_by(who):
            break
    create(root, deployment, recipe(name))
    wanted = [f(n) for n in (who, *visits) for f in (lambda n: str(n).encode(), *map(packed, ("<q", ">q", "<d")))]

    def seen() -> set[bytes]:
        bodies = [path.read_bytes() for path in root.rglob("*") if path.is_file()]
        return {pattern for pattern in wanted if any(pattern in body for body in bodies)}

    assert {packed("<q")(n) for n in (who, *visits)} <= seen()
    done = forget(root, wish(str(who)))
    assert seen() == set()
    assert headline(done)["equals_retrained"] is True


def packed(form: str) -> Callable[[int], bytes]:
    """Return the function that packs a number like this."""
    return lambda number: struct.pack(form, number)
