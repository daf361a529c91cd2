"""``Nodes``: a graph as records. One record is a node: its features are a vector, and its links name other records.

A link holds in both directions, whichever of the two names it, and only while both nodes are there. All arithmetic is
on whole numbers, so the order of nodes, links and deletions cannot matter.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import nfc
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData
from expunge.core.request import Id

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
WEIGHT_BITS = 14
SPARE_BITS = 4
"""Digits that steps in between have more than the result."""
TOP = 2**15 - 1


def column_of(data: Dataset, kind: str) -> str:
    """Return the name of the only column of a kind.

    Raises:
        BadData: there is none, or more than one.
    """
    names = [name for name, column in data.columns.items() if column.kind == kind]
    if len(names) != 1:
        raise BadData(f"a graph has one column of {kind}, not {len(names)}", hint="See Column.of_links, of_vectors.")
    return names[0]


def without_links(data: Dataset, pairs: Iterable[tuple[Id, Id]]) -> Dataset:
    """Return a graph without the links between these pairs of nodes, whichever of the two names them.

    Raises:
        UnknownRecord: a node is not here.
    """
    listed = list(pairs)
    data.positions(node for pair in listed for node in pair)
    named = [(nfc(str(a)), nfc(str(b))) for a, b in listed]
    gone = {*named, *((b, a) for a, b in named)}
    name = column_of(data, "links")
    column = data.columns[name]
    left = [
        [other for other in (column.vocabulary[code].split() if code >= 0 else ()) if (str(own), other) not in gone]
        for own, code in zip(data.ids.tolist(), column.values.tolist(), strict=True)
    ]
    return replace(data, columns={**data.columns, name: Column.of_links(left)})


def without_features(data: Dataset, ids: Iterable[Id]) -> Dataset:
    """Return a graph in which these nodes have no features (zeros); their links and classes stay.

    Raises:
        UnknownRecord: a node is not here.
    """
    name, rows = column_of(data, "vector"), data.positions(ids)
    values = data.columns[name].values.copy()
    values[rows] = 0
    return replace(data, columns={**data.columns, name: Column("vector", values)})


@dataclass(frozen=True, eq=False)
class Nodes:
    """A graph of n nodes; a value.

    Attributes:
        source: the records, forgotten ones included.
        alive: which are kept, shape (n,).
        starts: where each node's partners begin, shape (n + 1,).
        partners: rows of linked nodes, each link in both directions.
        features: whole numbers, shape (n, d).
    """

    source: Dataset
    alive: Mask
    starts: Ints
    partners: Ints
    features: npt.NDArray[np.int16]

    @classmethod
    def of(cls, data: Dataset, step: float) -> Nodes:
        """Read a graph; features that are not whole numbers are measured in steps.

        Raises:
            BadData: there is no column of vectors, or none of links.
        """
        X, n = data.columns[column_of(data, "vector")].values, len(data)
        column = data.columns[column_of(data, "links")]
        if X.dtype.kind == "f":
            X = np.clip(np.rint(X.astype(np.float64) / step), -TOP, TOP)
        row = {str(value): i for i, value in enumerate(data.ids.tolist())}
        known = [[row[other] for other in word.split() if other in row] for word in column.vocabulary] + [[]]
        each = [known[code] for code in column.values.tolist()]
        a = np.repeat(np.arange(n), [len(e) for e in each])
        b = np.array([j for e in each for j in e], np.int64)
        both = np.unique(np.concatenate([a * n + b, b * n + a])[np.tile(a != b, 2)])
        starts = np.searchsorted(both // max(n, 1), np.arange(n + 1)).astype(np.int64)
        return cls(data, np.ones(n, bool), starts, both % max(n, 1), X.astype(np.int16))

    @cached_property
    def degrees(self) -> Ints:
        """How many kept nodes each is linked to, itself included, shape (n,)."""
        ends = np.concatenate([[0], np.cumsum(self.alive[self.partners])])
        return np.asarray(1 + ends[self.starts[1:]] - ends[self.starts[:-1]], np.int64)

    def around(self, rows: Ints, hops: int) -> Ints:
        """Return the kept nodes within some hops of these rows, in order; the rows themselves only if kept."""
        inside = np.zeros(len(self.alive), bool)
        inside[rows] = True
        front = rows
        for _ in range(hops):
            near = [self.partners[self.starts[i] : self.starts[i + 1]] for i in front.tolist()]
            reached = np.unique(np.concatenate([*near, np.zeros(0, np.int64)]))
            front = reached[self.alive[reached] & ~inside[reached]]
            inside[front] = True
        return np.flatnonzero(inside & self.alive)

    def propagated(self, rows: Ints, hops: int, bits: int) -> npt.NDArray[np.int16]:
        """Return (D^-½ (A + I) D^-½)ᴷ·X of some kept rows in units of 2^-bits, clipped to int16; shape (m, d)."""
        return self._level(rows, hops, bits, WEIGHT_BITS + SPARE_BITS).clip(-TOP, TOP).astype(np.int16)

    def _level(self, rows: Ints, hops: int, bits: int, shift: int) -> npt.NDArray[np.int32]:
        from expunge.models.kernels.graph import propagate

        out = np.empty((len(rows), self.features.shape[1]), np.int32)
        place = np.arange(len(self.alive))
        if hops == 1:
            before: npt.NDArray[np.integer] = self.features
            shift -= bits + SPARE_BITS
        else:
            needed = self.around(rows, 1)
            before = self._level(needed, hops - 1, bits, WEIGHT_BITS)
            place = np.full(len(self.alive), -1)
            place[needed] = np.arange(len(needed))
        propagate(rows, (self.starts, self.partners, self.alive), self.degrees, before, place, shift, out)
        return out

    def asked(self, data: Dataset, step: float) -> tuple[Nodes, Ints]:
        """Return (a graph, which of its rows the records of a data set are).

        A record whose id is that of a kept node is that node. Others are put beside the graph: they read the nodes
        that they link to, and change none of them.
        """
        row = {value: i for i, value in enumerate(self.source.ids.tolist()) if self.alive[i]}
        rows = np.array([row.get(value, -1) for value in data.ids.tolist()], np.int64)
        new = np.flatnonzero(rows < 0)
        if not len(new):
            return self, rows
        others = Nodes.of(data.take(new), step)
        name = {str(value): i for value, i in row.items()}
        column = others.source.columns[column_of(others.source, "links")]
        lists = [sorted({name[o] for o in word.split() if o in name}) for word in column.vocabulary] + [[]]
        each = [lists[code] for code in column.values.tolist()]
        ends = self.starts[-1] + np.cumsum([len(e) for e in each])
        rows[new] = len(self.alive) + np.arange(len(new))
        wider = Nodes(
            self.source,
            np.concatenate([self.alive, np.ones(len(new), bool)]),
            np.concatenate([self.starts, ends]),
            np.concatenate([self.partners, np.array([j for e in each for j in e], np.int64)]),
            np.concatenate([self.features, others.features]),
        )
        return wider, rows
