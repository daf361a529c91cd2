"""Hostile histories: odd columns, odd hyper-parameters and any mix of forgetting, learning and saving, against a fit.

Held for forests and boosting: digest, memory, saved bytes and predictions are those of a scratch fit on what is kept.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from expunge.core.archive import pack, unpack
from expunge.core.columns import Column
from expunge.core.conformance.watch import arrays_of, unequal
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, ClassVanished, NothingLeft
from expunge.core.models import rows_to_forget
from expunge.core.seeds import Key
from expunge.models.boosting.learner import Boosting
from expunge.models.encoding.grid import MISSING, Grid, cell_edge, cells, range_between
from expunge.models.forest.learner import Forest

WORDS = ["", " ", "a", "ä", "a\u0308b", "ß", "🦊", "A", "a=b", "#", "None", "nan", "-0", "ﬃ", "x" * 300]
SIZES = (4, 9, 17, 33, 64, 65, 100, 130, 180)
NUMBERS = (
    "heavy",
    "denormal",
    "zeros",
    "huge",
    "beyond 2^53",
    "codes",
    "constant",
    "wakes up",
    "lost",
    "powers",
    "ties",
)


def numbers(draw, n, kind):
    """Return awkward numbers; a constant column wakes up when the only other value is learnt."""
    if kind == "heavy":
        values = draw.standard_cauchy(n) * 10.0 ** draw.integers(-300, 290)
    elif kind == "denormal":
        values = draw.choice([5e-324, -5e-324, 1e-310, 0.0, -0.0, 2.2e-308], n)
    elif kind == "zeros":
        values = draw.choice([0.0, -0.0, 1.0, -1.0], n)
    elif kind == "huge":
        values = np.where(draw.random(n) < 0.02, draw.choice([1e306, -1e306]), draw.normal(size=n))
    elif kind == "beyond 2^53":
        values = 2.0**53 + 2.0 * draw.integers(0, 9, n)
    elif kind in ("codes", "powers"):
        codes = draw.integers(-4, 5, n)
        values = 2.0**codes if kind == "powers" else codes.astype(np.float64)
    elif kind in ("constant", "wakes up"):
        values = np.full(n, draw.choice([0.0, -0.0, 3.5, -1e300, 1e-320]))
        values[draw.integers(n)] += kind == "wakes up"
    elif kind == "lost":
        values = np.full(n, np.nan)
        values[: draw.integers(0, 3)] = 5.0
    else:
        values = np.round(3 * draw.normal(size=n)) * 0.1
    return np.where(draw.random(n) < draw.choice([0, 0.05, 0.5]), np.nan, np.clip(values, -1e306, 1e306))


def column(draw, n):
    kind = draw.choice(["number"] * 5 + ["few", "few", "many", "edge", "flag", "day", "text", "none"])
    gaps = draw.random(n) < draw.choice([0, 0.05, 0.5])
    if kind == "number":
        return Column("number", numbers(draw, n, draw.choice(NUMBERS)))
    if kind in ("flag", "day"):
        values = draw.integers(0, 2, n) if kind == "flag" else draw.integers(-40000, 40000, n)
        return Column("boolean" if kind == "flag" else "date", np.where(gaps, np.nan, values.astype(np.float64)))
    if kind == "text":
        return Column.of_texts([" ".join(draw.choice(WORDS[:8], draw.integers(0, 5))) for _ in range(n)], "text")
    words = [f"v{w}" for w in draw.integers(0, 90, n)]
    if kind == "few":
        words = draw.choice(WORDS[: draw.integers(1, len(WORDS))], n).tolist()
    elif kind == "edge":  # around the number of categories from which on they are hashed
        words = [f"é{w}" for w in draw.integers(0, draw.integers(28, 38), n)]
    return Column.of_texts([None if gap or kind == "none" else w for gap, w in zip(gaps, words, strict=True)])


def records(draw, n):
    columns = {f"{draw.choice(['c', 'é', 'x y', 'a=b'])}{j}": column(draw, n) for j in range(draw.integers(1, 7))}
    classes: tuple[str, ...] = ()
    if draw.random() < 0.35:
        values = (
            draw.normal(size=n),
            np.full(n, -0.0),
            1e-290 * draw.standard_cauchy(n),
            1e200 * draw.integers(0, 2, n),
        )
        target = Column("number", values[draw.integers(4)])
    else:
        names = draw.permutation(["no", "yes", "é", "Z", "z"])[: draw.integers(2, 6)].tolist()
        signal = (next(iter(columns.values())).values > 0).astype(int) * draw.integers(0, 2, n)
        target = Column.of_texts(
            [names[(s + w) % len(names)] for s, w in zip(signal, draw.integers(0, 3, n), strict=True)]
        )
        classes = tuple(sorted({*names, "never"}, key=str.encode)) if draw.random() < 0.6 else ()
    order = draw.permutation(n)
    ids = order * 2**40 if draw.random() < 0.5 else np.array([f"r{i}ß" for i in order])
    big = np.where(draw.random(n) < 0.6, "big", np.array([f"p{i}" for i in range(n)]))
    owners = (ids, np.array([f"o{i}" for i in draw.integers(0, 1 + n // 4, n)]), big)[draw.integers(3)]
    return Dataset(columns, ids, owners, target, classes=classes)


def forest(draw):
    trees = int(draw.choice([1, 2, 3, 7]))
    return Forest(
        n_trees=trees,
        trees_per_owner=int(draw.choice([1, 2, trees])),
        max_depth=int(draw.choice([1, 2, 5, 20, 60])),
        min_split=int(draw.choice([2, 3, 10])),
        max_features=("sqrt", 1, 3, 99)[draw.integers(4)],
        n_bins=int(draw.choice([64, 256])),
        sample=int(draw.choice([64, 128, 2048])),
        thresholds=int(draw.choice([1, 2, 10, 256])),
        random_depth=int(draw.choice([0, 0, 1, 3, 60])),
        keep=int(draw.choice([1, 8, 16, 128, 2**31])),
        repair=str(draw.choice(["eager", "lazy"])),
        n_jobs=int(draw.choice([1, 1, 2, 8])),
    )


def boosting(draw):
    return Boosting(
        rounds=int(draw.choice([1, 2, 5, 12])),
        rate=float(draw.choice([0.05, 0.25, 1.0])),
        depth=int(draw.choice([1, 2, 5, 8])),
        sample=int(draw.choice([64, 128, 2**14])),
        cuts=int(draw.choice([1, 3, 31, 255])),
        columns=float(draw.choice([1.0, 0.5, 1e-6])),
        min_rows=int(draw.choice([1, 2, 5, 20])),
        min_gain=float(draw.choice([0.0, 0.5, 8.0])),
        penalty=float(draw.choice([0.0, 1.0, 100.0])),
        step=float(draw.choice([0.005, 0.05, 1.0])),
        n_bins=int(draw.choice([64, 256])),
        memory=str(draw.choice(["auto", "full", "lean"])),
    )


def chosen(draw, data):
    """Return ids that can be forgotten: some at random, an owner's, or one side of a column."""
    way, n = draw.integers(3), len(data)
    rows = draw.permutation(n)[: max(1, int(draw.choice([0.01, 0.05, 0.3, 0.8]) * n))]
    if way == 1:
        rows = np.flatnonzero(data.subjects == draw.choice(data.subjects))
    elif way == 2:
        values = data.columns[str(draw.choice(list(data.columns)))].values
        rows = draw.permutation(np.flatnonzero(values > draw.choice(values)))
    for size in range(len(rows), 0, -max(1, len(rows) // 6)):
        ids = data.ids[rows[:size]].tolist()
        try:
            rows_to_forget(data, ids)
        except (ClassVanished, NothingLeft):
            continue
        return ids
    return []


def step(draw, what, model, data, whole):
    """Return the model and its records after one step of a history."""
    if what in ("forget", "without"):
        ids = chosen(draw, data)
        if what == "forget" and hasattr(model, "forget") and ids:
            model.forget(ids)
        else:
            model = model.without(ids)
        return model, data.without(ids)
    missing = [i for i in whole.ids.tolist() if i not in data.id_set]
    if what == "learn" and missing:
        more = whole.only(draw.permutation(np.array(missing))[: draw.integers(1, len(missing) + 1)].tolist())
        return model.adding(more), data.joined(more)
    if what == "save":
        order = draw.permutation(len(data))
        return model.learner.restore(unpack(pack(arrays_of(model))), data.take(order), model.key), data
    if what == "look":
        model.logits(whole)
        model.plan(chosen(draw, data))
    return model, data


def same(model, learner, data, key, probe):
    fresh = learner.fit(data, key)
    assert model.digest() == fresh.digest()
    mine, theirs = arrays_of(model), arrays_of(fresh)
    assert unequal(mine, theirs) == ""
    assert pack(mine) == pack(theirs)
    assert model.logits(probe).tobytes() == fresh.logits(probe).tobytes()
    assert set(model.data.ids.tolist()) == data.id_set


STEPS = ("forget", "without", "without", "learn", "learn", "save", "look", "compare")


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from([forest, boosting]))
def test_no_history_shows(seed, kind):
    draw = np.random.Generator(np.random.PCG64(seed))
    whole = records(draw, int(draw.choice(SIZES)))
    learner, key = kind(draw), Key(draw.bytes(32), str(seed))
    data = whole.take(draw.permutation(len(whole))[: int(len(whole) * draw.choice([1, 0.9, 0.6]))])
    if not whole.classes and whole.target.vocabulary != data.target.take(np.arange(len(data))).vocabulary:
        data = whole  # a class of which nothing is known yet
    model, left = learner.fit(data, key), []
    for what in draw.choice(STEPS, draw.integers(2, 8)).tolist():
        if what == "compare":
            same(model, learner, data, key, whole)
        before = (model, data)
        model, data = step(draw, what, model, data, whole)
        if model is not before[0]:
            left.append(before)
    for one, its in [(model, data), *left[-2:]]:  # those that were left behind are as they were
        same(one, learner, its, key, whole)


@pytest.mark.parametrize("learner", [Forest(n_trees=2), Boosting(rounds=2)], ids=["forest", "boosting"])
def test_forgetting_is_defined_for_every_kept_set(learner):
    """With 200 records one value a side lies outside the grid, with 199 none does: then 1.5e308 is an end of it."""
    X = np.random.Generator(np.random.PCG64(0)).normal(size=(200, 2))
    X[7, 0] = 1.5e308
    data = Dataset.from_arrays(X, ["a", "b"] * 100)
    model = learner.fit(data, Key.public(0))
    assert model.without([3]).digest() == learner.fit(data.without([3]), Key.public(0)).digest()


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ((-1.7e308, 1.7e308), 1e308),
        ((0.0, 5e-324), 0.0),
        ((-1e-310, 1e-310), 0.0),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_declared_range_of_any_width_has_bins_or_is_refused(declared, value):
    data = Dataset.from_arrays(np.array([[value], [np.nan]] * 5), ["a", "b"] * 5)
    try:
        data = data.declaring({"x0": declared})
    except BadData:
        return
    assert Grid.of(data, Key.public(0)).encode(data)[0, 0] != MISSING


@pytest.mark.parametrize("high", [2.0**53, 2.0**54, 1e20, 1e302])
def test_a_declared_range_may_reach_beyond_two_to_the_53(high):
    data = Dataset.from_arrays(np.array([[0.0], [2.0**53]] * 9), ["a", "b"] * 9)
    declared = data.declaring({"x0": (0.0, high)})
    assert declared.schema_digest not in {data.schema_digest, data.declaring({"x0": (0.0, high * 2)}).schema_digest}
    model = Forest(n_trees=2).fit(declared, Key.public(0))
    assert model.without([3]).digest() == Forest(n_trees=2).fit(declared.without([3]), Key.public(0)).digest()


def test_the_step_of_a_grid_is_the_exact_power_of_two():
    """From -2^52 to 2^100: a quarter of that is a little more than 2^98, and no float tells by its logarithm."""
    first, last = cells(np.array([-0.99 * 2.0**52, 0.99 * 2.0**100])).tolist()
    assert (cell_edge(first), cell_edge(last + 1)) == (-(2.0**52), 2.0**100)
    assert range_between(first, last) == (-(2.0**99), 2.0**100)
