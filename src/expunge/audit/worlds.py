"""Worlds: the pools of models before, after and retrained, for every record at once; kept in chunks, resumed, stopped.

Results depend on the scene alone: not on chunks, processes, order, interruption or what was kept before.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from expunge.audit import jobs, making
from expunge.audit.jobs import Backend
from expunge.audit.making import Array, Made, Task, Way
from expunge.audit.pools import Pool, Pools, World
from expunge.audit.scene import Scene
from expunge.audit.store import Signals
from expunge.core.code import code_digest
from expunge.core.errors import BadInput, Interrupted, Unsupported
from expunge.core.policy import AuditPolicy, Budget
from expunge.core.roles import FitsMany, Progress, Unlearner

Look = Callable[[int, Mapping[str, Pools]], bool]
"""Called with the number of models so far and each unlearner's pools; True = enough is known, stop."""

MODELS: Final[dict[Budget, tuple[int, int]]] = {"quick": (16, 16), "standard": (64, 32), "full": (128, 128)}
"""Budget → models before and after, references."""

SHARE_OF_MEMORY: Final = 0.25
FREE_BYTES: Final = 1 << 30
"""Free memory, where the system does not say."""

CHUNK: Final = 8
"""Models of one chunk, where memory would allow more and they are made one by one."""

Rows = dict[str, dict[int, dict[str, Array]]]


@dataclass(frozen=True)
class Making:
    """How models are made; nothing of it changes what they say.

    Attributes:
        store: where signals are kept, so that work can be resumed; None = nowhere.
        n_jobs: processes, as joblib counts them.
        backend: joblib's; ``ray`` for a cluster.
        vectorise: whether many models are made at once; ``auto`` tries both.
        chunk: models of one chunk; None = by memory.
        memory_bytes: for one chunk; None = a quarter of what is free.
        progress: called with (models done, models).
    """

    store: Path | None = None
    n_jobs: int = 1
    backend: Backend = jobs.LOCAL
    vectorise: bool | Literal["auto"] = "auto"
    chunk: int | None = None
    memory_bytes: int | None = None
    progress: Progress | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Numbers:
    """How many models: before and after, references, and whether a second retrained pool is made as a control."""

    models: int
    references: int
    second: bool = True
    looks: tuple[int, ...] = ()

    @classmethod
    def of(cls, policy: AuditPolicy) -> Numbers:
        """Return the numbers of a policy's budget."""
        return cls(*MODELS[policy.budget], "retrain" in policy.controls, policy.looks)

    def stages(self) -> list[int]:
        """Return the numbers of models at which a look is taken, the last being all."""
        return [*(n for n in self.looks if n < self.models), self.models]


def pools_of(
    scene: Scene,
    unlearners: Mapping[str, Unlearner],
    numbers: Numbers,
    how: Making | None = None,
    look: Look | None = None,
) -> dict[str, Pools]:
    """Make the models of an audit and return the pools of each unlearner; originals and references are shared.

    Args:
        scene: the records, the learner and the draws.
        unlearners: name → unlearner.
        numbers: how many models.
        how: where they are kept and how they are made.
        look: asked after each look's models whether to stop.

    Raises:
        Unsupported: a learner or unlearner cannot serve.
        Interrupted: Ctrl-C; chunks that were finished are in the store.
    """
    if numbers.models < 2 or numbers.references < 2:
        raise BadInput(f"pools need two models or more, not {numbers.models} and {numbers.references} references")
    how = how or Making()
    work = _Work(scene, unlearners, how, _way(scene, how))
    pools: dict[str, Pools] = {}
    for n in numbers.stages():
        work.extend({"paired": n, "reference": min(n, numbers.references), "retrain": n if numbers.second else 0})
        pools = {name: work.pools(name, n, min(n, numbers.references), numbers.second) for name in unlearners}
        if look is not None and look(n, pools):
            break
    return pools


def _way(scene: Scene, how: Making) -> Way:
    """Return how models are made; decided once a store, so that work that goes on goes on in the same way."""
    if how.vectorise is False or not isinstance(scene.learner, FitsMany):
        if how.vectorise is True:
            raise Unsupported(f"{type(scene.learner).__name__} cannot learn many models at once")
        return "one by one"
    if how.vectorise is True:
        return "many at once"
    place = None if how.store is None else Signals.under(how.store, _facts(scene, "trial"))
    known = None if place is None else place.noted("way")
    way: Way = known if known in ("one by one", "many at once") else making.faster(scene)
    if place is not None and known != way:
        place.note("way", way)
    return way


def _facts(scene: Scene, world: str, unlearner: Unlearner | None = None) -> dict[str, Any]:
    """Return everything that decides a world's numbers."""
    facts = {
        "format": "expunge/signals/v1",
        "world": world.partition(":")[0],
        "code": [code_digest(), *_source(scene.learner)],
        "device": str(getattr(scene.learner, "device", "cpu")),
        "dtype": "float16" if 1 < len(scene.labels) <= making.MOST_CLASSES else "float32",
    }
    if world not in ("before", "trial"):
        facts |= scene.forgetting
    if unlearner is not None:
        facts |= {"unlearner": repr(unlearner), "unlearner_code": _source(unlearner)}
    return facts | scene.originals


def _source(thing: Any) -> list[str]:
    """Return the digests of the files of a class and of functions given to it, which may be of another package."""
    given = [value for value in getattr(thing, "__dict__", {}).values() if callable(value)]
    found = []
    for made in (type(thing), *given):
        try:
            found.append(sha256(Path(inspect.getfile(made)).read_bytes()).hexdigest())
        except (OSError, TypeError):
            continue
    return found


@dataclass
class _Work:
    """The rows of all worlds so far."""

    scene: Scene
    unlearners: Mapping[str, Unlearner]
    how: Making
    way: Way
    rows: Rows = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.groups = {
            "paired": ("before", *(f"after:{name}" for name in self.unlearners)),
            "reference": ("reference",),
            "retrain": ("retrain",),
        }
        self.places: dict[str, Signals | None] = {}
        for world in (w for group in self.groups.values() for w in group):
            unlearner = self.unlearners.get(world.partition(":")[2])
            facts = _facts(self.scene, world, unlearner) | {"way": self.way}
            place = None if self.how.store is None else Signals.under(self.how.store, facts)
            self.places[world] = place
            self.rows[world] = {} if place is None else place.rows()

    def extend(self, wanted: Mapping[str, int]) -> None:
        """Make the rows that are missing, up to so many of each group of worlds."""
        tasks = [task for group, n in wanted.items() for task in self._tasks(self.groups[group], n)]
        total = sum(n * len(self.groups[group]) for group, n in wanted.items())
        self._tell(wanted, total)
        # who waits for Ctrl-C waits for one chunk: what is done has been kept before
        try:
            for made, task in jobs.spread(partial(_together, making.make), tasks, self.how.n_jobs, self.how.backend):
                self._keep(made, task)
                self._tell(wanted, total)
        except KeyboardInterrupt as error:
            kept = "they are in the store" if self.how.store is not None else "there is no store, so they are lost"
            done = sum(len(rows) for rows in self.rows.values())
            raise Interrupted(f"interrupted after {done} of {total} models; {kept}") from error

    def _tasks(self, worlds: tuple[str, ...], n: int) -> Iterator[Task]:
        """Yield what is to be made: rows one behind the other that lack the same worlds, cut at whole chunks."""
        missing = {r: tuple(w for w in worlds if r not in self.rows[w]) for r in range(n)}
        chunk, start = self._chunk(n) if any(missing.values()) else max(n, 1), 0
        for row in range(1, n + 1):
            if row < n and row % chunk and missing[row] == missing[start]:
                continue
            if missing[start]:
                needed = {w.partition(":")[2] for w in missing[start]}
                unlearners = {name: u for name, u in self.unlearners.items() if name in needed}
                yield Task(self.scene, missing[start], unlearners, range(start, row), self.way)
            start = row

    def _chunk(self, n: int) -> int:
        """Return how many models a chunk has: what memory allows, but work for every process."""
        if self.how.chunk is not None:
            return max(1, self.how.chunk)
        most = CHUNK if self.way == "one by one" else self._by_memory
        return max(1, min(most, -(-n // jobs.n_processes(self.how.n_jobs))))

    @cached_property
    def _by_memory(self) -> int:
        budget = self.how.memory_bytes or int(SHARE_OF_MEMORY * _free())
        return max(1, budget // making.weight(self.scene))

    def _keep(self, made: Made, task: Task) -> None:
        for world, arrays in made.said.items():
            place = self.places[world]
            own = "before" if world.startswith("after:") else world
            if place is not None:
                place.add(made.rows.start, arrays, [self.scene.key_of(own, r).seed for r in made.rows], made.seconds)
            for at, row in enumerate(made.rows):
                self.rows[world][row] = {name: array[at] for name, array in arrays.items()}

    def _tell(self, wanted: Mapping[str, int], total: int) -> None:
        if self.how.progress is not None:
            done = sum(
                sum(1 for row in self.rows[w] if row < n) for group, n in wanted.items() for w in self.groups[group]
            )
            self.how.progress(done, total)

    def pools(self, name: str, n: int, n_references: int, second: bool) -> Pools:
        """Return one unlearner's pools."""
        made = [self._pool("before", "before", n), self._pool("after", f"after:{name}", n)]
        made.append(self._pool("reference", "reference", n_references))
        return Pools(
            ids=tuple(str(i) for i in self.scene.data.ids.tolist()),
            truth=self.scene.truth,
            n_classes=max(1, len(self.scene.labels)),
            pools=tuple(made),
            controls=({"retrain 2": self._pool("other", "retrain", n)} if second else {}) | self._random(n),
        )

    def _pool(self, called: World, world: str, n: int) -> Pool:
        rows = [self.rows[world][i] for i in range(n)]
        own = "before" if world.startswith("after:") else world
        said = np.stack([next(iter(row.values())) for row in rows])
        given: dict[str, Any] = {"logits": said} if "logits" in rows[0] else {"given": said}
        seeds = tuple(self.scene.key_of(own, i).seed for i in range(n))
        return Pool(called, self.scene.roles(range(n)), self.scene.truth, np.arange(n), seeds, **given)

    def _random(self, n: int) -> dict[str, Pool]:
        """Return the control that knows nothing: logits drawn from a normal."""
        k = len(self.scene.labels)
        if not 1 < k <= making.MOST_CLASSES:
            return {}
        keys = [self.scene.key_of("random", i) for i in range(n)]
        drawn = [key.generator("logits").normal(size=(len(self.scene.data), k)).astype(np.float16) for key in keys]
        roles, seeds = self.scene.roles(range(n)), tuple(key.seed for key in keys)
        return {"random init": Pool("other", roles, self.scene.truth, np.arange(n), seeds, logits=np.stack(drawn))}


def _together(make: Callable[[Task], Made], task: Task) -> tuple[Made, Task]:
    return make(task), task


def _free() -> int:
    """Return the bytes of memory that are free."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return FREE_BYTES
