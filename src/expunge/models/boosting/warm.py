"""Compiling the kernels of boosting ahead of their first use, into a cache on disk; says when that has to happen."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.roles import Progress
from expunge.core.seeds import Key
from expunge.models.boosting.model import BoostingModel


class Walks(Protocol):
    """What is walked through: a small learner."""

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> BoostingModel:
        """Return the model of these records."""
        ...


def is_warm() -> bool:
    """Say whether the compiled kernels are in the cache, as far as can be seen."""
    from expunge.models.kernels.boost_repair import rebuild, spared

    try:
        # numba has no public question for this; where the answer cannot be had, assume the worst
        folders = [Path(kernel._cache.cache_path) for kernel in (rebuild, spared)]
    except AttributeError:
        return False
    return all(any(folder.glob(f"*.{k}-*.nbi")) for folder, k in zip(folders, ("rebuild", "spared"), strict=True))


def walk(learner: Walks) -> None:
    """Compile every kernel by walking a small model through fit, predict, forget and learn.

    Args:
        learner: boosting that splits nodes of two records, a few rounds of it.

    Cost: about 10 s with a cold cache, a fraction of a second otherwise.
    """
    n = 80
    draw = np.arange(2.0 * n).reshape(n, 2) % 7
    data = Dataset.from_arrays(draw, [str(int(v) % 2) for v in draw[:, 0]])
    model = learner.fit(data.take(np.arange(n - 4)), Key.public(0))
    model.losses(data)
    model = model.adding(data.take(np.arange(n - 4, n)))
    for few in (data.ids[:1], data.ids[1:30]):
        model = model.without(few.tolist())
    model = model.without(model.data.ids[:1].tolist())
    model.data  # noqa: B018 - what is left of the forgotten is dropped
