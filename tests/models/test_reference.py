"""The shipped forest is the one of the definition: two implementations that share no tree code agree, node for node."""

from dataclasses import replace

import numpy as np
import pytest
from models.reference_forest import Reference
from models.test_forest import choose, mixed

from expunge.core.columns import Column
from expunge.core.seeds import Key
from expunge.models.forest.learner import Forest
from expunge.models.forest.model import ForestModel


def nested(model: ForestModel, t: int) -> tuple:
    """A tree of the shipped forest, in the reference's form."""
    tree = model.trees[t]

    def at(node: int) -> tuple:
        feature, chosen, child = tree.nodes[node, :3].tolist()
        counts = tree.counts[node].tolist()
        return (counts,) if feature < 0 else (counts, feature, chosen, at(child), at(child + 1))

    return at(0)


@pytest.mark.parametrize("numbers", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_it_agrees_with_the_definition_before_and_after_forgetting(seed, numbers):
    data = mixed(180 + 17 * seed, seed, classes=2 + seed % 2, calm=seed % 3 > 0)
    if numbers:
        y = np.random.default_rng(seed).gamma(2.0, 30.0, len(data)).round(seed % 3) + data.columns["ties"].values
        data = replace(data, target=Column("number", y))
    learner = Forest(n_trees=4, trees_per_owner=3, max_depth=6, min_split=4, sample=64, keep=16, thresholds=4)
    learner = replace(learner, random_depth=seed % 4, n_bins=256 if seed == 5 else 64)
    key = Key.public(seed)
    model = learner.fit(data, key)
    reference = Reference(learner, data, key)
    assert [nested(model, t) for t in range(4)] == [reference.tree(t) for t in range(4)]
    ids = data.ids[::3].tolist() if numbers else choose(data, 0.3, seed)
    kept = data.without(ids)
    after = model.without(ids)
    after.settle()
    reference = Reference(learner, kept, key)
    expected = [reference.tree(t) for t in range(4)]
    assert [nested(after, t) for t in range(4)] == expected
    half = len(ids) // 2
    again = after.adding(data.only(ids[:half])).without(ids[:half])
    again.settle()
    assert [nested(again, t) for t in range(4)] == expected
