"""What every model over integer codes must bear: extreme numbers, new classes, limits; and nothing left behind."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import types
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, same_bits

from expunge.core.archive import pack
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadTarget, TooLarge
from expunge.core.models import rows_to_forget
from expunge.core.seeds import Key
from expunge.models.bayes.naive import NaiveBayes
from expunge.models.bayes.sums import SumBayes
from expunge.models.change import coming, forecast, going
from expunge.models.clusters.divided import DividedKMeans
from expunge.models.clusters.kmeans import KMeans
from expunge.models.encoding import scale as scales
from expunge.models.encoding.scale import Scale, declared
from expunge.models.index.flat import FlatIndex, HashedIndex
from expunge.models.index.graph import GraphIndex
from expunge.models.kept import Kept
from expunge.models.linear.components import PrincipalComponents
from expunge.models.linear.discriminant import Discriminant
from expunge.models.linear.ridge import Ridge
from expunge.models.neighbours import Neighbours

KEY = Key.public(3)
UNSUPERVISED = (
    PrincipalComponents(3, standardise=True),
    KMeans(3),
    KMeans(3, share=0.5),
    DividedKMeans(2, 3),
    FlatIndex(shard_size=8),
    HashedIndex(),
    GraphIndex(shard_size=16),
)
CLASSIFIERS = (Ridge(), Ridge(alpha=0.0), Discriminant(), SumBayes(), NaiveBayes(), Neighbours(3))
EVERY = UNSUPERVISED + CLASSIFIERS


def draws(seed):
    return np.random.Generator(np.random.PCG64(seed))


def table(columns, classes=(), **more):
    n = len(columns["a"])
    found = {name: Column("number", np.asarray(values, np.float64)) for name, values in columns.items()}
    return Dataset(
        found, np.arange(n), np.arange(n), Column.of_texts(["no", "yes"] * (n // 2)), classes=classes, **more
    )


def extreme():
    """Return tables of 40 records whose numbers are as far out as numbers go, and what is forgotten of each."""
    draw = draws(1)
    normal = draw.normal(size=40)
    yield "huge", table({"a": draw.normal(size=40) * 1e300, "b": normal}), [[1, 2], [3]]
    yield "denormal", table({"a": draw.integers(-5, 5, 40) * 5e-324, "b": normal * 1e-310}), [[1, 2], [3]]
    signs = np.where(np.arange(40) % 2 == 0, -0.0, 0.0)
    yield "zeros of both signs", table({"a": signs, "b": np.where(np.arange(40) % 5 == 0, -0.0, 1.0)}), [[0, 5], [1]]
    yield "constant", table({"a": [1.0] * 39 + [2.0], "b": [0.0] * 38 + [1e290, -1.0], "c": normal}), [[39], [38]]
    yield "all scales", table({"a": 10.0 ** draw.integers(-250, 250, 40), "b": normal}), [[1], [2, 3, 4], [20]]
    yield "a sigma that falls", table({"a": np.r_[normal[:36], [50, -50, 100, 200]]}), [[39], [38], [37], [36]]
    yield "equal records", table({"a": np.full(40, 7.0)}), [[0, 1], [3]]
    yield "one left", table({"a": normal}, classes=("no", "yes")), [list(range(1, 40))]
    wide = {"a": (-1e302, 1e302)}
    yield "a range of everything", table({"a": normal, "b": normal}, ranges=wide), [[0], [1, 2, 3]]
    yield "a range of nothing", table({"a": np.zeros(40), "b": normal}, ranges={"a": (0.0, 1e-299)}), [[0], [1, 2]]


@pytest.mark.parametrize("learner", EVERY, ids=repr)
@pytest.mark.parametrize(
    ("name", "data", "batches"), list(extreme()), ids=lambda value: value if type(value) is str else ""
)
def test_extreme_numbers_go_and_come_back_without_a_trace(learner, name, data, batches):
    model = learner.fit(data, KEY)
    before = {key: np.array(array) for key, array in arrays_of(model).items()}
    assert np.isfinite(model.losses(data)).all()
    after, gone = model, []
    for batch in batches:
        after, gone = after.without(batch), [*gone, *batch]
        fresh = learner.fit(data.without(gone), KEY)
        same_bits(arrays_of(after), arrays_of(fresh))
        assert after.digest() == fresh.digest()
        assert pack(arrays_of(after)) == pack(arrays_of(fresh))
    for row in gone:
        after = after.adding(data.take(np.array([row])))
    same_bits(arrays_of(after), before)
    same_bits(arrays_of(model), before)


@pytest.mark.parametrize("learner", EVERY, ids=repr)
def test_classes_come_one_after_the_other_before_anything_is_read(learner):
    draw = draws(0)

    def some(label, start):
        return Dataset.from_arrays(draw.normal(size=(4, 3)), np.array([label] * 4), ids=np.arange(start, start + 4))

    base = Dataset.from_arrays(draw.normal(size=(20, 3)), np.array(["a", "b"] * 10), ids=np.arange(20))
    more = [some("c", 100), some("a", 200), some("A", 300)]
    model, every = learner.fit(base, KEY), base
    for new in more:
        model, every = model.adding(new), every.joined(new)
    model = model.without([100, 0, 300]).adding(base.take(np.array([0]))).without([200])
    same_bits(arrays_of(model), arrays_of(learner.fit(every.without([100, 300, 200]), KEY)))


@pytest.mark.parametrize("learner", EVERY, ids=repr)
def test_nothing_added_changes_nothing(learner):
    data = table({"a": draws(2).normal(size=20), "b": np.arange(20.0)})
    model = learner.fit(data, KEY).without([3])
    assert model.adding(data.take(np.zeros(0, np.int64))).digest() == model.digest()
    if not isinstance(learner, NaiveBayes):
        vectors = Dataset.from_vectors(draws(2).normal(size=(20, 4)).astype(np.float32), ["no", "yes"] * 10)
        model = learner.fit(vectors, KEY)
        assert model.adding(vectors.take(np.zeros(0, np.int64))).digest() == model.digest()


@pytest.mark.parametrize("learner", [e for e in EVERY if not isinstance(e, NaiveBayes)], ids=repr)
def test_adding_stops_where_a_fit_does(learner, monkeypatch):
    monkeypatch.setattr(scales, "MAX_RECORDS", 22)
    data = table({"a": draws(2).normal(size=24)}).declaring({"a": (-9.0, 9.0)})
    rows = np.arange(24)
    with pytest.raises(TooLarge, match="exact below 23"):
        learner.fit(data, KEY)
    model = learner.fit(data.take(rows[:20]), KEY)
    with pytest.raises(TooLarge, match="exact below 23"):
        model.adding(data.take(rows[20:]))
    same_bits(arrays_of(model.adding(data.take(rows[20:22]))), arrays_of(learner.fit(data.take(rows[:22]), KEY)))


def test_a_range_that_new_records_bring_does_not_count():
    draw = draws(4)
    base, far = (Dataset.from_arrays(draw.normal(size=(20, 2)) * size, np.array(["a", "b"] * 10)) for size in (1, 1e12))
    far = replace(far, ids=far.ids + 100, subjects=far.ids + 100).declaring({"x0": (-1e14, 1e14)})
    scale = Scale.of(base, KEY)
    assert scale.adding(far) is None  # x0 grows by a factor of 10¹²: its codes change meaning
    for learner in CLASSIFIERS:
        fresh = learner.fit(base.joined(far), KEY)
        same_bits(arrays_of(learner.fit(base, KEY).adding(far)), arrays_of(fresh))


@given(st.floats(-1e300, 1e300), st.floats(1e-300, 1e300))
def test_a_declared_step_is_the_power_of_two_nearest_to_a_1024th(low, width):
    assert np.isfinite(declared("x", False, (-1.7e308, 1.7e308)).step)
    high = low + width
    if high <= low:
        return
    ruler = declared("x", False, (low, high))
    assert np.frexp(ruler.step)[0] == 0.5
    if ruler.step > 2.0**-1000:
        assert 2**-0.5 * (1 - 1e-15) <= (high - low) / 1024 / ruler.step <= 2**0.5 * (1 + 1e-15)
    assert low <= ruler.shift <= high


def test_records_without_a_class_are_refused_where_one_is_learnt():
    data = table({"a": draws(3).normal(size=20)})
    codes = data.target.values.copy()
    codes[:2] = -1
    data = replace(data, target=Column("category", codes, data.target.vocabulary))
    for learner in CLASSIFIERS:
        with pytest.raises(BadTarget, match="2 of 20 records have no class"):
            learner.fit(data, KEY)
    for learner in UNSUPERVISED:
        same_bits(arrays_of(learner.fit(data, KEY).without([0, 7])), arrays_of(learner.fit(data.without([0, 7]), KEY)))
    assert rows_to_forget(data, [0, 3]).tolist() == [0, 3]


@pytest.mark.parametrize("learner", [Ridge(), Neighbours(3)], ids=repr)
def test_losses_of_huge_numbers_are_finite(learner):
    draw = draws(5)
    data = Dataset.from_arrays(draw.normal(size=(40, 2)), draw.normal(size=40) * 1e307)
    losses = learner.fit(data, KEY).losses(data)
    assert np.isfinite(losses).all()
    assert losses.max() == np.finfo(np.float64).max


def test_numbers_whose_deviation_no_number_can_hold():
    data = table({"a": np.where(np.arange(40) % 3 == 0, 1.7976e308, -1.7976e308)})
    with pytest.raises(BadData, match=r"'a' .*deviation"):
        PrincipalComponents(3, standardise=True).fit(data, KEY)


def reached(thing):
    """Return all arrays that a thing holds, through whatever it holds them."""
    seen, waiting, found = {}, [thing], []
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | str | bytes | int | float | types.ModuleType | types.FunctionType):
            continue
        seen[id(one)] = one
        if isinstance(one, np.ndarray):
            found.append(one)
            waiting += [one.base, *(one.ravel().tolist() if one.dtype.hasobject else ())]
        else:
            waiting += gc.get_referents(one)
    return [array for array in found if not array.dtype.hasobject]


ID, MARK = 987_654_321_012, 0.123456789012345


def marked(vectors):
    draw = draws(6)
    X, ids = draw.normal(size=(60, 8)), np.arange(60)
    X[7], ids[7] = MARK * np.arange(1, 9), ID
    labels = np.array(["no", "yes"] * 30)
    data = Dataset.from_vectors(X.astype(np.float32), labels) if vectors else Dataset.from_arrays(X, labels)
    return replace(data, ids=ids, subjects=ids)


@pytest.mark.parametrize("vectors", [False, True])
@pytest.mark.parametrize("learner", EVERY, ids=repr)
def test_after_a_digest_no_array_holds_anything_of_the_forgotten(learner, vectors):
    if vectors and isinstance(learner, NaiveBayes):
        return
    data, one = marked(vectors), marked(vectors).take(np.array([7]))
    needles = [np.int64(ID).tobytes(), KEY.words([ID]).tobytes()]
    needles += [column.values[0].tobytes() for column in one.columns.values()]
    for kind in (np.int16, np.int64, np.float64):
        needles.append(Scale.of(data, KEY).encode(one).astype(kind).tobytes())
    model = learner.fit(data, KEY)
    if hasattr(model, "coder"):
        needles.append(model.coder.encode(one).codes.tobytes())
    fit_bytes = [array.tobytes() for array in reached(model)]
    assert any(needle in held for needle in needles for held in fit_bytes)  # the search finds what is there
    after = model.without([ID])
    if hasattr(after, "logits"):
        after.logits(data)
    after.digest()
    del model, fit_bytes
    left = [(array.dtype, array.shape) for array in reached(after) if any(n in array.tobytes() for n in needles)]
    assert left == []


DIGESTS = """
import numpy as np
from expunge.core.canonical import part_digest
from models.test_change import EVERY, ID, KEY, marked
for learner in EVERY:
    model = learner.fit(marked(False), KEY).without([ID, *range(8, 30)])
    print(part_digest(model.memory()).hex(), model.guarantee().grade == "bits" and model.digest())
"""


def test_bits_are_the_same_with_one_thread_and_with_two():
    said = []
    for threads in ("1", "2"):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
        paths = os.pathsep.join(path for path in sys.path if path)
        environment = {**os.environ, **dict.fromkeys(names, threads), "PYTHONPATH": paths}
        run = subprocess.run(
            [sys.executable, "-c", DIGESTS], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert run.returncode == 0, run.stderr
        said.append(run.stdout)
    assert said[0] == said[1]
    assert said[0].count("\n") == len(EVERY)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_what_goes_and_comes_is_looked_up_and_nothing_is_changed(seed):
    data = table({"a": draws(seed).normal(size=20)})
    kept, scale = Kept.of(data), Scale.of(data, KEY)
    none = going(kept, scale, [])
    assert none.kept.n == 20
    assert none.scale is scale
    change = going(kept, scale, [1, 2])
    assert change.records.ids.tolist() == [1, 2]
    assert change.kept.n == 18
    back = coming(change.kept, change.after[0] if change.after else Scale.of(change.kept.data, KEY), change.records)
    assert back.kept.n == 20
    assert kept.n == 20


def test_what_a_deletion_will_cost():
    told = forecast("why", 2.0, 0.25, 7, (1, 4))
    assert (told.seconds, told.records_read, told.parts_touched, told.parts) == (0.501, 7, 1, 4)
    assert forecast("why", 0.0, 0.25, 7).seconds is None
