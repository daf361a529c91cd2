"""One chunk of an audit's models: fitted, unlearned, asked, and let go; only what they say is kept.

Models are made one by one, or many at once where learner and unlearner can (`FitsMany`, `UnlearnsMany`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from expunge.audit import signals
from expunge.audit.pools import FORGOTTEN, KEPT, Roles
from expunge.audit.scene import Scene
from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import BadData, Unsupported
from expunge.core.request import ForgetRequest
from expunge.core.roles import FitsMany, Learner, Model, Predicts, Stack, Unlearner, UnlearnsMany
from expunge.core.seeds import Key

Way = Literal["one by one", "many at once"]
MOST_CLASSES: Final = 1000
"""With more classes φ alone is kept, as float32."""

TRIED: Final = 256
"""Records of the trial that decides which way is faster."""

TRIED_MODELS: Final = 16
Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Task:
    """Some rows of some worlds.

    Attributes:
        scene: what they are made of.
        worlds: ``before``, ``after:NAME`` of each unlearner (which need the same originals); or one other world, whose
            models are fitted on the kept records.
        unlearners: name → unlearner, of every ``after:`` in `worlds`.
        rows: the rows, one behind the other.
        way: one by one, or many at once.
    """

    scene: Scene
    worlds: tuple[str, ...]
    unlearners: Mapping[str, Unlearner]
    rows: range
    way: Way = "one by one"


@dataclass(frozen=True)
class Made:
    """What a task gave.

    Attributes:
        rows: as asked.
        said: world → {``logits``: (m, n, k) float16} or {``phi``: (m, n) float32}.
        seconds: how long it took.
    """

    rows: range
    said: dict[str, dict[str, Array]] = field(repr=False)
    seconds: float


def make(task: Task) -> Made:
    """Make the models of a task and return what they say of every record.

    Raises:
        Unsupported: the learner or an unlearner cannot do this.
        BadData: a model gave NaN, or would have nothing to learn from.
    """
    began = time.perf_counter()
    for row, roles in zip(task.rows, task.scene.roles(task.rows), strict=True):
        _check_kept(row, roles)
    said = _many(task) if task.way == "many at once" else _singly(task)
    return Made(task.rows, said, time.perf_counter() - began)


def _check_kept(row: int, roles: npt.NDArray[np.uint8]) -> None:
    if not (roles == KEPT).any():
        raise BadData(
            f"model {row} of the audit would keep no record: {len(roles)} records are too few, or of too few owners",
            hint="Each model learns about half of the owners and forgets a part of them: audit with more records.",
        )


def _singly(task: Task) -> dict[str, dict[str, Array]]:
    scene = task.scene
    told: dict[str, list[Array]] = {world: [] for world in task.worlds}
    for row, roles in zip(task.rows, scene.roles(task.rows), strict=True):
        if is_paired(task.worlds):
            _asked(task, row, roles, told)
        for world in () if is_paired(task.worlds) else task.worlds:
            model = scene.learner.fit(scene.data.take(roles == KEPT), scene.key_of(world, row))
            told[world].append(_said(model, scene))
    return {world: _named(np.stack(rows)) for world, rows in told.items()}


def is_paired(worlds: tuple[str, ...]) -> bool:
    """Say whether these worlds begin with the originals."""
    return all(world == "before" or world.startswith("after:") for world in worlds)


def _asked(task: Task, row: int, roles: npt.NDArray[np.uint8], told: dict[str, list[Array]]) -> None:
    """Ask one original, and what every unlearner makes of it."""
    scene = task.scene
    deployment = original(scene, row, roles)
    before = _said(deployment.model, scene)
    gone = scene.data.ids[roles == FORGOTTEN].tolist()
    for world in task.worlds:
        after = before
        if world != "before" and gone:
            after = _said(unlearned(task.unlearners[world.partition(":")[2]], deployment, gone, scene), scene)
        told[world].append(after)


def original(scene: Scene, row: int, roles: npt.NDArray[np.uint8]) -> Deployment:
    """Fit the original of a row.

    Args:
        scene: what it is made of.
        row: its number.
        roles: the row, shape (n,).

    Raises:
        BadData: nothing would be kept.
    """
    _check_kept(row, roles)
    key, began = scene.key_of("before", row), time.perf_counter()
    members = scene.data.take((roles == KEPT) | (roles == FORGOTTEN))
    model = scene.learner.fit(members, key)
    return Deployment(scene.learner, members, key, model, fit_s=time.perf_counter() - began)


def unlearned(unlearner: Unlearner, deployment: Deployment, gone: list[Any], scene: Scene) -> Model:
    """Return the model of a deployment without some records; methods that need a holdout are given the population."""
    if "holdout" in getattr(unlearner, "needs", ()):
        deployment = replace(deployment, holdout=scene.data.take(scene.population))
    return unlearner.unlearn(deployment, ForgetRequest(records=tuple(gone))).after.model


def _many(task: Task) -> dict[str, dict[str, Array]]:
    scene, roles = task.scene, task.scene.roles(task.rows)
    told: dict[str, dict[str, Array]] = {}
    if not is_paired(task.worlds):
        for world in task.worlds:
            keys = [scene.key_of(world, row) for row in task.rows]
            told[world] = _named(_stacked(_fitted_together(scene.learner, scene, roles == KEPT, keys), scene))
        return told
    keys = [scene.key_of("before", row) for row in task.rows]
    stack = _fitted_together(scene.learner, scene, (roles == KEPT) | (roles == FORGOTTEN), keys)
    before = _stacked(stack, scene)
    for world in task.worlds:
        after = before if world == "before" else _unlearned_together(task, world, stack, roles, before)
        told[world] = _named(after)
    return told


def _fitted_together(learner: Learner, scene: Scene, membership: npt.NDArray[np.bool_], keys: list[Key]) -> Stack:
    if not isinstance(learner, FitsMany):
        raise Unsupported(f"{type(learner).__name__} cannot learn many models at once", hint="Use vectorise=False.")
    return learner.fit_many(scene.data, membership, keys)


def _unlearned_together(task: Task, world: str, stack: Stack, roles: Roles, before: Array) -> Array:
    scene, unlearner = task.scene, task.unlearners[world.partition(":")[2]]
    keys = [scene.key_of("before", row) for row in task.rows]
    forgotten, kept = roles == FORGOTTEN, roles == KEPT
    none = ~forgotten.any(axis=1)
    if isinstance(unlearner, UnlearnsMany) and not none.any():
        with suppress(Unsupported):  # then one by one
            return _stacked(unlearner.unlearn_many(stack, scene.data, (forgotten, kept), keys), scene)
    after = before.copy()
    for place, model in enumerate(stack.models()):
        if not none[place]:
            members = scene.data.take(forgotten[place] | kept[place])
            deployment = Deployment(scene.learner, members, keys[place], model)
            gone = scene.data.ids[forgotten[place]].tolist()
            after[place] = _said(unlearned(unlearner, deployment, gone, scene), scene)
    return after


def _said(model: Model, scene: Scene) -> Array:
    """Return what one model says: logits as float16, shape (n, k), or φ as float32, shape (n,)."""
    if isinstance(model, Predicts) and 1 < len(scene.labels) <= MOST_CLASSES:
        return _halved(signals.logits(model, scene.data))
    return signals.phi_of(model, scene.data, scene.labels).astype(np.float32)


def _stacked(stack: Stack, scene: Scene) -> Array:
    """Return what models of a stack say: as `_said`, with a leading axis."""
    logits = np.asarray(stack.logits(scene.data))
    if np.isnan(logits).any():
        raise BadData("a logit is NaN")
    if len(scene.labels) > MOST_CLASSES:
        cut = (np.clip(z, -signals.LARGEST, signals.LARGEST).astype(np.float64) for z in logits)
        return np.stack([signals.margins(z, scene.truth) for z in cut]).astype(np.float32)
    return _halved(np.clip(logits, -signals.LARGEST, signals.LARGEST))


def _halved(logits: Array) -> Array:
    return np.asarray(logits, np.float16)


def _named(said: Array) -> dict[str, Array]:
    return {"logits" if said.dtype == np.float16 else "phi": said}


def faster(scene: Scene) -> Way:
    """Try both ways on a few models of a few records, and return the faster one.

    Cost: two fits one by one and two of `TRIED_MODELS` at once, each on up to `TRIED` records: the better of two, so
    that what is loaded or compiled at the first step is in nobody's time.
    """
    learner = scene.learner
    if not isinstance(learner, FitsMany):
        return "one by one"
    few = scene.data.take(np.arange(min(TRIED, len(scene.data))))
    keys = [scene.key_of("trial", i) for i in range(TRIED_MODELS)]
    try:
        together = min(_seconds(lambda: _tried(learner, few, keys)) for _ in range(2)) / len(keys)
    except Unsupported:
        return "one by one"
    alone = min(_seconds(lambda: learner.fit(few, keys[0])) for _ in range(2))
    return "many at once" if together < alone else "one by one"


def _tried(learner: FitsMany, few: Dataset, keys: list[Key]) -> Stack:
    return learner.fit_many(few, np.ones((len(keys), len(few)), bool), keys)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def weight(scene: Scene) -> int:
    """Return about how many bytes one model takes while it is made with others: thrice its state, and its logits."""
    few = scene.data.take(np.arange(min(TRIED, len(scene.data))))
    state = scene.learner.fit(few, scene.key_of("trial", 0)).state()
    return 3 * sum(a.nbytes for a in state.values()) + 12 * len(scene.data) * max(len(scene.labels), 1)
