"""The front door of shards: scikit-learn's own checks, nested parameters, any labels, forgetting by subject."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge import ShardedClassifier, ShardedRegressor
from expunge.core.errors import BadInput, UnknownRecord


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [
        ShardedClassifier(n_shards=2),
        ShardedClassifier(LogisticRegression(), n_shards=2),
        ShardedRegressor(n_shards=2),
    ]
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def rows(n=150, seed=0):
    draw = np.random.Generator(np.random.PCG64(seed))
    frame = pd.DataFrame({"a": draw.normal(size=n), "town": draw.choice(["Rome", "Oslo", "Bonn"], n)})
    y = np.where(frame["a"] + (frame["town"] == "Rome") + draw.normal(size=n) / 4 > 0.3, 10, 20)
    return frame, y, draw.integers(0, 40, n)


@pytest.mark.parametrize(
    "inner",
    [
        None,
        expunge.NaiveBayesClassifier(smoothing=0.5),
        expunge.NaiveBayes(),
        LogisticRegression(C=0.5),
        make_pipeline(StandardScaler(), LogisticRegression()),
    ],
    ids=["none", "ours", "learner", "theirs", "pipeline"],
)
def test_forgetting_equals_fitting_without(inner):
    frame, y, owners = rows()
    X = frame[["a"]] if type(inner).__name__ == "Pipeline" else frame
    model = ShardedClassifier(inner, n_shards=4).fit(X, y, subjects=owners)
    keep = ~np.isin(owners, [3, 7])
    assert model.plan(subjects=[3]).parts_touched == 1
    other = model.without(subjects=[3])
    assert model.forget(subjects=[7, 3]).ids_.tolist() == sorted(X.index[keep])
    again = clone(model).fit(X[keep], y[keep], subjects=owners[keep])
    assert model.digest() == again.digest() == other.forget(subjects=[7]).digest()
    assert set(model.predict(X)) == {10, 20}
    assert model.score(X, y) > 0.7
    assert model.guarantee().kind == "exact"
    assert pickle.loads(pickle.dumps(model)).digest() == model.digest()
    with pytest.raises(UnknownRecord):
        model.forget([int(X.index[~keep][0])])


def test_more_can_be_learnt():
    frame, y, owners = rows()
    model = ShardedClassifier(LogisticRegression(), n_shards=3).fit(frame[:100], y[:100], subjects=owners[:100])
    model.learn(frame[100:], y[100:], subjects=owners[100:])
    assert model.digest() == clone(model).fit(frame, y, subjects=owners).digest()


def test_nested_parameters():
    model = ShardedClassifier(LogisticRegression(C=2.0))
    assert model.get_params()["estimator__C"] == 2.0
    assert clone(model).set_params(estimator__C=3.0).estimator.C == 3.0
    frame, y, _ = rows()
    search = GridSearchCV(model, {"estimator__C": [0.1, 1.0], "n_shards": [2, 3]}, cv=2).fit(frame, y)
    assert search.best_estimator_.score(frame, y) > 0.8
    assert cross_val_score(ShardedRegressor(n_shards=2), frame, frame["a"] * 2, cv=2).min() > 0.9


def test_slices_votes_and_caps():
    frame, y, owners = rows()
    keep = np.arange(150) != 17
    for model in (
        ShardedClassifier(SGDClassifier(loss="log_loss"), 2, n_slices=3, passes=5),
        ShardedClassifier(expunge.NaiveBayes(), 5, vote="hard", max_per_owner=2),
        ShardedRegressor(expunge.Ridge(), 2, target_encode=["town"]),
    ):
        target = y if isinstance(model, ShardedClassifier) else frame["a"].to_numpy()
        model.fit(frame, target, subjects=owners)
        again = clone(model).fit(frame[keep], target[keep], subjects=owners[keep])
        assert model.forget([17]).digest() == again.digest()
    with pytest.raises(BadInput):
        ShardedClassifier(LogisticRegression).fit(frame, y)


def test_a_written_estimator_holds_nothing_of_the_forgotten():
    frame, y, owners = rows()
    frame.loc[13, ["a", "town"]] = [1.2345678901, "Canary"]
    marks = [np.float64(1.2345678901).tobytes(), b"Canary", b"canary-id", "canary-id".encode("utf-32-le")]
    ids = [f"r{i}" if i != 13 else "canary-id" for i in range(150)]
    for inner in (None, LogisticRegression(), expunge.NaiveBayes()):
        model = ShardedClassifier(inner, 3).fit(frame, y, ids=ids, subjects=owners)
        assert any(mark in pickle.dumps(model) for mark in marks)
        written = pickle.dumps(model.forget(["canary-id"]))
        assert [mark for mark in marks if mark in written] == []
