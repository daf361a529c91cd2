"""``AdoptedIndex``: a user's own graph index, whose deletions only mark; what stays is found by `ghosts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.ghosts import ghosts
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, rows_to_forget

if TYPE_CHECKING:
    from expunge.core.request import Id


class Foreign(Protocol):
    """What is asked of a user's index; the indexes of usearch have it, others need a few lines."""

    def search(self, vectors: npt.NDArray[Any], count: int) -> Any:
        """Return what has ``keys`` and ``distances``, each of shape (n, count)."""
        ...

    def remove(self, keys: npt.NDArray[Any]) -> Any:
        """Take keys out of what is answered."""
        ...

    def copy(self) -> Any:
        """Return an index of its own."""
        ...

    def save(self) -> Any:
        """Return the bytes that are written to disk."""
        ...


@dataclass(frozen=True, eq=False)
class AdoptedIndex:
    """A user's graph index as a model: it answers, and it says what its deletions are worth.

    Guarantee: suppression. Graph libraries delete by a mark: the vector and its edges stay in memory and in what is
        written, and go on leading searches to others, until the index is built again. For forgetting, learn a
        `GraphIndex` from the kept vectors instead.
    Cost: one copy of the index, and a mark a record.
    Source: spec XL07 and XD13 (usearch 2.26: the bytes of a removed vector are in the saved index).

    Attributes:
        index: the user's; its keys are the rows of `records`.
        records: what is in it: one column of vectors.
        keys: the index's key of each record, shape (n,).
        identity: who it is, for the digest.
    """

    index: Foreign = field(repr=False)
    records: Dataset = field(repr=False)
    keys: npt.NDArray[np.uint64] = field(repr=False)
    identity: Identity

    @classmethod
    def of(cls, index: Foreign, records: Dataset, name: str = "foreign") -> AdoptedIndex:
        """Return a user's index as a model; its keys are 0…n-1, in the order of the records."""
        identity = Identity(f"AdoptedIndex({name!r})", records.schema_digest, b"")
        return cls(index, records, np.arange(len(records), dtype=np.uint64), identity)

    @property
    def data(self) -> Dataset:
        """The records that it still answers with."""
        return self.records

    def losses(self, data: Dataset) -> npt.NDArray[np.float64]:
        """Return how far the nearest other record is from each by the library's own measure, shape (n,)."""
        hits = self.index.search(_values(data), 2)
        keys, far = (np.asarray(each).reshape(len(data), -1) for each in (hits.keys, hits.distances))
        own = {value: key for value, key in zip(self.records.ids.tolist(), self.keys.tolist(), strict=True)}
        mine = np.array([own.get(value, -1) for value in data.ids.tolist()], np.int64)
        best = np.where(keys.astype(np.int64) == mine[:, None], np.inf, far).min(axis=1)
        found: npt.NDArray[np.float64] = best.astype(np.float64)
        return found

    def state(self) -> Arrays:
        """Return the index as its library writes it, marked records included."""
        return {"index": np.frombuffer(bytes(self.index.save()), np.uint8)}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return suppression, and why."""
        return Guarantee(
            kind="suppression",
            assumptions=("the library only marks what is deleted: vectors and edges stay until it is built again",),
            covers=("answers of the index",),
        )

    def without(self, ids: Iterable[Id]) -> AdoptedIndex:
        """Return the index that no longer answers with these records, though it holds them; self is untouched.

        Raises:
            UnknownRecord, NothingLeft: nothing was changed.
        """
        wanted = list(ids)
        rows = rows_to_forget(self.records, wanted)
        if not len(rows):
            return self
        index = self.index.copy()
        index.remove(self.keys[rows])
        keep = np.ones(len(self.records), bool)
        keep[rows] = False
        return replace(self, index=index, records=self.records.take(keep), keys=self.keys[keep])

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        n = len(rows_to_forget(self.records, ids))
        return Prediction(records_read=n, parts_touched=1, parts=1, why="marks the records; their vectors stay")

    def ghosts(self, vectors: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return which of these vectors still lie in the index as it is written, shape (n,)."""
        return ghosts(self.state(), vectors)


def _values(data: Dataset) -> npt.NDArray[Any]:
    columns: Mapping[str, Any] = data.columns
    found: npt.NDArray[Any] = next(iter(columns.values())).values
    return found
