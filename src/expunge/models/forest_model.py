"""``ForestModel``: a fitted canonical forest, which predicts, forgets exactly, and says what forgetting will cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.costs import FOREST_CURVE, along
from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, NothingLeft, UnknownRecord
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_classes, exactly
from expunge.core.seeds import Key
from expunge.models import trees as forestry
from expunge.models.encode import Grid, Tally
from expunge.models.trees import Tree

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.roles import Floats
    from expunge.models.kernels.splits import Rules, Table

PUBLIC_SEED = "the seed is public: anybody can compute which trees a record is in, and choose ids by it"


class Grower(Protocol):
    """What a fitted forest asks of the learner that made it."""

    @property
    def n_trees(self) -> int:
        """Trees."""
        ...

    @property
    def per_owner(self) -> int:
        """Trees that hold a subject's records."""
        ...

    @property
    def n_bins(self) -> int:
        """Bins a column is cut into."""
        ...

    def rules(self, d: int, k: int) -> Rules:
        """Return the kernels' form of the hyper-parameters."""
        ...

    def fit(self, data: Dataset, key: Key) -> ForestModel:
        """Return the forest of these records."""
        ...


@dataclass
class ForestModel:
    """A fitted forest, and what it needs to forget exactly; made by `Forest.fit`.

    Attributes:
        learner: the hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of all draws.
        source: the records, forgotten ones included until `settle`; use `data`.
        grid: the encoder.
        labels: class labels, in the order of the columns of `probabilities`.
        codes: bins, shape (d, n).
        y: class codes, shape (n,).
        h: keyed words of the record ids, shape (n,).
        owner_words: keyed words of the records' owners, shape (n,).
        tally: the integer counts behind the grid.
        alive: which records are kept, shape (n,).
        class_counts: kept records of each class, shape (k,).
        trees: the trees.
        owned: the trees that no other model shares; the others are copied before they are repaired in place.
        fit_s: how long a full fit took, in seconds; 0 = unknown.
    """

    learner: Grower
    identity: Identity
    key: Key
    source: Dataset
    grid: Grid
    labels: tuple[str, ...]
    codes: npt.NDArray[np.uint8]
    y: npt.NDArray[Any]
    h: npt.NDArray[np.uint64]
    owner_words: npt.NDArray[np.uint64]
    tally: Tally
    alive: npt.NDArray[np.bool_]
    class_counts: npt.NDArray[np.int64]
    trees: list[Tree]
    owned: set[int] = field(default_factory=set)
    fit_s: float = 0.0

    # -- what every model does ---------------------------------------------------------------------------------

    def probabilities(self, data: Dataset) -> Floats:
        """Return the mean of the trees' class shares, summed in tree order, shape (n, k)."""
        from expunge.models.kernels.trees import add_votes

        codes = np.ascontiguousarray(self.grid.encode(data).T)
        votes = np.zeros((len(data), len(self.labels)))
        nominal = self.grid.nominal
        for tree in self.trees:
            add_votes(tree.nodes, tree.counts, codes, nominal, votes)
        return votes / len(self.trees)

    def logits(self, data: Dataset) -> Floats:
        """Return log-probabilities, shape (n, k); shares below 1/(10 n_trees) count as that."""
        return np.log(np.maximum(self.probabilities(data), 0.1 / len(self.trees)))

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats; a class unknown to the model costs most."""
        logits = self.logits(data)
        worst = np.log(0.1 / len(self.trees))
        if data.target is None:
            raise BadInput("the data have no target, so there are no losses")
        place = {label: i for i, label in enumerate(self.labels)}
        codes = np.array([place.get(word, -1) for word in data.target.vocabulary] + [-1])[data.target.values]
        return np.asarray(-np.where(codes >= 0, logits[np.arange(len(data)), codes], worst))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: the grid, and each tree in preorder (feature, threshold or category, counts)."""
        self.settle()
        names = self.grid.labels()
        arrays = self.grid.state()
        arrays["classes/labels"] = np.frombuffer("\0".join(self.labels).encode(), np.uint8)
        for t, (feature, chosen, right, counts, _, _) in enumerate(self._exported()):
            value = np.where(feature >= 0, names[feature, chosen], 0)
            arrays |= {
                f"tree/{t:05d}/feature": feature,
                f"tree/{t:05d}/value": value,
                f"tree/{t:05d}/right": right,
                f"tree/{t:05d}/counts": counts,
            }
        return arrays

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the histograms of each tree's larger nodes, in preorder."""
        self.settle()
        arrays: dict[str, npt.NDArray[Any]] = {}
        for t, (*_, features, hist) in enumerate(self._exported()):
            arrays[f"tree/{t:05d}/hist_features"] = features
            arrays[f"tree/{t:05d}/hist"] = hist
        return arrays

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def _exported(self) -> Iterable[tuple[npt.NDArray[Any], ...]]:
        from expunge.models.kernels.trees import export_tree

        for tree in self.trees:
            yield export_tree(tree.nodes, tree.counts, tree.hf, tree.hist, tree.meta)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that the model owns."""
        own = (self.codes, self.y, self.h, self.owner_words, self.alive)
        return sum(a.nbytes for a in own) + sum(t.nbytes for t in self.trees)

    # -- forgetting --------------------------------------------------------------------------------------------

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.settle()
        return self.source

    def guarantee(self) -> Guarantee:
        """Return what `without` promises."""
        return exactly("bits", *([PUBLIC_SEED] if self.key.is_public else []))

    def rows_of(self, ids: Iterable[Id]) -> npt.NDArray[np.int64]:
        """Return the rows of living records, after every check that a deletion needs.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        rows = self.source.positions(dict.fromkeys(ids))
        if not self.alive[rows].all():
            gone = self.source.ids[rows[~self.alive[rows]]][:3].tolist()
            raise UnknownRecord(f"records {gone} were forgotten already")
        if len(rows) and len(rows) == len(self):
            raise NothingLeft("every record is named")
        if not self.source.classes:
            check_classes(self.labels, self.class_counts - np.bincount(self.y[rows], minlength=len(self.labels)))
        return rows

    def __len__(self) -> int:
        return int(self.class_counts.sum())

    def without(self, ids: Iterable[Id]) -> ForestModel:
        """Return the forest that never saw these records; self is untouched.

        Cost: the touched trees are copied, then repaired; one fit where a grid moves.
        """
        rows = self.rows_of(ids)
        tally, moves, vanished = self.tally.without(rows)
        return self._refitted(rows) if moves else self._repaired(rows, tally, vanished, copy=True)

    def forget(self, ids: Iterable[Id]) -> None:
        """Forget these records in place: as `without`, but trees that only this model holds are not copied.

        All or nothing: an interrupt waits until the repair is done.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        rows = self.rows_of(ids)
        tally, moves, vanished = self.tally.without(rows)
        if moves:
            self.__dict__.update(self._refitted(rows).__dict__)
            return
        with forestry.interrupts_deferred():
            self.__dict__.update(self._repaired(rows, tally, vanished, copy=False).__dict__)

    def _refitted(self, rows: npt.NDArray[np.int64]) -> ForestModel:
        """Return the model fitted again without these rows: what is left where a grid moves."""
        keep = self.alive.copy()
        keep[rows] = False
        return self.learner.fit(self.source.take(keep), self.key)

    def _repaired(
        self, rows: npt.NDArray[np.int64], tally: Tally, vanished: list[tuple[int, int]], *, copy: bool
    ) -> ForestModel:
        """Return the model whose touched trees were repaired; the grid stands, with this tally behind it."""
        if not len(rows):
            self.owned = set()
            return replace(self, owned=set())
        from expunge.models.kernels.forest import forget_tree

        dead = np.zeros(len(self.alive), bool)
        dead[rows] = True
        trees = list(self.trees)
        owned = set() if copy else set(self.owned)
        for t, hit in self._touched(rows).items():
            new = trees[t] if t in owned else trees[t].copy()
            owned.add(t)
            nodes, counts, hf, hist = forget_tree(
                new.nodes, new.counts, new.hf, new.hist, new.meta, new.rows, *self.tables, self.roots[t], hit, dead
            )
            trees[t] = Tree(nodes, counts, hf, hist, new.meta, new.rows)
        after = replace(
            self,
            grid=self.grid.forgetting(vanished),
            tally=tally,
            alive=self.alive & ~dead,
            class_counts=self.class_counts - np.bincount(self.y[rows], minlength=len(self.labels)),
            trees=trees,
            owned=owned,
        )
        if copy:
            self.owned = set()  # the trees that were not touched are shared from now on
        after.__dict__ |= {"tables": self.tables, "roots": self.roots}  # the encoded records are shared, not copied
        return after

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost (spec XP01-XP03); changes nothing."""
        rows = self.rows_of(ids)
        n = len(self)
        touched = self._touched(rows)
        fit_s = self.fit_s or None
        moves = self.tally.without(rows)[1]
        share = 1.0 if moves else along(FOREST_CURVE, len(rows))
        bound = 1.0 if moves else len(touched) / len(self.trees)
        why = (
            "a column's range moves, so the forest is fitted again"
            if moves
            else f"{len(rows)} of {n} records, in {len(touched)} of {len(self.trees)} trees"
        )
        return Prediction(
            seconds=fit_s and fit_s * min(share, bound),
            p95_s=fit_s and fit_s * min(4 * share, max(bound, share)),
            worst_s=fit_s and fit_s * bound * 1.5,
            records_read=sum(int(self.trees[t].nodes[0, 4]) for t in touched),
            parts_touched=len(self.trees) if moves else len(touched),
            parts=len(self.trees),
            why=why,
        )

    def settle(self) -> None:
        """Drop the forgotten records' remains from memory: their codes, hashes and values; bits do not change."""
        if self.alive.all():
            return
        place = np.cumsum(self.alive, dtype=np.int32) - 1
        place = np.append(place, np.int32(-1))  # -1 marks a gap in a tree's rows
        self.trees = [replace(t, rows=place[t.rows]) for t in self.trees]
        self.owned = set()  # rows are new, but the other arrays may be shared
        self.source = self.source.take(self.alive)
        self.codes = np.ascontiguousarray(self.codes[:, self.alive])
        self.y, self.h = self.y[self.alive], self.h[self.alive]
        self.owner_words = self.owner_words[self.alive]
        self.grid = Grid.of(self.source, self.key, self.learner.n_bins)
        self.tally = Tally.of(self.grid, self.source)
        self._recode()
        self.alive = np.ones(len(self.source), bool)
        self.__dict__.pop("tables", None)

    def _recode(self) -> None:
        """Number categories afresh where some vanished, in codes and trees alike."""
        codes = self.grid.encode(self.source)
        changed = [f for f in range(len(codes)) if self.grid.nominal[f] and (codes[f] != self.codes[f]).any()]
        if not changed:
            return
        trees = []
        for tree in self.trees:
            nodes, hist = tree.nodes.copy(), tree.hist.copy()
            for f in changed:
                forestry.renumber(nodes, hist, tree.hf, f, self.codes[f], codes[f])
            trees.append(replace(tree, nodes=nodes, hist=hist))
        self.trees = trees
        self.codes = codes

    @cached_property
    def tables(self) -> tuple[Table, Rules]:
        """What the kernels read: the encoded records and the rules."""
        from expunge.models.kernels.splits import Table

        names = np.array([self.key.word(f"column/{name}") for name in self.grid.names], np.uint64)
        table = Table(self.codes, self.grid.nominal, names, self.y, self.h)
        return table, self.learner.rules(len(self.codes), len(self.labels))

    @cached_property
    def roots(self) -> npt.NDArray[np.uint64]:
        """The path word of each tree's root (spec X04)."""
        return np.array([self.key.word(f"tree/{t}") for t in range(self.learner.n_trees)], np.uint64)

    def members(self) -> list[npt.NDArray[np.int32]]:
        """Return the rows of each tree, ascending."""
        return forestry.members(self._choose(self.owner_words), self.learner.n_trees)

    def _touched(self, rows: npt.NDArray[np.int64]) -> dict[int, npt.NDArray[np.int32]]:
        return forestry.touched(rows, self._choose(self.owner_words[rows]))

    def _choose(self, owner_words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        return forestry.choose(owner_words, self.learner.n_trees, self.learner.per_owner)
