"""Recommenders on counts of pairs: known answers, erasure of users, items and ratings, and serving before solving."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from expunge import Ease, ImplicitAls, ItemNeighbours, Items
from expunge.core.columns import Column
from expunge.core.conformance import check_learner, tiny_shop
from expunge.core.conformance.watch import arrays_of, unequal
from expunge.core.dataset import Dataset
from expunge.core.errors import (
    BadData,
    BadInput,
    DuplicateId,
    NotFitted,
    NothingLeft,
    StoreDamaged,
    UnknownRecord,
    UnknownSubject,
)
from expunge.core.seeds import Key, unit
from expunge.models.recommenders.inverse import Inverse

KEY = Key.public(0)
LEARNERS = [
    Ease(penalty=3.0),
    Ease(penalty=1.0, min_raters=3, at_least=2.5),
    ItemNeighbours(n_neighbours=3),
    ItemNeighbours(measure="jaccard", shrink=0.0, min_raters=2),
]
RATED = ImplicitAls(n_factors=2, sweeps=2, n_shards=3, at_least=2.0)
ALL = [*LEARNERS, ImplicitAls(n_factors=3, sweeps=2, n_shards=3)]
each = pytest.mark.parametrize("learner", LEARNERS, ids=repr)
every = pytest.mark.parametrize("learner", ALL, ids=lambda x: type(x).__name__)


def shop(pairs, ratings=None):
    users, items = zip(*pairs, strict=True)
    columns = {"item": Column.of_texts(items)}
    if ratings is not None:
        columns["rating"] = Column("number", np.array(ratings, float))
    return Dataset(columns, np.arange(len(pairs)), np.array(users))


TASTES = [("ann", "a"), ("ann", "b"), ("bob", "a"), ("bob", "b"), ("cy", "a"), ("cy", "c"), ("dan", "c"), ("dan", "d")]


@each
def test_conformance(learner):
    check_learner(learner)


def test_ease_by_hand():
    model = Ease(penalty=2.0).fit(shop(TASTES), KEY)
    assert model.memory()["counts"].tolist() == [[3, 2, 1, 0], [2, 2, 0, 0], [1, 0, 2, 1], [0, 0, 1, 1]]
    P = np.linalg.inv(model.memory()["counts"] + 2.0 * np.eye(4))
    B = -P / np.diag(P)
    np.fill_diagonal(B, 0.0)
    expected = np.array([0, 0, 1, 1]) @ B  # dan took c and d
    got = dict(model.recommend("dan", k=9, exclude_seen=False))
    assert got == pytest.approx({w: s for w, s in zip("abcd", expected, strict=True) if s > 0})
    assert [w for w, _ in model.recommend("dan", k=9)] == ["a"]


def test_neighbours_by_hand():
    model = ItemNeighbours(shrink=0.0).fit(shop(TASTES), KEY)
    assert model.recommend("ann", k=9) == [("c", pytest.approx(1 / np.sqrt(6)))]
    jaccard = ItemNeighbours(shrink=1.0, measure="jaccard").fit(shop(TASTES), KEY)
    assert jaccard.recommend("ann", k=9) == [("c", pytest.approx(1 / 5))]
    one = ItemNeighbours(shrink=0.0, n_neighbours=1).fit(shop(TASTES), KEY)
    assert one.recommend("ann", k=9) == [], "a and b vote for each other alone"


@every
def test_strangers_get_what_most_took(learner):
    model = learner.fit(tiny_shop(0), KEY)
    shelf = model.shelf()
    words = [w for w, _ in model.recommend(987654, k=3)]
    counts = dict(zip(shelf.words, shelf.raters.tolist(), strict=True))
    assert [counts[w] for w in words] == sorted(counts.values(), reverse=True)[:3]
    assert model.recommend("987654", k=3) == model.recommend(987654, k=3)
    with pytest.raises(BadInput, match="positive"):
        model.recommend(1, k=0)


@every
def test_what_was_seen_is_left_out(learner):
    data = tiny_shop(2)
    model, user = learner.fit(data, KEY), data.subjects[0].item()
    seen = {data.columns["item"].vocabulary[c] for c in data.columns["item"].values[data.subjects == user]}
    assert not seen & {w for w, _ in model.recommend(user, k=99)}


def test_an_item_taken_twice_stays_until_both_are_forgotten():
    data = shop([*TASTES, ("dan", "d")])
    model = Ease().fit(data, KEY)
    assert np.array_equal(model.memory()["counts"], Ease().fit(shop(TASTES), KEY).memory()["counts"])
    once, never = model.without([7]), model.without([7, 8])
    assert np.array_equal(once.memory()["counts"], model.memory()["counts"])
    assert never.shelf().live.tolist() == [True, True, True, False]
    assert never.recommend("new", k=9) == [("a", 3.0), ("b", 2.0), ("c", 2.0)]
    assert once.digest() == model.digest(), "the state is the same, and so is what it was solved from"


def test_low_ratings_do_not_count():
    liked = [r >= 3 for r in (5, 4, 1, 5, 3, 5, 5, 2)]
    model = Ease(at_least=3.0).fit(shop(TASTES, (5, 4, 1, 5, 3, 5, 5, 2)), KEY)
    plain = Ease().fit(shop([pair for pair, like in zip(TASTES, liked, strict=True) if like]), KEY)
    assert unequal(arrays_of(model), arrays_of(plain)) == ""
    assert "a" not in [w for w, _ in model.recommend("bob", k=9)], "rated low, but seen"


@each
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.randoms(use_true_random=False))
def test_serving_after_erasures_is_the_solution(learner, seed, order):
    data = tiny_shop(seed)
    ids = data.ids.tolist()
    order.shuffle(ids)
    gone, model = ids[: len(ids) // 2], learner.fit(data, KEY)
    for start in range(0, len(gone), 3):
        model = model.without(gone[start : start + 3])
    fresh = learner.fit(data.without(gone), KEY)
    kept = {w: i for i, w in enumerate(model.shelf().words) if model.shelf().live[i]}
    assert tuple(kept) == fresh.shelf().words
    for user in np.unique(fresh.data.subjects).tolist():
        ours, theirs = dict(model.recommend(user, k=99)), dict(fresh.recommend(user, k=99))
        for word in ours.keys() | theirs.keys():
            assert ours.get(word, 0.0) == pytest.approx(theirs.get(word, 0.0), abs=1e-9)
    assert np.allclose(model.losses(fresh.data), fresh.losses(fresh.data), rtol=1e-9)
    assert unequal(arrays_of(model), arrays_of(fresh)) == ""


def test_corrections_are_close_also_when_they_are_added_up():
    draw = np.random.Generator(np.random.PCG64(1))
    pairs = sorted({(f"u{draw.integers(300)}", f"i{draw.geometric(0.05)}") for _ in range(4000)})
    data = shop(pairs)
    model = Ease(penalty=5.0).fit(data, KEY)
    for user in sorted(set(data.subjects.tolist()))[:150]:
        model = model.without(data.owned_by(user))
    bent, fresh = model.now.inverse, Ease(penalty=5.0).fit(model.data, KEY)
    assert bent is not None
    live = bent.diagonal > 1e-12
    P = bent.rows(np.flatnonzero(live))[:, live]
    assert np.abs(P - fresh.now.inverse.base).max() < 1e-10 * np.abs(P).max()
    assert model.now.inverse is None or not model.now.inverse.bends, "the state is solved anew"
    assert model.digest() == fresh.digest()


def test_withdrawing_an_item_is_one_correction():
    data = tiny_shop(5)
    model = Ease(penalty=2.0).fit(data, KEY)
    word = model.shelf().words[1]
    after = model.without(model.taken().of_item(word))
    assert len(after.now.inverse.bends) == 1
    assert word not in after.shelf().words or not after.shelf().live[1]
    assert unequal(arrays_of(after), arrays_of(Ease(penalty=2.0).fit(after.data, KEY))) == ""


def test_a_film_without_raters_is_cold():
    model = Ease(penalty=1.0).fit(shop(TASTES), KEY)
    known, cold = shop([("ann", "c")]), shop([("ann", "nobody knows it")])
    assert model.losses(cold) > model.losses(known)
    after = model.without(model.taken().of_item("c"))
    assert after.losses(known) == pytest.approx(after.losses(cold))
    stranger = shop([("new", "a"), ("new", "b")])
    weight = {"a": 4.0, "b": 3.0}  # one more than who took it; c, d and the unknown have 3, 2 and 1
    assert model.losses(stranger).tolist() == pytest.approx([-np.log(weight[w] / 13) for w in "ab"])


def test_losses_leave_the_asked_item_out_of_the_history():
    model = Ease(penalty=1.0).fit(shop(TASTES), KEY)
    without = Ease(penalty=1.0).fit(shop(TASTES), KEY)
    row = without.scores(np.array([0]), np.array([-1]))
    assert np.allclose(model.scores(np.array([0, 1]), np.array([1])), row)
    votes = ItemNeighbours().fit(shop(TASTES), KEY)
    assert np.allclose(votes.scores(np.array([0, 1]), np.array([1])), votes.scores(np.array([0]), np.array([-1])))


@each
def test_saved_arrays_must_fit(learner):
    data = tiny_shop(1)
    arrays = arrays_of(learner.fit(data, KEY))
    assert learner.restore(arrays, data, KEY).digest() == learner.fit(data, KEY).digest()
    for broken in ({**arrays, "counts": arrays["counts"] + 1}, {k: a[:1] for k, a in arrays.items()}, {}):
        with pytest.raises(StoreDamaged):
            learner.restore(broken, data, KEY)


def test_bad_input_is_said():
    ratings = shop(TASTES, [np.nan] * 8)
    with pytest.raises(BadData, match="item"):
        Ease().fit(Dataset.from_arrays(np.zeros((3, 1))), KEY)
    with pytest.raises(BadData, match="which item"):
        Ease().fit(Dataset({"item": Column.of_texts(["a", None])}, np.arange(2), np.arange(2)), KEY)
    with pytest.raises(BadData, match="rating"):
        Ease(at_least=3.0).fit(shop(TASTES), KEY)
    assert Ease(at_least=3.0).fit(ratings, KEY).recommend("ann") == []
    wrong = [
        Ease(penalty=0),
        Ease(min_raters=0),
        Ease(at_least=np.inf),
        ItemNeighbours(n_neighbours=0),
        ItemNeighbours(measure="euclid"),
        ItemNeighbours(shrink=-1.0),
    ]
    for learner in wrong:
        with pytest.raises(BadInput, match="not"):
            learner.fit(ratings, KEY)


def test_nothing_of_the_forgotten_is_kept_once_it_is_read():
    model = Ease().fit(shop([*TASTES, ("eve", "marker-film")]), KEY)
    digest = model.digest()
    after = model.without([8])
    assert after.digested == (None, "")
    assert b"marker-film" in pickle.dumps(after), "the control: before it is read, it is only marked"
    assert after.digest() != digest
    assert b"marker-film" not in pickle.dumps(after)


def test_an_empty_inverse():
    assert Inverse.of(np.zeros((0, 0), np.int32), 1.0).total(np.zeros(0, np.int64)).shape == (0,)


@every
def test_estimator_forgets_users_items_and_records(learner):
    data = tiny_shop(4)
    users, items = data.subjects, [int(w[5:]) for w in data.columns["item"].vocabulary]
    taken = np.array(items)[data.columns["item"].values]
    rating = data.columns["rating"].values
    model = Items(learner, seed=3).fit(users, taken, rating, ids=data.ids)
    assert clone(model).get_params()["seed"] == 3
    before, user, item = model.digest(), users[3].item(), taken[9].item()
    assert all(isinstance(word, int) for word, _ in model.recommend(user, k=5))
    gone = (users == user) | (taken == item)
    gone[20] = True
    other = model.without(users=[user]).forget(items=[item])
    if data.ids[20].item() in other.ids_:
        other.forget([data.ids[20]])
    fresh = Items(learner, seed=3).fit(users[~gone], taken[~gone], rating[~gone], ids=data.ids[~gone])
    assert (model.digest(), other.digest()) == (before, fresh.digest())
    assert model.plan(users=[user]).records_read is not None
    assert model.guarantee().kind == "exact"
    back = other.learn(users[gone], taken[gone], rating[gone], ids=data.ids[gone])
    assert back.digest() == before


def test_estimator_is_all_or_nothing():
    users, items = zip(*TASTES, strict=True)
    model = Items(ItemNeighbours()).fit(users, items)
    digest = model.digest()
    wrong = [
        (UnknownRecord, {"ids": [0, 99]}),
        (UnknownSubject, {"users": ["ann", "nobody"]}),
        (UnknownRecord, {"items": ["z"]}),
        (NothingLeft, {"users": ["ann", "bob", "cy", "dan"]}),
        (BadInput, {}),
        (BadInput, {"users": "ann"}),
    ]
    for kind, asked in wrong:
        for act in (model.forget, model.without, model.plan):
            with pytest.raises(kind):
                act(**asked)
    assert model.digest() == digest
    with pytest.raises(DuplicateId):
        model.learn(["eve"], ["a"], ids=[0])
    with pytest.raises(NotFitted):
        Items().recommend("ann")
    assert Items().fit(users, items).learn(["eve"], ["a"]).ids_.tolist() == list(range(9))
    assert model.forget([]).digest() == digest


def test_estimator_takes_any_iterable():
    users, items = zip(*TASTES, strict=True)
    once = Items(Ease()).fit(iter(users), iter(items))
    assert once.digest() == Items(Ease()).fit(np.array(users), np.array(items)).digest()
    assert all(isinstance(word, str) for word, _ in once.recommend("ann", exclude_seen=False))
    ids, people = np.array([0, 1]), np.array(users[2:3])
    assert (
        once.without(ids).forget(users=people).digest() == once.without(ids.tolist()).forget(users=users[2:3]).digest()
    )
    assert once.without(np.zeros(0, int)).digest() == once.digest()


def test_items_are_all_numbers_or_all_texts():
    with pytest.raises(BadData, match="some are texts"):
        Items().fit(["a", "a"], [1, "1"])
    with pytest.raises(BadData, match="whole number or a text"):
        Items().fit(["a"], [1.5])
    shop = Items().fit(["a", "a"], [1, 2])
    digest = shop.digest()
    with pytest.raises(BadData, match="whole numbers in fit, and are texts"):
        shop.learn(["b"], ["x"])
    assert shop.digest() == digest
    assert shop.learn(iter(["b"]), iter([np.int64(1)])).recommend("b")[0][0] == 2


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("learner", [*LEARNERS, RATED], ids=repr)
def test_any_history(learner, seed):
    """Taken twice, rated with nonsense, items that turn cold and warm again, users who own everything."""
    draw = np.random.default_rng(seed)
    n = int(draw.integers(2, 50))
    columns = {
        "item": Column.of_texts([f"i{v}" for v in draw.integers(0, 8, n)]),
        "rating": Column("number", draw.choice([1.0, 3.0, np.nan, 1e308, -2.0], n)),
    }
    kept = Dataset(columns, np.array([f"r{j}" for j in range(n)]), draw.integers(0, int(draw.integers(1, 8)), n))
    before, pool = learner.fit(kept, KEY), []
    digest, model = before.digest(), before
    for _ in range(6):
        if pool and draw.random() < 0.4:
            more = pool.pop(int(draw.integers(len(pool))))
            model, kept = model.adding(more), kept.joined(more)
        elif len(kept) > 1:
            gone = draw.choice(kept.ids, int(draw.integers(1, len(kept))), replace=False).tolist()
            pool.append(kept.only(gone))
            model, kept = model.without(gone), kept.without(gone)
        if draw.random() < 0.5:
            model.recommend(1, 3)
    fresh = learner.fit(kept, KEY)
    assert unequal(arrays_of(model), arrays_of(fresh)) == ""
    assert (model.digest(), before.digest()) == (fresh.digest(), digest)


@pytest.mark.data
def test_movielens(shared_data):
    """After erasing a tenth of the users, one by one, the ranking is as good as the refit's: it is the refit's."""
    table = shared_data("movielens_small", "ratings.csv.xz")
    data = Dataset.from_frame(table[["userId", "movieId"]].rename(columns={"movieId": "item"}), subject="userId",
                              kinds={"item": "category"})  # fmt: skip
    aside = unit(Key.public(1).words(data.ids.tolist(), "test")) < 0.2
    train, test = data.take(~aside), data.take(aside)
    learner = Ease(min_raters=20)
    model = learner.fit(train, KEY)
    people = np.unique(train.subjects)
    for user in people[::10].tolist():
        model = model.without(train.owned_by(user))
    served = {user: [w for w, _ in model.recommend(user, k=10)] for user in people[1::10].tolist()}
    fresh = learner.fit(train.take(~np.isin(train.subjects, people[::10])), KEY)
    assert np.array_equal(model.memory()["counts"], fresh.memory()["counts"])
    assert model.digest() == fresh.digest()
    words = np.array(test.columns["item"].vocabulary)[test.columns["item"].values]
    wanted = {user: set(words[test.subjects == user].tolist()) for user in served}
    again = {user: [w for w, _ in fresh.recommend(user, k=10)] for user in served}
    assert gain(served, wanted) == pytest.approx(gain(again, wanted), abs=1e-12)
    shelf = fresh.shelf()
    popular = [shelf.words[i] for i in np.argsort(-shelf.raters, kind="stable")]
    seen = {u: {fresh.taken().words[i] for i in fresh.taken().basket(fresh.taken().user(u))} for u in served}
    plain = {user: [w for w in popular if w not in seen[user]][:10] for user in served}
    assert gain(served, wanted) > gain(plain, wanted) + 0.05, "better than what most people took"


def gain(lists, wanted):
    """Return nDCG@10."""
    found = []
    for user, words in lists.items():
        hits = np.array([word in wanted[user] for word in words], float)
        best = min(10, len(wanted[user]))
        if best:
            found.append(
                (hits / np.log2(np.arange(2, 2 + len(hits)))).sum() / (1 / np.log2(np.arange(2, 2 + best))).sum()
            )
    return float(np.mean(found))
