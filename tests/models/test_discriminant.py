"""Linear discriminants: as by the textbook and by scikit-learn, priors and shrinkage, exact forgetting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, same_bits, stories
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

import expunge
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, StoreDamaged
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.linear.discriminant import Discriminant
from expunge.models.scores import log_shares

KEY = Key.public(8)


def draws(seed):
    return np.random.Generator(np.random.PCG64(seed))


def blobs(n=3000, d=5, seed=1):
    draw = draws(seed)
    y = draw.choice(["a", "b", "c"], n, p=[0.2, 0.5, 0.3])
    centres = dict(zip("abc", draw.normal(size=(3, d)) * 1.2, strict=True))
    X = np.array([centres[label] for label in y]) + draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) / 2
    return X, y


@settings(max_examples=50)
@given(stories(), st.sampled_from([0.0, 0.01, 1.0]))
def test_forgetting_equals_never_having_seen(story, shrinkage):
    check_story(Discriminant(shrinkage=shrinkage), story, KEY)


@settings(max_examples=30)
@given(stories())
def test_adding_what_was_forgotten_restores_every_bit(story):
    model = Discriminant().fit(story.data, KEY)
    every = [i for batch in story.batches for i in batch]
    part = model.without(every)
    same_bits(arrays_of(part.adding(story.data.only(every))), arrays_of(model))
    assert part.adding(story.data.take(np.zeros(0, np.int64))) is part


def test_probabilities_are_those_of_scikit_learn():
    X, y = blobs()
    ours, theirs = expunge.LinearDiscriminant().fit(X, y), LinearDiscriminantAnalysis().fit(X, y)
    assert np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() < 0.01
    assert (ours.predict(X) == theirs.predict(X)).mean() > 0.995
    shares = {"a": 0.6, "b": 0.3, "c": 0.1}
    ours.set_params(priors=shares).fit(X, y)
    theirs.set_params(solver="lsqr", priors=list(shares.values())).fit(X, y)
    assert np.abs(ours.predict_proba(X) - theirs.predict_proba(X)).max() < 0.01


def test_weights_are_those_of_the_textbook():
    X, y = blobs(400, 3)
    codes = np.rint(X * 1000).astype(np.int16)
    data = Dataset.from_vectors(codes, y.tolist())
    for gamma in (0.0, 0.3):
        within = sum((y == c).mean() * np.cov(codes[y == c].T, bias=True) for c in "abc")
        matrix = (1 - gamma) * within + gamma * np.diag(codes.var(axis=0))
        means = np.array([codes[y == c].mean(axis=0) for c in "abc"])
        linear = np.linalg.solve(matrix, means.T)
        truth = codes @ linear - 0.5 * np.einsum("ij,ji->i", means, linear) + np.log([(y == c).mean() for c in "abc"])
        found = Discriminant(shrinkage=gamma).fit(data, KEY).logits(data)
        assert np.abs(log_shares(found) - log_shares(truth)).max() < 1e-9


def test_columns_that_say_nothing_within_classes_are_left_out():
    y = np.array(["no", "yes"] * 30)
    X = np.column_stack([draws(3).normal(size=60), y == "yes", np.ones(60)])
    model = Discriminant().fit(Dataset.from_arrays(X, y.tolist()), KEY)
    assert not model.weights[2:].any()
    assert model.weights[1].any()
    assert np.isfinite(model.logits(model.data)).all()


def test_a_declared_class_without_records_is_improbable():
    X, y = np.arange(12.0)[:, None], np.array([0] * 10 + [1] * 2)
    model = expunge.LinearDiscriminant(classes=[0, 1, 7]).fit(X, y)
    assert model.predict_proba([[11.0]])[0, 2] < 0.2
    assert model.forget([10, 11]).digest() == expunge.LinearDiscriminant(classes=[0, 1, 7]).fit(X[:10], y[:10]).digest()


def test_priors_of_any_labels():
    X, y = np.arange(40.0)[:, None], np.array([2, 10] * 20)
    model = expunge.LinearDiscriminant(priors={10: 0.9, 2: 0.1}).fit(X, y)
    assert model.classes_.tolist() == [2, 10]
    assert model.predict_proba(X).mean(axis=0) == pytest.approx([0.1, 0.9], abs=0.01)
    never = expunge.LinearDiscriminant(priors={10: 1.0, 2: 0.0}).fit(X, y)
    assert (never.predict_proba(X)[:, 0] == 0).all()
    assert np.isfinite(never.model_.logits(never.model_.data)).all()
    for priors in ({2: 1.0}, {2: 0.5, 10: 0.6}, {2: -1.0, 10: 2.0}, [0.5, 0.5]):
        with pytest.raises(BadInput, match="priors"):
            expunge.LinearDiscriminant(priors=priors).fit(X, y)


def test_bad_parameters_targets_and_arrays():
    data = tiny_world(1)
    for shrinkage in (-0.1, 1.1, np.nan, "much"):
        with pytest.raises(BadInput):
            Discriminant(shrinkage=shrinkage).fit(data, KEY)
    with pytest.raises(BadTarget):
        Discriminant().fit(tiny_world(1, "number"), KEY)
    arrays = arrays_of(Discriminant().fit(data, KEY))
    for name in ("weights", "gram", "cross", "scale/step"):
        with pytest.raises(StoreDamaged):
            Discriminant().restore({**arrays, name: arrays[name][:-1]}, data, KEY)
    assert Discriminant().fit(data, KEY).nbytes == sum(np.asarray(a).nbytes for a in arrays.values())
