"""Naive Bayes: exact under deletion, right against sums by hand, and clear about bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, same_bits, stories

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, BadTarget, ClassVanished, NothingLeft, StoreDamaged, UnknownRecord
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.bayes import binned
from expunge.models.bayes.naive import NaiveBayes
from expunge.models.encoding.grid import cells
from expunge.models.encoding.occupied import CELLS, Occupied, bins_of

KEY = Key.public(3)


@settings(max_examples=60)
@given(stories(), st.sampled_from([64, 256]))
def test_forgetting_equals_never_having_seen(story, n_bins):
    check_story(NaiveBayes(n_bins=n_bins), story, KEY)


@settings(max_examples=40)
@given(stories())
def test_learning_again_gives_the_first_bits(story):
    whole = NaiveBayes().fit(story.data, KEY)
    part = NaiveBayes().fit(story.kept, KEY)
    for batch in story.batches:
        part = part.adding(story.data.only(batch))
    same_bits(arrays_of(part), arrays_of(whole))
    assert part.digest() == whole.digest()


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_hundreds_of_single_deletions_equal_scratch(seed):
    draw = np.random.Generator(np.random.PCG64(seed))
    X = np.where(draw.random((600, 4)) < 0.05, np.nan, draw.normal(size=(600, 4)) ** 3)
    X[:, 3] = draw.integers(0, 9, 600)
    town = Column.of_texts([f"t{i}" for i in draw.geometric(0.1, 600)])
    table = Dataset.from_arrays(X, [f"class {i}" for i in draw.integers(0, 7, 600)])
    data = Dataset(
        {**table.columns, "town": town}, table.ids, table.subjects, table.target, classes=table.target.vocabulary
    )
    model, gone = NaiveBayes().fit(data, KEY), draw.permutation(600)[:300].tolist()
    for at, value in enumerate(gone, 1):
        model = model.without([value])
        if at % 60 == 0:
            same_bits(arrays_of(model), arrays_of(NaiveBayes().fit(data.without(gone[:at]), KEY)))


@pytest.mark.parametrize("n_bins", [64, 256])
def test_counts_are_right_with_many_classes_and_many_bins(n_bins):
    """Bins are bytes; their products with the number of classes are not."""
    draw = np.random.Generator(np.random.PCG64(1))
    data = Dataset.from_arrays(draw.normal(size=(500, 2)), [f"c{i}" for i in draw.integers(0, 9, 500)])
    counts = NaiveBayes(n_bins=n_bins).fit(data, KEY).binned.counts
    bins = bins_of(NaiveBayes(n_bins=n_bins).fit(data, KEY).binned.grid, data)
    for row, b, k in ((0, bins[0][3], data.target.values[3]), (1, bins[1].max(), 8), (0, bins[0].min(), 0)):
        assert counts[row, b, k] == ((bins[row] == b) & (data.target.values == k)).sum()
    assert (counts.sum(axis=(1, 2)) == 500).all()


AWKWARD = [0.0, -0.0, 5e-324, -5e-324, 1e-310, 1.0, -1.0, 0.3, 1e300, -1e300, np.nextafter(1, 0), np.nextafter(2, 3)]


@given(st.lists(st.sampled_from(AWKWARD) | st.floats(-1e6, 1e6), min_size=2, max_size=40))
def test_the_compiled_loop_bins_like_the_grid(values):
    column = Column("number", np.array([*values, np.nan]))
    ids = np.arange(len(values) + 1)
    data = Dataset({"x": column}, ids, ids, Column.of_texts(["a"] * (len(values) - 1) + ["b", "a"]), classes=("a", "b"))
    counts = NaiveBayes().fit(data, KEY).binned
    bins = bins_of(counts.grid, data)[0]
    for row in ids:
        after = counts.without(data, np.array([row]))
        if after is None or after.grid is not counts.grid:
            continue
        lost = np.argwhere(counts.counts - after.counts)
        assert lost.tolist() == [[0, bins[row], 1 if row == len(values) - 1 else 0]]
        of = Occupied.of(column.take(np.array([row])))
        assert (
            sum(o.count.sum() for o in counts.occupied) - sum(o.count.sum() for o in after.occupied) == of.count.sum()
        )


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_cells_stay_in_their_range(values):
    found = cells(np.array(values))
    assert (found >= -CELLS).all()
    assert (found < CELLS).all()


def test_a_saved_model_is_restored_without_counting_again(monkeypatch):
    data = tiny_world(1)
    model = NaiveBayes().fit(data, KEY).without([data.ids[7].item()])
    arrays, kept = arrays_of(model), model.data
    monkeypatch.setattr(binned, "tally", None)
    again = NaiveBayes().restore(arrays, kept, KEY)
    assert again.digest() == model.digest()
    monkeypatch.undo()
    same_bits(arrays_of(again.without([kept.ids[3].item()])), arrays_of(model.without([kept.ids[3].item()])))


def test_a_column_may_lose_its_last_number():
    X = np.array([[1.0, 700.0], [2.0, np.nan], [3.0, np.nan], [4.0, np.nan]])
    data = Dataset.from_arrays(X, ["a", "b", "a", "b"])
    model = NaiveBayes().fit(data, KEY)
    for way in (model.without([0]), model.without([0]).without([3]).adding(data.only([3]))):
        same_bits(arrays_of(way), arrays_of(NaiveBayes().fit(data.without([0]), KEY)))


def test_a_declared_range_never_moves(monkeypatch):
    X = np.array([[0.0], [10.0], [20.0], [1000.0]] * 3)
    data = Dataset.from_arrays(X, ["a", "b", "a", "b"] * 3).declaring({"x0": (0.0, 2000.0)})
    model, rest = NaiveBayes().fit(data, KEY), data.without([3, 7, 11])
    reference = NaiveBayes().fit(rest, KEY)
    monkeypatch.setattr(NaiveBayes, "fit", None)
    after = model.without([3, 7, 11])
    same_bits(arrays_of(after), arrays_of(reference))
    monkeypatch.setattr(binned, "tally", None)
    assert NaiveBayes().restore(arrays_of(after), rest, KEY).digest() == reference.digest()
    monkeypatch.undo()
    same_bits(arrays_of(after.adding(data.only([3, 7, 11]))), arrays_of(model))


def test_compiling_is_announced_once(monkeypatch):
    said = []
    NaiveBayes().prepare(said.append)
    said.clear()
    NaiveBayes().prepare(said.append)
    assert said == []
    monkeypatch.setattr(binned.count_out, "_cache", None)
    NaiveBayes().prepare(said.append)
    assert len(said) == 1


def test_a_model_lets_go_of_the_records_that_are_gone():
    data = Dataset.from_arrays(np.arange(90.0)[:, None] % 3, ["a", "b"] * 45)
    after = NaiveBayes().fit(data, KEY).without([3]).without([4])
    assert after.binned.fields.source is data
    after.state()
    assert after.binned.fields is None
    assert len(after.data) == len(data) - 2


def test_probabilities_are_the_counted_ones():
    colour = Column.of_texts(["red", "red", "blue", "blue", "blue", None])
    ids = np.arange(6)
    data = Dataset({"colour": colour}, ids, ids, Column.of_texts(["a", "a", "a", "b", "b", "b"]))
    model = NaiveBayes(smoothing=1.0).fit(data, KEY)
    logits = model.logits(data.take(np.array([0])))
    # classes have 3 records each; three bins occur, and one more is kept for what was never seen
    assert np.allclose(np.exp(logits[0]), [4 / 8 * 3 / 7, 4 / 8 * 1 / 7])


def test_an_unseen_category_leaves_the_prior():
    data = tiny_world(0)
    model = NaiveBayes().fit(data, KEY)
    strange = Dataset(
        {**data.columns, "colour": Column.of_texts(["violet"] * len(data))}, data.ids, data.subjects, data.target
    )
    assert np.isfinite(model.logits(strange)).all()


def test_a_forgotten_category_is_in_no_array():
    data = tiny_world(1)
    model = NaiveBayes().fit(data, KEY).without([data.ids[7].item()])
    word = b"rare\0common\0only-7"
    assert all(word.hex().encode() not in a.tobytes() for a in arrays_of(model).values())
    assert "only-7" not in model.data.columns["rare"].vocabulary


@pytest.mark.parametrize("learner", [NaiveBayes(smoothing=0), NaiveBayes(n_bins=50), NaiveBayes(smoothing=np.inf)])
def test_bad_parameters(learner):
    with pytest.raises(BadInput):
        learner.fit(tiny_world(0), KEY)


def test_bad_records():
    with pytest.raises(BadTarget):
        NaiveBayes().fit(tiny_world(0, "number"), KEY)
    with pytest.raises(BadData):
        NaiveBayes().fit(Dataset.from_arrays([[np.inf], [1.0]], ["a", "b"]), KEY)


def test_what_cannot_be_forgotten_changes_nothing():
    data = tiny_world(1)
    model = NaiveBayes().fit(data, KEY)
    digest = model.digest()
    with pytest.raises(UnknownRecord):
        model.without([data.ids[0].item(), "nobody"])
    with pytest.raises(NothingLeft):
        model.without(data.ids.tolist())
    with pytest.raises(ClassVanished):
        model.without(data.ids[data.target.values == 1].tolist())
    after = model.without([data.ids[0].item()])
    with pytest.raises(UnknownRecord, match="already"):
        after.without([data.ids[0].item()])
    assert model.digest() == digest
    assert model.without([]) is model


def test_damaged_arrays_are_refused():
    data = tiny_world(2)
    arrays = arrays_of(NaiveBayes().fit(data, KEY))
    arrays["counts"] = arrays["counts"].copy()
    arrays["counts"][0, 0, 0] += 1
    with pytest.raises(StoreDamaged):
        NaiveBayes().restore(arrays, data, KEY)
    with pytest.raises(StoreDamaged):
        NaiveBayes().restore({}, data, KEY)


def deletions(n, n_singles, batch):
    """Return (naive Bayes after deletions one by one and in batches until a tenth is gone, that of a fresh fit)."""
    draw = np.random.Generator(np.random.PCG64(3))
    X = draw.normal(size=(n, 40))
    data = Dataset.from_arrays(X, np.where(X[:, 0] + draw.normal(size=n) > 0, "yes", "no"))
    model, order = NaiveBayes().fit(data, KEY), draw.permutation(n)
    for row in order[:n_singles].tolist():
        model = model.without([row])
    for at in range(n_singles, n // 10, batch):
        model = model.without(order[at : min(at + batch, n // 10)].tolist())
    return model, NaiveBayes().fit(data.take(np.sort(order[n // 10 :])), KEY)


def test_a_tenth_of_ten_thousand_records_of_forty_columns():
    model, fresh = deletions(10_000, 300, 70)
    same_bits(arrays_of(model), arrays_of(fresh))


@pytest.mark.slow
def test_a_hundred_thousand_deletions_from_a_million_equal_scratch():
    model, fresh = deletions(1_000_000, 20_000, 1_000)
    same_bits(arrays_of(model), arrays_of(fresh))
    assert model.digest() == fresh.digest()
