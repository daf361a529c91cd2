"""Other people's estimators made canonical: one thread, seeds from the key, a recipe for a representation."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.errors import Unsupported
from expunge.core.seeds import Key
from expunge.models.encoding.table import Form, Table
from expunge.models.outside.anatomy import anatomy, named
from expunge.models.outside.boosters import Answers, library

Floats = npt.NDArray[np.float64]

THREADS = frozenset({"n_jobs", "nthread", "num_threads", "num_thread", "thread_count"})
SEEDS = frozenset({"random_state"})
REPEAT = "Let it draw from a random_state parameter alone, and keep nothing from one fit to the next."
LIGHTGBM = {"deterministic": True, "force_row_wise": True, "n_jobs": 1, "verbosity": -1}
SEED_TOP = 2**31 - 1
KNOWN = frozenset({"sklearn", "lightgbm", "xgboost", "numpy", "scipy", "pandas", "builtins"})
"""Whose estimators, told their seeds and one thread, are taken to repeat themselves."""


def recipe(estimator: Any) -> str:
    """Return what an estimator is, with the parameters that differ from its defaults; equal for equal estimators.

    Threads and seeds are left out: they are set here.

    Raises:
        Unsupported: it has no parameters to ask for, or one that cannot be written.
    """
    if not hasattr(estimator, "get_params"):
        raise Unsupported(f"{type(estimator).__name__} is no estimator: it has no get_params")
    params = estimator.get_params(deep=False)
    usual = _usual(type(estimator))
    told = [
        f"{name}={_written(value)}"
        for name, value in sorted(params.items())
        if name not in THREADS | SEEDS and not (name in usual and _written(value) == _written(usual[name]))
    ]
    return f"{named(type(estimator))}({', '.join(told)})"


def _usual(kind: type) -> dict[str, Any]:
    """Return the defaults of an estimator's parameters."""
    try:
        found: dict[str, Any] = kind().get_params(deep=False)
    except TypeError:  # a parameter without a default
        found = {p.name: p.default for p in signature(kind).parameters.values() if p.default is not p.empty}
    return found


def _written(value: Any) -> str:
    if isinstance(value, type):
        return named(value)
    if hasattr(value, "get_params"):
        return recipe(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_written, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {_written(v)}' for k, v in sorted(value.items()))}}}"
    if isinstance(value, bool | int | float | str | bytes | type(None)):
        return repr(value)
    return anatomy(value)["outline"].tobytes().decode(errors="replace").replace("\n", ";")


def vouched(estimator: Any) -> bool:
    """Say whether every part of an estimator, parameters that are functions included, is of a library of `KNOWN`."""
    parts = [estimator, *estimator.get_params(deep=True).values()]
    while parts:
        part = parts.pop()
        if isinstance(part, list | tuple | set | frozenset | dict):
            parts += part.values() if isinstance(part, dict) else part
            continue
        where = part if callable(part) and hasattr(part, "__module__") and not hasattr(part, "fit") else type(part)
        if (getattr(where, "__module__", None) or "builtins").partition(".")[0] not in KNOWN:
            return False
    return True


def settled(estimator: Any, learn: Callable[[], Answers]) -> Answers:
    """Return what is learnt. An estimator that nobody vouches for learns twice, and has to learn the same.

    Raises:
        Unsupported: it did not.
    """
    found = learn()
    if vouched(estimator):
        return found
    one, other = found.arrays(), learn().arrays()
    if one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one):
        return found
    said = f"{type(estimator).__name__} learnt two different things from the same records: it cannot forget exactly"
    raise Unsupported(said, hint=REPEAT)


def prepared(estimator: Any, table: Table, key: Key) -> Any:
    """Return an unfitted copy that learns the same from the same records: one thread, seeds by name from the key."""
    from sklearn.base import clone

    copy = clone(estimator)
    told = copy.get_params(deep=True)
    fixed: dict[str, Any] = {}
    for path, value in told.items():
        name = path.rpartition("__")[2]
        if name in THREADS and value is not None:
            fixed[path] = 1
        elif name in SEEDS and not isinstance(value, str):  # scikit-learn's word for "deprecated"
            fixed[path] = key.word(f"outside/{path}") % SEED_TOP
    if library(copy) == "lightgbm":
        fixed |= LIGHTGBM | {"random_state": key.word("outside/random_state") % SEED_TOP}
    elif library(copy) == "xgboost":
        kinds = ["c" if j in table.nominal else "q" for j in range(table.width)]
        fixed |= {"n_jobs": 1, "tree_method": told.get("tree_method") or "hist", "feature_types": kinds}
        fixed |= {"enable_categorical": True}
    elif type(copy).__name__.startswith("HistGradientBoosting") and table.form == "codes":
        fixed["categorical_features"] = table.nominal or None
    return copy.set_params(**fixed)


def fit_options(estimator: Any, table: Table) -> dict[str, Any]:
    """Return what `fit` is told beside X and y."""
    return {"categorical_feature": table.nominal} if library(estimator) == "lightgbm" and table.nominal else {}


def form_of(estimator: Any) -> Form:
    """Return the table that suits an estimator: a pipeline gets the frame, what bears gaps gets codes."""
    from sklearn.utils import get_tags

    if any(hasattr(estimator, name) for name in ("steps", "transformers", "transformer_list")):
        return "raw"
    if library(estimator) in ("lightgbm", "xgboost"):
        return "codes"
    return "codes" if get_tags(estimator).input_tags.allow_nan else "scaled"


@contextmanager
def alone(key: Key) -> Iterator[None]:
    """Give the block one thread and generators of its own; the global ones are afterwards what they were."""
    from threadpoolctl import threadpool_limits

    before = random.getstate(), np.random.get_state(legacy=False)  # noqa: NPY002 - put back below
    word = key.word("outside/global") % SEED_TOP
    random.seed(word)
    np.random.seed(word)  # noqa: NPY002 - for estimators that draw from it whatever they are told
    try:
        with threadpool_limits(1):
            yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fitted estimator that has no text of its own: stored as a recipe, and fitted again when it is read."""

    estimator: Any

    def shares(self, X: Any, k: int) -> Floats:
        """Return the probability of each class, shape (n, k); 1 for the answer of a classifier without any."""
        if not hasattr(self.estimator, "predict_proba"):
            return np.eye(k)[np.asarray(self.estimator.predict(X), np.int64)]
        found = np.zeros((len(X), k))
        found[:, np.asarray(self.estimator.classes_, np.int64)] = self.estimator.predict_proba(X)
        return found

    def values(self, X: Any) -> Floats:
        """Return numbers, shape (n,)."""
        return np.asarray(self.estimator.predict(X), np.float64).reshape(len(X))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return its whole contents, to be compared."""
        return {f"fitted/{name}": array for name, array in anatomy(self.estimator).items()}
