"""``Layout``: how an estimator reads the X of its users into columns, alike when it learns and when it predicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from expunge.core.columns import CODED, Column, Kind, normal_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData

Kinds = Mapping[str, Kind] | Literal["vector"]
"""Column → kind, where the guess would be wrong; "vector": all columns together are one column of vectors."""


def is_frame(X: Any) -> bool:
    """Say whether X is a pandas frame."""
    return hasattr(X, "iloc") and hasattr(X, "columns")


def column_names(X: Any) -> list[str]:
    """Return a frame's column names as texts; a column that is called by its place is called as in an array.

    Raises:
        BadData: two are equal.
    """
    names = [f"x{j}" if name == j else str(name) for j, name in enumerate(X.columns.tolist())]
    if len(set(names)) < len(names):
        raise BadData(f"two columns are called {max(names, key=names.count)!r}")
    return names


def row_ids(X: Any, ids: Iterable[Any] | None) -> Any:
    """Return record ids: those given, else a frame's index if it is unique and of numbers or texts, else 0…n-1."""
    if ids is not None:
        return normal_ids(ids, "record id")
    if is_frame(X) and X.index.is_unique:
        try:
            return normal_ids(X.index.tolist(), "record id")
        except BadData:  # dates, tuples: rows are numbered
            pass
    return np.arange(len(X), dtype=np.int64)


@dataclass(frozen=True)
class Layout:
    """The columns of X as they were when the estimator learnt.

    Attributes:
        names: of all columns of X, in order.
        kinds: name → kind, of the columns that are used; one without any value and of no plain type is left out.
        vectors: the type of the numbers, where all columns together are read as one column of vectors; else empty.
        notes: what was decided while reading, one sentence each.
    """

    names: tuple[str, ...]
    kinds: Mapping[str, Kind]
    vectors: str = ""
    notes: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def learn(cls, X: Any, kinds: Kinds | None) -> tuple[Layout, dict[str, Column]]:
        """Return the layout of X and its columns.

        Args:
            X: a pandas frame, or an array of float64, shape (n, d).
            kinds: column → kind, where the guess would be wrong; "vector": all columns together are one.

        Raises:
            BadData, MissingColumn: X cannot be read.
        """
        if isinstance(kinds, str):
            column = _vectors(X, kinds)
            return cls(("x",), {"x": "vector"}, column.values.dtype.name), {"x": column}
        places = dict(zip(X.columns.tolist(), column_names(X), strict=True)) if is_frame(X) else {}
        given = {places.get(name, str(name)): kind for name, kind in (kinds or {}).items()}
        if not is_frame(X):
            every = {f"x{j}": Column("number", X[:, j].copy()) for j in range(X.shape[1])}
            return cls(tuple(every), dict.fromkeys(every, "number")), every
        frame = _plain(X)
        full = [name for name in frame.columns if frame[name].notna().any()]
        read = _read(frame[full], {n: k for n, k in given.items() if n in full or n not in frame.columns})
        columns = {name: read.columns.get(name) or _without_values(frame[name], given) for name in frame.columns}
        used = {name: column for name, column in columns.items() if column is not None}
        lost = tuple(f"Column {n!r}: has no value at all and is left out." for n, c in columns.items() if c is None)
        layout = cls(tuple(frame.columns), {name: c.kind for name, c in used.items()}, notes=read.notes + lost)
        return layout, used

    def read(self, X: Any) -> dict[str, Column]:
        """Return the columns of other records, read as these were.

        Raises:
            BadData: a value is not of its column's kind.
        """
        if self.vectors:
            return {"x": _like(self.vectors, _vectors(X, "vector"))}
        if not is_frame(X) and set(self.kinds.values()) <= {"number"}:
            return {n: Column("number", X[:, j].copy()) for j, n in enumerate(self.names) if n in self.kinds}
        if not is_frame(X):
            import pandas as pd

            X = pd.DataFrame(X)
        frame = _plain(X).set_axis(list(self.names), axis=1)
        full = [name for name in self.kinds if frame[name].notna().any()]
        there = dict(_read(frame[full], {n: self.kinds[n] for n in full}).columns) if full else {}
        return {name: there.get(name) or _empty(kind, len(frame)) for name, kind in self.kinds.items()}


def _vectors(X: Any, kinds: str) -> Column:
    """Return all columns together as one column of vectors."""
    if kinds != "vector":
        raise BadData(f'kinds is a mapping of columns to kinds, or "vector", not {kinds!r}')
    try:
        return Column.of_vectors(X.to_numpy(np.float32) if is_frame(X) else X)
    except (ValueError, TypeError) as error:
        raise BadData(f"the columns are not all numbers: {error}") from error


def _like(dtype: str, column: Column) -> Column:
    """Return vectors in the type that was learnt from.

    Raises:
        BadData: their numbers do not fit it.
    """
    with np.errstate(invalid="ignore"):
        values = column.values.astype(dtype)
    if dtype != "float32" and not np.array_equal(values, column.values):
        raise BadData(f"the vectors are not whole numbers of type {dtype}, which the estimator learnt from")
    return Column("vector", values)


def _plain(X: Any) -> Any:
    """Return the frame with texts as column names and rows numbered."""
    return X.set_axis(column_names(X), axis=1).reset_index(drop=True)


def _read(frame: Any, kinds: Mapping[str, Kind]) -> Dataset:
    try:
        return Dataset.from_frame(frame, kinds=kinds)
    except (ValueError, TypeError) as error:
        raise BadData(f"a value is not of its column's kind: {error}") from error


def _without_values(series: Any, given: Mapping[str, Kind]) -> Column | None:
    """Return a column without any value, where its kind is declared or plain from its type; else None."""
    kind = given.get(series.name, "number" if series.dtype.kind in "fiu" else None)
    return None if kind is None else _empty(kind, len(series))


def _empty(kind: Kind, n: int) -> Column:
    return Column(kind, np.full(n, -1, np.int32) if kind in CODED else np.full(n, np.nan))
