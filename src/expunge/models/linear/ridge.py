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

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, exactly
from expunge.core.seeds import Key
from expunge.models.encoding.scale import Scale
from expunge.models.kept import few
from expunge.models.linear.gram import Goal, Sums, scored
from expunge.models.linear.leaving import left_out
from expunge.models.linear.serving import Answers
from expunge.models.linear.totals import Totals, saved_weights
from expunge.models.scores import class_codes, cross_entropy, squared_errors

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

BLAS = "weights are compared under one build and thread count of BLAS and LAPACK; the integer sums behind them anywhere"


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of a number, or least-squares classification (each class against the rest).

    Attributes:
        alpha: penalty on the weights of standardised columns, ≥ 0. With 0 (ordinary least squares), or where it is
            small and columns depend on each other, the least of the solutions is taken.
        step: declared step of a number target; None = learnt (a power of two, about σ/2¹⁸).

    Guarantee: exact. The Gram sums are integers and grade ``bits``; the weights solved from them are ``bits-here``:
        equal bit for bit under one BLAS/LAPACK build and thread count, within 10⁻¹² elsewhere (spec X01). Between
        deletions predictions may come from a kept inverse, within about 10⁻⁸; what is saved or digested never does.
    Cost: fit O(n·d²); forgetting m records O(m·d²) with the sums, and d³/3 when weights are next solved (O(d²) with the
        kept inverse); one fit where a scale moves; d² + d·k numbers of memory.
    Source: spec XL04; encoders XE02-XE06. Inputs are int16 and n < 2²², so every sum is below 2⁵³ and exact. Classes
        are regressed as ±1: with two, that is the linear least-squares support vector machine (Suykens et al. 1999).
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
        totals = Totals.of(data, key, self.goal, progress)
        began = time.perf_counter()
        answers = Answers(self.alpha)
        answers.exact(totals)
        solved_s = time.perf_counter() - began
        return RidgeModel(self, Identity.of(self, data, key), totals, answers, solved_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> RidgeModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self._check()
        totals = Totals.restored(arrays, data, key, self.goal)
        answers = Answers(self.alpha)
        answers.now = replace(answers.now, exact=saved_weights(arrays, totals.read()))
        return RidgeModel(self, Identity.of(self, data, key), totals, answers)

    def goal(self, data: Dataset) -> Goal:
        """Return how the target of these records is encoded.

        Raises:
            BadTarget, ClassVanished, TooLarge: it cannot be.
        """
        return Goal.of(data, self.step)

    def _check(self) -> None:
        if not (isinstance(self.alpha, int | float) and 0 <= self.alpha < math.inf):
            raise BadInput(f"alpha must be a number, at least 0, not {self.alpha!r}")
        if self.step is not None and not (isinstance(self.step, int | float) and 0 < self.step < math.inf):
            raise BadInput(f"step must be a positive number, not {self.step!r}")


@dataclass(frozen=True, eq=False)
class RidgeModel:
    """The model of a `Ridge`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        totals: the kept records and their sums.
        answers: the weights.
        solved_s: seconds of the solution in the last fit.
    """

    learner: Ridge
    identity: Identity
    totals: Totals = field(repr=False)
    answers: Answers = field(repr=False)
    solved_s: float = 0.0

    @property
    def key(self) -> Key:
        """The key of the hash buckets."""
        return self.totals.key

    @property
    def scale(self) -> Scale:
        """The encoder."""
        return self.totals.read().scale

    @property
    def goal(self) -> Goal:
        """How the target is encoded."""
        return self.totals.read().goal

    @property
    def sums(self) -> Sums:
        """What lets it forget."""
        return self.totals.read().sums

    @property
    def weights(self) -> Floats:
        """The canonical weights, shape (1 + d, k), per code; intercepts in row 0. A number target has one column."""
        return self.answers.exact(self.totals)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, in the order of the columns of `logits`; empty for a number target."""
        return self.totals.now[0].goal.labels

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.answers.settle(self.totals)
        return self.totals.data

    def logits(self, data: Dataset) -> Floats:
        """Return the scores of the classes, shape (n, k), about 1 for yes and -1 for no; numbers: see `values`."""
        weights, (book, _) = self.answers.served(self.totals), self.totals.now
        scores, ruler = scored(book.scale, weights, data), book.goal.ruler
        return scores if ruler is None else scores * ruler.step + ruler.shift

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        found: Floats = self.logits(data)[:, 0]
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropy of the softmax of the scores, in nats, or squared errors; shape (n,)."""
        if self.labels:
            return cross_entropy(self.logits(data), class_codes(data, self.labels))
        return squared_errors(self.values(data), data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: scale, classes or target step, weights."""
        weights = self.answers.settle(self.totals)
        self.totals.kept.settle()
        book = self.totals.read()
        return {**book.scale.state(), **book.goal.state(), "weights": weights}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the sums, as int64, and the scale's counts."""
        return self.totals.read().memory()

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        return self.totals.read().nbytes + 8 * len(self.sums.gram) * self.goal.outputs

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here`` (the sums are ``bits``)."""
        return exactly("bits-here", BLAS)

    def without(self, ids: Iterable[Id]) -> RidgeModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        totals, rows = self.totals.without(ids)
        if totals is self.totals:
            return self
        return RidgeModel(self.learner, self.identity, totals, self.answers.without(self.totals, rows), self.solved_s)

    def adding(self, data: Dataset) -> RidgeModel:
        """Return the model that learnt these records too; self is untouched.

        Raises:
            DuplicateId, BadData, BadTarget, TooLarge: nothing was changed.
        """
        if not len(data):
            return self
        totals = self.totals.adding(data, self.learner.step)
        return RidgeModel(self.learner, self.identity, totals, Answers(self.learner.alpha), self.solved_s)

    def leave_out(self, ids: Sequence[Id]) -> Floats:
        """Return the logits (of numbers: the values) of each record by the model without it, shape (m, k).

        By the formula of the hat matrix under the scale of all records, to first order in the penalty's own change;
        one by one where that is not within 10⁻⁹.

        Raises:
            UnknownRecord: an id is not here.

        Cost: O(m·d²).
        """
        data = self.data
        rows = data.positions(ids)
        found, sure = left_out(self.totals.read(), self.learner.alpha, data, rows)
        for place in np.flatnonzero(~sure):
            row = rows[place : place + 1]
            found[place] = self.without(data.ids[row].tolist()).logits(few(data, row))[0]
        return found

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        return self.totals.plan(ids, self.solved_s)
