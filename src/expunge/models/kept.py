"""``Kept``: the records behind a model, some gone and some new; a change costs its own records, not all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import CODED, Column
from expunge.core.dataset import Dataset
from expunge.core.errors import DuplicateId, NothingLeft, UnknownRecord
from expunge.core.models import check_classes
from expunge.core.request import Id
from expunge.models.rows import cut

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
RATIO = 16


@dataclass(frozen=True, eq=False)
class _Places:
    """Where each id of a data set is; made once, at the first look-up, and shared by all versions of a model."""

    data: Dataset

    @cached_property
    def _sorted(self) -> tuple[Ints, Ints | None]:
        ids = self.data.ids
        if bool((ids[1:] > ids[:-1]).all()):
            return ids, None
        order = np.argsort(ids, kind="stable")
        return ids[order], order

    def rows(self, ids: Iterable[Id]) -> Ints:
        """Return the rows of these ids, each once, in ascending order.

        Raises:
            UnknownRecord: naming up to three ids that are not here.
        """
        wanted = list(ids)
        if self.data.ids.dtype.kind != "i" or not all(type(i) is int for i in wanted):
            return np.unique(self.data.positions(wanted))
        known, order = self._sorted
        try:
            asked = np.array(wanted, np.int64)
        except OverflowError:
            return self.data.positions(wanted)  # raises, with the id in the message
        asked = asked if len(asked) < 2 else np.unique(asked)
        at: Ints = known.searchsorted(asked)
        if len(at) and (at[-1] == len(known) or not (known[at] == asked).all()):
            self.data.positions(wanted)
        return at if order is None else np.sort(order[at])


@dataclass(frozen=True, eq=False)
class _Gone:
    """A set of rows as sorted runs, each at least `RATIO` times as long as the next: m more cost O(m·log n)."""

    runs: tuple[Ints, ...] = ()

    def holds(self, rows: Ints) -> Mask:
        """Say which of these rows are in the set."""
        if len(rows) == 1:  # the common case, in a third of the time
            row = rows[0]
            return np.array([any(_has(run, row) for run in self.runs)])
        found = np.zeros(len(rows), bool)
        for run in self.runs:
            at = run.searchsorted(rows)
            at[at == len(run)] = 0
            found |= run[at] == rows
        return found

    def more(self, rows: Ints) -> _Gone:
        """Return the set with these rows, of which none is in it."""
        runs, new = list(self.runs), rows
        while runs and len(runs[-1]) < RATIO * len(new):
            new = np.sort(np.concatenate([runs.pop(), new]), kind="stable")
        return _Gone((*runs, new) if len(new) else tuple(runs))


def _has(run: Ints, row: np.int64) -> bool:
    at = int(run.searchsorted(row))
    return at < len(run) and bool(run[at] == row)


@dataclass(frozen=True, eq=False)
class _Now:
    """A data set, which of its records are gone, and records that come after it; replaced as a whole."""

    places: _Places
    gone: _Gone = _Gone()
    more: tuple[Dataset, ...] = ()

    def settled(self) -> _Now:
        """Return the same records without those that are gone, and with those that came."""
        source = self.places.data
        if self.gone.runs:
            gone = np.sort(np.concatenate(self.gone.runs))
            source = without_rows(source, gone).unlinked(source.ids[gone])
        for new in self.more:
            source = source.joined(new)
        return self if source is self.places.data else _Now(_Places(source))


@dataclass(eq=False)
class Kept:
    """The kept records. To its users a value that never changes; `data` drops what is gone from memory.

    Attributes:
        now: the records, gone ones included until `data` is asked for.
        n: how many are kept.
        counts: kept records of each class of the target's vocabulary, where a class must not vanish.
    """

    now: _Now
    n: int
    counts: Ints | None = None

    @classmethod
    def of(cls, data: Dataset) -> Kept:
        """Return all of these records."""
        counts = None
        if data.target is not None and data.target.kind == "category" and not data.classes:
            counts = _class_counts(data.target)
        return cls(_Now(_Places(data)), len(data), counts)

    @property
    def data(self) -> Dataset:
        """The kept records. The first call after a change copies them, and lets go of those that are gone."""
        self.settle()
        return self.now.places.data

    def forget(self, ids: Iterable[Id]) -> tuple[Dataset, Kept]:
        """Return (the records of these ids, what is kept without them); self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.

        Cost: m records; the first call sorts the ids of all.
        """
        source, rows, kept = self.drop(ids)
        return few(source, rows), kept

    def drop(self, ids: Iterable[Id]) -> tuple[Dataset, Ints, Kept]:
        """Return (a data set, the rows in it of these ids, what is kept without them), and read no record.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        if self.now.more:
            self.settle()
        now = self.now
        source, rows = now.places.data, now.places.rows(ids)
        lost = now.gone.holds(rows)
        if lost.any():
            raise UnknownRecord(f"records {source.ids[rows[lost]][:3].tolist()} were forgotten already")
        if len(rows) == self.n:
            raise NothingLeft("every record is named")
        counts, target = self.counts, source.target
        if counts is not None and target is not None:
            counts = counts - _class_counts(target, rows)
            if not counts.all():
                check_classes(target.vocabulary, counts)
        return source, rows, Kept(replace(now, gone=now.gone.more(rows)), self.n - len(rows), counts)

    def learn(self, data: Dataset) -> Kept:
        """Return what is kept with these records as well; self is untouched.

        Raises:
            DuplicateId: a record is kept already.
            BadData: other columns.
            ClassVanished: the vocabulary of their target holds a class without a record.

        Cost: m records; all are copied once, when `data` or a deletion next asks for them.
        """
        now, source = self.now, self.now.places.data
        few(source, np.zeros(0, np.int64)).joined(data)  # none and the new: do they match?
        same = np.isin(data.ids, source.ids)
        if same.any():
            rows = source.positions(data.ids[same].tolist())
            twice = source.ids[rows[~now.gone.holds(rows)]]
            if len(twice):
                raise DuplicateId(f"{len(twice)} records are known already, for example {twice[:3].tolist()}")
        for earlier in now.more:
            if not earlier.id_set.isdisjoint(data.id_set):
                raise DuplicateId("a record is known already")
        counts = self.counts
        if counts is not None and data.target is not None:
            before, new = self._words(), data.target.vocabulary
            words = _sorted_words(before, new)
            place = {word: j for j, word in enumerate(words)}
            counts, old = np.zeros(len(words), np.int64), counts
            counts[[place[word] for word in before]] += old
            counts[[place[word] for word in new]] += _class_counts(data.target)
            check_classes(words, counts)
        return Kept(replace(now, more=(*now.more, data)), self.n + len(data), counts)

    def _words(self) -> tuple[str, ...]:
        """Return the classes that `counts` counts, in its order."""
        targets = [data.target for data in (self.now.places.data, *self.now.more)]
        return _sorted_words(*(t.vocabulary for t in targets if t is not None))

    def settle(self) -> None:
        """Let go of the records that are gone, and take in those that came."""
        self.now = self.now.settled()  # one assignment: readers see the old or the new


def _class_counts(target: Column, rows: Ints | None = None) -> Ints:
    """Return how many records (or: of these rows) each class has; what is missing counts for none."""
    codes = target.values if rows is None else target.values[rows]
    found: Ints = np.bincount(codes + 1, minlength=len(target.vocabulary) + 1)[1:]
    return found


def _sorted_words(*every: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted({word for words in every for word in words}, key=str.encode))


def few(source: Dataset, rows: Ints) -> Dataset:
    """Return these records; a column's vocabulary is that of theirs, found without reading the whole of it."""
    return _picked(source, rows, {name: _few(column, rows) for name, column in source.columns.items()})


def glimpse(source: Dataset, rows: Ints) -> Dataset:
    """Return these records, to be counted and let go of: categories keep the vocabulary of all records."""
    columns = {
        name: Column(c.kind, c.values[rows], c.vocabulary) if c.kind != "text" else _few(c, rows)
        for name, c in source.columns.items()
    }
    return _picked(source, rows, columns)


def without_rows(source: Dataset, rows: Ints) -> Dataset:
    """Return the records but those at some rows, each once and in ascending order; their digests go along."""
    alive = np.ones(len(source), bool)
    alive[rows] = False
    columns = {
        name: c.take(alive) if c.kind in CODED else Column(c.kind, cut(c.values, rows))
        for name, c in source.columns.items()
    }
    found = _made(source, columns, lambda array: cut(array, rows))
    if "record_digests" in source.__dict__:
        found.__dict__["record_digests"] = cut(source.record_digests, rows)
    return found


def _picked(source: Dataset, rows: Ints, columns: dict[str, Column]) -> Dataset:
    return _made(source, columns, lambda array: array[rows])


def _made(source: Dataset, columns: dict[str, Column], of: Callable[[Any], Any]) -> Dataset:
    target = source.target and Column(source.target.kind, of(source.target.values), source.target.vocabulary)
    found = object.__new__(Dataset)  # records that were checked need no second check, which takes longer than the rest
    found.__dict__.update({f.name: getattr(source, f.name) for f in fields(Dataset)})
    found.__dict__.update(columns=columns, ids=of(source.ids), subjects=of(source.subjects), target=target)
    return found


def _few(column: Column, rows: Ints) -> Column:
    if column.kind not in CODED or 4 * len(rows) > len(column.vocabulary):
        return column.take(rows)
    values = column.values[rows]
    used, codes = np.unique(values[values >= 0], return_inverse=True)
    placed = np.full(len(values), -1, np.int32)
    placed[values >= 0] = codes
    return Column(column.kind, placed, tuple(column.vocabulary[code] for code in used.tolist()))
