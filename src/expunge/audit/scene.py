"""``Scene``: what an audit's models are made of, and which of them holds what; drawn once, never anew for a record.

One random matrix of models and records serves every record: in some models it never was, some keep it, some have
forgotten it. Row i depends on the key, on i and on each record's owner alone: not on how many models there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from expunge.audit import draws, signals
from expunge.audit.draws import Rows
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Codes, Roles
from expunge.core.canonical import sha256
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, UnknownRecord
from expunge.core.models import class_labels
from expunge.core.request import Id
from expunge.core.roles import Learner
from expunge.core.seeds import U64, Key, unit

SHARE: Final = 0.2
MEMBERS: Final = 0.5
POPULATION_WANTED: Final = 250
"""Records in no model's draw: what attacks compare with, and what utility is measured on."""

MOST_POPULATION: Final = 0.25
"""A population drawn from the data takes no more than this share of them."""

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Scene:
    """The universe of an audit and its draws.

    Attributes:
        data: every record that models are asked about, with its classes declared.
        learner: what fits the models.
        key: of the rows and of the models.
        population: shape (n,): which records are in no model.
        unit: shape (n,): which unit a record is drawn with (an owner).
        words: keyed word of each unit.
        asked: shape (n,): which records are forgotten wherever they are members; None = a drawn share of the members.
        share: of the members that are forgotten, where none are asked for.
        draw: name of the draw of what is forgotten; another name draws anew over the same originals.
    """

    data: Dataset
    learner: Learner
    key: Key
    population: Mask
    unit: Rows = field(repr=False)
    words: U64 = field(repr=False)
    asked: Mask | None = None
    share: float = SHARE
    draw: str = ""

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The classes in the order of the logits; empty where the target is no class."""
        return class_labels(self.data) if signals.is_category(self.data) else ()

    @cached_property
    def truth(self) -> Codes:
        """The true class of each record, shape (n,); zeros where the target is no class."""
        return signals.truth(self.data, self.labels) if self.labels else np.zeros(len(self.data), np.int64)

    def roles(self, rows: Sequence[int]) -> Roles:
        """Return what each record is to each of these models, shape (len(rows), n)."""
        found = np.empty((len(rows), len(self.data)), np.uint8)
        for place, row in enumerate(rows):
            word = draws.coin(self.words, row)
            members = (unit(word) < MEMBERS)[self.unit]
            gone = (
                self.asked if self.asked is not None else (unit(draws.mix(word ^ self._salt)) < self.share)[self.unit]
            )
            found[place] = np.where(members, np.where(gone, FORGOTTEN, KEPT), NEVER)
            found[place, self.population] = POPULATION
        return found

    @cached_property
    def _salt(self) -> np.uint64:
        return np.uint64(self.key.word(f"forgotten/{self.draw}"))

    def key_of(self, world: str, row: int) -> Key:
        """Return the key that a model is fitted with."""
        return self.key.child(f"{world}/{row}")

    @cached_property
    def originals(self) -> dict[str, Any]:
        """What decides the originals, as JSON-able data."""
        ids = hashlib.sha256("\n".join(map(repr, self.data.ids.tolist())).encode()).hexdigest()
        drawn = sha256(self.unit.tobytes(), self.words.tobytes(), np.packbits(self.population).tobytes()).hex()
        return {
            "learner": repr(self.learner),
            "data": self.data.digest,
            "order": ids,
            "rows": drawn,
            "key": sha256(self.key.bytes).hex(),
        }

    @cached_property
    def forgetting(self) -> dict[str, Any]:
        """What decides which members are forgotten, as JSON-able data."""
        asked = None if self.asked is None else sha256(np.packbits(self.asked).tobytes()).hex()
        return {"asked": asked, "share": repr(self.share), "draw": self.draw}


def scene(
    data: Dataset,
    learner: Learner,
    key: Key,
    *,
    holdout: Dataset | None = None,
    forget: Iterable[Id] | None = None,
    n_population: int = POPULATION_WANTED,
) -> Scene:
    """Return the scene of an audit.

    Owners are drawn whole; records that are forgotten together are drawn by themselves where their owner keeps others.

    Args:
        data: the training records.
        learner: what fits the models.
        key: of the audit.
        holdout: records that no model learns: the population, as far as their classes are known.
        forget: the records of a request, forgotten wherever they are members; None = a drawn fifth of the members.
        n_population: how many records the population should have; owners of `data` are set aside until it has.

    Raises:
        UnknownRecord: a record to be forgotten is not in `data`.
        BadData: nothing is left to learn from.
    """
    labels = class_labels(data) if signals.is_category(data) else ()
    wanted = None if forget is None else _places(data, forget)
    universe, n = replace(data, classes=labels), len(data)
    if holdout is not None:
        known = holdout.take(signals.truth(holdout, labels) >= 0) if labels else holdout
        universe = universe.joined(known) if len(known) else universe
    together = np.zeros(0, np.int64) if wanted is None else wanted
    which, words = draws.units(universe, together, key)
    population = np.arange(len(universe)) >= n
    asked = None if wanted is None else np.isin(np.arange(len(universe)), wanted)
    population |= _set_aside(which, words, population | (asked if asked is not None else False), n, n_population)
    if population.all():
        raise BadData(f"{n} records are too few to set {n_population} aside and learn from the others")
    return Scene(universe, learner, key, population, which, words, asked)


def _places(data: Dataset, forget: Iterable[Id]) -> Rows:
    ids = list(forget)
    if not ids:
        raise UnknownRecord("no record is named to be forgotten")
    return data.positions(ids)


def _set_aside(which: Rows, words: U64, taken: Mask, n: int, wanted: int) -> Mask:
    """Return owners of the training records in the order of their keyed words, until the population is large enough."""
    missing = min(wanted - int(taken[n:].sum()), int(MOST_POPULATION * n))
    free = np.ones(len(words), bool)
    free[which[taken]] = False
    if missing <= 0 or not free.any():
        return np.zeros(len(which), bool)
    order = np.argsort(np.where(free, draws.mix(words), np.uint64(2**64 - 1)), kind="stable")[: int(free.sum())]
    sizes = np.bincount(which[:n], minlength=len(words))[order]
    chosen = np.zeros(len(words), bool)
    chosen[order[: int(np.searchsorted(np.cumsum(sizes), missing)) + 1]] = True
    return np.asarray(chosen[which])
