"""``Course``: how k-means runs as a sequence of coarse decisions, each a function of integer sums over the records.

Starts are drawn by a keyed race: a record's waiting time over its squared distance to the starts before it; of the
first few, that with the least sum of squared distances is taken. What is left of that sum gives the step of a grid, a
power of two. A round puts every record to its nearest centre, adds up, and rounds the means to the grid, which begins
at a keyed phase. A record that goes is subtracted from every sum; where all decisions stay as they are, so does
everything after them.

Source: spec XL08 and X09; Arthur and Vassilvitskii (2007) for the starts, Ginart et al. (2019) for rounding with a
random phase.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from expunge.core.seeds import Key
from expunge.models.draws import mixed, waits

Codes = npt.NDArray[np.int16]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
U64 = npt.NDArray[np.uint64]

BLOCK = 4096


@dataclass(frozen=True, eq=False)
class Points:
    """What is clustered, in the order of ids.

    Attributes:
        codes: shape (n, d), whole numbers below 2¹⁵.
        words: keyed bits of each record's id, shape (n,).
        owners: keyed bits of each record's owner, shape (n,).
        weights: how many records each stands for, shape (n,).
    """

    codes: npt.NDArray[np.int16] | npt.NDArray[np.int32]
    words: U64
    owners: U64
    weights: Ints

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Ints) -> Points:
        """Return the points at these rows."""
        return Points(self.codes[rows], self.words[rows], self.owners[rows], self.weights[rows])

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """Yield codes as floats, a block at a time."""
        for start in range(0, len(self), BLOCK):
            yield slice(start, start + BLOCK), self.codes[start : start + BLOCK].astype(np.float64)


@dataclass(frozen=True, eq=False)
class Race:
    """The first few of one race for a start.

    Attributes:
        times: when they arrive, shape (c,), the first first.
        words: who they are, shape (c,).
        centres: their codes, shape (c, d).
        sums: what the sum of squared distances would be with each, shape (c,), in units of 2⁸.
    """

    times: Floats
    words: U64
    centres: Ints
    sums: Ints

    @property
    def winner(self) -> int:
        """Which of them is taken: that with the least sum; the first among equals; -1 = nobody arrives."""
        return int(self.sums.argmin()) if len(self.sums) else -1


@dataclass(frozen=True, eq=False)
class Path:
    """What a run decided, and the sums it decided on.

    Attributes:
        races: for each start.
        spread: Σ squared distance to the nearest start, in units of 2⁸; and of how many records. It gives the grid.
        centres: (k, d) at the start and after each round.
        sums: (k, d) of each round: of the codes put to each centre.
        counts: (k,) of each round.
    """

    races: tuple[Race, ...] = ()
    spread: tuple[int, int] = (0, 0)
    centres: tuple[Ints, ...] = ()
    sums: tuple[Ints, ...] = field(default=(), repr=False)
    counts: tuple[Ints, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class Course:
    """A run.

    Attributes:
        n_clusters: k.
        n_rounds: rounds, at most: it ends when the centres stay where they are.
        steps: steps of the grid in the root mean square distance to the nearest start, about.
        share: of the owners, drawn anew for each round, whose records a round learns from.
        key: of all draws.
        names: of the columns, which phases are keyed by; shape (d,).
    """

    n_clusters: int
    n_rounds: int
    steps: int
    share: float
    key: Key
    names: tuple[str, ...]

    @cached_property
    def _phases(self) -> U64:
        columns = np.array([self.key.word(f"phase/{name}") for name in self.names], np.uint64)
        centres = np.array([self.key.word(f"centre/{j}") for j in range(self.n_clusters)], np.uint64)
        return mixed(columns[None, :] ^ centres[:, None])

    def grid(self, spread: tuple[int, int]) -> int:
        """Return the step that centres are rounded to, in codes."""
        total, n = spread
        mean = (total << 8) // max(n * len(self.names), 1)
        return max(1, (1 << ((max(mean, 1).bit_length() - 1) // 2)) // self.steps)

    def moved(self, centres: Ints, sums: Ints, counts: Ints, grid: int) -> Ints:
        """Return the centres after a round: means on the grid, whole numbers throughout; one without records stays."""
        n = np.maximum(counts, 1)[:, None]
        phases = (self._phases % np.uint64(grid)).astype(np.int64)
        found = phases + grid * ((2 * (sums - n * phases) + grid * n) // (2 * grid * n))
        return np.where(counts[:, None] > 0, found, centres)

    def race(self, points: Points, near: Floats | None, j: int) -> Race:
        """Return the race for start j; `near` holds squared distances to the starts before it, shape (n,)."""
        times = waits(mixed(points.words ^ np.uint64(self.key.word(f"start/{j}"))))
        weight = points.weights.astype(np.float64) * (1.0 if near is None else near)
        times = np.divide(times, weight, out=np.full(len(points), np.inf), where=weight > 0)
        first = _first(times, self._many(j))
        centres = points.codes[first].astype(np.int64)
        sums = np.zeros(len(first), np.int64) if near is None else self.costs(points, near, centres)
        return Race(times[first], points.words[first], centres, sums)

    def _many(self, j: int) -> int:
        """Return how many of a race are looked at."""
        return 2 + int(math.log(self.n_clusters)) if j else 1

    def costs(self, points: Points, near: Floats, centres: Ints) -> Ints:
        """Return the sum of squared distances with each centre as the next start, shape (c,), in units of 2⁸."""
        found = np.zeros(len(centres), np.int64)
        for rows, block in points.blocks():
            least = np.minimum(squares(block, centres), near[rows, None])
            found += points.weights[rows] @ np.floor(least * 2.0**-8).astype(np.int64)
        return found

    def tally(self, points: Points, centres: Ints, t: int) -> tuple[Ints, Ints]:
        """Return (sums (k, d), counts (k,)) of the records that round t learns from, each put to its nearest centre."""
        k, d = centres.shape
        sums, counts = np.zeros((k, d)), np.zeros(k, np.int64)
        weights = points.weights * self.drawn(points, t)
        for rows, block in points.blocks():
            held = np.zeros((k, len(block)))
            nearest = squares(block, centres, own=False).argmin(axis=1)
            held[nearest, np.arange(len(block))] = weights[rows]
            sums += held @ block
            counts += np.bincount(nearest, weights[rows], k).astype(np.int64)
        return sums.astype(np.int64), counts

    def drawn(self, points: Points, t: int) -> npt.NDArray[np.bool_]:
        """Return which records round t learns from, shape (n,)."""
        if self.share == 1:
            return np.ones(len(points), bool)
        words = mixed(points.owners ^ np.uint64(self.key.word(f"round/{t}")))
        return words < np.uint64(int(self.share * 2.0**64))

    def run(self, points: Points, known: Path | None = None) -> Path:
        """Return the whole path of these points, going on where a path that is known for them ends."""
        known = known or Path()
        if not known.centres:
            known = self._starts(points, known.races)
        centres, sums, counts = list(known.centres), list(known.sums), list(known.counts)
        grid = self.grid(known.spread)
        while len(sums) < self.n_rounds and not self._settled(centres):
            found = self.tally(points, centres[-1], len(sums))
            sums.append(found[0])
            counts.append(found[1])
            centres.append(self.moved(centres[-1], *found, grid))
        return Path(known.races, known.spread, tuple(centres), tuple(sums), tuple(counts))

    def _starts(self, points: Points, known: tuple[Race, ...]) -> Path:
        races: list[Race] = []
        near: Floats | None = None
        for j in range(self.n_clusters):
            races.append(known[j] if j < len(known) else self.race(points, near, j))
            near = nearer(points, near, self._start(races, j)[None])
        return Path(tuple(races), self._spread(points, near), (self._first_centres(races),))

    def _first_centres(self, races: list[Race]) -> Ints:
        return np.array([self._start(races, j) for j in range(self.n_clusters)])

    def _spread(self, points: Points, near: Floats | None) -> tuple[int, int]:
        total = 0 if near is None else int(points.weights @ np.floor(near * 2.0**-8).astype(np.int64))
        return total, int(points.weights.sum())

    def _start(self, races: list[Race], j: int) -> Ints:
        while not len(races[j].times):  # nobody was left at a distance: as the start before
            j -= 1
        found: Ints = races[j].centres[races[j].winner]
        return found

    def _settled(self, centres: list[Ints]) -> bool:
        return self.share == 1 and len(centres) > 1 and np.array_equal(centres[-1], centres[-2])

    def changed(self, path: Path, points: Points, sign: int) -> tuple[Path, bool]:
        """Return (the path as far as it is known, whether that is all of it) when records go (-1) or come (+1).

        Args:
            path: of the records before.
            points: those that go or come.
            sign: -1 or 1.
        """
        races: list[Race] = []
        near: Floats | None = None
        for j, race in enumerate(path.races):
            after = self._rerun(race, near, points, j, sign)
            if after is None or after.winner != race.winner:
                return Path(tuple(races)), False  # the others of this race may arrive now
            races.append(after)
            near = nearer(points, near, self._start(races, j)[None])
        part = self._spread(points, near)
        spread = path.spread[0] + sign * part[0], path.spread[1] + sign * part[1]
        begun = Path(tuple(races), spread, path.centres[:1])
        if self.grid(spread) != self.grid(path.spread):
            return begun, False
        return self._rounds(path, begun, points, sign)

    def _rounds(self, path: Path, after: Path, points: Points, sign: int) -> tuple[Path, bool]:
        centres, sums, counts = list(after.centres), [], []
        grid, same = self.grid(path.spread), True
        for t, (old_sums, old_counts) in enumerate(zip(path.sums, path.counts, strict=True)):
            part = self.tally(points, centres[-1], t)
            sums.append(old_sums + sign * part[0])
            counts.append(old_counts + sign * part[1])
            centres.append(self.moved(centres[-1], sums[-1], counts[-1], grid))
            same = np.array_equal(centres[-1], path.centres[t + 1])
            if not same:
                break
        return replace(after, centres=tuple(centres), sums=tuple(sums), counts=tuple(counts)), same

    def _rerun(self, race: Race, near: Floats | None, points: Points, j: int, sign: int) -> Race | None:
        """Return a race with its sums corrected, or None where others would be first."""
        if sign < 0:
            if np.isin(race.words, points.words).any():
                return None
        else:
            fresh, many = self.race(points, near, j), self._many(j)
            if len(fresh.times) and (len(race.times) < many or fresh.times[0] <= race.times[-1]):
                return None
        return race if near is None else replace(race, sums=race.sums + sign * self.costs(points, near, race.centres))


def squares(block: Floats, centres: Ints, own: bool = True) -> Floats:
    """Return squared distances, shape (n, k), exact; without `own`, less each record's own square."""
    right = centres.astype(np.float64)
    found = block @ right.T
    found *= -2.0
    found += np.einsum("kd,kd->k", right, right)
    if own:
        found += np.einsum("nd,nd->n", block, block)[:, None]
    return found


def nearer(points: Points, near: Floats | None, centre: Ints) -> Floats:
    """Return squared distances to the nearest start, one start more, shape (n,)."""
    found = np.full(len(points), np.inf) if near is None else near.copy()
    for rows, block in points.blocks():
        np.minimum(found[rows], squares(block, centre)[:, 0], out=found[rows])
    return found


def _first(times: Floats, many: int) -> Ints:
    """Return the rows of the first few that arrive at all; the first among equals."""
    many = min(many, int(np.isfinite(times).sum()))
    if many == 0:
        return np.zeros(0, np.int64)
    limit = np.partition(times, many - 1)[many - 1]
    rows = np.flatnonzero(times <= limit)
    return rows[np.argsort(times[rows], kind="stable")][:many]
