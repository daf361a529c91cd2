"""Ridge beyond one table: heads on vectors, sums and weights to the last bit, a kept inverse, leaving records out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import arrays_of, same_bits, stories

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadTarget, DuplicateId, TooLarge
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.core.tiny_worlds import tiny_vectors
from expunge.models.encoding import scale as scales
from expunge.models.linear import serving
from expunge.models.linear.ridge import Ridge

KEY = Key.public(3)


def draws(seed):
    return np.random.Generator(np.random.PCG64(seed))


def head(n, d, k=3, seed=0, dtype=np.int16):
    draw = draws(seed)
    X = draw.normal(size=(n, d))
    y = (X @ draw.normal(size=(d, k)) + 4 * draw.normal(size=(n, k))).argmax(axis=1)
    top = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1
    X = X * (top / 8)
    return Dataset.from_vectors(np.rint(X).astype(dtype) if top > 1 else X.astype(dtype), [f"c{v}" for v in y])


@pytest.mark.parametrize("dtype", [np.int16, np.int8, np.uint8, np.float32])
def test_sums_are_those_of_whole_numbers_in_blocks_of_any_size(dtype, monkeypatch):
    data = head(900, 20, dtype=dtype)
    if dtype == np.uint8:
        data = Dataset.from_vectors(data.columns["x"].values + np.uint8(200), np.array(["a", "b"] * 450))
    model = Ridge().fit(data, KEY)
    codes = np.concatenate([np.ones((900, 1)), model.scale.encode(data)], axis=1).astype(np.int64)
    assert (model.memory()["gram"] == codes.T @ codes).all()
    y = (data.target.values[:, None] == np.arange(len(data.target.vocabulary))).astype(np.int64)
    assert (model.memory()["cross"] == codes.T @ y).all()
    monkeypatch.setattr("expunge.models.linear.gram.CELLS", 1000)
    same_bits(arrays_of(Ridge().fit(data, KEY)), arrays_of(model))


@pytest.mark.parametrize("m", [1, 2, 8, 9, 70, 256, 257, 600])
def test_any_number_of_records_leaves_the_bits_of_a_fresh_fit(m):
    data = head(1500, 24)
    gone = draws(m).permutation(1500)[:m].tolist()
    after = Ridge().fit(data, KEY).without(gone)
    same_bits(arrays_of(after), arrays_of(Ridge().fit(data.without(gone), KEY)))


def test_a_head_after_mixed_deletions_has_the_bits_of_a_fresh_fit():
    data = head(100_000, 128, k=10)
    model, order, at = Ridge().fit(data, KEY), draws(9).permutation(100_000), 0
    for m in [1] * 70 + [10, 100, 1000, 10_000, 1]:
        model, at = model.without(order[at : at + m].tolist()), at + m
        if m == 100:
            model.logits(few_of(data))
    fresh = Ridge().fit(data.take(np.sort(order[at:])), KEY)
    same_bits(arrays_of(model), arrays_of(fresh))
    assert model.digest() == fresh.digest()


def few_of(data):
    return data.take(np.arange(5))


def test_a_kept_inverse_serves_and_leaves_no_trace():
    data = head(60_000, 200, dtype=np.int8)
    model, ask = Ridge().fit(data, KEY), few_of(data)
    served = 0
    for i in range(100, 240):
        before, model = model, model.without([i])
        scores = model.logits(ask)
        if model.answers.now.exact is None:
            served += 1
            exact = Ridge().fit(model.data, KEY) if served % 60 == 1 else None
            if exact is not None:  # `data` let go of the inverse; from here on it is made anew
                assert np.abs(scores - exact.logits(ask)).max() < 1e-8
                assert model.answers.now.serving is None
                assert (model.weights == exact.weights).all()
        branch = before.without([i])
        assert np.abs(branch.logits(ask) - scores).max() < 1e-8
    assert served > 100
    assert model.digest() == Ridge().fit(data.without(range(100, 240)), KEY).digest()


def test_an_inverse_that_is_not_trusted_is_not_used(monkeypatch):
    data = head(4000, 170)
    monkeypatch.setattr(serving, "STALE", 0.0)
    model = Ridge().fit(data, KEY)
    for i in range(12):
        model = model.without([i])
        model.logits(few_of(data))
        assert model.answers.now.exact is not None
    assert not model.answers.now.worth
    assert model.digest() == Ridge().fit(data.without(range(12)), KEY).digest()


def test_the_probe_finds_a_stale_inverse(monkeypatch):
    data = head(60_000, 170)
    model, ask = Ridge().fit(data, KEY), few_of(data)
    monkeypatch.setattr(serving, "RESIDUAL", 0.0)
    kinds = []
    for i in range(140):
        model = model.without([i])
        model.logits(ask)
        kinds.append(model.answers.now.exact is None)
    assert kinds.count(False) == 3  # the first, and where a block of records was to be taken in


@settings(max_examples=40)
@given(stories(), st.sampled_from([0.0, 1e-12, 0.3, 50.0]))
def test_adding_what_was_forgotten_restores_every_bit(story, alpha):
    model = Ridge(alpha=alpha).fit(story.data, KEY)
    part = model
    for batch in story.batches:
        part = part.without(batch)
    before = arrays_of(part)
    for batch in story.batches[::-1]:
        part_of = story.data.only(batch)
        part = part.adding(part_of)
        with pytest.raises(DuplicateId):
            part.adding(part_of)
    same_bits(arrays_of(part), arrays_of(model))
    every = [i for batch in story.batches for i in batch]
    same_bits(arrays_of(part.without(every)), before)


def test_new_records_may_bring_classes_and_categories():
    columns = {"c": Column.of_texts(["a", "b", "a", "b"]), "x": Column("number", np.array([1.0, 2.0, 1.5, 2.5]))}
    data = Dataset(columns, np.arange(4), np.arange(4), Column.of_texts(["no", "yes", "no", "yes"]))
    new = {"c": Column.of_texts([None, "ab"]), "x": Column("number", np.array([2.0, 1.0]))}
    more = Dataset(new, np.array([8, 9]), np.array([8, 9]), Column.of_texts(["maybe", "no"]))
    after = Ridge().fit(data, KEY).adding(more)
    assert after.labels == ("maybe", "no", "yes")
    assert {"c=ab", "c is missing"} <= set(after.scale.names)
    same_bits(arrays_of(after), arrays_of(Ridge().fit(data.joined(more), KEY)))


def test_what_cannot_be_added_changes_nothing(monkeypatch):
    data = tiny_world(0, "number")
    model = Ridge(step=0.5).fit(data, KEY)
    before = arrays_of(model)
    far = Dataset(
        data.only(data.ids[:1].tolist()).columns, np.array([-1]), data.subjects[:1], Column("number", np.array([1e9]))
    )
    with pytest.raises(TooLarge):
        model.adding(far)
    lost = Dataset(far.columns, far.ids, far.subjects, Column("number", np.array([np.nan])))
    with pytest.raises(BadTarget):
        model.adding(lost)
    monkeypatch.setattr(scales, "MAX_RECORDS", len(data))
    with pytest.raises(TooLarge, match="records"):
        model.adding(Dataset(far.columns, far.ids, far.subjects, Column("number", np.array([1.0]))))
    same_bits(arrays_of(model), before)


def test_least_squares_without_a_penalty_and_with_dependent_columns():
    draw = draws(4)
    X = draw.normal(size=(300, 5))
    y = X @ [1.0, -2.0, 0.5, 0.0, 3.0] + 7 + draw.normal(size=300) / 10
    wide = np.concatenate([X, X[:, :2], X[:, :1] * 2, np.ones((300, 1))], axis=1)
    plain = Ridge(alpha=0).fit(Dataset.from_arrays(X, y), KEY).values(Dataset.from_arrays(X))
    truth = np.linalg.lstsq(np.column_stack([X, np.ones(300)]), y)[0]
    assert np.abs(plain - (X @ truth[:5] + truth[5])).max() < 0.01 * y.std()
    model = Ridge(alpha=0).fit(Dataset.from_arrays(wide, y), KEY)
    assert np.abs(model.values(Dataset.from_arrays(wide)) - plain).max() < 1e-9
    sigma = np.sqrt(np.diagonal(model.sums.gram)[1:] / 300 - (model.sums.gram[0, 1:] / 300) ** 2)
    per_sigma = model.weights[1:, 0] * sigma
    assert np.abs(per_sigma[[0, 1]] - per_sigma[[5, 6]]).max() < 1e-9 * np.abs(per_sigma).max()  # shared, and least
    assert per_sigma[8] == 0
    tiny = Ridge(alpha=1e-12).fit(Dataset.from_arrays(wide, y), KEY).values(Dataset.from_arrays(wide))
    assert np.abs(tiny - plain).max() < 1e-6
    gone = list(range(0, 300, 3))
    kept = Dataset.from_arrays(wide, y).without(gone)
    same_bits(arrays_of(model.without(gone)), arrays_of(Ridge(alpha=0).fit(kept, KEY)))


def test_a_column_that_becomes_constant_and_records_that_are_the_same():
    X = np.tile(np.array([[1, 2, 3], [2, 1, 3], [5, 5, 3], [1, 2, 9]], np.int16), (10, 1))
    data = Dataset.from_vectors(X, ["a", "b", "a", "b"] * 10)
    gone = list(range(3, 40, 4))
    after = Ridge().fit(data, KEY).without(gone)
    assert not after.weights[3].any()
    same_bits(arrays_of(after), arrays_of(Ridge().fit(data.without(gone), KEY)))
    assert np.isfinite(after.logits(data)).all()


@pytest.mark.parametrize("alpha", [1.0, 1e-6, 40.0])
@pytest.mark.parametrize(("n", "d"), [(2500, 8), (400, 30), (40, 6)])
def test_leaving_each_out_is_forgetting_each(n, d, alpha):
    draw = draws(n)
    X = np.rint(draw.normal(size=(n, d)) @ draw.normal(size=(d, d)) * 800).astype(np.int16)
    classes = Dataset.from_vectors(X, np.array(["a", "b", "c"])[draw.integers(0, 3, n)])
    values = Dataset.from_vectors(X, X[:, 0] / 700 + draw.normal(size=n))
    for data, learner in ((classes, Ridge(alpha=alpha)), (values, Ridge(alpha=alpha, step=2.0**-14))):
        model = learner.fit(data, KEY)
        ids = [int(i) for i in draw.permutation(n)[:25]]
        found = model.leave_out(ids)
        each = np.concatenate([model.without([i]).logits(data.only([i])) for i in ids])
        assert np.abs(found - each).max() < 1e-8 * np.abs(each).max()
        assert model.leave_out([]).shape == (0, found.shape[1])


def test_leaving_out_records_that_are_alone():
    for data in (tiny_world(1), tiny_vectors(1)):
        model = Ridge().fit(data, KEY)
        ids = data.ids[6:].tolist()
        found = model.leave_out(ids)
        each = np.concatenate([model.without([i]).logits(data.only([i])) for i in ids])
        assert np.abs(found - each).max() < 1e-8


def test_its_size_is_known():
    for data in (tiny_world(1), tiny_world(2, "number"), head(50, 4)):
        model = Ridge().fit(data, KEY)
        assert model.nbytes == sum(np.asarray(a).nbytes for a in arrays_of(model).values())
        plan = model.plan(data.ids[:1].tolist())
        assert plan.seconds is not None
        assert plan.worst_s is not None
        assert plan.seconds > 0
