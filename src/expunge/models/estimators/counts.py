"""The estimators of counts: naive Bayes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.models.bayes import NaiveBayes
from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds


class NaiveBayesClassifier(Classifies, Forgetful):
    """Naive Bayes on binned columns; parameters as `expunge.models.bayes.NaiveBayes`.

    Args:
        smoothing: added to every count, > 0.
        n_bins: bins a column is cut into (64 or 256).
        seed: of the hash buckets of columns with many categories, and of texts.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits``. Cost and Source: as `NaiveBayes` (spec XL06).
    """

    _makes = NaiveBayes

    def __init__(
        self,
        smoothing: float = 1.0,
        *,
        n_bins: int = 64,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.smoothing = smoothing
        self.n_bins = n_bins
        self.seed = seed
        self.classes = classes
        self.kinds = kinds
