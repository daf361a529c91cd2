"""``Binned``: integer counts of binned columns by class, and of what bins are cut by; records are counted out of it.

All counts of a model lie in one array: a deletion copies it and lets a compiled loop go over the record's fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.columns import CODED, Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData
from expunge.core.seeds import Key
from expunge.models.encoding.grid import Feature, Grid, grid_range
from expunge.models.encoding.occupied import Occupied, regridded, tally
from expunge.models.kept import few
from expunge.models.kernels.counts import NUMBER, SKIP, TABLE, count_out, outer
from expunge.models.scores import known_codes

Ints = npt.NDArray[np.int64]
BLOCK = 1 << 16


def is_warm() -> bool:
    """Say whether the compiled loops are in the cache, as far as can be seen."""
    try:  # numba has no public question for this; where the answer cannot be had, assume the worst
        folder = Path(count_out._cache.cache_path)
    except AttributeError:
        return False
    return any(folder.glob("*.count_out-*.nbi"))


@dataclass(frozen=True, eq=False)
class Fields:
    """How the columns of one data set are counted: views of its values, and tables of its categories.

    Attributes:
        source: the data set.
        values: of each column.
        y: class of each record by its target's code.
        plan, cuts, bins, places: as `count_out` takes them.
        texts: the columns that are counted elsewhere.
    """

    source: Dataset
    values: tuple[npt.NDArray[Any], ...]
    y: Ints
    plan: Ints
    cuts: npt.NDArray[np.float64]
    bins: npt.NDArray[np.uint8]
    places: Ints
    texts: tuple[str, ...]

    @classmethod
    def of(cls, grid: Grid, names: Sequence[npt.NDArray[Any]], labels: tuple[str, ...], source: Dataset) -> Fields:
        """Return the fields of a data set; `names` are those of `Occupied`, one entry a column."""
        plan, table = plan_of(grid, names), 0
        tables = [(np.zeros(0, np.uint8), np.zeros(0, np.int64))]
        for at, (feature, known) in enumerate(zip(grid.features, names, strict=True)):
            if plan[at, 0] == TABLE:
                tables.append(_table(grid, feature, source.columns[feature.column], known, int(plan[at, 2])))
                plan[at, 4], table = table, table + len(tables[-1][0])
        target = source.target
        place = {label: code for code, label in enumerate(labels)}
        y = np.array([place.get(word, 0) for word in (target.vocabulary if target else ())], np.int64)
        return cls(
            source,
            tuple(source.columns[f.column].values for f in grid.features),
            y,
            plan,
            np.array([(f.low, f.high, (f.high - f.low) / (grid.n_bins - 3)) for f in grid.features]).reshape(-1, 3),
            np.concatenate([bins for bins, _ in tables]),
            np.concatenate([places for _, places in tables]),
            tuple(f.column for f in grid.features if f.kind == "words"),
        )


def plan_of(grid: Grid, names: Sequence[npt.NDArray[Any]]) -> Ints:
    """Return how each column is counted, its first row of bins, its places, and room for where its table starts."""
    plan, row, first = [], 0, 0
    for feature, known in zip(grid.features, names, strict=True):
        plan.append(({"number": NUMBER, "words": SKIP}.get(feature.kind, TABLE), row, first, first + len(known), 0))
        row, first = row + feature.width, first + len(known)
    return np.array(plan, np.int64).reshape(-1, 5)


def _table(
    grid: Grid, feature: Feature, column: Column, known: npt.NDArray[Any], first: int
) -> tuple[npt.NDArray[np.uint8], Ints]:
    """Return (bin, place) of each code of a column of categories, that of "missing" first."""
    codes = np.arange(-1, len(column.vocabulary), dtype=np.int32)
    one = replace(grid, features=(feature,))
    ids = np.arange(len(codes))
    bins = one.encode(Dataset({feature.column: Column("category", codes, column.vocabulary)}, ids, ids))[0]
    place = {word: first + i for i, word in enumerate(known.tolist())}
    return bins, np.array([-1, *(place.get(word, -1) for word in column.vocabulary)], np.int64)


@dataclass(eq=False)
class Binned:
    """The counts: to its users a value that never changes.

    Attributes:
        grid: the encoder; bins of categories that are gone stay empty until it is made anew.
        names: the cells, or categories, that are counted; one entry a column.
        labels: the classes.
        flat: counts by feature, bin and class; then of each name; then of each class.
        ends: where the outer ranks of each column of numbers are, shape (c, 2).
        fields: how the columns of the kept records are counted, once one is taken out.
    """

    grid: Grid
    names: tuple[npt.NDArray[Any], ...]
    labels: tuple[str, ...]
    flat: Ints = field(repr=False)
    ends: Ints = field(repr=False)
    fields: Fields | None = field(default=None, repr=False)

    @classmethod
    def of(cls, grid: Grid, data: Dataset, labels: tuple[str, ...]) -> Binned:
        """Count records."""
        counts = np.zeros((len(grid.names), grid.n_bins, len(labels)), np.int64)
        for start in range(0, len(data), BLOCK):
            block = data if len(data) <= BLOCK else few(data, np.arange(start, min(start + BLOCK, len(data))))
            counts += tally(grid, block, labels)
        sizes = np.bincount(known_codes(data, labels), minlength=len(labels)).astype(np.int64)
        return cls.made(grid, [Occupied.of(c) for c in data.columns.values()], labels, (counts, sizes))

    @classmethod
    def made(
        cls,
        grid: Grid,
        occupied: Sequence[Occupied],
        labels: tuple[str, ...],
        counted: tuple[Ints, Ints],
    ) -> Binned:
        """Return counts, put together: (by feature, bin and class; by class) and of what is occupied."""
        counts, sizes = counted
        flat = np.concatenate([counts.ravel(), *(o.count for o in occupied), sizes]).astype(np.int64)
        names = tuple(o.names for o in occupied)
        ends = np.full((len(names), 2), -1, np.int64)
        made = cls(grid, names, labels, flat, ends)
        outer(plan_of(grid, names), made.dims, flat, ends)
        return made

    @cached_property
    def dims(self) -> tuple[int, int, int, int]:
        """Bins a feature, classes, and where in `flat` the names and the classes start."""
        k = len(self.labels)
        at = len(self.grid.names) * self.grid.n_bins * k
        return self.grid.n_bins, k, at, len(self.flat) - k

    @property
    def counts(self) -> Ints:
        """Records by feature, bin and class, shape (d, n_bins, k)."""
        n_bins, k, at, _ = self.dims
        return self.flat[:at].reshape(-1, n_bins, k)

    @property
    def sizes(self) -> Ints:
        """Records of each class, shape (k,)."""
        return self.flat[self.dims[3] :]

    @property
    def occupied(self) -> list[Occupied]:
        """The counts behind the grid, one entry a column."""
        ends = np.cumsum([self.dims[2], *(len(n) for n in self.names)])
        return [Occupied(n, self.flat[a:b]) for n, a, b in zip(self.names, ends[:-1], ends[1:], strict=True)]

    def without(self, source: Dataset, rows: Ints) -> Binned | None:
        """Return the counts less those of some rows of the kept data set; None where the grid moves."""
        fields = self.fields
        if fields is None or fields.source is not source:
            fields = self.fields = Fields.of(self.grid, self.names, self.labels, source)
        if len(rows) == 1:
            row = int(rows[0])
            values = np.array([[v[row] for v in fields.values]], np.float64)
        else:
            values = np.stack([v[rows] for v in fields.values], axis=1).astype(np.float64)
        y = fields.y[source.target.values[rows]] if source.target is not None else rows
        flat, ends = self.flat.copy(), self.ends.copy()
        emptied, moved = count_out(
            values, y, fields.plan, fields.cuts, self._cells, fields.bins, fields.places, self.dims, flat, ends
        )
        if moved and self._recut(flat, ends):
            return None
        after = Binned(self.grid, self.names, self.labels, flat, ends, fields)
        after.__dict__.update(_cells=self._cells, dims=self.dims)
        if fields.texts:
            after._count_texts_out(few(source, rows))
        return after.compact() if emptied else after

    def _recut(self, flat: Ints, ends: Ints) -> bool:
        """Say whether a column of numbers would be cut otherwise with these outer ranks."""
        for column in np.flatnonzero((ends != self.ends).any(axis=1) | (ends < 0).any(axis=1)).tolist():
            feature = self.grid.features[column]
            if feature.kind != "number":
                continue
            held = replace(self, flat=flat).occupied[column]
            if regridded(feature, held.kept()):
                return True
        return False

    @cached_property
    def _cells(self) -> Ints:
        """The cell of each place; of a category, nothing."""
        parts = [np.zeros(len(n), np.int64) if n.dtype.hasobject else n for n in self.names]
        return np.concatenate([*parts, np.zeros(0, np.int64)])

    def _count_texts_out(self, gone: Dataset) -> None:
        features = [f for f in self.grid.features if f.kind == "words"]
        part = tally(replace(self.grid, features=tuple(features)), gone, self.labels)
        rows = [f.kind == "words" for f in self.grid.features for _ in range(f.width)]
        self.counts[rows] -= part  # a view of `flat`, which is this object's own until it is handed out

    def compact(self) -> Binned | None:
        """Return the counts without names that nothing has any more; None where a column would be cut otherwise."""
        if (self.flat[self.dims[2] : self.dims[3]] > 0).all():
            return self
        left = [o.kept() for o in self.occupied]
        if any(regridded(f, o) for f, o in zip(self.grid.features, left, strict=True)):
            return None
        features = tuple(_thinned(f, set(o.names.tolist())) for f, o in zip(self.grid.features, left, strict=True))
        return Binned.made(replace(self.grid, features=features), left, self.labels, (self.counts, self.sizes))

    def adding(self, data: Dataset) -> Binned | None:
        """Return the counts of these records as well; None where the grid moves, or a class is new."""
        new = [Occupied.of(column) for column in data.columns.values()]
        both = [o.more(n) for o, n in zip(self.occupied, new, strict=True)]
        if any(regridded(f, o) for f, o in zip(self.grid.features, both, strict=True)):
            return None
        counts = self.counts + tally(self.grid, data, self.labels)
        sizes = self.sizes + np.bincount(known_codes(data, self.labels), minlength=len(self.labels))
        return Binned.made(self.grid, both, self.labels, (counts, sizes))


@dataclass(eq=False)
class Book:
    """The counts of one model. To its users a value; what is gone leaves memory when it is next read as a whole.

    Attributes:
        now: the counts; cells of numbers that nothing is in any more may still be among their names.
    """

    now: Binned

    def settled(self, source: Dataset) -> Binned:
        """Return the counts of the kept records, and let go of names and records that are gone."""
        now = self.now.compact() or self.now
        if now.fields is not None and now.fields.source is not source:
            now = replace(now, fields=None)
        self.now = now  # one assignment: readers see the old or the new
        return now


def _thinned(feature: Feature, left: set[Any]) -> Feature:
    """Return a feature without the categories that nothing has any more."""
    if feature.kind != "nominal":
        return feature
    return replace(feature, words=tuple(word if word in left else None for word in feature.words))


def saved(arrays: Arrays, data: Dataset, key: Key, n_bins: int, labels: tuple[str, ...]) -> Binned | None:
    """Return saved counts as they are, where they are of one piece with the classes of the records; else None.

    Args:
        arrays: state and memory of a model of naive Bayes.
        data: the records they are said to be of.
        key: of the hash buckets.
        n_bins: bins a feature has at most.
        labels: the classes.

    Cost: one look at the target and at the codes of categories; no number is read.
    """
    names = ("counts", "classes/sizes", "occupied/cells", "occupied/counts", "occupied/sizes")
    if not all(name in arrays and np.asarray(arrays[name]).dtype == np.int64 for name in names):
        return None
    counts, sizes, cell, count, many = (np.asarray(arrays[name]) for name in names)
    columns = list(data.columns.items())
    if many.shape != (len(columns),) or (many < 0).any() or many.sum() != len(count) or (count <= 0).any():
        return None
    occupied, at = [], 0
    for (_, column), part in zip(columns, np.split(count, np.cumsum(many)[:-1]), strict=True):
        coded = Occupied.of(column) if column.kind in CODED else Occupied(cell[at : at + len(part)], part)
        if len(coded.names) != len(part) or not np.array_equal(coded.count, part):
            return None
        at += 0 if column.kind in CODED else len(part)
        occupied.append(coded)
    try:
        features = tuple(_feature_of(name, data, o) for (name, _), o in zip(columns, occupied, strict=True))
    except BadData:
        return None
    grid = Grid(features, key, n_bins)
    k = len(labels)
    whole = counts.shape == (len(grid.names), n_bins, k) and sizes.shape == (k,) and (counts >= 0).all()
    if not whole or not (counts.sum(axis=1) == sizes).all() or not grid.agrees(arrays):
        return None
    if not np.array_equal(sizes, np.bincount(known_codes(data, labels), minlength=k)):
        return None
    return Binned.made(grid, occupied, labels, (counts, sizes))


def _feature_of(name: str, data: Dataset, occupied: Occupied) -> Feature:
    """Return how a column is cut, from what is counted of it."""
    column, ids = data.columns[name], np.arange(len(data))
    if column.kind in CODED or name in data.ranges:
        ranges = {name: data.ranges[name]} if name in data.ranges else {}
        return Grid.of(Dataset({name: column}, ids, ids, ranges=ranges), Key.public(0)).features[0]
    return Feature(name, "number", *grid_range(occupied.names, occupied.count))
