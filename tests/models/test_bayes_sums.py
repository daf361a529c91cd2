"""Naive Bayes on sums: exact under deletion and learning, and scikit-learn's own answers on the same numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, same_bits, stories
from sklearn.naive_bayes import BernoulliNB, GaussianNB, MultinomialNB
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.columns import Column
from expunge.core.conformance import check_learner
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, StoreDamaged
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.bayes.sums import SumBayes

KEY = Key.public(3)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([expunge.SumBayesClassifier()])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@settings(max_examples=60)
@given(stories())
def test_forgetting_equals_never_having_seen(story):
    check_story(SumBayes(), story, KEY)


@settings(max_examples=40)
@given(stories())
def test_learning_again_gives_the_first_bits(story):
    whole, part = SumBayes().fit(story.data, KEY), SumBayes().fit(story.kept, KEY)
    for batch in story.batches:
        part = part.adding(story.data.only(batch))
    same_bits(arrays_of(part), arrays_of(whole))


def texts(seed):
    draw = np.random.Generator(np.random.PCG64(seed))
    n = 30 + seed
    said = [" ".join(draw.choice(["red", "fox", "tax", "rent", f"only{i % 9}"], 1 + i % 5)) for i in range(n)]
    kind = ["home" if "rent" in s or "tax" in s else "wild" for s in said[:-6]] + ["home", "wild"] * 3
    return Dataset({"said": Column.of_texts(said, "text")}, np.arange(n), np.arange(n) // 2, Column.of_texts(kind))


def pixels(seed):
    draw = np.random.Generator(np.random.PCG64(seed))
    X = draw.poisson(2, size=(40 + seed, 5)).astype(np.uint8)
    y = np.where(X[:, 0] > 2, "many", "few")
    y[:6] = ["many", "few"] * 3
    return Dataset.from_vectors(X, y, subjects=np.arange(len(X)) // 2)


@pytest.mark.parametrize("likelihood", ["multinomial", "bernoulli"])
@pytest.mark.parametrize("records", [texts, pixels])
def test_every_check_of_the_suite_holds_for_counts(likelihood, records):
    check_learner(SumBayes(likelihood), records)


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_answers_are_those_of_scikit_learn(seed):
    draw = np.random.Generator(np.random.PCG64(seed))
    X = draw.poisson(3, size=(300, 6)).astype(np.uint8)
    y = draw.integers(0, 3, 300)
    X[:, 0] += (2 * y).astype(np.uint8)
    data = Dataset.from_vectors(X, [str(v) for v in y])
    for likelihood, theirs in (("multinomial", MultinomialNB()), ("bernoulli", BernoulliNB())):
        mine = SumBayes(likelihood).fit(data, KEY).logits(data)
        other = theirs.fit(X, y).predict_log_proba(X)
        shares = mine - np.logaddexp.reduce(mine, axis=1, keepdims=True)
        assert np.abs(shares - other).max() < 0.05  # their prior is not smoothed
    Z = draw.normal(size=(400, 4)) + 2 * (np.arange(400) % 3)[:, None]
    labels = (np.arange(400) % 3).astype(str)
    model = SumBayes().fit(Dataset.from_arrays(Z, labels), KEY)
    guess = model.logits(Dataset.from_arrays(Z)).argmax(axis=1)
    assert (guess == GaussianNB().fit(Z, labels).predict(Z).astype(int)).mean() > 0.98


def test_bad_input():
    data = tiny_world(0)
    for wrong in (SumBayes("poisson"), SumBayes(smoothing=0), SumBayes(smoothing=np.inf)):
        with pytest.raises(BadInput):
            wrong.fit(data, KEY)
    with pytest.raises(BadData, match="counts"):
        SumBayes("multinomial").fit(data, KEY)
    signed = Dataset.from_vectors(np.array([[-1, 2], [1, 2]], np.int8), ["a", "b"])
    with pytest.raises(BadData, match="counts"):
        SumBayes("bernoulli").fit(signed, KEY)
    arrays = arrays_of(SumBayes().fit(data, KEY))
    arrays["sums"] = arrays["sums"] + 1
    with pytest.raises(StoreDamaged):
        SumBayes().restore(arrays, data, KEY)


def test_a_missing_truth_value_is_neither_yes_nor_forgotten_about():
    flags = np.array([1.0, 0.0, np.nan, np.nan] * 10)
    ids = np.arange(40)
    data = Dataset({"b": Column("boolean", flags)}, ids, ids, Column.of_texts(["no", "yes"] * 20))
    model = SumBayes("bernoulli").fit(data, KEY)
    assert model.sums.sums.tolist() == [[10, 10], [0, 10]]  # of each class: yes, missing
    assert model.sums.sizes.tolist() == [20, 20]
    gone = [2, 3, 6, 7, 10, 11]
    same_bits(arrays_of(model.without(gone)), arrays_of(SumBayes("bernoulli").fit(data.without(gone), KEY)))
