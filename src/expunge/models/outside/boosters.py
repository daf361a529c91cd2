"""LightGBM and XGBoost as numbers: what they learnt as text or UBJSON bytes, never as pickled objects.

What predicts here was always read back from those bytes, so a model that was saved predicts the same bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.errors import StoreDamaged, Unsupported

Floats = npt.NDArray[np.float64]
EXTRA = "pip install 'expunge[boosters]'"


class Answers(Protocol):
    """What predicts, once somebody else's learner has learnt."""

    def shares(self, X: Any, k: int) -> Floats:
        """Return the probability of each class, shape (n, k)."""
        ...

    def values(self, X: Any) -> Floats:
        """Return numbers, shape (n,)."""
        ...

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return what it knows; equal for equal answers."""
        ...


def needed(name: str) -> Any:
    """Return a library.

    Raises:
        Unsupported: it is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise Unsupported(f"a model of {name} was saved here, and {name} is not installed", hint=EXTRA) from error


def of_two(p: Floats, k: int) -> Floats:
    """Return shares of shape (n, k) from a booster's answer, which of two classes gives the second's only."""
    found = np.asarray(p, np.float64)
    return np.stack([1.0 - found, found], axis=1) if found.ndim == 1 else found.reshape(len(found), k)


@dataclass(frozen=True, eq=False)
class LightGbm:
    """A LightGBM model: its text without the echo of the parameters, and the booster that was read from it."""

    text: str
    booster: Any

    @classmethod
    def of(cls, fitted: Any) -> LightGbm:
        """Return what a fitted ``LGBMClassifier`` or ``LGBMRegressor`` learnt."""
        return cls.read(fitted.booster_.model_to_string())

    @classmethod
    def read(cls, text: str) -> LightGbm:
        """Return the model of a text.

        Raises:
            StoreDamaged: it is none.
        """
        lightgbm = needed("lightgbm")
        text = text.partition("\nparameters:")[0].rstrip("\n") + "\n"
        try:
            return cls(text, lightgbm.Booster(model_str=text))
        except lightgbm.basic.LightGBMError as error:
            raise StoreDamaged(f"not the text of a LightGBM model: {error}") from error

    def shares(self, X: Any, k: int) -> Floats:
        """Return the probability of each class, shape (n, k)."""
        return of_two(self.values(X), k)

    def values(self, X: Any) -> Floats:
        """Return what the booster predicts."""
        return np.asarray(self.booster.predict(X, num_threads=1), np.float64)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the text."""
        return {"lightgbm": np.frombuffer(self.text.encode(), np.uint8)}


@dataclass(frozen=True, eq=False)
class XGBoost:
    """An XGBoost model: its UBJSON, and the booster that was read from it."""

    ubjson: bytes
    booster: Any

    @classmethod
    def of(cls, fitted: Any) -> XGBoost:
        """Return what a fitted ``XGBClassifier`` or ``XGBRegressor`` learnt."""
        booster = fitted.get_booster()
        booster.set_attr(**dict.fromkeys(booster.attributes()))  # what the wrapper wrote beside the model
        return cls.read(bytes(booster.save_raw("ubj")))

    @classmethod
    def read(cls, ubjson: bytes) -> XGBoost:
        """Return the model of these bytes.

        Raises:
            StoreDamaged: it is none.
        """
        xgboost = needed("xgboost")
        booster = xgboost.Booster({"nthread": 1})
        try:
            booster.load_model(bytearray(ubjson))
        except xgboost.core.XGBoostError as error:
            raise StoreDamaged("not the UBJSON of an XGBoost model") from error
        booster.set_param({"nthread": 1})
        return cls(ubjson, booster)

    def shares(self, X: Any, k: int) -> Floats:
        """Return the probability of each class, shape (n, k)."""
        return of_two(self.values(X), k)

    def values(self, X: Any) -> Floats:
        """Return what the booster predicts."""
        import xgboost

        kinds = self.booster.feature_types
        table = xgboost.DMatrix(X, nthread=1, feature_types=kinds, enable_categorical=True)
        return np.asarray(self.booster.predict(table), np.float64)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the UBJSON."""
        return {"xgboost": np.frombuffer(self.ubjson, np.uint8)}


def read(arrays: Arrays) -> Answers | None:
    """Return the booster that gave these arrays; None if they are nobody's here.

    Raises:
        StoreDamaged: they are a booster's, and damaged.
    """
    if "lightgbm" in arrays:
        try:
            return LightGbm.read(arrays["lightgbm"].tobytes().decode())
        except UnicodeDecodeError as error:
            raise StoreDamaged("not the text of a LightGBM model") from error
    return XGBoost.read(arrays["xgboost"].tobytes()) if "xgboost" in arrays else None


@contextmanager
def refusals() -> Iterator[None]:
    """Let a booster refuse records as other estimators do: by a `ValueError`."""
    try:
        yield
    except Exception as error:
        if type(error).__name__ != "LightGBMError":
            raise
        raise ValueError(str(error)) from error


def library(estimator: Any) -> str:
    """Return which library an estimator comes from: ``lightgbm``, ``xgboost``, ``sklearn`` or another."""
    return type(estimator).__module__.partition(".")[0]
