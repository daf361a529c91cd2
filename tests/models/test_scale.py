"""Rulers and scales: vectors exactly as they are or in one learnt step, records in and out without a trace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import stories

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, TooLarge
from expunge.core.seeds import Key
from expunge.core.tiny_worlds import tiny_graph
from expunge.models.encoding import scale as scales
from expunge.models.encoding.moments import LIMB, moments, place, sums, sums_of, unmoved
from expunge.models.encoding.rulers import EXPONENTS, exponents, vector_step
from expunge.models.encoding.scale import Scale

KEY = Key.public(5)


def draws(seed):
    return np.random.Generator(np.random.PCG64(seed))


def same(left, right):
    mine, other = ({**s.state(), **s.memory()} for s in (left, right))
    assert sorted(mine) == sorted(other)
    for name in mine:
        assert mine[name].dtype == other[name].dtype, name
        assert np.array_equal(mine[name], other[name]), name


@settings(max_examples=80)
@given(stories())
def test_records_go_and_come_back_without_a_trace(story):
    gone = story.data.only([i for batch in story.batches for i in batch])
    scale = Scale.of(story.data, KEY)
    left = scale.without(gone)
    if left is None:  # a step moves: then it does
        fresh = Scale.of(story.kept, KEY)
        assert fresh.rulers.every != scale.rulers.every or (fresh.moments[:, 0] != scale.moments[:, 0]).any()
        return
    after, mask = left
    same(after, Scale.of(story.kept, KEY))
    assert (scale.encode(story.kept)[:, mask] == after.encode(story.kept)).all()
    assert not scale.encode(story.kept)[:, ~mask].any()
    back = after.adding(gone)
    assert back is not None
    same(back[0], scale)
    assert (back[1] == mask).all()


@settings(max_examples=60)
@given(stories())
def test_few_records_are_encoded_like_many(story):
    scale = Scale.of(story.data, KEY)
    codes = scale.encode(story.data)
    assert codes.shape == (len(story.data), scale.width)
    assert len(scale.names) == scale.width == len(scale.steps) == len(scale.shifts)
    for row in range(0, len(story.data), 5):
        assert (scale.encode(story.data.take(np.array([row]))) == codes[row]).all()
    slim = scale.slim()
    assert (slim.encode(story.data) == codes).all()
    assert not slim.moments.any()
    assert not slim.counts.any()


@given(
    st.lists(st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=3, max_size=3), min_size=1, max_size=40),
    st.data(),
)
def test_steps_of_vectors_have_no_order_and_forget(rows, data):
    values = np.array(rows, np.float32)
    counts = exponents(values)
    assert counts.sum() == len(values)
    gone = data.draw(st.lists(st.integers(0, len(values) - 1), unique=True, max_size=len(values) - 1))
    kept = np.delete(values, gone, axis=0)
    assert (counts - exponents(values[gone].reshape(-1, 3)) == exponents(kept[::-1])).all()
    step = vector_step(counts)
    assert np.log2(step) == int(np.log2(step))
    largest = float(np.abs(values).max())
    if largest > 0:
        assert 2.0**14 <= largest / step <= 2.0**15


def test_vectors_of_floats_keep_twelve_bits_and_outliers_are_cut():
    values = draws(1).normal(size=(5000, 16)).astype(np.float32) / 22
    data = Dataset.from_vectors(values)
    scale = Scale.of(data, KEY)
    assert np.abs(scale.encode(data) * scale.steps - values).max() <= scale.steps[0] / 2
    assert values.std() / scale.steps[0] > 2**11
    far = values.copy()
    far[7] *= 2.0**40
    other = Scale.of(Dataset.from_vectors(far), KEY)
    assert other.rulers.every == scale.rulers.every
    assert np.abs(other.encode(Dataset.from_vectors(far))[7]).max() == 2**15 - 1


@pytest.mark.parametrize("dtype", ["int16", "int8", "uint8"])
def test_vectors_of_whole_numbers_are_taken_as_they_are(dtype):
    info = np.iinfo(dtype)
    values = draws(2).integers(info.min, info.max, (50, 4), dtype=dtype, endpoint=True)
    data = Dataset.from_vectors(values)
    scale = Scale.of(data, KEY)
    assert (scale.encode(data) == values).all()
    assert scale.encode(data).dtype == np.int16
    assert (scale.steps == 1).all()
    mixed = replace(data, columns={**data.columns, "n": Column("number", np.arange(50.0))})
    assert (Scale.of(mixed, KEY).encode(mixed)[:, :4] == values).all()


def test_vectors_of_another_kind_are_refused():
    values = draws(3).normal(size=(20, 4)).astype(np.float32)
    scale = Scale.of(Dataset.from_vectors(values), KEY)
    for other in (values[:, :3], np.ones((20, 4), np.int8)):
        with pytest.raises(BadData, match="vectors of"):
            scale.encode(Dataset.from_vectors(other))
        with pytest.raises(BadData, match="vectors of"):
            scale.adding(Dataset.from_vectors(other))
    with pytest.raises(BadData, match="links"):
        Scale.of(tiny_graph(0), KEY)


def test_all_of_tiny_and_huge_and_zero_vectors():
    for size in (0.0, 1e-45, 1e-38, 3e38):
        data = Dataset.from_vectors(np.full((4, 2), size, np.float32))
        codes = Scale.of(data, KEY).encode(data)
        assert (codes == codes[0, 0]).all()
        assert (codes[0, 0] != 0) == (np.float32(size) != 0)
    assert exponents(np.zeros((0, 3), np.float32)).shape == (EXPONENTS,)


@settings(max_examples=300)
@given(
    st.lists(st.floats(-1e6, 1e6) | st.integers(-4, 4).map(float), min_size=1, max_size=40),
    st.integers(-60, 60),
    st.sampled_from([8, 18]),
)
def test_whether_a_place_moves_is_decided_as_by_place(values, power, bits):
    numbers = np.ldexp(np.array(values), power)
    found = moments(numbers)
    for row in range(min(len(numbers), 6)):
        left = found.copy()
        left[1:] -= sums(numbers[row : row + 1], int(found[0]))
        if left[2] > 0:
            here = place(found, bits)
            assert unmoved(left[None], [(*here, bits)]) == (place(left, bits) == here)


def test_sums_of_a_table_are_those_of_its_columns():
    table = draws(4).normal(size=(70, 5)) * 10.0 ** np.arange(-2, 3)
    table[3, 2] = np.nan
    every = np.array([12, 9, 20, 14, 30])
    found = sums_of(table, every)
    for j, exponent in enumerate(every.tolist()):
        column = table[:, j]
        assert (found[j] == sums(column[~np.isnan(column)], exponent)).all()


@pytest.mark.parametrize(
    "learner", ["ridge", "discriminant", "neighbours", "components", "forest", "boosting", "bayes", "sum-bayes"]
)
def test_a_declared_range_never_moves_and_every_learner_keeps_exact(learner: str) -> None:
    from expunge.catalog import build
    from expunge.core.tiny import tiny_world

    data = tiny_world(2, target=None if learner == "components" else "category")
    data = data.declaring({"size": (-10.0, 10.0), "few": (0.0, 4.0)})
    key, made = Key.public(3), build("learner", learner)
    model, ids = made.fit(data, key), data.ids.tolist()[8:20]
    after, fresh = model.without(ids), made.fit(data.without(ids), key)
    assert after.digest() == fresh.digest() != model.digest()
    assert fresh.adding(data.only(ids)).digest() == model.digest()
    assert made.restore({**model.state(), **model.memory()}, data, key).digest() == model.digest()
    plain = made.fit(data.declaring({}), key)
    assert plain.digest() == model.digest()


def test_a_declared_range_is_cut_without_a_look_at_the_values() -> None:
    wide = Dataset.from_arrays(np.array([[0.0], [100.0], [50.0]])).declaring({"x0": (0, 100)})
    few = wide.only([2])
    key = Key.public(0)
    for data in (wide, few):
        (ruler,) = Scale.of(data, key).rulers.every
        assert (ruler.shift, ruler.step, ruler.declared) == (50.0, 0.125, True)
    assert not Scale.of(wide, key).moments.any()


def test_sums_of_the_most_records_and_the_largest_codes_are_exact():
    """XL04: with n < 2²² records of int16, no sum reaches 2⁵³; no limb of a moment reaches 2⁶³."""
    largest = 2**15  # -32768, which vectors of int16 may hold
    assert scales.MAX_RECORDS == 2**22 - 1
    assert largest**2 * scales.MAX_RECORDS < 2**53
    assert largest * 2**14 * scales.MAX_RECORDS < 2**53  # the higher limb of a number target
    assert (2**LIMB) ** 2 * scales.MAX_RECORDS < 2**63
    scales.check_many(2**22 - 1)
    with pytest.raises(TooLarge, match="4194304 records; sums are exact below 4194304"):
        scales.check_many(2**22)
    with pytest.raises(BadData, match="int32"):
        Dataset.from_vectors(np.full((2, 2), 2**15, np.int32))
