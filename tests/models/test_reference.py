"""The shipped forest is the one of the definition: two implementations that share no tree code agree, node for node."""

import pytest
from models.reference_forest import Reference
from models.test_forest import choose, mixed

from expunge.core.seeds import Key
from expunge.models.forest import Forest
from expunge.models.forest_model import ForestModel


def nested(model: ForestModel, t: int) -> tuple:
    """A tree of the shipped forest, in the reference's form."""
    tree = model.trees[t]

    def at(node: int) -> tuple:
        feature, chosen, child = tree.nodes[node, :3].tolist()
        counts = tree.counts[node].tolist()
        return (counts,) if feature < 0 else (counts, feature, chosen, at(child), at(child + 1))

    return at(0)


@pytest.mark.parametrize("seed", range(12))
def test_it_agrees_with_the_definition_before_and_after_forgetting(seed):
    data = mixed(180 + 17 * seed, seed, classes=2 + seed % 2, calm=seed % 3 > 0)
    learner = Forest(n_trees=4, trees_per_owner=3, max_depth=6, min_split=4, sample=64, keep=16, thresholds=4)
    key = Key.public(seed)
    model = learner.fit(data, key)
    reference = Reference(learner, data, key)
    assert [nested(model, t) for t in range(4)] == [reference.tree(t) for t in range(4)]
    ids = choose(data, 0.3, seed)
    kept = data.without(ids)
    after = model.without(ids)
    after.settle()
    reference = Reference(learner, kept, key)
    assert [nested(after, t) for t in range(4)] == [reference.tree(t) for t in range(4)]
