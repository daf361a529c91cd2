"""``Scale``: columns of any kind to int16 codes for dot products and distances, forgotten as exactly as the model.

A number becomes ``(value - shift) / step`` with a power-of-two step of about σ/256 and a coarse shift near the mean;
both are functions of integer moments. A category becomes one 0/1 column a value (many categories: keyed-hash
buckets), a text counts of hashed words, and what is missing its own 0/1 column. One unit of any of these is 256.
Vectors of whole numbers are taken as they are; of floats in steps of one power of two a column (`vector_step`), read
from counts of the exponents of each vector's largest number.

Source: spec XE02-XE05. Where we differ: the step is σ/256 (σ itself would leave no digits), a missing number gets the
shift (near the mean) instead of the range's midpoint, which has the same span, and texts 2⁸ counts instead of 2¹².
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, TooLarge
from expunge.core.seeds import Key
from expunge.models.encoding.moments import EXPONENT, LARGEST, moments, place, sums_of, unmoved
from expunge.models.encoding.rulers import (
    KINDS,
    TOP,
    UNIT,
    UNIT_BITS,
    Codes,
    Floats,
    Ints,
    Kind,
    Mask,
    Ruler,
    Rulers,
    numbers,
    vector_step,
)

__all__ = ["KINDS", "TOP", "UNIT", "UNIT_BITS", "Codes", "Mask", "Ruler", "Scale", "numbers"]

MAX_RECORDS = 2**22 - 1
MAX_NOMINAL = 32


def check_many(n: int) -> None:
    """Refuse more records than sums are exact for.

    Raises:
        TooLarge: 2²² or more.
    """
    if n > MAX_RECORDS:
        raise TooLarge(f"{n} records; sums are exact below {MAX_RECORDS + 1}", limit=MAX_RECORDS)


def declared(name: str, gaps: bool, between: tuple[float, float]) -> Ruler:
    """Return the ruler of numbers between two declared ends: about a thousand codes, whatever the records hold."""
    low, high = between
    share, power = math.frexp(high / 2 - low / 2)  # halves: the two ends may be as far apart as numbers go
    power += 1 - (share * share < 0.5) - UNIT_BITS - 2  # the nearest power of two to a 1,024th, in whole numbers
    step = math.ldexp(1.0, max(power, -1000))
    return Ruler(name, "number", gaps=gaps, shift=low / 2 + high / 2, step=step, declared=True)


def learnt(
    name: str, column: Column, bits: int = UNIT_BITS, between: tuple[float, float] | None = None
) -> tuple[Ruler, Ints]:
    """Return the ruler of a column, and its moments: eight whole numbers, zeros of what is no number or is declared.

    Raises:
        BadData: a value is infinite, or of a kind that has no codes.
    """
    none = np.zeros(8, np.int64)
    if column.kind == "links":
        raise BadData(f"column {name!r} holds links; this learner reads numbers, categories, dates, texts and vectors")
    if column.kind == "text":
        return Ruler(name, "words"), none  # a missing text has no words; there is no column for it
    if column.kind == "vector":
        ruler = Ruler(name, "vector", step=1.0, width=column.values.shape[1], dtype=column.values.dtype.name)
        return replace(ruler, step=vector_step(ruler.counts(column)[1:]) if ruler.slots > 1 else 1.0), none
    if column.kind == "category":
        counts = np.bincount(column.values + 1, minlength=len(column.vocabulary) + 1).tolist()
        words = tuple(word for word, count in zip(column.vocabulary, counts[1:], strict=True) if count)
        kind: Kind = "hashed" if len(words) > MAX_NOMINAL else "nominal"
        return Ruler(name, kind, words, counts[0] > 0), none
    values = numbers(column, name)
    lost = np.isnan(values)
    if column.kind == "boolean":
        return Ruler(name, "flag", gaps=bool(lost.any())), none
    if between is not None:
        return declared(name, bool(lost.any()), between), none
    found = moments(values[~lost])
    shift, step = place(found, bits)
    return Ruler(name, "number", gaps=bool(lost.any()), shift=shift, step=step, bits=bits), found


@dataclass(frozen=True)
class Scale:
    """The encoder of a whole table; a pure function of the key and the set of records.

    Attributes:
        rulers: one a column, in the data's order, and the key of the hash buckets.
        moments: of each column of numbers, shape (columns, 8); zeros for others.
        counts: what is counted behind each ruler, one after the other.
    """

    rulers: Rulers
    moments: Ints
    counts: Ints

    @classmethod
    def of(cls, data: Dataset, key: Key) -> Scale:
        """Return the scale of these records.

        Raises:
            TooLarge: 2²² records or more.
            BadData: an infinite value, or a column that has no codes.
        """
        check_many(len(data))
        found = [learnt(name, column, between=data.ranges.get(name)) for name, column in data.columns.items()]
        rulers = Rulers(tuple(ruler for ruler, _ in found), key)
        every = np.array([m for _, m in found], np.int64).reshape(-1, 8)
        return cls(rulers, every, rulers.counts(data))

    @property
    def key(self) -> Key:
        """The key of the hash buckets."""
        return self.rulers.key

    @cached_property
    def names(self) -> list[str]:
        """The names of the encoded columns."""
        return [name for ruler in self.rulers.every for name in ruler.names]

    @property
    def width(self) -> int:
        """How many encoded columns there are."""
        return self.rulers.starts[-1]

    @cached_property
    def steps(self) -> Floats:
        """The value of one code of each encoded column, shape (d,)."""
        found = [[r.step] * r.own + [1.0 / UNIT] * r.gaps for r in self.rulers.every]
        return np.array([step for steps in found for step in steps], np.float64)

    @cached_property
    def shifts(self) -> Floats:
        """The value of code 0 of each encoded column, shape (d,)."""
        found = [[r.shift] * r.own + [0.0] * r.gaps for r in self.rulers.every]
        return np.array([shift for shifts in found for shift in shifts], np.float64)

    def encode(self, data: Dataset) -> Codes:
        """Return the codes, shape (n, d), int16; of one column of int16 vectors, the vectors themselves."""
        return self.rulers.encode(data)

    def _sums(self, data: Dataset) -> Ints:
        """Return the moments after the first of each number, in this scale's units, shape (numbers, 7)."""
        at, _ = self.rulers.measured
        every = [self.rulers.every[j].column for j in at.tolist()]
        values = np.array([data.columns[name].values for name in every]).T
        return sums_of(values, self.moments[at, EXPONENT])

    def _moved(self, left: Ints, counts: Ints) -> bool:
        """Say whether any shift or step is another one with these moments and counts."""
        at, places = self.rulers.measured
        if len(at) and ((left[at, LARGEST] == 0) & (self.moments[at, LARGEST] > 0)).any():
            return True  # the unit of the moments itself was read from what is gone
        if not unmoved(left[at], places):
            return True
        return any(
            vector_step(counts[start + 1 : start + r.slots]) != r.step
            for r, start in zip(self.rulers.every, self.rulers.slots, strict=False)
            if r.dtype == "float32"
        )

    def without(self, gone: Dataset) -> tuple[Scale, Mask] | None:
        """Return (the scale without these records, which of its columns are left); None where codes change meaning.

        A column that is no longer there held only zeros in the records that are left.
        """
        counts, left = self.counts - self.rulers.counts(gone), self.moments
        at, _ = self.rulers.measured
        if len(at):
            left = left.copy()
            left[at, 1:] -= self._sums(gone)
        if self._moved(left, counts):
            return None
        if not ((counts == 0) & (self.counts > 0)).any():
            return Scale(self.rulers, left, counts), np.ones(self.width, bool)
        every, masks = [], []
        for ruler, start in zip(self.rulers.every, self.rulers.slots, strict=False):
            after = _after(ruler, counts[start : start + ruler.slots])
            if after is None:
                return None
            every.append(after)
            masks.append(_there(ruler, after))
        slots = np.concatenate([_slots_there(a, b) for a, b in zip(self.rulers.every, every, strict=True)])
        return Scale(Rulers(tuple(every), self.key), left, counts[slots]), np.concatenate(masks)

    def adding(self, more: Dataset) -> tuple[Scale, Mask] | None:
        """Return (the scale with these records too, which of its columns were there); None where codes change meaning.

        A column that was not there held only zeros until now.

        Raises:
            BadData: an infinite value, or vectors of another length or type.
        """
        new = Scale.of(replace(more, ranges={}), self.key)  # ranges are this scale's, and part of its rulers
        every = [_both(a, b) for a, b in zip(self.rulers.every, new.rulers.every, strict=True)]
        if any(ruler is None for ruler in every):
            return None
        rulers = Rulers(tuple(ruler for ruler in every if ruler is not None), self.key)
        masks, slots = [], []
        for old, ruler in zip(self.rulers.every, rulers.every, strict=True):
            masks.append(_there(ruler, old))
            slots.append(_slots_there(ruler, old))
        counts = rulers.counts(more)
        counts[np.concatenate([*slots, np.zeros(0, bool)])] += self.counts
        left, (at, _) = self.moments, self.rulers.measured
        if len(at):
            if (new.moments[at, EXPONENT] > left[at, EXPONENT]).any():
                return None
            left = left.copy()
            left[at, 1:] += self._sums(more)
        after = Scale(rulers, left, counts)
        return None if after._moved(left, counts) else (after, np.concatenate([*masks, np.zeros(0, bool)]))

    def slim(self) -> Scale:
        """Return a scale that encodes alike and remembers nothing else: no sums, no words of hashed columns."""
        every = tuple(r if r.kind == "nominal" else replace(r, words=()) for r in self.rulers.every)
        rulers = Rulers(every, self.key)
        return Scale(rulers, np.zeros_like(self.moments), np.zeros(rulers.slots[-1], np.int64))

    @classmethod
    def read(cls, arrays: Arrays, key: Key) -> Scale:
        """Return the scale of a saved `state`, as `slim` leaves it.

        Raises:
            KeyError, ValueError, IndexError: the arrays are no such state.
        """
        texts = bytes(np.asarray(arrays["scale/words"], np.uint8)).decode()
        said = [bytes.fromhex(text).decode().split("\0") for text in texts.split("\n")] if texts else []
        parts = [np.asarray(arrays[f"scale/{name}"]).tolist() for name in ("kind", "shift", "step", "gaps")]
        every = tuple(
            Ruler(names[0], KINDS[kind], tuple(names[1:]), bool(gaps), shift, step)
            for names, kind, shift, step, gaps in zip(said, *parts, strict=True)
        )
        rulers = Rulers(every, key)
        return cls(rulers, np.zeros((len(every), 8), np.int64), np.zeros(rulers.slots[-1], np.int64))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what encodes, as arrays under ``scale/…``."""
        every = self.rulers.every
        texts = ["\0".join([r.column, *_said(r)]) for r in every]
        return {
            "scale/kind": np.array([KINDS.index(r.kind) for r in every], np.uint8),
            "scale/shift": np.array([r.shift for r in every], np.float64),
            "scale/step": np.array([r.step for r in every], np.float64),
            "scale/gaps": np.array([r.gaps for r in every], np.uint8),
            "scale/words": np.frombuffer("\n".join(t.encode().hex() for t in texts).encode(), np.uint8),
        }

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the moments and counts, under ``scale/…``."""
        return {"scale/moments": self.moments, "scale/counts": self.counts}

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        return sum(a.nbytes for a in (*self.state().values(), *self.memory().values()))

    def agrees(self, arrays: Arrays) -> bool:
        """Say whether saved arrays are this scale's."""
        mine = {**self.state(), **self.memory()}
        return all(name in arrays and np.array_equal(mine[name], arrays[name]) for name in mine)


def _said(ruler: Ruler) -> Iterable[str]:
    if ruler.kind == "vector":
        return (ruler.dtype, str(ruler.width))
    return ruler.words if ruler.kind == "nominal" else ()


def _after(ruler: Ruler, counts: Ints) -> Ruler | None:
    """Return the ruler with these counts; None where its columns change meaning."""
    gaps = bool(counts[0] > 0)
    if not ruler.words:
        return ruler if gaps == ruler.gaps else replace(ruler, gaps=gaps)
    words = tuple(word for word, count in zip(ruler.words, counts[1:].tolist(), strict=True) if count)
    if ruler.kind == "hashed" and len(words) <= MAX_NOMINAL:
        return None
    return ruler if (words, gaps) == (ruler.words, ruler.gaps) else replace(ruler, words=words, gaps=gaps)


def _both(old: Ruler, new: Ruler) -> Ruler | None:
    """Return the ruler of the values of both, with the old shift and step; None where columns change meaning."""
    if (old.dtype, old.width) != (new.dtype, new.width):
        raise BadData(f"column {old.column!r} holds vectors of another length or type than before")
    words = tuple(sorted({*old.words, *new.words}, key=str.encode))
    if old.kind == "nominal" and len(words) > MAX_NOMINAL:
        return None
    if new.kind == "hashed" and old.kind != "hashed":
        return None
    return replace(old, words=words, gaps=old.gaps or new.gaps)


def _there(ruler: Ruler, other: Ruler) -> Mask:
    """Return which of a ruler's columns another one of the same column has too."""
    own = [word in other.known for word in ruler.words] if ruler.kind == "nominal" else [True] * ruler.own
    return np.array(own + [other.gaps] * ruler.gaps, bool)


def _slots_there(ruler: Ruler, other: Ruler) -> Mask:
    """Return which of a ruler's counts another one of the same column has too."""
    if not ruler.words:
        return np.ones(ruler.slots, bool)
    return np.array([True, *(word in other.known for word in ruler.words)], bool)
