"""The estimator of graphs: nodes with features and links in, classes out; nodes, links and features forgotten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from expunge.core.columns import Column, normal_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, UnknownSubject
from expunge.core.seeds import Key
from expunge.models.estimators.forgetful import FitFirst
from expunge.models.graph.sgc import Sgc

if TYPE_CHECKING:
    from expunge.core.deployment import Prediction
    from expunge.core.guarantee import Guarantee
    from expunge.core.request import Id


class NodeClassifier(BaseEstimator):  # type: ignore[misc]
    """A linear classifier of the nodes of a graph; parameters as `expunge.models.graph.sgc.Sgc`.

    Args:
        alpha: penalty on the squares of weights, > 0.
        hops: how far features travel, from 1 to 4.
        bits: digits of propagated features below one, from 0 to 9.
        step: what one unit of features that are not whole numbers is.

    >>> nodes = NodeClassifier().fit([[1, 0], [1, 0], [0, 1], [0, 1]], [(0, 1), (2, 3)], ["a", "a", "b", None])
    >>> nodes.predict([3]).tolist()
    ['b']

    Guarantee: exact, grade ``bits-here``. Cost and Source: as `Sgc` (spec XL11).
    """

    def __init__(
        self, alpha: float = 10.0, *, hops: int = 2, bits: int = 8, step: float = 2.0**-8, seed: int | str = 0
    ) -> None:
        self.alpha = alpha
        self.hops = hops
        self.bits = bits
        self.step = step
        self.seed = seed

    def fit(
        self,
        X: npt.ArrayLike,
        links: Iterable[tuple[Id, Id]],
        y: Sequence[str | None],
        ids: Iterable[Id] | None = None,
        subjects: Iterable[Id] | None = None,
    ) -> Self:
        """Learn from a graph.

        Args:
            X: features, shape (n, d): int16, int8 and uint8 are kept, other numbers are read as float32.
            links: pairs of ids.
            y: classes, shape (n,); None for a node that is in the graph and whose class is not known.
            ids: a unique id for each node, kept for ever; default: 0…n-1.
            subjects: who owns each node; default: each owns itself.

        Raises:
            BadData, BadTarget, DuplicateId, BadInput: nothing was learnt.
        """
        array = np.asarray(X)
        if array.dtype.kind in "iub" and array.dtype.name not in ("int16", "int8", "uint8"):
            array = array.astype(np.float64)
        names = normal_ids(range(len(array)) if ids is None else ids, "record id")
        partners: dict[str, list[Id]] = {str(name): [] for name in names.tolist()}
        for a, b in links:
            if str(a) not in partners or str(b) not in partners:
                raise BadInput(f"the link ({a!r}, {b!r}) names a node that is not among the ids")
            partners[str(a)].append(b)
        words = {str(label) for label in y if label is not None}
        free = next(mark for mark in ("?" * n for n in range(1, len(words) + 2)) if mark not in words)
        data = Dataset(
            {"vector": Column.of_vectors(array), "links": Column.of_links(partners.values())},
            names,
            names if subjects is None else normal_ids(subjects, "subject"),
            Column.of_texts([free if label is None else str(label) for label in y]),
            classes=(),
        )
        given = {f.name: getattr(self, f.name) for f in fields(Sgc) if hasattr(self, f.name)}
        learner = Sgc(**given, unlabelled=free)
        self.model_ = learner.fit(data, Key.public(self.seed))
        return self

    def predict(self, ids: Iterable[Id]) -> npt.NDArray[Any]:
        """Return the most probable class of nodes of the graph, shape (n,)."""
        model = self._fitted()
        found: npt.NDArray[Any] = np.array(model.labels)[model.logits(model.data.only(ids)).argmax(axis=1)]
        return found

    def forget(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Self:
        """Forget nodes in place, with their links, exactly: all of them, or on any error none.

        Raises:
            UnknownRecord, UnknownSubject, NothingLeft, ClassVanished: nothing was changed.
        """
        self.model_ = self._fitted().without(self._named(ids, subjects))
        return self

    def forget_links(self, pairs: Iterable[tuple[Id, Id]]) -> Self:
        """Forget that these pairs of nodes were linked, exactly; the nodes stay.

        Raises:
            UnknownRecord: a node is not here; nothing was changed.
        """
        self.model_ = self._fitted().without_links(pairs)
        return self

    def forget_features(self, ids: Iterable[Id]) -> Self:
        """Forget the features of nodes, exactly; their links and classes stay.

        Raises:
            UnknownRecord: a node is not here; nothing was changed.
        """
        self.model_ = self._fitted().without_features(ids)
        return self

    def plan(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Prediction:
        """Return what forgetting would cost; changes nothing."""
        found: Prediction = self._fitted().plan(self._named(ids, subjects))
        return found

    def digest(self) -> str:
        """Return the hex digest of the model's state: equal to that of a fit on the kept graph (spec X07)."""
        return str(self._fitted().digest())

    def guarantee(self) -> Guarantee:
        """Return what `forget` promises, with its assumptions."""
        found: Guarantee = self._fitted().guarantee()
        return found

    @property
    def ids_(self) -> npt.NDArray[Any]:
        """The ids of the kept nodes, shape (n,)."""
        found: npt.NDArray[Any] = self._fitted().data.ids
        return found

    def _named(self, ids: Iterable[Id] | None, subjects: Iterable[Id] | None) -> list[Id]:
        if ids is None and subjects is None:
            raise BadInput("say which nodes to forget: ids, or subjects")
        if any(isinstance(given, str | int) for given in (ids, subjects)):
            raise BadInput("ids and subjects are lists, also of one", hint="Write forget(ids=[17]).")
        wanted, data = list(ids or ()), self._fitted().data
        for subject in subjects if subjects is not None else ():
            owned = data.owned_by(subject)
            if not owned:
                raise UnknownSubject(f"subject {subject!r} owns no node here")
            wanted += owned
        return wanted

    def _fitted(self) -> Any:
        if not hasattr(self, "model_"):
            raise FitFirst(f"This {type(self).__name__} instance is not fitted yet. Call 'fit' first.")
        return self.model_

    def __getstate__(self) -> Any:
        if hasattr(self, "model_"):
            self.model_.data  # noqa: B018 - what is copied or written elsewhere holds nothing of forgotten nodes
        return super().__getstate__()

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")
