"""Known defects of published forgetting learners (spec XD01–XD14), each as something that ours must not do.

The mutants that show that such tests bite are in `tests/conformance/test_suite_power.py` (XD01, XD02, XD05, XD12,
XD14), `tests/audit/test_law.py` (XD01), `tests/threats/test_split_value.py` (XD03) and beside the tests here (XD04,
XD06). XD09 and XD10 are about speed: rows of the benchmark; here is what makes them possible.
"""

from __future__ import annotations

import ast
import io
import pickle
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from expunge import catalog
from expunge.core.archive import pack, unpack
from expunge.core.conformance import ConformanceFailure, check_unlearner, records_for
from expunge.core.dataset import Dataset
from expunge.core.deployment import Cost, Outcome, Prediction
from expunge.core.errors import BadData, BadTarget, StoreDamaged, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.roles import Forgets, Restores
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.forest.learner import Forest

TESTS = Path(__file__).parents[1]
EIGHT = np.arange(8.0)
LABELS = np.array(["no", "yes"])[[0, 0, 1, 0, 1, 1, 0, 1]]
"""The eight points on which a published forest keeps a threshold that the deleted value defined (XS11)."""

MARK = 0.123456789012345
"""A number that no record but the victim's holds, and that arithmetic does not make by accident."""


def table(n=80, seed=0, d=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    return X, np.where(X[:, 0] + rng.normal(size=n) / 2 > 0, "yes", "no")


def classifiers():
    """Return the learners of the catalogue that learn such a table and forget by themselves."""
    data = Dataset.from_arrays(*table())
    found = {}
    for name in catalog.names("learner"):
        try:
            learner = catalog.build("learner", name)
            if isinstance(learner.fit(data, Key.public(0)), Forgets):
                found[name] = learner
        except (Unsupported, BadData, BadTarget):
            continue
    return found


OURS = classifiers()
LITTLE = {**OURS, "forest": Forest(n_trees=8, trees_per_owner=4, max_depth=6, min_split=2, thresholds=4, keep=8)}


@pytest.fixture(params=LITTLE)
def learner(request):
    return LITTLE[request.param]


def arrays_of(model):
    return {**model.state(), **(model.memory() if hasattr(model, "memory") else {})}


def equals_refit(learner, model, data, key):
    fresh = learner.fit(data, key)
    return model.digest() == fresh.digest() and pack(arrays_of(model)) == pack(arrays_of(fresh))


def eight():
    return replace(Dataset.from_arrays(EIGHT[:, None], LABELS), classes=("no", "yes"))


def test_xd01_no_threshold_outlives_the_value_that_defined_it(learner):
    """Dividing by an empty side would warn, and would leave the tree another one than a fit."""
    data = eight()
    with warnings.catch_warnings(), np.errstate(all="raise", under="ignore"):
        warnings.simplefilter("error")
        for row in range(8):
            for seed in range(5):
                model = learner.fit(data, Key.public(seed)).without([row])
                assert equals_refit(learner, model, data.without([row]), Key.public(seed))


def test_xd02_thresholds_that_become_valid_are_found():
    """Deleting the point at 2 makes other splits best: that has to happen in some forests, as in fits without it."""
    data, changed = eight(), 0
    forest = Forest(n_trees=1, trees_per_owner=1, max_depth=1, min_split=2)
    for seed in range(60):
        before = forest.fit(data, Key.public(seed))
        after = before.without([2])
        assert equals_refit(forest, after, data.without([2]), Key.public(seed))
        trees = [model.state()["tree/00000/value"] for model in (before, after)]
        changed += not np.array_equal(*trees)
    assert changed > 0


def test_xd03_a_deleted_value_is_no_split_point():
    """Thresholds lie on a grid of rounded ranges, never at a value of the data; attacked in tests/threats."""
    X, y = table(400)
    X = np.vstack([X, np.full(3, MARK)])
    data = Dataset.from_arrays(X, np.append(y, "yes"))
    for name, learner in LITTLE.items():
        model = learner.fit(data, Key.public(1))
        if name == "forest" or "boost" in name:
            assert not holds(arrays_of(model).values(), MARK)
        assert not holds(arrays_of(model.without([400])).values(), MARK)


def settled(model):
    """What is lazy settles before a digest is attested, and a model saved with its records."""
    model.digest()
    len(model.data)
    if hasattr(model, "settle"):
        model.settle()


def reachable(root):
    """Return every array that can be reached from an object, also those that others are views of."""
    seen, todo, found = set(), [root], []
    while todo:
        each = todo.pop()
        if id(each) in seen or isinstance(each, str | bytes | int | float | type):
            continue
        seen.add(id(each))
        if isinstance(each, np.ndarray):
            found.append(each)
            todo += [each.base] if each.base is not None else []
        elif isinstance(each, dict):
            todo += each.values()
        elif isinstance(each, list | tuple | set | frozenset):
            todo += each
        else:
            todo += getattr(each, "__dict__", {}).values()
    return found


def holds(arrays, value):
    """Say whether a number is in arrays, as float64, as float32, or as its bytes anywhere in them."""
    forms = [np.float64(value).tobytes(), np.float32(value).tobytes()]
    return any(form in np.ascontiguousarray(a).tobytes() for a in arrays for form in forms if not a.dtype.hasobject)


@pytest.mark.parametrize("trial", range(3))
def test_xd04_what_was_forgotten_is_in_no_array_and_in_no_saved_byte(learner, trial):
    X, y = table(seed=trial)
    X[17 + trial, trial] = MARK
    data = Dataset.from_arrays(X, y)
    model = learner.fit(data, Key.public(trial))
    after = model.without([17 + trial])
    assert holds(reachable(model), MARK)
    settled(after)
    assert not holds(reachable(after), MARK)
    assert np.float64(MARK).tobytes() not in pack(arrays_of(after))


def test_xd04_the_search_finds_what_is_hidden():
    @dataclass
    class Hoard:
        rows: Any

    hidden = Hoard(rows={"freed": [np.array([1.0, MARK, 2.0])[:1]]})
    assert holds(reachable(hidden), MARK)
    assert not holds(reachable(Hoard(rows=[np.array([1.0])])), MARK)


def test_xd05_a_split_that_got_worse_is_replaced(learner):
    """Single deletions that swing the best split to and fro; a score that is only ever lowered sticks."""
    X, y = table(48, seed=3, d=2)
    data, key = Dataset.from_arrays(X.round(1), y), Key.public(4)
    model = learner.fit(data, key)
    for row in np.random.default_rng(5).permutation(48)[:30].tolist():
        model = model.without([row])
        data = data.without([row])
        if row % 3 == 0:
            assert equals_refit(learner, model, data, key)
    assert equals_refit(learner, model, data, key)


def test_xd06_deleted_rows_are_not_kept(learner):
    data = Dataset.from_arrays(*table())
    model = learner.fit(data, Key.public(0)).without([3, 4, 70])
    assert not {3, 4, 70} & set(model.data.ids.tolist())
    settled(model)
    lengths = {len(a) for a in reachable(model) if a.ndim and a.dtype.kind in "fiu" and len(a) in (77, 80)}
    assert 80 not in lengths


def test_xd07_single_deletions_and_batches_mix(learner):
    X, y = table(70, seed=8)
    data, key = Dataset.from_arrays(X, y), Key.public(2)
    model, order = learner.fit(data, key), np.random.default_rng(1).permutation(70).tolist()
    for size in (1, 1, 12, 1, 20, 1, 1, 9):
        batch, order = order[:size], order[size:]
        model, data = model.without(batch), data.without(batch)
        assert np.isfinite(model.losses(data)).all()
    assert equals_refit(learner, model, data, key)


def test_xd08_nine_tenths_can_go(learner):
    X, y = table(300, seed=9)
    data, key = Dataset.from_arrays(X, y), Key.public(2)
    gone = np.random.default_rng(1).permutation(300)[:270].tolist()
    model = learner.fit(data, key).without(gone)
    assert equals_refit(learner, model, data.without(gone), key)


def test_xd09_exact_is_not_a_refit_in_disguise():
    """Of a hundred trees, a deletion touches the ten of its owner; the others are shared with the model before."""
    X, y = table(400, seed=2)
    model = Forest().fit(Dataset.from_arrays(X, y), Key.public(0))
    told = model.plan([5])
    assert (told.parts_touched, told.parts) == (10, 100)
    after = model.without([5])
    shared = sum(a is b for a, b in zip(model.trees, after.trees, strict=True))
    assert shared >= 90


def test_xd10_a_tenth_in_one_batch(learner):
    X, y = table(300, seed=10)
    data, key = Dataset.from_arrays(X, y), Key.public(6)
    gone = list(range(0, 300, 10))
    assert equals_refit(learner, learner.fit(data, key).without(gone), data.without(gone), key)


ELSEWHERE = {
    "xd11": ("models", ("power_iterations",)),
    "xd13": ("models", ("xd13",)),
}
"""Rows that are held where the method is tested: folder of tests, words of which one is in a test's name."""


@pytest.mark.parametrize("row", ELSEWHERE)
def test_xd11_and_xd13_are_held_beside_their_methods(row):
    folder, words = ELSEWHERE[row]
    names = [
        node.name
        for path in sorted((TESTS / folder).rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    assert [name for name in names if any(word in name for word in words)], f"no test for {row} in tests/{folder}"


@dataclass(frozen=True)
class Claims:
    """An unlearner that says exact, and gives back what it was given, or a model of noise."""

    noise: bool

    def promise(self, deployment):
        return Guarantee(kind="exact", grade="bits")

    def predict_cost(self, deployment, request):
        return Prediction(seconds=0.0)

    def unlearn(self, deployment, request, progress=None):
        model = deployment.model
        if self.noise:
            draws = np.random.default_rng(0).integers(0, 9, model.counts.shape)
            model = replace(model, counts=draws)
        return Outcome(deployment.with_model(model, request), self.promise(deployment), Cost(seconds=0.0), repr(self))


@pytest.mark.parametrize("noise", [False, True], ids=["does nothing", "random"])
def test_xd12_doing_nothing_and_a_random_model_fail(noise):
    with pytest.raises(ConformanceFailure):
        check_unlearner(Claims(noise))


def test_xd14_a_saved_model_that_could_run_code_is_refused(learner):
    data, key = tiny_world(1), Key.public(1)
    if not isinstance(learner, Restores) or tiny_world not in records_for(learner):
        return
    bomb = io.BytesIO()
    np.save(bomb, np.array([{"a": 1}], object), allow_pickle=True)
    for body in (pickle.dumps({"counts": [1]}), bomb.getvalue()):
        with pytest.raises(StoreDamaged):
            unpack(body)
    with pytest.raises(BadData):
        pack({"counts": np.array([None], object)})
    model = learner.fit(data, key)
    assert not [name for name, a in arrays_of(model).items() if np.asarray(a).dtype.hasobject]


def test_xd14_ids_are_names_not_positions(learner):
    """Another order of the rows, and the deletion of another record first, change nothing of what an id means."""
    X, y = table(60, seed=12)
    ids = [f"p-{(7 * i) % 60}" for i in range(60)]
    data, key = Dataset.from_arrays(X, y, ids=ids), Key.public(3)
    turned = data.take(np.random.default_rng(2).permutation(60))
    one = learner.fit(data, key).without(["p-5"]).without(["p-31"])
    other = learner.fit(turned, key).without(["p-31"]).without(["p-5"])
    assert one.digest() == other.digest()
    assert equals_refit(learner, one, data.without(["p-5", "p-31"]), key)
