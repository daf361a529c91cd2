"""``ForestModel``: a fitted canonical forest, which predicts, forgets and learns exactly, and says what that costs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import part_digest
from expunge.core.costs import FOREST_CURVE, along
from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, NothingLeft, UnknownRecord
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_classes, exactly
from expunge.core.seeds import Key
from expunge.models.draws import keyed_words, owner_words
from expunge.models.encoding.grid import Grid, Tally
from expunge.models.forest import answers
from expunge.models.forest import trees as forestry
from expunge.models.forest.grower import Grower
from expunge.models.forest.target import Target
from expunge.models.forest.trees import Rows, Tables, Tree

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.roles import Floats

Ints = npt.NDArray[np.int64]
PUBLIC_SEED = "the seed is public: anybody can compute which trees a record is in, and choose ids by it"


@dataclass
class ForestModel:
    """A fitted forest, and what it needs to forget exactly; made by `Forest.fit`.

    Attributes:
        learner: the hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of all draws.
        source: the records, forgotten ones included until `settle`; use `data`.
        grid: the encoder.
        target: how the target is encoded.
        codes: bins, shape (n, d).
        y: class codes or quantised numbers, shape (n,).
        h: keyed words of the record ids, shape (n,).
        owner_words: keyed words of the records' owners, shape (n,).
        tally: the integer counts behind the grid.
        alive: which records are kept, shape (n,).
        class_counts: kept records of each class, shape (k,); of a number target: kept records, shape (1,).
        trees: the trees; those of `owed` records are still to be repaired.
        owned: the trees that no other model shares; the others are copied before they are repaired in place.
        owed: rows that were forgotten and are still in the trees (`repair="lazy"`).
        n_owed: how many they are.
        readers: how many answers are being made: while there are any, trees are copied before they are repaired.
        fit_s: how long a full fit took, in seconds; 0 = unknown.
    """

    learner: Grower
    identity: Identity
    key: Key
    source: Dataset
    grid: Grid
    target: Target
    codes: npt.NDArray[np.uint8]
    y: npt.NDArray[np.uint32]
    h: npt.NDArray[np.uint64]
    owner_words: npt.NDArray[np.uint64]
    tally: Tally
    alive: npt.NDArray[np.bool_]
    class_counts: Ints
    trees: list[Tree]
    owned: set[int] = field(default_factory=set)
    owed: list[Ints] = field(default_factory=list)
    n_owed: int = 0
    fit_s: float = 0.0
    readers: int = field(default=0, init=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, in the order of the columns of `probabilities`; empty for a number target."""
        return self.target.labels

    @contextmanager
    def _still(self) -> Iterator[tuple[Grid, Target, list[Tree]]]:
        """Give what one answer is made of: while somebody reads, trees are copied before they are repaired."""
        with forestry.REPAIRS:
            self.repay()
            self.readers += 1
            still = self.grid, self.target, self.trees
        try:
            yield still
        finally:
            with forestry.REPAIRS:
                self.readers -= 1

    def _votes(self, data: Dataset) -> tuple[Floats, Target]:
        """Return the mean of the trees' answers (see `answers.votes`), and how the target is encoded."""
        with self._still() as (grid, target, trees):
            return answers.votes(grid, target, trees, data), target

    def probabilities(self, data: Dataset) -> Floats:
        """Return the mean of the trees' class shares, shape (n, k).

        Raises:
            BadInput: the target is a number.
        """
        if self.target.sums:
            raise BadInput("the target is a number, which has no probabilities")
        return self._votes(data)[0]

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,): the mean over the trees of their leaves' means.

        Raises:
            BadInput: the target is a class.
        """
        if not self.target.sums:
            raise BadInput("the target is a class, which has no value")
        return answers.numbers(*self._votes(data))

    def logits(self, data: Dataset) -> Floats:
        """Return log-probabilities, shape (n, k); shares below 1/(10 n_trees) count as that. Of numbers: `values`."""
        if self.target.sums:
            return self.values(data)[:, None]
        return answers.log_shares(self._votes(data)[0], len(self.trees))

    def losses(self, data: Dataset) -> Floats:
        """Return the loss of each record, shape (n,): cross-entropy in nats, or the squared error of a number.

        A class unknown to the model costs most.
        """
        mean, target = self._votes(data)
        return answers.losses(mean, target, len(self.trees), data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: the grid, and each tree in preorder (feature, threshold or category, counts)."""
        self.repay()
        names, arrays = self.grid.labels(), self.grid.state() | self.target.state()
        for t, tree in enumerate(self.trees):
            arrays |= forestry.state(f"tree/{t:05d}", tree, names, self.target.sums)
        return arrays

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the histograms of each tree's larger nodes, in preorder."""
        self.settle()
        arrays: dict[str, npt.NDArray[Any]] = {}
        for t, (*_, features, hist) in enumerate(map(forestry.export, self.trees)):
            arrays[f"tree/{t:05d}/hist_features"] = features
            arrays[f"tree/{t:05d}/hist"] = hist
        return arrays

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07); only trees that changed since the last call are hashed again."""
        self.repay()
        names = self.grid.labels()
        for t, tree in enumerate(self.trees):
            if not tree.seal:
                tree.seal.append(part_digest(forestry.state(f"tree/{t:05d}", tree, names, self.target.sums)))
        known = {f"tree/{t:05d}": tree.seal[0] for t, tree in enumerate(self.trees)}
        return self.identity.digest(self.grid.state() | self.target.state(), known)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that the model owns."""
        own = (self.codes, self.y, self.h, self.owner_words, self.alive, self.tally)
        return sum(a.nbytes for a in own) + sum(t.nbytes for t in self.trees)

    @property
    def data(self) -> Dataset:
        """The kept records."""
        self.settle()
        return self.source

    def guarantee(self) -> Guarantee:
        """Return what `without` promises."""
        return exactly("bits", *([PUBLIC_SEED] if self.key.is_public else []))

    def rows_of(self, ids: Iterable[Id]) -> Ints:
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
        if not self.source.classes and not self.target.sums:
            check_classes(self.labels, self._counted(rows))
        return rows

    def _counted(self, rows: Ints) -> Ints:
        """Return the counts of the classes without these rows."""
        if self.target.sums:
            return self.class_counts - len(rows)
        return self.class_counts - np.bincount(self.y[rows], minlength=len(self.labels))

    def __len__(self) -> int:
        return int(self.class_counts.sum())

    def _regrid(self, rows: Ints) -> tuple[Tally, bool, list[tuple[int, int]], Target]:
        """Return the tally without these rows, whether a grid moves, categories that vanish, and the target's grid."""
        tally, moves, vanished = self.tally.without(rows)
        target = self.target.forgetting(self.source, self.alive, rows, self.learner.sample)
        return tally, moves or not target.same_grid(self.target), vanished, target

    def without(self, ids: Iterable[Id]) -> ForestModel:
        """Return the forest that never saw these records; self is untouched.

        Cost: the touched trees are copied, then repaired; one fit where a grid moves.
        """
        rows = self.rows_of(ids)
        tally, moves, vanished, target = self._regrid(rows)
        if moves:
            return self._refitted(rows)
        with forestry.REPAIRS:  # the trees are shared from now on
            after = replace(self, owned=set(), alive=self.alive.copy(), owed=list(self.owed))
            self.owned = set()
        after.__dict__ |= {name: self.__dict__[name] for name in ("tables", "roots") if name in self.__dict__}
        after._take(rows, tally, vanished, target)
        return after

    def forget(self, ids: Iterable[Id]) -> None:
        """Forget these records in place: as `without`, but trees that only this model holds are not copied.

        All or nothing: an interrupt waits until the repair is done.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        rows = self.rows_of(ids)
        tally, moves, vanished, target = self._regrid(rows)
        if moves:
            after = self._refitted(rows)
            after.readers = self.readers  # they hold trees of their own, and will say when they are done
        with forestry.REPAIRS, forestry.interrupts_deferred():
            if moves:
                self.__dict__.update(after.__dict__)
            else:
                self._take(rows, tally, vanished, target)

    def _refitted(self, rows: Ints) -> ForestModel:
        """Return the model fitted again without these rows: what is left where a grid moves."""
        keep = self.alive.copy()
        keep[rows] = False
        found: ForestModel = self.learner.fit(self.source.take(keep), self.key)
        return found

    def _take(self, rows: Ints, tally: Tally, vanished: list[tuple[int, int]], target: Target) -> None:
        """Forget these rows in place, at once or when the trees are next read; the grid stands."""
        self.class_counts = self._counted(rows)
        self.alive[rows] = False
        self.tally, self.target, self.grid = tally, target, self.grid.forgetting(vanished)
        self.owed.append(rows)
        self.n_owed += len(rows)
        if self.learner.repair != "lazy" or self.n_owed > self.learner.debt * len(self):
            self._mend()

    def repay(self) -> None:
        """Make the repairs that were put off, as one batch; bits are those of repairs made at once."""
        if self.n_owed:
            with forestry.REPAIRS, forestry.interrupts_deferred():
                self._mend()

    def _mend(self) -> None:
        """Repair the trees without the rows that are owed."""
        if self.n_owed:
            self._repair(self._touched(np.concatenate(self.owed)), joins=False)
            self.owed, self.n_owed = [], 0

    def _repair(self, touched: dict[int, Rows], *, joins: bool) -> None:
        """Repair trees in place, or copies of those that somebody else holds or reads; all appear at once."""
        trees, owned = list(self.trees), set() if self.readers else self.owned
        forestry.repair(trees, owned, touched, joins, self.tables, self.roots)
        self.trees, self.owned = trees, self.owned | touched.keys()

    def adding(self, data: Dataset) -> ForestModel:
        """Return the forest of these records as well; self is untouched.

        Cost: O(n) to copy what is encoded, and the touched trees; one fit where a grid moves, or where a class or
        category is new.

        Raises:
            DuplicateId, BadData, BadTarget: nothing was changed.
        """
        self.settle()
        n, joined = len(self.source), self.source.joined(data)
        if not len(data):
            return self
        tally, moves = self.tally.adding(joined, n)
        target = Target.of(joined, self.learner.sample)
        if moves or not target.same_grid(self.target):
            found: ForestModel = self.learner.fit(joined, self.key)
            return found
        y = target.encode(data)
        after = replace(
            self,
            source=joined,
            target=target,
            codes=np.concatenate([self.codes, self.grid.encode(data).T]),
            y=np.concatenate([self.y, y]),
            h=np.concatenate([self.h, keyed_words(self.key, data.ids)]),
            owner_words=np.concatenate([self.owner_words, owner_words(self.key, data)]),
            tally=tally,
            alive=np.ones(len(joined), bool),
            class_counts=self.class_counts + (np.bincount(y, minlength=len(self.labels)) if self.labels else len(y)),
            owned=set(),
        )
        self.owned = set()
        after._repair(after._touched(np.arange(n, len(joined))), joins=True)
        return after

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost (spec XP01-XP03); changes nothing.

        `worst_s` is a bound on what the records can cost, whichever they are: the share of trees that hold them.
        """
        rows = self.rows_of(ids)
        n = len(self)
        touched = self._touched(rows)
        fit_s = self.fit_s or None
        moves = self._regrid(rows)[1]
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
        """Make repairs that were put off, and drop what is left of forgotten records from memory; bits do not change.

        Cost: O(n · d): what is encoded is copied without them.
        """
        self.repay()
        if self.alive.all():
            return
        with forestry.REPAIRS, forestry.interrupts_deferred():
            place = np.append(np.cumsum(self.alive) - 1, 2**32 - 1).astype(np.uint32)  # the last one marks a gap
            grid, renamed = self.grid.compact()
            codes = self.codes[self.alive]
            for feature, table in renamed.items():
                codes[:, feature] = table[codes[:, feature]]
            self.trees = [forestry.pack(t, place, renamed) for t in self.trees]
            self.owned = set()  # rows are new, but the other arrays may be shared
            self.source = self.source.take(self.alive)
            self.codes, self.y, self.h = codes, self.y[self.alive], self.h[self.alive]
            self.owner_words = self.owner_words[self.alive]
            self.grid, self.tally = grid, self.tally.compact(self.alive, grid.features)
            self.alive = np.ones(len(self.source), bool)
            self.__dict__.pop("tables", None)

    @cached_property
    def tables(self) -> Tables:
        """What the kernels read: the encoded records and the rules."""
        from expunge.models.kernels.splits import Table

        names = np.array([self.key.word(f"column/{name}") for name in self.grid.names], np.uint64)
        order = np.argsort(names, kind="stable").astype(np.int32)
        table = Table(self.codes, self.y, self.h, self.grid.nominal, names, order)
        return Tables.of(table, self.learner.rules(len(names), self.labels))

    @cached_property
    def roots(self) -> npt.NDArray[np.uint64]:
        """The path word of each tree's root (spec X04)."""
        return np.array([self.key.word(f"tree/{t}") for t in range(self.learner.n_trees)], np.uint64)

    def members(self) -> list[Rows]:
        """Return the rows of each tree, ascending."""
        return forestry.members(self._choose(self.owner_words), self.learner.n_trees)

    def _touched(self, rows: Ints) -> dict[int, Rows]:
        return forestry.touched(rows, self._choose(self.owner_words[rows]))

    def _choose(self, owner_words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int32]:
        return forestry.choose(owner_words, self.learner.n_trees, self.learner.per_owner)
