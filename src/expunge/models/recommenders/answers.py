"""What recommenders share: the best items for a user, and the loss of an interaction given the user's other items.

The loss of (user, item) is -log of the item's share under a softmax over all items that the user has not taken, and one
more that nobody knows. A logit is log(1 + users of the item), plus `SHARPNESS` times the item's score relative to the
best one, from the user's history *without* that item: with no history left, it is the popularity of items. Other
records that are asked about play no part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput
from expunge.core.request import Id
from expunge.core.roles import Floats
from expunge.models.recommenders.interactions import ITEM, Ints, Mask, Taken

SHARPNESS = 4.0
"""How many nats the best score of a history is worth in a loss, beside the popularity of items."""
LEAST = 1e-3
"""A best score below this is taken for this: a history that says next to nothing."""
ROUNDING = 1e-9
"""A score below this is none."""
BLOCK = 512


@dataclass(frozen=True, eq=False)
class Shelf:
    """The items that a model can recommend.

    Attributes:
        words: their names, in the order of their bytes, d of them.
        place: where each item of the vocabulary is among them, -1 if nowhere; shape (v,).
        raters: how many users took each, shape (d,).
        live: which have enough users, shape (d,).
    """

    words: tuple[str, ...]
    place: Ints
    raters: Ints
    live: Mask


class Recommends(Protocol):
    """What a model of interactions offers."""

    def taken(self) -> Taken:
        """Return the kept interactions."""
        ...

    def shelf(self) -> Shelf:
        """Return the items."""
        ...

    def scores(self, history: Ints, less: Ints) -> Floats:
        """Return the score of every item for a history without each of some items (-1 = none), shape (m, d)."""
        ...


def recommended(model: Recommends, user: Id, k: int, exclude_seen: bool = True) -> list[tuple[str, float]]:
    """Return the k best items for a user with their scores, best first; among equals the first by name.

    Who took nothing (any more) gets the items that most users took; items without a positive score are left out for
    all others.
    """
    if not isinstance(k, int | np.integer) or k < 1:
        raise BadInput(f"k is a positive whole number, not {k!r}")
    taken, shelf = model.taken(), model.shelf()
    place = taken.user(user)
    history = _known(shelf, taken.basket(place))
    cold = not len(history)
    scores = shelf.raters.astype(np.float64) if cold else model.scores(history, np.array([-1]))[0]
    there = shelf.live & (scores > ROUNDING)
    if exclude_seen:
        there[_known(shelf, taken.basket(place, seen=True))] = False
    items = np.flatnonzero(there)
    best = items[np.argsort(-scores[items], kind="stable")[: int(k)]]
    return [(shelf.words[i], float(scores[i])) for i in best.tolist()]


def interaction_losses(model: Recommends, data: Dataset) -> Floats:
    """Return the loss of each interaction, shape (n,), in nats.

    Raises:
        BadData: the records do not say which item was taken.
    """
    column = data.columns.get(ITEM)
    if column is None or column.kind != "category":
        raise BadData(f"the records have no column {ITEM!r} of categories")
    taken, shelf, out = model.taken(), model.shelf(), np.zeros(len(data))
    code = {word: i for i, word in enumerate(shelf.words)}
    asked = np.array([*(code.get(word, -1) for word in column.vocabulary), -1], np.int64)[column.values]
    people, owner = np.unique(data.subjects, return_inverse=True)
    order = np.argsort(owner, kind="stable")
    ends = np.searchsorted(owner[order], np.arange(len(people) + 1))
    for j, person in enumerate(people.tolist()):
        history = _known(shelf, taken.basket(taken.user(person)))
        for start in range(ends[j], ends[j + 1], BLOCK):
            rows = order[start : min(start + BLOCK, ends[j + 1])]
            out[rows] = _surprise(model, shelf, history, asked[rows])
    return out


def _known(shelf: Shelf, places: Ints) -> Ints:
    """Return the places on the shelf of items of the vocabulary, without those that are cold (by now)."""
    found = shelf.place[places]
    found = found[found >= 0]
    return found[shelf.live[found]]


def _surprise(model: Recommends, shelf: Shelf, history: Ints, asked: Ints) -> Floats:
    """Return -log of the share of each asked item, shape (m,)."""
    m, d = len(asked), len(shelf.words)
    logits = np.zeros((m, d + 1))  # the last is the item that nobody knows
    logits[:, :d] = model.scores(history, asked)
    logits *= SHARPNESS / np.maximum(logits.max(axis=1, keepdims=True), LEAST)
    logits[:, :d] += np.log1p(shelf.raters)
    own = np.where((asked >= 0) & shelf.live[asked] if d else np.zeros(m, bool), asked, d)
    mine = logits[np.arange(m), own]
    logits[:, history] = -np.inf
    logits[:, :d][:, ~shelf.live] = -np.inf
    logits[np.arange(m), own] = mine
    top = logits.max(axis=1)
    logits -= top[:, None]
    found: Floats = top + np.log(np.exp(logits, out=logits).sum(axis=1)) - mine
    return found
