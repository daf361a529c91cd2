"""Deletions that break what is almost exact: chosen by what they do to the data, not at random (spec X10)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from expunge.core.columns import CODED, Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput
from expunge.core.models import rows_to_forget
from expunge.core.request import Id

Batch = tuple[str, tuple[Id, ...]]
Rows = npt.NDArray[np.int64]


def hard_batches(data: Dataset) -> list[Batch]:
    """Return named deletions of a data set that can be carried out, each set of records once.

    They make a column constant, take its last gap, its only record of a category, its smallest and largest value, all
    rows on one side of a split, one of two equal records and both, a whole subject, and lead the number of records
    over each power of two.

    Args:
        data: the records; columns of vectors or links take part in duplicates, subjects and sizes only.
    """
    found: dict[frozenset[int], Batch] = {}
    for name, rows in (*_of_columns(data), *_of_duplicates(data), *_of_owners(data), *_of_sizes(data)):
        ids = tuple(data.ids[rows].tolist())
        key = frozenset(rows.tolist())
        if key and key not in found and _possible(data, ids):
            found[key] = (name, ids)
    return list(found.values())


def _possible(data: Dataset, ids: tuple[Id, ...]) -> bool:
    try:
        rows_to_forget(data, ids)
    except BadInput:
        return False
    return True


def _of_columns(data: Dataset) -> Iterator[tuple[str, Rows]]:
    for name, column in data.columns.items():
        values = np.asarray(column.values)
        if values.ndim != 1 or values.dtype.kind not in "fiub":
            continue
        lost = values < 0 if column.kind in CODED else np.isnan(values.astype(np.float64))
        yield f"all gaps of {name!r}", np.flatnonzero(lost)
        for what, rows in _of_values(column, values, ~lost):
            yield f"{what} of {name!r}", rows


def _of_values(
    column: Column, values: npt.NDArray[np.generic], there: npt.NDArray[np.bool_]
) -> Iterator[tuple[str, Rows]]:
    seen, counts = np.unique(values[there], return_counts=True)
    if not len(seen):
        return
    yield "all but the commonest value", np.flatnonzero(there & (values != seen[counts.argmax()]))
    yield "the only record of a value", np.flatnonzero(there & (values == seen[counts.argmin()]))[:1]
    if column.kind not in CODED and len(seen) > 2:
        middle = seen[len(seen) // 2]
        yield "the smallest value", np.flatnonzero(there & (values == seen[0]))
        yield "the largest value", np.flatnonzero(there & (values == seen[-1]))
        yield "the upper side", np.flatnonzero(there & (values >= middle))
        yield "the lower side", np.flatnonzero(there & (values < middle))


def _of_duplicates(data: Dataset) -> Iterator[tuple[str, Rows]]:
    _, first, inverse, counts = np.unique(
        data.record_digests, axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    twins = counts[inverse.ravel()] > 1
    yield "one of each set of equal records", np.intersect1d(first, np.flatnonzero(twins))
    yield "all records that are not alone", np.flatnonzero(twins)


def _of_owners(data: Dataset) -> Iterator[tuple[str, Rows]]:
    owners, counts = np.unique(data.subjects, return_counts=True)
    yield "the subject with most records", np.flatnonzero(data.subjects == owners[counts.argmax()])


def _of_sizes(data: Dataset) -> Iterator[tuple[str, Rows]]:
    n = len(data)
    for power in (1 << bits for bits in range(2, n.bit_length())):
        for left in (power + 1, power, power - 1):
            if left < n:
                yield f"down to {left} records", np.arange(n - left)[::-1]
