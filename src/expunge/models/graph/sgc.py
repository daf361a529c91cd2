"""``Sgc``: a linear classifier of a graph's nodes on propagated features, which forgets nodes and links exactly."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, BadTarget, NothingLeft, StoreDamaged, UnknownRecord
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_classes, check_saved, class_labels, exactly
from expunge.core.seeds import Key
from expunge.core.tiny_worlds import tiny_graph
from expunge.models.graph.head import Head
from expunge.models.graph.nodes import Ints, Mask, Nodes, without_features, without_links
from expunge.models.rows import id_order
from expunge.models.scores import class_codes, cross_entropy, label_bytes

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

BLAS = "weights are compared under one build and thread count of BLAS and LAPACK; the integer sums behind them anywhere"


@dataclass(frozen=True)
class Sgc:
    """Simple graph convolution: features are propagated over links, and a ridge head learns from them.

    Z = ÂᴷX with Â = D^-½ (A + I) D^-½, in whole numbers; then least squares, each class against the rest. A node
    without a class (see `unlabelled`) is in the graph and not learnt from.

    Attributes:
        alpha: penalty on the squares of weights, > 0; in the units of the features.
        hops: K, from 1 to 4.
        bits: digits of Z below one, from 0 to 9. |Z| is at most 2¹⁵ / 2^bits.
        step: what one unit of features that are not whole numbers is.
        unlabelled: the class that means "not known"; None: all are known.

    Guarantee: exact, for nodes, links and features. Z and its sums are integers and grade ``bits``; the weights
        solved from them are ``bits-here``. Nothing about it is statistical: this is the certificate, with ε = δ = 0.
        There is no ``adding``: when a node is forgotten, its neighbours forget that they were linked to it, so that
        learning it again does not bring those links back.
    Cost: fit O(K·links·d + m²·d) for m nodes with a class, and min(m, d)³/3; forgetting: the nodes within K + 1 hops,
        m·d for each of them that has a class, and the solution.
    Source: spec XL11; Wu et al., "Simplifying graph convolutional networks" (ICML 2019). Certified removal for it:
        Chien et al. (ICLR 2023), ScaleGUN (2024). Where we differ: a ridge head instead of a logistic one, so that
        removal is exact and needs no budget.
    """

    alpha: float = 10.0
    hops: int = 2
    bits: int = 8
    step: float = 2.0**-8
    unlabelled: str | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the solver and compile the kernel (a second, once), so that neither is in anybody's timing; silent."""
        Sgc().fit(tiny_graph(0), Key.public(0))

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> SgcModel:
        """Return the weights of this graph.

        Raises:
            BadData: there is not one column of vectors and one of links.
            BadTarget, ClassVanished: nothing to learn.
        """
        self._check()
        began = time.perf_counter()
        labels = self._labels(data)
        nodes = Nodes.of(data, self.step)
        head = self._learnt(nodes, labels)
        if progress is not None:
            progress(len(data), len(data))
        identity = Identity.of(self, data, key)
        return SgcModel(self, identity, key, labels, nodes, head, time.perf_counter() - began)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> SgcModel:
        """Return the model that was saved: sums are taken afresh and compared, weights are taken as saved.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        weights = np.asarray(arrays.get("weights", ()), np.float64)
        if weights.shape != model.head.weights.shape:
            raise StoreDamaged("the saved weights do not fit these records")
        after = replace(model, head=replace(model.head, weights=weights))
        check_saved(after, arrays)
        return after

    def _check(self) -> None:
        for name, low, high in (("hops", 1, 4), ("bits", 0, 9)):
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise BadInput(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        for name in ("alpha", "step"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and 0 < value < math.inf):
                raise BadInput(f"{name} must be a positive number, not {value!r}")

    def _labels(self, data: Dataset, there: Mask | None = None) -> tuple[str, ...]:
        """Return the classes that are learnt: declared ones, or those of the nodes (that are there).

        Raises:
            BadTarget: there is none.
            ClassVanished: one has no node. That no node is without a class any more is fine.
        """
        target = data.target
        if target is None or data.classes or self.unlabelled not in target.vocabulary:
            labels = [label for label in class_labels(data) if label != self.unlabelled]
        else:
            labels = [label for label in target.vocabulary if label != self.unlabelled]
        if not labels:
            raise BadTarget("no node has a class: there is nothing to learn")
        if target is not None and not data.classes:
            codes = class_codes(data, tuple(labels))
            codes = codes if there is None else codes[there]
            check_classes(tuple(labels), np.bincount(codes[codes >= 0], minlength=len(labels)))
        return tuple(labels)

    def _learnt(self, nodes: Nodes, labels: tuple[str, ...]) -> Head:
        """Return the head of the kept nodes with a class, in the order of their ids."""
        codes = class_codes(nodes.source, labels)
        order = id_order(nodes.source.ids)
        rows = order[nodes.alive[order] & (codes[order] >= 0)]
        return Head.of(nodes.propagated(rows, self.hops, self.bits), codes[rows], rows, self._scales(labels))

    def _scales(self, labels: tuple[str, ...]) -> tuple[float, float, int]:
        return float(self.alpha), 2.0**-self.bits, len(labels)


@dataclass(eq=False)
class SgcModel:
    """The model of `Sgc`. To its users a value; what is gone leaves memory when state, digest or `data` is read.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: kept for the next fit.
        labels: the classes, in the order of the columns of `logits`.
        nodes: the graph.
        head: integer sums over the nodes with a class, and the weights.
        fit_s: seconds of the last fit.
    """

    learner: Sgc
    identity: Identity
    key: Key
    labels: tuple[str, ...]
    nodes: Nodes = field(repr=False)
    head: Head = field(repr=False)
    fit_s: float = 0.0

    @property
    def data(self) -> Dataset:
        """The kept nodes; none of their links leads to a node that was forgotten."""
        self._settle()
        return self.nodes.source

    def _settle(self) -> None:
        if self.nodes.alive.all():
            return
        gone = self.nodes.source.ids[~self.nodes.alive]
        nodes = Nodes.of(self.nodes.source.take(self.nodes.alive).unlinked(gone), self.learner.step)
        moved = np.cumsum(self.nodes.alive) - 1
        self.nodes, self.head = nodes, replace(self.head, rows=moved[self.head.rows])

    def logits(self, data: Dataset) -> Floats:
        """Return the scores of the classes, shape (n, k), about 1 for yes and -1 for no.

        A record whose id is that of a kept node is that node; others read the graph and do not change it.
        """
        nodes, rows = self.nodes.asked(data, self.learner.step)
        some, place = np.unique(rows, return_inverse=True)
        found: Floats = self.head.scores(nodes.propagated(some, self.learner.hops, self.learner.bits))
        return found[place]

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropy of the softmax of the scores, shape (n,), in nats; unknown classes cost most."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: classes, and weights of propagated features with the intercepts in row 0."""
        self._settle()
        return {"classes/labels": label_bytes(self.labels), "weights": self.head.weights}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: propagated features of the nodes with a class, and their sums."""
        self._settle()
        return {"propagated": self.head.Z, "classes/codes": self.head.y, "sums": self.head.sums.astype(np.int64)}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here`` (the sums are ``bits``)."""
        return exactly("bits-here", BLAS)

    def _gone(self, ids: Iterable[Id]) -> Ints:
        """Return the rows of these nodes after all checks."""
        nodes = self.nodes
        rows = nodes.source.positions(dict.fromkeys(ids))
        if not nodes.alive[rows].all():
            lost = nodes.source.ids[rows[~nodes.alive[rows]]][:3].tolist()
            raise UnknownRecord(f"records {lost} were forgotten already")
        if len(rows) == int(nodes.alive.sum()):
            raise NothingLeft("every record is named")
        left = nodes.alive.copy()
        left[rows] = False
        self.learner._labels(nodes.source, left)
        return rows

    def without(self, ids: Iterable[Id]) -> SgcModel:
        """Return the model of the graph without these nodes and their links; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        rows = self._gone(ids)
        if not len(rows):
            return self
        alive = self.nodes.alive.copy()
        alive[rows] = False
        return self._after(replace(self.nodes, alive=alive), self.nodes.around(rows, 1))

    def without_links(self, pairs: Iterable[tuple[Id, Id]]) -> SgcModel:
        """Return the model of the graph without the links between these pairs of nodes; self is untouched.

        Raises:
            UnknownRecord: a node is not here.
        """
        listed = list(pairs)
        data = without_links(self.data, listed)
        return self._after(Nodes.of(data, self.learner.step), data.positions(i for pair in listed for i in pair))

    def without_features(self, ids: Iterable[Id]) -> SgcModel:
        """Return the model of the graph in which these nodes have no features (zeros); self is untouched.

        Raises:
            UnknownRecord: a node is not here.
        """
        listed = list(ids)
        data = without_features(self.data, listed)
        return self._after(Nodes.of(data, self.learner.step), data.positions(listed))

    def _after(self, nodes: Nodes, changed: Ints) -> SgcModel:
        """Return the model of another graph on the same rows: these rows changed, or their links did."""
        near = nodes.around(np.unique(changed), self.learner.hops)
        touched = near[np.isin(near, self.head.rows)]
        fresh = nodes.propagated(touched, self.learner.hops, self.learner.bits)
        head = self.head.moved(nodes.alive, touched, fresh, self.learner._scales(self.labels))
        return replace(self, nodes=nodes, head=head)

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        near = self.nodes.around(self._gone(ids), self.learner.hops + 1)
        n = int(self.nodes.alive.sum())
        share = min(1.0, len(near) / n + 0.25)
        seconds = self.fit_s * share + 1e-3 if self.fit_s else None
        return Prediction(
            seconds=seconds,
            p95_s=seconds and 4 * seconds,
            records_read=len(near),
            parts_touched=1,
            parts=1,
            why=f"propagates anew the {len(near)} nodes within {self.learner.hops + 1} links, and solves",
        )
