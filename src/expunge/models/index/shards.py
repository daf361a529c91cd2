"""``Shard``: some records of an index, in the order of ids; a deletion makes a new one and leaves the others alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import part_digest
from expunge.core.dataset import Dataset
from expunge.core.errors import DuplicateId, NothingLeft, UnknownRecord
from expunge.models.draws import keyed_words
from expunge.models.index.vectors import Vectors
from expunge.models.rows import id_order

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.seeds import Key

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Shard:
    """Records.

    Attributes:
        ids: shape (n,), in the order of their bytes.
        subjects: shape (n,).
        vectors: of the records.
        words: keyed bits of their ids, shape (n,).
        graph: a graph of the vectors, for indexes that walk one.
    """

    ids: npt.NDArray[Any]
    subjects: npt.NDArray[Any] = field(repr=False)
    vectors: Vectors = field(repr=False)
    words: npt.NDArray[np.uint64] = field(repr=False)
    graph: Any = field(default=None, repr=False)
    _seals: dict[str, bytes] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def sorted(cls, data: Dataset, vectors: Vectors, key: Key) -> Shard:
        """Return records in any order, and their vectors, as a shard."""
        order = id_order(data.ids)
        ids = data.ids[order]
        return cls(ids, data.subjects[order], vectors.take(order), keyed_words(key, ids))

    @classmethod
    def joined(cls, parts: Sequence[Shard]) -> Shard:
        """Return the records of all parts as one shard."""
        ids = np.concatenate([p.ids for p in parts])
        order = id_order(ids)
        subjects, words = (np.concatenate(each) for each in ([p.subjects for p in parts], [p.words for p in parts]))
        vectors = Vectors.joined([p.vectors for p in parts])
        return cls(ids[order], subjects[order], vectors.take(order), words[order])

    @cached_property
    def rows(self) -> dict[Id, int]:
        """The row of each id."""
        return {value: row for row, value in enumerate(self.ids.tolist())}

    def take(self, rows: npt.NDArray[Any]) -> Shard:
        """Return the records at these rows, which are in order."""
        return Shard(self.ids[rows], self.subjects[rows], self.vectors.take(rows), self.words[rows])

    def arrays(self, name: str, extras: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Return what of it answers, and what else is said to, as one part of a state."""
        mine: dict[str, npt.NDArray[Any]] = {
            "codes": self.vectors.codes,
            "exponents": self.vectors.exponents,
            "words": self.words,
            **extras,
        }
        return {f"{name}/{what}": array for what, array in mine.items()}

    def seal(self, name: str, extras: Callable[[Shard], Mapping[str, npt.NDArray[Any]]]) -> bytes:
        """Return the digest of this part of a state; taken once."""
        if name not in self._seals:
            self._seals[name] = part_digest(self.arrays(name, extras(self)))
        return self._seals[name]

    def split(self, places: Ints) -> dict[int, Shard]:
        """Return the records by place, shape (n,)."""
        order = np.argsort(places, kind="stable")
        found, starts = np.unique(places[order], return_index=True)
        parts = np.split(order, starts[1:])
        return {place: self.take(rows) for place, rows in zip(found.tolist(), parts, strict=True)}


Shards = Mapping[int, Shard]


def named(shards: Shards, ids: Iterable[Id]) -> list[Id]:
    """Return ids, each once, in the form that the records' ids have.

    Raises:
        UnknownRecord: naming up to three that cannot be one of them.
    """
    some = next(iter(shards.values())).ids[:1]
    wanted = list(dict.fromkeys(ids))
    forms = Dataset({}, some, some).named(wanted)
    lost = [i for i, form in zip(wanted, forms, strict=True) if form is None]
    if lost:
        raise UnknownRecord(f"{len(lost)} of {len(wanted)} records are not in the index, first {lost[:3]}")
    return list(dict.fromkeys(form for form in forms if form is not None))


def located(shards: Shards, ids: Iterable[Id]) -> dict[int, list[int]]:
    """Return the place of a shard → the rows of these ids in it.

    Raises:
        UnknownRecord: naming up to three ids that are in no shard.
        NothingLeft: no record would be left.
    """
    wanted = set(named(shards, ids))
    found: dict[int, list[int]] = {}
    n_found = 0
    for place, shard in shards.items():
        rows = [shard.rows[i] for i in wanted & shard.rows.keys()] if len(wanted) > 1 else _row(shard, wanted)
        if rows:
            found[place] = rows
            n_found += len(rows)
    if n_found < len(wanted):
        lost = sorted(wanted - {i for shard in shards.values() for i in shard.rows}, key=str)
        raise UnknownRecord(f"{len(lost)} of {len(wanted)} records are not in the index, first {lost[:3]}")
    if n_found == sum(len(shard) for shard in shards.values()):
        raise NothingLeft("every record is named")
    return found


def _row(shard: Shard, wanted: set[Id]) -> list[int]:
    return [shard.rows[i] for i in wanted if i in shard.rows]


def check_new(shards: Shards, ids: Iterable[Id]) -> None:
    """Refuse ids that are known.

    Raises:
        DuplicateId: naming one of them.
    """
    known = [i for i in ids if any(i in shard.rows for shard in shards.values())]
    if known:
        raise DuplicateId(f"{len(known)} of the records are in the index already, for example {known[0]!r}")
