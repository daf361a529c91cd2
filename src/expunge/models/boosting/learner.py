"""``Boosting``: canonical gradient boosting, a pure function of key, schema, parameters and the set of kept records.

Training is a sequence of coarse decisions on sums of whole numbers. Forgetting a record walks that sequence, and
decides again only what its absence, or the decisions changed by it, can have changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput
from expunge.core.models import Identity, check_saved
from expunge.core.seeds import Key
from expunge.models.boosting.goal import ONE_BITS, Target
from expunge.models.boosting.model import BoostingModel, Now
from expunge.models.boosting.rounds import Draws, Records
from expunge.models.draws import owner_words
from expunge.models.encoding.grid import Grid

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress
    from expunge.models.kernels.boost import Rules

MAX_RECORDS = 2**24 - 1
FULL_BYTES = 1 << 28
"""With ``memory="auto"``, histograms of more bytes are not kept."""
SLOTS = 6144
"""Slots of a node's histogram, at most, where `Boosting.cuts` is 0 and 31 thresholds a column fit."""
SQUARED_BITS = 8
"""The curvature of squared errors is 2⁸ a record."""
REACH = 10.0
"""A leaf moves a margin by at most so much, in nats (of a number: in σ)."""


@dataclass(frozen=True)
class Boosting:
    """Gradient-boosted trees that forget exactly: for two classes, for more (each against the rest), and for numbers.

    Attributes:
        rounds: trees of a chain; more than two classes have a chain each.
        rate: share of the Newton step that a leaf takes.
        depth: splits from root to leaf, at most.
        sample: a round is learnt from about this many records (half to all of it; a power of two), drawn by owner.
        cuts: thresholds tried a column and round, keyed draws; categories are drawn into as many groups and one more.
            0 = 255, 127, 63 or 31: the fewer columns the more, so that a node's histogram has at most 6,144 slots.
        columns: share of the columns that a round looks at.
        min_rows: records on each side of a split, at least.
        min_gain: what a split must gain, in units of noise; the higher, the steadier and the coarser.
        penalty: added to every sum of curvatures.
        step: the grid of margins, in nats (of a number: in σ).
        n_bins: bins a column is cut into (64 or 256).
        memory: ``full`` keeps every round's histograms, ``lean`` counts them again where needed, ``auto`` keeps them
            below 256 MiB; no effect on bits.

    Guarantee: exact, grade ``bits``: the state digest equals that of a fit on the kept records, whatever the order,
        the batches and the number of threads (spec X01, X02).
    Cost: fit O(rounds · (sample · columns + n · 2^depth / 32)); forgetting a record that changes no decision
        O(rounds hit · depth · columns · cuts), else at most about one fit without its encoding, from the first changed
        round on, and less where few margins differ. One fit where a column's range, the base margin or the power of
        two above n moves. Memory: rounds · (9 bytes a sampled record + 16 bytes a cell of 2^depth histograms).
    Source: spec XL02, X05, X09. No peer deletes exactly below the cost of a retrain. Where we differ from the spec:
        margins that differ are carried through later rounds instead of replaying these; a least gain keeps decisions
        steady; rounds are drawn for a size instead of a share; categories are split by keyed groups. DeltaBoost (Wu
        et al., SIGMOD 2023) quantises gradients and splits likewise, but is approximate.
    """

    rounds: int = 40
    rate: float = 0.25
    depth: int = 5
    sample: int = 2**14
    cuts: int = 0
    columns: float = 1.0
    min_rows: int = 20
    min_gain: float = 8.0
    penalty: float = 1.0
    step: float = 0.05
    n_bins: int = 256
    memory: str = field(default="auto", repr=False, compare=False)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the kernels, or load them from their cache; the first time on a machine that is said, and slow."""
        from expunge.models.boosting.warm import is_warm, walk

        if not is_warm():
            say("compiling the kernels of boosting, once on this machine (about 10 s)")
        for memory in ("full", "lean"):
            walk(Boosting(rounds=4, sample=64, min_rows=2, min_gain=0.0, memory=memory))

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> BoostingModel:
        """Return the trees of these records.

        Args:
            data: records with a target of categories or of numbers.
            key: of all draws.
            progress: called with (rounds done, rounds).

        Raises:
            BadTarget, ClassVanished, BadData, BadInput: a parameter out of range, or nothing to learn.
        """
        self._check()
        began = time.perf_counter()
        if not len(data.columns) or len(data) > MAX_RECORDS:
            raise BadData(f"boosting needs a column at least, and at most {MAX_RECORDS} records")
        target = Target.of(data, self.step)
        grid, tally = Grid.counted(data, key, self.n_bins)
        records = Records(grid.encode(data), owner_words(key, data), target.encode(data))
        draws = self.draws(key, grid, len(data))
        now = Now(data, np.ones(len(data), bool), grid, tally, draws, records, ())
        model = BoostingModel(self, Identity.of(self, data, key), key, target, now)
        model.now = model.learnt(now, progress)
        model.fit_s = time.perf_counter() - began
        return model

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> BoostingModel:
        """Return the model that was saved as its state and memory; it is learnt afresh and compared.

        Cost: one fit. Most of a fit is reading the records and counting histograms, which a model that is to forget
        needs in any case; `prepare` says so beforehand where kernels have to be compiled too.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        whole = {
            "rounds": (1, 10_000),
            "depth": (1, 8),
            "sample": (64, 2**22),
            "cuts": (0, 255),
            "min_rows": (1, 2**22),
        }
        for name, (low, high) in whole.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise BadInput(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        ranges = {
            "rate": (1e-4, 1),
            "columns": (1e-6, 1),
            "min_gain": (0, 1e9),
            "penalty": (0, 1e9),
            "step": (0.005, 1),
        }
        for name, (least, most) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int | float) or not least <= value <= most:
                raise BadInput(f"{name} must be a number from {least} to {most}, not {value!r}")
        if self.sample & (self.sample - 1):
            raise BadInput(f"sample must be a power of two, not {self.sample}")
        if self.n_bins not in (64, 256):
            raise BadInput(f"n_bins must be 64 or 256, not {self.n_bins}")
        if self.memory not in ("auto", "full", "lean"):
            raise BadInput(f"memory must be 'auto', 'full' or 'lean', not {self.memory!r}")

    def bound(self, n: int) -> int:
        """Return the bound of the draws that put an owner into a round, for n records: it moves at powers of two."""
        bucket = 1 << max(n - 1, 0).bit_length()
        every = 2**64 - 1
        return every if bucket <= self.sample else every // bucket * self.sample

    def draws(self, key: Key, grid: Grid, n: int) -> Draws:
        """Return what the key decides, for n records under this grid."""
        return Draws.of(key, grid, self.rounds, self.bound(n), (self._width(grid), self._cuts(grid), 1 << self.depth))

    def _width(self, grid: Grid) -> int:
        """Return how many features a round looks at."""
        return max(1, int(np.ceil(self.columns * len(grid.names))))

    def _cuts(self, grid: Grid) -> int:
        """Return how many thresholds a column has in a round."""
        fitting = (cuts for cuts in (255, 127, 63) if self._width(grid) * (cuts + 1) <= SLOTS)
        return self.cuts or next(fitting, 31)

    def rules(self, target: Target, grid: Grid) -> Rules:
        """Return the kernels' form of the hyper-parameters."""
        from expunge.models.kernels.boost import Rules

        one = float(1 << ONE_BITS if not target.is_number else 1 << SQUARED_BITS)
        per_step = self.step / self.rate if not target.is_number else target.unit / (self.rate * one)
        gain = self.min_gain * (one if not target.is_number else 1 / one)
        most = int(REACH / self.step)
        return Rules(self.depth, self.min_rows, round(self.penalty * one), per_step, most, self._cuts(grid) + 1, gain)

    def keeps(self, grid: Grid, chains: int) -> bool:
        """Say whether histograms are kept."""
        size = 16 * ((1 << self.depth) - 1) * self._width(grid) * (self._cuts(grid) + 1) * self.rounds * chains
        return self.memory == "full" or (self.memory == "auto" and size <= FULL_BYTES)
