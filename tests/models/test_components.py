"""Principal components: as by numpy, in the data's units, signs and equal variances settled, exact forgetting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, same_bits, stories
from sklearn.decomposition import PCA

import expunge
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, StoreDamaged
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.linear.components import PrincipalComponents

KEY = Key.public(8)


def draws(seed):
    return np.random.Generator(np.random.PCG64(seed))


def mixed(n=4000, d=6, seed=2):
    draw = draws(seed)
    return draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) * 5 + draw.normal(size=d) * 3


@settings(max_examples=50)
@given(stories(), st.booleans(), st.sampled_from([1, 3, 400]))
def test_forgetting_equals_never_having_seen(story, standardise, k):
    most = [np.abs(np.nan_to_num(c.values)).max() for c in story.data.columns.values() if c.values.dtype.kind == "f"]
    if not standardise and max(most, default=0) > 1e200:
        with pytest.raises(BadData, match="too large"):
            PrincipalComponents(k).fit(story.data, KEY)
    else:
        check_story(PrincipalComponents(k, standardise), story, KEY)


@settings(max_examples=25)
@given(stories())
def test_adding_what_was_forgotten_restores_every_bit(story):
    model = PrincipalComponents(2, standardise=True).fit(story.data, KEY)
    every = [i for batch in story.batches for i in batch]
    same_bits(arrays_of(model.without(every).adding(story.data.only(every))), arrays_of(model))


def test_components_are_those_of_scikit_learn():
    X = mixed()
    ours, theirs = expunge.Components(3).fit(X), PCA(3).fit(X)
    signs = np.sign((ours.components_ * theirs.components_).sum(axis=1))
    assert np.abs(ours.components_ - theirs.components_ * signs[:, None]).max() < 1e-3
    assert ours.explained_variance_ == pytest.approx(theirs.explained_variance_, rel=1e-3)
    assert ours.mean_ == pytest.approx(theirs.mean_, abs=0.02)
    assert np.abs(ours.transform(X) - theirs.transform(X) * signs).max() < 0.2
    back = ours.inverse_transform(ours.transform(X))
    assert np.abs(back - theirs.inverse_transform(theirs.transform(X))).max() < 0.2
    errors = ours.model_.losses(ours.model_.data)
    (table,) = ours.model_.table(ours.model_.data)
    assert np.abs(table - X).max() < X.std(axis=0).max() / 256
    assert errors == pytest.approx(((table - back) ** 2).sum(axis=1), abs=1e-9)
    assert ours.get_feature_names_out().tolist() == ["components0", "components1", "components2"]


def test_standardised_components_do_not_know_units():
    X = mixed()
    plain = expunge.Components(4, standardise=True).fit(X)
    other = expunge.Components(4, standardise=True).fit(X * [1, 10, 1e-3, 1e5, 1, 1])
    assert np.abs(plain.components_ - other.components_).max() < 0.01
    assert plain.explained_variance_.sum() < 6
    theirs = PCA(4).fit((X - X.mean(axis=0)) / X.std(axis=0, ddof=1))
    assert plain.explained_variance_ == pytest.approx(theirs.explained_variance_, rel=1e-3)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_after_a_tenth_is_forgotten_they_are_those_of_a_fresh_fit(seed):
    X = mixed(seed=seed)
    gone = draws(seed).permutation(4000)[:400]
    stay = np.setdiff1d(np.arange(4000), gone)
    after, fresh = expunge.Components(4).fit(X).forget(gone), expunge.Components(4).fit(X[stay], ids=stay)
    assert (after.model_.memory()["gram"] == fresh.model_.memory()["gram"]).all()
    assert np.abs(after.components_ - fresh.components_).max() < 1e-10
    assert after.digest() == fresh.digest()
    floats = PCA(4).fit(X[stay]).components_
    assert np.abs(np.abs((after.components_ * floats).sum(axis=1)) - 1).max() < 1e-4


def test_the_largest_entry_is_positive_and_equal_variances_are_told():
    square = np.array([[1, 0, 0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, -1, 0, 0], [0, 0, 3, 0], [0, 0, -3, 0]], np.int16)
    model = PrincipalComponents(4).fit(Dataset.from_vectors(square * 100), KEY)
    assert model.subspaces == [(0,), (1, 2), (3,)]
    assert model.components[0].tolist() == [0, 0, 1, 0]
    assert (np.take_along_axis(model.components, np.abs(model.components).argmax(axis=1)[:, None], axis=1) > 0).all()
    assert model.losses(model.data) == pytest.approx(np.zeros(6), abs=1e-9)
    flat = PrincipalComponents(2).fit(Dataset.from_vectors(np.ones((5, 3), np.int8)), KEY)
    assert flat.subspaces == [(0, 1)]
    assert flat.solution["variances"].tolist() == [0, 0]


def test_a_table_of_any_columns_and_records_not_seen():
    data = tiny_world(3, None)
    model = PrincipalComponents(3).fit(data, KEY)
    places = model.transform(data)
    assert places.shape == (len(data), 3)
    assert model.inverse(places).shape == (len(data), len(model.names))
    assert model.transform(data.take(np.array([4]))) == pytest.approx(places[4:5])
    assert np.abs(places.mean(axis=0)).max() < 1e-9
    assert model.nbytes == sum(np.asarray(a).nbytes for a in arrays_of(model).values())


def test_numbers_too_large_to_square_are_refused():
    data = Dataset.from_arrays([[1.0], [2.0], [3.0]])
    far = Dataset.from_arrays([[1e200], [-1e200], [0.0]], ids=[7, 8, 9])
    with pytest.raises(BadData, match="square"):
        PrincipalComponents(1).fit(far, KEY)
    model = PrincipalComponents(1).fit(data, KEY)
    with pytest.raises(BadData, match="square"):
        model.adding(far)
    assert PrincipalComponents(1, standardise=True).fit(data, KEY).adding(far).components.tolist() == [[1.0]]


def test_bad_parameters_and_arrays():
    data = tiny_world(1, None)
    for n in (0, -1, 2.0, True, "all"):
        with pytest.raises(BadInput):
            PrincipalComponents(n).fit(data, KEY)
    arrays = arrays_of(PrincipalComponents(2).fit(data, KEY))
    for name in ("components", "variances", "mean", "unit", "gram", "scale/step"):
        with pytest.raises(StoreDamaged):
            PrincipalComponents(2).restore({**arrays, name: arrays[name][:-1]}, data, KEY)
