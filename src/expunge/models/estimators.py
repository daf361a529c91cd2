"""Estimators after scikit-learn's conventions whose ``forget`` gives what ``fit`` on the kept records would give.

``fit(X, y, ids=…, subjects=…)`` takes arrays and pandas frames; then ``forget``, ``without``, ``plan``, ``digest`` and
``guarantee`` beside the usual ``predict``. `check_pipeline` names what in a pipeline is outside the guarantee.

Source: spec section 4.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import assert_all_finite, column_or_1d, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

from expunge.core.columns import Column, Kind, normal_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, NotFitted, UnknownSubject
from expunge.core.seeds import Key
from expunge.models.bayes import NaiveBayes
from expunge.models.forest import Forest
from expunge.models.layout import Layout, is_frame, row_ids
from expunge.models.linear import Ridge
from expunge.models.neighbours import Neighbours
from expunge.models.scores import log_shares

if TYPE_CHECKING:
    from expunge.core.deployment import Prediction
    from expunge.core.guarantee import Guarantee
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Learner

__all__ = [
    "FitFirst", "ForestClassifier", "NaiveBayesClassifier", "NeighboursClassifier", "RidgeClassifier",
    "RidgeRegressor", "check_pipeline",
]  # fmt: skip

Kinds = Mapping[str, Kind]


class FitFirst(NotFitted, NotFittedError):  # type: ignore[misc]  # scikit-learn has no types
    """The estimator has not been fitted yet."""


class _Forgetful(BaseEstimator):  # type: ignore[misc]
    """What all estimators share: reading, fitting, and forgetting by id or by subject."""

    seed: int | str
    kinds: Kinds | None

    _makes: ClassVar[Any]

    def _learner(self) -> Learner:
        """Return the learner with this estimator's parameters of the same names."""
        learner: Learner = self._makes(**{f.name: getattr(self, f.name) for f in fields(self._makes)})
        return learner

    def fit(self, X: Any, y: Any, ids: Iterable[Id] | None = None, subjects: Iterable[Id] | None = None) -> Self:
        """Learn from records.

        Args:
            X: an array of numbers or a pandas frame of any columns, shape (n, d); NaN and None are missing values.
            y: the target, shape (n,).
            ids: a unique id for each record, kept for ever; default: a frame's unique index, else 0…n-1.
            subjects: who owns each record; default: each record owns itself.

        Raises:
            BadData, BadTarget, DuplicateId: nothing was learnt.
        """
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        if is_frame(X):
            validate_data(self, X, skip_check_array=True)
            check_consistent_length(X, y)
            y = column_or_1d(y, warn=True)
            assert_all_finite(y, input_name="y")
        else:
            numeric = isinstance(self, RegressorMixin)
            X, y = validate_data(self, X, y, dtype=np.float64, ensure_all_finite="allow-nan", y_numeric=numeric)
        target, classes = self._target(y)  # of the leaf's kind
        layout, columns = Layout.learn(X, self.kinds)
        names = row_ids(X, ids)
        owners = names if subjects is None else normal_ids(subjects, "subject")
        data = Dataset(columns, names, owners, target, classes=classes, notes=layout.notes)
        self.model_: Any = self._learner().fit(data, Key.public(self.seed))
        self._layout, self._shared = layout, False
        return self

    def _fitted(self) -> Any:
        if not hasattr(self, "model_"):
            raise FitFirst(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' first.")
        return self.model_

    def _questions(self, X: Any) -> Dataset:
        """Return X as records like those learnt from."""
        self._fitted()
        if is_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            mixed = set(self._layout.kinds.values()) > {"number"}
            X = validate_data(
                self, X, reset=False, dtype=None if mixed else np.float64, ensure_all_finite=mixed or "allow-nan"
            )
        ids = np.arange(len(X), dtype=np.int64)
        return Dataset(self._layout.read(X), ids, ids)

    @property
    def ids_(self) -> npt.NDArray[Any]:
        """The ids of the kept records, shape (n,)."""
        found: npt.NDArray[Any] = self._fitted().data.ids
        return found

    def _named(self, ids: Iterable[Id] | None, subjects: Iterable[Id] | None) -> list[Id]:
        model = self._fitted()
        if ids is None and subjects is None:
            raise BadInput("say which records to forget: ids, or subjects")
        if isinstance(ids, str) or isinstance(subjects, str):
            raise BadInput("ids and subjects are lists; one text would be read as a list of letters")
        wanted = [] if ids is None else np.asarray(ids).tolist() if isinstance(ids, np.ndarray) else list(ids)
        for subject in subjects if subjects is not None else ():
            owned = model.data.owned_by(subject.item() if isinstance(subject, np.generic) else subject)
            if not owned:
                raise UnknownSubject(f"subject {subject!r} owns no record here")
            wanted += owned
        return wanted

    def forget(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Self:
        """Forget records in place, exactly: all of them, or on any error none.

        Args:
            ids: record ids as given to (or made by) `fit`.
            subjects: subjects whose records are all to be forgotten.

        Raises:
            UnknownRecord, UnknownSubject, NothingLeft, ClassVanished: nothing was changed.
        """
        wanted, model = self._named(ids, subjects), self._fitted()
        if hasattr(model, "forget") and not self._shared:
            model.forget(wanted)
        else:
            self.model_ = model.without(wanted)
        return self

    def without(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Self:
        """Return a new estimator that never saw these records; self is untouched."""
        after = copy.copy(self)
        after.model_ = self._fitted().without(self._named(ids, subjects))
        after._shared = self._shared = True  # parts of one model may be parts of the other: no more repairs in place
        return after

    def plan(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Prediction:
        """Return what forgetting would cost; changes nothing."""
        found: Prediction = self._fitted().plan(self._named(ids, subjects))
        return found

    def digest(self) -> str:
        """Return the hex digest of the model's state: equal to that of a fit on the kept records (spec X07)."""
        return str(self._fitted().digest())

    def guarantee(self) -> Guarantee:
        """Return what `forget` promises, with its assumptions."""
        found: Guarantee = self._fitted().guarantee()
        return found

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        return tags


class _Classifies(ClassifierMixin):  # type: ignore[misc]
    """A classifier: labels of any type in, the same labels out."""

    classes: Sequence[Any] | None
    classes_: npt.NDArray[Any]

    def _target(self, y: npt.NDArray[Any]) -> tuple[Column, tuple[str, ...]]:
        check_classification_targets(y)
        seen, codes = np.unique(y, return_inverse=True)
        self.classes_ = seen if self.classes is None else np.unique(np.asarray(self.classes))
        words = [_text(label) for label in self.classes_]
        try:
            codes = np.array([words.index(_text(label)) for label in seen], np.int64)[codes]
        except ValueError as error:
            odd = next(label for label in seen if _text(label) not in words)
            raise BadTarget(f"y holds {odd!r}, which is not among the declared classes") from error
        order = sorted(range(len(words)), key=lambda code: words[code].encode())
        vocabulary = tuple(words[code] for code in order)
        target = Column("category", np.argsort(order)[codes].astype(np.int32), vocabulary)
        return target, vocabulary if self.classes is not None else ()

    def _scores(self, X: Any) -> Floats:
        model, data = self._fitted(), self._questions(X)  # type: ignore[attr-defined]  # of _Forgetful
        order = [model.labels.index(_text(label)) for label in self.classes_]
        found: Floats = model.logits(data)[:, order]
        return found

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the most probable class of each record, shape (n,); the first among equals."""
        best = self._scores(X).argmax(axis=1)
        found: npt.NDArray[Any] = self.classes_[best]
        return found

    def predict_proba(self, X: Any) -> Floats:
        """Return a probability of each class, shape (n, k), in the order of `classes_`."""
        return np.exp(log_shares(self._scores(X)))


def _text(label: Any) -> str:
    """Return what a class is called inside: the text of the user's label."""
    return str(label.item() if isinstance(label, np.generic) else label)


class ForestClassifier(_Classifies, _Forgetful):
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


class RidgeClassifier(_Classifies, _Forgetful):
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


class RidgeRegressor(RegressorMixin, _Forgetful):  # type: ignore[misc]
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


class NaiveBayesClassifier(_Classifies, _Forgetful):
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


class NeighboursClassifier(_Classifies, _Forgetful):
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
    if part is None or isinstance(part, str | _Forgetful):
        return
    inner = next((getattr(part, n) for n in ("steps", "transformers", "transformer_list") if hasattr(part, n)), None)
    if inner is None:
        if get_tags(part).requires_fit:
            yield f"{path or 'pipeline'} ({type(part).__name__})"
        return
    for name, step, *_ in inner:
        yield from _outside(f"{path}/{name}" if path else name, step)
