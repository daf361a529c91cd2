"""The distribution test: it finds laws that differ, lets equal ones be, and says when it can tell nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from expunge.audit.law import Law, compare_laws, compare_scores, law
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case
from expunge.core.errors import BadInput
from expunge.core.seeds import Key
from expunge.core.tiny import Counts, Tally, deploy, tiny_world
from expunge.models.forest.learner import Forest

X = np.arange(8.0)
Y = np.array([0, 0, 1, 0, 1, 1, 0, 1])
GRID = np.arange(-0.5, 8, 0.5)


@dataclass
class RandomStump:
    """One split at a random valid value, out of those sampled at fit; `bug` keeps what the deletion made invalid."""

    x: np.ndarray
    y: np.ndarray
    candidates: list
    seed: int
    bug: bool = False

    def predict(self):
        at = self.candidates[0] if self.candidates else np.inf
        left = self.x <= at
        low, high = (self.y[side].mean() if side.any() else -1.0 for side in (left, ~left))
        return np.where(at >= GRID, low, high)


def valid(x, y):
    """Values between which the label changes, as in the published tree: a boundary value is a threshold."""
    order = np.argsort(x)
    return [x[a] for a, b in zip(order, order[1:], strict=False) if y[a] != y[b]]


def fit(rows, seed, bug=False):
    x, y = rows
    draw = np.random.default_rng(seed)
    return RandomStump(x, y, draw.permutation(valid(x, y)).tolist()[:1], seed, bug)


def forget_third(model):
    keep = np.arange(len(model.x)) != 2
    x, y = model.x[keep], model.y[keep]
    left = [c for c in model.candidates if model.bug or c in valid(x, y)]
    if model.bug:
        return RandomStump(x, y, left, model.seed, True)
    draw = np.random.default_rng([model.seed, 1])  # drawn anew where the old candidate is no candidate any more
    fresh = draw.permutation(valid(x, y)).tolist()[:1]
    return RandomStump(x, y, fresh, model.seed)


KEPT = (np.delete(X, 2), np.delete(Y, 2))


def test_xd01_a_threshold_that_outlives_its_value_is_rejected():
    found = law(lambda d, s: fit(d, s, bug=True), forget_third, RandomStump.predict, (X, Y), KEPT, n_seeds=600)
    assert found.rejects(1e-6)
    assert 0.2 < found.distance.low < found.total_variation + 0.1
    assert found.total_variation > 3 * found.by_chance
    assert "p < 1e-15" in found.text()


def test_drawing_anew_is_not_rejected():
    found = law(fit, forget_third, RandomStump.predict, (X, Y), KEPT, n_seeds=600)
    assert not found.rejects()
    assert found.distance.low <= 0 <= found.distance.high
    assert found.covered == 1


@pytest.mark.parametrize("run", [0, *(pytest.param(run, marks=pytest.mark.slow) for run in (1, 2))])
@pytest.mark.parametrize("config", [(1, 2), (2, 2), (2, 1), (3, 2)])
def test_our_forest_with_fresh_keys_is_not_rejected(config, run):
    depth, trees = config
    forest = Forest(n_trees=trees, trees_per_owner=1, max_depth=depth, min_split=2)
    data = Dataset.from_arrays(X[:, None], np.array(["no", "yes"])[Y])
    grid = Dataset.from_arrays(GRID[:, None])
    data = replace(data, classes=("no", "yes"))

    found = law(
        lambda d, seed: forest.fit(d, Key.public(f"{run}/{seed}")),
        lambda model: model.without([2]),
        lambda model: model.probabilities(grid)[:, 1],
        data,
        data.without([2]),
        n_seeds=300,
    )
    assert found.df > 0
    assert not found.rejects(1e-3 / 12)


def test_p_values_are_uniform_where_the_laws_are_equal():
    draw = np.random.default_rng(3)
    p = [
        compare_laws(*draw.choice(6, (2, 300), p=[0.4, 0.3, 0.2, 0.05, 0.04, 0.01]).tolist()).p_value
        for _ in range(200)
    ]
    assert 2 <= sum(v < 0.05 for v in p) <= 20
    assert 70 <= sum(v < 0.5 for v in p) <= 130


def test_intervals_of_the_distance_cover_the_truth():
    draw = np.random.default_rng(4)
    truth, hits = 0.2, 0
    for _ in range(200):
        a, b = draw.random(400) < 0.5, draw.random(400) < 0.3
        found = compare_laws(a.tolist(), b.tolist()).distance
        hits += found.low <= truth <= found.high
    assert 180 <= hits <= 200


def test_signatures_that_never_come_back_tell_nothing():
    found = compare_laws(range(100), range(100, 200))
    assert (found.df, found.p_value, found.covered) == (0, 1.0, 0.0)
    assert found.total_variation == pytest.approx(1.0) == found.by_chance
    assert "nothing to tell apart" in found.text()
    assert not found.rejects()


def test_rare_signatures_share_a_cell_chosen_without_looking_at_the_sides():
    left, right = ["a"] * 50 + list(range(30)), ["a"] * 50 + list(range(100, 130))
    found = compare_laws(left, right)
    assert (found.df, found.n_signatures) == (1, 61)
    assert found.covered == 100 / 160


def test_scores_are_cut_at_joint_quantiles():
    draw = np.random.default_rng(5)
    assert compare_scores(draw.normal(0.7, 1, 300), draw.normal(0, 1, 300)).rejects(1e-6)
    assert not compare_scores(draw.normal(size=300), draw.normal(size=300)).rejects()
    assert compare_scores(np.ones(50), np.ones(50)).p_value == 1.0


@pytest.mark.parametrize("sides", [([1.0], [1.0, 2.0]), ([np.nan, 1.0], [1.0, 2.0])])
def test_too_little_and_nonsense_are_refused(sides):
    with pytest.raises(BadInput):
        compare_scores(*sides)


@dataclass(frozen=True, eq=False)
class Stuck(Counts):
    """Does not forget."""

    def without(self, ids):
        super().without(ids)
        return self


@dataclass(frozen=True)
class Stubborn:
    def fit(self, data, key, progress=None):
        model = Tally().fit(data, key)
        return Stuck(model.learner, model.data, model.key, model.counts, model.labels)


def case_of(learner):
    before = deploy(learner, tiny_world(6), 6)
    ids = before.data.ids[10:25].tolist()
    after = replace(before, data=before.data.without(ids), model=before.model.without(ids))
    return Case(before=before, after=after, forgotten=before.data.only(ids), holdout=before.holdout)


def test_the_probe_finds_a_model_that_does_not_forget():
    forgotten, holdout = Law(n_seeds=60).measure(case_of(Stubborn()))
    assert forgotten.low > 0.3
    assert forgotten.n_models == 120
    assert holdout.status == "measured"
    assert "df" in forgotten.note


def test_the_probe_lets_an_exact_model_be():
    for evidence in Law(n_seeds=60).measure(case_of(Tally())):
        assert evidence.low <= 0.0 <= evidence.high


def test_the_probe_says_what_it_cannot_measure():
    case = case_of(Tally())

    class Fixed:
        def losses(self, data):
            return np.zeros(len(data))

        def state(self):
            return {}

        def digest(self):
            return ""

    blind = replace(case, before=replace(case.before, model=Fixed()))
    assert {e.status for e in Law().measure(blind)} == {"not_measured"}
    one = replace(case, forgotten=case.forgotten.take(np.array([0])))
    assert [e.status for e in Law(n_seeds=20).measure(one)] == ["not_measured", "measured"]
