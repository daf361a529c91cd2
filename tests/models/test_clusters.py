"""k-means: the bits of a fresh fit after any deletion, as good as scikit-learn's, mostly untouched by a record."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, same_bits, stories
from sklearn.cluster import KMeans as Theirs
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.utils.estimator_checks import parametrize_with_checks

import expunge
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, DuplicateId, StoreDamaged
from expunge.core.seeds import Key
from expunge.models.clusters.divided import DividedKMeans
from expunge.models.clusters.kmeans import KMeans
from expunge.models.clusters.model import encoded, points_of
from expunge.models.draws import waits

KEY = Key.public(3)
LEARNERS = [KMeans(3), KMeans(5, steps=64), KMeans(2, share=0.4), KMeans(1), DividedKMeans(2, 3), DividedKMeans(3, 1)]


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks([expunge.Clusters(3), expunge.Clusters(2, share=0.5), expunge.Clusters(3, n_parts=4)])
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@settings(max_examples=60)
@given(stories(), st.sampled_from(LEARNERS))
def test_forgetting_equals_never_having_seen(story, learner):
    check_story(learner, story, KEY)


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 2, 4, 64]), st.sampled_from([1.0, 0.5, 0.0]))
def test_paths_of_many_deletions_and_additions_are_those_of_a_fresh_fit(seed, steps, share):
    """Long enough that some deletions change nothing, some a late round, and some a start."""
    draw = np.random.Generator(np.random.PCG64(seed))
    X = draw.normal(size=(200, 3)) + 4 * draw.integers(0, 3, (200, 1))
    data = Dataset.from_arrays(X, subjects=np.arange(200) // 2)
    learner = KMeans(4, steps=steps, share=share) if share else DividedKMeans(4, 5, steps=steps)
    whole = learner.fit(data, KEY)
    model, gone = whole, draw.permutation(200)[:30].tolist()
    for at, value in enumerate(gone, 1):
        model = model.without([value])
        if at % 10 == 0:
            same_bits(arrays_of(model), arrays_of(learner.fit(data.without(gone[:at]), KEY)))
    for part in (gone[:1], gone[1:12], gone[12:]):
        model = model.adding(data.only(part))
    same_bits(arrays_of(model), arrays_of(whole))
    assert model.digest() == whole.digest()


def test_most_deletions_change_no_decision_and_some_do():
    X = np.random.Generator(np.random.PCG64(1)).normal(size=(4000, 4))
    X[:2000] += 3
    data = Dataset.from_arrays(X)
    model = KMeans(3).fit(data, KEY)
    replayed = np.array([model.without([i]).runs.replayed for i in range(0, 4000, 27)])
    assert (replayed == 0).mean() > 0.5
    assert (replayed > 0).any()
    assert model.plan([0]).parts == len(model.runs.path.sums)
    quiet = int(np.flatnonzero(replayed == 0)[0]) * 27
    assert model.plan([quiet]).records_read == 1


def test_with_a_tenth_of_the_owners_a_round_most_deletions_touch_nothing():
    """XL08 on the features of XS03."""
    X, _ = make_classification(
        100_000, n_features=40, n_informative=5, n_redundant=5, n_repeated=0, flip_y=0.05, random_state=1
    )
    model = KMeans(share=0.1).fit(Dataset.from_arrays(X), KEY)
    touched = np.array([model.plan([row]).parts_touched for row in range(0, 100_000, 2000)])
    assert (touched == 0).mean() >= 0.5
    row = int(np.flatnonzero(touched == 0)[0]) * 2000
    assert model.without([row]).runs.replayed == 0


@pytest.mark.parametrize("name", ["digits", "cancer", "made"])
def test_as_good_as_scikit_learn(name):
    made = make_classification(5000, n_features=20, n_informative=5, n_redundant=5, random_state=1)
    X = {"digits": load_digits().data, "cancer": load_breast_cancer().data, "made": made[0]}[name]
    data = Dataset.from_arrays(X)
    codes = KMeans().fit(data, KEY).scale.encode(data) / 256
    ours = [KMeans().fit(data, Key.public(seed)).losses(data).sum() for seed in range(10)]
    theirs = [Theirs(8, n_init=1, random_state=seed).fit(codes).inertia_ for seed in range(10)]
    assert np.mean(ours) < 1.02 * np.mean(theirs)


def test_vectors_and_samples_of_owners():
    draw = np.random.Generator(np.random.PCG64(1))
    X = (draw.normal(size=(600, 6)) + 6 * np.eye(6)[draw.integers(0, 6, 600)]).astype(np.float32)
    data = Dataset.from_vectors(X, subjects=np.arange(600) // 3)
    truth = Theirs(6, n_init=5, random_state=0).fit(X).inertia_
    for learner in (KMeans(6), KMeans(6, share=0.5)):
        model = learner.fit(data, KEY)
        centres = model.runs.centres * model.scale.steps
        least = ((X[:, None] - centres[None]) ** 2).sum(axis=2).min(axis=1).sum()
        assert least < 1.1 * truth
        same_bits(arrays_of(model.without([4, 5])), arrays_of(learner.fit(data.without([4, 5]), KEY)))
    drawn = learner.fit(data, KEY).runs.course.drawn
    points = points_of(encoded(learner.fit(data, KEY).scale, data, KEY))
    shares = [drawn(points, t).reshape(-1, 3) for t in range(20)]
    assert all((s.all(axis=1) | ~s.any(axis=1)).all() for s in shares)  # an owner's records are drawn together
    assert 0.4 < np.mean(shares) < 0.6


def test_fewer_different_records_than_clusters():
    data = Dataset.from_arrays(np.repeat([[0.0], [1.0]], 5, axis=0))
    model = KMeans(4).fit(data, KEY)
    assert model.losses(data).max() < 0.01
    after = model.without([0, 1, 2, 3, 4])
    same_bits(arrays_of(after), arrays_of(KMeans(4).fit(data.without(range(5)), KEY)))
    same_bits(arrays_of(after.adding(data.only([0]))), arrays_of(KMeans(4).fit(data.without(range(1, 5)), KEY)))


def test_bad_input():
    data = Dataset.from_arrays(np.arange(10.0)[:, None])
    for wrong in (KMeans(0), KMeans(2.5), KMeans(n_rounds=0), KMeans(steps=0), KMeans(share=0), KMeans(share=1.5)):
        with pytest.raises(BadInput):
            wrong.fit(data, KEY)
    with pytest.raises(BadData):
        KMeans().fit(replace(data, columns={}), KEY)
    model = KMeans(2).fit(data, KEY)
    with pytest.raises(DuplicateId):
        model.adding(data.only([3]))
    arrays = arrays_of(model)
    arrays["path/counts"] = arrays["path/counts"] + 1
    with pytest.raises(StoreDamaged):
        KMeans(2).restore(arrays, data, KEY)


def test_the_front_door():
    draw = np.random.Generator(np.random.PCG64(1))
    X = draw.normal(size=(90, 2)) + 8 * (np.arange(90) % 3)[:, None]
    found = expunge.Clusters(3, seed=4).fit(X, ids=[f"r{i}" for i in range(90)], subjects=np.arange(90) // 2)
    assert len(set(found.labels_[:3].tolist())) == 3
    assert (found.labels_ == found.labels_[np.arange(90) % 3]).all()
    assert (found.predict(X) == found.transform(X).argmin(axis=1)).all()
    assert np.isclose(-found.score(X), found.inertia_)
    found.forget(["r0"], subjects=[20])
    kept = [i for i in range(90) if i not in (0, 40, 41)]
    fresh = expunge.Clusters(3, seed=4).fit(X[kept], ids=[f"r{i}" for i in kept], subjects=np.array(kept) // 2)
    assert found.digest() == fresh.digest()
    assert len(found.labels_) == len(found.ids_) == 87
    found.learn(X[[0]], ids=["r0"], subjects=[0])
    assert len(found.ids_) == 88


def test_waiting_times_are_minus_log2_of_a_uniform_number():
    words = np.random.Generator(np.random.PCG64(0)).integers(0, 2**64, 10**5, dtype=np.uint64)
    exact = -np.log2(((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)
    assert np.abs(waits(words) - exact).max() < 1e-7
    ends = waits(np.array([0, 2**64 - 1], np.uint64))
    assert ends[0] == pytest.approx(54)
    assert 0 < ends[1] < 1e-15


def test_a_deletion_touches_its_part_alone():
    draw = np.random.Generator(np.random.PCG64(1))
    X = draw.normal(size=(2000, 4)) + 3 * draw.integers(0, 3, (2000, 1))
    data = Dataset.from_arrays(X, subjects=np.arange(2000) // 2)
    model = DividedKMeans(3, 10).fit(data, KEY)
    assert model.plan([4, 5]).parts_touched == 1  # an owner's records lie together
    after = model.without([4, 5])
    same = [part for part in after.runs.paths if after.runs.paths[part] is model.runs.paths[part]]
    assert len(same) == 9
    assert after.runs.replayed <= 1
    whole = KMeans(3).fit(data, KEY).losses(data).sum()
    assert model.losses(data).sum() < 1.05 * whole
    with pytest.raises(BadInput, match="n_parts"):
        DividedKMeans(3, 0).fit(data, KEY)
