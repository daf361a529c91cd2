"""``Target``: what a forest learns, as whole numbers: codes of classes, or numbers on a learnt power-of-two grid."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadTarget, TooLarge
from expunge.core.models import class_labels
from expunge.models.encoding.cells import power_above
from expunge.models.scores import label_bytes

Codes = npt.NDArray[np.uint32]
LARGEST = 2.0**1000
"""Numbers beyond this have no grid."""
SMALLEST = 2.0**-900
"""Differences below this are none."""


@dataclass(frozen=True)
class Target:
    """How a target is encoded.

    Attributes:
        labels: class labels by code; empty for numbers.
        low: the number whose code is 0.
        step: what one more is worth, a power of two.
        span: the least and the greatest number of the records (not part of the state: the grid decides).

    Source: spec X05. A code has at most `bits` bits, so that the square of any sum over a node's sample is below 2^53.
    """

    labels: tuple[str, ...]
    low: float = 0.0
    step: float = 1.0
    span: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, data: Dataset, sample: int) -> Target:
        """Return how the target of these records is encoded, for nodes that decide on samples of this size.

        Raises:
            BadTarget, ClassVanished: there is no target, or a class without records.
            TooLarge: a number is beyond floating-point grids.
        """
        if data.target is None or data.target.kind != "number":
            return cls(class_labels(data))
        values = np.asarray(data.target.values, np.float64)
        return cls.between(float(values.min()), float(values.max()), sample)

    @classmethod
    def between(cls, least: float, greatest: float, sample: int) -> Target:
        """Return the grid of numbers in [least, greatest]: steps of a power of two that depend on little else."""
        if max(-least, greatest) > LARGEST:
            raise TooLarge(f"a target of {max(-least, greatest, key=abs):g} is too large", hint="Scale the target.")
        width = power_above(max((greatest - least) or abs(least), SMALLEST))
        low = float(np.floor(least / width) * width)
        return cls((), low, width * 2.0 ** (1 - cls.bits(sample)), (least, greatest))

    @staticmethod
    def bits(sample: int) -> int:
        """Return how many bits a code may have, so that a sum over 4/3 of a sample stays below 2^26."""
        return 26 - sample.bit_length()

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return it as arrays."""
        found: dict[str, npt.NDArray[Any]] = {"classes/labels": label_bytes(self.labels)}
        if self.sums:
            found["target/grid"] = np.array([self.low, self.step])
        return found

    @property
    def sums(self) -> bool:
        """Whether the target is a number."""
        return not self.labels

    def encode(self, data: Dataset) -> Codes:
        """Return the codes of records, shape (n,), uint32.

        Raises:
            BadTarget: a class is not among the labels.
        """
        if data.target is None:
            raise BadTarget("the records have no target")
        if self.sums:
            return np.asarray(np.rint((data.target.values - self.low) / self.step), np.uint32)
        place = {label: code for code, label in enumerate(self.labels)}
        known = np.array([place.get(word, -1) for word in data.target.vocabulary], np.int32)
        codes = known[data.target.values] if len(known) else np.zeros(0, np.int32)
        if (codes < 0).any():
            raise BadTarget(f"the target holds a class that is not among {self.labels}")
        return np.asarray(codes, np.uint32)

    def forgetting(
        self, data: Dataset, alive: npt.NDArray[np.bool_], rows: npt.NDArray[np.int64], sample: int
    ) -> Target:
        """Return the target of the records that are `alive`, without these rows of the data."""
        if data.target is None or not self.sums or not len(rows):
            return self
        gone = data.target.values[rows]
        if gone.min() > self.span[0] and gone.max() < self.span[1]:
            return self
        keep = alive.copy()
        keep[rows] = False
        left = data.target.values[keep]
        return Target.between(float(left.min()), float(left.max()), sample)

    def same_grid(self, other: Target) -> bool:
        """Say whether two targets give the same codes."""
        return replace(self, span=other.span) == other
