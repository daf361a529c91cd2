"""``Coder``: records of one column of vectors, or of a table, to the vectors that an index compares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData
from expunge.models.encoding.scale import Scale
from expunge.models.index.vectors import Vectors

if TYPE_CHECKING:
    from expunge.core.seeds import Key


@dataclass(frozen=True)
class Coder:
    """How records become vectors.

    Attributes:
        column: the name of the column of vectors; empty for a table.
        width: numbers a vector has.
        dtype: of the column's numbers.
        scale: the encoder of a table, which is learnt from it; None for vectors, where nothing is learnt.
    """

    column: str
    width: int
    dtype: str
    scale: Scale | None = None

    @classmethod
    def of(cls, data: Dataset, key: Key) -> Coder:
        """Return the coder of these records.

        Raises:
            BadData: no column, or a column of vectors among others.
        """
        kinds = {name: column.kind for name, column in data.columns.items()}
        if list(kinds.values()) == ["vector"]:
            (name, column), *_ = data.columns.items()
            return cls(name, column.values.shape[1], column.values.dtype.name)
        if "vector" in kinds.values() or not kinds:
            raise BadData("an index takes one column of vectors, or a table without vectors", hint="Drop the others.")
        scale = Scale.of(data, key)
        return cls("", len(scale.names), "int16", scale)

    def encode(self, data: Dataset) -> Vectors:
        """Return the records as vectors.

        Raises:
            BadData: they have another column, or vectors of another length.
        """
        if self.scale is not None:
            return Vectors.of_codes(self.scale.encode(data))
        column = data.columns.get(self.column)
        if column is None or column.kind != "vector" or column.values.shape[1] != self.width:
            raise BadData(f"the index holds vectors of {self.width} numbers in the column {self.column!r}")
        return Vectors.of(column.values)

    def decode(self, vectors: Vectors) -> dict[str, Column]:
        """Return the column that gives these vectors again: what an index of vectors keeps of its records."""
        return {self.column: Column("vector", vectors.values().astype(self.dtype))}

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what encodes."""
        if self.scale is not None:
            return self.scale.state()
        return {"coder/width": np.array([self.width], np.int64)}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again."""
        return {} if self.scale is None else self.scale.memory()
