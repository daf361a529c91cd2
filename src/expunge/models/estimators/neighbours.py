"""The estimators of nearest neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds, Regresses
from expunge.models.neighbours import Neighbours


class NeighboursClassifier(Classifies, Forgetful):
    """k nearest neighbours; parameters as `expunge.models.neighbours.Neighbours`.

    Args:
        n_neighbours: k.
        smoothing: votes added to every class in probabilities, > 0.
        seed: of the hash buckets of columns with many categories, and of texts.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits``. Cost and Source: as `Neighbours` (spec XL07).
    """

    _makes = Neighbours

    def __init__(
        self,
        n_neighbours: int = 15,
        *,
        smoothing: float = 0.5,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.n_neighbours = n_neighbours
        self.smoothing = smoothing
        self.seed = seed
        self.classes = classes
        self.kinds = kinds


class NeighboursRegressor(Regresses, Forgetful):
    """The mean of the k nearest neighbours; parameters as `expunge.models.neighbours.Neighbours`.

    Args:
        n_neighbours: k.
        seed: of the hash buckets of columns with many categories, and of texts.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits``. Cost and Source: as `Neighbours` (spec XL07).
    """

    _makes = Neighbours
    smoothing = 0.5

    def __init__(self, n_neighbours: int = 15, *, seed: int | str = 0, kinds: Kinds | None = None) -> None:
        self.n_neighbours = n_neighbours
        self.seed = seed
        self.kinds = kinds
