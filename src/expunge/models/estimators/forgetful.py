"""What all estimators share: reading X and y, fitting, and forgetting by id or by subject.

Source: spec section 4.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

from expunge.core.columns import Column, normal_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import BadTarget
from expunge.core.roles import Learns
from expunge.core.seeds import Key
from expunge.models.encoding.layout import Kinds, Layout, column_names, is_frame, row_ids
from expunge.models.estimators.fitted import (
    FitFirst,
    contents,
    is_fitted,
    kept_ids,
    model_digest,
    model_of,
    named_records,
    promised,
)
from expunge.models.scores import log_shares

if TYPE_CHECKING:
    from expunge.core.deployment import Prediction
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Learner

__all__ = ["Classifies", "FitFirst", "Forgetful", "Kinds", "Regresses", "class_text"]

READING: dict[str, Any] = {"dtype": np.float64, "ensure_all_finite": "allow-nan"}
"""How arrays are checked: numbers, of which some may be missing."""
VECTORS: dict[str, Any] = {"dtype": [np.float32, np.int16, np.int8, np.uint8]}
"""How arrays are checked that are one column of vectors: kept in their own small type, nothing missing."""


class Forgetful(BaseEstimator):  # type: ignore[misc]
    """What all estimators share: reading, fitting, and forgetting by id or by subject."""

    seed: int | str
    kinds: Kinds | None

    _makes: ClassVar[Any]
    _needs_y: ClassVar[bool] = True

    _fitted = model_of
    _named = named_records
    ids_ = property(kept_ids)
    digest = model_digest
    guarantee = promised
    __getstate__ = contents
    __sklearn_is_fitted__ = is_fitted

    def _learner(self) -> Learner:
        """Return the learner with this estimator's parameters of the same names."""
        learner: Learner = self._makes(**{f.name: getattr(self, f.name) for f in fields(self._makes)})
        return learner

    def _key(self) -> Key:
        """Return the key of the draws: of a library seed, which anybody can repeat."""
        return Key.public(self.seed)

    def fit(self, X: Any, y: Any = None, ids: Iterable[Id] | None = None, subjects: Iterable[Id] | None = None) -> Self:
        """Learn from records.

        Args:
            X: an array of numbers or a pandas frame of any columns, shape (n, d); NaN and None are missing values.
            y: the target, shape (n,); nothing where none is learnt.
            ids: a unique id for each record, kept for ever; default: a frame's unique index, else 0…n-1.
            subjects: who owns each record; default: each record owns itself.

        Raises:
            BadData, BadTarget, DuplicateId: nothing was learnt.
        """
        data, self._layout = self._read(X, y, ids, subjects)
        self.model_: Any = self._learner().fit(data, self._key())
        self._shared = False
        return self

    def learn(
        self, X: Any, y: Any = None, ids: Iterable[Id] | None = None, subjects: Iterable[Id] | None = None
    ) -> Self:
        """Learn from more records, exactly: what `fit` on all of them would give. All of them, or on any error none.

        Args:
            X: as for `fit`, with the same columns; default ids (a frame's index, or 0…n-1) must be new as well.
            y: the target, shape (n,).
            ids: a unique id for each record, unlike those of the records learnt from.
            subjects: who owns each record; default: each record owns itself.

        Raises:
            DuplicateId, BadData, BadTarget: nothing was changed.
        """
        model, after, before = self._fitted(), self._twin(), dict(self.__dict__)
        more, _ = after._read(X, y, ids, subjects, self._layout)
        again = not isinstance(model, Learns)
        after.model_ = self._learner().fit(model.data.joined(more), model.key) if again else model.adding(more)
        self.__dict__.update(after.__dict__)  # classes and model at once, for whoever predicts meanwhile
        del before  # what was replaced lived until here: nothing of it was taken down in the middle
        self._shared = True
        return self

    def _twin(self) -> Self:
        """Return an estimator with the same parts."""
        after = object.__new__(type(self))
        after.__dict__ |= self.__dict__
        return after

    def _read(
        self, X: Any, y: Any, ids: Iterable[Id] | None, subjects: Iterable[Id] | None, known: Layout | None = None
    ) -> tuple[Dataset, Layout]:
        """Return X and y as records, and how they were read: anew, or as at first."""
        if y is None and self._needs_y:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        if is_frame(X):
            column_names(X)
            validate_data(self, X, skip_check_array=True, reset=known is None)
            if self._needs_y:
                check_consistent_length(X, y)
                y = column_or_1d(y, warn=True)
                assert_all_finite(y, input_name="y")
        else:
            how = VECTORS if self.kinds == "vector" else READING
            if self._needs_y:
                numeric = isinstance(self, RegressorMixin)
                X, y = validate_data(self, X, y, y_numeric=numeric, reset=known is None, **how)
            else:
                X = validate_data(self, X, reset=known is None, **how)
        layout, columns = Layout.learn(X, self.kinds) if known is None else (known, known.read(X))
        target, classes = self._target(y, known is not None) if self._needs_y else (None, ())  # of the leaf's kind
        names = row_ids(X, ids)
        owners = names if subjects is None else normal_ids(subjects, "subject")
        free = next(name for name in ("target", *(f"target{j}" for j in range(len(columns)))) if name not in columns)
        return Dataset(columns, names, owners, target, free, classes, layout.notes), layout

    def _questions(self, X: Any) -> Dataset:
        """Return X as records like those learnt from."""
        self._fitted()
        if is_frame(X):
            validate_data(self, X, reset=False, skip_check_array=True)
        else:
            mixed = bool(set(self._layout.kinds.values()) - {"number"})
            how = {"dtype": None, "ensure_all_finite": False} if mixed else READING
            how = VECTORS if self._layout.vectors else how
            X = validate_data(self, X, reset=False, **how)
        ids = np.arange(len(X), dtype=np.int64)
        return Dataset(self._layout.read(X), ids, ids)

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
        model, after = self._fitted(), self._twin()
        after.model_ = model.without(self._named(ids, subjects))
        after._shared = self._shared = True  # parts of one model may be parts of the other: no more repairs in place
        return after

    def plan(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Prediction:
        """Return what forgetting would cost; changes nothing."""
        found: Prediction = self._fitted().plan(self._named(ids, subjects))
        return found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.kinds != "vector"
        tags.target_tags.required = self._needs_y
        return tags


class Classifies(ClassifierMixin):  # type: ignore[misc]
    """A classifier: labels of any type in, the same labels out."""

    classes: Sequence[Any] | None
    classes_: npt.NDArray[Any]

    def _target(self, y: npt.NDArray[Any], more: bool = False) -> tuple[Column, tuple[str, ...]]:
        check_classification_targets(y)
        seen, codes = np.unique(y, return_inverse=True)
        if self.classes is not None:
            self.classes_ = np.unique(np.asarray(self.classes))
        else:
            self.classes_ = np.union1d(self.classes_, seen) if more else seen
        words = [class_text(label) for label in self.classes_]
        try:
            codes = np.array([words.index(class_text(label)) for label in seen], np.int64)[codes]
        except ValueError as error:
            odd = next(label for label in seen if class_text(label) not in words)
            raise BadTarget(f"y holds {odd!r}, which is not among the declared classes") from error
        order = sorted(range(len(words)), key=lambda code: words[code].encode())
        vocabulary = tuple(words[code] for code in order)
        target = Column("category", np.argsort(order)[codes].astype(np.int32), vocabulary)
        return target, vocabulary if self.classes is not None else ()

    def _scores(self, X: Any) -> Floats:
        model, data = self._fitted(), self._questions(X)  # both are `Forgetful`'s
        order = [model.labels.index(class_text(label)) for label in self.classes_]
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


class Regresses(RegressorMixin):  # type: ignore[misc]
    """A regressor: numbers in, numbers out."""

    def _target(self, y: npt.NDArray[Any], more: bool = False) -> tuple[Column, tuple[str, ...]]:
        return Column("number", np.asarray(y, np.float64)), ()

    def predict(self, X: Any) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        model, data = self._fitted(), self._questions(X)  # both are `Forgetful`'s
        found: Floats = model.values(data)
        return found


def class_text(label: Any) -> str:
    """Return what a class is called inside: the text of the user's label."""
    return str(label.item() if isinstance(label, np.generic) else label)
