"""``Rows``: what a model holds of each record, in the order of ids; what is gone is dropped when it is next read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


FEW = 256
"""So many rows are cut out piece by piece, which is copying whole blocks; more are taken out by a mask."""


def id_keys(ids: Array) -> Array:
    """Return ids as what sorts like their canonical bytes: numbers as 64-bit words, texts (UTF-8) as they are."""
    return ids.astype(np.int64).view(np.uint64) if ids.dtype.kind == "i" else ids


def id_order(ids: Array) -> Ints:
    """Return the order of ids by their canonical bytes."""
    return np.argsort(id_keys(ids), kind="stable")


def _places(ids: Array, some: Array) -> Ints:
    """Return where some ids are among ids that are in order, ascending."""
    known, asked = id_keys(ids), id_keys(some)
    at = np.minimum(known.searchsorted(asked), max(len(known) - 1, 0))
    return np.unique(at[known[at] == asked])


def cut(array: Array, at: Ints) -> Array:
    """Return an array without some rows, each once and in ascending order: a copy."""
    if len(at) > FEW:
        return np.delete(array, at, axis=0)
    ends = [-1, *at.tolist(), len(array)]
    return np.concatenate([array[a + 1 : b] for a, b in pairwise(ends)])


@dataclass(frozen=True, eq=False)
class _Now:
    ids: Array
    arrays: Mapping[str, Array]
    gone: tuple[Array, ...] = ()
    n_gone: int = 0
    left: npt.NDArray[np.bool_] | None = None


@dataclass(eq=False)
class Rows:
    """Arrays with one row a record. To its users a value that never changes.

    Attributes:
        wide: names of the arrays that have one column for each of the encoder's, which `without` may drop.
    """

    _now: _Now = field(repr=False)
    wide: tuple[str, ...] = ("codes",)

    @classmethod
    def of(cls, ids: Array, arrays: Mapping[str, Array]) -> Rows:
        """Return rows in any order as `Rows`."""
        order = id_order(ids)
        return cls(_Now(ids[order], {name: array[order] for name, array in arrays.items()}))

    def without(self, gone: Array, left: npt.NDArray[np.bool_]) -> Rows:
        """Return the rows without these ids, and with these columns alone (the others hold only zeros).

        Cost: that of the ids, until a sixteenth of the rows is gone or a column: then they are dropped.
        """
        if self._now.left is not None or 16 * self._now.n_gone > len(self._now.ids):
            self.read()
        now = self._now
        dropped = None if left.all() else left
        return Rows(_Now(now.ids, now.arrays, (*now.gone, gone), now.n_gone + len(gone), dropped), self.wide)

    def joined(self, ids: Array, arrays: Mapping[str, Array]) -> Rows:
        """Return these rows and more."""
        mine = self.read()
        both = {name: np.concatenate([mine[name], array]) for name, array in arrays.items()}
        return Rows.of(np.concatenate([self.ids, ids]), both)

    @property
    def ids(self) -> Array:
        """The ids, in their order."""
        self.read()
        return self._now.ids

    def read(self) -> Mapping[str, Array]:
        """Return the arrays of the rows that are left; the others are let go."""
        now = self._now
        if now.gone:
            at = _places(now.ids, np.concatenate(now.gone))
            arrays = {name: cut(array, at) for name, array in now.arrays.items()}
            if now.left is not None:
                arrays |= {name: np.ascontiguousarray(arrays[name][:, now.left]) for name in self.wide}
            self._now = now = _Now(cut(now.ids, at), arrays)  # one assignment: a second reader sees the old or the new
        return now.arrays
