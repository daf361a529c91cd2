"""``Ruler``: how one column becomes int16 codes; ``Rulers``: those of a whole table, applied to all columns at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData
from expunge.core.seeds import Key

Codes = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Kind = Literal["number", "flag", "nominal", "hashed", "words", "vector"]
KINDS: tuple[Kind, ...] = ("number", "flag", "nominal", "hashed", "words", "vector")

UNIT_BITS = 8
UNIT = 1 << UNIT_BITS
"""The code of one: a category that holds, a word that occurs once, about one standard deviation of a number."""
TOP = 2**15 - 1
BUCKETS = 64
WORDS = 256
EXPONENTS = 280
"""Slots of a vector column: how many records have their largest number below 2^(slot - `ZERO`); slot 0 for zeros."""
ZERO = 150
MOST = {"int8": 128, "uint8": 255}


def numbers(column: Column, name: str) -> Floats:
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
    """How one column becomes codes; what is counted to find it is in the `Scale`.

    Attributes:
        column: its name.
        kind: ``number``, ``flag`` (0/1), ``nominal`` (one column a category), ``hashed`` (`BUCKETS` keyed buckets),
            ``words`` (`WORDS` counts of hashed words), ``vector``.
        words: the categories that occur, in byte order (``nominal``, ``hashed``).
        gaps: whether values are missing; then the last of its columns says where.
        shift: the value of code 0 (``number``).
        step: the value of one code.
        bits: how many digits below σ the step has (``number``).
        width: how many numbers a vector has.
        dtype: their type.
        declared: whether shift and step follow from a declared range, so that nothing is learnt (``number``).
    """

    column: str
    kind: Kind
    words: tuple[str, ...] = ()
    gaps: bool = False
    shift: float = 0.0
    step: float = 1.0 / UNIT
    bits: int = UNIT_BITS
    width: int = 1
    dtype: str = ""
    declared: bool = False

    @property
    def own(self) -> int:
        """How many columns it gives, without the one for missing values."""
        several = {"nominal": len(self.words), "hashed": BUCKETS, "words": WORDS, "vector": self.width}
        return several.get(self.kind, 1)

    @property
    def slots(self) -> int:
        """How many counts stand behind it: of missing values, then of each category, or of each exponent."""
        return 1 + (EXPONENTS if self.dtype == "float32" else len(self.words))

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        if self.kind == "nominal":
            own = [f"{self.column}={word}" for word in self.words]
        elif self.kind in ("number", "flag"):
            own = [self.column]
        else:
            own = [f"{self.column}#{j}" for j in range(self.own)]
        return own + [f"{self.column} is missing"] * self.gaps

    @cached_property
    def known(self) -> dict[str, int]:
        """Category → its place among `words`."""
        return {word: j for j, word in enumerate(self.words)}

    def measure(self, values: Floats, top: int) -> Floats:
        """Return whole numbers of steps, at most `top` either way; missing values give 0."""
        with np.errstate(all="ignore"):
            found = np.clip(np.rint((values - self.shift) / self.step), -top, top)
        return np.where(np.isnan(found), 0.0, found)

    def vectors(self, column: Column) -> npt.NDArray[np.int16]:
        """Return the codes of vectors, shape (n, width): whole numbers as they are, others in steps.

        Raises:
            BadData: vectors of another length or type.
        """
        values = column.values
        if values.shape[1:] != (self.width,) or values.dtype.name != self.dtype:
            was = f"{self.dtype} of length {self.width}"
            raise BadData(
                f"column {self.column!r} held vectors of {was}, not {values.dtype.name} of {values.shape[1:]}"
            )
        if self.dtype != "float32":
            return np.asarray(values, np.int16)
        wide = not 2.0**-100 < self.step < 2.0**100
        with np.errstate(all="ignore"):
            steps = values / self.step if not wide else values.astype(np.float64) / self.step
        np.rint(steps, out=steps)
        return np.asarray(np.clip(steps, -TOP, TOP, out=steps), np.int16)

    def places(self, column: Column, key: Key | None = None) -> Ints:
        """Return the place of each record's category among `words`, shape (n,); -1 for none.

        Args:
            column: the records' values.
            key: of the buckets: then places are among these.
        """

        def place(word: str) -> int:
            return self.known.get(word, -1) if key is None else key.word(f"{self.column}={word}") % BUCKETS

        words = column.vocabulary
        if len(column.values) < len(words):  # not the whole vocabulary for a few records
            return np.array([place(words[code]) if code >= 0 else -1 for code in column.values.tolist()], np.int64)
        found: Ints = np.array([*map(place, words), -1], np.int64)[column.values]
        return found

    def counts(self, column: Column) -> Ints:
        """Return how many values are missing, and of each category or exponent, shape (slots,)."""
        if self.kind == "vector":
            return np.concatenate([[0], exponents(column.values)]) if self.slots > 1 else np.zeros(1, np.int64)
        if self.kind in ("number", "flag"):
            return np.array([np.isnan(column.values).sum()], np.int64)
        if self.kind == "words":
            return np.zeros(1, np.int64)  # nothing depends on how many texts are missing
        found: Ints = np.bincount(self.places(column) + 1, minlength=self.slots)
        return found


def exponents(values: npt.NDArray[np.float32]) -> Ints:
    """Return how many vectors have their largest number at each binary exponent, shape (EXPONENTS,)."""
    found = np.zeros(EXPONENTS, np.int64)
    for start in range(0, len(values), 1 << 14):
        block = values[start : start + (1 << 14)]
        if block.size:
            most = np.maximum(block.max(axis=1), -block.min(axis=1))
            slots = np.where(most > 0, np.frexp(most)[1] + ZERO, 0)
            found += np.bincount(slots, minlength=EXPONENTS)
    return found


def vector_step(counts: Ints) -> float:
    """Return the power of two that takes all vectors but the largest 1,024th of them into int16 unclipped.

    One step a column, because the numbers of a vector have one unit and distances between vectors one meaning; of the
    largest numbers, not of σ, because embeddings have dimensions far out.
    """
    n = int(counts.sum())
    slot = int(np.searchsorted(np.cumsum(counts), n - n // 1024)) if n else 0
    return float(np.ldexp(1.0, slot - ZERO - 15)) if slot else 1.0


@dataclass(frozen=True)
class _Plain:
    """Numbers and truth values side by side: names, places among codes and slots, shifts, steps, codes of missing."""

    names: list[str]
    at: Ints
    gap: Ints
    gaps: Mask
    slots: Ints
    shift: Floats
    step: Floats
    fill: npt.NDArray[np.int16]


@dataclass(frozen=True)
class Rulers:
    """The rulers of a table.

    Attributes:
        every: one a column, in the data's order.
        key: of the hash buckets.
    """

    every: tuple[Ruler, ...]
    key: Key

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """Where the codes of each begin; the last is the number of codes a record."""
        return tuple(np.cumsum([0, *(r.own + r.gaps for r in self.every)]).tolist())

    @cached_property
    def slots(self) -> tuple[int, ...]:
        """Where the counts of each begin; the last is the number of counts."""
        return tuple(np.cumsum([0, *(r.slots for r in self.every)]).tolist())

    @cached_property
    def top(self) -> int:
        """The largest code that can occur."""
        return max([MOST.get(r.dtype, TOP) for r in self.every], default=0)

    @cached_property
    def _plain(self) -> _Plain:
        places = [j for j, r in enumerate(self.every) if r.kind in ("number", "flag")]
        rulers = [self.every[j] for j in places]
        at = np.array([self.starts[j] for j in places], np.int64)
        gaps = np.array([r.gaps for r in rulers], bool)
        return _Plain(
            [r.column for r in rulers],
            at,
            at[gaps] + 1,
            gaps,
            np.array([self.slots[j] for j in places], np.int64),
            np.array([r.shift for r in rulers]),
            np.array([r.step for r in rulers]),
            np.array([UNIT // 2 if r.kind == "flag" else 0 for r in rulers], np.int16),
        )

    @cached_property
    def measured(self) -> tuple[Ints, list[tuple[float, float, int]]]:
        """Which columns are numbers of no declared range, and the (shift, step, bits) of each."""
        every = [(j, r) for j, r in enumerate(self.every) if r.kind == "number" and not r.declared]
        return np.array([j for j, _ in every], np.int64), [(r.shift, r.step, r.bits) for _, r in every]

    def table(self, data: Dataset) -> Floats:
        """Return numbers and truth values side by side, shape (n, p)."""
        out = np.empty((len(data), len(self._plain.names)))
        for j, name in enumerate(self._plain.names):
            out[:, j] = data.columns[name].values
        return out

    def encode(self, data: Dataset) -> Codes:
        """Return the codes, shape (n, d); an unknown category has none of its columns set."""
        if len(self.every) == 1 and self.every[0].kind == "vector":
            return self.every[0].vectors(data.columns[self.every[0].column])
        out = np.zeros((len(data), self.starts[-1]), np.int16)
        plain = self._plain
        if plain.names:
            values = self.table(data)
            lost = np.isnan(values)
            with np.errstate(all="ignore"):
                steps = np.clip(np.rint((values - plain.shift) / plain.step), -TOP, TOP)
            out[:, plain.at] = np.where(lost, plain.fill, steps)
            out[:, plain.gap] = lost[:, plain.gaps] * UNIT
        for ruler, start in zip(self.every, self.starts, strict=False):
            if ruler.kind not in ("number", "flag"):
                self._encode_one(ruler, data.columns[ruler.column], out[:, start : start + ruler.own + ruler.gaps])
        return out

    def _encode_one(self, ruler: Ruler, column: Column, out: Codes) -> None:
        if ruler.kind == "vector":
            out[:, : ruler.own] = ruler.vectors(column)
            return
        if ruler.kind == "words":
            out[:, : ruler.own] = np.array([*_counted(column.vocabulary, self.key)], np.int16)[column.values]
        else:
            place = ruler.places(column, self.key if ruler.kind == "hashed" else None)
            there = (place >= 0).nonzero()[0]
            out[there, place[there]] = UNIT
        if ruler.gaps:
            out[:, -1] = (column.values < 0) * np.int16(UNIT)

    def counts(self, data: Dataset) -> Ints:
        """Return the counts behind all rulers, shape (slots,); every category must be known."""
        found, plain = np.zeros(self.slots[-1], np.int64), self._plain
        if plain.names:
            found[plain.slots] = np.isnan(self.table(data)).sum(axis=0)
        for ruler, start in zip(self.every, self.slots, strict=False):
            if ruler.kind not in ("number", "flag"):
                found[start : start + ruler.slots] = ruler.counts(data.columns[ruler.column])
        return found


def _counted(vocabulary: tuple[str, ...], key: Key) -> Iterator[Ints]:
    """Yield the codes of each text, and a row of zeros for "missing"."""
    secret = key.bytes
    for text in vocabulary:
        found = [hashlib.blake2b(w.encode(), digest_size=2, key=secret).digest() for w in text.lower().split()]
        places = np.array([int.from_bytes(f, "big") % WORDS for f in found], np.int64)
        yield UNIT * np.minimum(np.bincount(places, minlength=WORDS), TOP // UNIT)
    yield np.zeros(WORDS, np.int64)
