"""``GraphIndex``: small HNSW graphs by owner; a forgotten record's graph is built again without it, never marked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from usearch.index import Index

from expunge.core.dataset import Dataset
from expunge.core.guarantee import Grade
from expunge.core.seeds import Key
from expunge.models.index.flat import build, rebuild
from expunge.models.index.found import Found
from expunge.models.index.model import IndexModel, check_index, check_whole, owner_places, spread
from expunge.models.index.shards import Shard
from expunge.models.index.vectors import Ints, Metric, Vectors, distances, pair_distances

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

KINDS = {"cosine": "cos", "euclidean": "l2sq", "dot": "ip"}
"""What the library calls the metrics."""


@dataclass(frozen=True)
class GraphIndex:
    """Nearest vectors by walking graphs (HNSW), one graph for each keyed-hash share of the owners.

    Graph libraries delete by a mark: the vector and its edges stay (see `ghosts`). Here a graph is built by one
    thread in the order of ids, so it is a function of its records; forgetting builds the graphs of the forgotten
    again. Candidates are measured exactly, and ties go to the id that comes first.

    Attributes:
        metric: as `FlatIndex`.
        shard_size: about how many records share a graph: forgetting costs one such build.
        connectivity: edges a record has in a graph.
        expansion: records held in view while a graph is walked or built; more finds more.

    Guarantee: exact, grade ``bits-here``: equal graphs under one version of the library and one kind of processor.
        *Exact* is said of forgetting; of the nearest vectors a share is found (`FlatIndex` finds all).
    Cost: fit O(n·log(shard_size)·d); a query walks every graph; forgetting builds one graph of `shard_size` records.
    Source: spec XL07 and XD13; Malkov and Yashunin (2018) for the graphs.
    """

    metric: Metric = "cosine"
    shard_size: int = 8192
    connectivity: int = 16
    expansion: int = 32

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> IndexModel:
        """Return the index of these records; a target is not looked at.

        Raises:
            BadData, TooLarge: columns that no index takes.
        """
        check_index(self.metric, self.shard_size)
        check_whole("connectivity", self.connectivity, 1024)
        check_whole("expansion", self.expansion)
        return build(self, data, key)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> IndexModel:
        """Return the index that was saved as its state.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        return rebuild(self, arrays, data, key)

    def bits(self, n: int) -> int:
        """Return the binary logarithm of the number of shards of n records."""
        return spread(n, self.shard_size)

    def places(self, shard: Shard, key: Key, bits: int) -> Ints:
        """Return a shard for each record, by its owner."""
        return owner_places(shard, key, bits)

    def ready(self, shard: Shard) -> Shard:
        """Return the shard with its graph, built anew from its vectors in the order of their ids."""
        graph = Graph(self, shard.vectors)
        graph.index  # noqa: B018 - built now: a search never waits for it
        return replace(shard, graph=graph)

    def meet(self, model: IndexModel, queries: Vectors, found: Found) -> None:
        """Walk every graph, and measure what is met there."""
        every, asked, near = np.arange(len(queries)), _floats(queries, self.metric), max(found.k, 8)
        for shard in model.shards.values():
            if len(shard) <= near:
                found.add(every, distances(queries, shard.vectors, self.metric), shard.ids)
                continue
            places, full = _walk(shard, asked, near)
            rows, lost = every[full], every[~full]
            far = pair_distances(queries.take(rows), shard.vectors, places[full], self.metric)
            found.add(rows, far, shard.ids[places[full]])
            if len(lost):  # a graph may not lead everywhere
                found.add(lost, distances(queries.take(lost), shard.vectors, self.metric), shard.ids)

    def grade(self) -> Grade:
        """Return ``bits-here``."""
        return "bits-here"

    def extras(self, shard: Shard) -> dict[str, npt.NDArray[Any]]:
        """Return the graph as its library writes it."""
        return {"graph": np.frombuffer(bytes(shard.graph.index.save()), np.uint8)}


@dataclass(frozen=True, eq=False)
class Graph:
    """The graph of some vectors.

    Attributes:
        learner: how it is built.
        vectors: what it leads to, by row.
    """

    learner: GraphIndex
    vectors: Vectors

    @cached_property
    def index(self) -> Any:
        """The library's graph, built by one thread in the order of rows."""
        made = Index(
            ndim=self.vectors.codes.shape[1],
            metric=KINDS[self.learner.metric],
            dtype="f32",
            connectivity=self.learner.connectivity,
            expansion_add=2 * self.learner.expansion,
            expansion_search=self.learner.expansion,
        )
        rows = np.arange(len(self.vectors), dtype=np.uint64)
        made.add(rows, _floats(self.vectors, self.learner.metric), threads=1)
        return made

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied elsewhere: the library's object cannot be, and is built again there."""
        return {"learner": self.learner, "vectors": self.vectors}


def _floats(vectors: Vectors, metric: Metric) -> npt.NDArray[np.float32]:
    return vectors.codes.astype(np.float32) if metric == "cosine" else vectors.values()


def _walk(shard: Shard, asked: npt.NDArray[np.float32], near: int) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """Return (rows met by each query, shape (queries, near); which queries met that many)."""
    hits = shard.graph.index.search(np.concatenate([asked, asked[:1]]), near, threads=1)  # two at least: a batch
    full = hits.counts[: len(asked)] == near
    return np.where(full[:, None], hits.keys[: len(asked)], 0).astype(np.int64), full
