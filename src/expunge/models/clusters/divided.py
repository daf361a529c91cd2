"""``DividedKMeans``: k-means of the centres of k-means of parts, so that a deletion never costs more than its part."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.models import check_saved
from expunge.core.seeds import Key
from expunge.models.clusters.course import Course, Path, Points
from expunge.models.clusters.kmeans import KMeans
from expunge.models.clusters.model import ClustersModel, check_counts, path_arrays
from expunge.models.draws import mixed

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DividedKMeans:
    """k-means in two storeys: owners are spread over parts by key, and the parts' centres are clustered by weight.

    Attributes:
        n_clusters: k, of every part and of the whole.
        n_parts: how many parts.
        n_rounds: rounds, at most; a run ends when no centre moves.
        steps: as `KMeans`.

    Guarantee: exact, grade ``bits``: as `KMeans`; which part a record is in depends on the key and its owner alone.
    Cost: fit as `KMeans`. Forgetting: in the parts hit as `KMeans`, at most their runs; and one run over
        k·n_parts centres.
    Source: spec XL08; Ginart et al. (2019), divide-and-conquer k-means, with one storey of parts.
    """

    n_clusters: int = 8
    n_parts: int = 16
    n_rounds: int = 20
    steps: int = 4

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ClustersModel:
        """Return the centres of these records; a target is not looked at.

        Raises:
            BadData, TooLarge: columns that cannot be measured.
        """
        KMeans(self.n_clusters, self.n_rounds, self.steps).check()
        check_counts(("n_parts", self.n_parts, 1 << 16))

        def begin(names: tuple[str, ...], points: Points) -> Parts:
            course = Course(self.n_clusters, self.n_rounds, self.steps, 1.0, key, names)
            paths: dict[int, Path] = {}
            for done, (part, some) in enumerate(split(points, self.n_parts).items(), 1):
                paths[part] = course.run(some)
                if progress is not None:
                    progress(done, self.n_parts)
            return Parts(course, self.n_parts, paths, course.run(centres_of(paths)), self.n_parts)

        return ClustersModel.of(self, data, key, begin)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ClustersModel:
        """Return the model that was saved as its state and memory, made afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model


def split(points: Points, n_parts: int, among: Iterable[int] | None = None) -> dict[int, Points]:
    """Return the points of each part that has any; of all parts, or of some."""
    places = (mixed(points.owners) % np.uint64(n_parts)).astype(np.int64)
    wanted = np.unique(places).tolist() if among is None else among
    found = {part: np.flatnonzero(places == part) for part in wanted}
    return {part: points.take(rows) for part, rows in found.items() if len(rows)}


def centres_of(paths: dict[int, Path]) -> Points:
    """Return the last centres of all parts, each as heavy as the records it was made of."""
    parts = sorted(paths)
    centres = np.concatenate([paths[part].centres[-1] for part in parts])
    weights = np.concatenate([paths[part].counts[-1] for part in parts])
    n_clusters = len(paths[parts[0]].centres[-1])
    names = np.array([part * n_clusters + j for part in parts for j in range(n_clusters)], np.uint64)
    words = mixed(names + np.uint64(1))
    there = weights > 0
    return Points(centres[there].astype(np.int32), words[there], words[there], weights[there])


@dataclass(frozen=True, eq=False)
class Parts:
    """A run over each part, and one over their centres.

    Attributes:
        course: how every run goes.
        n_parts: how many parts there may be.
        paths: part → what its run decided.
        top: what the run over the parts' centres decided.
        replayed: how many parts went their rounds again in the last change.
    """

    course: Course
    n_parts: int
    paths: dict[int, Path] = field(repr=False)
    top: Path = field(repr=False)
    replayed: float = 0.0

    @property
    def centres(self) -> Ints:
        """Where the run over the parts' centres ends, in codes, shape (k, d)."""
        return self.top.centres[-1]

    def after(self, change: Points, sign: int, every: Callable[[], Points]) -> Parts:
        """Return the runs when points go (-1) or come (1): of the parts hit, and of what follows from their centres."""
        paths = dict(self.paths)
        unsure: dict[int, Path] = {}
        for part, points in split(change, self.n_parts).items():
            path, whole = self.course.changed(paths.pop(part), points, sign) if part in paths else (Path(), False)
            (paths if whole else unsure)[part] = path
        if unsure:
            left = split(every(), self.n_parts, unsure)
            paths |= {part: self.course.run(left[part], path) for part, path in unsure.items() if part in left}
        return Parts(self.course, self.n_parts, paths, self.course.run(centres_of(paths)), len(unsure))

    def outlook(self, gone: Points) -> tuple[float, int, int]:
        """Return what goes again without these points, at most: (share of the parts, how many, of how many)."""
        hit = len(split(gone, self.n_parts))
        return hit / len(self.paths), hit, len(self.paths)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums behind every decision of every part, and of the whole."""
        shape = self.centres.shape
        found = {f"top/{n}": a for n, a in path_arrays(self.top, *shape).items()}
        for part in sorted(self.paths):
            found |= {f"part-{part:05d}/{n}": a for n, a in path_arrays(self.paths[part], *shape).items()}
        return found
