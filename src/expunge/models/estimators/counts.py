"""The estimators of counts and sums: naive Bayes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.models.bayes.naive import NaiveBayes
from expunge.models.bayes.sums import Likelihood, SumBayes
from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds


class NaiveBayesClassifier(Classifies, Forgetful):
    """Naive Bayes on binned columns; parameters as `expunge.models.bayes.naive.NaiveBayes`.

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


class SumBayesClassifier(Classifies, Forgetful):
    """Gaussian, multinomial or Bernoulli naive Bayes; parameters as `expunge.models.bayes.sums.SumBayes`.

    Args:
        likelihood: ``gaussian``, ``multinomial`` or ``bernoulli``.
        smoothing: added to every count, or to every variance in squared codes, > 0.
        seed: of the hash buckets of columns with many categories, and of texts.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong; ``"vector"`` = X is one column of vectors.

    Guarantee: exact, grade ``bits``. Cost and Source: as `SumBayes` (spec XL06).
    """

    _makes = SumBayes

    def __init__(
        self,
        likelihood: Likelihood = "gaussian",
        *,
        smoothing: float = 1.0,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.likelihood = likelihood
        self.smoothing = smoothing
        self.seed = seed
        self.classes = classes
        self.kinds = kinds
