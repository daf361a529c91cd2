"""``Column``: the values of one column, with a canonical byte form and a vocabulary that holds only what occurs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import field_bytes, nfc, text_field
from expunge.core.errors import BadData

Kind = Literal["number", "category", "text", "date", "boolean", "vector", "links"]
CODED: frozenset[str] = frozenset({"category", "text", "links"})
VECTORS = ("float32", "int16", "int8", "uint8")
"""What the numbers of a vector may be."""


@dataclass(frozen=True, eq=False)
class Column:
    """One column.

    Attributes:
        kind: what the values mean.
        values: shape (n,). Numbers, dates (days since 1970-01-01) and booleans are float64 with NaN for missing;
            categories and texts are int32 codes into `vocabulary` with -1 for missing. Vectors (embeddings, pixels)
            are one array of shape (n, d) of a type in `VECTORS`; none is missing, and all numbers are finite. Links are
            coded like texts: the ids of the records that a record is linked to, with single spaces between them.
        vocabulary: the distinct texts, sorted by their UTF-8 bytes; only texts that occur.
    """

    kind: Kind
    values: npt.NDArray[Any]
    vocabulary: tuple[str, ...] = ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one value a record: (n,), also where a value is a vector."""
        shape = self.values.shape
        return shape[:1] if self.kind == "vector" and len(shape) == 2 else shape

    def take(self, rows: npt.NDArray[Any]) -> Column:
        """Return the column of these rows; texts that no longer occur leave the vocabulary."""
        values = self.values[rows]
        if self.kind not in CODED:
            return Column(self.kind, values)
        used = np.bincount(values + 1, minlength=len(self.vocabulary) + 1)[1:] > 0
        if used.all():
            return Column(self.kind, values, self.vocabulary)
        codes = np.concatenate([np.array([-1], np.int32), np.cumsum(used, dtype=np.int32) - 1]).astype(np.int32)
        words = tuple(w for w, u in zip(self.vocabulary, used, strict=True) if u)
        return Column(self.kind, codes[values + 1], words)

    def fields(self, name: str) -> list[bytes]:
        """Return the ``row/v1`` encoding of each value (spec T03); a missing value has dtype ``null``."""
        missing = field_bytes(name, "null", b"")
        if self.kind in CODED:
            encoded = [text_field(name, word) for word in self.vocabulary] + [missing]
            return [encoded[code] for code in self.values.tolist()]
        if self.kind == "vector":
            return self._vector_fields(name)
        head = field_bytes(name, "<f8", b"")
        values = np.asarray(self.values, "<f8") + 0.0
        body = values.tobytes()
        return [missing if lost else head + body[8 * i : 8 * i + 8] for i, lost in enumerate(np.isnan(values).tolist())]

    def _vector_fields(self, name: str) -> list[bytes]:
        values = np.ascontiguousarray(self.values, self.values.dtype.newbyteorder("<"))
        if values.dtype.kind == "f":
            values = values + values.dtype.type(0)  # -0.0 becomes +0.0
        head, body = field_bytes(name, values.dtype.str, b"", values.shape[1:]), values.tobytes()
        size = values.dtype.itemsize * values.shape[1]
        return [head + body[size * i : size * (i + 1)] for i in range(len(values))]

    @classmethod
    def of_vectors(cls, values: npt.ArrayLike) -> Column:
        """Return a column of vectors, shape (n, d): float32, int16, int8 or uint8 as they are, float64 as float32.

        Raises:
            BadData: not two dimensions, another type, or a number that is not finite.
        """
        array = np.asarray(values)
        if array.dtype == np.float64:
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
        if array.ndim != 2 or array.dtype.name not in VECTORS:
            what = f"{array.dtype.name} of shape {array.shape}"
            raise BadData(f"vectors are an array of shape (n, d) of {', '.join(VECTORS)} or float64, not {what}")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise BadData("a vector holds a number that is missing or infinite (or beyond float32)")
        return cls("vector", array)

    @classmethod
    def of_links(cls, links: Iterable[Iterable[Any]]) -> Column:
        """Return a column of links: of each record, the ids of the records that it is linked to, in any order.

        Raises:
            BadData: an id holds a space, so that a list of ids could not be read back.
        """
        listed = [[nfc(str(i)) for i in ids] for ids in links]
        odd = next((i for ids in listed for i in ids if i != "".join(i.split())), None)
        if odd is not None:
            raise BadData(f"a link cannot name the record {odd!r}: its id holds a space")
        return cls.of_texts([" ".join(sorted(set(ids), key=str.encode)) for ids in listed], "links")

    def unlinked(self, gone: Iterable[Any]) -> Column:
        """Return the links without those to some records; columns of other kinds are returned as they are."""
        names = {nfc(str(i)) for i in gone}
        lists = [word.split() for word in self.vocabulary] if self.kind == "links" else []
        if not any(names.intersection(ids) for ids in lists):
            return self
        left: list[str | None] = [" ".join(i for i in ids if i not in names) for ids in lists]
        column = Column.of_texts([*left, None], "links")
        return Column("links", column.values[self.values], column.vocabulary)

    def joined(self, other: Column) -> Column:
        """Return the values of both, these first; the vocabulary is of both.

        Raises:
            BadData: the kinds differ, or vectors of other lengths or types.
        """
        a, b = self.values, other.values
        if self.kind != other.kind or a.shape[1:] != b.shape[1:] or a.dtype != b.dtype:
            left, right = ((c.kind, *c.values.shape[1:], c.values.dtype.name) for c in (self, other))
            raise BadData(f"columns do not match: {left} and {right}")
        if self.kind not in CODED or self.vocabulary == other.vocabulary:
            return Column(self.kind, np.concatenate([a, b]), self.vocabulary)
        words = sorted({*self.vocabulary, *other.vocabulary}, key=str.encode)
        code = {word: i for i, word in enumerate(words)}
        parts = [np.array([*(code[w] for w in c.vocabulary), -1], np.int32)[c.values] for c in (self, other)]
        return Column(self.kind, np.concatenate(parts), tuple(words))

    @classmethod
    def of_texts(cls, texts: Sequence[str | None], kind: Kind = "category") -> Column:
        """Return a column of texts; None is missing.

        Raises:
            BadData: a text holds half a surrogate pair, which has no bytes.
        """
        try:
            words = sorted({t for t in texts if t is not None}, key=lambda w: w.encode())
        except UnicodeEncodeError as error:
            raise BadData(f"a text is not valid Unicode: {error.object!r}") from error
        code: dict[str | None, int] = {w: i for i, w in enumerate(words)}
        code[None] = -1
        return cls(kind, np.array([code[t] for t in texts], np.int32), tuple(words))


def normal_ids(values: Iterable[Any], what: str) -> npt.NDArray[Any]:
    """Return ids as an int64 array if all are integers, else as an array of strings in Unicode's composed form.

    Raises:
        BadData: an id is missing, or neither an integer nor a string, or not valid Unicode.
    """
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu" and np.can_cast(values.dtype, np.int64):
        return values.astype(np.int64)
    listed = values.tolist() if isinstance(values, np.ndarray) else list(values)
    if all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in listed):
        try:
            return np.array(listed, dtype=np.int64)
        except OverflowError as error:
            raise BadData(f"a {what} does not fit 64 bits; give it as text") from error
    return np.array([_text_id(value, what) for value in listed], dtype=np.str_)


def _text_id(value: Any, what: str) -> str:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        try:
            return str(value)
        except ValueError as error:  # thousands of digits
            raise BadData(f"a {what} does not fit 64 bits; give it as text") from error
    if value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and np.isnan(value)):
        value = ""
    if not isinstance(value, str):
        raise BadData(f"a {what} must be a whole number or text, not {type(value).__name__} {value!r}")
    if not value:
        raise BadData(f"a {what} is missing", hint=f"Every row needs a {what}: fill it in or drop the row.")
    if "\0" in value or not encodes(value):
        raise BadData(f"a {what} must be text of whole characters without NUL, not {value!r}")
    return nfc(value)


def encodes(text: str) -> bool:
    """Say whether a text has bytes: half a surrogate pair has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
