"""Links between records: canonical, forgotten with the records they lead to, and no part of a record's own content."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.archive import pack_dataset, unpack_dataset
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import BadData
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key
from expunge.core.tiny_worlds import tiny_graph


def friends(ids=(1, 2, 3), links=((2, 3), (1,), ())):
    return Dataset({"links": Column.of_links(links)}, np.array(ids), np.array(ids))


def lists(data):
    column = data.columns["links"]
    return [column.vocabulary[code].split() for code in column.values]


def test_links_are_canonical():
    a, b = Column.of_links([[3, 10, 3], []]), Column.of_links([[10, 3], ()])
    assert a.vocabulary == b.vocabulary == ("", "10 3")
    assert a.values.tolist() == b.values.tolist() == [1, 0]
    with pytest.raises(BadData, match="holds a space"):
        Column.of_links([["a b"]])


def test_who_is_forgotten_is_forgotten_by_neighbours():
    data = friends()
    after = data.without([3])
    assert lists(after) == [["2"], ["1"]]
    assert lists(data) == [["2", "3"], ["1"], []]
    assert after.digest == friends((1, 2), ((2,), (1,))).digest
    assert lists(data.without([1])) == [[], []]
    assert lists(data.take(np.array([0]))) == [["2", "3"]], "taking some records is not forgetting the others"
    assert data.unlinked([99]).columns["links"] is data.columns["links"]
    numbers = Dataset.from_arrays(np.zeros((2, 1)))
    assert numbers.unlinked([0]) is numbers


def test_links_of_other_names_stay():
    data = friends(("a", "ab", "b"), (("ab", "b"), ("a",), ()))
    assert lists(data.without(["b"])) == [["ab"], ["a"]]


def test_a_record_stays_what_it_was_committed_to():
    data, after = friends(), friends().without([3])
    assert np.array_equal(data.record_digests[:2], after.record_digests)
    assert data.digest != friends(links=((2,), (1,), ())).digest, "but the data set is another one"


def test_links_are_saved_and_joined():
    data = friends()
    assert unpack_dataset(pack_dataset(data)).digest == data.digest
    more = data.joined(friends((4,), ((1,),)))
    assert lists(more) == [["2", "3"], ["1"], [], ["1"]]


def test_training_data_and_holdout_forget_each_others_links():
    data, held = friends((1, 2), ((2, 3), (1,))), friends((3, 4), ((1, 2), ()))
    deployment = Deployment(None, data, Key.public(0), None, held)
    after = deployment.with_model(None, ForgetRequest(records=(2,)))
    assert lists(after.holdout) == [["1"], []]
    assert lists(after.data) == [["3"]]
    assert lists(deployment.with_model(None, ForgetRequest(records=(2, 3))).data) == [[]]


def test_no_name_of_a_forgotten_node_is_left():
    data = tiny_graph(1)
    gone = data.ids[3:9].tolist()
    after = data.without(gone)
    assert not set(gone) & {name for links in lists(after) for name in links}
    assert after.without(data.ids[9:12].tolist()).digest == data.without(data.ids[3:12].tolist()).digest
