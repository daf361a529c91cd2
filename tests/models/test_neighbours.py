"""Nearest neighbours: exact under deletion, equal to a search by hand with its ties, clear about bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, stories

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, UnknownRecord
from expunge.core.seeds import Key, id_bytes
from expunge.core.tiny import tiny_world
from expunge.models import neighbours
from expunge.models.neighbours import Neighbours, id_order

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
    codes, _ = after.index.read()
    assert gone not in after.data.ids
    assert marker not in after.data.columns["size"].values
    assert not (codes == code).all(axis=1).any()
    assert gone not in after.index.now.ids


@pytest.mark.parametrize("learner", [Neighbours(n_neighbours=0), Neighbours(n_neighbours=2.5), Neighbours(smoothing=0)])
def test_bad_parameters(learner):
    with pytest.raises(BadInput):
        learner.fit(tiny_world(0), KEY)


def test_bad_records():
    with pytest.raises(BadTarget):
        Neighbours().fit(tiny_world(0, "number"), KEY)
    model = Neighbours().fit(Dataset.from_arrays([[1.0], [2.0]], ["a", "b"]), KEY)
    with pytest.raises(UnknownRecord):
        model.without([7])


def test_damaged_arrays_are_refused():
    data = tiny_world(2)
    arrays = arrays_of(Neighbours().fit(data, KEY))
    arrays["codes"] = -arrays["codes"]
    with pytest.raises(StoreDamaged):
        Neighbours().restore(arrays, data, KEY)
