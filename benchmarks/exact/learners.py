"""The learners that are measured, and what every runner of ours does with one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.exact import data
from expunge import catalog
from expunge.core.dataset import Dataset
from expunge.core.roles import Learner, Prepares
from expunge.core.seeds import Key


@dataclass(frozen=True)
class Variant:
    """A learner of the catalogue with hyper-parameters, and what is done with it."""

    learner: str
    params: dict[str, Any] = field(default_factory=dict)


VARIANTS = {
    "forest": Variant("forest"),
    "forest, 30 trees a row": Variant("forest", {"trees_per_owner": 30, "sample": 1024}),
    "forest, all rows in all trees, depth 10": Variant(
        "forest", {"trees_per_owner": 100, "max_depth": 10, "min_split": 2}
    ),
    "forest, all rows in all trees, depth 20": Variant(
        "forest", {"trees_per_owner": 100, "max_depth": 20, "min_split": 2}
    ),
    "forest, lazy repair": Variant("forest", {"repair": "lazy", "debt": 0.2}),
    "boosting": Variant("boosting"),
    "LightGBM in 8 shards": Variant("sharded", {"learner": "lightgbm", "n_shards": 8}),
    "XGBoost in 8 shards": Variant("sharded", {"learner": "xgboost", "n_shards": 8}),
    "network": Variant("sharded", {"learner": "network", "n_shards": 1}),
    "network in 10 shards": Variant("sharded", {"learner": "network", "n_shards": 10}),
    "network in 10 shards of 5 slices": Variant("sharded", {"learner": "network", "n_shards": 10, "n_slices": 5}),
}


def version() -> str:
    """Return the version of this checkout."""
    return str(tomllib.loads((data.ROOT / "pyproject.toml").read_text())["project"]["version"])


def built(variant: Variant) -> Learner:
    learner: Learner = catalog.build("learner", variant.learner, **variant.params)
    if isinstance(learner, Prepares):
        learner.prepare(lambda line: None)
    return learner


def table(X: np.ndarray, y: np.ndarray, ids: np.ndarray) -> Dataset:
    return Dataset.from_arrays(X, np.where(y == 1, "yes", "no"), ids=ids)


def probability(model: Any, X: np.ndarray) -> np.ndarray:
    logits = np.asarray(model.logits(Dataset.from_arrays(X)))
    if logits.shape[1] == 1:
        return 1 / (1 + np.exp(-logits[:, 0]))
    return 1 / (1 + np.exp(np.clip(logits[:, 0] - logits[:, 1], -700, 700)))


def dropped(model: Any, rows: list[int]) -> Any:
    """Forget in place where the model can, as peers do; else take the new model for the old."""
    if hasattr(model, "forget"):
        model.forget(rows)
        return model
    return model.without(rows)


def size(model: Any) -> int:
    """Return what a model says it holds: for predicting, and for forgetting again."""
    told = getattr(model, "nbytes", None)
    if told is None:
        arrays = {**model.state(), **(model.memory() if hasattr(model, "memory") else {})}
        return sum(int(np.asarray(a).nbytes) for a in arrays.values())
    return int(sum(told)) if isinstance(told, tuple) else int(told)


def warm(learner: Learner, scene: dict[str, np.ndarray]) -> None:
    """Compile whatever a fit, a deletion and a prediction compile, on two thousand rows."""
    n = min(2000, len(scene["y"]))
    small = table(scene["X"][:n], scene["y"][:n], np.arange(n))
    model = learner.fit(small, Key.public(0))
    model = dropped(model, [1])
    model = dropped(model, list(range(2, max(3, n // 10))))
    probability(model, scene["Xt"][:10])
    model.digest()
