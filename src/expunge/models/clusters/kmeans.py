"""``KMeans``: k-means on whole numbers, which forgets by going its path again until a decision changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput
from expunge.core.models import check_saved
from expunge.core.seeds import Key
from expunge.models.clusters.course import Course, Path, Points
from expunge.models.clusters.model import ClustersModel, check_counts, path_arrays

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class KMeans:
    """k-means by a fixed number of rounds, with starts spread by a keyed race (k-means++) and centres on a grid.

    Attributes:
        n_clusters: k.
        n_rounds: rounds, at most; it ends when no centre moves.
        steps: steps of the grid that centres are rounded to, in about the distance of a record from its centre in one
            column: the fewer, the fewer deletions change anything.
        share: of the owners that each round learns from, drawn by key; in (0, 1].

    Guarantee: exact, grade ``bits``: distances, sums and means are whole numbers, and draws are keyed by ids.
    Cost: fit O(n·d·k·n_rounds). Forgetting m records O(m·d·k·n_rounds) while no centre moves by a step of the grid;
        from the first that does, the rounds that follow; one fit where a scale moves or a start is forgotten.
    Source: spec XL08, X09; Arthur and Vassilvitskii (2007) for the starts (with the greedy choice among a few), Ginart
        et al. (2019) for the rounding. Where we differ from Q-k-means: one phase a centre and column, kept for all
        rounds, so that a path that has settled stays settled; and rounds are replayed, not everything.
    """

    n_clusters: int = 8
    n_rounds: int = 20
    steps: int = 4
    share: float = 1.0

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ClustersModel:
        """Return the centres of these records; a target is not looked at.

        Raises:
            BadData, TooLarge: columns that cannot be measured.
        """
        self.check()

        def begin(names: tuple[str, ...], points: Points) -> Run:
            course = Course(self.n_clusters, self.n_rounds, self.steps, float(self.share), key, names)
            return Run(course, course.run(points))

        return ClustersModel.of(self, data, key, begin)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ClustersModel:
        """Return the model that was saved as its state and memory, made afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def check(self) -> None:
        """Refuse hyper-parameters that cannot be.

        Raises:
            BadInput: naming the parameter.
        """
        check_counts(
            ("n_clusters", self.n_clusters, 1 << 16), ("n_rounds", self.n_rounds, 1000), ("steps", self.steps, 1 << 12)
        )
        if not (isinstance(self.share, int | float) and 0 < self.share <= 1):
            raise BadInput(f"share must be above 0 and at most 1, not {self.share!r}")


@dataclass(frozen=True, eq=False)
class Run:
    """One run over all records.

    Attributes:
        course: how it goes.
        path: what it decided.
        replayed: which share of the rounds the last change made go again.
    """

    course: Course
    path: Path = field(repr=False)
    replayed: float = 1.0

    @property
    def centres(self) -> Ints:
        """Where it ends, in codes, shape (k, d)."""
        return self.path.centres[-1]

    def after(self, change: Points, sign: int, every: Callable[[], Points]) -> Run:
        """Return the run when points go (-1) or come (1): as it is, or gone on from where a decision changes."""
        path, whole = self.course.changed(self.path, change, sign)
        if whole:
            return Run(self.course, path, 0.0)
        done = len(path.sums)
        path = self.course.run(every(), path)
        return Run(self.course, path, 1.0 - done / max(len(path.sums), 1))

    def outlook(self, gone: Points) -> tuple[float, int, int]:
        """Return what goes again without these points: (share of the rounds, how many rounds, of how many)."""
        path, whole = self.course.changed(self.path, gone, -1)
        n = len(self.path.sums)
        touched = 0 if whole else n - len(path.sums)
        return touched / max(n, 1), touched, n

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums behind every decision."""
        return path_arrays(self.path, *self.centres.shape)
