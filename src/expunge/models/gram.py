"""``Sums``: integer Gram sums of codes and target, exact in any order, from which weights are solved.

Source: spec XL04. Inputs are int16 and n < 2²², so every sum is a whole number below 2⁵³, which
float64 BLAS adds exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, TooLarge
from expunge.models.scale import Mask, Ruler, Scale
from expunge.models.scores import known_codes, label_bytes

if TYPE_CHECKING:
    from expunge.core.roles import Floats, Progress

BLOCK = 8192
MAX_COLUMNS = 8192
LIMB_BITS = 12
TARGET_TOP = 2**26 - 1
"""A number target reaches at most so many steps from its shift."""


@dataclass(frozen=True)
class Goal:
    """How the target becomes whole numbers.

    Attributes:
        labels: the classes; empty for a number target.
        ruler: shift and step of a number target; None for classes.
    """

    labels: tuple[str, ...] = ()
    ruler: Ruler | None = None

    def encode(self, data: Dataset) -> Floats:
        """Return whole numbers as float64: 0/1 for each class, or two limbs of a number; shape (n, q)."""
        if self.ruler is None or data.target is None:
            return np.asarray(np.eye(len(self.labels))[known_codes(data, self.labels)])
        steps = self.ruler.measure(np.asarray(data.target.values, np.float64), TARGET_TOP)
        high = np.floor(steps / 2**LIMB_BITS)
        return np.stack([high, steps - high * 2**LIMB_BITS], axis=1)

    def sums(self, cross: Floats) -> Floats:
        """Return Xᵀy from the sums over `encode`: of ±1 for each class (one against the rest), or of numbers."""
        if self.ruler is not None:
            return np.asarray(cross[:, :1] * 2**LIMB_BITS + cross[:, 1:])
        return np.asarray(2.0 * cross - cross.sum(axis=1, keepdims=True))

    def without(self, gone: Dataset) -> Goal | None:
        """Return the goal without these records; None where its step or shift moves."""
        if self.ruler is None or gone.target is None or not self.ruler.moments.any():
            return self
        after = self.ruler.without(gone.target)
        return None if after is None else replace(self, ruler=after)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the classes, or shift and step."""
        if self.ruler is None:
            return {"classes/labels": label_bytes(self.labels)}
        return {"target/place": np.array([self.ruler.shift, self.ruler.step])}


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
        """Sum over these records, block by block."""
        width = 1 + len(scale.names)
        if width > MAX_COLUMNS:
            raise TooLarge(f"{width} encoded columns, at most {MAX_COLUMNS}", limit=MAX_COLUMNS)
        gram = np.zeros((width, width))
        cross = np.zeros((width, goal.encode(data.take(np.zeros(0, np.int64))).shape[1]))
        for start in range(0, len(data), BLOCK):
            block = data if len(data) <= BLOCK else data.take(np.arange(start, min(start + BLOCK, len(data))))
            rows = design(scale, block)
            gram += rows.T @ rows
            cross += rows.T @ goal.encode(block)
            if progress is not None:
                progress(min(start + BLOCK, len(data)), len(data))
        return cls(gram, cross)

    def less(self, gone: Sums, left: Mask) -> Sums:
        """Return the difference, without the columns that are not left."""
        keep = np.concatenate([[True], left])
        gram, cross = self.gram - gone.gram, self.cross - gone.cross
        return Sums(gram, cross) if keep.all() else Sums(gram[np.ix_(keep, keep)], cross[keep])

    def solve(self, goal: Goal, alpha: float) -> Floats:
        """Return weights of the codes, intercepts in row 0, shape (1 + d, q).

        Ridge on standardised columns; standardisation happens here, on the sums, so that it is forgotten too.

        Raises:
            BadData: alpha is too small for columns this dependent.
        """
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        n, wanted = self.gram[0, 0], goal.sums(self.cross)
        total, squares = self.gram[0, 1:], np.diagonal(self.gram)[1:]
        # in Python's integers: whether a column is constant is a fact, not a matter of rounding
        spread = [int(n) * int(q) - int(s) ** 2 for s, q in zip(total.tolist(), squares.tolist(), strict=True)]
        varies = np.array([v > 0 for v in spread], bool)
        weights = np.zeros_like(wanted)
        weights[0] = wanted[0] / n
        if not varies.any():
            return weights
        sigma = np.sqrt(np.array([v for v in spread if v > 0], np.float64)) / n
        s, inner = total[varies], np.ascontiguousarray(self.gram[1:, 1:][np.ix_(varies, varies)])
        system = (inner - np.multiply.outer(s, s) / n) / n / np.multiply.outer(sigma, sigma)
        np.fill_diagonal(system, 1.0 + alpha / n)
        right = (wanted[1:][varies] - np.multiply.outer(s, wanted[0]) / n) / n / sigma[:, None]
        try:
            factor = cho_factor(system, lower=True, check_finite=False)
        except LinAlgError as error:
            raise BadData(f"columns depend on each other too closely for alpha={alpha}", hint="Raise alpha.") from error
        found = cho_solve(factor, right, check_finite=False)
        found += cho_solve(factor, right - system @ found, check_finite=False)
        weights[1:][varies] = found / sigma[:, None]
        weights[0] -= (s / n) @ weights[1:][varies]
        return weights


def design(scale: Scale, data: Dataset) -> Floats:
    """Return the constant 1 and the codes of each record, shape (n, 1 + d), float64."""
    return np.concatenate([np.ones((len(data), 1)), scale.encode(data)], axis=1, dtype=np.float64)
