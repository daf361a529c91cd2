"""U03: one-class models in slices equal a scratch fit after any deletions, and restart only where they must."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import check_story, same_bits, stories
from sklearn.datasets import load_digits

from expunge.core.columns import Column
from expunge.core.conformance import check_learner
from expunge.core.conformance.watch import arrays_of
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, ClassVanished
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.sharded.classes import ClassSharded

KEY = Key.public(0)


def digits(n=600, chance=False):
    X, y = load_digits(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:n]
    data = Dataset.from_arrays(X[rows], y[rows].astype(str), subjects=np.arange(n) // 3)
    data = Dataset(data.columns, data.ids, data.subjects, data.target, classes=tuple("0123456789"))
    told = Column("number", np.linspace(0, 1, n))
    return (
        Dataset({**data.columns, "chance": told}, data.ids, data.subjects, data.target, classes=data.classes)
        if (chance)
        else data
    )


def of_class(data, label):
    return data.ids[data.target.values == data.target.vocabulary.index(label)].tolist()


@pytest.mark.parametrize("learner", [ClassSharded(subset=0.5), ClassSharded(order="few", n_slices=3)])
def test_every_promise_of_the_suite(learner):
    check_learner(learner, tiny_world)


@settings(max_examples=25)
@given(story=stories(), key=st.integers(0, 3), slices=st.integers(1, 5), subset=st.sampled_from([0.3, 0.7, 1.0]))
def test_awkward_deletions_equal_a_scratch_fit(story, key, slices, subset):
    check_story(ClassSharded(slices, subset), story, Key.public(key))


@pytest.mark.parametrize("subset", [0.5, 1.0])
def test_a_class_to_one_record_a_whole_class_and_a_subject(subset):
    data, learner = digits(), ClassSharded(subset=subset)
    model, threes = learner.fit(data, KEY), of_class(digits(), "3")
    owned = [i for i in data.owned_by(0) if i not in threes]
    for gone in (threes[1:], threes[:1], owned):
        model, data = model.without(gone), data.without(gone)
        same_bits(arrays_of(model), arrays_of(learner.fit(data, KEY)))
        assert np.isfinite(model.losses(digits())).all()
    assert (model.logits(digits()).argmax(axis=1) != 3).all()


def test_a_deletion_restarts_at_its_slice_of_its_class_alone():
    """Of R slices (R + 1)/(2R) of a class are summed again: the mean over one deletion from each slice."""
    data, n = digits(chance=True), 4
    model, again = ClassSharded(n, order="chance").fit(data, KEY), []
    for r in range(n):
        after = model.without(model.shards[5].chosen[r][:1])
        shared = [a is b for a, b in zip(model.shards[5].sums, after.shards[5].sums, strict=True)]
        assert shared == [True] * r + [False] * (n - r)
        assert all(after.shards[c] is model.shards[c] for c in range(10) if c != 5)
        again.append(n - sum(shared))
    assert np.mean(again) / n == (n + 1) / (2 * n)
    chances = [data.columns["chance"].values[data.positions(ids)] for ids in model.shards[5].chosen]
    assert all(a.max() < b.min() for a, b in zip(chances, chances[1:], strict=False))


def test_the_subset_kept_as_first_chosen_would_not_be_exact():
    """The mutant: ARCANE's choice, made once. Learning on without choosing anew differs from a scratch fit."""
    data, learner = digits(), ClassSharded(subset=0.5)
    model = learner.fit(data, KEY)
    gone = [i for ids in model.shards[4].chosen for i in ids][:5]
    fresh = learner.fit(data.without(gone), KEY).shards[4].chosen
    stale = tuple(tuple(i for i in ids if i not in gone) for ids in model.shards[4].chosen)
    assert stale != fresh
    assert model.without(gone).shards[4].chosen == fresh


def test_digits_are_told_apart():
    data = digits()
    train, rest = data.take(np.arange(450)), data.take(np.arange(450, 600))
    found = ClassSharded().fit(train, KEY).logits(rest)
    assert np.allclose(np.exp(found).sum(axis=1), 1, atol=1e-6)
    assert (found.argmax(axis=1) == rest.target.values).mean() > 0.9


def test_bad_input():
    for wrong in ({"n_slices": 0}, {"subset": 0.0}, {"subset": 2}, {"pooled": -1}, {"order": "nowhere"}):
        with pytest.raises(BadInput):
            ClassSharded(**wrong).fit(digits(), KEY)
    data = tiny_world(1)
    with pytest.raises(ClassVanished):
        ClassSharded().fit(data, KEY).without(of_class(data, "yes"))
