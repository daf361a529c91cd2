"""Canonical boosting: whatever is forgotten or learnt, in whatever order, the bits are those of a fit on the rest."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, same_bits, stories
from models.reference_boosting import Reference
from numba import njit
from sklearn.datasets import make_classification
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import (
    BadData,
    BadInput,
    BadTarget,
    ClassVanished,
    DuplicateId,
    NothingLeft,
    StoreDamaged,
    UnknownRecord,
)
from expunge.core.seeds import Key
from expunge.models.boosting.goal import sigmoid_tables
from expunge.models.boosting.learner import Boosting
from expunge.models.kernels import boost
from expunge.models.kernels.boost import Look, Loss, Rules

KEY = Key.public(3)
SMALL = Boosting(rounds=8, depth=3, sample=64, cuts=6, min_rows=2, min_gain=0.5)
LEAN = replace(SMALL, memory="lean")


def mixed(n: int, seed: int, target: str = "two", owners: int = 3) -> Dataset:
    """Records with ties, a constant column, missing values, few and many categories, texts, owners of several."""
    rng = np.random.default_rng(seed)
    ties = rng.integers(0, 5, n).astype(float)
    some = rng.integers(0, 3, n) / 2.0
    some[rng.random(n) < 0.2] = np.nan
    noise = rng.integers(0, 3, n)
    score = ties + np.nan_to_num(some) + noise
    labels = {"two": score.astype(int) % 2, "three": score.astype(int) % 3}.get(target)
    y = Column("number", score * 7.5 + 1e3) if labels is None else Column.of_texts([f"k{v}" for v in labels])
    return Dataset(
        columns={
            "ties": Column("number", ties),
            "some": Column("number", some),
            "constant": Column("number", np.ones(n)),
            "letter": Column.of_texts([f"c{int(v)}" if v < 9 else None for v in rng.geometric(0.4, n)]),
            "code": Column.of_texts([f"d{int(v)}" for v in rng.integers(0, 60, n)]),
            "note": Column.of_texts([" ".join(rng.choice(["pain", "fever", "none"], 2)) for _ in range(n)], "text"),
        },
        ids=np.arange(n) * 7 - 40,
        subjects=np.array([f"s{v}" for v in rng.integers(0, max(2, n // owners), n)]),
        target=y,
    )


def choose(data: Dataset, share: float, seed: int) -> list:
    """Some records, never the last of a class."""
    ids = np.random.default_rng(seed).permutation(data.ids)[: max(1, int(share * len(data)))].tolist()
    for code in range(len(data.target.vocabulary)):
        own = data.ids[data.target.values == code].tolist()
        if set(own) <= set(ids):
            ids.remove(own[0])
    return ids


def inside(model) -> list:
    """Everything that the rounds remember, whatever the order of the records."""
    model.data  # noqa: B018 - settles
    found = []
    for chain in model.now.chains:
        for r in chain:
            order = np.argsort(model.now.source.ids[r.rows])
            found += [*r.tree, *r.sums, model.now.source.ids[r.rows][order], r.margins[order], r.leaf[order]]
    return found


def assert_same(model, fresh) -> None:
    same_bits(arrays_of(model), arrays_of(fresh))
    assert model.digest() == fresh.digest()
    for a, b in zip(inside(model), inside(fresh), strict=True):
        assert a.dtype == b.dtype
        assert np.array_equal(a, b)


@settings(max_examples=60)
@given(
    n=st.integers(30, 300),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.003, 0.05, 0.2, 0.6]),
    parts=st.integers(1, 6),
    target=st.sampled_from(["two", "three", "number"]),
    learner=st.sampled_from([SMALL, LEAN, replace(SMALL, min_gain=3.0), replace(SMALL, columns=0.4, depth=1, cuts=70)]),
)
def test_forgetting_equals_never_having_learnt(n, seed, share, parts, target, learner):
    data = mixed(n, seed, target)
    ids = choose(data, share, seed + 1)
    model = learner.fit(data, KEY)
    before = arrays_of(model)
    after = model
    for part in np.array_split(np.array(ids), parts):
        after = after.without(part.tolist())
    fresh = learner.fit(data.without(ids), KEY)
    assert_same(after, fresh)
    assert_same(model.without(ids), fresh)
    same_bits(before, arrays_of(model))


@settings(max_examples=40)
@given(story=stories(), full=st.booleans())
def test_awkward_records_of_classes(story, full):
    check_story(SMALL if full else LEAN, story, KEY)


@settings(max_examples=30)
@given(story=stories("number"))
def test_awkward_records_of_numbers(story):
    check_story(SMALL, story, KEY)


@settings(max_examples=30)
@given(
    n=st.integers(40, 200),
    seed=st.integers(0, 10**6),
    share=st.sampled_from([0.02, 0.1, 0.4]),
    target=st.sampled_from(["two", "three", "number"]),
    learner=st.sampled_from([SMALL, LEAN]),
)
def test_learning_more_equals_having_learnt_all(n, seed, share, target, learner):
    data = mixed(n, seed, target)
    ids = choose(data, share, seed + 1)
    whole, part = learner.fit(data, KEY), learner.fit(data.without(ids), KEY)
    before = arrays_of(part)
    after = part.adding(data.only(ids))
    assert_same(after, whole)
    assert_same(after.without(ids), part)
    same_bits(before, arrays_of(part))
    assert part.adding(data.only([])) is part
    with pytest.raises(DuplicateId):
        after.adding(data.only(ids))


def test_rounds_are_repaired_not_learnt_again(monkeypatch):
    """The exactness tests would prove little if every deletion ended in a fit, or changed nothing."""
    data, fits = mixed(240, 0), []
    model = first = SMALL.fit(data, KEY)
    fit = Boosting.fit
    monkeypatch.setattr(Boosting, "fit", lambda *given: fits.append(1) or fit(*given))
    ids = choose(data, 0.1, 3)
    for i in ids:
        model = model.without([i])
    assert len(fits) < len(ids) / 4
    assert any(
        (a.tree.value != b.tree.value).any() for a, b in zip(model.now.chains[0], first.now.chains[0], strict=True)
    )


def test_a_record_that_changes_nothing_is_only_marked():
    data = mixed(240, 1)
    calm = replace(SMALL, min_gain=8.0, min_rows=10)
    model = calm.fit(data, KEY)
    marked = 0
    for i in data.ids[:40].tolist():
        after = model.without([i])
        pairs = list(zip(model.now.chains[0], after.now.chains[0], strict=True))
        marked += any(b.gone.size and a.sums.hist is b.sums.hist for a, b in pairs)
    assert marked


def test_more_records_may_wait_than_a_round_holds():
    data = mixed(600, 2, owners=1)
    calm = replace(SMALL, sample=1024, min_gain=20.0, rounds=3)
    model = after = calm.fit(data, KEY)
    ids = data.ids[:80].tolist()
    for i in ids:
        after = after.without([i])
    assert_same(after, calm.fit(data.without(ids), KEY))
    assert_same(model.without(ids), after)


@pytest.mark.parametrize("seed", range(54))
def test_it_agrees_with_the_definition_before_and_after_forgetting(seed):
    """Two implementations that share no code of trees agree, split for split and value for value."""
    target, odd = ("two", "three", "number")[seed % 3], seed % 2
    learner = replace(SMALL, rounds=3, depth=2, cuts=3 + odd, min_gain=float(odd), columns=(1.0, 0.5)[odd], sample=64)
    data, key = mixed(40 + seed, seed, target), Key.public(seed)
    data = replace(data, columns={name: c for name, c in data.columns.items() if name != "note"})
    model, ids = learner.fit(data, key), choose(data, 0.1, seed)
    for found, kept in ((model, data), (model.without(ids[:1]), data.without(ids[:1]))):
        reference, state = Reference(learner, kept, key), found.state()
        assert state["target/base"].tolist() == reference.bases
        for c in range(found.target.chains):
            part = {what: state[f"chain/{c:05d}/{what}"] for what in ("feature", "slot", "value")}
            trees = reference.chain(c)
            splits = np.stack([part["feature"], part["slot"]], axis=2).tolist()
            assert [[tuple(s) for s in tree] for tree in splits] == [tree for tree, _ in trees]
            assert part["value"].tolist() == [leaves for _, leaves in trees]


def test_full_and_lean_give_the_same_bits(monkeypatch):
    data = mixed(200, 5)
    ids = choose(data, 0.1, 5)
    full, lean = SMALL.fit(data, KEY), LEAN.fit(data, KEY)
    assert full.digest() == lean.digest()
    assert full.nbytes > lean.nbytes
    same_bits(arrays_of(full.without(ids)), arrays_of(lean.without(ids)))
    assert repr(SMALL) == repr(LEAN)
    monkeypatch.setattr("expunge.models.boosting.learner.FULL_BYTES", 1)
    assert not SMALL.fit(data, KEY).now.chains[0][0].sums.hist.size


def test_tables_are_correctly_rounded():
    slope, curve = sigmoid_tables(0.05)
    m = np.arange(-400, 401) * 0.05
    p = 1 / (1 + np.exp(-m))
    assert np.abs(slope - 65536 * p).max() <= 0.5 + 1e-9
    assert np.abs(curve - np.maximum(65536 * p * (1 - p), 1)).max() <= 0.5 + 1e-9
    assert (slope + slope[::-1] == 65536).all()


def test_a_subject_is_in_a_round_with_all_records_or_with_none():
    data = mixed(300, 4, owners=6)
    model = replace(SMALL, sample=64).fit(data, KEY)
    sizes = []
    for r in model.now.chains[0]:
        inside_round = set(data.subjects[r.rows].tolist())
        assert np.isin(data.subjects, list(inside_round)).sum() == len(r.rows)
        sizes.append(len(r.rows))
    assert len(set(sizes)) > 1
    assert max(sizes) < 200


def test_crossing_a_power_of_two_draws_at_another_rate():
    data = mixed(132, 6)
    model = SMALL.fit(data, KEY)
    ids = choose(data, 0.05, 2)
    assert SMALL.bound(132) != SMALL.bound(len(data) - len(ids))
    assert model.plan(ids).parts_touched == SMALL.rounds
    assert_same(model.without(ids), SMALL.fit(data.without(ids), KEY))
    assert_same(model.without(ids).adding(data.only(ids)), model)


@pytest.mark.parametrize(
    "ask", [lambda model: model.state(), lambda model: model.memory(), lambda model: model.digest()]
)
def test_nothing_of_the_forgotten_is_left_once_the_state_was_asked_for(ask):
    """Spec X08: a record that was only marked is out of records and histograms before state, memory and digest."""
    data = mixed(240, 1)
    calm = replace(SMALL, min_gain=8.0, min_rows=10)
    model, marked = calm.fit(data, KEY), 0
    for i in data.ids[:20].tolist():
        after = model.without([i])
        marked += sum(len(r.gone) for r in after.now.chains[0])
        ask(after)
        assert i not in after.now.source.ids.tolist()
        assert len(after.now.alive) == len(after.now.records.owners) == len(after)
        assert not any(len(r.gone) for r in after.now.chains[0])
    assert marked
    fresh = calm.fit(data.without([data.ids[19]]), KEY)
    for a, b in zip(after.now.chains[0], fresh.now.chains[0], strict=True):
        assert np.array_equal(a.sums.hist, b.sums.hist)


def owned(n: int, sizes: list[int], seed: int) -> Dataset:
    """Records of owners with so many records each, and of owners with one; half of them are duplicates."""
    data = mixed(n, seed)
    twin = np.arange(n) // 2 * 2
    columns = {name: c.take(twin) for name, c in data.columns.items()}
    owners = np.concatenate([np.repeat(np.arange(len(sizes)), sizes), len(sizes) + np.arange(n)])[:n]
    return replace(data, columns=columns, subjects=np.array([f"s{v}" for v in owners]))


@settings(max_examples=40)
@given(
    n=st.sampled_from([90, 127, 128, 129, 200, 257]),
    seed=st.integers(0, 10**4),
    sizes=st.sampled_from([[64], [40, 30], [20, 20, 20, 20]]),
    which=st.sampled_from(["a heavy owner", "everyone else", "one round's sample"]),
    learner=st.sampled_from([SMALL, LEAN]),
    parts=st.integers(1, 3),
)
def test_owners_of_many_records_and_rounds_without_records(n, seed, sizes, which, learner, parts):
    """A heavy owner makes or empties whole rounds; what is forgotten, learnt and forgotten again leaves no trace."""
    data = owned(n, sizes, seed)
    model = learner.fit(data, KEY)
    heavy = data.subjects == "s0"
    away = {"a heavy owner": heavy, "everyone else": ~heavy}.get(which)
    if away is None:
        away = np.isin(np.arange(n), model.now.chains[0][seed % learner.rounds].rows)
    for code in (0, 1):  # the last of a class stays
        away[np.flatnonzero(data.target.values == code)[-1]] = False
    ids = data.ids[away].tolist()
    after = model
    for part in np.array_split(np.array(ids), parts):
        after = after.without(part.tolist())
    assert_same(after, learner.fit(data.without(ids), KEY))
    again = after.adding(data.only(ids))
    assert_same(again, model)
    assert_same(again.without(ids), after)


def test_a_round_may_be_empty():
    """One owner has nearly all records, so most rounds are learnt from very few records or from none."""
    data = owned(300, [296], 3)
    calm = replace(SMALL, rounds=40)
    model = calm.fit(data, Key.public(5))
    sizes = [len(r.rows) for r in model.now.chains[0]]
    assert min(sizes) == 0
    ids = data.ids[296:299].tolist()
    assert_same(model.without(ids), calm.fit(data.without(ids), Key.public(5)))


@pytest.mark.parametrize("values", ["constant", "vast", "one far away", "tiny"])
@pytest.mark.parametrize("full", [True, False])
def test_numbers_of_every_size(values, full):
    """The moving range of a target, sums of vast targets, clipped ones: whole numbers that do not overflow."""
    data, draw = mixed(160, 4, "number"), np.random.default_rng(1)
    y = {
        "constant": np.full(160, 7.5),
        "vast": draw.normal(size=160) * 1e150,
        "one far away": np.append(draw.normal(size=159), 1e9),
        "tiny": draw.normal(size=160) * 1e-200,
    }[values]
    data, learner = replace(data, target=Column("number", y)), SMALL if full else LEAN
    model = learner.fit(data, KEY)
    assert np.isfinite(model.values(data)).all()
    for ids in (data.ids[-1:].tolist(), data.ids[5:9].tolist(), data.ids[20:].tolist()):
        after = model.without(ids)
        assert_same(after, learner.fit(data.without(ids), KEY))
        assert_same(after.adding(data.only(ids)), model)


def test_margins_where_the_tables_are_flat():
    """Many rounds of pure leaves push margins so far that gradients round to 0; curvatures stay 1, penalties are 0."""
    draw = np.random.default_rng(0)
    X = draw.integers(0, 2, (200, 1)).astype(float)
    data = Dataset.from_arrays(X, [str(int(v)) for v in X[:, 0]])
    learner = replace(SMALL, rounds=400, rate=1.0, sample=256, min_gain=0.0, penalty=0.0, step=0.1)
    model = learner.fit(data, KEY)
    slope = sigmoid_tables(0.1)[0]
    assert (np.isin(slope[model.margins(data)[0] + 200], [0, 1 << 16])).all()
    assert np.isfinite(model.logits(data)).all()
    ids = data.ids[:60].tolist()
    assert_same(model.without(ids), learner.fit(data.without(ids), KEY))
    assert_same(model.without(ids).adding(data.only(ids)), model)


def test_more_records_than_sixteen_bits_hold():
    """Rounds of 2¹⁵ records and more, of squared errors as large as they get."""
    n = 2**15 + 3
    draw = np.random.default_rng(0)
    X = draw.integers(0, 4, (n, 2)).astype(float)
    y = np.where(draw.random(n) < 0.5, -1.0, 1.0) * 10.0 ** draw.integers(0, 9, n)
    learner = replace(SMALL, rounds=3, sample=2**16)
    for target in (Column("number", y), Column.of_texts(["ab"[int(v > 0)] for v in y])):
        data = replace(Dataset.from_arrays(X, ["a", "b"] * (n // 2) + ["a"]), target=target)
        model = learner.fit(data, KEY)
        assert_same(model.without([5, 9]), learner.fit(data.without([5, 9]), KEY))
        few = data.ids[:4].tolist()
        assert_same(model.without(few), learner.fit(data.without(few), KEY))  # n is a power of two less than before


def test_errors_change_nothing():
    data = mixed(120, 7)
    model = SMALL.fit(data, KEY)
    before = arrays_of(model)
    with pytest.raises(UnknownRecord):
        model.without([-1])
    with pytest.raises(UnknownRecord, match="already"):
        model.without(data.ids[:1].tolist()).without(data.ids[:1].tolist())
    with pytest.raises(NothingLeft):
        model.without(data.ids.tolist())
    with pytest.raises(ClassVanished):
        model.without(data.ids[data.target.values == 0].tolist())
    with pytest.raises(BadTarget):
        SMALL.fit(replace(data, target=None), KEY)
    with pytest.raises(BadData):
        SMALL.fit(replace(data, columns={}), KEY)
    with pytest.raises(StoreDamaged):
        SMALL.restore({**before, "chain/00000/value": before["chain/00000/value"] + 1}, data, KEY)
    for wrong in (
        {"cuts": 256},
        {"rounds": 0},
        {"rate": 2},
        {"sample": 100},
        {"memory": "most"},
        {"n_bins": 65},
        {"step": "x"},
    ):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            replace(SMALL, **wrong).fit(data, KEY)
    same_bits(before, arrays_of(model))


def test_progress_goes_up_and_stops_a_fit():
    data, seen = mixed(120, 8, "three"), []
    SMALL.fit(data, KEY, lambda done, total: seen.append((done, total)))
    assert seen == [(i + 1, 24) for i in range(24)]

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        SMALL.fit(data, KEY, stop)


def test_threads_do_not_matter():
    data = mixed(250, 9)
    expected = SMALL.fit(data, KEY).digest()
    model, ids = SMALL.fit(data, KEY), data.ids[:24].tolist()
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: SMALL.fit(data, KEY).digest(), range(8))) == {expected}
        after = list(pool.map(lambda i: model.without([i]).digest(), ids))
    assert after == [model.without([i]).digest() for i in ids]
    assert model.digest() == expected


def test_an_interrupt_leaves_one_of_two_models():
    data = mixed(300, 10)
    draw = np.random.default_rng(0)
    X, y = np.stack([data.columns["ties"].values, draw.normal(size=300)], axis=1), data.target.values
    model = expunge.BoostedClassifier(rounds=30, min_gain=0.5, min_rows=2).fit(X, y, ids=data.ids)
    batch = choose(data, 0.1, 1)
    before, after = model.digest(), model.without(batch).digest()
    assert before != after
    seen = set()
    for delay in draw.uniform(1e-5, 0.02, 20).tolist():
        timer = threading.Timer(delay, signal.raise_signal, [signal.SIGINT])
        own = model.without([])
        try:
            timer.start()
            own.forget(batch)
            timer.join()
        except KeyboardInterrupt:
            timer.join()
        seen.add(own.digest())
    assert seen <= {before, after}


def test_readers_see_whole_versions_while_remains_are_dropped():
    data = mixed(250, 11)
    after = SMALL.fit(data, KEY).without(choose(data, 0.1, 2))
    expected = after.losses(data)
    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(after.losses, data) for _ in range(12)]
        dropped = [pool.submit(lambda: len(after.data)) for _ in range(4)]
        assert all(np.array_equal(read.result(), expected) for read in reads)
        assert {d.result() for d in dropped} == {len(after)}


def test_plan_says_what_is_known():
    data = mixed(240, 12)
    model = SMALL.fit(data, KEY)
    told = model.plan(data.ids[:1].tolist())
    assert told.parts == SMALL.rounds
    assert 0 <= told.parts_touched <= SMALL.rounds
    assert 0 < told.seconds <= told.worst_s
    assert "rounds" in told.why
    assert model.guarantee().grade == "bits"
    assert any("public" in text for text in model.guarantee().assumptions)
    assert not any("public" in text for text in SMALL.fit(data, Key.generate(1)).guarantee().assumptions)


def test_it_learns():
    draw = np.random.default_rng(1)
    X = draw.normal(size=(1500, 4))
    X[draw.random((1500, 4)) < 0.05] = np.nan
    score = np.abs(np.nan_to_num(X[:, 0])) * (X[:, 1] > 0) + (X[:, 2] > 0.5)
    train, test = slice(0, 1000), slice(1000, None)
    two = expunge.BoostedClassifier().fit(X[train], score[train] > 0.3)
    assert two.score(X[test], score[test] > 0.3) > 0.85
    three = expunge.BoostedClassifier().fit(X[train], np.digitize(score[train], [0, 1]))
    assert three.score(X[test], np.digitize(score[test], [0, 1])) > 0.7
    assert np.allclose(three.predict_proba(X[test]).sum(axis=1), 1)
    number = expunge.BoostedRegressor().fit(X[train], 1e4 + 50 * score[train])
    assert number.score(X[test], 1e4 + 50 * score[test]) > 0.8


def test_categories_are_split_by_groups_and_strangers_are_harmless():
    draw = np.random.default_rng(2)
    town = draw.choice(["Rome", "Oslo", "Bern", "Cork", None], 800)
    frame = pd.DataFrame({"town": town, "age": draw.integers(18, 90, 800)})
    y = np.isin(town.astype(str), ["Rome", "Cork"])
    model = expunge.BoostedClassifier().fit(frame, y)
    assert model.score(frame, y) > 0.97
    assert np.isfinite(model.predict_proba(frame.assign(town="Paris"))).all()


def test_missing_values_can_be_told_from_others():
    draw = np.random.default_rng(3)
    X = draw.normal(size=(600, 1))
    X[draw.random(600) < 0.4] = np.nan
    model = expunge.BoostedClassifier().fit(X, np.isnan(X[:, 0]))
    assert model.score(X, np.isnan(X[:, 0])) == 1


def test_kernels_hold_no_fused_product_and_sum():
    """A product that is fused with a sum is rounded once, which only some platforms do."""
    rules, look = Rules(1, 1, 1, 0.5, 9, 2, 0.0), Look(np.zeros(1, np.int32), *np.zeros((2, 1, 2), bool), np.zeros(2))
    hist = np.array([[[3, (5 << 24) + 1], [-2, (5 << 24) + 1]]], np.int64)
    loss = Loss(np.zeros(0, np.int64), np.zeros(0, np.int64), 1)
    for kernel, given_values in (
        (boost.worth, (3, 1 << 24, rules)),
        (boost.leaf_value, (3, 1 << 24, 0.5, rules)),
        (boost.bar_of, (np.ones(2, np.int64), loss, rules)),
        (boost.best_split, (hist, 0.0, look._replace(equal=np.zeros(1, bool)), rules)),
    ):
        assert not kernel.targetoptions.get("fastmath")
        fresh = njit(kernel.py_func)  # what comes from the cache cannot be looked at
        fresh(*given_values)
        assert [line for code in fresh.inspect_asm().values() for line in code.splitlines() if "fmadd" in line] == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_most_deletions_change_no_decision(seed):
    """Spec XL02: of 200 single deletions from 100,000 records, how many leave all trees, and what is replayed."""
    X, y = make_classification(100_000, 40, n_informative=5, n_redundant=5, flip_y=0.05, random_state=1)
    data, key = Dataset.from_arrays(X.astype(np.float32), [str(v) for v in y]), Key.public(seed)
    model = after = Boosting().fit(data, key)
    ids = np.random.default_rng(seed).permutation(data.ids)[:200].tolist()
    shares = []
    for i in ids:
        before, after = after, after.without([i])
        pairs = enumerate(zip(before.now.chains[0], after.now.chains[0], strict=True))
        first = next((r for r, (a, b) in pairs if not all(map(np.array_equal, a.tree, b.tree))), model.learner.rounds)
        shares.append(1 - first / model.learner.rounds)
    assert after.digest() == Boosting().fit(data.without(ids), key).digest()
    assert np.mean(np.array(shares) == 0) >= 0.65
    assert np.mean(shares) <= 0.20


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [expunge.BoostedClassifier(rounds=20), expunge.BoostedRegressor(rounds=20)],
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)
