"""``Vectors``: embeddings as whole numbers, each with its own power of two, whose distances are the same anywhere.

A vector of floats becomes int16 codes times 2^e, e from its own largest number: a function of this vector alone, so
that nothing about it stays behind in another's codes. Whole numbers (int16, int8, uint8) are kept as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

Metric = Literal["cosine", "euclidean", "dot"]
METRICS: tuple[Metric, ...] = get_args(Metric)
Codes = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

DIGITS = 15
TOP = 2**DIGITS - 1
BLOCK = 8192


@dataclass(frozen=True, eq=False)
class Vectors:
    """n vectors of d numbers: ``codes · 2^exponents``.

    Attributes:
        codes: shape (n, d), int16.
        exponents: shape (n,), int16.
        norms: Σ code² of each, shape (n,): whole numbers below 2⁵³ while d < 2²³.
    """

    codes: Codes
    exponents: npt.NDArray[np.int16]
    norms: Floats

    def __len__(self) -> int:
        return len(self.exponents)

    @classmethod
    def of(cls, values: npt.NDArray[np.generic]) -> Vectors:
        """Return vectors as codes; shape (n, d), float32 or whole numbers of at most 16 bits."""
        if values.dtype.kind != "f":
            return cls.of_codes(values.astype(np.int16))
        codes = np.empty(values.shape, np.int16)
        exponents = np.zeros(len(values), np.int16)
        for start in range(0, len(values), BLOCK):
            part = values[start : start + BLOCK].astype(np.float64)
            highest = np.frexp(np.abs(part).max(axis=1, initial=0.0))[1]
            scaled = np.ldexp(part, (DIGITS - highest)[:, None])
            codes[start : start + BLOCK] = np.clip(np.rint(scaled), -TOP, TOP)
            exponents[start : start + BLOCK] = np.where((part == 0).all(axis=1), 0, highest - DIGITS)
        return cls(codes, exponents, _squares(codes))

    @classmethod
    def of_codes(cls, codes: Codes) -> Vectors:
        """Return whole numbers as they are."""
        return cls(np.ascontiguousarray(codes), np.zeros(len(codes), np.int16), _squares(codes))

    @classmethod
    def joined(cls, parts: Sequence[Vectors]) -> Vectors:
        """Return the vectors of all parts, at least one, in their order."""
        return cls(
            np.concatenate([p.codes for p in parts]),
            np.concatenate([p.exponents for p in parts]),
            np.concatenate([p.norms for p in parts]),
        )

    def take(self, rows: npt.NDArray[np.generic]) -> Vectors:
        """Return the vectors at these rows."""
        return Vectors(self.codes[rows], self.exponents[rows], self.norms[rows])

    def values(self) -> npt.NDArray[np.float32]:
        """Return the numbers that the codes stand for, shape (n, d)."""
        found: npt.NDArray[np.float32] = np.ldexp(
            self.codes.astype(np.float32), self.exponents[:, None].astype(np.int32)
        )
        return found


def _squares(codes: Codes) -> Floats:
    out = np.zeros(len(codes))
    for start in range(0, len(codes), BLOCK):
        part = codes[start : start + BLOCK].astype(np.float64)
        out[start : start + BLOCK] = np.einsum("ij,ij->i", part, part)
    return out


def distances(queries: Vectors, others: Vectors, metric: Metric) -> Floats:
    """Return the distance of every query to every vector, shape (queries, n).

    Cosine: 1 - cos, a vector of zeros being at 1 from all. Euclidean: squared. Dot: the negative product. Products of
    codes are whole numbers below 2⁵³, hence exact in any order; what follows is one fixed float expression.
    """
    left = queries.codes.astype(np.float64)
    dots = np.empty((len(queries), len(others)))
    for start in range(0, len(others), BLOCK):
        dots[:, start : start + BLOCK] = left @ others.codes[start : start + BLOCK].astype(np.float64).T
    return _measured(dots, (queries.norms[:, None], others.norms), _powers(queries, others), metric)


def pair_distances(queries: Vectors, others: Vectors, places: Ints, metric: Metric) -> Floats:
    """Return the distance of each query to the vectors at its places, shape of `places` (queries, k)."""
    chosen = others.codes[places].astype(np.float64)
    dots = np.einsum("qd,qkd->qk", queries.codes.astype(np.float64), chosen)
    powers = (queries.exponents[:, None].astype(np.int32), others.exponents[places].astype(np.int32))
    return _measured(dots, (queries.norms[:, None], others.norms[places]), powers, metric)


def _powers(queries: Vectors, others: Vectors) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    return queries.exponents[:, None].astype(np.int32), others.exponents.astype(np.int32)


def _measured(
    dots: Floats,
    norms: tuple[Floats, Floats],
    powers: tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]],
    metric: Metric,
) -> Floats:
    (a, b), (left, right) = norms, powers
    if metric == "cosine":
        lengths = np.sqrt(a) * np.sqrt(b)
        found: Floats = 1.0 - np.divide(dots, lengths, out=np.zeros_like(dots), where=lengths > 0)
        return found
    dots = np.ldexp(dots, left + right)
    if metric == "dot":
        return -dots
    found = np.ldexp(a, 2 * left) + np.ldexp(b, 2 * right) - 2.0 * dots
    return np.maximum(found, 0.0)
