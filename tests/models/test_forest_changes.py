"""A forest over time: records come and go, repairs wait, numbers are learnt, and nothing of the past is left."""

import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.test_forest import KEY, SMALL, assert_same, choose, mixed
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, BadTarget, DuplicateId, TooLarge
from expunge.core.seeds import Key
from expunge.models.forest.learner import Forest
from expunge.models.forest.target import Target

LAZY = replace(SMALL, repair="lazy")


def numbers(n: int, seed: int, calm: bool = True) -> Dataset:
    """`mixed` records with a target of numbers that follow from them, with a tail."""
    data = mixed(n, seed, calm=calm)
    rng = np.random.default_rng(seed + 9)
    ties = data.columns["ties"].values
    y = 20.0 * ties + rng.gamma(2.0, 5.0, n).round(1) - 30.0
    y[:2] = -40.0, 260.0  # the grid of the target hangs on these
    return replace(data, target=Column("number", y))


@settings(max_examples=50, deadline=None)
@given(
    n=st.integers(30, 300),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.003, 0.05, 0.3, 0.6]),
    parts=st.integers(1, 4),
    classes=st.sampled_from([0, 2, 3]),
    calm=st.booleans(),
    learner=st.sampled_from([SMALL, replace(SMALL, keep=200), replace(SMALL, keep=4, random_depth=2)]),
)
def test_learning_more_equals_having_learnt_all(n, seed, share, parts, classes, calm, learner):
    data = mixed(n, seed, classes, calm) if classes else numbers(n, seed, calm)
    late = choose(data, share, seed + 1) if classes else data.ids[: max(1, int(share * n))].tolist()
    early = data.without(late)
    model = learner.fit(early, KEY)
    before = model.digest()
    after = model
    for part in np.array_split(np.array(late), parts):
        after = after.adding(data.only(part.tolist()))
    whole = learner.fit(data.take(np.argsort(data.ids)), KEY)
    assert_same(after, whole)
    assert model.digest() == before
    after.forget(late)
    assert_same(after, model)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8))
def test_any_history_of_coming_and_going_leaves_no_trace(seed, steps):
    data = mixed(220, seed, calm=seed % 4 > 0)
    rng = np.random.default_rng(seed)
    safe = data.ids[:20].tolist()  # one of each class among them, never forgotten
    model, gone = SMALL.fit(data, KEY), []
    for comes, m in steps:
        if comes and gone:
            back, gone = gone[:m], gone[m:]
            model = model.adding(data.only(back))
        else:
            left = np.setdiff1d(model.data.ids, safe)
            out = rng.permutation(left)[:m].tolist()
            model = model.without(out)
            gone += out
    assert_same(model, SMALL.fit(data.without(gone), KEY))


def test_learning_more_repairs_and_does_not_refit(monkeypatch):
    data = mixed(300, 0, calm=True)
    late = choose(data, 0.05, 3)
    model = SMALL.fit(data.without(late), KEY)
    monkeypatch.setattr(Forest, "fit", lambda *_: pytest.fail("fitted again"))
    for i in late:
        model = model.adding(data.only([i]))
    assert len(model) == 300


def test_learning_what_cannot_be_learnt_changes_nothing():
    data = mixed(80, 3)
    model = SMALL.fit(data, KEY)
    before = model.digest()
    with pytest.raises(DuplicateId):
        model.adding(data.only(data.ids[:2].tolist()))
    with pytest.raises(BadData):
        model.adding(replace(data, columns={"ties": data.columns["ties"]}, ids=data.ids + 10**6))
    declared = replace(data, classes=data.target.vocabulary)
    strange = replace(declared, ids=data.ids + 10**6, target=Column.of_texts(["other"] * len(data)))
    with pytest.raises(BadTarget):
        SMALL.fit(declared, KEY).adding(strange)
    assert model.adding(data.take(np.zeros(0, np.int64))).digest() == before
    assert model.digest() == before


def test_a_new_class_or_category_is_learnt_by_a_fit():
    data = mixed(90, 1, calm=True)
    more = replace(data.take(np.arange(3)), ids=np.array([10**6, 10**6 + 1, 10**6 + 2]))
    for odd in (
        replace(more, target=Column.of_texts(["new"] * 3)),
        replace(more, columns=dict(more.columns) | {"letter": Column.of_texts(["new"] * 3)}),
    ):
        assert_same(SMALL.fit(data, KEY).adding(odd), SMALL.fit(data.joined(odd), KEY))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), lots=st.lists(st.integers(1, 9), min_size=1, max_size=12), look=st.integers(0, 11))
def test_repairs_that_wait_give_the_same_bits(seed, lots, look):
    data = mixed(400, seed, calm=seed % 3 > 0)
    order = choose(data, 0.4, seed)
    eager, lazy = SMALL.fit(data, KEY), LAZY.fit(data, KEY)
    assert eager.digest() == lazy.digest()
    for step, m in enumerate(lots):
        out, order = order[:m], order[m:]
        eager.forget(out)
        copy = lazy.without(out)
        lazy.forget(out)
        assert len(lazy) == len(eager) == len(copy)
        if step == look:
            assert np.array_equal(lazy.probabilities(data), eager.probabilities(data))
            assert np.array_equal(copy.probabilities(data), eager.probabilities(data))
    assert_same(lazy, eager)
    assert_same(copy, eager)


def test_what_is_owed_is_bounded_and_paid_before_anything_is_read():
    data = mixed(500, 4, calm=True)
    model = LAZY.fit(data, KEY)
    ids = choose(data, 0.2, 0)
    most = 0
    for i in ids:
        model.forget([i])
        most = max(most, model.n_owed)
        assert model.n_owed <= model.learner.debt * len(model)
    assert most > 1
    model.forget([next(i for i in data.ids.tolist() if i not in ids)])
    assert model.n_owed
    for read in ("state", "memory", "digest", "settle"):
        other = replace(model, trees=list(model.trees), owned=set(), alive=model.alive.copy())
        getattr(other, read)()
        assert not other.n_owed
    model.probabilities(data)
    assert not model.n_owed
    model.settle()
    rows = [set(t.rows.view(np.int32).tolist()) - {-1} for t in model.trees]
    assert all(max(r) < len(model) for r in rows)


def test_waiting_repairs_are_made_once_when_threads_read_together():
    data = mixed(400, 6, calm=True)
    ids = choose(data, 0.01, 0)
    model = LAZY.fit(data, KEY)
    model.forget(ids)
    found = []
    threads = [threading.Thread(target=lambda: found.append(model.probabilities(data))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = SMALL.fit(data.without(ids), KEY).probabilities(data)
    assert len(found) == 4
    assert all(np.array_equal(f, expected) for f in found)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(20, 250), seed=st.integers(0, 10**6), share=st.sampled_from([0.01, 0.3, 0.8]), calm=st.booleans())
def test_a_forest_of_numbers_forgets_exactly(n, seed, share, calm):
    data = numbers(n, seed, calm)
    ids = np.random.default_rng(seed).permutation(data.ids)[: max(1, int(share * n))].tolist()
    model = SMALL.fit(data, KEY)
    after = model.without(ids)
    assert_same(after, SMALL.fit(data.without(ids), KEY))
    again = SMALL.restore(after.state() | after.memory(), data.without(ids), KEY)
    assert_same(again, after)
    for i in ids[: len(ids) // 2]:
        model.forget([i])
    model.forget(ids[len(ids) // 2 :])
    assert_same(model, after)


def test_a_forest_of_numbers_predicts_means_of_the_kept_records():
    data = numbers(600, 2)
    model = Forest(n_trees=30).fit(data, KEY)
    found, true = model.values(data), data.target.values
    assert np.corrcoef(found, true)[0, 1] > 0.9
    assert np.allclose(model.losses(data), (found - true) ** 2)
    assert np.array_equal(model.logits(data)[:, 0], found)
    stump = Forest(n_trees=1, max_depth=1, min_split=10**6).fit(data, KEY)
    assert np.allclose(stump.values(data), true.mean(), atol=stump.target.step)
    with pytest.raises(BadInput, match="number"):
        model.probabilities(data)
    with pytest.raises(BadInput, match="class"):
        SMALL.fit(mixed(60, 1), KEY).values(data)


@given(least=st.floats(-1e9, 1e9), width=st.floats(0, 1e9), sample=st.sampled_from([64, 2048, 2**15]))
def test_the_sums_of_a_sample_stay_exact(least, width, sample):
    target = Target.between(least, least + width, sample)
    data = numbers(4, 0)
    y = np.array([least, least + width / 2, least + width / 3, least + width])
    codes = target.encode(replace(data, target=Column("number", y))).astype(np.int64)
    assert (codes >= 0).all()
    assert (int(codes.max()) * sample * 4 // 3) ** 2 < 2**53
    assert np.allclose(target.low + target.step * codes, y, atol=target.step)


def test_numbers_beyond_any_grid_are_refused():
    data = numbers(30, 1)
    y = data.target.values.copy()
    y[3] = 1e303
    with pytest.raises(TooLarge):
        SMALL.fit(replace(data, target=Column("number", y)), KEY)


def test_after_many_deletions_a_forest_is_as_small_as_a_fresh_one():
    data = mixed(3000, 3, calm=True)
    learner = Forest(n_trees=10, trees_per_owner=5, keep=16)
    model = learner.fit(data, KEY)
    order = choose(data, 0.9, 1)
    for share in (0.5, 0.9):
        for part in np.array_split(np.array(order[: int(share * 3000)]), 9):
            known = set(model.data.ids.tolist())
            model.forget([i for i in part.tolist() if i in known])
        fresh = learner.fit(model.data, KEY)
        assert model.digest() == fresh.digest()
        assert model.nbytes <= 1.3 * fresh.nbytes


def test_what_is_free_is_blank():
    data = mixed(400, 5, calm=True)
    model = replace(SMALL, keep=4).fit(data, KEY)
    for i in choose(data, 0.3, 2):
        model.forget([i])
    for tree in model.trees:
        kept = tree.nodes[tree.nodes[:, 4] > 0]
        free = tree.nodes[:, 4] == 0
        assert not tree.nodes[free, 1:].any()
        assert not tree.counts[free].any()
        used = np.unique(kept[kept[:, 5] >= 0, 5])
        assert not np.delete(tree.hist, used, axis=0).any()
        own = np.concatenate([np.arange(a, a + n) for f, _, _, a, n, _ in kept.tolist() if f < 0])
        assert (np.delete(tree.rows, own) == np.uint32(2**32 - 1)).all()


def test_a_declared_range_stands_whatever_is_forgotten():
    rng = np.random.default_rng(0)
    data = Dataset.from_arrays(rng.exponential(size=(60, 2)), rng.choice(["a", "b"], 60).tolist())
    ids = np.argsort(data.columns["x0"].values)[-40:].tolist()
    ids = [i for i in ids if i not in (0, 1)]
    assert SMALL.fit(data, KEY).plan(ids).parts_touched == SMALL.n_trees
    declared = data.declaring({"x0": (0.0, 8.0), "x1": (0.0, 8.0)})
    model = SMALL.fit(declared, KEY)
    assert not model.tally.without(np.array(ids))[1]
    assert_same(model.without(ids), SMALL.fit(declared.without(ids), KEY))


def test_interrupts_at_any_time_leave_one_of_two_models():
    data = mixed(300, 7, calm=True)
    ids = choose(data, 0.03, 1)
    before, after = SMALL.fit(data, KEY), SMALL.fit(data.without(ids), KEY)
    allowed = {before.digest(), after.digest()}
    rng = np.random.default_rng(0)
    for _ in range(20):
        model = SMALL.fit(data, KEY)
        timer = threading.Timer(rng.uniform(0, 0.004), signal.raise_signal, [signal.SIGINT])
        try:
            timer.start()
            model.forget(ids)
            timer.join()
        except KeyboardInterrupt:
            pass
        timer.join()
        assert model.digest() in allowed


def signatures() -> dict[str, int]:
    """Every kernel of the forest, and for how many types it is compiled."""
    from expunge.models.kernels import draws, forest, pool, repair, splits, trees

    modules: tuple[ModuleType, ...] = (draws, forest, pool, repair, splits, trees)
    every = [(f"{m.__name__}.{n}", f) for m in modules for n, f in vars(m).items() if hasattr(f, "signatures")]
    return {name: len(kernel.signatures) for name, kernel in every}


def test_once_warm_nothing_is_compiled_again():
    Forest().prepare(lambda _: None)
    before = signatures()
    for data in (
        mixed(150, 2, classes=3),
        mixed(90, 4),
        numbers(120, 3),
        Dataset.from_arrays(np.eye(9), [*"aaabbbccc"]),
    ):
        learner = replace(SMALL, n_bins=256, keep=5)
        model = learner.fit(data, Key.public(1))
        out = data.ids[3:8].tolist() if data.target.kind == "number" else choose(data, 0.05, 1)
        after = model.without(out)
        model.forget(out)
        assert after.adding(data.only(out)).losses(data).shape == (len(data),)
        frozen = {name: array.copy() for name, array in (after.state() | after.memory()).items()}
        for array in frozen.values():
            array.flags.writeable = False
        learner.restore(frozen, after.data, Key.public(1)).losses(data)
    assert signatures() == before


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([expunge.ForestRegressor(n_trees=10, trees_per_owner=5)])
def test_scikit_learn_accepts_the_regressor(estimator, check):
    check(estimator)


@pytest.mark.parametrize("make", [expunge.ForestClassifier, expunge.ForestRegressor])
def test_estimators_learn_and_forget_exactly(make):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 4)).round(1)
    y = (X[:, 0] > 0).astype(int) if make is expunge.ForestClassifier else X[:, 0] + X[:, 1]
    ids = np.arange(200)
    whole = make(n_trees=8, trees_per_owner=4).fit(X, y, ids=ids)
    part = make(n_trees=8, trees_per_owner=4, repair="lazy").fit(X[:150], y[:150], ids=ids[:150])
    part.learn(X[150:], y[150:], ids=ids[150:])
    assert part.digest() == whole.digest()
    assert part.score(X, y) > 0.8
    part.forget([3, 4, 5])
    kept = np.delete(ids, [3, 4, 5])
    assert part.digest() == make(n_trees=8, trees_per_owner=4).fit(X[kept], y[kept], ids=kept).digest()


def everything(thing: object, seen: set[int]) -> Iterator[bytes]:
    """The bytes of every array, text and number that can be reached from a model, other than code."""
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, np.ndarray):
        yield np.ascontiguousarray(thing).tobytes()
        if thing.base is not None:
            yield from everything(thing.base, seen)
    elif isinstance(thing, str):
        yield thing.encode()
    elif isinstance(thing, int | float):
        yield np.array([thing]).tobytes()
    elif isinstance(thing, dict | frozenset | list | tuple | set):
        for part in (*thing, *(thing.values() if isinstance(thing, dict) else ())):
            yield from everything(part, seen)
    elif hasattr(thing, "__dict__") and not isinstance(thing, type):
        yield from everything(vars(thing), seen)


@pytest.mark.parametrize("trial", range(20))
def test_no_mark_of_a_forgotten_record_is_left_in_memory_or_in_what_is_saved(trial):
    """Its values, its id, its owner and the keyed words that its draws hang on."""
    data = mixed(150, trial, calm=True)
    row, rng = 10 + trial, np.random.default_rng(trial)
    value, name, owner = 1.0 + rng.random() / 7, 10**12 + 7919 * trial + 12345, f"owner-{trial}-canary"
    values, ids, subjects = data.columns["heavy"].values.copy(), data.ids.copy(), data.subjects.astype(object)
    values[row], ids[row], subjects[row] = value, name, owner
    columns = dict(data.columns) | {"heavy": Column("number", values)}
    data = replace(data, columns=columns, ids=ids, subjects=subjects.astype(str), target=data.target)
    model = SMALL.fit(data, KEY)
    marks = [np.array([v]).tobytes() for v in (value, name, int(model.h[row]), model.owner_words[row])]
    marks.append(np.array([owner]).tobytes())
    model.digest()
    held = b"\xff".join(everything(model, set()))
    assert all(mark in held for mark in marks)
    marks.append(owner.encode())
    others = [i for i in choose(data, 0.2, trial) if i != name]
    for i in [*others[:9], name, *others[9:]]:
        model.forget([i])
    saved = b"".join(array.tobytes() for array in (model.state() | model.memory()).values())
    held = b"\xff".join(everything(model, set()))
    assert not [mark for mark in marks if mark in held or mark in saved]


@pytest.mark.parametrize("share", [0.5, 0.9])
def test_after_as_many_deletions_one_by_one_a_forest_is_as_small_as_a_fresh_one(share):
    data = mixed(1500, 3, calm=True)
    learner = Forest(n_trees=10, trees_per_owner=5, keep=16)
    model = learner.fit(data, KEY)
    for i in choose(data, share, 1):
        model.forget([i])
    fresh = learner.fit(model.data, KEY)
    assert_same(model, fresh)
    assert model.nbytes <= 1.3 * fresh.nbytes


def test_a_digest_that_reuses_parts_is_the_digest_of_the_whole_state():
    data = mixed(300, 12)
    model = SMALL.fit(data, KEY)
    for i in choose(data, 0.1, 1):
        before = model.digest()
        after = model.without([i])
        assert after.digest() == after.identity.digest(after.state())
        assert model.digest() == before == model.identity.digest(model.state())
        model.forget([i])
        assert model.digest() == after.digest() == SMALL.fit(model.data, KEY).digest()
    model.settle()
    assert model.digest() == model.identity.digest(model.state())
