"""Estimators of the Gram family: scikit-learn's checks, vectors as one column, forgetting, agreement with others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.errors import BadData, BadInput

EVERY = [
    expunge.LinearDiscriminant(),
    expunge.LinearDiscriminant(kinds="vector"),
    expunge.Components(n_components=2),
    expunge.Components(n_components=2, kinds="vector"),
    expunge.RidgeClassifier(kinds="vector"),
    expunge.RidgeRegressor(alpha=0),
]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(EVERY)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


def draws(seed):
    return np.random.Generator(np.random.PCG64(seed))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16, np.int8])
@pytest.mark.parametrize("make", [expunge.RidgeClassifier, expunge.LinearDiscriminant, expunge.Components])
def test_vectors_are_one_column_of_their_own_type(make, dtype):
    X = (draws(2).normal(size=(400, 7)) * 30).astype(dtype)
    y = (X[:, 0] > X[:, 1]).astype(int)
    model = make(kinds="vector").fit(X, y, subjects=np.arange(400) // 4)
    (column,) = model.model_.data.columns.values()
    assert (column.kind, column.values.dtype) == ("vector", np.float32 if dtype == np.float64 else dtype)
    model.forget(subjects=[3, 8])
    gone = np.isin(np.arange(400) // 4, [3, 8])
    kept = np.arange(400)[~gone]
    fresh = make(kinds="vector").fit(X[kept], y[kept], ids=kept, subjects=kept // 4)
    assert model.digest() == fresh.digest()
    model.learn(X[gone], y[gone], ids=np.arange(400)[gone], subjects=np.array([3, 8]).repeat(4))
    assert model.digest() == make(kinds="vector").fit(X, y, subjects=np.arange(400) // 4).digest()
    answer = model.transform if make is expunge.Components else model.decision_function
    assert np.array_equal(answer(X.astype(np.float64)), answer(X))
    if np.issubdtype(dtype, np.integer):
        with pytest.raises(BadData, match="whole numbers"):
            answer(X + 0.5)


def test_vectors_come_from_frames_too():
    X = draws(3).normal(size=(60, 3)).astype(np.float32)
    y = np.array(["no", "yes"] * 30)
    frame = pd.DataFrame(X, columns=list("abc"), index=[f"r{i}" for i in range(60)])
    model = expunge.RidgeClassifier(kinds="vector").fit(frame, y)
    plain = expunge.RidgeClassifier(kinds="vector").fit(X, y)
    assert np.array_equal(model.predict_proba(frame), plain.predict_proba(X))
    assert model.forget(["r3"]).ids_.shape == (59,)
    with pytest.raises(BadData, match="numbers"):
        clone(model).fit(frame.assign(b="text"), y)
    with pytest.raises(BadData, match="missing"):
        clone(model).fit(frame.assign(b=np.nan), y)
    with pytest.raises(BadData, match="vector"):
        clone(model).set_params(kinds="vectors").fit(frame, y)


def test_priors_need_names():
    with pytest.raises(BadInput, match="mapping"):
        expunge.LinearDiscriminant(priors=[0.5, 0.5]).fit(np.eye(4), [0, 1, 0, 1])


@pytest.mark.data
def test_whole_numbers_cost_no_accuracy_on_adult(shared_data):
    frame = shared_data("adult", keep_default_na=False, na_values=[""])
    y, split = frame.pop("income"), frame.pop("split") == "train"
    plain = pd.get_dummies(frame.drop(columns="education_num"), dtype=float)
    theirs = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)).fit(plain[split], y[split])
    ours = expunge.RidgeClassifier(alpha=1.0).fit(plain[split], y[split])
    truth = (y[~split] == ours.classes_[1]).to_numpy()
    auc = [roc_auc_score(truth, model.decision_function(plain[~split])) for model in (ours, theirs)]
    assert abs(auc[0] - auc[1]) < 0.001
    assert auc[1] > 0.88
    discriminant = expunge.LinearDiscriminant().fit(plain[split], y[split])
    assert abs(roc_auc_score(truth, discriminant.decision_function(plain[~split])) - auc[1]) < 0.005


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_whole_numbers_cost_no_accuracy_with_ten_classes(dtype):
    draw = draws(6)
    X = draw.normal(size=(12_000, 40)) @ (np.eye(40) + draw.normal(size=(40, 40)) / 10)
    y = (X @ draw.normal(size=(40, 10)) + 3 * draw.normal(size=(12_000, 10))).argmax(axis=1)
    train, test = slice(0, 8000), slice(8000, None)
    theirs = make_pipeline(StandardScaler(), RidgeClassifier(alpha=1.0)).fit(X[train], y[train])
    given = np.rint(X * 4096).clip(-32767, 32767).astype(dtype) if dtype == np.int16 else X.astype(dtype)
    ours = expunge.RidgeClassifier(alpha=1.0, kinds="vector").fit(given[train], y[train])
    assert abs(ours.score(given[test], y[test]) - theirs.score(X[test], y[test])) <= 0.001
