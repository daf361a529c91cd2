"""M14 RMIA: how much likelier a record's label is than under reference models, beside the same of a population."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from expunge.audit.battery.games import Arena, Attack, Board, Left
from expunge.audit.battery.membership_evidence import evidence
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Codes, Mask, Pool, Pools
from expunge.core.errors import BadInput
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

FEWEST_POPULATION = 10


@dataclass(frozen=True)
class Rmia:
    """RMIA: the share of a population that a record beats.

    With r(x) = p(x)/p̄(x), the label's probability over its mean under reference models, a record's score is the share
    of population records z with r(x) ≥ γ·r(z). References are the other models of the pool, outside the fold.

    Attributes:
        gamma: γ.
        a: offline: p̄ = ½((1 + a)·p_out + 1 − a), from models that never learnt the record.
        online: p̄ = ½(p_in + p_out), where members are known too.

    Guarantee: none. Needs one reference model only; 16 are usual.
    Cost: one sort of the population a model.
    Source: M14; Zarifzadeh et al. (2024), eq. 4 and appendix on the offline form. a = 0.3 was not tuned. The population
        is in no model's draw; where there is none, the records that a model never learnt stand in.
    """

    gamma: float = 1.0
    a: float = 0.3
    online: bool = False

    def play(self, arena: Arena) -> Callable[[Left], Board]:
        """Return the board, with any block left out.

        Raises:
            BadInput: γ or a out of range, or the population is too small.
        """
        if not self.gamma > 0 or not 0 <= self.a <= 1:
            raise BadInput(f"RMIA needs γ > 0 and a between 0 and 1, not {self.gamma:g} and {self.a:g}")
        pool, split = arena.target, arena.split
        never, population = pool.has(NEVER), population_of(pool)
        label = log_probability(pool.phi)
        chance = np.exp(label)
        out = _Means.of(chance, never | pool.has(POPULATION), split.cells)
        held = _Means.of(chance, pool.has(KEPT) | pool.has(FORGOTTEN), split.cells) if self.online else None

        def board(left: Left) -> Board:
            scores, known = np.zeros(label.shape), np.zeros(label.shape, bool)
            for cells, models in split.rounds(left):
                expected, seen = self._expected(out, held, cells)
                for i in models:
                    ratios = label[i] - np.log(expected)
                    scores[i] = _share_beaten(ratios, ratios[population[i] & seen], self.gamma)
                known[models] = seen
            return Board(scores, pool.has(FORGOTTEN) & known, never & known)

        return board

    def _expected(self, out: _Means, held: _Means | None, cells: Mask) -> tuple[Floats, Mask]:
        """Return p̄ of each record, and which are known: a record of the population is never held, so p̄ is offline."""
        p_out, seen = out.over(cells)
        expected = ((1 + self.a) * p_out + 1 - self.a) / 2
        if held is not None:
            p_in, both = held.over(cells)
            expected = np.where(both, (p_in + p_out) / 2, expected)
        return np.maximum(expected, np.finfo(np.float64).tiny), seen


@dataclass(frozen=True, eq=False)
class _Means:
    """Sums of probabilities by cell of models, shape (cells, n)."""

    counts: Floats
    totals: Floats

    @classmethod
    def of(cls, values: Floats, mask: Mask, cells: Codes) -> _Means:
        n_cells = int(cells.max()) + 1
        counts = [mask[cells == c].sum(axis=0) for c in range(n_cells)]
        totals = [np.where(mask[cells == c], values[cells == c], 0.0).sum(axis=0) for c in range(n_cells)]
        return cls(np.array(counts, np.float64), np.array(totals))

    def over(self, cells: Mask) -> tuple[Floats, Mask]:
        """Return the mean of each record over some cells, and which records have one."""
        count = self.counts[cells].sum(axis=0)
        return np.asarray(self.totals[cells].sum(axis=0) / np.maximum(count, 1)), np.asarray(count > 0)


def log_probability(phi: Floats) -> Floats:
    """Return the log probability of the true label, −log(1 + e^{−φ}), finite for φ of ± 10,000."""
    return np.asarray(-np.logaddexp(0.0, -phi))


def population_of(pool: Pool) -> Mask:
    """Return the records that stand for people whom no model knows, shape (M, n).

    Raises:
        BadInput: there are fewer than ten.
    """
    population = pool.has(POPULATION)
    if not population.any():
        population = pool.has(NEVER)
    if population.sum(axis=1).min() < FEWEST_POPULATION:
        raise BadInput(f"a population of {FEWEST_POPULATION} records that a model never learnt is needed, or more")
    return population


def _share_beaten(ratios: Floats, population: Floats, gamma: float) -> Floats:
    """Return the share of the population whose log ratio plus log γ is at most each record's."""
    beaten = np.searchsorted(np.sort(population), ratios - np.log(gamma), "right")
    return np.asarray(beaten / max(len(population), 1))


def rmia(online: bool = False) -> Attack:
    """Return M14."""
    kind = "online" if online else "offline"
    how = f"RMIA, {kind}, γ 1, references cross-fitted: forgotten against never learnt"
    return Attack("rmia" if not online else "rmia_online", how, Rmia(online=online).play, ("auc", "tpr"))


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the evidence of RMIA."""
    return evidence(pools, policy, rmia())
