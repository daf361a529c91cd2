"""``Neighbours``: exact nearest neighbours on integer codes, for classes and numbers; forgetting drops the rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, BadTarget, NothingLeft
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.change import coming, forecast, going
from expunge.models.encoding.scale import Codes, Scale
from expunge.models.kept import Kept, few
from expunge.models.rows import Rows
from expunge.models.scores import class_codes, cross_entropy, known_codes, label_bytes, squared_errors

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]
BLOCK = 8192
CELLS = 1 << 22
"""Distances held at once."""


@dataclass(frozen=True)
class Neighbours:
    """k nearest neighbours by Euclidean distance on standardised columns: one vote each, or the mean of their numbers.

    Attributes:
        n_neighbours: k, at least 1; with fewer records, all of them vote.
        smoothing: votes added to every class when log-probabilities are taken, > 0.

    Guarantee: exact, grade ``bits``: codes are int16 and squared distances whole numbers below 2⁵³, so the answers are
        the same on any platform; ties go to the record whose id comes first in bytes.
    Cost: fit O(n·d); a query O(n·d); forgetting O(m·d), and one copy of the codes when next asked; O(n·d) where a
        scale moves.
    Source: spec XL07 (flat index), encoders XE02-XE05.
    """

    n_neighbours: int = 15
    smoothing: float = 0.5

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> NeighboursModel:
        """Return the codes of these records.

        Raises:
            BadTarget, ClassVanished, BadData, TooLarge: nothing to learn.
        """
        self._check()
        began = time.perf_counter()
        labels = () if data.target is not None and data.target.kind == "number" else class_labels(data)
        scale = Scale.of(data, key)
        rows = Rows.of(data.ids, measured(scale, data, labels))
        if progress is not None:
            progress(len(data), len(data))
        identity, fit_s = Identity.of(self, data, key), time.perf_counter() - began
        return NeighboursModel(self, identity, key, Kept.of(data), scale, labels, rows, fit_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> NeighboursModel:
        """Return the model that was saved as its state and memory; the codes are taken afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        if isinstance(self.n_neighbours, bool) or not isinstance(self.n_neighbours, int) or self.n_neighbours < 1:
            raise BadInput(f"n_neighbours must be a positive whole number, not {self.n_neighbours!r}")
        if not (isinstance(self.smoothing, int | float) and 0 < self.smoothing < float("inf")):
            raise BadInput(f"smoothing must be a positive number, not {self.smoothing!r}")


def measured(scale: Scale, data: Dataset, labels: tuple[str, ...]) -> dict[str, npt.NDArray[Any]]:
    """Return what is held of each record: codes, their sums of squares, and the class or the number."""
    codes = scale.encode(data)
    return {"codes": codes, "norms": _squares(codes), "y": _answers(data, labels)}


def _answers(data: Dataset, labels: tuple[str, ...]) -> npt.NDArray[Any]:
    if labels:
        return known_codes(data, labels).astype(np.int32)
    if data.target is None or data.target.kind != "number" or not np.isfinite(data.target.values).all():
        raise BadTarget(f"target {data.target_name!r} is not a number in every record")
    return np.asarray(data.target.values, np.float64)


@dataclass(frozen=True, eq=False)
class NeighboursModel:
    """The model of `Neighbours`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the hash buckets.
        kept: the records.
        scale: the encoder.
        labels: the classes, in the order of the columns of `logits`; empty for a number target.
        rows: codes and answers of the records.
        fit_s: seconds of the last fit.
    """

    learner: Neighbours
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    scale: Scale = field(repr=False)
    labels: tuple[str, ...]
    rows: Rows = field(repr=False)
    fit_s: float = 0.0

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.rows.read()
        return self.kept.data

    def nearest(self, data: Dataset) -> Ints:
        """Return the rows (in the order of ids) of each record's neighbours, shape (n, k), the nearest first."""
        return self._nearest(self.scale.encode(data), None)

    def _nearest(self, queries: Codes, own: Ints | None) -> Ints:
        """Return the nearest rows of codes; of each query but its own, where that is given."""
        held = self.rows.read()
        codes, norms = held["codes"], held["norms"]
        k = min(self.learner.n_neighbours, len(codes) - (own is not None))
        found = np.zeros((len(queries), k), np.int64)
        size = max(1, CELLS // len(codes))
        for start in range(0, len(queries), size):
            some = queries[start : start + size]
            far = _distances(some, codes, norms)
            if own is not None:
                far[np.arange(len(some)), own[start : start + size]] = np.inf
            found[start : start + size] = _first(far, k)
        return found

    def votes(self, data: Dataset) -> Ints:
        """Return how many of each record's nearest neighbours are of each class, shape (n, k)."""
        return self._votes(self.nearest(data))

    def _votes(self, near: Ints) -> Ints:
        k, y = len(self.labels), self.rows.read()["y"]
        places = y[near] + k * np.arange(len(near))[:, None]
        found: Ints = np.bincount(places.ravel(), minlength=k * len(near)).reshape(-1, k)
        return found

    def logits(self, data: Dataset) -> Floats:
        """Return smoothed log-shares of the votes, shape (n, k); of numbers their mean, shape (n, 1)."""
        return self._said(self.nearest(data))

    def _said(self, near: Ints) -> Floats:
        if not self.labels:
            y, total = self.rows.read()["y"], np.zeros(len(near))
            for column in np.sort(near, axis=1).T:  # in the order of ids: sums of floats have one
                total += y[column]
            mean: Floats = (total / near.shape[1])[:, None]
            return mean
        a, votes = float(self.learner.smoothing), self._votes(near)
        found: Floats = np.log(votes + a) - np.log(votes.sum(axis=1, keepdims=True) + a * len(self.labels))
        return found

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        found: Floats = self.logits(data)[:, 0]
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropies, in nats, or squared errors, shape (n,); a record learnt is its own neighbour."""
        if self.labels:
            return cross_entropy(self.logits(data), class_codes(data, self.labels))
        return squared_errors(self.values(data), data)

    def leave_out(self, ids: Sequence[Id]) -> Floats:
        """Return what the model without each record says of it, shape (m, k): its neighbours but itself.

        Where the scale would move without a record, the model is asked that never saw it.

        Raises:
            UnknownRecord, NothingLeft: there is no such record, or no other.

        Cost: O(m·n·d), as a prediction; O(n·d) more for each record that a scale depends on.
        """
        data, known = self.data, self.rows.ids
        if len(data) == 1:
            raise NothingLeft("without its only record there is no model")
        rows = data.positions(ids)
        order = np.argsort(known, kind="stable")
        own = order[np.searchsorted(known[order], data.ids[rows])]
        found = self._said(self._nearest(self.rows.read()["codes"][own], own))
        for place, row in enumerate(rows.tolist()):
            one = few(data, np.array([row]))
            if self.scale.without(one) is None:
                rest = data.take(np.arange(len(data)) != row)
                declared = rest if not self.labels else replace(rest, classes=self.labels)
                found[place] = self.learner.fit(declared, self.key).logits(one)[0]
        return found

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: scale, classes, and codes and answers of the records in the order of their ids."""
        self.kept.settle()
        held = self.rows.read()
        said = {"classes/labels": label_bytes(self.labels), "classes/codes": held["y"]}
        return {**self.scale.state(), **(said if self.labels else {"values": held["y"]}), "codes": held["codes"]}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the scale's counts."""
        return self.scale.memory()

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        return self.scale.nbytes + sum(array.nbytes for array in self.rows.read().values())

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return exactly("bits")

    def without(self, ids: Iterable[Id]) -> NeighboursModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        change = going(self.kept, self.scale, ids)
        if not len(change.records):
            return self
        if change.after is None:
            return self.learner.fit(change.kept.data, self.key)
        scale, left = change.after
        return replace(self, kept=change.kept, scale=scale, rows=self.rows.without(change.records.ids, left))

    def adding(self, data: Dataset) -> NeighboursModel:
        """Return the model that has seen these records as well; self is untouched.

        Raises:
            DuplicateId: a record is known already.
            BadData, BadTarget: other columns, or another target.
            TooLarge: there would be too many.
        """
        change = coming(self.kept, self.scale, data)
        if not len(data):
            return self
        new = data.target is not None and self.labels and not set(data.target.vocabulary) <= set(self.labels)
        if change.scale is None or new:
            return self.learner.fit(change.kept.data, self.key)
        rows = self.rows.joined(data.ids, measured(change.scale, data, self.labels))
        return replace(self, kept=change.kept, scale=change.scale, rows=rows)

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        change = going(self.kept, self.scale, ids)
        if change.after is None:
            return forecast("a scale moves, so the records are encoded again", self.fit_s, 1.0, change.kept.n)
        return forecast("drops the records' rows", self.fit_s, 0.05, len(change.records))


def _squares(codes: Codes) -> Floats:
    """Return Σ x² of each row, shape (n,)."""
    out = np.zeros(len(codes))
    for start in range(0, len(codes), BLOCK):
        block = codes[start : start + BLOCK].astype(np.float64)
        out[start : start + BLOCK] = np.einsum("ij,ij->i", block, block)
    return out


def _distances(queries: Codes, codes: Codes, norms: Floats) -> Floats:
    """Return squared distances, shape (queries, n): whole numbers, exact in float64."""
    left = queries.astype(np.float64)
    found = np.empty((len(queries), len(codes)))
    for start in range(0, len(codes), BLOCK):
        found[:, start : start + BLOCK] = left @ codes[start : start + BLOCK].astype(np.float64).T
    found *= -2.0
    found += norms
    found += _squares(queries)[:, None]
    return found


def _first(distances: Floats, k: int) -> Ints:
    """Return the k nearest in each row, the nearest first; among equals the first."""
    limit = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    rows, columns = np.nonzero(distances <= limit)
    order = np.lexsort((columns, distances[rows, columns], rows))
    starts = np.searchsorted(rows, np.arange(len(distances)))
    found: Ints = columns[order[starts[:, None] + np.arange(k)]]
    return found
