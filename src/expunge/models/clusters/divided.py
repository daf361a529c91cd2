"""``DividedKMeans``: k-means of the centres of k-means of parts, so that a deletion never costs more than its part."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadData, BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, exactly
from expunge.core.seeds import Key
from expunge.models.clusters.course import Course, Path, Points
from expunge.models.clusters.kmeans import KMeans, centre_distances, encoded, path_arrays, points_of
from expunge.models.draws import mixed
from expunge.models.encoding.scale import UNIT, Scale
from expunge.models.kept import Kept
from expunge.models.rows import Rows

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

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

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> DividedModel:
        """Return the centres of these records; a target is not looked at.

        Raises:
            BadData, TooLarge: columns that cannot be measured.
        """
        KMeans(self.n_clusters, self.n_rounds, self.steps).check()
        if isinstance(self.n_parts, bool) or not isinstance(self.n_parts, int) or not 1 <= self.n_parts <= 1 << 16:
            raise BadInput(f"n_parts must be a whole number from 1 to {1 << 16}, not {self.n_parts!r}")
        if not data.columns:
            raise BadData("there is no column to cluster by")
        began = time.perf_counter()
        scale = Scale.of(data, key)
        rows = Rows.of(data.ids, encoded(scale, data, key))
        course = Course(self.n_clusters, self.n_rounds, self.steps, 1.0, key, tuple(scale.names))
        paths: dict[int, Path] = {}
        for done, (part, points) in enumerate(self.split(points_of(rows.read())).items(), 1):
            paths[part] = course.run(points)
            if progress is not None:
                progress(done, self.n_parts)
        top = course.run(self.centres_of(paths))
        identity, fit_s = Identity.of(self, data, key), time.perf_counter() - began
        return DividedModel(self, identity, key, Kept.of(data), scale, course, rows, paths, top, fit_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> DividedModel:
        """Return the model that was saved as its state and memory, made afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def split(self, points: Points, among: Iterable[int] | None = None) -> dict[int, Points]:
        """Return the points of each part that has any; of all parts, or of some."""
        places = (mixed(points.owners) % np.uint64(self.n_parts)).astype(np.int64)
        found = {
            part: np.flatnonzero(places == part) for part in (np.unique(places).tolist() if among is None else among)
        }
        return {part: points.take(rows) for part, rows in found.items() if len(rows)}

    def centres_of(self, paths: dict[int, Path]) -> Points:
        """Return the last centres of all parts, each as heavy as the records it was made of."""
        parts = sorted(paths)
        centres = np.concatenate([paths[part].centres[-1] for part in parts])
        weights = np.concatenate([paths[part].counts[-1] for part in parts])
        names = np.array([part * self.n_clusters + j for part in parts for j in range(self.n_clusters)], np.uint64)
        words = mixed(names + np.uint64(1))
        there = weights > 0
        return Points(centres[there].astype(np.int32), words[there], words[there], weights[there])


@dataclass(frozen=True, eq=False)
class DividedModel:
    """The model of a `DividedKMeans`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of all draws.
        kept: the records.
        scale: the encoder.
        course: how every run goes.
        rows: codes and keyed words of the records.
        paths: part → what its run decided.
        top: what the run over the parts' centres decided.
        fit_s: seconds of the last fit.
        replayed: how many parts went their rounds again in the last change; for measurements.
    """

    learner: DividedKMeans
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    scale: Scale = field(repr=False)
    course: Course = field(repr=False)
    rows: Rows = field(repr=False)
    paths: dict[int, Path] = field(repr=False)
    top: Path = field(repr=False)
    fit_s: float = 0.0
    replayed: int = 0

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.rows.read()
        return self.kept.data

    @property
    def centres(self) -> Floats:
        """The centres on the scale of `Scale`, where one unit is about a standard deviation; shape (k, d)."""
        found: Floats = self.top.centres[-1] / UNIT
        return found

    def distances(self, data: Dataset) -> Floats:
        """Return how far each record is from each centre, shape (n, k), in units of about a standard deviation."""
        return centre_distances(self.scale.encode(data), self.top.centres[-1])

    def clusters(self, data: Dataset) -> Ints:
        """Return which centre each record is nearest to, shape (n,); the first among equals."""
        found: Ints = self.distances(data).argmin(axis=1)
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return the squared distance of each record to its nearest centre, shape (n,); their sum is the inertia."""
        found: Floats = self.distances(data).min(axis=1) ** 2
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what assigns: scale and centres."""
        self.kept.settle()
        return {**self.scale.state(), "centres": self.top.centres[-1]}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the sums behind every decision of every part, and of the whole."""
        shape = self.learner.n_clusters, len(self.scale.names)
        found = {**self.scale.memory(), **{f"top/{n}": a for n, a in path_arrays(self.top, *shape).items()}}
        for part in sorted(self.paths):
            found |= {f"part-{part:05d}/{n}": a for n, a in path_arrays(self.paths[part], *shape).items()}
        return found

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        return sum(a.nbytes for a in (*self.state().values(), *self.memory().values()))

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return exactly("bits")

    def without(self, ids: Iterable[Id]) -> DividedModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        gone, kept = self.kept.forget(ids)
        if not len(gone):
            return self
        scale = self.scale.without(gone)
        if scale is None or not scale[1].all():
            return self.learner.fit(kept.data, self.key)
        points = points_of(encoded(self.scale, gone, self.key))
        rows = self.rows.without(gone.ids, scale[1])
        return replace(self, kept=kept, scale=scale[0], rows=rows)._after(points, -1)

    def adding(self, data: Dataset) -> DividedModel:
        """Return the model that has seen these records as well; self is untouched.

        Raises:
            DuplicateId: a record is known already.
            BadData: other columns.
        """
        kept, scale = self.kept.learn(data), self.scale.adding(data)
        if scale is None or not scale[1].all():
            return self.learner.fit(kept.data, self.key)
        more = encoded(scale[0], data, self.key)
        rows = self.rows.joined(data.ids, more)
        return replace(self, kept=kept, scale=scale[0], rows=rows)._after(points_of(more), 1)

    def _after(self, change: Points, sign: int) -> DividedModel:
        """Return the model after points went or came: the parts hit, and what follows from their centres."""
        paths = dict(self.paths)
        unsure: dict[int, Path] = {}
        for part, points in self.learner.split(change).items():
            path, whole = self.course.changed(paths.pop(part), points, sign) if part in paths else (Path(), False)
            (paths if whole else unsure)[part] = path
        if unsure:
            every = self.learner.split(points_of(self.rows.read()), unsure)
            paths |= {part: self.course.run(every[part], path) for part, path in unsure.items() if part in every}
        top = self.course.run(self.learner.centres_of(paths))
        return replace(self, paths=paths, top=top, replayed=len(unsure))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        gone, kept = self.kept.forget(ids)
        scale = self.scale.without(gone)
        moves = scale is None or not scale[1].all()
        hit = 0 if moves else len(self.learner.split(points_of(encoded(self.scale, gone, self.key))))
        share = 1.0 if moves else hit / len(self.paths)
        seconds = (self.fit_s * share + 1e-2) if self.fit_s else None
        why = "a scale moves, so the records are encoded again" if moves else f"at most {hit} parts go again"
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 4 * seconds,
            worst_s=self.fit_s * 1.5 or None,
            records_read=round(share * kept.n),
            parts_touched=len(self.paths) if moves else hit,
            parts=len(self.paths),
            why=why,
        )
