"""``Found``: what a search has come across so far, shard by shard, and the nearest of it in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.models.index.vectors import Floats, Ints
from expunge.models.rows import id_keys


@dataclass(eq=False)
class Found:
    """The candidates of some queries.

    Attributes:
        n_queries: how many queries there are.
        k: how many nearest each asks for; every query meets at least as many.
        limit: an upper bound of each query's k-th distance.
    """

    n_queries: int
    k: int
    limit: Floats = field(init=False)
    _parts: list[tuple[Ints, Floats, npt.NDArray[Any]]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.limit = np.full(self.n_queries, np.inf)

    def add(self, queries: Ints, far: Floats, ids: npt.NDArray[Any]) -> None:
        """Take note of distances.

        Args:
            queries: which queries, shape (q,).
            far: distance to each record, shape (q, m); infinite = not met.
            ids: of the records, shape (m,), or for each query its own, shape (q, m).
        """
        if far.shape[1] >= self.k:
            kth = np.partition(far, self.k - 1, axis=1)[:, self.k - 1]
            self.limit[queries] = np.minimum(self.limit[queries], kth)
        rows, columns = np.nonzero((far <= self.limit[queries][:, None]) & (far < np.inf))
        chosen = ids[columns] if ids.ndim == 1 else ids[rows, columns]
        self._parts.append((queries[rows], far[rows, columns], chosen))

    def nearest(self) -> tuple[npt.NDArray[Any], Floats]:
        """Return (ids, distances), shape (queries, k), the nearest first; among equals the id that comes first."""
        rows, far, ids = (np.concatenate(each) for each in zip(*self._parts, strict=True))
        near = far <= self.limit[rows]
        rows, far, ids = rows[near], far[near], ids[near]
        order = np.lexsort((id_keys(ids), far, rows))
        starts = np.searchsorted(rows[order], np.arange(self.n_queries))
        chosen = order[starts[:, None] + np.arange(self.k)]
        return ids[chosen], far[chosen]
