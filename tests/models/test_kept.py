"""Records that are kept: changes that cost what they touch, errors that change nothing, no trace of what is gone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.awkward import stories

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, ClassVanished, DuplicateId, NothingLeft, UnknownRecord
from expunge.core.tiny_worlds import tiny_graph
from expunge.models.kept import Kept, few, glimpse


def plain(n=40, start=0):
    values = np.arange(start, start + n)
    words = [f"w{v % 7}" for v in values]
    columns = {"x": Column("number", values * 1.5), "c": Column.of_texts(words), "t": Column.of_texts(words, "text")}
    return Dataset(columns, values, values // 3, Column.of_texts(["no", "yes"] * (n // 2)))


def same(left, right):
    assert left.ids.tolist() == right.ids.tolist()
    assert left.digest == right.digest


@settings(max_examples=60)
@given(stories(), st.booleans())
def test_forgetting_and_learning_in_any_order(story, texts):
    kept = Kept.of(story.data)
    for batch in story.batches:
        gone, kept = kept.forget(batch if not texts else [str(i) for i in batch])
        assert sorted(map(str, gone.ids)) == sorted(map(str, batch))
        same(gone, story.data.only(gone.ids.tolist()))
    assert kept.n == len(story.kept)
    every = [i for batch in story.batches for i in batch]
    back = kept.learn(story.data.only(every))
    assert back.n == len(story.data)
    assert back.data.digest == story.data.digest
    same(kept.data, story.kept)
    _, again = back.forget(every[::-1])
    assert again.data.digest == story.kept.digest


def test_many_single_deletions_are_the_batch():
    data, order = plain(1000), np.random.Generator(np.random.PCG64(1)).permutation(1000)
    kept = Kept.of(data)
    for i in order[:700].tolist():
        _, kept = kept.forget([i])
        assert sum(map(len, kept.now.gone.runs)) == 1000 - kept.n
    assert len(kept.now.gone.runs) <= 4
    for i in (order[0], order[699]):
        with pytest.raises(UnknownRecord, match="already"):
            kept.forget([int(i)])
    same(kept.data, data.without(order[:700].tolist()))
    assert not kept.now.gone.runs
    with pytest.raises(UnknownRecord):
        kept.forget([int(order[0])])


def test_an_earlier_version_is_untouched():
    data = plain()
    first = Kept.of(data)
    _, second = first.forget([3, 4])
    _, third = first.forget([5])
    assert (first.n, second.n, third.n) == (40, 38, 39)
    assert 3 not in second.data.ids
    same(first.data, data)
    same(third.data, data.without([5]))


def test_errors_change_nothing():
    kept = Kept.of(plain())
    for wrong, ids in (
        (UnknownRecord, [1, 77]),
        (UnknownRecord, ["none"]),
        (UnknownRecord, [2**70]),
        (NothingLeft, range(40)),
    ):
        with pytest.raises(wrong):
            kept.forget(ids)
    with pytest.raises(ClassVanished):
        kept.forget(range(0, 40, 2))
    assert kept.n == 40
    assert kept.forget([1, "1", 1])[1].n == 39
    _, less = kept.forget([1])
    for new in (plain(), plain(4, 38)):
        with pytest.raises(DuplicateId):
            kept.learn(new)
    assert less.learn(plain(40, 0).only([1])).n == 40
    more = kept.learn(plain(4, 100))
    with pytest.raises(DuplicateId):
        more.learn(plain(4, 102))
    with pytest.raises(BadData, match="columns"):
        kept.learn(Dataset.from_arrays([[1.0]], ["no"], ids=[99]))
    with pytest.raises(BadData, match="ids"):
        kept.learn(Dataset(plain(2).columns, np.array(["a", "b"]), np.array([1, 2]), plain(2).target))


def test_new_classes_may_vanish_as_little_as_old_ones():
    kept = Kept.of(plain())
    new = plain(2, 100)
    more = kept.learn(Dataset(new.columns, new.ids, new.subjects, Column.of_texts(["maybe", "no"])))
    assert more.counts.tolist() == [1, 21, 20]
    with pytest.raises(ClassVanished, match="maybe"):
        more.forget([100])
    assert more.forget([101])[1].counts.tolist() == [1, 20, 20]


def test_few_records_have_their_own_vocabulary():
    data, rows = plain(), np.array([7, 0])
    same(few(data, rows), data.take(rows))
    assert few(data, rows).columns["c"].vocabulary == ("w0",)
    seen = glimpse(data, rows)
    assert seen.columns["c"].vocabulary == data.columns["c"].vocabulary
    assert seen.columns["c"].values.tolist() == [0, 0]
    many = Dataset({"c": Column.of_texts([None, *(f"v{j}" for j in range(99))])}, np.arange(100), np.arange(100))
    assert few(many, np.array([0, 98, 3])).columns["c"].vocabulary == ("v2", "v97")


def test_links_to_what_is_gone_go_too():
    data = tiny_graph(0)
    gone = data.ids[:3].tolist()
    _, kept = Kept.of(data).forget(gone)
    assert kept.data.digest == data.without(gone).digest
