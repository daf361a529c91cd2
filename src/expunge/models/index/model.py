"""``IndexModel``: the model of every index: shards of records, a search over them, deletions that touch one shard."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadData, BadInput
from expunge.core.guarantee import Grade, Guarantee
from expunge.core.models import Identity, exactly
from expunge.core.seeds import Key
from expunge.models.change import forecast, going
from expunge.models.index.coder import Coder
from expunge.models.index.found import Found
from expunge.models.index.shards import Shard, Shards, check_new, located
from expunge.models.index.vectors import METRICS, Floats, Ints, Metric, Vectors, distances
from expunge.models.kept import Kept

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.roles import Progress

CELLS = 1 << 23
"""Distances held at once."""


def check_index(metric: str, shard_size: int) -> None:
    """Refuse hyper-parameters that no index has.

    Raises:
        BadInput: naming the parameter.
    """
    if metric not in METRICS:
        raise BadInput(f"metric must be one of {', '.join(METRICS)}, not {metric!r}")
    check_whole("shard_size", shard_size)


def check_whole(name: str, value: object, most: int = 1 << 30) -> None:
    """Refuse what is not a whole number from 1 to `most`.

    Raises:
        BadInput: naming the parameter.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise BadInput(f"{name} must be a whole number from 1 to {most}, not {value!r}")


class Arranges(Protocol):
    """What kinds of index differ in: where a record lies, what a shard has ready, and which shards a query meets."""

    @property
    def metric(self) -> Metric:
        """How far apart vectors are."""
        ...

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> IndexModel:
        """Return the index of these records."""
        ...

    def bits(self, n: int) -> int:
        """Return the binary logarithm of how many shards n records are put into."""
        ...

    def places(self, shard: Shard, key: Key, bits: int) -> Ints:
        """Return the shard of each record, shape (n,): a function of this record alone."""
        ...

    def ready(self, shard: Shard) -> Shard:
        """Return a shard with what a search needs beyond its vectors."""
        ...

    def meet(self, model: IndexModel, queries: Vectors, found: Found) -> None:
        """Add the distances of the queries to the records that they meet."""
        ...

    def grade(self) -> Grade:
        """Return the grade of exactness."""
        ...

    def extras(self, shard: Shard) -> dict[str, npt.NDArray[Any]]:
        """Return what of a shard predicts beyond its vectors."""
        ...


@dataclass(frozen=True, eq=False)
class IndexModel:
    """An index.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: where records lie is drawn from.
        coder: how records become vectors.
        bits: 2^bits shards at most.
        shards: place → records; no shard is empty.
        table: the records themselves, where they are a table; of vectors the shards hold all there is.
        fit_s: seconds of the last fit.
    """

    learner: Arranges
    identity: Identity
    key: Key
    coder: Coder
    bits: int
    shards: Shards = field(repr=False)
    table: Kept | None = field(default=None, repr=False)
    fit_s: float = 0.0

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards.values())

    @property
    def data(self) -> Dataset:
        """The records; of vectors, as the codes keep them, which gives the same codes again."""
        if self.table is not None:
            return self.table.data
        whole = Shard.joined(list(self.shards.values()))
        return Dataset(self.coder.decode(whole.vectors), whole.ids, whole.subjects)

    def search(self, queries: Dataset, k: int) -> tuple[npt.NDArray[Any], Floats]:
        """Return the k nearest records of each query: (ids, distances), shape (n, k), the nearest first.

        Args:
            queries: records like those of the index; ids and target do not matter.
            k: how many, at least 1; no more than there are records are returned.

        Raises:
            BadData, BadInput: other columns, or no whole number of neighbours.
        """
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise BadInput(f"k must be a positive whole number, not {k!r}")
        ids, far = self._nearest(self.coder.encode(queries), min(int(k), len(self)))
        return ids, np.sqrt(far) if self.learner.metric == "euclidean" else far

    def _nearest(self, queries: Vectors, k: int) -> tuple[npt.NDArray[Any], Floats]:
        if not len(queries):
            return next(iter(self.shards.values())).ids[:0].repeat(k).reshape(0, k), np.zeros((0, k))
        size = max(1, CELLS // len(self))
        parts = []
        for start in range(0, len(queries), size):
            some = queries.take(np.arange(start, min(start + size, len(queries))))
            found = Found(len(some), k)
            self.learner.meet(self, some, found)
            parts.append(found.nearest())
        ids, far = zip(*parts, strict=True)
        return np.concatenate(ids), np.concatenate(far)

    def losses(self, data: Dataset) -> Floats:
        """Return how far the nearest *other* record is from each, shape (n,): small = the index knows its like.

        A record of the index is always at distance 0 from itself, which says nothing about what the others say of
        it; so the record itself does not count. Where there is no other, the distance to the vector of zeros.
        """
        queries = self.coder.encode(data)
        zero = Vectors.of_codes(np.zeros((1, queries.codes.shape[1]), np.int16))
        ids, far = self._nearest(queries, min(2, len(self)))
        own = ids == data.ids[:, None] if ids.dtype.kind == data.ids.dtype.kind else np.zeros(ids.shape, bool)
        best = np.where(own, np.inf, far).min(axis=1, initial=np.inf)
        lonely = np.isinf(best)
        best[lonely] = distances(queries.take(lonely), zero, self.learner.metric)[:, 0]
        found: Floats = np.sqrt(best) if self.learner.metric == "euclidean" else best
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what answers: of each shard the vectors in the order of ids, ids as keyed words, what it has ready."""
        if self.table is not None:
            self.table.settle()
        found = self.coder.state()
        for place, shard in self.shards.items():
            found |= shard.arrays(_part(place), self.learner.extras(shard))
        return found

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: of vectors nothing more, of a table the counts of its scale."""
        return self.coder.memory()

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        return sum(a.nbytes for a in (*self.state().values(), *self.memory().values()))

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07); of shards that a deletion left alone it is known already."""
        if self.table is not None:
            self.table.settle()
        known = {_part(place): shard.seal(_part(place), self.learner.extras) for place, shard in self.shards.items()}
        return self.identity.digest(self.coder.state(), known)

    def guarantee(self) -> Guarantee:
        """Return exact, in the grade of this kind of index."""
        grade = self.learner.grade()
        return exactly(
            grade, *(("graphs are built by the same library, on the same kind of processor",) * (grade != "bits"))
        )

    def without(self, ids: Iterable[Id]) -> IndexModel:
        """Return the index that never held these records; self is untouched, and shares every shard they are not in.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        wanted = list(ids)
        if not wanted:
            return self
        table, coder = self.table, self.coder
        if table is not None and coder.scale is not None:
            change = going(table, coder.scale, wanted)
            table = change.kept
            if change.scale is None:
                return self.learner.fit(table.data, self.key)
            coder = replace(coder, scale=change.scale)
        shards = dict(self.shards)
        for place, rows in located(self.shards, wanted).items():
            left = np.delete(np.arange(len(shards[place])), rows)
            if len(left):
                shards[place] = self.learner.ready(shards[place].take(left))
            else:
                del shards[place]
        return replace(self, coder=coder, table=table, shards=shards)._arranged()

    def adding(self, data: Dataset) -> IndexModel:
        """Return the index that holds these records as well; self is untouched.

        Raises:
            DuplicateId: a record is in the index already.
            BadData: other columns.
        """
        if not len(data):
            return self
        if self.table is not None:
            return self.learner.fit(self.table.data.joined(data), self.key)
        some = next(iter(self.shards.values())).ids
        if data.ids.dtype.kind != some.dtype.kind:
            raise BadData("record ids are numbers in the index and texts in what is added, or the other way round")
        check_new(self.shards, data.ids.tolist())
        more = Shard.sorted(data, self.coder.encode(data), self.key)
        shards = dict(self.shards)
        for place, shard in more.split(self.learner.places(more, self.key, self.bits)).items():
            both = Shard.joined([shards[place], shard]) if place in shards else shard
            shards[place] = self.learner.ready(both)
        return replace(self, shards=shards)._arranged()

    def _arranged(self) -> IndexModel:
        """Return the index in as many shards as its size asks for."""
        bits = self.learner.bits(len(self))
        if bits == self.bits:
            return self
        whole = Shard.joined(list(self.shards.values()))
        return replace(self, bits=bits, shards=arranged(self.learner, whole, self.key, bits))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        hit = located(self.shards, ids)
        read = sum(len(self.shards[place]) for place in hit)
        every = len(self.shards)
        scale = self.coder.scale
        if self.table is not None and scale is not None and going(self.table, scale, ids).scale is None:
            why = "a scale moves, so the records are encoded again"
            return forecast(why, self.fit_s, 1.0, len(self), (every, every))
        share = read / len(self)
        return forecast("makes their shards without them", self.fit_s, share, read, (len(hit), every), 1e-4)


def _part(place: int) -> str:
    """Return what a shard is called in a state."""
    return f"shard-{place:06d}"


def arranged(learner: Arranges, whole: Shard, key: Key, bits: int) -> dict[int, Shard]:
    """Return records in their shards."""
    parts = whole.split(learner.places(whole, key, bits))
    return {place: learner.ready(shard) for place, shard in parts.items()}


def owner_places(shard: Shard, key: Key, bits: int) -> Ints:
    """Return a shard for each record by a keyed hash of its owner: what a person owns lies together."""
    if bits == 0:
        return np.zeros(len(shard), np.int64)
    owners, inverse = np.unique(shard.subjects, return_inverse=True)
    words = key.words(owners.tolist(), "owner") >> np.uint64(64 - bits)
    found: Ints = words.astype(np.int64)[inverse]
    return found


def spread(n: int, size: int) -> int:
    """Return the binary logarithm of the number of shards that hold about `size` of n records each."""
    return max(0, (n // size).bit_length())
