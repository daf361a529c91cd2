"""Compiling the kernels ahead of their first use, into a cache on disk; says when that has still to happen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from expunge.core.canonical import Arrays
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.roles import Progress
from expunge.core.seeds import Key
from expunge.models.forest import trees as forestry
from expunge.models.forest.model import ForestModel


class Walks(Protocol):
    """What is walked through: a small forest learner."""

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ForestModel:
        """Return the forest of these records."""
        ...

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ForestModel:
        """Return the forest that was saved."""
        ...


def is_warm() -> bool:
    """Say whether the compiled kernels are in the cache, as far as can be seen."""
    from expunge.models.kernels.forest import build
    from expunge.models.kernels.repair import repair_tree

    try:
        # numba has no public question for this; where the answer cannot be had, assume the worst
        folders = [Path(kernel._cache.cache_path) for kernel in (build, repair_tree)]
    except AttributeError:
        return False
    return all(any(folder.glob(f"*.{k}-*.nbi")) for folder, k in zip(folders, ("build", "repair_tree"), strict=True))


def walk(learner: Walks) -> None:
    """Compile every kernel by walking small forests through fit, predict, forget, learn, save and restore.

    Args:
        learner: a learner that splits nodes of ten records (its other parameters do not matter).

    Cost: half a second with the kernels in the cache, for classes and numbers; else see `Forest.prepare`.
    """
    n = 40
    classes = Dataset.from_arrays(np.arange(2.0 * n).reshape(n, 2), [str(i % 2) for i in range(n)])
    key = Key.public(0)
    for data in (classes, replace(classes, target=Column("number", np.arange(float(n))))):
        model = learner.fit(data, key)
        model.losses(data)
        after = model.without(data.ids[:2].tolist())
        learner.restore(after.state() | after.memory(), after.data, key)
        after.adding(data.only(data.ids[:2].tolist()))
        forestry.packed(model.trees[0])
