"""``Kept``: the records behind a model, some of them gone; a deletion costs its own records, not all of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import NothingLeft, UnknownRecord
from expunge.core.models import check_classes
from expunge.core.request import Id

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Now:
    """A data set and which of its records are kept; replaced as a whole, so that readers never see half of it."""

    source: Dataset
    alive: Mask


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
            counts = np.bincount(data.target.values, minlength=len(data.target.vocabulary)).astype(np.int64)
        return cls(_Now(data, np.ones(len(data), bool)), len(data), counts)

    @property
    def data(self) -> Dataset:
        """The kept records. The first call after a deletion copies them and lets go of the others."""
        self.settle()
        return self.now.source

    def forget(self, ids: Iterable[Id]) -> tuple[Dataset, Kept]:
        """Return (the records of these ids, what is kept without them); self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.

        Cost: m records, and one byte a kept record.
        """
        now = self.now
        rows = now.source.positions(dict.fromkeys(ids))
        if not now.alive[rows].all():
            lost = now.source.ids[rows[~now.alive[rows]]][:3].tolist()
            raise UnknownRecord(f"records {lost} were forgotten already")
        if len(rows) == self.n:
            raise NothingLeft("every record is named")
        counts, target = self.counts, now.source.target
        if counts is not None and target is not None:
            counts = counts - np.bincount(target.values[rows], minlength=len(counts))
            check_classes(target.vocabulary, counts)
        alive = now.alive.copy()
        alive[rows] = False
        return now.source.take(rows), Kept(_Now(now.source, alive), self.n - len(rows), counts)

    def settle(self) -> None:
        """Let go of the records that are gone."""
        now = self.now
        if not now.alive.all():
            source = now.source.take(now.alive)
            self.now = _Now(source, np.ones(len(source), bool))  # one assignment: readers see the old or the new
