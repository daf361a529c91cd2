"""``KMeans``: k-means on whole numbers, which forgets by going its path again until a decision changes."""

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
from expunge.models.clusters.course import Course, Path, Points, squares
from expunge.models.encoding.scale import UNIT, Codes, Scale
from expunge.models.kept import Kept
from expunge.models.rows import Rows

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]
BLOCK = 8192


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

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> KMeansModel:
        """Return the centres of these records; a target is not looked at.

        Raises:
            BadData, TooLarge: columns that cannot be measured.
        """
        self.check()
        if not data.columns:
            raise BadData("there is no column to cluster by")
        began = time.perf_counter()
        scale = Scale.of(data, key)
        course = self._course(scale, key)
        rows = Rows.of(data.ids, encoded(scale, data, key))
        path = course.run(points_of(rows.read()))
        identity, fit_s = Identity.of(self, data, key), time.perf_counter() - began
        return KMeansModel(self, identity, key, Kept.of(data), scale, course, rows, path, fit_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> KMeansModel:
        """Return the model that was saved as its state and memory, made afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _course(self, scale: Scale, key: Key) -> Course:
        return Course(self.n_clusters, self.n_rounds, self.steps, float(self.share), key, tuple(scale.names))

    def check(self) -> None:
        """Refuse hyper-parameters that cannot be.

        Raises:
            BadInput: naming the parameter.
        """
        for name, value, most in (
            ("n_clusters", self.n_clusters, 1 << 16),
            ("n_rounds", self.n_rounds, 1000),
            ("steps", self.steps, 1 << 12),
        ):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
                raise BadInput(f"{name} must be a whole number from 1 to {most}, not {value!r}")
        if not (isinstance(self.share, int | float) and 0 < self.share <= 1):
            raise BadInput(f"share must be above 0 and at most 1, not {self.share!r}")


def encoded(scale: Scale, data: Dataset, key: Key) -> dict[str, npt.NDArray[Any]]:
    """Return what is held of each record: codes, and keyed words of its id and its owner."""
    return {
        "codes": scale.encode(data),
        "words": key.words(data.ids.tolist()),
        "owners": key.words(data.subjects.tolist(), "owner"),
    }


def points_of(arrays: Arrays) -> Points:
    """Return records as points."""
    codes = np.asarray(arrays["codes"])
    return Points(codes, np.asarray(arrays["words"]), np.asarray(arrays["owners"]), np.ones(len(codes), np.int64))


def centre_distances(codes: Codes, centres: Ints) -> Floats:
    """Return how far codes are from centres, shape (n, k), in units of about a standard deviation."""
    found = np.empty((len(codes), len(centres)))
    for start in range(0, len(codes), BLOCK):
        found[start : start + BLOCK] = squares(codes[start : start + BLOCK].astype(np.float64), centres)
    return np.sqrt(found) / UNIT


def path_arrays(path: Path, k: int, d: int) -> dict[str, npt.NDArray[Any]]:
    """Return what a run decided, and the sums it decided on, as arrays."""
    return {
        "path/spread": np.array(path.spread, np.int64),
        "path/centres": np.array(path.centres[:-1], np.int64).reshape(-1, k, d),
        "path/sums": np.array(path.sums, np.int64).reshape(-1, k, d),
        "path/counts": np.array(path.counts, np.int64).reshape(-1, k),
        "races/sizes": np.array([len(race.times) for race in path.races], np.int64),
        "races/times": np.concatenate([race.times for race in path.races]),
        "races/words": np.concatenate([race.words for race in path.races]),
        "races/centres": np.concatenate([race.centres for race in path.races]),
        "races/sums": np.concatenate([race.sums for race in path.races]),
    }


@dataclass(frozen=True, eq=False)
class KMeansModel:
    """The model of a `KMeans`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of all draws.
        kept: the records.
        scale: the encoder.
        course: how it runs.
        rows: codes and keyed words of the records.
        path: what the run decided.
        fit_s: seconds of the last fit.
        replayed: which share of the rounds the last change made go again; for measurements.
    """

    learner: KMeans
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    scale: Scale = field(repr=False)
    course: Course = field(repr=False)
    rows: Rows = field(repr=False)
    path: Path = field(repr=False)
    fit_s: float = 0.0
    replayed: float = 1.0

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.rows.read()
        return self.kept.data

    @property
    def centres(self) -> Floats:
        """The centres on the scale of `Scale`, where one unit is about a standard deviation; shape (k, d)."""
        found: Floats = self.path.centres[-1] / UNIT
        return found

    def distances(self, data: Dataset) -> Floats:
        """Return how far each record is from each centre, shape (n, k), in units of about a standard deviation."""
        return centre_distances(self.scale.encode(data), self.path.centres[-1])

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
        return {**self.scale.state(), "centres": self.path.centres[-1]}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the sums behind every decision."""
        shape = self.learner.n_clusters, len(self.scale.names)
        return {**self.scale.memory(), **path_arrays(self.path, *shape)}

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory, and of what is held of each record."""
        held = (self.state(), self.memory(), self.rows.read())
        return sum(array.nbytes for arrays in held for array in arrays.values())

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return exactly("bits")

    def without(self, ids: Iterable[Id]) -> KMeansModel:
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
        path, whole = self.course.changed(self.path, self._points(gone), -1)
        rows = self.rows.without(gone.ids, scale[1])
        return replace(self, kept=kept, scale=scale[0], rows=rows)._following(path, whole)

    def adding(self, data: Dataset) -> KMeansModel:
        """Return the model that has seen these records as well; self is untouched.

        Raises:
            DuplicateId: a record is known already.
            BadData: other columns.
        """
        kept = self.kept.learn(data)
        scale = self.scale.adding(data)
        if scale is None or not scale[1].all():
            return self.learner.fit(kept.data, self.key)
        more = encoded(scale[0], data, self.key)
        path, whole = self.course.changed(self.path, points_of(more), 1)
        rows = self.rows.joined(data.ids, more)
        return replace(self, kept=kept, scale=scale[0], rows=rows)._following(path, whole)

    def _points(self, data: Dataset) -> Points:
        return points_of(encoded(self.scale, data, self.key))

    def _following(self, path: Path, whole: bool) -> KMeansModel:
        """Return the model after a change: its path as it is, or gone on from where it ends."""
        if whole:
            return replace(self, path=path, replayed=0.0)
        done = len(path.sums)
        path = self.course.run(points_of(self.rows.read()), path)
        return replace(self, path=path, replayed=1.0 - done / max(len(path.sums), 1))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        gone, kept = self.kept.forget(ids)
        scale = self.scale.without(gone) if len(gone) else (self.scale, np.ones(1, bool))
        moves = scale is None or not scale[1].all()
        left = 1.0
        if not moves:
            path, whole = self.course.changed(self.path, self._points(gone), -1)
            left = 0.0 if whole else 1.0 - len(path.sums) / max(len(self.path.sums), 1)
        seconds = (self.fit_s * left + 1e-3) if self.fit_s else None
        why = "a scale moves, so the records are encoded again" if moves else f"{left:.0%} of the rounds go again"
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 4 * seconds,
            worst_s=self.fit_s * 1.5 or None,
            records_read=kept.n if left else len(gone),
            parts_touched=round(left * len(self.path.sums)),
            parts=len(self.path.sums),
            why=why,
        )
