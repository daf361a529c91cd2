"""Other people's estimators: the same bits for the same set of records, whole pipelines inside, nothing pickled."""

from __future__ import annotations

import random
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler, TargetEncoder
from sklearn.svm import SVC

from expunge import ShardedClassifier, ShardedRegressor, check_pipeline, require_exact
from expunge.core.archive import pack, unpack
from expunge.core.columns import Column
from expunge.core.conformance.watch import quiet_globals
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, StoreDamaged, Unsupported
from expunge.core.seeds import Key
from expunge.models.encoding.table import Table
from expunge.models.outside import boosters, foreign
from expunge.models.outside.anatomy import anatomy
from expunge.models.outside.learner import Outside
from expunge.models.sharded.learner import Sharded


def table(n=80, seed=3):
    draw = np.random.Generator(np.random.PCG64(seed))
    frame = pd.DataFrame(
        {
            "age": np.where(draw.random(n) < 0.1, np.nan, draw.integers(18, 90, n)),
            "city": [None if c == "" else c for c in draw.choice(["Rome", "Oslo", "Bonn", "Pisa", ""], n)],
            "note": [
                f"asked {w} about {v} again" for w, v in zip(range(n), draw.choice(["tax", "rent"], n), strict=True)
            ],
        },
        index=draw.permutation(n) + 5,
    )
    y = np.where((frame["age"].fillna(50) > 50) ^ (frame["city"] == "Rome"), "old", "young")
    return frame, y, np.array([f"p{i // 2}" for i in range(n)])


def records(n=80, seed=3):
    frame, y, owners = table(n, seed)
    return Dataset.from_frame(frame.assign(y=y, owner=owners), target="y", subject="owner", kinds={"note": "text"})


ESTIMATORS = [
    RandomForestClassifier(n_estimators=3, n_jobs=2),
    ExtraTreesClassifier(n_estimators=3),
    HistGradientBoostingClassifier(max_iter=4, early_stopping=True),
    KNeighborsClassifier(3),
    RidgeClassifier(),
    SVC(),
    GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=StratifiedKFold(2, shuffle=True, random_state=0)),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_a_function_of_the_set_of_records(estimator):
    data, key = records(), Key.public(1)
    with quiet_globals("fit"):
        first = Outside(estimator).fit(data, key)
    order = np.random.Generator(np.random.PCG64(1)).permutation(len(data))
    again = Outside(estimator).fit(data.take(order), key)
    assert first.digest() == again.digest()
    assert first.digest() != Outside(estimator).fit(data.take(order[1:]), key).digest()
    assert first.losses(data).shape == (80,)
    read = Outside(estimator).restore(unpack(pack(first.state())), data, key)
    assert np.array_equal(read.losses(data), first.losses(data))
    assert not hasattr(estimator, "classes_")
    assert "again" in " ".join(first.guarantee().assumptions)


def encoders():
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    return ColumnTransformer(
        [
            ("numbers", numbers, ["age"]),
            ("words", TfidfVectorizer(), "note"),
            ("city", OneHotEncoder(handle_unknown="ignore"), ["city"]),
            ("target", TargetEncoder(cv=2), ["city"]),
        ]
    )


def test_a_whole_pipeline_is_fitted_again_inside_its_shard():
    frame, y, owners = table()
    pipeline = make_pipeline(encoders(), LogisticRegression())
    for seed in range(3):
        model = ShardedClassifier(pipeline, 3, seed=seed, kinds={"note": "text"}).fit(frame, y, subjects=owners)
        model.forget(subjects=["p3", "p30"]).forget([int(frame.index[0])])
        keep = ~np.isin(owners, ["p3", "p30"]) & (frame.index != frame.index[0])
        again = ShardedClassifier(pipeline, 3, seed=seed, kinds={"note": "text"})
        again.fit(frame[keep], y[keep], subjects=owners[keep])
        assert model.digest() == again.digest()
        assert np.array_equal(model.predict_proba(frame), again.predict_proba(frame))
    assert model.score(frame, y) > 0.75
    assert check_pipeline(model) == ()
    require_exact(model)
    vocabularies = {
        tuple(part.model.answers.estimator[0].named_transformers_["words"].vocabulary_) for part in model.model_.parts
    }
    assert len(vocabularies) == 3  # words of a shard are known to that shard alone
    assert not any(owner in str(vocabularies) for owner in (f" {i} " for i in (6, 7, 60, 61)))


def test_texts_alone_and_numbers_alone_reach_a_pipeline_as_it_expects_them():
    frame, y, _ = table()
    texts = make_pipeline(TfidfVectorizer(), LogisticRegression())
    y = np.where(frame["note"].str.contains("tax"), "a", "b")
    model = ShardedClassifier(texts, 2, kinds={"note": "text"}).fit(frame[["note"]], y)
    assert model.score(frame[["note"]], y) == 1
    X = np.random.Generator(np.random.PCG64(0)).normal(size=(60, 2))
    line = ShardedRegressor(make_pipeline(StandardScaler(), LinearRegression()), 2).fit(X, X @ [1.0, 2.0])
    assert line.score(X, X @ [1.0, 2.0]) > 0.999


def test_target_encoders_outside_are_refused_by_name():
    frame, y, _ = table()
    outside = make_pipeline(ColumnTransformer([("city", TargetEncoder(), ["city"])]), ShardedClassifier())
    assert check_pipeline(outside) == ("columntransformer/city (TargetEncoder)",)
    with pytest.raises(Unsupported, match=r"city \(TargetEncoder\) learns from the targets") as found:
        require_exact(outside)
    assert "target_encode" in found.value.advice
    with pytest.raises(Unsupported, match="StandardScaler") as found:
        require_exact(make_pipeline(StandardScaler(), ShardedClassifier()))
    assert "ShardedClassifier(pipeline)" in found.value.advice
    inside = ShardedClassifier(LogisticRegression(), 3, target_encode=["city"]).fit(frame, y)
    keep = np.arange(80) > 4
    again = ShardedClassifier(LogisticRegression(), 3, target_encode=["city"]).fit(frame[keep], y[keep])
    assert inside.forget(frame.index[~keep].tolist()).digest() == again.digest()
    require_exact(inside)


class Careless(ClassifierMixin, BaseEstimator):
    """Draws from global generators, whatever it is told, and notes when it was fitted."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.noise_ = np.random.normal(size=X.shape[1]) + random.random()  # noqa: NPY002 - that is its point
        self.fit_time_ = object()
        self.itself_ = self
        return self

    def predict(self, X):
        return self.classes_[(X @ self.noise_ > 0).astype(int)]


def test_global_generators_are_lent_and_put_back():
    data = records()
    fits = []
    for seed in (1, 1, 2):
        with quiet_globals("fit"):
            fits.append(Outside(Careless(), table="scaled").fit(data, Key.public(seed)))
    assert fits[0].digest() == fits[1].digest() != fits[2].digest()
    assert set(fits[0].answers.shares(fits[0].table.encode(data), 2).ravel()) == {0.0, 1.0}


class Restless(Careless):
    """Draws from a generator that nobody can seed."""

    def fit(self, X, y):
        super().fit(X, y)
        self.noise_ = np.random.default_rng().normal(size=X.shape[1])
        return self

    def partial_fit(self, X, y, classes=None):
        return self.fit(X, y)


class Mindful(Careless):
    """Keeps something from one fit to the next."""

    fits: ClassVar[list] = []

    def fit(self, X, y):
        super().fit(X, y)
        self.fits.append(len(X))
        self.noise_ = np.full(X.shape[1], len(self.fits))
        return self


def twice(X):
    """Add another number each time."""
    return X + np.random.default_rng().normal()


@pytest.mark.parametrize(
    "estimator",
    [Restless(), Mindful(), make_pipeline(SimpleImputer(), FunctionTransformer(twice), LogisticRegression())],
    ids=lambda e: type(e).__name__,
)
def test_what_does_not_repeat_itself_is_refused(estimator):
    data, form = records(), "raw" if hasattr(estimator, "steps") else "scaled"
    if form == "raw":
        data = Dataset.from_arrays(np.random.default_rng(0).random((60, 2)), np.repeat(["a", "b"], 30))
    with pytest.raises(Unsupported, match="two different things") as found:
        Outside(estimator, table=form).fit(data, Key.public(0))
    assert "random_state" in found.value.advice
    with pytest.raises(Unsupported, match="two different things"):
        Sharded(Outside(estimator, table=form), 2).fit(data, Key.public(0))


def test_slices_of_what_does_not_repeat_itself_are_refused():
    with pytest.raises(Unsupported, match="two different things"):
        Sharded(Outside(Restless(), table="scaled"), 2, n_slices=2).fit(records(), Key.public(0))


def test_known_libraries_learn_once():
    assert foreign.vouched(make_pipeline(FunctionTransformer(np.log1p), RandomForestClassifier()))
    assert not foreign.vouched(make_pipeline(FunctionTransformer(twice), RandomForestClassifier()))
    assert not foreign.vouched(Careless())


def test_a_recipe_tells_what_matters_and_nothing_else():
    told = foreign.recipe(make_pipeline(StandardScaler(with_mean=False), LogisticRegression(C=2.0, random_state=5)))
    assert told == (
        "sklearn.pipeline.Pipeline(steps=[['standardscaler', sklearn.preprocessing._data.StandardScaler("
        "with_mean=False)], ['logisticregression', sklearn.linear_model._logistic.LogisticRegression(C=2.0)]])"
    )
    forests = [RandomForestClassifier(n_jobs=n, random_state=s) for n, s in ((1, 3), (None, 4))]
    assert repr(Outside(forests[0])) == repr(Outside(forests[1]))
    folds = [GridSearchCV(LogisticRegression(), {}, cv=StratifiedKFold(k)) for k in (2, 3)]
    assert foreign.recipe(folds[0]) != foreign.recipe(folds[1])
    with pytest.raises(Unsupported, match="get_params"):
        foreign.recipe(object())


def test_anatomy_tells_apart_and_leaves_nothing_out():
    data = records()
    trees = [RandomForestClassifier(n_estimators=2, random_state=s).fit(np.eye(8), np.arange(8) % 2) for s in (0, 0, 1)]
    first, second, third = (anatomy(tree) for tree in trees)
    assert sorted(first) == sorted(second)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(name not in third or not np.array_equal(first[name], third[name]) for name in first)
    shifted = LogisticRegression().fit(np.eye(8), np.arange(8) % 2)
    before = pack(anatomy(shifted))
    shifted.coef_[0, 3] = np.nextafter(shifted.coef_[0, 3], 9)
    assert pack(anatomy(shifted)) != before
    assert not any(a.dtype.hasobject for a in anatomy({"gaps": np.array([np.nan, -np.nan]), "x": {1, 2}}).values())
    with pytest.raises(Unsupported, match="no content"):
        anatomy({"rows": (i for i in range(3))})
    assert len(data) == 80


@pytest.mark.parametrize("form", ["scaled", "codes"])
def test_tables_forget_categories_and_words_with_their_records(form):
    data, key = records(), Key.public(4)
    rare = Column.of_texts(["Canary", *(["Rome", "Oslo"] * 40)[1:]])
    data = Dataset({**data.columns, "rare": rare}, data.ids, data.subjects, data.target)
    encoder = Table.of(data, key, form)
    after = Table.of(data.take(np.arange(1, 80)), key, form)
    assert b"Canary".hex().encode() in pack(encoder.state())
    assert b"Canary".hex().encode() not in pack(after.state())
    X = after.encode(data)
    assert X.shape == (80, after.width)
    assert len(after.nominal) == (2 if form == "codes" else 0)
    assert np.isnan(X).any() == (form == "codes")
    many = Column.of_texts([f"v{i}" for i in range(300)])
    wide = Dataset({"v": many}, np.arange(300), np.arange(300))
    codes = Table.of(wide, key, "codes").encode(wide)
    assert 100 < len(np.unique(codes)) <= 200


def test_boosters_are_read_from_their_own_text():
    lightgbm = pytest.importorskip("lightgbm")
    data, key = records(), Key.public(2)
    for kind in (lightgbm.LGBMClassifier, pytest.importorskip("xgboost").XGBClassifier):
        learner = Outside(kind(n_estimators=5))
        model = learner.fit(data, key)
        arrays = unpack(pack(model.state()))
        read = learner.restore(arrays, data, key)
        assert read.digest() == model.digest()
        assert np.array_equal(read.logits(data), model.logits(data))
        name = next(n for n in ("lightgbm", "xgboost") if n in arrays)
        with pytest.raises(StoreDamaged):
            learner.restore({**arrays, name: arrays[name][:40]}, data, key)
    text = Outside(lightgbm.LGBMClassifier()).fit(data, key).answers.text
    assert "[num_threads" not in text
    assert "parameters" not in text


def test_what_is_not_installed_is_named(monkeypatch):
    def nothing(name):
        raise ImportError(name=name)

    monkeypatch.setattr(boosters, "import_module", nothing)
    with pytest.raises(Unsupported, match="not installed") as found:
        boosters.read({"lightgbm": np.frombuffer(b"tree", np.uint8)})
    assert found.value.advice == "pip install 'expunge[boosters]'"


def test_bad_input():
    data, key = records(), Key.public(0)
    for learner in (
        Outside(LogisticRegression(), table="neat"),
        Outside(LogisticRegression(), passes=0),
        Outside(StandardScaler()),
    ):
        with pytest.raises(BadInput):
            learner.fit(data, key)
    learner = Outside(LogisticRegression())
    with pytest.raises(Unsupported, match="partial_fit"):
        learner.resume(learner.begin(data, key), data, key, 1.0)
    vectors = Dataset.from_vectors(np.ones((4, 3), np.float32), ["a", "b", "a", "b"])
    both = Dataset({**vectors.columns, "z": Column("number", np.ones(4))}, vectors.ids, vectors.ids, vectors.target)
    with pytest.raises(BadData, match="vectors"):
        Outside(make_pipeline(StandardScaler(), LogisticRegression())).fit(both, key)
    assert Outside(LogisticRegression()).fit(both, key).logits(both).shape == (4, 2)
