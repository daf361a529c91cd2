"""The estimator of recommenders: who took what in, the best items for a user out, and users or items forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator

from expunge.core.columns import Column, normal_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, UnknownRecord, UnknownSubject
from expunge.core.seeds import Key
from expunge.models.estimators.forgetful import FitFirst
from expunge.models.recommenders.interactions import ITEM, RATING
from expunge.models.recommenders.items import Ease

if TYPE_CHECKING:
    from expunge.core.deployment import Prediction
    from expunge.core.guarantee import Guarantee
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

    def __init__(self, learner: Learner | None = None, *, seed: int | str = 0) -> None:
        self.learner = learner
        self.seed = seed

    def fit(
        self, users: Iterable[Id], items: Iterable[Id], ratings: Iterable[float] | None = None, ids: Any = None
    ) -> Self:
        """Learn from interactions.

        Args:
            users: who took something, shape (n,).
            items: what was taken, shape (n,): numbers or texts.
            ratings: how it was liked, shape (n,); used by a learner with ``at_least``.
            ids: a unique id for each interaction; default: 0…n-1.

        Raises:
            BadData, DuplicateId: nothing was learnt.
        """
        data = _read(users, items, ratings, ids)
        learner: Any = Ease() if self.learner is None else self.learner
        model = learner.fit(data, Key.public(self.seed))
        self.model_: Any = model
        self._numbers = _whole(items)
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
        model = self._fitted()
        if ids is None and model.data.ids.dtype.kind == "i":
            listed = list(users)
            users, ids = listed, np.arange(len(listed)) + int(model.data.ids.max()) + 1
        self.model_ = model.adding(_read(users, items, ratings, ids))
        return self

    def recommend(self, user: Id, k: int = 10, exclude_seen: bool = True) -> list[tuple[Any, float]]:
        """Return the k best items for a user with their scores, best first.

        A user without a history (a new one, or one that was forgotten) gets what most users took.

        Args:
            user: who.
            k: how many items, at most.
            exclude_seen: leave out what the user took already.
        """
        found = self._fitted().recommend(_plain(user), k, exclude_seen)
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

    def digest(self) -> str:
        """Return the hex digest of the model's state: equal to that of a fit on the kept records (spec X07)."""
        return str(self._fitted().digest())

    def guarantee(self) -> Guarantee:
        """Return what `forget` promises, with its assumptions."""
        found: Guarantee = self._fitted().guarantee()
        return found

    @property
    def ids_(self) -> Any:
        """The ids of the kept interactions, shape (n,)."""
        return self._fitted().data.ids

    def _named(
        self, ids: Iterable[Id] | None, users: Iterable[Id] | None, items: Iterable[Id] | None
    ) -> dict[Id, None]:
        if ids is None and users is None and items is None:
            raise BadInput("say what to forget: ids, users or items")
        if any(isinstance(given, str | int) for given in (ids, users, items)):
            raise BadInput("ids, users and items are lists, also of one", hint="Write forget(users=[17]).")
        taken = self._fitted().taken()
        wanted = dict.fromkeys(_plain(i) for i in ids or ())
        for user in users if users is not None else ():
            place = taken.user(_plain(user))
            own = taken.of_user(place) if place >= 0 else []
            if not own:
                raise UnknownSubject(f"user {user!r} took nothing here")
            wanted.update(dict.fromkeys(own))
        for item in items if items is not None else ():
            own = taken.of_item(str(_plain(item)))
            if not own:
                raise UnknownRecord(f"item {item!r} was taken by nobody here")
            wanted.update(dict.fromkeys(own))
        return wanted

    def _fitted(self) -> Any:
        if not hasattr(self, "model_"):
            raise FitFirst(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' first.")
        return self.model_

    def __getstate__(self) -> Any:
        if hasattr(self, "model_"):
            self.model_.data  # noqa: B018 - what is copied or written elsewhere holds nothing of forgotten records
        return super().__getstate__()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _whole(values: Iterable[Any]) -> bool:
    return all(isinstance(v, int | np.integer) and not isinstance(v, bool) for v in values)


def _read(users: Iterable[Id], items: Iterable[Id], ratings: Iterable[float] | None, ids: Any) -> Dataset:
    """Return interactions as records; the subject is the user."""
    people, words = normal_ids(users, "user"), [_plain(item) for item in items]
    if any(not isinstance(w, str | int) or isinstance(w, bool) for w in words):
        raise BadData("an item is a whole number or a text")
    columns = {ITEM: Column.of_texts([str(w) for w in words])}
    if ratings is not None:
        columns[RATING] = Column("number", np.asarray(list(ratings), np.float64))
    names = np.arange(len(words)) if ids is None else ids
    return Dataset(columns, normal_ids(names, "record id"), people)
