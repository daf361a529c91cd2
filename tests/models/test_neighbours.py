"""Nearest neighbours: exact under deletion, equal to a search by hand with its ties, clear about bad input."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, same_bits, stories
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, NothingLeft, StoreDamaged, UnknownRecord
from expunge.core.seeds import Key, id_bytes
from expunge.core.tiny import tiny_world
from expunge.models import neighbours
from expunge.models.neighbours import Neighbours
from expunge.models.rows import id_order

KEY = Key.public(3)


@settings(max_examples=60)
@given(stories())
def test_forgetting_equals_never_having_seen(story):
    after = check_story(Neighbours(n_neighbours=3), story, KEY)
    fresh = Neighbours(n_neighbours=3).fit(story.kept, KEY)
    assert (after.votes(story.data) == fresh.votes(story.data)).all()


@settings(max_examples=40)
@given(stories(), st.integers(1, 70))
def test_votes_are_those_of_a_search_by_hand(story, k):
    model = Neighbours(n_neighbours=k).fit(story.data, KEY)
    codes = model.scale.encode(story.data).astype(object)
    ids = [id_bytes(i) for i in story.data.ids.tolist()]
    truth = story.data.target.values.tolist()
    words = [model.labels.index(word) for word in story.data.target.vocabulary]
    votes = model.votes(story.data)
    for row in range(0, len(codes), 5):
        far = [(int(((codes[row] - other) ** 2).sum()), ids[j], j) for j, other in enumerate(codes)]
        chosen = [words[truth[j]] for _, _, j in sorted(far)[:k]]
        assert np.bincount(chosen, minlength=len(model.labels)).tolist() == votes[row].tolist()


def test_blocks_do_not_show(monkeypatch):
    data = tiny_world(3)
    model = Neighbours().fit(data, KEY)
    whole = model.votes(data)
    monkeypatch.setattr(neighbours, "BLOCK", 5)
    monkeypatch.setattr(neighbours, "CELLS", 40)
    assert (model.votes(data) == whole).all()


def test_distances_are_exact_where_codes_are_largest():
    a, b = np.full((1, 3000), -32767, np.int16), np.full((2, 3000), 32767, np.int16)
    b[1, 0] = 32766
    found = neighbours._distances(a, b, neighbours._squares(b))
    assert found.tolist() == [[3000 * 65534.0**2, 2999 * 65534.0**2 + 65533.0**2]]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1))
def test_numbers_are_ordered_by_their_bytes(ids):
    assert [ids[i] for i in id_order(np.array(ids))] == sorted(ids, key=id_bytes)


def test_what_is_forgotten_is_in_no_array():
    data = tiny_world(4)
    marker = 123456.7
    data.columns["size"].values[9] = marker
    model = Neighbours().fit(data, KEY)
    gone = data.ids[9].item()
    after = model.without([gone])
    code = after.scale.encode(data.take(np.array([9])))
    codes, _ = after.rows.read()["codes"], after.rows.read()["y"]
    assert gone not in after.data.ids
    assert marker not in after.data.columns["size"].values
    assert not (codes == code).all(axis=1).any()
    assert gone not in after.rows.ids


@pytest.mark.parametrize("learner", [Neighbours(n_neighbours=0), Neighbours(n_neighbours=2.5), Neighbours(smoothing=0)])
def test_bad_parameters(learner):
    with pytest.raises(BadInput):
        learner.fit(tiny_world(0), KEY)


def test_bad_records():
    with pytest.raises(BadTarget):
        Neighbours().fit(tiny_world(0, None), KEY)
    numbers = Dataset.from_arrays([[1.0], [2.0]], [1.0, 2.0])
    with pytest.raises(BadTarget):
        Neighbours().fit(numbers, KEY).losses(Dataset.from_arrays([[1.0]], ["a"]))
    numbers.target.values[0] = np.nan
    with pytest.raises(BadTarget):
        Neighbours().fit(numbers, KEY)
    model = Neighbours().fit(Dataset.from_arrays([[1.0], [2.0]], ["a", "b"]), KEY)
    with pytest.raises(UnknownRecord):
        model.without([7])


def test_damaged_arrays_are_refused():
    data = tiny_world(2)
    arrays = arrays_of(Neighbours().fit(data, KEY))
    arrays["codes"] = -arrays["codes"]
    with pytest.raises(StoreDamaged):
        Neighbours().restore(arrays, data, KEY)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([expunge.NeighboursRegressor(3)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@settings(max_examples=40)
@given(stories("number"), st.integers(1, 20))
def test_numbers_are_means_of_a_search_by_hand(story, k):
    after = check_story(Neighbours(n_neighbours=k), story, KEY)
    near = after.nearest(story.data)
    kept = story.kept.take(id_order(story.kept.ids))
    codes, asked = after.scale.encode(kept).astype(object), after.scale.encode(story.data).astype(object)
    for row in range(0, len(asked), 7):
        far = [(int(((asked[row] - other) ** 2).sum()), j) for j, other in enumerate(codes)]
        chosen = [j for _, j in sorted(far)[:k]]
        assert near[row].tolist() == chosen
        assert after.values(story.data)[row] == pytest.approx(kept.target.values[chosen].mean())


@settings(max_examples=40)
@given(stories(), st.booleans())
def test_learning_again_gives_the_first_bits(story, numbers):
    data = story.data
    if numbers:
        data = replace(data, target=Column("number", np.arange(len(data)) / 3), classes=())
    whole = Neighbours().fit(data, KEY)
    part = Neighbours().fit(data.only(story.kept.ids.tolist()), KEY)
    for batch in story.batches:
        part = part.adding(data.only(batch))
    same_bits(arrays_of(part), arrays_of(whole))


@settings(max_examples=40)
@given(stories(), st.integers(1, 9))
def test_leaving_one_out_is_the_model_without_it(story, k):
    data = replace(story.data, classes=("no", "yes", "zz"))
    model = Neighbours(n_neighbours=k).fit(data, KEY)
    ids = data.ids.tolist()[::2]
    found = model.leave_out(ids)
    for row, value in enumerate(ids):
        expected = model.without([value]).logits(data.only([value]))[0]
        assert np.array_equal(found[row], expected), value


def test_what_cannot_be_left_out():
    one = Neighbours().fit(Dataset.from_arrays([[1.0]], [2.0]), KEY)
    with pytest.raises(NothingLeft):
        one.leave_out([0])
    two = Neighbours().fit(Dataset.from_arrays([[1.0], [2.0]], ["a", "b"]), KEY)
    assert two.leave_out([0]).argmax() == 1  # its class is still there, without a record
    with pytest.raises(UnknownRecord):
        two.leave_out([5])


@pytest.mark.parametrize("seed", range(5))
def test_answers_equal_a_fresh_index_after_a_tenth_is_forgotten(seed):
    draw = np.random.Generator(np.random.PCG64(seed))
    X, key = draw.normal(size=(1200, 5)).round(1), Key.public(f"key-{seed}")
    data = Dataset.from_arrays(X, (X[:, 0] > 0).astype(str))
    model, gone = Neighbours().fit(data, key), draw.permutation(1200)[:120]
    for part in np.array_split(gone, 30):
        model = model.without(part.tolist())
    fresh = Neighbours().fit(data.without(gone.tolist()), key)
    queries = Dataset.from_arrays(draw.normal(size=(1000, 5)).round(1))
    assert np.array_equal(model.nearest(queries), fresh.nearest(queries))
    assert np.array_equal(model.logits(queries), fresh.logits(queries))


def test_vectors():
    draw = np.random.Generator(np.random.PCG64(1))
    X = draw.normal(size=(200, 12)).astype(np.float32)
    data = Dataset.from_vectors(X, np.where(X[:, 0] > 0, "a", "b"))
    model = Neighbours(5).fit(data, KEY)
    after = model.without([3, 9])
    same_bits(arrays_of(after), arrays_of(Neighbours(5).fit(data.without([3, 9]), KEY)))
    codes = model.scale.encode(data.only([3, 9]))
    assert not any((after.rows.read()["codes"] == code).all(axis=1).any() for code in codes)
    assert (model.logits(data).argmax(axis=1) == data.target.values).mean() > 0.7


def test_rows_are_dropped_in_time():
    """What is gone is let go of when a sixteenth is, or a question is asked, whichever comes first."""
    data = Dataset.from_arrays(np.arange(400.0)[:, None], ["a", "b"] * 200)
    model = Neighbours().fit(data, KEY)
    sizes = []
    for i in range(100, 200):
        model = model.without([i])
        sizes.append(len(model.rows._now.ids))
    assert sizes[5] == 400
    assert sizes[-1] < 330
    assert len(model.rows.ids) == 300
