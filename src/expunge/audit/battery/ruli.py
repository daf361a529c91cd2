"""M13 RULI: densities of each record's signal in two worlds; how well forgetting is told from retraining, and leaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from expunge.audit.battery.games import Arena, Attack, Board, Left
from expunge.audit.battery.membership_evidence import evidence
from expunge.audit.battery.normals import Sums
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, Mask, Pool, Pools
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

FEWEST_MODELS: Final = 36
FEWEST_POINTS: Final = 3
"""Models that a density of one record rests on, at least."""
MOST_POINTS: Final = 30
"""Points of a density, at most: the first of those at hand. Published densities rest on 12 to 30."""
NARROWEST: Final = 0.1
"""A bandwidth is at least this share of what the records' pooled spread would give: three near signals are no spike."""
MEASURES: Final = ("auc", "auc_vulnerable", "auc_protected")


@dataclass(frozen=True, eq=False)
class Densities:
    """One kernel density a record.

    Attributes:
        points: shape (P, n), less `centre` and over `width`; what is not used is infinitely far off.
        count: points of each record, shape (n,).
        centre: mean of each record's points, shape (n,).
        width: bandwidth of each record, shape (n,), > 0.
    """

    points: npt.NDArray[np.float32]
    count: Floats
    centre: Floats
    width: Floats

    @classmethod
    def of(cls, phi: Floats, inside: Mask) -> Densities:
        """Fit by Silverman's rule, h = σ (4/(3n))^{1/5}, σ each record's own.

        Args:
            phi: shape (M, n).
            inside: which signals count, shape (M, n).
        """
        inside = inside & (inside.cumsum(axis=0) <= MOST_POINTS)
        count = inside.sum(axis=0)
        some = np.maximum(count, 1)
        centre = np.where(inside, phi, 0.0).sum(axis=0) / some
        scatter = (np.where(inside, phi - centre, 0.0) ** 2).sum(axis=0)
        degrees = np.maximum(count - 1, 0)
        pooled = np.sqrt(scatter.sum() / max(int(degrees.sum()), 1))
        own = np.sqrt(scatter / np.maximum(degrees, 1))
        width = np.maximum(np.maximum(own, NARROWEST * pooled), 1e-6) * (4 / (3 * some)) ** 0.2
        rows = np.argsort(~inside, axis=0, kind="stable")[: max(int(count.max(initial=0)), 1)]
        points = np.take_along_axis(np.where(inside, (phi - centre) / width, np.inf), rows, axis=0)
        points[0, count == 0] = 0.0
        return cls(points.astype(np.float32), count.astype(np.float64), centre, width)

    @property
    def known(self) -> Mask:
        """Which records have points enough, shape (n,)."""
        return np.asarray(self.count >= FEWEST_POINTS)

    def log_density(self, phi: Floats) -> Floats:
        """Return the log density of each signal up to a constant, shape of `phi`, (T, n)."""
        found = np.zeros(phi.shape)
        apart = np.empty_like(self.points)
        for row, signals in enumerate(((phi - self.centre) / self.width).astype(np.float32)):
            np.subtract(self.points, signals, out=apart)
            np.multiply(apart, apart, out=apart)
            nearest = apart.min(axis=0)
            np.subtract(nearest, apart, out=apart)
            apart *= np.float32(0.5)
            found[row] = np.log(np.exp(apart, out=apart).sum(axis=0)) - 0.5 * nearest
        return found - np.log(np.maximum(self.count, 1) * self.width)


@dataclass(frozen=True)
class Ruli:
    """RULI's two games.

    * leakage: forgotten records against those never learnt, both after unlearning.
    * efficacy: models that forgot a record against models retrained without it; always against retraining.

    Half of the records, those whose signal grew most by being learnt (in the fitted models before), are *vulnerable*,
    the others *protected*.

    Attributes:
        efficacy: which of the two.

    Guarantee: none. A density needs some twelve models or more a record; below three the record is left out.
    Cost: models² × records kernels for each block of the jackknife.
    Source: M13; RULI (USENIX Security 2025). Ours takes Silverman's bandwidth, not 1.0, the rate's own threshold, not
        the nearest point of a curve, and halves of the records, not a fixed number of them (W6); shares of roles are
        the pools', not thirds.
    """

    efficacy: bool = False

    def play(self, arena: Arena) -> Callable[[Left], Board]:
        """Return the board of log density ratios, with any block left out."""
        ours, before = arena.target, arena.pools["before"]
        theirs = arena.pools["reference"] if self.efficacy else ours
        forgotten = ours.has(FORGOTTEN)
        others = theirs.has(FORGOTTEN if self.efficacy else NEVER)
        grown = [Sums.of(before.phi, side, arena.split.cells) for side in (_member(before), before.has(NEVER))]
        cells_of, itself = arena.split.cells, self.efficacy and arena.world == "reference"
        sides = (ours, theirs) if self.efficacy else (ours,)

        def board(left: Left) -> Board:
            shape = (2 if self.efficacy else 1, *ours.phi.shape)
            scores, known, vulnerable = np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)
            for cells, models in arena.split.rounds(left):
                fit = cells[cells_of]
                was = Densities.of(ours.phi[fit], forgotten[fit])
                never = was if itself else Densities.of(theirs.phi[fit], others[fit])
                for side, pool in enumerate(() if itself else sides):
                    scores[side, models] = was.log_density(pool.phi[models]) - never.log_density(pool.phi[models])
                known[:, models] = was.known & never.known
                vulnerable[:, models] = _upper_half(grown, cells, was.known & never.known)
            inside, outside = (np.zeros(shape, bool) for _ in range(2))
            inside[0], outside[-1] = forgotten, others
            upper, n = vulnerable.reshape(-1, shape[-1]), shape[-1]
            inside, outside = (inside & known).reshape(-1, n), (outside & known).reshape(-1, n)
            return Board(scores.reshape(-1, n), inside, outside, {"vulnerable": upper, "protected": ~upper})

        return board


def _member(pool: Pool) -> Mask:
    return pool.has(KEPT) | pool.has(FORGOTTEN)


def _upper_half(grown: list[Sums], cells: Mask, known: Mask) -> Mask:
    """Return the half of the known records whose signal is most above that of models without them, shape (n,)."""
    learnt, never = (s.fit(cells) for s in grown)
    gain = np.where(known, learnt.mean - never.mean, -np.inf)
    order = np.argsort(-gain, kind="stable")
    upper = np.zeros(len(gain), bool)
    upper[order[: (int(known.sum()) + 1) // 2]] = True
    return upper


def leakage() -> Attack:
    """Return M13's leakage game."""
    how = "RULI leakage, kernel densities by Silverman's rule, cross-fitted: forgotten against never learnt"
    return Attack("ruli_leakage", how, Ruli().play, MEASURES, needs=("before",), fewest=FEWEST_MODELS)


def efficacy() -> Attack:
    """Return M13's efficacy game."""
    how = "RULI efficacy, kernel densities by Silverman's rule, cross-fitted: forgotten against retrained without"
    play = Ruli(efficacy=True).play
    return Attack("ruli_efficacy", how, play, MEASURES, needs=("before", "reference"), fewest=FEWEST_MODELS)


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the evidence of both games; the reference against itself has an efficacy of ½ by definition: left out."""
    told = [e for e in evidence(pools, policy, efficacy()) if not e.name.endswith("@reference")]
    return [*evidence(pools, policy, leakage()), *(e.model_copy(update={"null": None}) for e in told)]
