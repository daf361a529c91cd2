"""``Outside``: an estimator of another library as a learner, a pure function of the key and the set of records."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.encoding.table import FORMS, Form, Table, in_order
from expunge.models.outside import boosters, foreign
from expunge.models.outside.boosters import Answers, LightGbm, XGBoost
from expunge.models.outside.named import Named
from expunge.models.scores import class_codes, cross_entropy, known_codes, label_bytes, squared_errors

if TYPE_CHECKING:
    from collections.abc import Callable

    from expunge.core.canonical import Arrays
    from expunge.core.roles import Floats, Progress

FLOOR = 1e-9
"""A share below this counts as this where its logarithm is taken."""
SAME_HERE = "the estimator gives the same bits for the same rows, seeds and single thread, under these library versions"
REFITTED = "it is stored as a recipe: when it is read again it is fitted again, and compared with what was stored"


@dataclass(frozen=True, repr=False)
class Outside:
    """An estimator with scikit-learn's ``fit`` and ``predict``: scikit-learn, LightGBM, XGBoost, a whole `Pipeline`.

    It learns the records in the order of their ids, in one thread, with seeds from the key; parameters for seeds and
    threads are overruled. Encoders are inside: `table` makes numbers of the columns, and a pipeline brings its own.

    Attributes:
        estimator: not fitted; it is copied, and never changed. Or a `Named` one.
        table: ``scaled``, ``codes`` or ``raw`` (see `expunge.models.encoding.table`); ``auto`` = ``raw`` for pipelines,
            ``codes`` for what takes missing values, ``scaled`` for the rest.
        passes: how often ``partial_fit`` goes over the records in a whole training, where slices are asked for.

    Guarantee: exact, grade ``bits-here``, when it learns again; it cannot forget by itself: put it into `Sharded`.
    Cost: one fit of the estimator; two where it, or a function given to it, is of no library that is known to repeat
        itself (`foreign.KNOWN`): it is then refused unless both fits give the same.
    Source: spec XL03. LightGBM and XGBoost bin a sample of rows by position: canonical because rows are sorted.
    """

    estimator: Any
    table: Form | Literal["auto"] = "auto"
    passes: int = 10

    def __repr__(self) -> str:
        told = repr(self.estimator) if isinstance(self.estimator, Named) else foreign.recipe(self.estimator)
        return f"Outside({told}, table={self.table!r}, passes={self.passes})"

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the library of a `Named` estimator (seconds), so that this is in nobody's timing; silent."""
        if isinstance(self.estimator, Named):
            self.estimator.load(numbers=False)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> OutsideModel:
        """Return what the estimator learnt.

        Raises:
            BadTarget, BadData: nothing to learn, or not a target for this estimator.
            Unsupported: it learns something else each time, so that it could not forget exactly.
            ValueError: the estimator's own refusals.
        """
        model, data = self.begin(data, key), in_order(data)

        def learn() -> Answers:
            estimator = foreign.prepared(model.learner.estimator, model.table, key)
            X, y = model.table.encode(data), self._goals(data, model.labels)
            with foreign.alone(key), boosters.refusals():
                estimator.fit(X, y, **foreign.fit_options(estimator, model.table))
            return _answers(estimator)

        return replace(model, answers=foreign.settled(model.learner.estimator, learn), unfitted=None)

    def begin(self, data: Dataset, key: Key) -> OutsideModel:
        """Return the model before it has learnt anything: encoder, classes, parameters."""
        if isinstance(self.estimator, Named):
            return replace(self, estimator=self.estimator.of(data)).begin(data, key)
        self._check()
        labels = self._labels(data)
        table = Table.of(data, key, foreign.form_of(self.estimator) if self.table == "auto" else self.table)
        estimator = foreign.prepared(self.estimator, table, key)
        return OutsideModel(self, Identity.of(self, data, key), table, labels, foreign.Fitted(estimator), estimator)

    def resume(self, model: OutsideModel, data: Dataset, key: Key, share: float) -> OutsideModel:
        """Return the model after some more passes of ``partial_fit``; the one given is untouched.

        Raises:
            Unsupported: the estimator cannot learn in steps, or learns something else each time.
        """
        answers, data = model.answers, in_order(data)
        if not isinstance(answers, foreign.Fitted) or not hasattr(answers.estimator, "partial_fit"):
            name = type(model.learner.estimator).__name__
            raise Unsupported(f"{name} cannot go on learning: it has no partial_fit", hint="Use n_slices=1.")
        classes = {"classes": np.arange(len(model.labels))} if model.labels else {}
        before = answers.estimator

        def learn() -> Answers:
            estimator = deepcopy(before)
            X, y = model.table.encode(data), self._goals(data, model.labels)
            with foreign.alone(key):
                for _ in range(max(1, round(share * self.passes))):
                    estimator.partial_fit(X, y, **classes)
            return foreign.Fitted(estimator)

        return replace(model, answers=foreign.settled(model.learner.estimator, learn), unfitted=None)

    def reload(self, model: OutsideModel, arrays: Arrays) -> OutsideModel | None:
        """Return the model that gave these arrays, with the encoder of `begin`; None if it must be fitted again."""
        answers = boosters.read(arrays)
        return None if answers is None else replace(model, answers=answers, unfitted=None)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> OutsideModel:
        """Return the model that was saved: boosters are read, all others fitted again and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.reload(self.begin(data, key), arrays) or self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        if self.table not in (*FORMS, "auto"):
            raise BadInput(f"table must be auto or one of {', '.join(FORMS)}, not {self.table!r}")
        if not isinstance(self.passes, int) or not 1 <= self.passes <= 10_000:
            raise BadInput(f"passes must be a whole number from 1 to 10000, not {self.passes!r}")
        lost = [name for name in ("fit", "predict", "get_params") if not hasattr(self.estimator, name)]
        if lost:
            raise BadInput(f"{type(self.estimator).__name__} is no estimator: it has no {lost[0]}")

    def _labels(self, data: Dataset) -> tuple[str, ...]:
        """Return the classes; none for a target of numbers."""
        from sklearn.base import is_classifier, is_regressor

        name = type(self.estimator).__name__
        if data.target is not None and data.target.kind == "number":
            if not is_regressor(self.estimator):
                raise BadTarget(f"{name} does not learn numbers, and {data.target_name!r} is one")
            return ()
        if not is_classifier(self.estimator):
            raise BadTarget(f"{name} does not learn classes", hint="Give the classifier of its library.")
        return class_labels(data)

    def _goals(self, data: Dataset, labels: tuple[str, ...]) -> npt.NDArray[Any]:
        if labels:
            return known_codes(data, labels)
        values = np.zeros(0) if data.target is None else np.asarray(data.target.values, np.float64)
        if not np.isfinite(values).all():
            raise BadTarget(f"target {data.target_name!r} is not a number in every record")
        return values


def _answers(estimator: Any) -> Answers:
    if boosters.library(estimator) == "lightgbm":
        return LightGbm.of(estimator)
    return XGBoost.of(estimator) if boosters.library(estimator) == "xgboost" else foreign.Fitted(estimator)


@dataclass(frozen=True, eq=False)
class OutsideModel:
    """The model of an `Outside`.

    Attributes:
        learner: its estimator and how it is fed.
        identity: learner, schema and key commitment, for the digest.
        table: the encoder.
        labels: the classes, in the order of the columns of `logits`; none for a target of numbers.
        answers: what predicts.
        unfitted: the estimator that is about to learn; None once it has.
    """

    learner: Outside
    identity: Identity
    table: Table
    labels: tuple[str, ...]
    answers: Answers
    unfitted: Any = field(default=None, repr=False)

    def logits(self, data: Dataset) -> Floats:
        """Return log-probabilities, shape (n, k)."""
        found: Floats = np.zeros((0, len(self.labels)))
        if len(data):
            found = np.log(np.maximum(self.answers.shares(self.table.encode(data), len(self.labels)), FLOOR))
        return found

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        return self.answers.values(self.table.encode(data)) if len(data) else np.zeros(0)

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropy in nats, or squared errors; shape (n,)."""
        if self.labels:
            return cross_entropy(self.logits(data), class_codes(data, self.labels))
        return squared_errors(self.values(data), data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return encoder, classes, and what the estimator learnt."""
        return {**self.table.state(), "classes/labels": label_bytes(self.labels), **self.answers.arrays()}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here``, resting on the other library."""
        more = [REFITTED] if isinstance(self.answers, foreign.Fitted) else []
        return exactly("bits-here", SAME_HERE, *more)
