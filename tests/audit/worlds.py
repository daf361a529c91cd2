"""Small worlds with a known truth: learners that memorise, ignore or generalise, and the cases that they give."""

from dataclasses import dataclass, replace

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.deployment import Case, Cost, Deployment
from expunge.core.models import Identity, class_labels
from expunge.core.seeds import Key, unit


def table(data):
    return np.column_stack([c.values for c in data.columns.values()])


@dataclass(frozen=True)
class TableModel:
    """A binary classifier given by a function of (ids, X) → log-odds of class 1."""

    identity: Identity
    kind: str
    arrays: dict
    labels: tuple

    def state(self):
        return self.arrays

    def digest(self):
        return self.identity.digest(self.arrays)

    def odds(self, data):
        X, a = table(data), self.arrays
        if self.kind == "mean":
            return X @ a["weights"]
        if self.kind == "nearest":
            gaps = ((X[:, None, :] - a["X"][None]) ** 2).sum(-1)
            near = gaps.argmin(1)
            return np.where(a["y"][near] == 1, 1.0, -1.0) * (4.0 - np.minimum(gaps.min(1), 3.5))
        noise = Key.public(a["seed"].tobytes().hex()).words(data.ids.tolist())
        base = 6 * unit(Key.public("difficulty").words(data.ids.tolist())) - 3
        level = base + 0.5 * (unit(noise) - 0.5) if self.kind != "noise" else 6 * unit(noise) - 3
        if self.kind == "memory":
            level = level + 1.5 * np.isin(data.ids, a["ids"])
        return np.where(self.true(data) == 1, level, -level)

    def true(self, data):
        place = {w: i for i, w in enumerate(self.labels)}
        return np.array([place[w] for w in data.target.vocabulary])[data.target.values]

    def logits(self, data):
        odds = self.odds(data)
        return np.column_stack([-odds / 2, odds / 2])

    def losses(self, data):
        scores, true = self.logits(data), self.true(data)
        return np.logaddexp(scores[:, 0], scores[:, 1]) - scores[np.arange(len(true)), true]


@dataclass(frozen=True)
class TableLearner:
    """``nearest`` memorises, ``memory`` marks its members on top of per-record difficulty, ``noise`` ignores the data,

    ``mean`` learns one direction (generalises)."""

    kind: str = "nearest"

    def fit(self, data, key, progress=None):
        labels = class_labels(data)
        order = np.argsort(data.ids)
        X, y = table(data)[order], data.target.values[order]
        seed = np.frombuffer(key.bytes, np.uint8)
        arrays = {"seed": seed}
        if self.kind == "nearest":
            arrays = {"X": X, "y": y}
        elif self.kind == "memory":
            arrays = {"seed": seed, "ids": data.ids[order]}
        elif self.kind == "mean":
            arrays = {"weights": X[y == 1].mean(0) - X[y == 0].mean(0)}
        return TableModel(Identity.of(self, data, key), self.kind, arrays, labels)


@dataclass(frozen=True)
class NumberModel:
    """Least squares; gives losses only."""

    identity: Identity
    weights: np.ndarray

    def state(self):
        return {"weights": self.weights}

    def memory(self):
        return {"gram": self.weights}

    def digest(self):
        return self.identity.digest(self.state())

    def losses(self, data):
        return (table(data) @ self.weights - data.target.values) ** 2


@dataclass(frozen=True)
class NumberLearner:
    def fit(self, data, key, progress=None):
        weights, *_ = np.linalg.lstsq(table(data), data.target.values, rcond=None)
        return NumberModel(Identity.of(self, data, key), weights)


def records(n, seed=0, *, per_owner=1, d=4, signal=1.0, number=False, first=0):
    generator = np.random.default_rng(seed)
    X = generator.normal(size=(n, d))
    score = signal * X[:, 0] + generator.normal(size=n)
    y = score if number else np.where(score > 0, "yes", "no")
    owners = [f"p{(first + i) // per_owner}" for i in range(n)]
    return Dataset.from_arrays(X, y, ids=range(first, first + n), subjects=owners)


def case_of(learner, data, holdout, forgotten_ids, *, unlearnt="retrain", reference=True, **more):
    """A case whose after model is retrained (exact), or the before model itself (nothing was done)."""
    key = Key.public("world")
    before = Deployment(learner, data, key, learner.fit(data, key), holdout, fit_s=2.0)
    kept = data.without(forgotten_ids)
    retrained = replace(before, data=kept, model=learner.fit(kept, key))
    after = retrained if unlearnt == "retrain" else replace(before, data=kept)
    return Case(
        before=before,
        after=after,
        forgotten=data.only(forgotten_ids),
        holdout=holdout,
        reference=replace(retrained) if reference else None,
        cost=Cost(seconds=0.004, records_read=7, parts_touched=3),
        reference_s=2.0 if reference else None,
        **more,
    )


def by_name(found):
    names = [e.name for e in found]
    assert len(names) == len(set(names)), names
    return {e.name: e for e in found}
