"""``Scale``: columns of any kind to int16 codes for dot products and distances, forgotten as exactly as the model.

A number becomes ``(value - shift) / step`` with a power-of-two step of about σ/256 and a coarse shift near the mean;
both are functions of integer moments. A category becomes one 0/1 column a value (many categories: keyed-hash
buckets), a text counts of hashed words, and what is missing its own 0/1 column. One unit of any column is 256.

Source: spec XE02-XE05. Where we differ: the step is σ/256 (σ itself would leave no digits), a missing number gets the
shift (near the mean) instead of the range's midpoint, which has the same span, and texts 2⁸ counts instead of 2¹².
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, TooLarge
from expunge.core.seeds import Key
from expunge.models.moments import EXPONENT, LARGEST, moments, place, sums

Codes = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Kind = Literal["number", "flag", "nominal", "hashed", "words"]
KINDS: tuple[Kind, ...] = ("number", "flag", "nominal", "hashed", "words")

UNIT_BITS = 8
UNIT = 1 << UNIT_BITS
"""The code of one: a category that holds, a word that occurs once, about one standard deviation of a number."""
TOP = 2**15 - 1
MAX_RECORDS = 2**22 - 1
MAX_NOMINAL = 32
BUCKETS = 64
WORDS = 256


def numbers(column: Column, name: str) -> npt.NDArray[np.float64]:
    """Return a column's numbers, NaN where missing.

    Raises:
        BadData: one is infinite.
    """
    values = np.asarray(column.values, np.float64)
    if np.isinf(values).any():
        raise BadData(f"column {name!r} holds infinite values")
    return values


@dataclass(frozen=True)
class Ruler:
    """How one column becomes codes.

    Attributes:
        column: its name.
        kind: ``number``, ``flag`` (0/1), ``nominal`` (one column a category), ``hashed`` (`BUCKETS` keyed buckets),
            ``words`` (`WORDS` counts of hashed words).
        moments: of the numbers (``number``).
        words: the categories that occur, in byte order (``nominal``, ``hashed``).
        count: records of each of `words`.
        missing: records without a value.
        shift: the value of code 0 (``number``).
        step: the value of one code (``number``).
        bits: how many digits below σ the step has.
    """

    column: str
    kind: Kind
    moments: Ints
    words: tuple[str, ...] = ()
    count: tuple[int, ...] = ()
    missing: int = 0
    shift: float = 0.0
    step: float = 1.0
    bits: int = UNIT_BITS

    @classmethod
    def of(cls, name: str, column: Column, bits: int = UNIT_BITS) -> Ruler:
        """Return the ruler of a column."""
        none = np.zeros(8, np.int64)
        if column.kind == "text":
            return cls(name, "words", none)
        if column.kind == "category":
            counts = np.bincount(column.values + 1, minlength=len(column.vocabulary) + 1).tolist()
            kind: Kind = "hashed" if sum(c > 0 for c in counts[1:]) > MAX_NOMINAL else "nominal"
            words, count = _occurring(column.vocabulary, counts[1:])
            return cls(name, kind, none, words, count, counts[0])
        values = numbers(column, name)
        lost = np.isnan(values)
        if column.kind == "boolean":
            return cls(name, "flag", none, missing=int(lost.sum()))
        found = moments(values[~lost])
        shift, step = place(found, bits)
        return cls(name, "number", found, missing=int(lost.sum()), shift=shift, step=step, bits=bits)

    @property
    def own(self) -> int:
        """How many columns it gives, without the one for missing values."""
        return {"number": 1, "flag": 1, "nominal": len(self.words), "hashed": BUCKETS, "words": WORDS}[self.kind]

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        if self.kind == "nominal":
            own = [f"{self.column}={word}" for word in self.words]
        else:
            own = [self.column] if self.own == 1 else [f"{self.column}#{j}" for j in range(self.own)]
        return own + [f"{self.column} is missing"] * (self.missing > 0)

    def encode(self, column: Column, key: Key) -> Codes:
        """Return the codes, shape (n, columns); an unknown category has none of its columns set."""
        out = np.zeros((len(column.values), self.own + (self.missing > 0)), np.int16)
        if self.kind in ("number", "flag"):
            values = np.asarray(column.values, np.float64)
            lost = np.isnan(values)
            out[:, 0] = np.where(lost, UNIT // 2 if self.kind == "flag" else 0, self.measure(values, TOP))
        else:
            lost = column.values < 0
            out[:, : self.own] = np.array([*self._rows(column.vocabulary, key)], np.int16)[column.values]
        if self.missing:
            out[:, -1] = lost * UNIT
        return out

    def measure(self, values: npt.NDArray[np.float64], top: int) -> npt.NDArray[np.float64]:
        """Return whole numbers of steps, at most `top` either way; missing values give 0."""
        step = 1.0 / UNIT if self.kind == "flag" else self.step
        with np.errstate(all="ignore"):
            found = np.clip(np.rint((values - self.shift) / step), -top, top)
        return np.where(np.isnan(found), 0.0, found)

    def _rows(self, vocabulary: tuple[str, ...], key: Key) -> Iterator[Ints]:
        """Yield the codes of each text, and a row of zeros for "missing"."""
        known = {word: j for j, word in enumerate(self.words)}
        for text in vocabulary:
            if self.kind == "words":
                places = _word_places(text, key)
            elif self.kind == "hashed":
                places = np.array([key.word(f"{self.column}={text}") % BUCKETS])
            else:
                places = np.array([known[text]] if text in known else [], np.int64)
            yield UNIT * np.minimum(np.bincount(places, minlength=self.own), TOP // UNIT)
        yield np.zeros(self.own, np.int64)

    def without(self, gone: Column) -> Ruler | None:
        """Return the ruler after these values are gone; None where its codes change meaning (then encode anew)."""
        if self.kind == "words" or not len(gone.values):
            return self
        if self.kind in ("nominal", "hashed"):
            counts = np.bincount(gone.values + 1, minlength=len(gone.vocabulary) + 1).tolist()
            less = dict(zip(gone.vocabulary, counts[1:], strict=True))
            rest = [c - less.get(word, 0) for word, c in zip(self.words, self.count, strict=True)]
            words, count = _occurring(self.words, rest)
            if self.kind == "hashed" and len(words) <= MAX_NOMINAL:
                return None
            return replace(self, words=words, count=count, missing=self.missing - counts[0])
        values = np.asarray(gone.values, np.float64)
        lost = np.isnan(values)
        missing = self.missing - int(np.count_nonzero(lost))
        if self.kind == "flag":
            return replace(self, missing=missing)
        left = self.moments.copy()
        left[1:] -= sums(values[~lost], int(left[EXPONENT]))
        if left[LARGEST] == 0 and self.moments[LARGEST] > 0:
            return None  # the unit of the moments itself was read from what is gone
        if place(left, self.bits) != (self.shift, self.step):
            return None
        return replace(self, moments=left, missing=missing)

    def lost(self, after: Ruler) -> Mask:
        """Return which of its columns are still there afterwards."""
        own = [word in set(after.words) for word in self.words] if self.kind == "nominal" else [True] * self.own
        return np.array(own + [after.missing > 0] * (self.missing > 0), bool)


def _occurring(words: tuple[str, ...], counts: list[int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    there = [(word, count) for word, count in zip(words, counts, strict=True) if count > 0]
    return tuple(word for word, _ in there), tuple(count for _, count in there)


def _word_places(text: str, key: Key) -> Ints:
    secret = key.bytes
    found = [hashlib.blake2b(w.encode(), digest_size=2, key=secret).digest() for w in text.lower().split()]
    return np.array([int.from_bytes(f, "big") % WORDS for f in found], np.int64)


@dataclass(frozen=True)
class Scale:
    """The encoder of a whole table; a pure function of the key and the set of records.

    Attributes:
        rulers: one a column, in the data's order.
        key: of the hash buckets.
    """

    rulers: tuple[Ruler, ...]
    key: Key

    @classmethod
    def of(cls, data: Dataset, key: Key) -> Scale:
        """Return the scale of these records.

        Raises:
            TooLarge: 2²² records or more.
            BadData: an infinite value.
        """
        if len(data) > MAX_RECORDS:
            raise TooLarge(f"{len(data)} records; sums are exact below {MAX_RECORDS + 1}", limit=MAX_RECORDS)
        return cls(tuple(Ruler.of(name, column) for name, column in data.columns.items()), key)

    @property
    def names(self) -> list[str]:
        """The names of the encoded columns."""
        return [name for ruler in self.rulers for name in ruler.names]

    def encode(self, data: Dataset) -> Codes:
        """Return the codes, shape (n, d), int16."""
        blocks = [ruler.encode(data.columns[ruler.column], self.key) for ruler in self.rulers]
        return np.concatenate(blocks, axis=1) if blocks else np.zeros((len(data), 0), np.int16)

    def without(self, gone: Dataset) -> tuple[Scale, Mask] | None:
        """Return (the scale without these records, which of its columns are left); None where codes change meaning.

        A column that is no longer there held only zeros in the records that are left.
        """
        rulers: list[Ruler] = []
        for ruler in self.rulers:
            after = ruler.without(gone.columns[ruler.column])
            if after is None:
                return None
            rulers.append(after)
        masks = [before.lost(after) for before, after in zip(self.rulers, rulers, strict=True)]
        return replace(self, rulers=tuple(rulers)), np.concatenate([*masks, np.zeros(0, bool)])

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what encodes, as arrays under ``scale/…``."""
        texts = ["\0".join([r.column, *(r.words if r.kind == "nominal" else ())]) for r in self.rulers]
        return {
            "scale/kind": np.array([KINDS.index(r.kind) for r in self.rulers], np.uint8),
            "scale/shift": np.array([r.shift for r in self.rulers], np.float64),
            "scale/step": np.array([r.step for r in self.rulers], np.float64),
            "scale/gaps": np.array([r.missing > 0 for r in self.rulers], np.uint8),
            "scale/words": np.frombuffer("\n".join(t.encode().hex() for t in texts).encode(), np.uint8),
        }

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the moments and counts, under ``scale/…``."""
        counts = [[r.missing, *r.count] for r in self.rulers]
        return {
            "scale/moments": np.array([r.moments for r in self.rulers], np.int64).reshape(-1, 8),
            "scale/counts": np.array([c for row in counts for c in row], np.int64),
        }

    def agrees(self, arrays: Arrays) -> bool:
        """Say whether saved arrays are this scale's."""
        mine = {**self.state(), **self.memory()}
        return all(name in arrays and np.array_equal(mine[name], arrays[name]) for name in mine)
