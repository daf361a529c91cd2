"""What every estimator does alike once it is fitted, as functions that classes take up under the same names.

Functions, because an estimator stands on at most one class of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from expunge.core.errors import BadInput, NotFitted, UnknownSubject

if TYPE_CHECKING:
    from expunge.core.guarantee import Guarantee
    from expunge.core.request import Id

Names = Iterable[Any] | None


class FitFirst(NotFitted, NotFittedError):  # type: ignore[misc]  # scikit-learn has no types
    """The estimator has not been fitted yet."""


def model_of(estimator: Any) -> Any:
    """Return the model of a fitted estimator.

    Raises:
        NotFitted: there is none yet.
    """
    if not is_fitted(estimator):
        raise FitFirst(f"This {type(estimator).__name__} instance is not fitted yet. Call 'fit' first.")
    return estimator.model_


def is_fitted(estimator: Any) -> bool:
    """Say whether the estimator has a model."""
    return hasattr(estimator, "model_")


def kept_ids(estimator: Any) -> npt.NDArray[Any]:
    """Return the ids of the kept records, shape (n,)."""
    found: npt.NDArray[Any] = model_of(estimator).data.ids
    return found


def model_digest(estimator: Any) -> str:
    """Return the hex digest of the model's state: equal to that of a fit on the kept records (spec X07)."""
    return str(model_of(estimator).digest())


def promised(estimator: Any) -> Guarantee:
    """Return what `forget` promises, with its assumptions."""
    found: Guarantee = model_of(estimator).guarantee()
    return found


def contents(estimator: Any) -> Any:
    """Return what is copied or written elsewhere: it holds nothing of forgotten records."""
    if is_fitted(estimator):
        estimator.model_.data  # noqa: B018 - a model lets go of what is gone when it is asked for its records
    return BaseEstimator.__getstate__(estimator)


def plain(values: Names) -> list[Any]:
    """Return names as Python's own numbers and texts; nothing for None."""
    listed = values.tolist() if isinstance(values, np.ndarray) else values if values is not None else ()
    return [v.item() if isinstance(v, np.generic) else v for v in listed]


def check_named(**given: Names) -> None:
    """Refuse a request that names nothing at all, or one name where a list is meant.

    Raises:
        BadInput: it is one.
    """
    words = list(given)
    some = f"{', '.join(words[:-1])} and {words[-1]}"
    if all(values is None for values in given.values()):
        raise BadInput(f"say what to forget: {', '.join(words[:-1])} or {words[-1]}")
    if any(isinstance(values, str | int | np.generic) for values in given.values()):
        raise BadInput(f"{some} are lists, also of one", hint="Write forget(ids=[17]).")


def named_records(estimator: Any, ids: Names, subjects: Names) -> list[Id]:
    """Return the ids of records that are asked for, by id or by subject.

    Raises:
        BadInput, UnknownSubject, NotFitted: the request cannot be read.
    """
    model = model_of(estimator)
    check_named(ids=ids, subjects=subjects)
    wanted: list[Id] = plain(ids)
    for subject in plain(subjects):
        owned = model.data.owned_by(subject)
        if not owned:
            raise UnknownSubject(f"subject {subject!r} owns no record here")
        wanted += owned
    return wanted
