"""Estimators: scikit-learn's own checks, forgetting equals fitting without, any labels, pipelines, clear errors."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.errors import (
    BadData,
    BadInput,
    BadTarget,
    ClassVanished,
    DuplicateId,
    ExpungeError,
    NothingLeft,
    UnknownRecord,
    UnknownSubject,
)

CLASSIFIERS = [
    expunge.ForestClassifier(n_trees=20),
    expunge.RidgeClassifier(),
    expunge.NaiveBayesClassifier(),
    expunge.NeighboursClassifier(),
]
EVERY = [*CLASSIFIERS, expunge.RidgeRegressor()]
every = pytest.mark.parametrize("estimator", EVERY, ids=lambda e: type(e).__name__)
classifiers = pytest.mark.parametrize("estimator", CLASSIFIERS, ids=lambda e: type(e).__name__)


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(EVERY)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def mixed(n=90):
    draw = np.random.Generator(np.random.PCG64(4))
    frame = pd.DataFrame(
        {
            "age": np.where(draw.random(n) < 0.1, np.nan, draw.integers(18, 90, n)),
            "town": draw.choice(["Rome", "Oslo", None], n),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(draw.integers(0, 900, n), unit="D"),
            "member": draw.random(n) < 0.5,
            "note": [
                f"asked {w} about {v} again" for w, v in zip(range(n), draw.choice(["tax", "rent"], n), strict=True)
            ],
        },
        index=[f"r{i}" for i in draw.permutation(n)],
    )
    y = np.where(frame["age"].fillna(50) + 20 * frame["member"] > 60, "old", "young")
    return frame, y, np.array([f"p{i // 3}" for i in range(n)])


@every
def test_forgetting_equals_fitting_without(estimator):
    X, y, owners = mixed()
    y = np.arange(len(y)) / 7 if isinstance(estimator, expunge.RidgeRegressor) else y
    model = clone(estimator).fit(X, y, subjects=owners)
    before = model.digest()
    gone = np.isin(owners, ["p3", "p7"])
    gone[[0, 50]] = True
    reference = clone(estimator).fit(X[~gone], y[~gone], subjects=owners[~gone])
    other = model.without(X.index[gone])
    assert model.plan(subjects=["p3"]).records_read is not None
    assert (model.digest(), other.digest()) == (before, reference.digest())
    assert model.forget(subjects=["p7", "p3"]) is model
    model.forget(X.index[[0, 50]])
    assert model.digest() == reference.digest()
    assert (model.predict(X) == reference.predict(X)).all()
    assert sorted(model.ids_) == sorted(X.index[~gone])
    assert model.guarantee().kind == "exact"
    assert model.forget([]).digest() == reference.digest()


@every
def test_a_model_and_its_copies_do_not_touch_each_other(estimator):
    draw = np.random.Generator(np.random.PCG64(9))
    X, y = draw.normal(size=(200, 3)), draw.integers(0, 2, 200)
    first = clone(estimator).fit(X, y)
    digest = first.digest()
    second = first.without([0, 1])
    for i in range(2, 12):
        second.forget([i])
        assert first.digest() == digest
    for i in range(20, 30):
        first.forget([i])
    stay = np.arange(200) >= 12
    assert second.digest() == clone(estimator).fit(X[stay], y[stay], ids=np.arange(200)[stay]).digest()


LABELS = {
    "numbers": [10, 2, 33],
    "floats": [1.0, 2.0, -3.0],
    "truth": [True, False],
    "texts": ["b", "a", "ä"],
    "objects": np.array(["x", "yy"], object),
    "numpy": np.array([5, 100], np.uint8),
}


@classifiers
@pytest.mark.parametrize("labels", list(LABELS.values()), ids=list(LABELS))
def test_labels_come_back_as_they_were(estimator, labels):
    labels = np.asarray(labels)
    codes = np.arange(60) % len(labels)
    X = np.eye(len(labels))[codes] + np.arange(60)[:, None] / 1000
    model = clone(estimator).fit(X, labels[codes])
    assert model.classes_.dtype == labels.dtype
    assert model.classes_.tolist() == sorted(labels.tolist())
    assert model.predict(X).tolist() == labels[codes].tolist()
    shares = model.predict_proba(X)
    assert shares.shape == (60, len(labels))
    assert (model.classes_[shares.argmax(axis=1)] == labels[codes]).all()
    assert model.score(X, labels[codes]) == 1


@classifiers
def test_declared_classes_may_vanish(estimator):
    X, y = np.arange(12.0)[:, None], np.array([0] * 10 + [1] * 2)
    with pytest.raises(ClassVanished):
        clone(estimator).fit(X, y).forget([10, 11])
    model = clone(estimator).set_params(classes=[0, 1, 7]).fit(X, y).forget([10, 11])
    assert model.predict_proba(X).shape == (12, 3)
    assert model.digest() == clone(model).fit(X[:10], y[:10]).digest()
    with pytest.raises(BadTarget, match="5"):
        clone(model).fit(X, np.where(y, 5, 0))


@every
def test_all_or_nothing(estimator):
    X, y = np.arange(30.0).reshape(-1, 1), np.arange(30) % 2
    model = clone(estimator).fit(X, y, ids=[f"r{i}" for i in range(30)], subjects=np.arange(30) // 2)
    digest = model.digest()
    wrong = [
        (UnknownRecord, {"ids": ["r1", "nobody"]}),
        (UnknownSubject, {"subjects": [3, 99]}),
        (NothingLeft, {"ids": model.ids_}),
        (BadInput, {}),
        (BadInput, {"ids": "r1"}),
        (BadInput, {"subjects": 3}),
    ]
    for kind, asked in wrong:
        for act in (model.forget, model.without, model.plan):
            with pytest.raises(kind):
                act(**asked)
    assert model.digest() == digest
    model.forget(["r1"], subjects=[4])
    with pytest.raises(UnknownRecord):
        model.forget(["r1"])
    assert len(model.ids_) == 27


@every
def test_bad_input(estimator):
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6) % 2
    with pytest.raises(NotFittedError) as found:
        clone(estimator).forget([1])
    assert isinstance(found.value, ExpungeError)
    assert found.value.code == "not-fitted"
    with pytest.raises(DuplicateId):
        clone(estimator).fit(X, y, ids=[1, 1, 2, 3, 4, 5])
    with pytest.raises(BadData):
        clone(estimator).fit(X, y, ids=[1, 2])
    with pytest.raises(TypeError, match="parse"):
        clone(estimator).fit(csr_array(X), y)
    with pytest.raises(ValueError, match="infinity"):
        clone(estimator).fit(np.where(X == 3, np.inf, X), y)
    frame = pd.DataFrame(X, columns=["a", "b"])
    with pytest.raises(BadData, match="infinite"):
        clone(estimator).fit(frame.replace(3.0, np.inf), y)
    model = clone(estimator).fit(frame, y)
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a"]])
    with pytest.raises(BadData, match="kind"):
        model.predict(frame.assign(b="not a number"))


def test_frames_and_arrays_of_the_same_numbers_agree():
    draw = np.random.Generator(np.random.PCG64(2))
    X, y = draw.normal(size=(50, 3)), draw.integers(0, 2, 50)
    frame = pd.DataFrame(X, columns=list("abc"))
    model = expunge.RidgeClassifier().fit(frame, y)
    plain = expunge.RidgeClassifier().fit(X, y)
    assert np.array_equal(model.predict_proba(frame), plain.predict_proba(X))
    with pytest.warns(UserWarning, match="feature names"):
        assert np.array_equal(model.predict_proba(X), plain.predict_proba(X))
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]


def test_a_column_may_lose_its_last_value_and_predictions_may_lack_all():
    frame = pd.DataFrame({"a": [1.0, np.nan, np.nan, np.nan], "b": ["x", "y", "x", "y"]})
    model = expunge.NaiveBayesClassifier().fit(frame, [0, 1, 0, 1], ids=[5, 6, 7, 8])
    kept = expunge.NaiveBayesClassifier().fit(frame[1:], [1, 0, 1], ids=[6, 7, 8])
    with pytest.raises(ClassVanished):
        model.without([5, 7])
    assert model.forget([5]).digest() == kept.digest()
    assert model.predict(frame.assign(b=None)[1:]).shape == (3,)


def test_kinds_can_be_declared():
    frame = pd.DataFrame({"code": [1, 2, 3, 1, 2, 3]})
    y = [0, 1, 0, 0, 1, 0]
    model = expunge.RidgeClassifier(kinds={"code": "category"}).fit(frame, y)
    assert model.model_.scale.names == ["code=1", "code=2", "code=3"]
    assert model.score(frame, y) == 1


@every
def test_it_works_in_pipelines_and_cross_validation(estimator):
    draw = np.random.Generator(np.random.PCG64(3))
    X = draw.normal(size=(120, 3))
    y = (X[:, 0] > 0).astype(int) if not isinstance(estimator, expunge.RidgeRegressor) else X @ [1.0, 2.0, 3.0]
    pipeline = make_pipeline(StandardScaler(), clone(estimator))
    assert cross_val_score(pipeline, X, y, cv=3).mean() > 0.7
    step = f"{type(estimator).__name__.lower()}"
    pipeline.fit(X, y, **{f"{step}__ids": [f"r{i}" for i in range(120)]})
    pipeline[-1].forget(["r7"])
    assert "r7" not in pipeline[-1].ids_
    assert expunge.check_pipeline(pipeline) == ("standardscaler (StandardScaler)",)


def test_what_is_outside_the_guarantee_is_named():
    X, y, _ = mixed()
    columns = ColumnTransformer(
        [
            ("scaled", make_pipeline(FunctionTransformer(), StandardScaler()), ["age"]),
            ("left", "passthrough", ["town"]),
        ],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipeline = make_pipeline(columns, expunge.NaiveBayesClassifier()).fit(X, y)
    assert pipeline.score(X, y) > 0.6
    assert expunge.check_pipeline(pipeline) == ("columntransformer/scaled/standardscaler (StandardScaler)",)
    assert expunge.check_pipeline(make_pipeline(FunctionTransformer(), expunge.RidgeClassifier())) == ()
    assert expunge.check_pipeline(StandardScaler()) == ("pipeline (StandardScaler)",)


def test_ids_travel_by_metadata_routing():
    draw = np.random.Generator(np.random.PCG64(3))
    X, y = draw.normal(size=(40, 2)), np.arange(40) % 2
    with sklearn.config_context(enable_metadata_routing=True):
        inner = expunge.RidgeClassifier().set_fit_request(ids=True, subjects=True)
        pipeline = make_pipeline(StandardScaler(), inner)
        pipeline.fit(X, y, ids=np.arange(100, 140), subjects=np.arange(40) // 4)
    assert pipeline[-1].forget(subjects=[0]).ids_.min() == 104


@every
def test_a_written_estimator_holds_nothing_of_the_forgotten(estimator):
    draw = np.random.Generator(np.random.PCG64(7))
    X, y = draw.normal(size=(80, 2)), np.arange(80) % 2
    X[13, 0] = 1.2345678901
    frame = pd.DataFrame(X, columns=["a", "target"]).assign(town=["Rome"] * 13 + ["Canary"] + ["Oslo"] * 66)
    ids = [f"r{i}" if i != 13 else "canary-id" for i in range(80)]
    model = clone(estimator).fit(frame, y, ids=ids)
    marks = [np.float64(1.2345678901).tobytes(), b"Canary", b"canary-id", "canary-id".encode("utf-32-le")]
    assert any(mark in pickle.dumps(model) for mark in marks)
    model.forget(["canary-id"])
    written = pickle.dumps(model)
    assert [mark for mark in marks if mark in written] == []
    assert pickle.loads(written).digest() == model.digest()
    assert pickle.loads(written).forget(["r3"]).digest() == model.forget(["r3"]).digest()


def test_mixed_arrays_are_read_as_the_frame_was():
    frame, y, _ = mixed()
    frame = frame[["town", "note"]]
    model = expunge.NaiveBayesClassifier().fit(frame, y)
    with pytest.warns(UserWarning, match="feature names"):
        assert (model.predict(frame.to_numpy()) == model.predict(frame)).all()
    with pytest.raises(BadData, match="two columns"):
        model.fit(frame.set_axis(["same", "same"], axis=1), y)
