"""``Totals``: encoder, target and integer sums of the kept records; what was forgotten is booked when they are read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import StoreDamaged
from expunge.core.seeds import Key
from expunge.models.encoding.scale import Scale, check_many
from expunge.models.kept import Kept, glimpse
from expunge.models.linear.gram import Goal, Sums

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]
Aim = Callable[[Dataset], Goal]
"""How the goal is read from records."""
Rows = tuple[Dataset, Ints]
T = TypeVar("T")
WAITING = 64
"""So many deletions wait at most, and no batch that is as large; then they are booked together, as a block."""


def gathered(rows: Iterable[Rows]) -> Iterable[Dataset]:
    """Yield the records of these rows, one data set for each that they come from."""
    sources: dict[int, tuple[Dataset, list[Ints]]] = {}
    for source, some in rows:
        sources.setdefault(id(source), (source, []))[1].append(some)
    for source, several in sources.values():
        yield glimpse(source, several[0] if len(several) == 1 else np.concatenate(several))


@dataclass(frozen=True)
class Book:
    """What was counted, as of some moment.

    Attributes:
        scale: the encoder.
        goal: how the target is encoded.
        sums: the sums.
        summed_s: seconds that the last full count took.
    """

    scale: Scale
    goal: Goal
    sums: Sums
    summed_s: float = field(default=0.0, compare=False)

    @classmethod
    def of(cls, data: Dataset, key: Key, aim: Aim, progress: Progress | None = None) -> Book:
        """Count these records.

        Raises:
            BadTarget, ClassVanished, BadData, TooLarge: they cannot be learnt from.
        """
        began = time.perf_counter()
        scale, goal = Scale.of(data, key), aim(data)
        sums = Sums.of(scale, goal, data, progress)
        return cls(scale, goal, sums, time.perf_counter() - began)

    def without(self, gone: Dataset) -> Book | None:
        """Return the book without these records; None where codes change meaning."""
        scale, goal = self.scale.without(gone), self.goal.without(gone)
        if scale is None or goal is None:
            return None
        sums = self.sums.less(self.scale, self.goal, gone, scale[1])
        return Book(scale[0], goal, sums, self.summed_s)

    def adding(self, more: Dataset, step: float | None) -> Book | None:
        """Return the book with these records too; None where codes change meaning.

        Raises:
            BadTarget, BadData, TooLarge: they cannot be learnt from.
        """
        scale, goal = self.scale.adding(more), self.goal.adding(more, step)
        if scale is None or goal is None:
            return None
        sums = self.sums.plus(Sums.of(scale[0], goal[0], more), scale[1], goal[1])
        return Book(scale[0], goal[0], sums, self.summed_s)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets a model forget again."""
        return {**self.scale.memory(), **self.sums.memory(), **self.goal.memory()}

    @property
    def nbytes(self) -> int:
        """The bytes of `memory` and of the encoder's state."""
        mine = (*self.goal.state().values(), *self.goal.memory().values(), self.sums.gram, self.sums.cross)
        return self.scale.nbytes + sum(a.nbytes for a in mine)


@dataclass(eq=False)
class Solved(Generic[T]):
    """What is solved from the sums, once it is asked for."""

    now: T | None = None

    def read(self, solve: Callable[[], T]) -> T:
        """Return it, solved now if it was not."""
        if self.now is None:
            self.now = solve()
        return self.now


def saved_weights(arrays: Arrays, book: Book) -> Floats:
    """Return the weights among saved arrays.

    Raises:
        StoreDamaged: they are not of these sums.
    """
    weights = np.asarray(arrays.get("weights", ()), np.float64)
    if weights.shape != (len(book.sums.gram), book.goal.outputs):
        raise StoreDamaged("the saved weights do not fit these records")
    return weights


@dataclass(eq=False)
class Totals:
    """The kept records and what was counted of them. To its users a value that never changes.

    Attributes:
        kept: the records.
        key: of the hash buckets.
        aim: how the goal is read from records.
        now: what was counted, and rows that were forgotten since; replaced as a whole.
    """

    kept: Kept
    key: Key
    aim: Aim
    now: tuple[Book, tuple[Rows, ...]]

    @classmethod
    def of(cls, data: Dataset, key: Key, aim: Aim, progress: Progress | None = None) -> Totals:
        """Count these records.

        Raises:
            BadTarget, ClassVanished, BadData, TooLarge: they cannot be learnt from.
        """
        return cls(Kept.of(data), key, aim, (Book.of(data, key, aim, progress), ()))

    @classmethod
    def restored(cls, arrays: Arrays, data: Dataset, key: Key, aim: Aim) -> Totals:
        """Return the totals that were saved.

        Raises:
            StoreDamaged: the arrays are not those of these records.
        """
        scale, goal = Scale.of(data, key), aim(data)
        none = np.zeros((1 + scale.width, 0))  # without a target there is no array
        gram = np.asarray(arrays.get("gram", none), np.float64)
        cross = np.asarray(arrays.get("cross", none), np.float64)
        fits = gram.shape == (1 + scale.width,) * 2 and cross.shape == (1 + scale.width, goal.width)
        same = {**goal.state(), **goal.memory()}
        fits = fits and all(name in arrays and np.array_equal(a, arrays[name]) for name, a in same.items())
        if not (fits and gram[0, 0] == len(data) and scale.agrees(arrays)):
            raise StoreDamaged("the saved sums do not fit these records")
        return cls(Kept.of(data), key, aim, (Book(scale, goal, Sums(gram, cross)), ()))

    def read(self) -> Book:
        """Return what is counted of the kept records."""
        book, waiting = self.now
        if waiting:
            after: Book | None = book
            for gone in gathered(waiting):
                after = after and after.without(gone)
            book = after or Book.of(self.kept.data, self.key, self.aim)
            self.now = (book, ())  # one assignment: a second reader sees the old pair or the new
        return book

    @property
    def data(self) -> Dataset:
        """The kept records; those that are gone are dropped from memory."""
        self.read()
        return self.kept.data

    def without(self, ids: Iterable[Id]) -> tuple[Totals, Rows]:
        """Return (the totals without these records, their rows); self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        book, waiting = self.now
        source, rows, kept = self.kept.drop(ids)
        if not len(rows):
            return self, (source, rows)
        waiting = (*waiting, (source, rows))
        after = Totals(kept, self.key, self.aim, (book, waiting))
        if max(len(waiting), len(rows)) >= WAITING:
            after.read()
        return after, (source, rows)

    def adding(self, data: Dataset, step: float | None = None) -> Totals:
        """Return the totals with these records as well; self is untouched.

        Args:
            data: the new records.
            step: declared step of a number target.

        Raises:
            DuplicateId, BadData, BadTarget, TooLarge: nothing was changed.
        """
        check_many(self.kept.n + len(data))
        kept, book = self.kept.learn(data), self.read().adding(data, step)
        return Totals(kept, self.key, self.aim, (book or Book.of(kept.data, self.key, self.aim), ()))

    def plan(self, ids: Iterable[Id], solved_s: float) -> Prediction:
        """Return what forgetting would cost, weights included: a + b·m·d² + c·d³, the last two as measured."""
        book = self.read()
        source, rows, kept = self.kept.drop(ids)
        gone, n = glimpse(source, rows), kept.n + len(rows)
        moves = book.scale.without(gone) is None or book.goal.without(gone) is None
        share = 1.0 if moves else len(rows) / n
        seconds = (1e-4 + book.summed_s * share + solved_s) if book.summed_s else None
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 4 * seconds,
            worst_s=book.summed_s * 1.5 + solved_s * 4 or None,
            records_read=kept.n if moves else len(rows),
            parts_touched=1,
            parts=1,
            why="a scale moves, so the sums are taken again" if moves else "subtracts the records' sums, and solves",
        )
