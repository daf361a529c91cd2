"""The instruments of the conformance suite: deep portraits, quiet generators, round trips, and one kind of failure."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from expunge.core.archive import pack, unpack
from expunge.core.deployment import Deployment
from expunge.core.errors import BadInput, ExpungeError
from expunge.core.models import rows_to_forget
from expunge.core.request import Id
from expunge.core.roles import Model, Remembers, Restores
from expunge.core.seeds import Key


class ConformanceFailure(AssertionError):
    """A promise of the suite is broken; the message says which, in one sentence."""


def hold(kept: bool, sentence: str) -> None:
    """Raise the sentence unless the promise was kept."""
    if not kept:
        raise ConformanceFailure(sentence)


@contextmanager
def fails(kinds: tuple[type[ExpungeError], ...], what: str) -> Iterator[None]:
    """Fail unless the block raises one of these errors."""
    names = " or ".join(kind.__name__ for kind in kinds)
    try:
        yield
    except kinds:
        return
    except Exception as error:
        raise ConformanceFailure(f"{what} should raise {names}, not {type(error).__name__}: {error}") from error
    raise ConformanceFailure(f"{what} should raise {names}, but nothing was raised")


@contextmanager
def quiet_globals(what: str) -> Iterator[None]:
    """Fail if the global generators of Python, numpy or torch are drawn from; leave them as they were."""
    torch = sys.modules.get("torch")
    before = (random.getstate(), _numpy_state(), None if torch is None else torch.get_rng_state().tolist())
    yield
    after = (random.getstate(), _numpy_state(), None if torch is None else torch.get_rng_state().tolist())
    hold(before == after, f"{what} draws from a global random generator; draw from the key instead")


def _numpy_state() -> str:
    return repr([np.asarray(part).tolist() for part in np.random.get_state(legacy=True)])  # noqa: NPY002 - only looked at


def arrays_of(model: Model) -> dict[str, Any]:
    """Return a model's state, and its memory where it has one."""
    memory = model.memory() if isinstance(model, Remembers) else {}
    return {**memory, **model.state()}


def portrait(deployment: Deployment) -> dict[str, Any]:
    """Return a deep copy of everything that must not change; digests may be cached, so arrays are compared too."""
    data, model = deployment.data, deployment.model
    found: dict[str, Any] = {f"array {k}": np.array(v) for k, v in arrays_of(model).items()}
    found |= {f"column {name}": np.array(column.values) for name, column in data.columns.items()}
    found |= {"ids": data.ids.copy(), "subjects": data.subjects.copy(), "losses": model.losses(data).copy()}
    found |= {"digest": np.array(model.digest())}
    if deployment.holdout is not None:
        found["holdout"] = deployment.holdout.ids.copy()
    return found


def changed(before: dict[str, Any], deployment: Deployment) -> str:
    """Return the names of what differs from the portrait; empty if nothing does."""
    after = portrait(deployment)
    odd = [
        name
        for name in before
        if name not in after or not np.array_equal(before[name], after[name], _floats(before[name]))
    ]
    return ", ".join(odd + [name for name in after if name not in before])


def _floats(array: Any) -> bool:
    return bool(np.asarray(array).dtype.kind == "f")


def some_ids(deployment: Deployment, share: float, salt: int = 0) -> tuple[Id, ...]:
    """Return ids that can be forgotten together: about this share, spread over owners, no class emptied."""
    data = deployment.data
    order = Key.public(salt).generator("conformance").permutation(len(data))
    rows = order[: max(1, int(share * len(data)))]
    for size in range(len(rows), 0, -1):
        ids = tuple(data.ids[rows[:size]].tolist())
        try:
            rows_to_forget(data, ids)
        except BadInput:
            continue
        return ids
    raise ConformanceFailure("the world offers no record that can be forgotten; give another one")


def unequal(left: dict[str, Any], right: dict[str, Any]) -> str:
    """Return the names of arrays that differ in dtype, shape or bits; empty if none does."""
    names = sorted(set(left) | set(right))
    odd = [n for n in names if n not in left or n not in right or not _same(left[n], right[n])]
    return ", ".join(odd)


def _same(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=_floats(a))


def restored(deployment: Deployment) -> Deployment | None:
    """Return the deployment with its model saved as safetensors and read back; None if its learner cannot."""
    learner = deployment.learner
    if not isinstance(learner, Restores):
        return None
    arrays = unpack(pack(arrays_of(deployment.model)))
    try:
        model = learner.restore(arrays, deployment.data, deployment.key)
    except ExpungeError as error:
        raise ConformanceFailure(f"a model's own arrays cannot be read back: {error}") from error
    hold(model.digest() == deployment.model.digest(), "a model that was saved and read back has another digest")
    odd = unequal(arrays_of(model), arrays_of(deployment.model))
    hold(not odd, f"a model that was saved and read back has other arrays: {odd}")
    return replace(deployment, model=model)


def refit(deployment: Deployment, ids: tuple[Id, ...]) -> Model:
    """Return the model learnt without these records: the yardstick of exactness."""
    return deployment.learner.fit(deployment.data.without(ids), deployment.key)
