"""Singles, one batch and ten batches are the same model; a plan bounds what happens, and touches nothing."""

from __future__ import annotations

import numpy as np
import pytest

from expunge import catalog
from expunge.core.archive import pack
from expunge.core.columns import Column
from expunge.core.conformance.watch import arrays_of
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadTarget, Unsupported
from expunge.core.roles import Forgets
from expunge.core.seeds import Key
from expunge.models.boosting.learner import Boosting
from expunge.models.forest.learner import Forest

SMALL = {
    "forest": Forest(n_trees=12, trees_per_owner=5, min_split=4, keep=32, sample=256),
    "lazy forest": Forest(n_trees=12, trees_per_owner=5, min_split=4, keep=32, sample=256, repair="lazy"),
    "boosting": Boosting(rounds=6, sample=128, min_rows=4, min_gain=1.0),
}
"""Smaller than the catalogue's: a thousand deletions of each are to take seconds."""
KINDS = ("mixed", "vectors", "shop", "graph", "number")


def records(kind, n, seed):
    """Return n records of a kind of data, large enough for a thousand deletions."""
    draw, ids = np.random.Generator(np.random.PCG64([seed, n])), np.arange(n)
    owners = draw.integers(0, n // 2, n)
    base = np.round(draw.normal(size=(n, 4)), 1)
    y = np.where(base[:, 0] + base[:, 1] ** 2 > draw.normal(size=n), "yes", "no").tolist()
    labels = Column("number", base[:, 0] + base[:, 1]) if kind == "number" else Column.of_texts(y)
    if kind == "shop":
        items = Column.of_texts([f"film-{i}" for i in np.minimum(draw.geometric(0.15, n), 15)])
        return Dataset({"item": items, "rating": Column("number", draw.integers(1, 6, n) * 1.0)}, ids, owners)
    if kind == "vectors":
        return Dataset(
            {"vector": Column.of_vectors(base.astype(np.float32))}, ids, owners, labels, classes=("no", "yes")
        )
    if kind == "graph":
        links = Column.of_links([[(i + 1) % n, int(j)] for i, j in enumerate(draw.integers(0, n, n))])
        columns = {"vector": Column.of_vectors((base > 0).astype(np.uint8)), "links": links}
        return Dataset(columns, ids, owners, labels, classes=("no", "yes"))
    columns = {f"x{j}": Column("number", np.where(draw.random(n) < 0.05, np.nan, base[:, j])) for j in range(4)}
    columns["word"] = Column.of_texts([f"w{w}" for w in draw.geometric(0.3, n)])
    return Dataset(columns, ids, owners, labels, classes=() if kind == "number" else ("no", "yes"))


def fitted(name, n, seed):
    """Return a model of a learner on the first kind of data that it takes."""
    try:
        learner = SMALL[name] if name in SMALL else catalog.build("learner", name)
    except Unsupported as error:
        pytest.skip(error.message)
    for kind in KINDS:
        try:
            model = learner.fit(records(kind, n, seed), Key(bytes([seed + 1]) * 32, str(seed)))
        except (BadData, BadTarget):
            continue
        if not isinstance(model, Forgets):
            pytest.skip(f"{name} does not forget by itself, exactly")
        return learner, model
    raise AssertionError(f"{name} takes none of these records")


def portrait(model):
    return model.digest(), pack(arrays_of(model))


def check_ways(name, n, n_forgotten, seed):
    """Forget some records one by one, at once, and in ten batches; all are the model of those that are kept."""
    learner, model = fitted(name, n, seed)
    data = model.data
    draw = np.random.Generator(np.random.PCG64(seed))
    ids = data.ids[draw.permutation(n)[:n_forgotten]].tolist()
    expected = portrait(learner.fit(data.without(ids), Key(bytes([seed + 1]) * 32, str(seed))))
    assert portrait(model.without(ids)) == expected
    batches = np.array_split(np.array(ids), 10)
    after = model
    for place in draw.permutation(10).tolist():
        after = after.without(batches[place].tolist())
    assert portrait(after) == expected
    for i in draw.permutation(np.array(ids)).tolist():
        if hasattr(model, "forget"):
            model.forget([i])
        else:
            model = model.without([i])
    assert portrait(model) == expected


NAMES = ("lazy forest", *catalog.names("learner"))


@pytest.mark.parametrize("name", NAMES)
def test_singles_a_batch_and_ten_batches_are_one(name):
    check_ways(name, 160, 60, 0)


@pytest.mark.slow
@pytest.mark.parametrize("key", range(3))
@pytest.mark.parametrize("name", NAMES)
def test_a_thousand_singles_a_batch_and_ten_batches_are_one(name, key):
    check_ways(name, 1300, 1000, key)


@pytest.mark.parametrize("name", NAMES)
def test_a_dry_run_changes_no_byte_and_bounds_the_parts(name):
    """What `plan` says of parts is a bound: every part that it does not name is the one from before."""
    _, model = fitted(name, 120, 1)
    before = portrait(model)
    draw = np.random.Generator(np.random.PCG64(2))
    for m in (0, 1, 1, 2, 30):
        ids = model.data.ids[draw.permutation(120)[:m]].tolist()
        told = model.plan(ids)
        assert portrait(model) == before
        assert told.parts_touched is None or 0 <= told.parts_touched <= told.parts
        after = model.without(ids)
        if "forest" in name and told.parts_touched < told.parts:
            assert sum(a is not b for a, b in zip(model.trees, after.trees, strict=True)) <= told.parts_touched
        if name == "boosting" and told.parts_touched == 0:
            assert portrait(after)[1] == before[1]


@pytest.mark.parametrize("per_owner", [1, 5, 12])
def test_an_owner_of_many_records_is_in_no_more_trees_than_said(per_owner):
    """The bound o/T holds in kind for a person with forty records, too (spec XP01)."""
    data = records("mixed", 200, 3)
    owners = np.where(np.arange(200) < 40, 10**6, np.arange(200))
    data = Dataset(data.columns, data.ids, owners, data.target, classes=data.classes)
    data = data.declaring({f"x{j}": (-9.0, 9.0) for j in range(4)})
    model = Forest(n_trees=12, trees_per_owner=per_owner).fit(data, Key.public(0))
    ids = list(data.owned_by(10**6))
    told, after = model.plan(ids), model.without(ids)
    assert told.parts_touched == per_owner
    assert sum(a is not b for a, b in zip(model.trees, after.trees, strict=True)) == per_owner
    assert told.worst_s == pytest.approx(1.5 * model.fit_s * per_owner / 12)
