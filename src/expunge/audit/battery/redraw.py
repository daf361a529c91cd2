"""U-LiRA's null, and its jackknife without what it counts twice.

Retrained models learnt neither the forgotten records nor those never learnt, and cannot tell them apart. So drawing
again, for each record, which of the models without it have forgotten it gives the null of a measure of such a pool; an
exact one, if forgotten records were drawn at random. Where whole classes or subjects are forgotten, models can tell,
and the pool's own value lies outside this null: then the plain jackknife stands.

A cross-fitted model is target and shadow at once. Where nothing is left, what one model says has no effect alone, only
together with another's: leaving out a block takes away all its pairs with others, and the jackknife counts every pair
in both of its blocks. Its variance is then 2.33 times too large (8 blocks). The null says how large that part is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from expunge.audit.battery.games import Arena, Attack, measured
from expunge.audit.pools import FORGOTTEN, NEVER, Pool, Roles
from expunge.audit.statistics import Estimate
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats
from expunge.core.seeds import Key

N_DRAWS: Final = 40
OUTSIDE: Final = 4.0
"""Standard deviations of the null beyond which a pool's own value shows that the null is not its own."""


@dataclass(frozen=True, eq=False)
class Redrawn:
    """A measure of a retrained pool with its forgotten records drawn again.

    Attributes:
        draws: shape (draws,).
    """

    draws: Floats

    @property
    def variance(self) -> float:
        """The variance of the measure where nothing is left."""
        return float(self.draws.var(ddof=1))

    def holds(self, value: float) -> bool:
        """Say whether a value may come from this null."""
        return bool(abs(value - self.draws.mean()) <= OUTSIDE * np.sqrt(self.variance))

    def settled(self, estimate: Estimate, n_pools: int = 1) -> Estimate:
        """Return a jackknife estimate with the null's part counted once.

        The variance is the null's, and what the jackknife finds beyond what it would make of that: never less than the
        null's. Degrees of freedom are Satterthwaite's.

        Args:
            estimate: by the jackknife.
            n_pools: 2 for a difference of two pools, each with a null of its own.
        """
        blocks = estimate.degrees + 1
        null = n_pools * self.variance
        beyond = max(0.0, estimate.se**2 - doubling(blocks) * null)
        variance = null + beyond
        if estimate.se == 0 or null == 0:
            return estimate
        degrees = variance**2 / (null**2 / (len(self.draws) - 1) + beyond**2 / estimate.degrees)
        return replace(estimate, se=float(np.sqrt(variance)), degrees=degrees)


def doubling(blocks: float) -> float:
    """Return how many times the delete-one-block jackknife counts the variance of pairs of blocks.

    For a mean over pairs of n blocks, every pair enters the n pseudo-values twice in full and n − 2 times by its share
    in the mean; exact for equal blocks (cf. Efron and Stein 1981: at least 1, and 2 for many blocks).
    """
    return (2 + 1 / (blocks - 2) - 1 / blocks) * blocks / (blocks - 1)


def redrawn_roles(pool: Pool, generator: np.random.Generator) -> Roles:
    """Return roles in which each record is forgotten by other models of those that do not hold it, by as many."""
    columns = pool.roles.T.copy()
    for column in columns:
        loose = np.flatnonzero((column == NEVER) | (column == FORGOTTEN))
        forgotten = generator.permutation(loose)[: int((column == FORGOTTEN).sum())]
        column[loose] = NEVER
        column[forgotten] = FORGOTTEN
    return np.ascontiguousarray(columns.T)


def redraw(attack: Attack, reference: Arena, policy: AuditPolicy) -> dict[str, Redrawn]:
    """Return each measure of the attack on a retrained pool whose forgotten records are drawn again.

    A measure is left out if it cannot be taken, or if the pool's own value lies more than four standard deviations off.

    Args:
        attack: one that fits and scores the pool under attack alone, forgotten against never learnt.
        reference: the arena of the retrained pool.
        policy: measures and seed.
    """
    generator = Key.public(policy.seeds[0]).child(attack.name).generator("redraw")
    pool = reference.target
    rows = []
    for _ in range(N_DRAWS):
        again = replace(pool, roles=redrawn_roles(pool, generator))
        board = attack.play(Arena(reference.world, {reference.world: again}, reference.split))(None)
        rows.append(measured(attack, board, policy))
    own = measured(attack, attack.play(reference)(None), policy)
    whole = [name for name, value in own.items() if not any(isinstance(row[name], str) for row in (own, *rows))]
    found = {name: Redrawn(np.array([row[name] for row in rows], np.float64)) for name in whole}
    return {name: null for name, null in found.items() if null.holds(float(own[name]))}
