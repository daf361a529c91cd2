"""``Dataset``: records with stable ids, each owned by a subject, in columns with a canonical byte form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core import frames
from expunge.core.canonical import join_rows, json_digest, nfc, safe_number, sha256
from expunge.core.columns import Column, Kind, encodes, normal_ids
from expunge.core.errors import BadData, BadTarget, DuplicateId, NothingLeft, UnknownRecord
from expunge.core.request import Id
from expunge.core.seeds import Key, id_bytes, unit

if TYPE_CHECKING:
    import pandas as pd


def _check_names(names: list[Any]) -> None:
    for name in names:
        if not isinstance(name, str) or "\0" in name or not encodes(name):
            raise BadData(f"a column's name is text of whole characters without NUL, not {name!r}", hint="Rename it.")
    twice = [name for name in set(names) if names.count(name) > 1]
    if twice:
        raise BadData(f"the target is called {twice[0]!r}, like a column")


def _check_range(name: str, column: Column | None, declared: tuple[float, float]) -> None:
    low, high = declared
    if column is None or column.kind not in ("number", "date"):
        raise BadData(f"a range is declared for {name!r}, which is not a column of numbers or dates")
    with np.errstate(over="ignore"):
        width = float(np.float64(high) - np.float64(low))
    if not (np.isfinite(low) and np.isfinite(high) and 1e-300 < width < np.inf):
        raise BadData(
            f"column {name!r}: the declared range must be two finite numbers, lowest first, and no wider than numbers "
            f"reach, not {declared}"
        )
    outside = (column.values < low) | (column.values > high)
    if outside.any():
        raise BadData(
            f"column {name!r}: {outside.sum():,} of {len(outside):,} values lie outside the declared range "
            f"{low:g} to {high:g}",
            hint="Declare a range that holds every value, or none: then it is learnt, and forgotten with the records.",
        )


def _labels(y: npt.NDArray[Any]) -> Column:
    if y.ndim != 1:
        raise BadTarget(f"y must have one dimension, not {y.ndim}")
    if y.dtype.kind == "f":
        if not np.isfinite(y).all():
            raise BadTarget("y holds missing or infinite values")
        return Column("number", y.astype(np.float64))
    if y.dtype.kind in "biuU":  # none can be missing: each distinct label is read once
        distinct, codes = np.unique(y, return_inverse=True)
        labels = Column.of_texts([str(v) for v in distinct])
        return Column(labels.kind, labels.values[codes], labels.vocabulary)
    lost = sum(value is None or (isinstance(value, float) and np.isnan(value)) for value in y.tolist())
    if lost:
        raise BadTarget(f"y is missing in {lost} of {len(y)} rows", rows=lost)
    return Column.of_texts([str(v) for v in y])


def _in_form_of(known: npt.NDArray[Any], value: Id) -> Id | None:
    """Return an id as a number where the known ids are numbers, else as text; None if it cannot be one of them."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, str | int | np.integer):
        return None
    if known.dtype.kind != "i":
        text = nfc(str(value))
        return None if "\0" in text else text  # numpy ends a text there
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,19}", value):
        return None
    return int(value)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Records in columns.

    Attributes:
        columns: name → `Column`, without target, ids and subjects.
        ids: shape (n,), int64 or str; unique.
        subjects: shape (n,), int64 or str: who owns each record.
        target: what is learnt: categories or numbers; None for data without one.
        target_name: the target's name.
        classes: declared classes; empty = the classes are learnt from the data, and forgotten with them.
        notes: what was decided while reading the data, one sentence each.
        ranges: column → declared (lowest, highest) value of a number or date; what is not declared is learnt from the
            data, and forgotten with them.
    """

    columns: Mapping[str, Column]
    ids: npt.NDArray[Any]
    subjects: npt.NDArray[Any]
    target: Column | None = None
    target_name: str = "target"
    classes: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=(), compare=False)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.ids)
        every = [*self.columns.items()] + ([(self.target_name, self.target)] if self.target else [])
        _check_names([name for name, _ in every])
        shapes = {name: column.shape for name, column in every} | {"subjects": self.subjects.shape}
        odd = {name: shape for name, shape in shapes.items() if shape != (n,)}
        if odd:
            raise BadData(f"{n} ids, but columns of other shapes: {odd}")
        unique, counts = np.unique(self.ids, return_counts=True)
        if len(unique) != n:
            twice = unique[counts > 1].tolist()
            many = "1 id occurs" if len(twice) == 1 else f"{len(twice)} ids occur"
            raise DuplicateId(f"{many} more than once, for example {', '.join(map(repr, twice[:3]))}")
        for name, declared in self.ranges.items():
            _check_range(name, self.columns.get(name), declared)

    def __len__(self) -> int:
        return len(self.ids)

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        *,
        target: str | None = None,
        subject: str | None = None,
        ids: str | None = None,
        classes: Sequence[str] = (),
        kinds: Mapping[str, Kind] | None = None,
    ) -> Dataset:
        """Read a pandas frame.

        Args:
            frame: one record a row.
            target: the column to learn.
            subject: the column that says who owns a record; default: every record owns itself.
            ids: the column of record ids; default: the frame's index if it is unique, else 0…n-1.
            classes: declared classes of the target.
            kinds: column → kind, where the guess would be wrong.

        Returns:
            The data set; `notes` says how each unusual column was read.

        Raises:
            MissingColumn, BadTarget, BadData, DuplicateId: nothing was read.
        """
        read = frames.read(frame, frames.Roles(target, subject, ids), tuple(classes), dict(kinds or {}))
        return cls(**read)

    @classmethod
    def from_arrays(
        cls,
        X: npt.ArrayLike,
        y: Sequence[Any] | npt.NDArray[Any] | None = None,
        *,
        ids: Iterable[Any] | None = None,
        subjects: Iterable[Any] | None = None,
        names: Sequence[str] | None = None,
    ) -> Dataset:
        """Read numbers: X of shape (n, d), NaN for missing; y of shape (n,): texts are classes, floats are numbers.

        Raises:
            BadData, BadTarget, DuplicateId: nothing was read.
        """
        try:
            table = np.asarray(X, np.float64)
        except (ValueError, TypeError) as error:
            raise BadData(f"X is not a table of numbers: {error}") from error
        if table.ndim != 2:
            raise BadData(f"X must have two dimensions, not {table.ndim}")
        if np.isinf(table).any():
            raise BadData("X holds infinite values")
        n, d = table.shape
        names = list(names) if names is not None else [f"x{j}" for j in range(d)]
        if len(names) != d or len(set(names)) != d:
            raise BadData(f"X has {d} columns and needs as many names, all different, not {names}")
        target = None if y is None else _labels(np.asarray(y))
        record_ids = normal_ids(np.arange(n) if ids is None else ids, "record id")
        return cls(
            columns={name: Column("number", table[:, j].copy()) for j, name in enumerate(names)},
            ids=record_ids,
            subjects=record_ids if subjects is None else normal_ids(subjects, "subject"),
            target=target,
        )

    @classmethod
    def from_vectors(
        cls,
        X: npt.ArrayLike,
        y: Sequence[Any] | npt.NDArray[Any] | None = None,
        *,
        ids: Iterable[Any] | None = None,
        subjects: Iterable[Any] | None = None,
        name: str = "x",
    ) -> Dataset:
        """Read embeddings (or pixels) as one column of vectors; X of shape (n, d) is kept in its own small type.

        Args:
            X: float32, float64 (read as float32), int16, int8 or uint8.
            y: texts are classes, floats are numbers.
            ids: default 0…n-1.
            subjects: default: every record owns itself.
            name: the column's.

        Raises:
            BadData, BadTarget, DuplicateId: nothing was read.
        """
        column = Column.of_vectors(X)
        record_ids = normal_ids(np.arange(len(column.values)) if ids is None else ids, "record id")
        return cls(
            columns={name: column},
            ids=record_ids,
            subjects=record_ids if subjects is None else normal_ids(subjects, "subject"),
            target=None if y is None else _labels(np.asarray(y)),
        )

    def joined(self, other: Dataset) -> Dataset:
        """Return the records of both, these first, under this schema.

        Raises:
            BadData: they do not have the same columns.
            DuplicateId: a record is in both.
        """
        if self.columns.keys() != other.columns.keys() or (self.target is None) != (other.target is None):
            raise BadData("the two data sets do not have the same columns")
        for what, a, b in (("record ids", self.ids, other.ids), ("subjects", self.subjects, other.subjects)):
            if a.dtype.kind != b.dtype.kind:
                raise BadData(f"{what} are numbers in one data set and texts in the other")
        return replace(
            self,
            columns={name: column.joined(other.columns[name]) for name, column in self.columns.items()},
            ids=np.concatenate([self.ids, other.ids]),
            subjects=np.concatenate([self.subjects, other.subjects]),
            target=self.target if self.target is None or other.target is None else self.target.joined(other.target),
        )

    @cached_property
    def id_set(self) -> frozenset[Id]:
        """The ids, for membership tests."""
        return frozenset(self.ids.tolist())

    @cached_property
    def _ascending(self) -> bool:
        """Whether the ids are numbers in ascending order: then a row is found without a table of all."""
        return self.ids.dtype.kind == "i" and bool((self.ids[1:] > self.ids[:-1]).all())

    @cached_property
    def _position(self) -> dict[Id | None, int]:
        return {value: row for row, value in enumerate(self.ids.tolist())}

    def positions(self, ids: Iterable[Id]) -> npt.NDArray[np.int64]:
        """Return the rows of these ids, shape (m,).

        Raises:
            UnknownRecord: naming up to three ids that are not here.
        """
        wanted = list(ids)
        rows = self._rows(self.named(wanted))
        lost = [i for i, row in zip(wanted, rows, strict=True) if row < 0]
        if lost:
            raise UnknownRecord(f"{len(lost)} of {len(wanted)} records are not in the data, first {lost[:3]}")
        return np.array(rows, np.int64)

    def _rows(self, names: list[Id | None]) -> list[int]:
        if not self._ascending or any(i is None or not -(2**63) <= int(i) < 2**63 for i in names):
            return [self._position.get(i, -1) for i in names]
        asked = np.array(names, np.int64)
        at = self.ids.searchsorted(asked)
        there = self.ids[np.minimum(at, len(self) - 1)] == asked if len(self) else np.zeros(len(asked), bool)
        return [row if known else -1 for row, known in zip(at.tolist(), there.tolist(), strict=True)]

    def named(self, ids: Iterable[Id]) -> list[Id | None]:
        """Return ids in the form that this data's ids have; None for what cannot be one.

        Where ids are numbers, ``"17"`` is the record 17; where they are texts, 17 is the record ``"17"``.
        """
        return [_in_form_of(self.ids, i) for i in ids]

    def owned_by(self, subject: Id) -> tuple[Id, ...]:
        """Return the ids that a subject owns; empty if none.

        Where subjects are numbers, ``"17"`` is the subject 17; where they are texts, 17 is the subject ``"17"``.
        """
        own = _in_form_of(self.subjects, subject)
        return () if own is None else tuple(self.ids[self.subjects == own].tolist())

    def take(self, rows: npt.NDArray[Any]) -> Dataset:
        """Return the records at these rows (positions or a mask), in their order; digests that are known go along."""
        taken = replace(
            self,
            columns={name: column.take(rows) for name, column in self.columns.items()},
            ids=self.ids[rows],
            subjects=self.subjects[rows],
            # the target keeps its vocabulary: whether a class may vanish is for the learner to say
            target=self.target and Column(self.target.kind, self.target.values[rows], self.target.vocabulary),
        )
        if "record_digests" in self.__dict__:
            taken.__dict__["record_digests"] = self.record_digests[rows]
        return taken

    def without(self, ids: Iterable[Id]) -> Dataset:
        """Return the data without these records, and without what other records hold of them: links to them.

        Raises:
            UnknownRecord: an id is not here.
            NothingLeft: no record would be left.
        """
        keep = np.ones(len(self), bool)
        keep[self.positions(ids)] = False
        if not keep.any():
            raise NothingLeft()
        return self.take(keep).unlinked(self.ids[~keep])

    def unlinked(self, ids: Iterable[Id]) -> Dataset:
        """Return the data without links to these records, here or elsewhere; self where it has no links."""
        if not any(column.kind == "links" for column in self.columns.values()):
            return self
        gone = ids.tolist() if isinstance(ids, np.ndarray) else list(ids)
        return replace(self, columns={name: column.unlinked(gone) for name, column in self.columns.items()})

    def only(self, ids: Iterable[Id]) -> Dataset:
        """Return just these records."""
        return self.take(self.positions(ids))

    def split(self, key: Key, holdout: float) -> tuple[Dataset, Dataset]:
        """Split off a holdout by owner, by keyed hash: a subject is on one side with all records.

        Args:
            key: of the draw.
            holdout: expected share of owners set aside, in (0, 1).

        Raises:
            BadData: one side would be empty.
        """
        owners, inverse = np.unique(self.subjects, return_inverse=True)
        aside = (unit(key.words(owners.tolist(), "holdout")) < holdout)[inverse]
        if aside.all() or not aside.any():
            raise BadData(f"{len(owners)} owners are too few to set {holdout:.0%} aside")
        return self.take(~aside), self.take(aside)

    def declaring(self, ranges: Mapping[str, tuple[float, float]]) -> Dataset:
        """Return the data with declared ranges of numbers: they stand whatever is forgotten.

        Raises:
            BadData: not a column of numbers or dates, not a range, or values lie outside it.
        """
        return replace(self, ranges={**self.ranges, **{name: (float(a), float(b)) for name, (a, b) in ranges.items()}})

    def declared_ranges(self) -> dict[str, Any]:
        """Return ``{"ranges": …}`` for canonical JSON; empty where no range is declared."""
        ranges = {name: [safe_number(end) for end in pair] for name, pair in self.ranges.items()}
        return {"ranges": ranges} if ranges else {}

    @property
    def schema(self) -> dict[str, Any]:
        """What is declared about the data, independent of the records: kinds, target, classes, ranges."""
        return self.declared_ranges() | {
            "columns": {name: column.kind for name, column in self.columns.items()},
            "target": [self.target_name, self.target.kind] if self.target else None,
            "classes": list(self.classes),
        }

    @property
    def schema_digest(self) -> bytes:
        """SHA-256 of the canonical form of `schema`."""
        return bytes.fromhex(json_digest(self.schema))

    @cached_property
    def record_digests(self) -> npt.NDArray[np.uint8]:
        """SHA-256 of each record's ``row/v1`` bytes (spec T03), shape (n, 32); columns and target, in name order.

        Ids, subjects and links (which are ids) are not inside: the same content under another id has the same digest,
        and a record stays what it was committed to when another one that it is linked to is forgotten.
        Cost: about 10 microseconds a record of 50 columns.
        """
        every = {name: column for name, column in self.columns.items() if column.kind != "links"}
        if self.target is not None:
            every[self.target_name] = self.target
        if not every:
            return np.tile(np.frombuffer(sha256(), np.uint8), (len(self), 1))
        rows = join_rows(every[name].fields(name) for name in sorted(every))
        return np.frombuffer(b"".join(sha256(row) for row in rows), np.uint8).reshape(-1, 32)

    @cached_property
    def digest(self) -> str:
        """Hex digest of the *set* of records: ids, owners, contents and links, whatever the order."""
        digests = self.record_digests
        linked = [column.fields(name) for name, column in sorted(self.columns.items()) if column.kind == "links"]
        lines = sorted(
            sha256(id_bytes(i)) + sha256(id_bytes(s)) + digests[row].tobytes() + b"".join(f[row] for f in linked)
            for row, (i, s) in enumerate(zip(self.ids.tolist(), self.subjects.tolist(), strict=True))
        )
        return sha256(b"expunge/dataset/v1\n", self.schema_digest, *lines).hex()
