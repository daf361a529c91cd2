"""Implicit ALS: the least-squares problem is solved, shards are by user, and a deletion learns only its shards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expunge import ImplicitAls
from expunge.core.columns import Column
from expunge.core.conformance import check_learner, tiny_shop
from expunge.core.conformance.watch import arrays_of
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, StoreDamaged
from expunge.core.seeds import Key

KEY = Key.public(0)
SMALL = ImplicitAls(n_factors=4, sweeps=3, n_shards=3)


@pytest.mark.parametrize("learner", [SMALL, ImplicitAls(n_factors=2, n_shards=1, at_least=2.5, sweeps=1)], ids=repr)
def test_conformance(learner):
    check_learner(learner)


def dense(learner, data):
    """Return items' factors by plain numpy: the paper's formulas, user by user and item by item."""
    taken = np.zeros((len(np.unique(data.subjects)), len(data.columns["item"].vocabulary)))
    users = np.unique(data.subjects, return_inverse=True)[1]
    taken[users, data.columns["item"].values] = 1.0
    Y = (
        replace(learner, sweeps=0)
        ._factorise(  # where factors start
            data.columns["item"].vocabulary, np.zeros(1, np.int64), np.zeros(0, np.int64), KEY.child("als/0")
        )
        .factors
    )
    ridge = learner.penalty * np.eye(learner.n_factors)

    def solved(other, marks):
        weights = [1.0 + learner.confidence * mark for mark in marks]
        left = [other.T @ (w[:, None] * other) + ridge for w in weights]
        return np.array([np.linalg.solve(a, other.T @ (w * m)) for a, w, m in zip(left, weights, marks, strict=True)])

    for _ in range(learner.sweeps):
        X = solved(Y, taken)
        Y = solved(X, taken.T)
    return Y, solved(Y, taken)


def test_it_solves_what_the_paper_says():
    learner, data = ImplicitAls(n_factors=3, n_shards=1, sweeps=4, penalty=0.5), tiny_shop(0)
    Y, X = dense(learner, data)
    model = learner.fit(data, KEY)
    assert np.allclose(model.state()["shard/0000/factors"], Y, atol=1e-9)
    user = int(np.unique(data.subjects)[1])
    assert dict(model.recommend(user, k=99, exclude_seen=False)) == pytest.approx(
        {w: s for w, s in zip(model.shelf().words, X[1] @ Y.T, strict=True) if s > 1e-9}
    )


def test_a_deletion_learns_its_own_shard_alone():
    data = tiny_shop(3)
    model = SMALL.fit(data, KEY)
    user = data.subjects[0].item()
    after = model.without(data.owned_by(user))
    same = [a is b for a, b in zip(model.shards, after.shards, strict=True)]
    assert sorted(same) == [False, True, True]
    assert model.plan(data.owned_by(user)).parts_touched == 1
    shelf = model.shelf()
    word = shelf.words[int(np.argmax(shelf.raters))]
    item = model.taken().of_item(word)
    assert model.plan(item).parts_touched > 1
    assert model.without(item).shelf().words == tuple(w for w in shelf.words if w != word)


def test_shards_may_be_empty():
    data = tiny_shop(0)
    one = data.only(data.owned_by(data.subjects[0].item()))
    model = ImplicitAls(n_factors=2, n_shards=8).fit(one, KEY)
    assert sorted(len(shard.words) for shard in model.shards)[:7] == [0] * 7
    assert np.isfinite(model.losses(data)).all()


def test_two_tastes_are_told_apart():
    draw = np.random.Generator(np.random.PCG64(0))
    users = np.repeat(np.arange(60), 6)
    items = draw.integers(0, 10, len(users)) * 2 + users % 2
    data = Dataset({"item": Column.of_texts([f"{i:02d}" for i in items])}, np.arange(len(users)), users)
    model = ImplicitAls(n_factors=4, penalty=1.0, n_shards=2).fit(data, KEY)
    found = [int(word) % 2 == user % 2 for user in range(60) for word, _ in model.recommend(user, k=3)]
    assert np.mean(found) > 0.95


def test_factors_that_overflow_are_said():
    shop = Dataset({"item": Column.of_texts(["x", "y", "x"])}, np.arange(3), np.array(["a", "a", "b"]))
    with pytest.raises(BadInput, match="not numbers"):
        ImplicitAls(n_factors=8, penalty=1e-18, sweeps=3, n_shards=1).fit(shop, KEY)


def test_saved_arrays_must_fit_and_parameters_must_be_sound():
    data = tiny_shop(1)
    arrays = arrays_of(SMALL.fit(data, KEY))
    for broken in ({}, {**arrays, "shard/0001/factors": arrays["shard/0001/factors"][:, :2]},
                   {**arrays, "shard/0000/names": arrays["shard/0001/names"]}):  # fmt: skip
        with pytest.raises(StoreDamaged):
            SMALL.restore(broken, data, KEY)
    for wrong in ({"n_factors": 0}, {"sweeps": 1.5}, {"n_shards": 10**6}, {"confidence": 0}, {"penalty": -1.0},
                  {"at_least": "x"}):  # fmt: skip
        with pytest.raises(BadInput, match=next(iter(wrong))):
            replace(SMALL, **wrong).fit(data, KEY)
