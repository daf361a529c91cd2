"""``FlatIndex`` and ``HashedIndex``: exact search through all vectors, or through keyed buckets around the query."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput
from expunge.core.guarantee import Grade
from expunge.core.models import Identity, check_saved
from expunge.core.seeds import Key
from expunge.models.draws import mixed
from expunge.models.index.coder import Coder
from expunge.models.index.found import Found
from expunge.models.index.model import (
    Arranges,
    IndexModel,
    arranged,
    check_index,
    check_whole,
    owner_places,
    spread,
)
from expunge.models.index.shards import Shard
from expunge.models.index.vectors import Floats, Ints, Metric, Vectors, distances
from expunge.models.kept import Kept

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

MAX_PLANES = 12
PHI = 0x9E3779B97F4A7C15


def build(learner: Arranges, data: Dataset, key: Key) -> IndexModel:
    """Return the index of records.

    Raises:
        BadData, TooLarge: columns that no index takes.
    """
    began = time.perf_counter()
    coder = Coder.of(data, key)
    whole = Shard.sorted(data, coder.encode(data), key)
    bits = learner.bits(len(whole))
    shards = arranged(learner, whole, key, bits)
    table = None if coder.scale is None else Kept.of(data)
    fit_s = time.perf_counter() - began
    return IndexModel(learner, Identity.of(learner, data, key), key, coder, bits, shards, table, fit_s)


def rebuild(learner: Arranges, arrays: Arrays, data: Dataset, key: Key) -> IndexModel:
    """Return the index that was saved, made afresh and compared: no saved bytes are given to a library to read.

    Raises:
        StoreDamaged: the arrays are not those of this learner over these records.
    """
    model = learner.fit(data, key)
    check_saved(model, arrays)
    return model


@dataclass(frozen=True)
class FlatIndex:
    """Nearest vectors by comparing with all of them.

    Attributes:
        metric: ``cosine`` (1 - cos), ``euclidean``, or ``dot`` (the negative product).
        shard_size: about how many records lie together; forgetting one makes its shard anew.

    Guarantee: exact, grade ``bits``: codes and products are whole numbers, and ties go to the id that comes first.
    Cost: fit O(n·d); a query O(n·d); forgetting one record O(shard_size·d), whatever n.
    Source: spec XL07. Where we differ: a shard is made anew instead of zeroing a slot, so that older versions of the
        index stay whole while no array of the new one holds the vector.
    """

    metric: Metric = "cosine"
    shard_size: int = 4096

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> IndexModel:
        """Return the index of these records; a target is not looked at.

        Raises:
            BadData, TooLarge: columns that no index takes.
        """
        check_index(self.metric, self.shard_size)
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
        """Return the shard; nothing more is needed."""
        return shard

    def meet(self, model: IndexModel, queries: Vectors, found: Found) -> None:
        """Compare every query with every record."""
        every = np.arange(len(queries))
        for shard in model.shards.values():
            found.add(every, distances(queries, shard.vectors, self.metric), shard.ids)

    def grade(self) -> Grade:
        """Return ``bits``."""
        return "bits"

    def extras(self, shard: Shard) -> dict[str, npt.NDArray[Any]]:
        """Return nothing: vectors are all there is."""
        return {}


@dataclass(frozen=True)
class HashedIndex:
    """Nearest vectors among those in the buckets around the query: fast, and it may miss one.

    A bucket is named by the signs of products with `n_planes` keyed random planes: nothing is learnt from the vectors,
    so a deletion changes its own bucket alone. A query walks the buckets in the order of how far it would have to move
    to fall into them. The planes are at right angles to (1, …, 1), so that pixels do not all lie on one side.

    Attributes:
        metric: as `FlatIndex`.
        n_planes: 2^n_planes buckets, at most 2¹².
        n_probes: buckets a query walks, at least; more where these hold fewer than the k asked for.

    Guarantee: exact, grade ``bits``: which bucket a vector is in depends on the key and this vector alone. *Exact* is
        said of forgetting; of the nearest vectors a share is found (`FlatIndex` finds all).
    Cost: fit O(n·d·n_planes); a query O(2^n_planes + d·records in its buckets); forgetting one record makes its bucket
        anew.
    Source: spec XL07; Charikar (2002) for the planes, Lv et al. (2007) for walking near buckets.
    """

    metric: Metric = "cosine"
    n_planes: int = 8
    n_probes: int = 16

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> IndexModel:
        """Return the index of these records; a target is not looked at.

        Raises:
            BadData, TooLarge: columns that no index takes.
        """
        check_index(self.metric, 1)
        check_whole("n_planes", self.n_planes, MAX_PLANES)
        check_whole("n_probes", self.n_probes)
        if self.metric == "dot":
            raise BadInput("buckets say nothing about products", hint="Use the metric cosine, or a flat index.")
        return build(self, data, key)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> IndexModel:
        """Return the index that was saved as its state.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        return rebuild(self, arrays, data, key)

    def bits(self, n: int) -> int:
        """Return the number of planes, whatever n."""
        return self.n_planes

    def places(self, shard: Shard, key: Key, bits: int) -> Ints:
        """Return the bucket of each record."""
        sides = _margins(shard.vectors, key, bits) >= 0
        found: Ints = sides.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64))
        return found

    def ready(self, shard: Shard) -> Shard:
        """Return the bucket; nothing more is needed."""
        return shard

    def meet(self, model: IndexModel, queries: Vectors, found: Found) -> None:
        """Compare every query with the records of the buckets nearest to it."""
        buckets = np.array(sorted(model.shards), np.int64)
        sizes = np.array([len(model.shards[b]) for b in buckets.tolist()], np.int64)
        order = np.argsort(_effort(_margins(queries, model.key, model.bits), buckets), axis=1, kind="stable")
        seen = np.cumsum(sizes[order], axis=1)
        n_walked = np.maximum(min(self.n_probes, len(buckets)), 1 + (seen < found.k).sum(axis=1))
        walked = np.zeros(order.shape, bool)
        np.put_along_axis(walked, order, np.arange(len(buckets)) < n_walked[:, None], axis=1)
        for column, bucket in enumerate(buckets.tolist()):
            rows = np.flatnonzero(walked[:, column])
            if len(rows):
                shard = model.shards[bucket]
                found.add(rows, distances(queries.take(rows), shard.vectors, self.metric), shard.ids)

    def grade(self) -> Grade:
        """Return ``bits``."""
        return "bits"

    def extras(self, shard: Shard) -> dict[str, npt.NDArray[Any]]:
        """Return nothing: vectors are all there is."""
        return {}


def _margins(vectors: Vectors, key: Key, n_planes: int) -> Floats:
    """Return how far each vector is from each plane, and on which side: whole numbers; shape (n, n_planes)."""
    d = vectors.codes.shape[1]
    steps = np.arange(1, d + 1, dtype=np.uint64) * np.uint64(PHI)
    planes = np.empty((d, n_planes))
    for plane in range(n_planes):
        words = mixed(np.uint64(key.word(f"plane/{plane}")) ^ steps)
        parts = words.view(np.uint16).reshape(d, 4).astype(np.int64).sum(axis=1) >> 8  # about normal, by sums of four
        planes[:, plane] = d * parts - parts.sum()
    found = np.empty((len(vectors), n_planes))
    for start in range(0, len(vectors), 8192):
        found[start : start + 8192] = vectors.codes[start : start + 8192].astype(np.float64) @ planes
    return found


def _effort(margins: Floats, buckets: Ints) -> Floats:
    """Return Σ margin² over the planes between each query and each bucket, shape (queries, buckets)."""
    bits = (buckets[:, None] >> np.arange(margins.shape[1])) & 1
    apart = (margins >= 0)[:, None, :] != bits[None].astype(bool)
    found: Floats = (apart * (margins**2)[:, None, :]).sum(axis=2)
    return found
