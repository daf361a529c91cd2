"""Small deployments and stacks of networks for the tests of gradient methods, and records that know who read them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.seeds import Key
from expunge.models.network import Network
from expunge.models.streams import Records

LEARNER = Network((8,), epochs=4, batch=16, optimiser="sgd", rate=0.1, form="plain")


def data(n=90, seed=0):
    draw = np.random.Generator(np.random.PCG64(seed))
    y = draw.integers(0, 3, n)
    X = draw.normal(size=(n, 5)) + 1.5 * np.eye(5)[y]
    return replace(Dataset.from_vectors(X.astype(np.float32), y.astype(str)), classes=("0", "1", "2"))


@cache
def deployment():
    whole, key = data(), Key.public("world")
    rows = np.arange(len(whole)) < 70
    learnt = whole.take(rows)
    return Deployment(LEARNER, learnt, key, LEARNER.fit(learnt, key), whole.take(~rows), fit_s=1.0)


@cache
def stack():
    """Return the universe, a stack of four networks, what each forgets and keeps, and their keys."""
    universe, m = data(120, 1), 4
    draw = np.random.Generator(np.random.PCG64(2))
    mask = draw.random((m, len(universe))) < 0.6
    forgotten = mask & (draw.random(mask.shape) < 0.25)
    keys = [Key.public(f"stack/{i}") for i in range(m)]
    return universe, LEARNER.fit_many(universe, mask, keys), (forgotten, mask & ~forgotten), keys


@dataclass
class Spied:
    """Records that count how many of them were fetched.

    Attributes:
        records: the records.
        read: rows that were fetched.
    """

    records: Records
    read: set[int] = field(default_factory=set)

    def watched(self) -> Records:
        def fetch(rows):
            self.read.update(rows.tolist())
            return self.records.fetch(rows)

        return Records(fetch, self.records.words)
