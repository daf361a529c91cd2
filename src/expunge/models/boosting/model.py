"""``BoostingModel``: fitted boosting, which predicts, forgets and learns exactly, and says what forgetting costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import NothingLeft, UnknownRecord
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_classes, exactly
from expunge.core.seeds import Key
from expunge.models.boosting.goal import Target
from expunge.models.boosting.repair import Change, repaired
from expunge.models.boosting.rounds import Draws, Mask, Records, Round, Trainer
from expunge.models.draws import owner_words
from expunge.models.encoding.grid import Grid
from expunge.models.encoding.tally import Tally
from expunge.models.forest.trees import interrupts_deferred
from expunge.models.scores import class_codes, cross_entropy, squared_errors

if TYPE_CHECKING:
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress
    from expunge.models.kernels.boost import Rules

PUBLIC_SEED = "the seed is public: anybody can compute which rounds a record is in, and choose ids by it"
STEADY = 0.008
"""How often a record changes a decision of a round that it is in: the shipped start of the plan."""
WALK = 0.0002
"""Share of a fit that looking at one round takes."""
REPLAY = 0.25
"""Share of a fit that a change costs."""
BULK = 0.25
"""A change of a larger share of the records learns the rounds again: the same bits, sooner."""


class Boosts(Protocol):
    """What a fitted model asks of the learner that made it."""

    @property
    def rounds(self) -> int:
        """Trees of a chain."""
        ...

    @property
    def step(self) -> float:
        """The grid of margins."""
        ...

    @property
    def n_bins(self) -> int:
        """Bins a column is cut into."""
        ...

    def fit(self, data: Dataset, key: Key) -> BoostingModel:
        """Return the model of these records."""
        ...

    def bound(self, n: int) -> int:
        """Return the bound of the draws of rounds."""
        ...

    def draws(self, key: Key, grid: Grid, n: int) -> Draws:
        """Return what the key decides."""
        ...

    def rules(self, target: Target, grid: Grid) -> Rules:
        """Return the kernels' form of the hyper-parameters."""
        ...

    def keeps(self, grid: Grid, chains: int) -> bool:
        """Say whether histograms are kept."""
        ...


@dataclass(frozen=True, eq=False)
class Now:
    """All that is numbered by rows; replaced as a whole, so that readers never see half of it.

    Attributes:
        source: the records, forgotten ones included until `BoostingModel.settle`.
        alive: which are kept, shape (n,).
        grid: the encoder.
        tally: the integer counts behind the grid.
        draws: what the key decided; slots are numbered by the grid's bins.
        records: the encoded records.
        chains: the rounds of each chain.
    """

    source: Dataset
    alive: Mask
    grid: Grid
    tally: Tally
    draws: Draws
    records: Records
    chains: tuple[tuple[Round, ...], ...]


@dataclass(eq=False)
class BoostingModel:
    """The model of `Boosting`; to its users a value that never changes.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of all draws.
        target: what is learnt, with the base margin.
        now: encoder, records and rounds.
        fit_s: how long a full fit took, in seconds; 0 = unknown.
    """

    learner: Boosts
    identity: Identity
    key: Key = field(repr=False)
    target: Target = field(repr=False)
    now: Now = field(repr=False)
    fit_s: float = 0.0

    # -- what every model does ---------------------------------------------------------------------------------

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, in the order of the columns of `logits`; empty for a number target."""
        return self.target.labels

    def margins(self, data: Dataset) -> npt.NDArray[np.int32]:
        """Return the sum of base and trees in whole steps, shape (chains, n)."""
        from expunge.models.kernels.boost_route import add_values

        now = self.now
        codes = now.grid.encode(data)
        found = np.repeat(self.target.base[:, None], len(data), axis=1)
        for own, chain in zip(found, now.chains, strict=True):
            for old, look in zip(chain, now.draws.looks, strict=True):
                add_values(own, codes, old.tree, look, 1)
        return found

    def logits(self, data: Dataset) -> Floats:
        """Return log-odds, shape (n, k): of more than two classes, each against the rest; numbers: see `values`."""
        return self.target.logits(self.margins(data))

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        found: Floats = self.logits(data)[:, 0]
        return found

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, in nats, or its squared error; shape (n,)."""
        if not self.target.is_number:
            return cross_entropy(self.logits(data), class_codes(data, self.labels))
        return squared_errors(self.values(data), data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: grid, target, and of each chain the splits (feature, slot) and leaf values; settles."""
        now = self.settle()
        arrays = {**now.grid.state(), **self.target.state()}
        for c, chain in enumerate(now.chains):
            pairs = zip(chain, now.draws.looks, strict=True)
            places = [np.append(look.columns, np.int32(-1))[r.tree.feature] for r, look in pairs]
            arrays[f"chain/{c:05d}/feature"] = np.array(places, np.int32)
            arrays[f"chain/{c:05d}/slot"] = np.array([r.tree.slot for r in chain], np.int32)
            arrays[f"chain/{c:05d}/value"] = np.array([r.tree.value for r in chain], np.int32)
        return arrays

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums that the rounds stand on: of the leaves, and totals; histograms are counted when restored."""
        arrays = {}
        for c, chain in enumerate(self.settle().chains):
            arrays[f"chain/{c:05d}/leaf_sums"] = np.array([r.sums.leaf for r in chain], np.int64)
            arrays[f"chain/{c:05d}/totals"] = np.array([r.sums.total for r in chain], np.int64)
        return arrays

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays that the model owns."""
        records = self.now.records
        own = (records.codes, records.owners, records.y, self.now.alive, self.now.tally)
        return sum(a.nbytes for a in own) + sum(r.nbytes for chain in self.now.chains for r in chain)

    # -- forgetting and learning -------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self.target.n

    @property
    def data(self) -> Dataset:
        """The kept records. The first call after a deletion settles, as `state` and `digest` do."""
        return self.settle().source

    def settle(self) -> Now:
        """Let go of forgotten records, and of all that is left of them in the rounds (spec X08); changes no bit.

        Cost: once after a deletion, a copy of the records.
        """
        now = self.now
        if not now.alive.all():
            self.now = now = self._settled(now)  # one assignment: readers see the old or the new
        return now

    def _settled(self, now: Now) -> Now:
        """Return the kept records alone; categories are numbered afresh where some are gone."""
        keep = now.alive
        place = (np.cumsum(keep) - 1).astype(np.int32)
        with interrupts_deferred():
            chains = tuple(tuple(self._trainer(now, c).settled(chain, place)) for c, chain in enumerate(now.chains))
        records, (grid, renamed) = now.records.take(keep), now.grid.compact()
        for feature, table in renamed.items():
            records.codes[feature] = table[records.codes[feature]]
        draws = self.learner.draws(self.key, grid, len(self)) if renamed else now.draws
        tally = now.tally.compact(keep, grid.features)
        return Now(now.source.take(keep), keep[keep], grid, tally, draws, records, chains)

    def _trainer(self, now: Now, chain: int) -> Trainer:
        target = self.target
        full = self.learner.keeps(now.grid, target.chains)
        start = int(target.base[chain])
        return Trainer(now.records, chain, start, now.draws, target.loss(), self.learner.rules(target, now.grid), full)

    def learnt(self, now: Now, progress: Progress | None = None) -> Now:
        """Return these records with rounds learnt from all of them."""
        total, done = self.learner.rounds * self.target.chains, 0

        def tick() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(done, total)

        return replace(now, chains=tuple(tuple(self._trainer(now, c).learn(tick)) for c in range(self.target.chains)))

    def guarantee(self) -> Guarantee:
        """Return what `without` and `adding` promise."""
        return exactly("bits", *([PUBLIC_SEED] if self.key.is_public else []))

    def _rows_of(self, now: Now, ids: Iterable[Id]) -> npt.NDArray[np.int64]:
        """Return the rows of living records, ascending, after every check that a deletion needs.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        rows = np.sort(now.source.positions(dict.fromkeys(ids)))
        if not now.alive[rows].all():
            gone = now.source.ids[rows[~now.alive[rows]]][:3].tolist()
            raise UnknownRecord(f"records {gone} were forgotten already")
        if len(rows) and len(rows) == len(self):
            raise NothingLeft("every record is named")
        if self.labels and not now.source.classes:
            check_classes(self.labels, self.target.counts - self.target.counted(now.source.target, rows))
        return rows

    def without(self, ids: Iterable[Id]) -> BoostingModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        now = self.now
        rows = self._rows_of(now, ids)
        if not len(rows):
            return self
        keep = now.alive.copy()
        keep[rows] = False
        tally, moves, vanished = now.tally.without(rows)
        target = self.target.without(now.source.target, rows)
        if moves or target is None or self._resized(-len(rows)):
            return self.learner.fit(now.source.take(keep), self.key)
        after = replace(self, target=target)
        now = replace(now, alive=keep, grid=now.grid.forgetting(vanished), tally=tally)
        if len(rows) > BULK * len(self):
            after.now = after.learnt(after._settled(replace(now, chains=())))
        else:
            after.now = after._repaired(now, Change.of(now.records, now.draws, rows, len(keep)))
        return after

    def _repaired(self, now: Now, change: Change) -> Now:
        with interrupts_deferred():
            chains = tuple(repaired(self._trainer(now, c), chain, change) for c, chain in enumerate(now.chains))
        return replace(now, chains=chains)

    def _resized(self, more: int) -> bool:
        """Say whether another number of records is drawn at another rate."""
        return self.learner.bound(len(self) + more) != self.learner.bound(len(self))

    def adding(self, data: Dataset) -> BoostingModel:
        """Return the model that learnt these records as well; self is untouched.

        Cost: counting all records, and a repair like that of forgetting; one fit where a range or the base moves.

        Raises:
            DuplicateId, BadData, BadTarget: nothing was changed.
        """
        joined, now, n_old = self.data.joined(data), self.now, len(self)
        if not len(data):
            return self
        target = Target.of(joined, self.learner.step)
        tally, moves = now.tally.adding(joined, n_old)
        if moves or not target.like(self.target) or self._resized(len(data)):
            return self.learner.fit(joined, self.key)
        owners = np.concatenate([now.records.owners, owner_words(self.key, data)])
        codes = np.concatenate([now.records.codes, now.grid.encode(data)], axis=1)
        records = Records(codes, owners, target.encode(joined))
        now = Now(joined, np.ones(len(joined), bool), now.grid, tally, now.draws, records, now.chains)
        after = replace(self, target=target)
        if len(data) > BULK * len(joined):
            after.now = after.learnt(now)
        else:
            after.now = after._repaired(now, Change.of(records, now.draws, np.zeros(0, np.int64), n_old))
        return after

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost (spec XP01-XP03); changes nothing."""
        now = self.now
        rows = self._rows_of(now, ids)
        hits = now.draws.hits(now.records.owners[rows])
        touched, n_rounds = int(hits.any(axis=1).sum()), self.learner.rounds
        target = self.target.without(now.source.target, rows)
        refits = now.tally.without(rows)[1] or target is None or self._resized(-len(rows))
        changes = 1.0 - (1.0 - STEADY) ** int(hits.sum() * self.target.chains)
        share = 1.0 if refits else min(1.0, WALK * touched + REPLAY * changes)
        fit_s = self.fit_s or None
        why = (
            "a column's range, the base margin or the sampling rate moves, so the model is fitted again"
            if refits
            else f"{len(rows)} of {len(self)} records, in {touched} of {n_rounds} rounds"
        )
        return Prediction(
            seconds=fit_s and fit_s * share,
            p95_s=fit_s and fit_s * (1.0 if changes > 0.05 or refits else 4 * share),
            worst_s=fit_s and fit_s * 1.5,
            records_read=len(self) if refits else int(hits.sum()),
            parts_touched=n_rounds if refits else touched,
            parts=n_rounds,
            why=why,
        )
