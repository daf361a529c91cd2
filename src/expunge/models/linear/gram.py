"""``Sums``: integer Gram sums of codes and target, exact in any order, from which weights are solved.

Source: spec XL04. Inputs are int16 and n < 2²², so every sum is a whole number below 2⁵³, which
float64 BLAS adds exactly; codes of 8 bits are added in float32, in blocks whose sums stay below 2²⁴.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadTarget, TooLarge
from expunge.core.models import class_labels
from expunge.models.encoding.moments import moments, place, sums, unmoved
from expunge.models.encoding.scale import Mask, Ruler, Scale, numbers
from expunge.models.kept import few
from expunge.models.scores import known_codes, label_bytes

if TYPE_CHECKING:
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]
CELLS = 1 << 20
"""Numbers of a block of records."""
MAX_COLUMNS = 8192
FEW, THIN = 256, 8
"""Records that are subtracted at once, and without a matrix of their own."""
LIMB_BITS = 12
TARGET_TOP = 2**26 - 1
"""A number target reaches at most so many steps from its shift."""
TARGET_BITS = 18
"""The step of a learnt number target is σ/2¹⁸."""


@dataclass(frozen=True)
class Goal:
    """How the target becomes whole numbers; without labels and ruler there is none.

    Attributes:
        labels: the classes; empty for a number target.
        ruler: shift and step of a number target; None for classes.
        moments: of a number target whose step is learnt.
    """

    labels: tuple[str, ...] = ()
    ruler: Ruler | None = None
    moments: Ints | None = None

    @classmethod
    def of(cls, data: Dataset, step: float | None = None) -> Goal:
        """Return the goal of a target of classes, or of numbers with a declared or learnt step.

        Raises:
            BadTarget, ClassVanished: it is neither, or values are missing.
            TooLarge: it reaches too many declared steps from zero.
        """
        target = data.target
        if target is None or target.kind == "category":
            return cls(labels=class_labels(data))
        if target.kind != "number" or np.isnan(target.values).any():
            raise BadTarget(f"target {data.target_name!r} is not a number in every record")
        values = numbers(target, data.target_name)
        if step is not None:
            if len(values) and float(np.abs(values).max()) / step > TARGET_TOP:
                raise TooLarge(f"the target reaches beyond {TARGET_TOP} steps of {step}", limit=TARGET_TOP)
            return cls(ruler=Ruler(data.target_name, "number", step=step))
        found = moments(values)
        shift, power = place(found, TARGET_BITS)
        return cls(ruler=Ruler(data.target_name, "number", shift=shift, step=power, bits=TARGET_BITS), moments=found)

    @property
    def width(self) -> int:
        """How many columns `encode` gives."""
        return len(self.labels) if self.ruler is None else 2

    @property
    def outputs(self) -> int:
        """How many columns of weights there are: one a class, or one for numbers."""
        return len(self.labels) if self.ruler is None else 1

    def encode(self, data: Dataset) -> Floats:
        """Return whole numbers as float64: 0/1 for each class, or two limbs of a number; shape (n, width)."""
        if self.ruler is None or data.target is None:
            return _one_hot(data, self.labels) if self.labels else np.zeros((len(data), 0))
        steps = self.ruler.measure(np.asarray(data.target.values, np.float64), TARGET_TOP)
        high = np.floor(steps / 2**LIMB_BITS)
        return np.stack([high, steps - high * 2**LIMB_BITS], axis=1)

    def whole(self, cross: Floats) -> Floats:
        """Return what is regressed from `encode`, or sums of it from sums: ±1 for each class, or numbers in steps."""
        if self.ruler is not None:
            return np.asarray(cross[:, :1] * 2**LIMB_BITS + cross[:, 1:])
        return np.asarray(2.0 * cross - cross.sum(axis=1, keepdims=True))

    def without(self, gone: Dataset) -> Goal | None:
        """Return the goal without these records; None where its step or shift moves."""
        if self.ruler is None or self.moments is None or gone.target is None:
            return self
        return self._moved(gone.target, -1)

    def _moved(self, target: Column, sign: int) -> Goal | None:
        if self.ruler is None or self.moments is None:
            return self
        after, values = self.moments.copy(), np.asarray(target.values, np.float64)
        if sign > 0 and moments(values)[0] > after[0]:
            return None
        after[1:] += sign * sums(values, int(after[0]))
        lost = after[1] == 0 and self.moments[1] > 0  # the unit of the moments was read from what is gone
        here = (self.ruler.shift, self.ruler.step, self.ruler.bits)
        return None if lost or not unmoved(after[None], [here]) else replace(self, moments=after)

    def adding(self, more: Dataset, step: float | None) -> tuple[Goal, Mask] | None:
        """Return (the goal with these records too, which of its columns were there); None where it moves.

        Raises:
            BadTarget, TooLarge: not a target for this goal.
        """
        every = np.ones(self.width, bool)
        if self.ruler is not None and more.target is not None:
            Goal.of(more, step)
            after = self._moved(more.target, 1)
            return None if after is None else (after, every)
        if not self.labels or more.target is None:
            return self, every
        words = self.labels if more.classes else {*self.labels, *more.target.vocabulary}
        labels = tuple(words) if more.classes else tuple(sorted(words, key=str.encode))
        known_codes(more, labels)
        return Goal(labels=labels), np.array([label in self.labels for label in labels], bool)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the classes, or shift and step; nothing without a target."""
        if self.ruler is None:
            return {"classes/labels": label_bytes(self.labels)} if self.labels else {}
        return {"target/place": np.array([self.ruler.shift, self.ruler.step])}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the moments of a number target."""
        if self.ruler is None:
            return {}
        return {"target/moments": np.zeros(8, np.int64) if self.moments is None else self.moments}


def _one_hot(data: Dataset, labels: tuple[str, ...]) -> Floats:
    codes = known_codes(data, labels)
    found = np.zeros((len(codes), len(labels)))
    found[np.arange(len(codes)), codes] = 1.0
    return found


@dataclass(frozen=True)
class Sums:
    """Exact sums over records: of products of codes (`gram`), and of codes and target (`cross`).

    Attributes:
        gram: shape (1 + d, 1 + d): whole numbers as float64; column 0 belongs to the constant 1.
        cross: shape (1 + d, q).
    """

    gram: Floats
    cross: Floats

    @classmethod
    def of(cls, scale: Scale, goal: Goal, data: Dataset, progress: Progress | None = None) -> Sums:
        """Sum over these records, block by block.

        Raises:
            TooLarge: too many columns.
        """
        width, n = 1 + scale.width, len(data)
        if width > MAX_COLUMNS:
            raise TooLarge(f"{width} encoded columns, at most {MAX_COLUMNS}", limit=MAX_COLUMNS)
        small = scale.rulers.top <= 255 and goal.ruler is None
        size = max(1, CELLS // (width + goal.width)) if not small else 2**24 // max(scale.rulers.top, 1) ** 2
        block = np.empty((min(size, n), width + goal.width), np.float32 if small else np.float64)
        gram, cross = np.zeros((width, width)), np.zeros((width, goal.width))
        for start in range(0, n, size):
            rows = data if n <= size else few(data, np.arange(start, min(start + size, n)))
            part = block[: len(rows)]
            part[:, 0], part[:, 1:width], part[:, width:] = 1.0, scale.encode(rows), goal.encode(rows)
            product = part.T @ part
            gram += product[:width, :width]
            cross += product[:width, width:]
            if progress is not None:
                progress(start + len(rows), n)
        return cls(gram, cross)

    @property
    def n(self) -> int:
        """How many records."""
        return int(self.gram[0, 0])

    def less(self, scale: Scale, goal: Goal, gone: Dataset, left: Mask) -> Sums:
        """Return the sums without these records, and without the columns that are not left."""
        if len(gone) > FEW:
            more = Sums.of(scale, goal, gone)
            gram, cross = self.gram - more.gram, self.cross - more.cross
        else:
            gram, cross = self._less_few(*_rows(scale, goal, gone))
        if left.all():
            return Sums(gram, cross)
        keep = np.append(True, left)
        return Sums(np.ascontiguousarray(gram[np.ix_(keep, keep)]), cross[keep])

    def _less_few(self, rows: Floats, targets: Floats) -> tuple[Floats, Floats]:
        from scipy.linalg.blas import dgemm, dger

        gram, cross = self.gram.copy(), self.cross - rows.T @ targets
        if len(rows) == 1:  # in place, which is exact: all of it is whole numbers
            dger(-1.0, rows[0], rows[0], a=gram.T, overwrite_a=1)
        elif len(rows) <= THIN:
            dgemm(-1.0, rows.T, rows.T, beta=1.0, trans_b=1, c=gram.T, overwrite_c=1)
        else:
            gram -= rows.T @ rows
        return gram, cross

    def plus(self, more: Sums, known: Mask, targets: Mask) -> Sums:
        """Return the total, of columns of which some (and some of the target's) were zero until now."""
        keep, gram, cross = np.append(True, known), more.gram.copy(), more.cross.copy()
        gram[np.ix_(keep, keep)] += self.gram
        cross[np.ix_(keep, targets)] += self.cross
        return Sums(gram, cross)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums as int64."""
        cross = {"cross": self.cross.astype(np.int64)} if self.cross.size else {}
        return {"gram": self.gram.astype(np.int64), **cross}


def _rows(scale: Scale, goal: Goal, data: Dataset) -> tuple[Floats, Floats]:
    """Return (the constant 1 and the codes, shape (n, 1 + d); the encoded target, shape (n, q))."""
    rows = np.empty((len(data), 1 + scale.width))
    rows[:, 0], rows[:, 1:] = 1.0, scale.encode(data)
    return rows, goal.encode(data)


def designs(scale: Scale, data: Dataset) -> Iterator[Floats]:
    """Yield the codes of the records, block by block, shape (rows, d), float64."""
    size = max(1, CELLS // (1 + scale.width))
    for start in range(0, len(data), size):
        yield design(scale, data if len(data) <= size else few(data, np.arange(start, min(start + size, len(data)))))


def scored(scale: Scale, weights: Floats, data: Dataset) -> Floats:
    """Return the scores of records under weights of the codes, intercepts in row 0; shape (n, k)."""
    parts = [codes @ weights[1:] + weights[0] for codes in designs(scale, data)]
    return np.concatenate([np.zeros((0, weights.shape[1])), *parts])


def design(scale: Scale, data: Dataset) -> Floats:
    """Return the codes of each record, shape (n, d), float64."""
    return scale.encode(data).astype(np.float64)
