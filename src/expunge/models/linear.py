"""``Ridge``: regression and classification on integer Gram sums, which forget records by subtraction."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, TooLarge
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.gram import BLOCK, TARGET_TOP, Goal, Sums, design
from expunge.models.kept import Kept
from expunge.models.scale import Ruler, Scale, numbers
from expunge.models.scores import class_codes, cross_entropy

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

TARGET_BITS = 18
"""The step of a learnt number target is σ/2¹⁸."""
BLAS = "weights are compared under one build and thread count of BLAS and LAPACK; the integer sums behind them anywhere"


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of a number, or least-squares classification (each class against the rest).

    Attributes:
        alpha: penalty on the weights of standardised columns, > 0.
        step: declared step of a number target; None = learnt (a power of two, about σ/2¹⁸).

    Guarantee: exact. The Gram sums are integers and grade ``bits``; the weights solved from them are ``bits-here``:
        equal bit for bit under one BLAS/LAPACK build and thread count, within 10⁻¹² elsewhere (spec X01).
    Cost: fit O(n·d²); forgetting m records O(m·d² + d³/3), one fit where a scale moves; d² + d·k numbers of memory.
    Source: spec XL04; encoders XE02-XE06. Inputs are int16 and n < 2²², so every sum is below 2⁵³ and exact.
    """

    alpha: float = 1.0
    step: float | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the solver, so that its import is in nobody's timing; silent."""
        import_module("scipy.linalg")

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> RidgeModel:
        """Return the weights of these records.

        Raises:
            BadTarget, ClassVanished, BadData: nothing to learn, or not a target for this learner.
            TooLarge: 2²² records or more, too many columns, or a target beyond 2²⁶ declared steps.
        """
        self._check()
        began = time.perf_counter()
        scale, goal = Scale.of(data, key), self._goal(data)
        sums = Sums.of(scale, goal, data, progress)
        summed = time.perf_counter()
        weights = sums.solve(goal, self.alpha)
        times = (summed - began, time.perf_counter() - summed)
        return RidgeModel(self, Identity.of(self, data, key), key, Kept.of(data), scale, goal, sums, weights, times)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> RidgeModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self._check()
        scale, goal = Scale.of(data, key), self._goal(data)
        shape = (1 + len(scale.names), len(goal.labels) or 2)
        gram, cross, weights = (np.asarray(arrays.get(name, ()), np.float64) for name in ("gram", "cross", "weights"))
        fits = gram.shape == (shape[0], shape[0]) and cross.shape == shape
        fits = fits and weights.shape == (shape[0], len(goal.labels) or 1) and gram[0, 0] == len(data)
        same = all(name in arrays and np.array_equal(a, arrays[name]) for name, a in goal.state().items())
        if not (fits and same and scale.agrees(arrays)):
            raise StoreDamaged("the saved sums and weights do not fit these records")
        identity = Identity.of(self, data, key)
        return RidgeModel(self, identity, key, Kept.of(data), scale, goal, Sums(gram, cross), weights)

    def _check(self) -> None:
        for name, value in (("alpha", self.alpha), ("step", self.step)):
            if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                raise BadInput(f"{name} must be a positive number, not {value!r}")

    def _goal(self, data: Dataset) -> Goal:
        target = data.target
        if target is None or target.kind == "category":
            return Goal(labels=class_labels(data))
        values = numbers(target, data.target_name)
        if target.kind != "number" or np.isnan(values).any():
            raise BadTarget(f"target {data.target_name!r} is not a number in every record")
        if self.step is None:
            return Goal(ruler=Ruler.of(data.target_name, Column("number", values), TARGET_BITS))
        if len(values) and float(np.abs(values).max()) / self.step > TARGET_TOP:
            raise TooLarge(f"the target reaches beyond {TARGET_TOP} steps of {self.step}", limit=TARGET_TOP)
        return Goal(ruler=Ruler(data.target_name, "number", np.zeros(8, np.int64), step=self.step))


@dataclass(frozen=True, eq=False)
class RidgeModel:
    """The model of a `Ridge`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the hash buckets.
        kept: the records.
        scale: the encoder.
        goal: how the target is encoded.
        sums: what lets it forget.
        weights: shape (1 + d, k), per code; intercepts in row 0. A number target has one column.
        times: seconds of the sums and of the solution in the last fit.
    """

    learner: Ridge
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    scale: Scale = field(repr=False)
    goal: Goal
    sums: Sums = field(repr=False)
    weights: Floats = field(repr=False)
    times: tuple[float, float] = (0.0, 0.0)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, in the order of the columns of `logits`; empty for a number target."""
        return self.goal.labels

    @property
    def data(self) -> Dataset:
        """The kept records."""
        return self.kept.data

    def logits(self, data: Dataset) -> Floats:
        """Return the scores of the classes, shape (n, k), about 1 for yes and -1 for no; numbers: see `values`."""
        scores = np.zeros((len(data), self.weights.shape[1]))
        for start in range(0, len(data), BLOCK):
            block = data if len(data) <= BLOCK else data.take(np.arange(start, min(start + BLOCK, len(data))))
            scores[start : start + BLOCK] = design(self.scale, block) @ self.weights
        ruler = self.goal.ruler
        return scores if ruler is None else scores * ruler.step + ruler.shift

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        found: Floats = self.logits(data)[:, 0]
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropy of the softmax of the scores, in nats, or squared errors; shape (n,)."""
        if self.goal.ruler is None:
            return cross_entropy(self.logits(data), class_codes(data, self.labels))
        if data.target is None or data.target.kind != "number":
            raise BadTarget("the records have no number to compare with")
        found: Floats = (self.values(data) - np.asarray(data.target.values, np.float64)) ** 2
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: scale, classes or target step, weights."""
        self.kept.settle()
        return {**self.scale.state(), **self.goal.state(), "weights": self.weights}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the sums, as int64, and the scale's counts."""
        sums = {"gram": self.sums.gram.astype(np.int64), "cross": self.sums.cross.astype(np.int64)}
        ruler = self.goal.ruler
        target = {} if ruler is None else {"target/moments": ruler.moments}
        return {**self.scale.memory(), **sums, **target}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here`` (the sums are ``bits``)."""
        return exactly("bits-here", BLAS)

    def _downdated(self, gone: Dataset) -> tuple[Scale, Goal, Sums] | None:
        scale, goal = self.scale.without(gone), self.goal.without(gone)
        if scale is None or goal is None:
            return None
        return scale[0], goal, self.sums.less(Sums.of(self.scale, self.goal, gone), scale[1])

    def without(self, ids: Iterable[Id]) -> RidgeModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        gone, kept = self.kept.forget(ids)
        if not len(gone):
            return self
        after = self._downdated(gone)
        if after is None:
            return self.learner.fit(kept.data, self.key)
        scale, goal, sums = after
        weights = sums.solve(goal, self.learner.alpha)
        return replace(self, kept=kept, scale=scale, goal=goal, sums=sums, weights=weights)

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        gone, kept = self.kept.forget(ids)
        moves = self.scale.without(gone) is None or self.goal.without(gone) is None
        summed, solved = self.times
        share = 1.0 if moves else len(gone) / (kept.n + len(gone))
        seconds = (summed * share + solved + 1e-3) if summed else None
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 4 * seconds,
            records_read=kept.n if moves else len(gone),
            parts_touched=1,
            parts=1,
            why="a scale moves, so the sums are taken again" if moves else "subtracts the records' sums, and solves",
        )
