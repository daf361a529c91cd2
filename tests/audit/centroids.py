"""A fast learner that learns many models at once: nearest centroids, with a memory of members; and its unlearners."""

from dataclasses import dataclass, field

import numpy as np
from worlds import table

from expunge.core.deployment import Cost, Outcome
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, class_labels
from expunge.core.seeds import unit


@dataclass(frozen=True)
class CentroidModel:
    """Scores by distance to class means, plus a bonus for records that it learnt."""

    identity: Identity
    sums: np.ndarray
    counts: np.ndarray
    members: np.ndarray
    noise: np.ndarray
    truth: dict
    memory: float

    def logits(self, data):
        means = self.sums / np.maximum(self.counts, 1)[:, None]
        scores = -((table(data)[:, None, :] - means[None]) ** 2).sum(-1) + self.noise
        known = np.isin(data.ids, self.members)
        for row in np.flatnonzero(known):
            scores[row, self.truth[data.ids[row]]] += self.memory
        return scores.astype(np.float32).astype(np.float64)  # as a stack gives them

    def losses(self, data):
        scores = self.logits(data)
        true = np.array([self.truth.get(i, 0) for i in data.ids.tolist()])
        return np.logaddexp.reduce(scores, axis=1) - scores[np.arange(len(true)), true]

    def state(self):
        return {"sums": self.sums, "counts": self.counts, "members": self.members, "noise": self.noise}

    def digest(self):
        return self.identity.digest(self.state())


@dataclass(frozen=True)
class Centroids:
    """Fits nearest centroids; `memory` is how much a record's own class gains by membership."""

    memory: float = 1.0
    calls: list = field(default_factory=list, repr=False, compare=False)
    refuse: bool = field(default=False, repr=False)

    def fit(self, data, key, progress=None):
        self.calls.append("fit")
        return self._model(data, key)

    def _model(self, data, key):
        X, y, k = table(data), data.target.values, len(class_labels(data))
        sums = np.stack([X[y == c].sum(axis=0) for c in range(k)])
        noise = 0.3 * unit(key.words(range(k)))
        counts = np.bincount(y, minlength=k).astype(float)
        truth = dict(zip(data.ids.tolist(), y.tolist(), strict=True))
        return CentroidModel(Identity.of(self, data, key), sums, counts, data.ids, noise, truth, self.memory)

    def fit_many(self, data, membership, keys, progress=None):
        if self.refuse:
            raise Unsupported("not together")
        self.calls.append(f"fit_many {len(keys)}")
        return CentroidStack([self._model(data.take(m), key) for m, key in zip(membership, keys, strict=True)])


@dataclass(frozen=True)
class CentroidStack:
    """Several models."""

    made: list

    def __len__(self):
        return len(self.made)

    def logits(self, data):
        return np.stack([model.logits(data) for model in self.made]).astype(np.float32)

    def models(self):
        return self.made


@dataclass(frozen=True)
class Again:
    """Fits again without the records."""

    calls: list = field(default_factory=list, repr=False, compare=False)

    def promise(self, deployment):
        return Guarantee(kind="exact", grade="bits-here")

    def unlearn(self, deployment, request, progress=None):
        self.calls.append("unlearn")
        ids = deployment.targets(request)
        model = deployment.learner._model(deployment.data.without(ids), deployment.key)
        return Outcome(deployment.with_model(model, request), self.promise(deployment), Cost(seconds=0.0), repr(self))


@dataclass(frozen=True)
class AgainMany(Again):
    """The same, for many at once."""

    def unlearn_many(self, stack, data, roles, keys, progress=None):
        self.calls.append("unlearn_many")
        learner = Centroids(stack.models()[0].memory)
        return CentroidStack([learner._model(data.take(kept), key) for kept, key in zip(roles[1], keys, strict=True)])


@dataclass(frozen=True)
class Nothing:
    """Does nothing."""

    def unlearn(self, deployment, request, progress=None):
        return Outcome(
            deployment.with_model(deployment.model, request),
            Guarantee(kind="empirical"),
            Cost(seconds=0.0),
            repr(self),
        )
