"""``Discriminant``: classes as Gaussians of one covariance, from integer Gram sums and class sums."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.linear.gram import Goal, scored
from expunge.models.linear.normal import DEPENDENT, Normal, variances
from expunge.models.linear.ridge import BLAS
from expunge.models.linear.totals import Book, Solved, Totals, saved_weights
from expunge.models.scores import class_codes, cross_entropy

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress


@dataclass(frozen=True)
class Discriminant:
    """Linear discriminant analysis: each class a Gaussian about its mean, all with the covariance within classes.

    Attributes:
        shrinkage: in [0, 1]: how far the covariance is drawn towards the variances of all records. With 0, directions
            in which no class varies are left out.
        priors: (class, probability) of every class; None = the classes' shares of the records, forgotten with them.

    Guarantee: exact. Gram sums and class sums are integers and grade ``bits``; the weights solved from them are
        ``bits-here`` (spec X01).
    Cost: fit O(n·d²); forgetting m records O(m·d²), and d³/3 when weights are next solved; d² + d·k numbers of memory.
    Source: spec XL04; Fisher (1936), Rao (1948). A declared class without records has the mean of all, and the share of
        half a record.
    """

    shrinkage: float = 0.0
    priors: tuple[tuple[str, float], ...] | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the solver, so that its import is in nobody's timing; silent."""
        import_module("scipy.linalg")

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> DiscriminantModel:
        """Return the discriminants of these records.

        Raises:
            BadTarget, ClassVanished, BadData, TooLarge: nothing to learn, or not a target of categories.
        """
        self._check()
        totals = Totals.of(data, key, self.goal, progress)
        began = time.perf_counter()
        weights = self.solve(totals.read())
        solved_s = time.perf_counter() - began
        return DiscriminantModel(self, Identity.of(self, data, key), totals, Solved(weights), solved_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> DiscriminantModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self._check()
        totals = Totals.restored(arrays, data, key, self.goal)
        weights = saved_weights(arrays, totals.read())
        return DiscriminantModel(self, Identity.of(self, data, key), totals, Solved(weights))

    def goal(self, data: Dataset) -> Goal:
        """Return how the classes of these records are encoded.

        Raises:
            BadTarget, ClassVanished: the target does not hold classes.
            BadInput: the priors are not of these classes.
        """
        labels = class_labels(data)
        if self.priors is not None and {label for label, _ in self.priors} != set(labels):
            named = ", ".join(label for label, _ in self.priors)
            raise BadInput(f"priors are of the classes {named}, and the records of {', '.join(labels)}")
        return Goal(labels=labels)

    def solve(self, book: Book) -> Floats:
        """Return the weights of the codes, intercepts in row 0, shape (1 + d, k)."""
        sizes, labels = book.sums.cross[0], book.goal.labels
        n, spread = book.sums.n, variances(book.sums)
        varies = spread > 0
        total, inner = book.sums.gram[0, 1:], book.sums.gram[1:, 1:][np.ix_(varies, varies)]
        apart = book.sums.cross[1:] - np.multiply.outer(total / n, sizes)  # n of the class · its distance from the mean
        apart = np.where(sizes > 0, apart, 0.0)[varies]
        between = apart / np.sqrt(np.maximum(sizes, 1.0))
        within = inner - np.multiply.outer(total[varies] / n, total[varies]) - between @ between.T
        within *= 1.0 - self.shrinkage
        within[np.diag_indices_from(within)] += self.shrinkage * spread[varies] / n
        alone = np.diagonal(within) > DEPENDENT * spread[varies] / n
        within, varies[varies] = within[np.ix_(alone, alone)], alone
        distance = apart[alone] / np.maximum(sizes, 1.0)
        shares = dict(self.priors) if self.priors is not None else {}
        prior = np.array([shares[label] for label in labels]) if shares else np.maximum(sizes, 0.5) / n
        system = Normal(varies, total / n, np.zeros(len(labels)), within, n * distance)
        found = system.solve()
        weights = system.weights(found)
        with np.errstate(divide="ignore"):
            weights[0] += np.maximum(np.log(prior), -1e4) - 0.5 * np.einsum("ij,ij->j", distance, found)
        return weights

    def _check(self) -> None:
        if not (isinstance(self.shrinkage, int | float) and 0 <= self.shrinkage <= 1):
            raise BadInput(f"shrinkage must be between 0 and 1, not {self.shrinkage!r}")
        shares = [share for _, share in self.priors or ()]
        if self.priors is not None and not (min(shares, default=-1) >= 0 and math.isclose(sum(shares), 1)):
            raise BadInput(f"priors must be at least 0 and sum to 1, not {shares}")


@dataclass(frozen=True, eq=False)
class DiscriminantModel:
    """The model of a `Discriminant`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        totals: the kept records and their sums.
        solved: the weights.
        solved_s: seconds of the solution in the last fit.
    """

    learner: Discriminant
    identity: Identity
    totals: Totals = field(repr=False)
    solved: Solved[Floats] = field(repr=False)
    solved_s: float = 0.0

    @property
    def weights(self) -> Floats:
        """The weights of the codes, shape (1 + d, k); intercepts in row 0."""
        return self.solved.read(lambda: self.learner.solve(self.totals.read()))

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, in the order of the columns of `logits`."""
        return self.totals.now[0].goal.labels

    @property
    def data(self) -> Dataset:
        """The kept records."""
        return self.totals.data

    def logits(self, data: Dataset) -> Floats:
        """Return log P(class) + log P(record | class) but for a constant, shape (n, k)."""
        return scored(self.totals.read().scale, self.weights, data)

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: scale, classes, weights."""
        book = self.totals.read()
        self.totals.kept.settle()
        return {**book.scale.state(), **book.goal.state(), "weights": self.weights}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the sums, as int64, and the scale's counts."""
        return self.totals.read().memory()

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        book = self.totals.read()
        return book.nbytes + 8 * len(book.sums.gram) * book.goal.outputs

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here`` (the sums are ``bits``)."""
        return exactly("bits-here", BLAS)

    def _with(self, totals: Totals) -> DiscriminantModel:
        return DiscriminantModel(self.learner, self.identity, totals, Solved(), self.solved_s)

    def without(self, ids: Iterable[Id]) -> DiscriminantModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        totals, _ = self.totals.without(ids)
        return self if totals is self.totals else self._with(totals)

    def adding(self, data: Dataset) -> DiscriminantModel:
        """Return the model that learnt these records too; self is untouched.

        Raises:
            DuplicateId, BadData, BadTarget, TooLarge: nothing was changed.
        """
        if not len(data):
            return self
        after = self._with(self.totals.adding(data))
        if self.learner.priors is not None and len(after.labels) > len(self.labels):
            raise BadInput("the new records are of a class without a prior")
        return after

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        return self.totals.plan(ids, self.solved_s)
