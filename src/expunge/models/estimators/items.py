"""The estimator of recommenders: who took what in, the best items for a user out, and users or items forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from expunge.core.columns import Column, normal_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, UnknownRecord, UnknownSubject
from expunge.core.seeds import Key
from expunge.models.estimators.fitted import (
    check_named,
    contents,
    is_fitted,
    kept_ids,
    model_digest,
    model_of,
    plain,
    promised,
)
from expunge.models.recommenders.interactions import ITEM, RATING
from expunge.models.recommenders.items import Ease

if TYPE_CHECKING:
    from expunge.core.deployment import Prediction
    from expunge.core.request import Id
    from expunge.core.roles import Learner


class Items(BaseEstimator):  # type: ignore[misc]
    """A recommender that forgets users, items and single interactions exactly.

    Args:
        learner: `Ease` (the default), `ItemNeighbours` or `ImplicitAls`, with its hyper-parameters.
        seed: of keyed draws (shards and starting factors).

    >>> shop = Items(Ease(penalty=1.0)).fit(["ann", "ann", "bob", "bob", "cy"], [1, 2, 1, 3, 1])
    >>> [item for item, _ in shop.recommend("cy", k=2)]
    [2, 3]
    >>> shop.forget(users=["bob"]).recommend("cy", k=2)[0][0]
    2

    Guarantee: exact, with the grade of the learner. Cost and Source: as the learner (spec XL10).
    """

    _fitted = model_of
    ids_ = property(kept_ids)
    digest = model_digest
    guarantee = promised
    __getstate__ = contents
    __sklearn_is_fitted__ = is_fitted

    def __init__(self, learner: Learner | None = None, *, seed: int | str = 0) -> None:
        self.learner = learner
        self.seed = seed

    def fit(
        self, users: Iterable[Id], items: Iterable[Id], ratings: Iterable[float] | None = None, ids: Any = None
    ) -> Self:
        """Learn from interactions.

        Args:
            users: who took something, shape (n,).
            items: what was taken, shape (n,): all whole numbers or all texts.
            ratings: how it was liked, shape (n,); used by a learner with ``at_least``.
            ids: a unique id for each interaction; default: 0…n-1.

        Raises:
            BadData, DuplicateId: nothing was learnt.
        """
        taken = plain(items)
        data, numbers = _read(users, taken, ratings, ids), _numbers(taken)
        learner: Any = Ease() if self.learner is None else self.learner
        self.model_: Any = learner.fit(data, Key.public(self.seed))
        self._numbers = numbers
        return self

    def learn(
        self, users: Iterable[Id], items: Iterable[Id], ratings: Iterable[float] | None = None, ids: Any = None
    ) -> Self:
        """Learn from more interactions, exactly: what `fit` on all of them would give.

        Args:
            users: as for `fit`.
            items: as for `fit`.
            ratings: given or not, as for `fit`.
            ids: unlike those of the interactions learnt from; default: the next free numbers.

        Raises:
            DuplicateId, BadData: nothing was changed.
        """
        model, taken = self._fitted(), plain(items)
        if taken and _numbers(taken) != self._numbers:
            kinds = ("texts", "whole numbers")
            raise BadData(f"items were {kinds[self._numbers]} in fit, and are {kinds[not self._numbers]} here")
        if ids is None and model.data.ids.dtype.kind == "i":
            ids = np.arange(len(taken)) + int(model.data.ids.max()) + 1
        self.model_ = model.adding(_read(users, taken, ratings, ids))
        return self

    def recommend(self, user: Id, k: int = 10, exclude_seen: bool = True) -> list[tuple[Any, float]]:
        """Return the k best items for a user with their scores, best first.

        A user without a history (a new one, or one that was forgotten) gets what most users took.

        Args:
            user: who.
            k: how many items, at most.
            exclude_seen: leave out what the user took already.
        """
        found = self._fitted().recommend(plain([user])[0], k, exclude_seen)
        return [(int(word), score) for word, score in found] if self._numbers else found

    def forget(
        self, ids: Iterable[Id] | None = None, *, users: Iterable[Id] | None = None, items: Iterable[Id] | None = None
    ) -> Self:
        """Forget interactions in place, exactly: all of them, or on any error none.

        Args:
            ids: of single interactions.
            users: whose interactions are all forgotten.
            items: all interactions with them are forgotten, whoever took them.

        Raises:
            UnknownRecord, UnknownSubject, NothingLeft: nothing was changed.
        """
        self.model_ = self._fitted().without(self._named(ids, users, items))
        return self

    def without(
        self, ids: Iterable[Id] | None = None, *, users: Iterable[Id] | None = None, items: Iterable[Id] | None = None
    ) -> Self:
        """Return a new estimator that never saw these interactions; self is untouched."""
        after = object.__new__(type(self))
        after.__dict__ |= self.__dict__
        return after.forget(ids, users=users, items=items)

    def plan(
        self, ids: Iterable[Id] | None = None, *, users: Iterable[Id] | None = None, items: Iterable[Id] | None = None
    ) -> Prediction:
        """Return what forgetting would cost; changes nothing."""
        found: Prediction = self._fitted().plan(self._named(ids, users, items))
        return found

    def _named(
        self, ids: Iterable[Id] | None, users: Iterable[Id] | None, items: Iterable[Id] | None
    ) -> dict[Id, None]:
        taken = self._fitted().taken()
        check_named(ids=ids, users=users, items=items)
        wanted = dict.fromkeys(plain(ids))
        for user in plain(users):
            place = taken.user(user)
            own = taken.of_user(place) if place >= 0 else []
            if not own:
                raise UnknownSubject(f"user {user!r} took nothing here")
            wanted.update(dict.fromkeys(own))
        for item in plain(items):
            own = taken.of_item(str(item))
            if not own:
                raise UnknownRecord(f"item {item!r} was taken by nobody here")
            wanted.update(dict.fromkeys(own))
        return wanted


def _numbers(items: Sequence[Any]) -> bool:
    """Say whether items are whole numbers, rather than texts.

    Raises:
        BadData: they are both, or neither.
    """
    whole = [isinstance(item, int) and not isinstance(item, bool) for item in items]
    if not all(number or isinstance(item, str) for number, item in zip(whole, items, strict=True)):
        raise BadData("an item is a whole number or a text")
    if any(whole) and not all(whole):
        raise BadData("some items are whole numbers and some are texts", hint="Give all of them as texts.")
    return any(whole)


def _read(users: Iterable[Id], items: Sequence[Any], ratings: Iterable[float] | None, ids: Any) -> Dataset:
    """Return interactions as records; the subject is the user."""
    columns = {ITEM: Column.of_texts([str(item) for item in items])}
    if ratings is not None:
        columns[RATING] = Column("number", np.asarray(list(ratings), np.float64))
    names = np.arange(len(items)) if ids is None else ids
    return Dataset(columns, normal_ids(names, "record id"), normal_ids(users, "user"))
