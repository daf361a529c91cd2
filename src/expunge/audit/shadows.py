"""Shadow models: the same learner on random halves of the owners, so that every audited record is in half of them.

One matrix of signals Φ (shadows × audited records) serves all records at once. The audited records are the forgotten
ones and a pool of holdout records; both are drawn into the shadows alike, so both have worlds with and without them.
Results depend on key and seed alone: not on processes, order, interruption or cache.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.audit import draws, jobs, signals, store
from expunge.audit.npy import UNREADABLE
from expunge.core import files
from expunge.core.canonical import canonical_json, sha256
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case
from expunge.core.errors import BadData, Interrupted
from expunge.core.models import class_labels
from expunge.core.roles import Floats, Learner, Progress
from expunge.core.seeds import U64, Key, unit

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]
PREFIX = "shadow-"


@dataclass(frozen=True)
class Draw:
    """What the shadows learn from, and which of them holds what.

    Attributes:
        universe: the training records and the holdout pool in one data set, with the classes declared.
        units: shape (n,): which unit a record is drawn with. A unit is an owner; the forgotten records of an owner who
            keeps others are a unit of their own.
        holds: shape (n_shadows, n_units): whether a shadow holds a unit; each unit is in half of the shadows.
        audited: rows of the universe that are scored, forgotten first.
        n_forgotten: how many of the audited are forgotten.
        learner: what fits the shadows.
        key: shadow i is fitted with ``key.child(str(i))``.
    """

    universe: Dataset
    units: Rows
    holds: Mask
    audited: Rows
    n_forgotten: int
    learner: Learner
    key: Key

    @cached_property
    def records(self) -> Dataset:
        """The audited records."""
        return self.universe.take(self.audited)

    @cached_property
    def inside(self) -> Mask:
        """Shape (n_shadows, n_audited): whether a shadow holds an audited record."""
        return np.asarray(self.holds[:, self.units[self.audited]])

    def rows(self, shadow: int) -> Mask:
        """Return which records of the universe a shadow learns from, shape (n,)."""
        return np.asarray(self.holds[shadow][self.units])

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the shadows' logits."""
        return class_labels(self.universe) if signals.is_category(self.universe) else ()

    @cached_property
    def _common(self) -> list[str]:
        digests = self.universe.record_digests[self.audited].tobytes()
        return [repr(self.learner), self.universe.digest, hashlib.sha256(digests).hexdigest()]

    def name(self, shadow: int) -> str:
        """Return the cache name of a shadow: a digest of learner, data, rows, audited records and key."""
        rows = sha256(np.packbits(self.rows(shadow)).tobytes(), self.audited.tobytes()).hex()
        key = sha256(self.key.child(str(shadow)).bytes).hex()
        return PREFIX + sha256(canonical_json(["expunge/shadow/v1", *self._common, rows, key])).hex() + ".npz"


def draw(case: Case, n_shadows: int, n_pool: int) -> Draw:
    """Draw the shadows of a case.

    Args:
        case: its forgotten records must be in ``before.data``.
        n_shadows: how many; each owner is in ``n_shadows // 2`` of them.
        n_pool: holdout records to audit beside the forgotten (whole owners, chosen by keyed hash).

    Raises:
        UnknownRecord: a forgotten record is not in the training data.
        BadData: the holdout has too few records of known classes.

    Cost: a few microseconds an owner; one copy of the data.
    """
    data = case.before.data
    key = case.before.key.child(f"{case.seed}/shadows")
    labels = class_labels(data) if signals.is_category(data) else ()
    pool = _pool(case.holdout, labels, key, n_pool)
    universe = replace(data, classes=labels).joined(pool)
    forgotten = data.positions(case.forgotten.ids.tolist())
    units, words = draws.units(universe, forgotten, key)
    audited = np.concatenate([forgotten, np.arange(len(data), len(universe))])
    return Draw(universe, units, _halves(words, n_shadows), audited, len(forgotten), case.before.learner, key)


def _pool(holdout: Dataset, labels: tuple[str, ...], key: Key, n_pool: int) -> Dataset:
    """Return whole owners of the holdout, in the order of their keyed hash, until ``n_pool`` records are reached."""
    if labels:
        holdout = holdout.take(signals.truth(holdout, labels) >= 0)
    if len(holdout) < 2:
        raise BadData(f"the holdout has {len(holdout)} records of known classes; an attack needs two or more")
    owners, which = np.unique(holdout.subjects, return_inverse=True)
    order = np.argsort(key.words(owners.tolist(), "pool"), kind="stable")
    sizes = np.bincount(which)[order]
    n_owners = int(np.searchsorted(np.cumsum(sizes), n_pool)) + 1
    chosen = np.zeros(len(owners), bool)
    chosen[order[:n_owners]] = True
    return holdout.take(chosen[which])


def _halves(words: U64, n_shadows: int) -> Mask:
    """Return which shadow holds which unit, shape (n_shadows, n_units): for each unit a random half of the shadows.

    The ranks of one mixed word a shadow decide, so a unit's draw depends on its own word alone.
    """
    mixed = np.stack([draws.coin(words, i) for i in range(n_shadows)])
    ranks = np.argsort(np.argsort(mixed, axis=0, kind="stable"), axis=0, kind="stable")
    # an odd number of shadows: a coin of the unit's own says whether it is in the smaller or the larger half
    more = (unit(draws.mix(words)) < 0.5) if n_shadows % 2 else np.zeros(len(words), bool)
    return np.asarray(ranks < n_shadows // 2 + more)


def signals_of(drawn: Draw, *, n_jobs: int = -1, cache: Path | None = None, progress: Progress | None = None) -> Floats:
    """Fit the shadows and return Φ, shape (n_shadows, n_audited).

    Args:
        drawn: which shadows.
        n_jobs: processes, as joblib counts them; 1 = in this process. The result does not depend on it.
        cache: a folder for one file a shadow; what is there is not fitted again. See `purge`.
        progress: called after each shadow; raising from it stops the work and keeps what is done.

    Raises:
        Interrupted: Ctrl-C; the shadows that were done are in the cache.

    Cost: one fit a shadow on half of the owners, and one prediction of the audited records.
    """
    n = len(drawn.holds)
    found: dict[int, Floats] = {} if cache is None else dict(_cached(drawn, cache))
    todo = [i for i in range(n) if i not in found]
    if progress is not None and found:
        progress(len(found), n)
    try:
        for shadow, row in _fitted(drawn, todo, n_jobs):
            found[shadow] = row
            if cache is not None:
                _save(cache / drawn.name(shadow), row)
            if progress is not None:
                progress(len(found), n)
    except KeyboardInterrupt as error:
        kept = "they are in the cache" if cache is not None else "there is no cache, so they are lost"
        raise Interrupted(f"interrupted after {len(found)} of {n} shadow models; {kept}") from error
    return np.stack([found[i] for i in range(n)])


def _fitted(drawn: Draw, todo: list[int], n_jobs: int) -> Iterator[tuple[int, Floats]]:
    drawn.records, drawn.inside, drawn.labels  # noqa: B018  computed here once, sent along
    return jobs.spread(partial(_shadow, drawn), todo, n_jobs)


def _shadow(drawn: Draw, shadow: int) -> tuple[int, Floats]:
    model = drawn.learner.fit(drawn.universe.take(drawn.rows(shadow)), drawn.key.child(str(shadow)))
    return shadow, signals.phi_of(model, drawn.records, drawn.labels)


def _save(path: Path, row: Floats) -> None:
    body = store.pack({"phi": row, "check": _check(path.name, row)})
    files.write_durably(path, body, mode=store.PRIVATE)


def _check(name: str, row: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(sha256(name.encode(), b"\n", row.tobytes()), np.uint8)


def _cached(drawn: Draw, cache: Path) -> Iterator[tuple[int, Floats]]:
    for shadow in range(len(drawn.holds)):
        path = cache / drawn.name(shadow)
        try:
            kept = store.unpack(path.read_bytes())
            row, check = kept["phi"], kept["check"]
            damaged = row.shape != drawn.audited.shape or not np.array_equal(check, _check(path.name, row))
        except FileNotFoundError:
            continue
        except UNREADABLE:
            damaged = True
        if damaged:
            warnings.warn(f"{path.name} is damaged; this shadow model is fitted again", RuntimeWarning, stacklevel=3)
            continue
        yield shadow, row


def purge(cache: Path) -> int:
    """Delete every shadow cache in a folder and return how many there were.

    All of them go: which records a shadow held is membership of the forgotten, whether they were in it or not.
    """
    return store.remove(cache, PREFIX)
