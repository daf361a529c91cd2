"""``Neighbours``: exact nearest neighbours on integer codes; forgetting is dropping the rows."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, class_labels, exactly
from expunge.core.seeds import Key, id_bytes
from expunge.models.kept import Kept, Mask
from expunge.models.scale import Codes, Scale
from expunge.models.scores import class_codes, cross_entropy, known_codes, label_bytes

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
    """k nearest neighbours by Euclidean distance on standardised columns, one vote each.

    Attributes:
        n_neighbours: k, at least 1; with fewer records, all of them vote.
        smoothing: votes added to every class when log-probabilities are taken, > 0.

    Guarantee: exact, grade ``bits``: codes are int16 and squared distances whole numbers below 2⁵³, so the answers are
        the same on any platform; ties go to the record whose id comes first in bytes.
    Cost: fit O(n·d); a query O(n·d); forgetting O(m·d) and one copy of the codes when next asked, or O(n·d) where a
        scale moves.
    Source: spec XL07 (flat index), encoders XE02-XE05.
    """

    n_neighbours: int = 15
    smoothing: float = 0.5

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> NeighboursModel:
        """Return the codes of these records.

        Raises:
            BadTarget, ClassVanished, BadData, TooLarge: nothing to learn, or not a target of categories.
        """
        self._check()
        began = time.perf_counter()
        labels = class_labels(data)
        y = known_codes(data, labels)
        scale = Scale.of(data, key)
        index = Index.of(scale, data, y)
        if progress is not None:
            progress(len(data), len(data))
        identity, fit_s = Identity.of(self, data, key), time.perf_counter() - began
        return NeighboursModel(self, identity, key, Kept.of(data), scale, labels, index, fit_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> NeighboursModel:
        """Return the model that was saved as its state and memory; the codes are taken afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        if not isinstance(self.n_neighbours, int) or self.n_neighbours < 1:
            raise BadInput(f"n_neighbours must be a positive whole number, not {self.n_neighbours!r}")
        if not (isinstance(self.smoothing, int | float) and 0 < self.smoothing < float("inf")):
            raise BadInput(f"smoothing must be a positive number, not {self.smoothing!r}")


def id_order(ids: npt.NDArray[Any]) -> Ints:
    """Return the order of ids by their canonical bytes: numbers as 64-bit words, then texts by UTF-8."""
    if ids.dtype.kind == "i":
        return np.argsort(ids.astype(np.int64).view(np.uint64), kind="stable")
    words = [id_bytes(value) for value in ids.tolist()]
    return np.array(sorted(range(len(words)), key=words.__getitem__), np.int64)


@dataclass(frozen=True)
class _Rows:
    """Codes (n, d), classes (n,) and ids (n,) in the order of the ids; with the ids and columns still to be dropped."""

    codes: Codes
    y: npt.NDArray[np.int32]
    ids: npt.NDArray[Any]
    gone: npt.NDArray[Any] | None = None
    left: Mask | None = None

    def settled(self) -> _Rows:
        """Return the rows without those that are gone, and without columns that hold only zeros."""
        if self.gone is None or self.left is None:
            return self
        keep = ~np.isin(self.ids, self.gone)
        codes = self.codes[keep] if self.left.all() else self.codes[keep][:, self.left]
        return _Rows(np.ascontiguousarray(codes), self.y[keep], self.ids[keep])


@dataclass(eq=False)
class Index:
    """The records to compare with. To its users a value; what is gone is dropped from memory when it is next read."""

    now: _Rows

    @classmethod
    def of(cls, scale: Scale, data: Dataset, y: Ints) -> Index:
        """Encode records."""
        order = id_order(data.ids)
        return cls(_Rows(scale.encode(data)[order], y[order].astype(np.int32), data.ids[order]))

    def without(self, gone: npt.NDArray[Any], left: Mask) -> Index:
        """Return the index without these records, and with these columns alone."""
        self.read()
        return Index(replace(self.now, gone=gone, left=left))

    def read(self) -> tuple[Codes, npt.NDArray[np.int32]]:
        """Return (codes, classes) of the kept records."""
        rows = self.now.settled()
        self.now = rows  # one assignment: a second reader sees the old rows or the new, never half of them
        return rows.codes, rows.y


@dataclass(frozen=True, eq=False)
class NeighboursModel:
    """The model of `Neighbours`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the hash buckets.
        kept: the records.
        scale: the encoder.
        labels: the classes, in the order of the columns of `logits`.
        index: codes and classes of the records.
        fit_s: seconds of the last fit.
    """

    learner: Neighbours
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    scale: Scale = field(repr=False)
    labels: tuple[str, ...]
    index: Index = field(repr=False)
    fit_s: float = 0.0

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.index.read()
        return self.kept.data

    def votes(self, data: Dataset) -> Ints:
        """Return how many of each record's nearest neighbours are of each class, shape (n, k)."""
        codes, y = self.index.read()
        k = min(self.learner.n_neighbours, len(codes))
        queries = self.scale.encode(data)
        classes = np.eye(len(self.labels))[y]
        norms = _squares(codes)
        found = np.zeros((len(queries), len(self.labels)), np.int64)
        size = max(1, CELLS // len(codes))
        for start in range(0, len(queries), size):
            some = queries[start : start + size]
            near = _nearest(_distances(some, codes, norms), k)
            found[start : start + size] = near.astype(np.float64) @ classes
        return found

    def logits(self, data: Dataset) -> Floats:
        """Return smoothed log-shares of the votes, shape (n, k)."""
        a = float(self.learner.smoothing)
        votes = self.votes(data)
        found: Floats = np.log(votes + a) - np.log(votes.sum(axis=1, keepdims=True) + a * len(self.labels))
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats; a record in the index is its own neighbour."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: scale, classes, and codes and classes of the records in the order of their ids."""
        self.kept.settle()
        codes, y = self.index.read()
        return {**self.scale.state(), "classes/labels": label_bytes(self.labels), "codes": codes, "classes/codes": y}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the scale's counts."""
        return self.scale.memory()

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
        gone, kept = self.kept.forget(ids)
        if not len(gone):
            return self
        after = self.scale.without(gone)
        if after is None:
            return self.learner.fit(kept.data, self.key)
        scale, left = after
        return replace(self, kept=kept, scale=scale, index=self.index.without(gone.ids, left))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        gone, kept = self.kept.forget(ids)
        moves = self.scale.without(gone) is None
        seconds = (self.fit_s * (1.0 if moves else 0.05) + 1e-3) if self.fit_s else None
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 4 * seconds,
            worst_s=self.fit_s * 1.5 or None,
            records_read=kept.n if moves else len(gone),
            parts_touched=1,
            parts=1,
            why="a scale moves, so the records are encoded again" if moves else "drops the records' rows",
        )


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


def _nearest(distances: Floats, k: int) -> Mask:
    """Return which k are nearest in each row; among equals the first."""
    limit = np.partition(distances, k - 1, axis=1)[:, k - 1 : k]
    near = distances < limit
    edge = distances == limit
    rest = k - near.sum(axis=1, keepdims=True)
    found: Mask = near | (edge & (np.cumsum(edge, axis=1) <= rest))
    return found
