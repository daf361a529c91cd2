"""``Taken``: who took what. Interactions as records, indexed by user; a deletion costs its own users' baskets.

One record is one interaction: the subject is the user, the column ``item`` says what was taken, and other columns
(``rating``, a date) are optional. One record a *basket* would be smaller, but then a single withdrawn rating, or an
item that is withdrawn from everybody, would be a change of records instead of a deletion: no receipt could name it.
A basket is a set: an item that somebody took three times is in it until the last of the three records is forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, NothingLeft, UnknownRecord
from expunge.core.request import Id

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
ITEM, RATING = "item", "rating"


@dataclass(frozen=True)
class Change:
    """What one user's basket was and is: places of items in the vocabulary, in order, shape (b,) and (a,)."""

    before: Ints
    after: Ints

    def within(self, items: Mask) -> Change:
        """Return the change among some items alone."""
        return Change(self.before[items[self.before]], self.after[items[self.after]])


@dataclass(frozen=True, eq=False)
class Taken:
    """Interactions by user; a value that never changes.

    Attributes:
        source: the records, forgotten ones included until `settled`.
        alive: which of them are kept, shape (n,).
        n: how many are kept.
        at_least: ratings below this do not put an item into a basket; None: every interaction does.
    """

    source: Dataset
    alive: Mask
    n: int
    at_least: float | None = None

    @classmethod
    def of(cls, data: Dataset, at_least: float | None = None) -> Taken:
        """Read interactions.

        Raises:
            BadData: there is no column ``item`` of categories without gaps, or no ``rating`` where one is needed.
        """
        item = data.columns.get(ITEM)
        if item is None or item.kind != "category":
            raise BadData(f"a recommender learns from a column {ITEM!r} of categories; the subject is the user")
        if (item.values < 0).any():
            raise BadData(f"{int((item.values < 0).sum())} interactions do not say which item was taken")
        if at_least is not None and (RATING not in data.columns or data.columns[RATING].kind != "number"):
            raise BadData(f"at_least={at_least} compares with a column {RATING!r} of numbers, and there is none")
        return cls(data, np.ones(len(data), bool), len(data), at_least)

    @property
    def words(self) -> tuple[str, ...]:
        """The vocabulary of items that places point into."""
        return self.source.columns[ITEM].vocabulary

    @property
    def people(self) -> npt.NDArray[Any]:
        """The users, in order, shape (n_users,)."""
        return self._people[0]

    @cached_property
    def _people(self) -> tuple[npt.NDArray[Any], Ints]:
        users, codes = np.unique(self.source.subjects, return_inverse=True)
        return users, codes.astype(np.int64)

    @cached_property
    def _rows(self) -> tuple[Ints, Ints]:
        """Rows in the order of their users, and where each user's begin."""
        codes = self._people[1]
        order = np.argsort(codes, kind="stable")
        return order, np.searchsorted(codes[order], np.arange(len(self._people[0]) + 1))

    @cached_property
    def _liked(self) -> Mask:
        if self.at_least is None:
            return np.ones(len(self.source), bool)
        rating = np.asarray(self.source.columns[RATING].values, np.float64)
        return np.asarray(rating >= self.at_least)

    def user(self, subject: Id) -> int:
        """Return the place of a user; -1 for somebody who is not here."""
        users = self._people[0]
        if isinstance(subject, str) != (users.dtype.kind == "U"):
            return -1
        place = int(np.searchsorted(users, subject))
        return place if place < len(users) and users[place] == subject else -1

    def of_user(self, user: int) -> list[Id]:
        """Return the ids of a user's kept interactions."""
        order, starts = self._rows
        rows = order[starts[user] : starts[user + 1]]
        found: list[Id] = self.source.ids[rows[self.alive[rows]]].tolist()
        return found

    def of_item(self, word: str) -> list[Id]:
        """Return the ids of the kept interactions with an item; none for an item that nobody took."""
        code = self.words.index(word) if word in self.words else -1
        there = self.alive & (self.source.columns[ITEM].values == code)
        found: list[Id] = self.source.ids[there].tolist()
        return found

    def basket(self, user: int, *, seen: bool = False) -> Ints:
        """Return the items of a user, in order; with `seen` also those rated too low. Nobody (-1) took nothing."""
        return self._basket(user, self.alive, seen)

    def _basket(self, user: int, alive: Mask, seen: bool = False) -> Ints:
        if user < 0:
            return np.zeros(0, np.int64)
        order, starts = self._rows
        rows = order[starts[user] : starts[user + 1]]
        rows = rows[alive[rows] if seen else alive[rows] & self._liked[rows]]
        return np.unique(self.source.columns[ITEM].values[rows]).astype(np.int64)

    def baskets(self) -> tuple[Ints, Ints, Ints]:
        """Return every user's items one after another: (where each user's begin, items, how often each was taken)."""
        rows = np.flatnonzero(self.alive & self._liked)
        users, size = self._people[1][rows], max(1, len(self.words))
        pairs, counts = np.unique(users * size + self.source.columns[ITEM].values[rows], return_counts=True)
        starts = np.searchsorted(pairs // size, np.arange(len(self._people[0]) + 1))
        return starts.astype(np.int64), pairs % size, counts.astype(np.int64)

    def without(self, ids: Iterable[Id]) -> tuple[Taken, tuple[Change, ...]]:
        """Return what is kept without these records, and the change of each user's basket that it touches.

        Raises:
            UnknownRecord, NothingLeft: nothing was changed.

        Cost: m records and the baskets of their users, and one byte a kept record.
        """
        rows = self.source.positions(dict.fromkeys(ids))
        if not self.alive[rows].all():
            lost = self.source.ids[rows[~self.alive[rows]]][:3].tolist()
            raise UnknownRecord(f"records {lost} were forgotten already")
        if len(rows) == self.n:
            raise NothingLeft("every record is named")
        alive = self.alive.copy()
        alive[rows] = False
        touched = np.unique(self._people[1][rows]).tolist()
        changes = [Change(self._basket(u, self.alive), self._basket(u, alive)) for u in touched]
        left = tuple(c for c in changes if len(c.before) > len(c.after))
        after = replace(self, alive=alive, n=self.n - len(rows))
        after.__dict__.update({k: v for k, v in self.__dict__.items() if k in ("_people", "_rows", "_liked")})
        return after, left

    def joined(self, more: Dataset) -> tuple[Taken, tuple[Change, ...]]:
        """Return these interactions and more, and the change of each basket, in places of the new vocabulary.

        Raises:
            DuplicateId, BadData: nothing was changed.
        """
        old = self.settled()
        new = Taken.of(old.source.joined(more), self.at_least)
        place = {word: i for i, word in enumerate(new.words)}
        moved = np.array([place[word] for word in old.words], np.int64)
        changes = []
        for subject in dict.fromkeys(more.subjects.tolist()):
            before = np.sort(moved[old.basket(old.user(subject))])
            changes.append(Change(before, new.basket(new.user(subject))))
        return new, tuple(c for c in changes if len(c.after) > len(c.before))

    def settled(self) -> Taken:
        """Return the same without the records that are gone."""
        if self.alive.all():
            return self
        return Taken.of(self.source.take(self.alive), self.at_least)


def names_of(words: Sequence[str]) -> npt.NDArray[np.uint8]:
    """Return item names as an array for a state."""
    return np.frombuffer(b"\n".join(word.encode().hex().encode() for word in words), np.uint8)
