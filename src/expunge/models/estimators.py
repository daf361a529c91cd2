"""Estimators after scikit-learn's conventions whose ``forget`` gives what ``fit`` on the kept records would give.

``fit(X, y, ids=…, subjects=…)`` takes arrays and pandas frames; then ``forget``, ``without``, ``plan``, ``digest`` and
``guarantee`` beside the usual ``predict``. `check_pipeline` names what in a pipeline is outside the guarantee.

Source: spec section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin
from sklearn.utils import get_tags

from expunge.core.columns import Column
from expunge.models.bayes import NaiveBayes
from expunge.models.forest import Forest
from expunge.models.forgetful import Classifies, Forgetful, Kinds
from expunge.models.linear import Ridge
from expunge.models.neighbours import Neighbours

if TYPE_CHECKING:
    from expunge.core.roles import Floats

__all__ = [
    "ForestClassifier", "NaiveBayesClassifier", "NeighboursClassifier", "RidgeClassifier", "RidgeRegressor",
    "check_pipeline",
]  # fmt: skip


class ForestClassifier(Classifies, Forgetful):
    """A random forest that forgets exactly; parameters as `expunge.models.forest.Forest`.

    Args:
        n_trees: trees.
        trees_per_owner: in how many of them each subject's records are; the cost of forgetting is in proportion.
        max_depth: splits from root to leaf, at most.
        min_split: a node of fewer records is a leaf.
        max_features: features tried at a node: a number, or ``"sqrt"``.
        n_bins: bins a column is cut into (64 or 256).
        sample: a node of more records decides on about this many (a power of two).
        thresholds: thresholds tried a feature.
        keep: nodes of more records than this remember their histograms.
        seed: of all draws; public, so anybody can reproduce the forest.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.
        n_jobs: threads that fit trees; no effect on the result.

    Guarantee: exact, grade ``bits``. Cost and Source: as `Forest` (spec XL01).
    """

    _makes = Forest

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        n_trees: int = 100,
        *,
        trees_per_owner: int = 10,
        max_depth: int = 20,
        min_split: int = 10,
        max_features: int | str = "sqrt",
        n_bins: int = 64,
        sample: int = 2048,
        thresholds: int = 10,
        keep: int = 64,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
        n_jobs: int = 1,
    ) -> None:
        self.n_trees = n_trees
        self.trees_per_owner = trees_per_owner
        self.max_depth = max_depth
        self.min_split = min_split
        self.max_features = max_features
        self.n_bins = n_bins
        self.sample = sample
        self.thresholds = thresholds
        self.keep = keep
        self.seed = seed
        self.classes = classes
        self.kinds = kinds
        self.n_jobs = n_jobs


class RidgeClassifier(Classifies, Forgetful):
    """Least-squares classification, each class against the rest; parameters as `expunge.models.linear.Ridge`.

    Args:
        alpha: penalty on the weights of standardised columns, > 0.
        seed: of the hash buckets of columns with many categories, and of texts.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits-here``. Cost and Source: as `Ridge` (spec XL04).
    """

    _makes = Ridge
    step = None

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.alpha = alpha
        self.seed = seed
        self.classes = classes
        self.kinds = kinds

    def decision_function(self, X: Any) -> Floats:
        """Return the scores, shape (n, k); of two classes the second's, shape (n,)."""
        scores = self._scores(X)
        return scores[:, 1] if scores.shape[1] == 2 else scores


class RidgeRegressor(RegressorMixin, Forgetful):  # type: ignore[misc]
    """Ridge regression; parameters as `expunge.models.linear.Ridge`.

    Args:
        alpha: penalty on the weights of standardised columns, > 0.
        step: declared step of the target; None = learnt from it, and forgotten with it.
        seed: of the hash buckets of columns with many categories, and of texts.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits-here``. Cost and Source: as `Ridge` (spec XL04).
    """

    _makes = Ridge

    def __init__(
        self, alpha: float = 1.0, *, step: float | None = None, seed: int | str = 0, kinds: Kinds | None = None
    ) -> None:
        self.alpha = alpha
        self.step = step
        self.seed = seed
        self.kinds = kinds

    def _target(self, y: npt.NDArray[Any]) -> tuple[Column, tuple[str, ...]]:
        return Column("number", np.asarray(y, np.float64)), ()

    def predict(self, X: Any) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        found: Floats = self._fitted().values(self._questions(X))
        return found


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


def check_pipeline(pipeline: Any) -> tuple[str, ...]:
    """Return what in a pipeline learns from data and is outside the exactness guarantee; empty = nothing is.

    Args:
        pipeline: a scikit-learn ``Pipeline``, possibly with a ``ColumnTransformer`` or ``FeatureUnion`` inside.

    Returns:
        ``step (Class)`` of each, nested steps as ``outer/inner``.
    """
    return tuple(_outside("", pipeline))


def _outside(path: str, part: Any) -> Iterable[str]:
    if part is None or isinstance(part, str | Forgetful):
        return
    inner = next((getattr(part, n) for n in ("steps", "transformers", "transformer_list") if hasattr(part, n)), None)
    if inner is None:
        if get_tags(part).requires_fit:
            yield f"{path or 'pipeline'} ({type(part).__name__})"
        return
    for name, step, *_ in inner:
        yield from _outside(f"{path}/{name}" if path else name, step)
