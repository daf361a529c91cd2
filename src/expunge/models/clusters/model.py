"""``ClustersModel``: the model of every k-means: records, the runs over them, and the centres that these came to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadData, BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, exactly
from expunge.core.seeds import Key
from expunge.models.change import coming, forecast, going
from expunge.models.clusters.course import Course, Path, Points, squares
from expunge.models.draws import keyed_words, owner_words
from expunge.models.encoding.scale import UNIT, Codes, Scale
from expunge.models.kept import Kept
from expunge.models.rows import Rows

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]
BLOCK = 8192


class Clusters(Protocol):
    """A learner of clusters."""

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ClustersModel:
        """Return the centres of these records."""
        ...


class Runs(Protocol):
    """What kinds of k-means differ in: which runs there are over the records, and which of them go again."""

    @property
    def course(self) -> Course:
        """How a run goes."""
        ...

    @property
    def centres(self) -> Ints:
        """Where the whole ends, in codes, shape (k, d)."""
        ...

    @property
    def replayed(self) -> float:
        """How much went again in the last change; for measurements."""
        ...

    def after(self, change: Points, sign: int, every: Callable[[], Points]) -> Runs:
        """Return the runs when points go (-1) or come (1); `every` reads all points as they are then."""
        ...

    def outlook(self, gone: Points) -> tuple[float, int, int]:
        """Return what goes again without these points: (share of a fit, parts touched, parts)."""
        ...

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums behind every decision."""
        ...


Begin = Callable[[tuple[str, ...], Points], Runs]
"""How runs over points begin, given the names of the columns."""


@dataclass(frozen=True, eq=False)
class ClustersModel:
    """The model of `KMeans` and `DividedKMeans`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of all draws.
        kept: the records.
        scale: the encoder.
        rows: codes and keyed words of the records.
        runs: what was decided.
        fit_s: seconds of the last fit.
    """

    learner: Clusters
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    scale: Scale = field(repr=False)
    rows: Rows = field(repr=False)
    runs: Runs = field(repr=False)
    fit_s: float = 0.0

    @classmethod
    def of(cls, learner: Clusters, data: Dataset, key: Key, begin: Begin) -> ClustersModel:
        """Return the model of records, whose runs begin as is said.

        Raises:
            BadData, TooLarge: columns that cannot be measured.
        """
        if not data.columns:
            raise BadData("there is no column to cluster by")
        began = time.perf_counter()
        scale = Scale.of(data, key)
        rows = Rows.of(data.ids, encoded(scale, data, key))
        runs = begin(tuple(scale.names), points_of(rows.read()))
        identity, fit_s = Identity.of(learner, data, key), time.perf_counter() - began
        return cls(learner, identity, key, Kept.of(data), scale, rows, runs, fit_s)

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.rows.read()
        return self.kept.data

    @property
    def centres(self) -> Floats:
        """The centres on the scale of `Scale`, where one unit is about a standard deviation; shape (k, d)."""
        found: Floats = self.runs.centres / UNIT
        return found

    def distances(self, data: Dataset) -> Floats:
        """Return how far each record is from each centre, shape (n, k), in units of about a standard deviation."""
        return _distances(self.scale.encode(data), self.runs.centres)

    def clusters(self, data: Dataset) -> Ints:
        """Return which centre each record is nearest to, shape (n,); the first among equals."""
        found: Ints = self.distances(data).argmin(axis=1)
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return the squared distance of each record to its nearest centre, shape (n,); their sum is the inertia."""
        found: Floats = self.distances(data).min(axis=1) ** 2
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what assigns: scale and centres. Nothing of forgotten records is held afterwards."""
        self.kept.settle()
        self.rows.read()
        return {**self.scale.state(), "centres": self.runs.centres}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the sums behind every decision."""
        return {**self.scale.memory(), **self.runs.memory()}

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

    def without(self, ids: Iterable[Id]) -> ClustersModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        change = going(self.kept, self.scale, ids)
        if not len(change.records):
            return self
        if change.scale is None:
            return self._again(change.kept)
        gone = points_of(encoded(self.scale, change.records, self.key))
        rows = self.rows.without(change.records.ids, np.ones(self.scale.width, bool))
        return self._after(change.kept, change.scale, rows, (gone, -1))

    def adding(self, data: Dataset) -> ClustersModel:
        """Return the model that has seen these records as well; self is untouched.

        Raises:
            DuplicateId: a record is known already.
            BadData, TooLarge: other columns, or too many records.
        """
        change = coming(self.kept, self.scale, data)
        if not len(data):
            return self
        if change.scale is None:
            return self._again(change.kept)
        more = encoded(change.scale, data, self.key)
        rows = self.rows.joined(data.ids, more)
        return self._after(change.kept, change.scale, rows, (points_of(more), 1))

    def _again(self, kept: Kept) -> ClustersModel:
        return self.learner.fit(kept.data, self.key)

    def _after(self, kept: Kept, scale: Scale, rows: Rows, change: tuple[Points, int]) -> ClustersModel:
        runs = self.runs.after(*change, lambda: points_of(rows.read()))
        return replace(self, kept=kept, scale=scale, rows=rows, runs=runs)

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        change = going(self.kept, self.scale, ids)
        share, touched, parts = self.runs.outlook(points_of(encoded(self.scale, change.records, self.key)))
        if change.scale is None:
            why = "a scale moves, so the records are encoded again"
            return forecast(why, self.fit_s, 1.0, change.kept.n, (parts, parts))
        read = round(share * change.kept.n) if share else len(change.records)
        return forecast(f"at most {touched} of {parts} parts go again", self.fit_s, share, read, (touched, parts))


def encoded(scale: Scale, data: Dataset, key: Key) -> dict[str, npt.NDArray[Any]]:
    """Return what is held of each record: codes, and keyed words of its id and its owner."""
    return {
        "codes": scale.encode(data),
        "words": keyed_words(key, data.ids),
        "owners": owner_words(key, data),
    }


def points_of(arrays: Any) -> Points:
    """Return records as points."""
    codes = np.asarray(arrays["codes"])
    return Points(codes, np.asarray(arrays["words"]), np.asarray(arrays["owners"]), np.ones(len(codes), np.int64))


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


def check_counts(*named: tuple[str, object, int]) -> None:
    """Refuse (name, value, most) where a value is not a whole number from 1 to that many.

    Raises:
        BadInput: naming the parameter.
    """
    for name, value, most in named:
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
            raise BadInput(f"{name} must be a whole number from 1 to {most}, not {value!r}")


def _distances(codes: Codes, centres: Ints) -> Floats:
    """Return how far codes are from centres, shape (n, k), in units of about a standard deviation."""
    found = np.empty((len(codes), len(centres)))
    for start in range(0, len(codes), BLOCK):
        found[start : start + BLOCK] = squares(codes[start : start + BLOCK].astype(np.float64), centres)
    return np.sqrt(found) / UNIT
