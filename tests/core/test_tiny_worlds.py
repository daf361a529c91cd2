"""The tiny worlds are as awkward as they say, and a learner gets those of the kinds that it takes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from expunge.core.conformance import records_for, tiny_graph, tiny_shop, tiny_vectors
from expunge.core.errors import BadData, BadTarget
from expunge.core.tiny import Tally, tiny_world

WORLDS = (tiny_vectors, tiny_shop, tiny_graph)


@pytest.mark.parametrize("world", WORLDS, ids=lambda w: w.__name__)
def test_worlds_are_reproducible_and_name_records_both_ways(world):
    assert world(5).digest == world(5).digest != world(7).digest
    assert [world(seed).ids.dtype.kind for seed in (0, 1)] == ["i", "U"]
    assert all(max(Counter(world(seed).subjects.tolist()).values()) > 1 for seed in range(4))


def test_worlds_are_awkward():
    for seed in range(4):
        shop = tiny_shop(seed)
        taken = Counter(zip(shop.subjects.tolist(), shop.columns["item"].values.tolist(), strict=True))
        assert max(taken.values()) > 1, "somebody took an item twice"
        assert 1 in Counter(shop.columns["item"].values.tolist()).values(), "an item was taken once"
        assert 1 in Counter(shop.subjects.tolist()).values(), "somebody took one item"
        assert np.isnan(shop.columns["rating"].values).any()
        graph = tiny_graph(seed)
        linked = [set(w.split()) for w in graph.columns["links"].vocabulary]
        assert set() in linked
        assert any(w - {str(i) for i in graph.ids.tolist()} for w in linked), "a link leads nowhere"
        X = tiny_vectors(seed).columns["vector"].values
        assert len(np.unique(X, axis=0)) < len(X)


@dataclass(frozen=True)
class Picky:
    """Takes what has a certain column."""

    column: str
    target: bool | None = None

    def fit(self, data, key, progress=None):
        if self.column not in data.columns:
            raise BadData("not for me")
        if self.target is not None and self.target != (data.target is not None):
            raise BadTarget("not for me")


def test_a_learner_gets_what_it_takes():
    def kinds(learner):
        found = [records(1) for records in records_for(learner)]
        return [(sorted(d.columns)[0], d.target and d.target.kind) for d in found]

    assert kinds(Tally()) == [("almost", "category"), ("vector", "category")]
    assert kinds(Picky("size")) == [("almost", None)]
    assert kinds(Picky("size", target=True)) == [("almost", "category"), ("almost", "number")]
    assert kinds(Picky("vector")) == [("vector", None)]
    assert kinds(Picky("vector", target=True)) == [("vector", "category")]
    assert kinds(Picky("item")) == [("item", None)]
    assert kinds(Picky("links", target=True)) == [("links", "category")]
    with pytest.raises(BadData, match="neither"):
        records_for(Picky("nothing"))
    assert tiny_world(0, None).target is None
