"""Shards: only those hit change, by the bits of a scratch fit, for learners of ours and of other libraries."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import check_story, same_bits, stories
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from expunge.core.archive import pack, unpack
from expunge.core.columns import Column
from expunge.core.conformance import check_learner
from expunge.core.conformance.watch import arrays_of
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, BadTarget, ClassVanished, DuplicateId, NothingLeft, Unsupported
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.bayes.naive import NaiveBayes
from expunge.models.estimators.counts import NaiveBayesClassifier
from expunge.models.forest.learner import Forest
from expunge.models.linear.ridge import Ridge
from expunge.models.outside.learner import Outside
from expunge.models.outside.named import ESTIMATORS
from expunge.models.sharded import learner as sharded_module
from expunge.models.sharded.learner import Sharded


def world(n=200, d=4, seed=0, owners=60, numbers=False):
    draw = np.random.Generator(np.random.PCG64(seed))
    X = draw.normal(size=(n, d))
    X[draw.random((n, d)) < 0.03] = np.nan
    score = np.nan_to_num(X[:, 0]) + np.nan_to_num(X[:, 1]) + draw.normal(size=n) / 3
    y = score if numbers else np.where(score > 0.5, "c", np.where(score > -0.5, "a", "b"))
    data = Dataset.from_arrays(X, y, ids=draw.permutation(n) + 10, subjects=draw.integers(0, owners, n))
    town = Column.of_texts([None if w == "?" else w for w in draw.choice(["Rome", "Oslo", "Bonn", "?"], n)])
    return Dataset({**data.columns, "town": town}, data.ids, data.subjects, data.target)


def lightgbm(kind="LGBMClassifier", **params):
    return getattr(pytest.importorskip("lightgbm"), kind)(n_estimators=6, min_child_samples=3, **params)


def xgboost(kind="XGBClassifier", **params):
    return getattr(pytest.importorskip("xgboost"), kind)(n_estimators=6, max_depth=3, **params)


def network(**params):
    pytest.importorskip("torch")
    from expunge.models.network import Network

    return Network((8,), epochs=6, batch=16, rate=1e-2, **params)


class Choosy(GaussianNB):
    """Refuses few records."""

    def fit(self, X, y):
        if len(X) < 5:
            raise ValueError("these are too few")
        return super().fit(X, y)


CLASSES = {
    "forest": lambda: Forest(n_trees=4, trees_per_owner=2),
    "ridge": Ridge,
    "bayes": NaiveBayes,
    "lightgbm": lightgbm,
    "lightgbm, drawn": partial(lightgbm, subsample=0.5, subsample_freq=1, colsample_bytree=0.5),
    "xgboost": xgboost,
    "xgboost, drawn": partial(xgboost, subsample=0.5, colsample_bytree=0.5),
    "logistic": LogisticRegression,
    "perceptron": lambda: Outside(MLPClassifier((6,), max_iter=15, learning_rate_init=0.02), table="scaled"),
    "histograms": lambda: HistGradientBoostingClassifier(max_iter=3, early_stopping=True),
    "network": partial(network, dropout=0.2),
}
NUMBERS = {
    "ridge": Ridge,
    "lightgbm": partial(lightgbm, "LGBMRegressor"),
    "xgboost": partial(xgboost, "XGBRegressor"),
    "tree": lambda: DecisionTreeRegressor(max_features=2),
    "network": network,
}
STAGED = {
    "sgd": lambda: Outside(SGDClassifier(loss="log_loss"), passes=4),
    "perceptron": lambda: Outside(MLPClassifier((6,)), passes=4),
    "network": network,
}
EVERY = {name: (make, False) for name, make in CLASSES.items()}
EVERY |= {f"{name}, numbers": (make, True) for name, make in NUMBERS.items()}
every = pytest.mark.parametrize(("make", "numbers"), EVERY.values(), ids=EVERY)
ignore_unfinished = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def check_shards(sharded, data, key, gone):
    """Fail unless the shards hit equal a scratch fit, the others stay as they are, and arrays survive a save."""
    model = sharded.fit(data, key)
    before = {name: np.array(a) for name, a in arrays_of(model).items()}
    after, reference = model.without(gone), sharded.fit(data.without(gone), key)
    assert after.digest() == reference.digest()
    same_bits(arrays_of(after), arrays_of(reference))
    same_bits(before, arrays_of(model))
    hit = set(model.rooms.hit(gone))
    kept = [a == b for a, b in zip(model.shard_digests(), after.shard_digests(), strict=True)]
    assert [not same for same in kept] == [shard in hit for shard in range(sharded.n_shards)]
    assert model.plan(gone).parts_touched == len(hit)
    again = sharded.restore(unpack(pack(arrays_of(after))), data.without(gone), key)
    same_bits(arrays_of(again), arrays_of(after))
    assert np.array_equal(again.losses(data), after.losses(data))
    rest = data.without(gone).ids.tolist()[:2]
    assert again.without(rest).digest() == sharded.fit(data.without([*gone, *rest]), key).digest()
    return model


@ignore_unfinished
@every
def test_only_the_shards_hit_change_and_equal_a_scratch_fit(make, numbers):
    data = world(numbers=numbers)
    for seed in range(5):
        gone = Key.public(seed).generator("gone").choice(data.ids, 1 + 2 * seed, replace=False).tolist()
        model = check_shards(Sharded(make(), 3), data, Key.public(seed), gone)
    assert model.guarantee().kind == "exact"
    assert model.losses(data).mean() < (np.var(data.target.values) if numbers else np.log(3)) - 0.1


@ignore_unfinished
@pytest.mark.parametrize("make", STAGED.values(), ids=STAGED)
def test_slices_restart_where_the_record_was_first_seen(make):
    data = world()
    sharded = Sharded(make(), 2, n_slices=3)
    for seed in range(5):
        key = Key.public(seed)
        gone = key.generator("gone").choice(data.ids, 2, replace=False).tolist()
        model = check_shards(sharded, data, key, gone)
    plot, shards = model.rooms.plot, model.rooms.plot.shards(data.subjects)
    last = [i for i, s, t in zip(data.ids, shards, plot.slices(data.subjects), strict=True) if (s, t) == (0, 2)]
    after = model.without(last[:1])
    assert after.parts[0].chain[1] is model.parts[0].chain[1]
    assert after.parts[0].chain[2] is model.parts[0].chain[2]
    assert after.parts[0].chain[3] is not model.parts[0].chain[3]
    assert after.parts[1] is model.parts[1]


@settings(max_examples=15)
@given(story=stories(), key=st.integers(0, 3), shards=st.integers(1, 5))
@pytest.mark.parametrize(
    "make",
    [NaiveBayes, lambda: Sharded(Ridge(), 2), lambda: Outside(DecisionTreeClassifier(), table="scaled")],
    ids=["bayes", "twice", "tree"],
)
def test_awkward_records(make, story, key, shards):
    check_story(Sharded(make(), shards), story, Key.public(key))


@ignore_unfinished
def test_slices_of_numbers():
    data, key = world(numbers=True), Key.public(1)
    check_shards(Sharded(Outside(SGDRegressor(), passes=4), 2, n_slices=3), data, key, data.ids[:3].tolist())


@settings(max_examples=10)
@given(story=stories(target="number"), vote=st.sampled_from(["mean", "hard"]))
def test_awkward_numbers(story, vote):
    check_story(Sharded(Ridge(), 3, vote=vote), story, Key.public(1))


@pytest.mark.parametrize(
    ("learner", "records"),
    [
        (Sharded(NaiveBayes(), 3, vote="hard", max_per_owner=1), tiny_world),
        (Sharded(Ridge(), 2, target_encode=("colour",)), partial(tiny_world, target="number")),
        (Outside(LogisticRegression()), tiny_world),
    ],
    ids=["hard and capped", "encoded numbers", "outside"],
)
def test_options_keep_every_promise_of_the_suite(learner, records):
    check_learner(learner, records)


def test_more_records_can_be_learnt():
    data = world()
    for learner in (NaiveBayes(), Outside(GaussianNB(), table="scaled")):
        sharded, key = Sharded(learner, 4), Key.public(2)
        part, more = data.take(np.arange(150)), data.take(np.arange(150, 200))
        whole = sharded.fit(part, key).adding(more)
        assert whole.digest() == sharded.fit(data, key).digest()
        assert whole.without(more.ids.tolist()).digest() == sharded.fit(part, key).digest()
        with pytest.raises(DuplicateId):
            whole.adding(more)


def test_an_owner_lives_in_one_shard_and_nobody_else_has_a_say_in_it():
    data, key = world(), Key.public(5)
    model = Sharded(NaiveBayes(), 8).fit(data, key)
    homes = model.rooms.plot.shards(model.data.subjects)
    for owner in np.unique(data.subjects)[:20].tolist():
        assert len(set(homes[model.data.subjects == owner].tolist())) == 1
        assert model.plan(data.owned_by(owner)).parts_touched == 1
    fewer = Sharded(NaiveBayes(), 8).fit(data.take(data.subjects < 30), key)
    kept = fewer.data.subjects
    assert np.array_equal(fewer.rooms.plot.shards(kept), homes[np.isin(model.data.subjects, kept)])
    other = Sharded(NaiveBayes(), 8).fit(data, Key.public(6)).rooms.plot.shards(model.data.subjects)
    assert (other != homes).any()


def test_hits_follow_the_formula():
    """m random owners hit s(1 - (1 - 1/s)^m) shards: 10,000 draws, within three standard errors."""
    s, draws = 8, 10_000
    data = world(n=4)
    plot = Sharded(NaiveBayes(), s).fit(data, Key.public(1)).rooms.plot
    for m in (1, 3, 10):
        homes = plot.shards(np.arange(m * draws)).reshape(draws, m)
        hits = np.array([len(set(row)) for row in homes.tolist()])
        expected = s * (1 - (1 - 1 / s) ** m)
        assert abs(hits.mean() - expected) <= 3 * hits.std() / np.sqrt(draws) + 1e-12


def test_a_shard_answers_0_for_a_class_it_lacks_and_the_prior_where_it_has_no_records():
    X = np.array([[0.0], [1.0], [2.0], [3.0], [4.0], [5.0]])
    data = Dataset.from_arrays(X, ["a", "a", "a", "b", "b", "c"], subjects=[1, 1, 1, 2, 2, 3])
    model = Sharded(NaiveBayes(), 50).fit(data, Key.public(0))
    shares = model.probabilities(data)
    assert sum(part.n > 0 for part in model.parts) == 3
    prior = np.array([3, 2, 1]) / 6
    expected = (47 * prior + 1) / 50  # three shards of one class each
    assert np.allclose(shares, expected)
    numbers = Dataset.from_arrays(X, [1.0, 1.0, 1.0, 2.0, 2.0, 5.0], subjects=[1, 1, 1, 2, 2, 3])
    model = Sharded(Ridge(), 50).fit(numbers, Key.public(0))
    assert np.allclose(model.values(numbers), (47 * 2.0 + 1 + 2 + 5) / 50, atol=0.2)


def test_votes():
    data, key = world(), Key.public(3)
    mean = Sharded(NaiveBayes(), 5).fit(data, key)
    hard = Sharded(NaiveBayes(), 5, vote="hard").fit(data, key)
    shares = hard.probabilities(data)
    assert set(np.unique((shares * 5).round(9))) <= {0.0, 1.0, 2.0, 3.0, 4.0, 5.0}
    assert np.allclose(mean.probabilities(data).sum(axis=1), 1)
    place, prior = {label: j for j, label in enumerate(mean.labels)}, np.ones(3) / 3
    votes = [part.shares(data, place, prior).argmax(axis=1) for part in mean.parts]
    assert np.allclose(shares, np.eye(3)[votes].mean(axis=0))


def test_no_subject_outweighs_the_cap():
    data, key = world(owners=3), Key.public(3)
    sharded = Sharded(NaiveBayes(), 2, max_per_owner=10)
    model = sharded.fit(data, key)
    assert sum(part.n for part in model.parts) == 30
    assert "170 records are beyond max_per_owner" in model.notes[0]
    used = {i for shard in range(2) for i in model.rooms.local(shard).ids.tolist()}
    unused = [i for i in data.ids.tolist() if i not in used][:5]
    assert model.plan(unused).parts_touched == 0
    assert model.without(unused).shard_digests() == model.shard_digests()
    gone = [*list(used)[:3], *unused]
    assert model.without(gone).digest() == sharded.fit(data.without(gone), key).digest()


def test_target_means_are_a_function_of_the_shard():
    data, key = world(), Key.public(3)
    for learner in (LogisticRegression(), lightgbm()):
        sharded = Sharded(learner, 3, target_encode=("town",))
        model = check_shards(sharded, data, key, data.ids[:4].tolist())
        assert [name for name in model.parts[0].targets.encode(data).columns if name.startswith("town")] == [
            "town~0",
            "town~1",
        ]
    with pytest.raises(BadInput, match="categories"):
        Sharded(Ridge(), target_encode=("x0",)).fit(data, key)
    with pytest.raises(Unsupported, match="target encoding"):
        Sharded(Outside(SGDClassifier()), n_slices=2, target_encode=("town",)).fit(data, key)


def test_a_shard_that_its_learner_refuses_answers_what_all_records_say():
    data, key = world(n=40), Key.public(0)
    model = Sharded(Outside(Choosy(), table="scaled"), 9).fit(data, key)
    refused = [part for part in model.parts if part.refused]
    assert refused
    assert any(part.model is not None for part in model.parts)
    assert "refused it: these are too few" in model.notes[0]
    gone = data.ids[:8].tolist()
    assert model.without(gone).digest() == Sharded(model.learner.learner, 9).fit(data.without(gone), key).digest()
    assert np.isfinite(model.losses(data)).all()
    with pytest.raises(BadData, match="no shard"):
        Sharded(Outside(Choosy(), table="scaled"), 200).fit(data, key)
    with pytest.raises(BadData, match="NaN"):
        Sharded(Outside(LogisticRegression(), table="codes"), 2).fit(world(), key)


def test_bad_input():
    data, key = world(), Key.public(0)
    for wrong, kind in [
        ({"n_shards": 0}, BadInput),
        ({"n_slices": 1.5}, BadInput),
        ({"vote": "loud"}, BadInput),
        ({"max_per_owner": 0}, BadInput),
        ({"n_slices": 2}, Unsupported),
    ]:
        with pytest.raises(kind):
            Sharded(NaiveBayes(), **wrong).fit(data, key)
    for learner in ("nobody", 3, LogisticRegression):
        with pytest.raises(BadInput):
            Sharded(learner)
    with pytest.raises(BadTarget, match="does not learn numbers"):
        Sharded(LogisticRegression()).fit(world(numbers=True), key)
    with pytest.raises(BadTarget, match="does not learn classes"):
        Sharded(DecisionTreeRegressor()).fit(data, key)
    model = Sharded(NaiveBayes(), 3).fit(data, key)
    with pytest.raises(NothingLeft):
        model.without(data.ids)
    with pytest.raises(ClassVanished):
        model.without(data.ids[data.target.values == 0].tolist())
    assert Sharded("bayes") == Sharded(NaiveBayes()) == Sharded(NaiveBayesClassifier())


@pytest.mark.parametrize("numbers", [False, True], ids=["classes", "numbers"])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_named_estimators_of_other_libraries(name, numbers):
    options = {"lightgbm": {"n_estimators": 3}, "xgboost": {"n_estimators": 3}, "random-forest": {"n_estimators": 3}}
    asked = {name: {**options.get(name, {}), **({"max_iter": 5} if name == "hist-boosting" else {})}}
    data, key = world(numbers=numbers), Key.public(0)
    learner = Sharded(asked, 3)
    learner.prepare(lambda line: None)
    if name == "logistic-regression" and numbers:
        with pytest.raises(BadTarget, match="does not learn numbers"):
            learner.fit(data, key)
        return
    model, gone = learner.fit(data, key), data.ids[:3].tolist()
    assert model.without(gone).digest() == Sharded(asked, 3).fit(data.without(gone), key).digest()
    arrays = {**model.state(), **model.memory()}
    assert learner.restore(arrays, data, key).digest() == model.digest()


def test_names_are_a_closed_list_with_plain_options():
    one, other = ({"lightgbm": dict(sorted({"n_estimators": 3, "max_depth": 2}.items(), reverse=r))} for r in (0, 1))
    assert repr(Sharded(one)) == repr(Sharded(other))
    assert Sharded({"forest": {"n_trees": 7}}).learner.n_trees == 7
    wrong = [
        "os:system",
        "sklearn.svm:SVC",
        {},
        {"lightgbm": {}, "xgboost": {}},
        {"lightgbm": 3},
        {"forest": {"roots": 1}},
        {"lightgbm": {"objective": print}},
    ]
    for asked in wrong:
        with pytest.raises(BadInput):
            Sharded(asked)
    with pytest.raises(BadInput, match="no option 'output_model'"):
        Sharded({"lightgbm": {"output_model": "elsewhere"}}, 2).fit(world(), Key.public(0))


def test_what_is_not_installed_is_named(monkeypatch):
    def nothing(name):
        raise ImportError(name="torch")

    monkeypatch.setattr(sharded_module, "import_module", nothing)
    with pytest.raises(Unsupported, match="network needs torch") as found:
        Sharded("network")
    assert found.value.advice == "pip install 'expunge[torch]'"
