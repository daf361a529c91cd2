"""The value probe: it finds trees that keep a deleted value as a threshold, and finds nothing in ours."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from expunge.core.errors import Unsupported
from expunge.core.models import Identity, rows_to_forget
from expunge.core.world import Shadows, World
from expunge.models.bayes.naive import NaiveBayes
from expunge.models.boosting.learner import Boosting
from expunge.models.forest.learner import Forest
from expunge.models.linear.ridge import Ridge
from expunge.threats.split_value import VICTIM, SplitValue
from expunge.unlearners.exact.native import Native

QUICK = SplitValue(n_victims=4, n_records=300, n_rows=40)


@dataclass(frozen=True)
class DataStumps:
    """One stump a column, at a value of the data that no other record has if there is one; `keeps` never lets it go."""

    keeps: bool = True
    smooth: bool = False

    def fit(self, data, key, progress=None):
        return Stumps(self, data, key, self.thresholds(data))

    def thresholds(self, data):
        return np.array([_rarest(column.values) for column in data.columns.values()])


def _rarest(values):
    seen, counts = np.unique(values, return_counts=True)
    odd = seen[seen % 1 != 0]
    return odd[0] if len(odd) else seen[counts.argmin()]


@dataclass(frozen=True, eq=False)
class Stumps:
    learner: DataStumps
    data: Any
    key: Any
    at: Any

    def logits(self, data):
        X = np.column_stack([c.values for c in data.columns.values()])
        score = (X / 100 if self.learner.smooth else self.at >= X).sum(axis=1) / 5
        return np.column_stack([-score, score])

    def losses(self, data):
        return np.zeros(len(data))

    def state(self):
        return {"at": self.at}

    def digest(self):
        return Identity.of(self.learner, self.data, self.key).digest(self.state())

    def plan(self, ids):
        raise NotImplementedError

    def without(self, ids):
        rows_to_forget(self.data, ids)
        kept = self.data.without(ids)
        return replace(self, data=kept, at=self.at if self.learner.keeps else self.learner.thresholds(kept))


@dataclass(frozen=True)
class Simple:
    """Calls `without`."""

    def unlearn(self, deployment, request, progress=None):
        after = deployment.model.without(deployment.targets(request))
        return type("Done", (), {"after": deployment.with_model(after, request)})()


def shares(learner, unlearner, attack=QUICK):
    found = attack.run(World(shadows=Shadows(learner, unlearner)))
    assert [e.name for e in found] == [f"split_value.{n}@attack" for n in ("hits_before", "hits_after", "excess")]
    assert all(e.n == attack.n_victims and e.low <= e.value <= e.high for e in found)
    return [e.value for e in found], found


def test_xd03_a_threshold_that_is_a_deleted_value_is_found():
    (before, after, excess), found = shares(DataStumps(keeps=True), Simple())
    assert (before, after, excess) == (1.0, 1.0, 1.0)
    assert found[1].null.value == 0.0


def test_a_tree_that_chooses_again_keeps_no_value():
    assert shares(DataStumps(keeps=False), Simple())[0] == [1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "learner", [Forest(n_trees=20, trees_per_owner=20, max_depth=10), NaiveBayes(), Ridge()], ids=repr
)
def test_our_learners_show_no_value_at_any_time(learner):
    assert shares(learner, Native())[0] == [0.0, 0.0, 0.0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "learner", [Forest(n_trees=100, trees_per_owner=100, max_depth=10), Boosting()], ids=["forest", "boosting"]
)
def test_ours_show_none_of_sixty_values(learner):
    values, found = shares(learner, Native(), SplitValue())
    assert values[2] == 0.0
    assert found[2].n == 60


def test_a_smooth_model_is_seen_to_change_everywhere_and_its_control_too():
    assert shares(DataStumps(smooth=True), Simple())[0] == [1.0, 1.0, 0.0]


def test_a_world_grants_what_was_asked_for_and_nothing_else():
    world = World(seed=3, arm="control", shadows=Shadows(Ridge(), Native()))
    assert world.only(()).shadows is None
    assert world.only(("shadows",)) == world
    assert (world.only(()).seed, world.only(()).arm) == (3, "control")
    with pytest.raises(Unsupported, match="no world has the ability 'seed'"):
        world.only(("seed",))
    with pytest.raises(Unsupported, match="does not grant the ability 'shadows'"):
        QUICK.run(World())


def test_what_predicts_no_classes_is_refused():
    with pytest.raises(Unsupported, match="does not predict classes"):
        QUICK.run(World(shadows=Shadows(Blind(), Simple())))


@dataclass(frozen=True)
class Blind:
    def fit(self, data, key, progress=None):
        return type("Mute", (), {"without": lambda self, ids: self, "losses": None, "state": None, "digest": None})()


def test_the_scene_marks_the_victim_alone():
    data, victim, rows = QUICK._scene(np.random.default_rng(0))
    others = np.column_stack([c.values for c in data.without([VICTIM]).columns.values()])
    assert (others % 1 == 0).all()
    assert (victim % 1 == 0.37).all() or np.allclose(victim % 1, 0.37)
    assert rows.shape == (40, 5)
