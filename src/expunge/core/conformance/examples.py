"""Examples without end: random worlds, deletions, splits and saves, each held against a fresh fit (spec X10)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from expunge.core.archive import pack
from expunge.core.conformance.watch import ConformanceFailure, arrays_of, hold, refit, restored, some_ids, unequal
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.roles import Forgets, Learner, Model
from expunge.core.seeds import Key
from expunge.core.tiny import deploy

SHARES = (0.0, 0.05, 0.3, 0.6, 0.95)
"""About this share of the records is forgotten; of the first, one."""


def check_examples(
    learner: Learner,
    records: Callable[[int], Dataset],
    n_examples: int = 100,
    *,
    first: int = 0,
    key: Key | None = None,
) -> None:
    """Try so many random examples: forget in up to three parts and any order, here and there saved and read back.

    Args:
        learner: its models must forget (`Forgets`); those that do not pass.
        records: seed → data, for example `tiny_world`.
        n_examples: how many; an example takes a few fits.
        first: the seed of the first; two runs that share no seed share no example.
        key: of the models; default: another one for each example.

    Raises:
        ConformanceFailure: the first example in which digest, memory or saved bytes are not those of a fresh fit.
            The sentence says its seed: ``check_examples(learner, records, 1, first=seed)`` shows it again.
    """
    for seed in range(first, first + n_examples):
        deployment = deploy(learner, records(seed), seed, key)
        if not isinstance(deployment.model, Forgets):
            return
        try:
            _try(deployment, seed)
        except ConformanceFailure as failure:
            raise ConformanceFailure(f"example {seed}: {failure}") from failure


def _try(deployment: Deployment, seed: int) -> None:
    draw = np.random.Generator(np.random.PCG64([seed, 31]))
    share = SHARES[int(draw.integers(len(SHARES)))] * float(draw.random())
    every = some_ids(deployment, share, seed)
    ids = [every[place] for place in draw.permutation(len(every)).tolist()]
    cuts = sorted(draw.integers(0, len(ids) + 1, 2).tolist())
    now = deployment
    for part in (ids[: cuts[0]], ids[cuts[0] : cuts[1]], ids[cuts[1] :]):
        now = _without(now, part)
        if part and draw.random() < 0.25:
            now = restored(now) or now
    order = draw.permutation(len(deployment.data) - len(ids))
    kept = refit(deployment, tuple(ids))
    turned = deployment.learner.fit(deployment.data.without(ids).take(order), deployment.key)
    what = f"after forgetting {len(ids)} of {len(deployment.data)} records in three parts"
    _compare(now.model, kept, f"{what} the model")
    _compare(turned, kept, "learnt from the kept records in another order, the model")


def _without(now: Deployment, ids: list[str | int]) -> Deployment:
    model = now.model
    hold(isinstance(model, Forgets), "a model that has forgotten cannot forget again")
    if not isinstance(model, Forgets):
        return now
    data = now.data.without(ids) if ids else now.data
    return replace(now, model=model.without(ids), data=data)


def _compare(model: Model, reference: Model, what: str) -> None:
    hold(model.digest() == reference.digest(), f"{what} differs from one learnt from the kept records")
    mine, fresh = arrays_of(model), arrays_of(reference)
    odd = unequal(mine, fresh)
    hold(not odd, f"{what} differs from a fresh fit in these arrays: {odd}")
    hold(pack(mine) == pack(fresh), f"{what} is saved as other bytes than a fresh fit")
