"""``Rooms``: the records behind a sharded model, each subject in one shard and one slice by keyed hash (spec D15)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import NothingLeft, UnknownRecord
from expunge.core.models import check_classes
from expunge.core.request import Id
from expunge.core.seeds import Key

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plot:
    """How subjects are spread; no record has a say in it.

    Attributes:
        key: of the hashes.
        n_shards: shards.
        n_slices: slices of each shard.
        most: records of one subject that are learnt from, at most; None = all.
    """

    key: Key
    n_shards: int
    n_slices: int
    most: int | None = None

    def shards(self, owners: npt.NDArray[np.generic]) -> Ints:
        """Return the shard of each subject, shape (n,)."""
        return self._spread(owners, "shard", self.n_shards)

    def slices(self, owners: npt.NDArray[np.generic]) -> Ints:
        """Return the slice of each subject, shape (n,)."""
        return self._spread(owners, "slice", self.n_slices)

    def _spread(self, owners: npt.NDArray[np.generic], person: str, size: int) -> Ints:
        if size == 1:
            return np.zeros(len(owners), np.int64)
        distinct, which = np.unique(owners, return_inverse=True)
        words = self.key.words(distinct.tolist(), person) % np.uint64(size)
        found: Ints = words.astype(np.int64)[which]
        return found

    def used(self, data: Dataset) -> npt.NDArray[np.bool_]:
        """Say which records of a shard are learnt from: of a subject with too many, those of the least keyed hash."""
        if self.most is None or len(data) <= self.most:
            return np.ones(len(data), bool)
        _, owner, many = np.unique(data.subjects, return_inverse=True, return_counts=True)
        if many.max() <= self.most:
            return np.ones(len(data), bool)
        order = np.lexsort((np.arange(len(data)), self.key.words(data.ids.tolist(), "cap"), owner))
        rank = np.arange(len(data)) - (np.cumsum(many) - many)[owner[order]]
        use = np.empty(len(data), bool)
        use[order] = rank < self.most
        return use


@dataclass(frozen=True)
class _Now:
    """Records in the order of their ids, which are kept, and where each lives; replaced as a whole."""

    source: Dataset
    alive: npt.NDArray[np.bool_]
    home: Ints


@dataclass(eq=False)
class Rooms:
    """The kept records, by shard. To its users a value that never changes; `data` drops what is gone from memory.

    Attributes:
        plot: how subjects are spread.
        now: the records, gone ones included until `data` is asked for.
        counts: kept records of each class of the target's vocabulary; None for a target of numbers.
    """

    plot: Plot
    now: _Now
    counts: Ints | None

    @classmethod
    def of(cls, data: Dataset, plot: Plot) -> Rooms:
        """Return all of these records, in the order of their ids."""
        data = data.take(np.argsort(data.ids, kind="stable"))
        target = data.target
        counts = None
        if target is not None and target.kind == "category":
            counts = np.bincount(target.values, minlength=len(target.vocabulary)).astype(np.int64)
        home = plot.shards(data.subjects)
        return cls(plot, _Now(data, np.ones(len(data), bool), home), counts)

    def __len__(self) -> int:
        return int(np.count_nonzero(self.now.alive))

    @property
    def data(self) -> Dataset:
        """The kept records. The first call after a deletion copies them and lets go of the others."""
        self.settle()
        return self.now.source

    def settle(self) -> None:
        """Let go of the records that are gone."""
        now = self.now
        if not now.alive.all():
            rows = now.alive
            self.now = _Now(now.source.take(rows), np.ones(int(rows.sum()), bool), now.home[rows])

    def size(self, shard: int) -> int:
        """Return how many kept records live in a shard."""
        return int(np.count_nonzero(self.now.alive & (self.now.home == shard)))

    def local(self, shard: int) -> Dataset:
        """Return the records that a shard learns from, in the order of their ids; the target knows only its classes."""
        now = self.now
        found = now.source.take(np.flatnonzero(now.alive & (now.home == shard)))
        found = found.take(self.plot.used(found)) if self.plot.most is not None else found
        return with_own_classes(found)

    def turns(self, data: Dataset) -> Ints:
        """Return the slice of each record of a shard, shape (n,)."""
        return self.plot.slices(data.subjects)

    def hit(self, ids: Iterable[Id]) -> dict[int, tuple[Id, ...]]:
        """Return shard → the ids of these records in it, in the order of the shards.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: these cannot be forgotten.
        """
        rows = self._rows(ids)
        homes = self.now.home[rows]
        return {int(j): tuple(self.now.source.ids[rows[homes == j]].tolist()) for j in np.unique(homes)}

    def without(self, ids: Iterable[Id]) -> Rooms:
        """Return what is kept without these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        rows, now = self._rows(ids), self.now
        alive = now.alive.copy()
        alive[rows] = False
        counts = None if self.counts is None else self.counts - self._classes(rows)
        return Rooms(self.plot, _Now(now.source, alive, now.home), counts)

    def adding(self, data: Dataset) -> Rooms:
        """Return these records and more.

        Raises:
            DuplicateId, BadData: nothing was changed.
        """
        return Rooms.of(self.data.joined(data), self.plot)

    def _classes(self, rows: Ints) -> Ints:
        target = self.now.source.target
        codes = np.zeros(0, np.int64) if target is None else target.values[rows]
        return np.bincount(codes, minlength=0 if self.counts is None else len(self.counts)).astype(np.int64)

    def _rows(self, ids: Iterable[Id]) -> Ints:
        now = self.now
        rows = now.source.positions(dict.fromkeys(ids))
        if not now.alive[rows].all():
            lost = now.source.ids[rows[~now.alive[rows]]][:3].tolist()
            raise UnknownRecord(f"records {lost} were forgotten already")
        if len(rows) and len(rows) == len(self):
            raise NothingLeft("every record is named")
        if self.counts is not None and not now.source.classes and now.source.target is not None:
            check_classes(now.source.target.vocabulary, self.counts - self._classes(rows))
        return rows


def with_own_classes(data: Dataset) -> Dataset:
    """Return the records with no classes declared and none known but their own."""
    if data.target is None or data.target.kind != "category":
        return data
    return replace(data, target=data.target.take(np.arange(len(data))), classes=())
