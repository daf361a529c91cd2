"""The estimator of graphs: nodes with features and links in, classes out; nodes, links and features forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from expunge.core.columns import Column, normal_ids
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget
from expunge.core.seeds import Key
from expunge.models.estimators.fitted import (
    contents,
    is_fitted,
    kept_ids,
    model_digest,
    model_of,
    named_records,
    plain,
    promised,
)
from expunge.models.graph.sgc import Sgc

if TYPE_CHECKING:
    from expunge.core.deployment import Prediction
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

    _fitted = model_of
    _named = named_records
    ids_ = property(kept_ids)
    digest = model_digest
    guarantee = promised
    __getstate__ = contents
    __sklearn_is_fitted__ = is_fitted

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
        y: Iterable[Any],
        ids: Iterable[Id] | None = None,
        subjects: Iterable[Id] | None = None,
    ) -> Self:
        """Learn from a graph.

        Args:
            X: features, shape (n, d): int16, int8 and uint8 are kept, other numbers are read as float32.
            links: pairs of ids.
            y: classes of any type, shape (n,); None or NaN for a node of the graph whose class is not known.
            ids: a unique id for each node, kept for ever; default: 0…n-1.
            subjects: who owns each node; default: each owns itself.

        Raises:
            BadData, BadTarget, DuplicateId, BadInput: nothing was learnt.
        """
        array = np.asarray(X)
        if array.dtype.kind in "iub" and array.dtype.name not in ("int16", "int8", "uint8"):
            array = array.astype(np.float64)
        labels = [None if isinstance(label, float) and np.isnan(label) else label for label in plain(y)]
        names = normal_ids(range(len(array)) if ids is None else ids, "record id")
        partners: dict[str, list[Id]] = {str(name): [] for name in names.tolist()}
        for a, b in map(plain, links):
            if str(a) not in partners or str(b) not in partners:
                raise BadInput(f"the link ({a!r}, {b!r}) names a node that is not among the ids")
            partners[str(a)].append(b)
        known = {str(label): label for label in labels if label is not None}
        if not known:
            raise BadTarget("no node has a class: there is nothing to learn", hint="Give y the classes that are known.")
        free = next(mark for mark in ("?" * n for n in range(1, len(known) + 2)) if mark not in known)
        data = Dataset(
            {"vector": Column.of_vectors(array), "links": Column.of_links(partners.values())},
            names,
            names if subjects is None else normal_ids(subjects, "subject"),
            Column.of_texts([free if label is None else str(label) for label in labels]),
        )
        given = {f.name: getattr(self, f.name) for f in fields(Sgc) if hasattr(self, f.name)}
        learner = Sgc(**given, unlabelled=free)
        self.model_ = learner.fit(data, Key.public(self.seed))
        self._words = known
        return self

    def predict(self, ids: Iterable[Id]) -> npt.NDArray[Any]:
        """Return the most probable class of nodes of the graph, as given to `fit`, shape (n,)."""
        model = self._fitted()
        best = model.logits(model.data.only(plain(ids))).argmax(axis=1)
        found: npt.NDArray[Any] = np.array([self._words[label] for label in model.labels])[best]
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
        self.model_ = self._fitted().without_links([tuple(plain(pair)) for pair in pairs])
        return self

    def forget_features(self, ids: Iterable[Id]) -> Self:
        """Forget the features of nodes, exactly; their links and classes stay.

        Raises:
            UnknownRecord: a node is not here; nothing was changed.
        """
        self.model_ = self._fitted().without_features(plain(ids))
        return self

    def plan(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Prediction:
        """Return what forgetting would cost; changes nothing."""
        found: Prediction = self._fitted().plan(self._named(ids, subjects))
        return found
