"""Ridge and its scale: exact sums, weights as by numpy, canonical steps, clear limits."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, check_story, stories

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, BadTarget, StoreDamaged, TooLarge
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.models.encoding import scale as scales
from expunge.models.encoding.moments import moments, place
from expunge.models.encoding.scale import Scale
from expunge.models.linear.ridge import Ridge

KEY = Key.public(3)
FLOATS = st.floats(-1e200, 1e200)


@settings(max_examples=60)
@given(stories())
def test_forgetting_equals_never_having_seen(story):
    check_story(Ridge(), story, KEY)


@settings(max_examples=40)
@given(stories("number"), st.sampled_from([None, 0.1, 2.0**-10]))
def test_forgetting_equals_never_having_seen_numbers(story, step):
    check_story(Ridge(alpha=0.5, step=step), story, KEY)


@settings(max_examples=30)
@given(stories())
def test_sums_are_those_of_whole_numbers(story):
    model = Ridge().fit(story.data, KEY)
    codes = np.concatenate([np.ones((len(story.data), 1)), model.scale.encode(story.data)], axis=1).astype(np.int64)
    assert (model.memory()["gram"] == codes.T @ codes).all()


@given(st.lists(FLOATS | st.sampled_from([0.0, -0.0, 5e-324]), min_size=1, max_size=60), st.randoms())
def test_moments_are_exact_and_have_no_order(values, random):
    found = moments(np.array(values))
    random.shuffle(values)
    assert (moments(np.array(values)) == found).all()
    unit = Fraction(2) ** (int(found[0]) - 40)
    whole = [round(Fraction(v) / unit) for v in values]
    _, _, n, high, low, high2, both, low2 = (int(v) for v in found)
    assert (n, (high << 20) + low) == (len(values), sum(whole))
    assert (high2 << 40) + (both << 21) + low2 == sum(w * w for w in whole)


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60))
def test_the_step_is_near_a_256th_of_sigma_and_the_shift_near_the_mean(values):
    numbers = np.array(values)
    shift, step = place(moments(numbers), 8)
    sigma, size = numbers.std(), np.abs(numbers).max()
    assert np.log2(step) == int(np.log2(step))
    if sigma > size * 1e-6:
        assert 2**-0.51 <= step * 256 / sigma <= 2**0.51
        assert abs(shift - numbers.mean()) <= 2**0.51 * sigma + 1e-9 * size


def test_weights_are_those_of_ridge_on_standardised_columns():
    random = np.random.Generator(np.random.PCG64(5))
    X = random.normal(size=(400, 6)) @ random.normal(size=(6, 6)) + 30
    y = X @ random.normal(size=6) + random.normal(size=400)
    data = Dataset.from_arrays(X, y)
    Z = (X - X.mean(axis=0)) / X.std(axis=0)
    w = np.linalg.solve(Z.T @ Z + 2.0 * np.eye(6), Z.T @ (y - y.mean()))
    found = Ridge(alpha=2.0).fit(data, KEY)
    assert np.abs(found.values(data) - (Z @ w + y.mean())).max() < 0.01 * y.std()
    assert np.abs(found.losses(data) - (found.values(data) - y) ** 2).max() == 0


def test_columns_of_every_kind_are_named():
    data = tiny_world(0)
    scale = Scale.of(data, KEY)
    assert {"size", "size is missing", "colour=red", "colour is missing", "words#0"} <= set(scale.names)
    assert scale.encode(data).shape == (len(data), len(scale.names))
    assert scale.encode(data).dtype == np.int16


def test_far_values_are_cut_and_unknown_ones_are_nothing():
    data = Dataset.from_arrays([[0.0], [1.0], [2.0]], ["a", "b", "a"])
    scale = Scale.of(data, KEY)
    codes = scale.encode(Dataset.from_arrays([[1e300], [-1e300], [np.nan]]))
    assert codes[:, 0].tolist() == [32767, -32767, 0]
    words = replace(data, columns={"c": Column.of_texts(["x", "y", "x"])})
    strange = replace(data, columns={"c": Column.of_texts(["z", None, "y"])})
    assert Scale.of(words, KEY).encode(strange).tolist() == [[0, 0], [0, 0], [0, 256]]


def test_the_only_largest_value_can_go():
    values = np.array([1.0, 2.0, 3.0, 1e9])
    data = Dataset.from_arrays(values[:, None], ["a", "b", "a", "b"])
    after = Ridge().fit(data, KEY).without([3])
    assert after.digest() == Ridge().fit(data.without([3]), KEY).digest()
    assert 1e9 not in after.data.columns["x0"].values


def test_limits_are_said(monkeypatch):
    data = tiny_world(0, "number")
    with pytest.raises(TooLarge, match="steps"):
        Ridge(step=1e-9).fit(data, KEY)
    monkeypatch.setattr(scales, "MAX_RECORDS", 10)
    with pytest.raises(TooLarge, match="records"):
        Ridge().fit(data, KEY)
    for learner in (Ridge(alpha=-1), Ridge(alpha=np.nan), Ridge(alpha=np.inf), Ridge(step=0)):
        with pytest.raises(BadInput):
            learner.fit(data, KEY)


def test_bad_records():
    with pytest.raises(BadTarget):
        Ridge().fit(Dataset.from_arrays([[1.0], [2.0]]), KEY)
    with pytest.raises(BadTarget):
        Ridge().fit(Dataset.from_arrays([[1.0], [2.0]], np.array([1.0, np.nan])), KEY)
    with pytest.raises(BadData):
        Ridge().fit(Dataset.from_arrays([[1.0], [np.inf]], ["a", "b"]), KEY)


@pytest.mark.parametrize("name", ["gram", "cross", "weights", "scale/step", "scale/moments", "classes/labels"])
def test_damaged_arrays_are_refused(name):
    data = tiny_world(2)
    arrays = arrays_of(Ridge().fit(data, KEY))
    with pytest.raises(StoreDamaged):
        Ridge().restore({**arrays, name: arrays[name][:-1]}, data, KEY)
    with pytest.raises(StoreDamaged):
        Ridge().restore(arrays, replace(data, classes=("no", "yes", "never")), KEY)


def test_many_deletions_leave_no_residue():
    random = np.random.Generator(np.random.PCG64(6))
    X = random.normal(size=(2000, 20)) * 1000
    data = Dataset.from_arrays(X, np.where(X[:, 0] > 0, "a", "b"))
    model = Ridge().fit(data, KEY)
    for batch in np.array_split(random.permutation(2000)[:1500], 40):
        model = model.without(batch.tolist())
    assert model.digest() == Ridge().fit(model.data, KEY).digest()
