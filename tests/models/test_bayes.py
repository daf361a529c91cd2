"""Naive Bayes: exact under deletion, right against sums by hand, and clear about bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from models.awkward import arrays_of, check_story, stories

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, BadTarget, ClassVanished, NothingLeft, StoreDamaged, UnknownRecord
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.bayes import NaiveBayes

KEY = Key.public(3)


@settings(max_examples=60)
@given(stories())
def test_forgetting_equals_never_having_seen(story):
    check_story(NaiveBayes(), story, KEY)


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
