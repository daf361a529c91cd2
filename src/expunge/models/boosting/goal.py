"""``Target``: what boosting learns, as whole numbers: a class against the rest in each chain of rounds, or a number.

Source: spec XL02, X05 (tables instead of transcendentals), X02 (the base margin is inside the function that forgets).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Context, Decimal
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadTarget
from expunge.core.models import class_labels
from expunge.models.encoding.moments import EXPONENT, LARGEST, moments, place, sums
from expunge.models.scores import known_codes, label_bytes

if TYPE_CHECKING:
    from expunge.models.kernels.boost import Loss

Ints = npt.NDArray[np.int64]

ONE_BITS = 16
"""A probability of 1, in the tables."""
FAR = 20
"""Margins reach as far, in nats, before the tables end."""
BASE_STEP = 0.25
"""The base margin lies on multiples of about so much, so that it moves rarely."""
TARGET_BITS = 10
"""The step of a number target is σ/2¹⁰, rounded to a power of two."""
TARGET_TOP = 2**26 - 1
NO_MOMENTS = np.zeros(0, np.int64)


@lru_cache(maxsize=16)
def sigmoid_tables(step: float) -> tuple[Ints, Ints]:
    """Return 2¹⁶·σ(m·step) and 2¹⁶·σ·(1 - σ), at least 1, for whole m with |m·step| ≤ 20: correctly rounded.

    >>> slope, curve = sigmoid_tables(0.05)
    >>> len(slope), int(slope[400]), int(curve[400])
    (801, 32768, 16384)
    """
    exact, one = Context(prec=40), 1 << ONE_BITS
    top = int(FAR / step)
    shares = [exact.divide(1, 1 + exact.exp(-m * Decimal(repr(step)))) for m in range(-top, top + 1)]
    slope = [int((one * p).to_integral_value()) for p in shares]
    curve = [max(int((one * p * (1 - p)).to_integral_value()), 1) for p in shares]
    return np.array(slope, np.int64), np.array(curve, np.int64)


@dataclass(frozen=True, eq=False)
class Target:
    """What is learnt.

    Attributes:
        step: a margin's step: in nats for classes, in units of about σ for a number.
        labels: the classes; empty for a number.
        counts: records of each class, shape (k,); of a number the sum of the target's steps, shape (1,).
        n: records.
        moments: of a number (`expunge.models.encoding.moments`); empty for classes.
    """

    step: float
    labels: tuple[str, ...]
    counts: Ints
    n: int
    moments: Ints

    @classmethod
    def of(cls, data: Dataset, step: float) -> Target:
        """Return the target of these records.

        Raises:
            BadTarget, ClassVanished: not something to learn.
        """
        target = data.target
        if target is None or target.kind == "category":
            labels = class_labels(data)
            counts = np.bincount(known_codes(data, labels), minlength=len(labels)).astype(np.int64)
            return cls(step, labels, counts, len(data), NO_MOMENTS)
        values = np.asarray(target.values, np.float64)
        if target.kind != "number" or not np.isfinite(values).all():
            raise BadTarget(f"target {data.target_name!r} is not a finite number in every record")
        found = cls(step, (), np.zeros(1, np.int64), len(data), moments(values))
        return replace(found, counts=found._steps(values).sum(keepdims=True))

    @property
    def is_number(self) -> bool:
        """Whether a number is learnt, and not classes."""
        return len(self.moments) > 0

    @cached_property
    def place(self) -> tuple[float, float]:
        """Shift and step of a number target."""
        return place(self.moments, TARGET_BITS)

    def _steps(self, values: npt.NDArray[np.float64]) -> Ints:
        shift, step = self.place
        with np.errstate(over="ignore"):
            steps: Ints = np.clip(np.rint((values - shift) / step), -TARGET_TOP, TARGET_TOP).astype(np.int64)
        return steps

    @property
    def chains(self) -> int:
        """How many chains of rounds: one for two classes or a number, one a class for more, none for a single class."""
        k = len(self.labels)
        return k if k > 2 else 1 - k % 2

    @property
    def unit(self) -> int:
        """How many steps of a number target one margin step is."""
        return max(1, round(self.step * (1 << TARGET_BITS)))

    def encode(self, data: Dataset) -> Ints:
        """Return each chain's target, shape (chains, n): 2¹⁶ for its class, else 0; or whole steps of a number."""
        if self.is_number and data.target is not None:
            return self._steps(np.asarray(data.target.values, np.float64))[None, :]
        codes = known_codes(data, self.labels)
        own = [1] if self.chains == 1 else range(self.chains)
        return np.array([codes == c for c in own], np.int64).reshape(self.chains, len(data)) << ONE_BITS

    @cached_property
    def base(self) -> npt.NDArray[np.int32]:
        """The margin that each chain starts from, shape (chains,): the prior (or the mean), on a coarse grid."""
        coarse = max(1, round(BASE_STEP / self.step))
        if self.is_number:
            every = 2 * self.n * self.unit * coarse
            return np.array([(2 * int(self.counts[0]) + every // 2) // every * coarse], np.int32)
        slope, _ = sigmoid_tables(self.step)
        top = len(slope) // 2
        places = np.arange(-(top // coarse), top // coarse + 1) * coarse
        own = self.counts[1:] if self.chains == 1 else self.counts[: self.chains]
        nearest = [np.abs(slope[places + top] * self.n - (int(c) << ONE_BITS)).argmin() for c in own]
        return np.asarray(places[np.array(nearest, np.int64)], np.int32)

    def counted(self, column: Column | None, rows: npt.NDArray[np.int64]) -> Ints:
        """Return how many of these records are of each class, or the sum of their steps; shaped like `counts`."""
        if column is None:
            return np.zeros_like(self.counts)
        if self.is_number:
            return np.asarray(self._steps(np.asarray(column.values[rows], np.float64)).sum(keepdims=True))
        place = {label: code for code, label in enumerate(self.labels)}
        found = np.bincount(column.values[rows], minlength=len(column.vocabulary))
        counts = np.zeros_like(self.counts)
        for word, count in zip(column.vocabulary, found.tolist(), strict=True):
            if word in place:
                counts[place[word]] = count
        return counts

    def without(self, column: Column | None, rows: npt.NDArray[np.int64]) -> Target | None:
        """Return the target without these records of its column; None where its step, shift or base moves."""
        left = self.moments.copy()
        if self.is_number and column is not None:
            values = np.asarray(column.values[rows], np.float64)
            left[1:] -= sums(values, int(left[EXPONENT]))
            if left[LARGEST] == 0 and self.moments[LARGEST] > 0:
                return None  # the unit of the moments itself was read from what is gone
        after = replace(self, counts=self.counts - self.counted(column, rows), n=self.n - len(rows), moments=left)
        return after if after.like(self) else None

    def like(self, other: Target) -> bool:
        """Say whether margins mean the same under both."""
        if self.labels != other.labels or (self.is_number and self.place != other.place):
            return False
        return np.array_equal(self.base, other.base)

    def loss(self) -> Loss:
        """Return the kernels' form of the loss."""
        from expunge.models.kernels.boost import Loss

        if self.is_number:
            return Loss(np.zeros(0, np.int64), np.zeros(0, np.int64), self.unit)
        return Loss(*sigmoid_tables(self.step), 0)

    def logits(self, margins: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        """Return what margins of shape (chains, n) say: log-odds of classes, shape (n, k), or numbers, shape (n, 1)."""
        values = margins.astype(np.float64).T
        if self.is_number:
            return values * (self.unit * self.place[1]) + self.place[0]
        if self.chains == 1:
            return np.concatenate([np.zeros_like(values), values * self.step], axis=1)
        if not self.chains:
            return np.zeros((margins.shape[1], 1))
        return -np.logaddexp(0.0, -values * self.step)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: classes, or shift and step; and the base."""
        state: dict[str, npt.NDArray[Any]] = {"target/base": self.base}
        if self.is_number:
            return {**state, "target/place": np.array(self.place)}
        return {**state, "classes/labels": label_bytes(self.labels)}
