"""``PrincipalComponents``: principal components from integer Gram sums, which forget records by subtraction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadData, BadInput, StoreDamaged
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, exactly
from expunge.core.seeds import Key
from expunge.models.linear.gram import Goal, designs
from expunge.models.linear.normal import variances
from expunge.models.linear.ridge import BLAS
from expunge.models.linear.totals import Book, Solved, Totals

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

LARGEST_STEP, LARGEST_UNIT = 1e140, 1e300
EQUAL = 1e-9
"""Variances that differ by less than this share of the largest are taken to be equal."""


@dataclass(frozen=True)
class PrincipalComponents:
    """Principal components of the encoded columns; a target is not looked at.

    Attributes:
        n_components: how many, at least 1; at most as many as there are encoded columns are found.
        standardise: whether every column is divided by its standard deviation first. Otherwise columns keep their
            units; of categories, missing values and texts a count of one is a unit.

    Guarantee: exact. The Gram sums are integers and grade ``bits``; the components are ``bits-here`` (spec X01).
        Those of equal variance span one `subspaces` entry, in which any basis would do.
    Cost: fit O(n·d²); forgetting m records O(m·d²), and O(d³) when components are next asked for; d² numbers of memory.
    Source: spec XL09. Values are taken in steps of about σ/256 (vectors: see `expunge.models.encoding.scale`).
    """

    n_components: int = 10
    standardise: bool = False

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the solver, so that its import is in nobody's timing; silent."""
        import_module("scipy.linalg")

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ComponentsModel:
        """Return the components of these records.

        Raises:
            BadData, TooLarge: they cannot be encoded.
        """
        self._check()
        totals = Totals.of(data, key, _no_goal, progress)
        self.check(totals.read())
        began = time.perf_counter()
        found = self.solve(totals.read())
        solved_s = time.perf_counter() - began
        return ComponentsModel(self, Identity.of(self, data, key), totals, Solved(found), solved_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ComponentsModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self._check()
        totals = Totals.restored(arrays, data, key, _no_goal)
        d = totals.read().scale.width
        shapes = {"mean": (d,), "unit": (d,), "components": (min(self.n_components, d), d)}
        shapes["variances"] = shapes["components"][:1]
        found = {name: np.asarray(arrays.get(name, ()), np.float64) for name in shapes}
        if any(found[name].shape != shape for name, shape in shapes.items()):
            raise StoreDamaged("the saved components do not fit these records")
        return ComponentsModel(self, Identity.of(self, data, key), totals, Solved(found))

    def check(self, book: Book) -> None:
        """Refuse columns whose squares, or standard deviations, no number can hold.

        Raises:
            BadData: naming one.
        """
        most, what, hint = LARGEST_STEP, "to square", "Set standardise=True."
        if self.standardise:
            most, what, hint = LARGEST_UNIT, "for a standard deviation", "Divide it by a power of ten."
        far = np.flatnonzero(book.scale.steps > most)
        if len(far):
            raise BadData(f"column {book.scale.names[far[0]]!r} has numbers too large {what}", hint=hint)

    def solve(self, book: Book) -> dict[str, Floats]:
        """Return mean and unit of each column, components as rows (k, d), and their variances (k,)."""
        from scipy.linalg import eigh

        n, scale = book.sums.n, book.scale
        mean, spread = book.sums.gram[0, 1:] / n, variances(book.sums)
        sigma = np.sqrt(spread / n / max(n - 1, 1))
        unit = np.where(spread > 0, sigma, 1.0) * scale.steps if self.standardise else np.ones(scale.width)
        per_code = scale.steps / unit
        scatter = book.sums.gram[1:, 1:] - np.multiply.outer(book.sums.gram[0, 1:] / n, book.sums.gram[0, 1:])
        scatter[np.diag_indices_from(scatter)] = spread / n
        scatter *= np.multiply.outer(per_code, per_code) / max(n - 1, 1)
        d = scale.width
        k = min(self.n_components, d)
        values, vectors = eigh(scatter, subset_by_index=[d - k, d - 1]) if d else (np.zeros(0), np.zeros((0, 0)))
        rows = vectors[:, ::-1].T.copy()
        largest = np.abs(rows).argmax(axis=1)[:, None] if k else np.zeros((0, 1), np.int64)
        rows *= np.where(np.take_along_axis(rows, largest, axis=1) < 0, -1.0, 1.0)
        place = scale.shifts + scale.steps * mean
        return {"mean": place, "unit": unit, "components": rows, "variances": np.maximum(values[::-1], 0.0)}

    def _check(self) -> None:
        if not isinstance(self.n_components, int) or isinstance(self.n_components, bool) or self.n_components < 1:
            raise BadInput(f"n_components must be a positive whole number, not {self.n_components!r}")


def _no_goal(data: Dataset) -> Goal:
    return Goal()


@dataclass(frozen=True, eq=False)
class ComponentsModel:
    """The model of `PrincipalComponents`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        totals: the kept records and their sums.
        axes: what was solved.
        solved_s: seconds of the solution in the last fit.
    """

    learner: PrincipalComponents
    identity: Identity
    totals: Totals = field(repr=False)
    axes: Solved[dict[str, Floats]] = field(repr=False)
    solved_s: float = 0.0

    @property
    def solution(self) -> dict[str, Floats]:
        """Mean (d,) and unit (d,) of the encoded columns, components as rows (k, d), and their variances (k,)."""
        return self.axes.read(lambda: self.learner.solve(self.totals.read()))

    @property
    def names(self) -> list[str]:
        """The encoded columns."""
        return self.totals.read().scale.names

    @property
    def components(self) -> Floats:
        """The components as rows, largest variance first, shape (k, d); the largest entry of each is positive."""
        return self.solution["components"]

    @property
    def subspaces(self) -> list[tuple[int, ...]]:
        """The components in groups of equal variance; of a group of several only the span means something."""
        found: list[tuple[int, ...]] = []
        values = self.solution["variances"]
        for j, value in enumerate(values.tolist()):
            same = j > 0 and values[j - 1] - value <= EQUAL * values[0]
            found[-1:] = [(*found[-1], j)] if same else [*found[-1:], (j,)]
        return found

    @property
    def data(self) -> Dataset:
        """The kept records."""
        return self.totals.data

    def table(self, data: Dataset) -> Iterator[Floats]:
        """Yield the values of the encoded columns, block by block, shape (rows, d): read off their codes."""
        scale = self.totals.read().scale
        for codes in designs(scale, data):
            yield scale.shifts + scale.steps * codes

    def transform(self, data: Dataset) -> Floats:
        """Return each record's place along the components, shape (n, k)."""
        found = self.solution
        blocks = [(values - found["mean"]) / found["unit"] @ found["components"].T for values in self.table(data)]
        return np.concatenate([*blocks, np.zeros((0, len(found["components"])))])

    def inverse(self, places: Floats) -> Floats:
        """Return the encoded columns at these places, shape (n, d)."""
        found = self.solution
        return np.asarray(places @ found["components"] * found["unit"] + found["mean"])

    def losses(self, data: Dataset) -> Floats:
        """Return the squared distance of each record from the components' span, shape (n,)."""
        found, errors = self.solution, [np.zeros(0)]
        for values in self.table(data):
            away = (values - found["mean"]) / found["unit"]
            away -= away @ found["components"].T @ found["components"]
            errors.append(np.einsum("ij,ij->i", away, away))
        return np.concatenate(errors)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what places records: scale, mean, unit, components, variances."""
        book = self.totals.read()
        self.totals.kept.settle()
        return {**book.scale.state(), **self.solution}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the sums, as int64, and the scale's counts."""
        return self.totals.read().memory()

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        book = self.totals.read()
        d = book.scale.width
        k = min(self.learner.n_components, d)
        return book.nbytes + 8 * (2 * d + k * d + k)

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here`` (the sums are ``bits``)."""
        return exactly("bits-here", BLAS)

    def without(self, ids: Iterable[Id]) -> ComponentsModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft: nothing was changed.
        """
        totals, _ = self.totals.without(ids)
        if totals is self.totals:
            return self
        return ComponentsModel(self.learner, self.identity, totals, Solved(), self.solved_s)

    def adding(self, data: Dataset) -> ComponentsModel:
        """Return the model that learnt these records too; self is untouched.

        Raises:
            DuplicateId, BadData, TooLarge: nothing was changed.
        """
        if not len(data):
            return self
        totals = self.totals.adding(data)
        self.learner.check(totals.read())
        return ComponentsModel(self.learner, self.identity, totals, Solved(), self.solved_s)

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        return self.totals.plan(ids, self.solved_s)
