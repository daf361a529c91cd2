"""The estimator of vector indexes: fit vectors, search, forget, learn."""

from __future__ import annotations

from typing import Any, Literal

import numpy.typing as npt

from expunge.core.errors import BadInput
from expunge.core.roles import Learner
from expunge.models.estimators.forgetful import Forgetful
from expunge.models.index.flat import FlatIndex, HashedIndex
from expunge.models.index.vectors import Floats, Metric

Kind = Literal["flat", "hashed", "graph"]


class VectorIndex(Forgetful):
    """Nearest vectors of embeddings, with exact forgetting: ``VectorIndex().fit(X, ids=ids).search(Q, k=10)``.

    Args:
        kind: ``flat`` finds all of the nearest; ``hashed`` looks into the buckets around the query; ``graph`` walks
            small graphs, which are built anew without what is forgotten (needs the extra ``index``).
        metric: ``cosine`` (1 - cos), ``euclidean``, or ``dot`` (the negative product; not of ``hashed``).
        shard_size: about how many records lie together (``flat``, ``graph``); None = the kind's default.
        n_planes: 2^n_planes buckets (``hashed``).
        n_probes: buckets a query looks into, at least (``hashed``).
        seed: of where records lie; public, so anybody can reproduce the index.

    Guarantee: exact, grade ``bits`` (``graph``: ``bits-here``). Cost and Source: as `FlatIndex`, `HashedIndex` and
        `expunge.models.index.graph.GraphIndex` (spec XL07).
    """

    _needs_y = False
    kinds = "vector"

    def __init__(
        self,
        kind: Kind = "flat",
        *,
        metric: Metric = "cosine",
        shard_size: int | None = None,
        n_planes: int = 8,
        n_probes: int = 16,
        seed: int | str = 0,
    ) -> None:
        self.kind = kind
        self.metric = metric
        self.shard_size = shard_size
        self.n_planes = n_planes
        self.n_probes = n_probes
        self.seed = seed

    def _learner(self) -> Learner:
        size: dict[str, int] = {} if self.shard_size is None else {"shard_size": self.shard_size}
        if self.kind == "flat":
            return FlatIndex(self.metric, **size)
        if self.kind == "hashed":
            return HashedIndex(self.metric, self.n_planes, self.n_probes)
        if self.kind == "graph":
            from expunge.models.index.graph import GraphIndex  # its library is an extra

            return GraphIndex(self.metric, **size)
        raise BadInput(f"kind must be flat, hashed or graph, not {self.kind!r}")

    def search(self, X: Any, k: int = 10) -> tuple[npt.NDArray[Any], Floats]:
        """Return (ids, distances) of the k nearest records of each vector, shape (n, k), the nearest first.

        Args:
            X: vectors, shape (n, d).
            k: how many; no more than there are records are returned.
        """
        data = self._questions(X)
        found: tuple[npt.NDArray[Any], Floats] = self._fitted().search(data, k)
        return found
