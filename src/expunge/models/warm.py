"""Compiling the kernels ahead of their first use, into a cache on disk; says when that has still to happen."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from expunge.core.canonical import Arrays
from expunge.core.dataset import Dataset
from expunge.core.roles import Progress
from expunge.core.seeds import Key
from expunge.models.forest_model import ForestModel


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
    from expunge.models.kernels.forest import fit_tree, forget_tree

    try:
        # numba has no public question for this; where the answer cannot be had, assume the worst
        folders = [Path(kernel._cache.cache_path) for kernel in (fit_tree, forget_tree)]
    except AttributeError:
        return False
    return all(any(folder.glob(f"*.{k}-*.nbi")) for folder, k in zip(folders, ("fit_tree", "forget_tree"), strict=True))


def walk(learner: Walks) -> None:
    """Compile every kernel by walking a small forest through fit, predict, forget, save and restore.

    Args:
        learner: a learner that splits nodes of ten records (its other parameters do not matter).

    Cost: 15 to 25 s with a cold cache, half a second otherwise.
    """
    n = 40
    data = Dataset.from_arrays(np.arange(2.0 * n).reshape(n, 2), [str(i % 2) for i in range(n)])
    key = Key.public(0)
    model = learner.fit(data, key)
    model.probabilities(data)
    after = model.without(data.ids[:2].tolist())
    learner.restore(after.state() | after.memory(), after.data, key)
