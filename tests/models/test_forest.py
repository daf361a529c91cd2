"""The canonical forest: whatever is forgotten, in whatever order, the bits are those of a fit on the kept records."""

import signal
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, ClassVanished, NothingLeft, StoreDamaged, UnknownRecord
from expunge.core.seeds import Key
from expunge.models.forest import trees
from expunge.models.forest.learner import Forest

KEY = Key.public(3)
SMALL = Forest(n_trees=6, trees_per_owner=3, max_depth=7, min_split=4, sample=64, keep=16, thresholds=4)


def mixed(n: int, seed: int, classes: int = 2, calm: bool = False) -> Dataset:
    """Records with ties, a constant column, missing values, rare categories, many categories and texts.

    A calm set has no column whose grid moves often, so that trees are repaired rather than fitted again.
    """
    rng = np.random.default_rng(seed)
    ties = rng.integers(0, 5, n).astype(float)
    heavy = np.exp(rng.normal(0, 3, n)) * rng.choice([-1.0, 1.0], n)
    if calm:
        heavy = rng.integers(0, 3, n) / 2.0
    heavy[rng.random(n) < 0.2] = np.nan
    letters = [f"c{int(v)}" if v < 9 else None for v in rng.geometric(0.4, n)]
    codes = [f"d{int(v)}" for v in rng.integers(0, 25 if calm else 45, n)]
    texts = [" ".join(rng.choice(["pain", "fever", "cough", "none"], 3)) for _ in range(n)]
    y = (ties + (heavy > 0) + rng.integers(0, 3, n)).astype(int) % classes
    y[:classes] = range(classes)
    return Dataset(
        columns={
            "ties": Column("number", ties),
            "heavy": Column("number", heavy),
            "constant": Column("number", np.ones(n)),
            "letter": Column.of_texts(letters),
            "code": Column.of_texts(codes),
            "note": Column.of_texts(texts, "text"),
        },
        ids=np.arange(n) * 7 - 40,
        subjects=np.array([f"s{v}" for v in rng.integers(0, max(2, n // 3), n)]),
        target=Column.of_texts([f"k{v}" for v in y]),
    )


def assert_same(model, fresh):
    for a, b in ((model.state(), fresh.state()), (model.memory(), fresh.memory())):
        assert a.keys() == b.keys()
        different = [name for name in a if not np.array_equal(a[name], b[name])]
        assert not different
    assert model.digest() == fresh.digest()


def choose(data: Dataset, share: float, seed: int) -> list:
    """Some records, never the last of a class."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(data.ids)[: max(1, int(share * len(data)))].tolist()
    for code in range(len(data.target.vocabulary)):
        own = data.ids[data.target.values == code].tolist()
        if set(own) <= set(ids):
            ids.remove(own[0])
    return ids


def tuned(**changes) -> Forest:
    return replace(SMALL, **changes)


LEARNERS = [SMALL, tuned(random_depth=2), tuned(keep=200), tuned(keep=4, min_split=2), tuned(n_bins=256, thresholds=2)]


@settings(max_examples=80, deadline=None)
@given(
    learner=st.sampled_from(LEARNERS),
    n=st.integers(30, 300),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.003, 0.05, 0.3, 0.9]),
    parts=st.integers(1, 6),
    classes=st.sampled_from([2, 3]),
    calm=st.booleans(),
)
def test_forgetting_equals_never_having_learnt(learner, n, seed, share, parts, classes, calm):
    data = mixed(n, seed, classes, calm)
    ids = choose(data, share, seed + 1)
    model = learner.fit(data, KEY)
    before = model.digest()
    after = model
    for part in np.array_split(np.array(ids), parts):
        after = after.without(part.tolist())
    assert_same(after, learner.fit(data.without(ids), KEY))
    assert model.digest() == before
    in_place = learner.fit(data, KEY)
    for i in reversed(ids):
        in_place.forget([i])
    assert_same(in_place, after)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(30, 200), seed=st.integers(0, 10**6))
def test_a_saved_forest_goes_on_forgetting(n, seed):
    data = mixed(n, seed)
    ids = choose(data, 0.2, seed)
    half = len(ids) // 2
    model = SMALL.fit(data, KEY).without(ids[:half])
    again = SMALL.restore(model.state() | model.memory(), data.without(ids[:half]), KEY)
    assert_same(again, model)
    assert_same(again.without(ids[half:]), SMALL.fit(data.without(ids), KEY))


def test_trees_are_repaired_not_refitted(monkeypatch):
    """The exactness tests would prove little if every deletion ended in a refit."""
    data = mixed(250, 0, calm=True)
    model = SMALL.fit(data, KEY)
    monkeypatch.setattr(Forest, "fit", lambda *_: pytest.fail("fitted again"))
    for i in choose(data, 0.05, 3):
        model = model.without([i])


def test_forgetting_in_place_leaves_models_that_share_trees_alone():
    data = mixed(250, 0, calm=True)
    ids = choose(data, 0.2, 3)
    first = SMALL.fit(data, KEY)
    second = first.without(ids[:9])
    third = second.without([])
    digests = first.digest(), second.digest()
    second.forget(ids[9:20])
    first.forget(ids[20:])
    assert third.digest() == digests[1]
    assert_same(second, SMALL.fit(data.without(ids[:20]), KEY))
    assert_same(first, SMALL.fit(data.without(ids[20:]), KEY))


def test_a_forest_of_few_trees_holds_every_owner_in_all_of_them():
    data = mixed(80, 1)
    learner = Forest(n_trees=4)
    model = learner.fit(data, KEY)
    assert model.plan([data.ids[0].item()]).parts_touched == 4
    assert_same(model.without(data.ids[:3].tolist()), learner.fit(data.without(data.ids[:3].tolist()), KEY))


def test_values_at_the_ends_of_floating_point_fall_into_the_outer_bins():
    data = mixed(60, 3)
    values = data.columns["heavy"].values.copy()
    values[:] = np.where(np.arange(60) % 2, -1.7e308, 1.7e308)
    wild = Dataset(
        columns=dict(data.columns) | {"heavy": Column("number", values)},
        ids=data.ids,
        subjects=data.subjects,
        target=data.target,
    )
    gone = wild.ids[:5].tolist()
    assert_same(SMALL.fit(wild, KEY).without(gone), SMALL.fit(wild.without(gone), KEY))


def test_the_order_of_records_and_the_number_of_threads_do_not_matter():
    data = mixed(250, 1)
    shuffled = data.take(np.random.default_rng(0).permutation(len(data)))
    one = SMALL.fit(data, KEY).digest()
    assert SMALL.fit(shuffled, KEY).digest() == one
    two = Forest(**{**{f: getattr(SMALL, f) for f in SMALL.__dataclass_fields__}, "n_jobs": 2})
    assert two.fit(data, KEY).digest() == one
    assert SMALL.fit(data, Key.public(4)).digest() != one


def test_large_nodes_are_decided_on_samples_and_stay_exact():
    """Crossing the powers of two at which the sampling rate changes."""
    data = mixed(1100, 5, calm=True)
    learner = Forest(n_trees=3, trees_per_owner=3, sample=64, keep=8, min_split=4, thresholds=4)
    model = learner.fit(data, KEY)
    order = choose(data, 0.99, 2)
    kept = data
    for start in range(0, 1080, 90):
        part = order[start : start + 90]
        model = model.without(part)
        kept = kept.without(part)
        assert_same(model, learner.fit(kept, KEY))


def test_predictions_are_shares_of_the_kept_records():
    data = mixed(300, 2)
    model = SMALL.fit(data, KEY)
    shares = model.probabilities(data)
    assert np.allclose(shares.sum(1), 1)
    right = (shares.argmax(1) == data.target.values).mean()
    assert right > 0.6
    assert np.isfinite(model.losses(data)).all()
    strange = Dataset(
        columns={name: c for name, c in data.columns.items() if name != "letter"}
        | {"letter": Column.of_texts(["never seen"] * len(data))},
        ids=data.ids,
        subjects=data.subjects,
    )
    assert np.allclose(model.probabilities(strange).sum(1), 1)


def test_a_subject_with_many_records_is_in_few_trees():
    data = mixed(300, 4, calm=True)
    heavy = np.array(["heavy" if i < 60 else s for i, s in enumerate(data.subjects.tolist())])
    data = Dataset(columns=data.columns, ids=data.ids, subjects=heavy, target=data.target)
    model = SMALL.fit(data, KEY)
    plan = model.plan(data.owned_by("heavy"))
    assert plan.parts_touched == SMALL.trees_per_owner
    assert plan.parts == SMALL.n_trees
    before = model.digest()
    model.plan([data.ids[0].item()])
    assert model.digest() == before


def test_bad_requests_change_nothing():
    data = mixed(60, 3)
    model = SMALL.fit(data, KEY)
    before = model.digest()
    with pytest.raises(UnknownRecord):
        model.without([10**9])
    with pytest.raises(NothingLeft):
        model.without(data.ids.tolist())
    with pytest.raises(ClassVanished):
        model.without(data.ids[data.target.values == 0].tolist())
    once = model.without([data.ids[5].item()])
    with pytest.raises(UnknownRecord, match="already"):
        once.without([data.ids[5].item()])
    with pytest.raises(UnknownRecord):
        once.forget([data.ids[5].item()])
    assert model.digest() == before
    assert model.without([]).digest() == before


def test_a_declared_class_may_lose_all_its_records():
    base = mixed(60, 3)
    data = Dataset(
        columns=base.columns, ids=base.ids, subjects=base.subjects, target=base.target, classes=base.target.vocabulary
    )
    ids = data.ids[data.target.values == 0].tolist()
    assert_same(SMALL.fit(data, KEY).without(ids), SMALL.fit(data.without(ids), KEY))


@pytest.mark.parametrize(
    "wrong",
    [
        {"repair": "never"},
        {"random_depth": -1},
        {"n_trees": 0},
        {"trees_per_owner": 0},
        {"sample": 100},
        {"n_bins": 10},
        {"max_features": 0},
        {"max_depth": 99},
    ],
)
def test_bad_parameters_are_refused(wrong):
    with pytest.raises(BadInput):
        Forest(**wrong).fit(mixed(40, 0), KEY)


def test_a_saved_forest_of_other_records_is_refused():
    data = mixed(120, 6)
    model = SMALL.fit(data, KEY)
    arrays = model.state() | model.memory()
    with pytest.raises(StoreDamaged):
        SMALL.restore(arrays, data.without(data.ids[:9].tolist()), KEY)
    for name in ("tree/00000/counts", "tree/00000/hist"):
        with pytest.raises(StoreDamaged):
            SMALL.restore({k: v for k, v in arrays.items() if k != name}, data, KEY)
    bent = arrays | {"tree/00001/counts": arrays["tree/00001/counts"] + 1}
    with pytest.raises(StoreDamaged):
        SMALL.restore(bent, data, KEY)


def test_forgotten_values_leave_the_process_arrays():
    """A marker value and a marker category are in no array of the model once it is settled."""
    data = mixed(200, 8)
    marker = 123456.789e20
    values = data.columns["heavy"].values.copy()
    values[17] = marker
    words = [data.columns["letter"].vocabulary[c] if c >= 0 else None for c in data.columns["letter"].values]
    words[17] = "CANARY"
    data = Dataset(
        columns=dict(data.columns) | {"heavy": Column("number", values), "letter": Column.of_texts(words)},
        ids=data.ids,
        subjects=data.subjects,
        target=data.target,
    )

    def holds(model) -> bool:
        model.settle()
        arrays = [c.values for c in model.source.columns.values()]
        words = {w for c in model.source.columns.values() for w in c.vocabulary}
        words |= {w for f in model.grid.features for w in f.words}
        return "CANARY" in words or any(marker in a for a in arrays)

    model = SMALL.fit(data, KEY)
    assert holds(model)
    model.forget([data.ids[17].item()])
    assert not holds(model)


def test_an_interrupt_waits_until_forgetting_is_done(monkeypatch):
    data = mixed(200, 9, calm=True)
    ids = choose(data, 0.1, 0)
    model = SMALL.fit(data, KEY)
    real, calls = trees._grow, []

    def interrupted(*args):
        if not calls:
            signal.raise_signal(signal.SIGINT)
        calls.append(1)
        return real(*args)

    monkeypatch.setattr(trees, "_grow", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.forget(ids)
    monkeypatch.undo()
    assert len(calls) > 1
    assert_same(model, SMALL.fit(data.without(ids), KEY))


def test_progress_is_told_and_may_stop_the_fit():
    seen = []
    SMALL.fit(mixed(50, 1), KEY, lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 6) for i in range(6)]

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SMALL.fit(mixed(50, 1), KEY, stop)


def test_the_digest_is_the_one_of_every_machine():
    """A golden value: integers, keyed hashes and one fixed float expression give the same bits everywhere."""
    assert SMALL.fit(mixed(300, 11, calm=True), KEY).digest() == GOLDEN


GOLDEN = "cbb05199507c2d215878db11ef3be6bf575c8295bada90b17602646a636f888d"
