"""M15 IAM: how far a record's signal has come from the original model's towards that of models that never learnt it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from expunge.audit.battery.games import Arena, Attack, Board, Left
from expunge.audit.battery.membership_evidence import arena, evidence
from expunge.audit.battery.normals import Sums
from expunge.audit.pools import ARMS, FORGOTTEN, KEPT, NEVER, Mask, Pools
from expunge.audit.statistics import of_deletions
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

EULER: Final = 0.5772156649015329
STEEPEST: Final = 700.0
"""Exponents beyond ± this are cut, so that nothing overflows."""

NOTE: Final = (
    "High = forgetting shows: forgotten records are told from kept ones inside one model. 0.5 = nothing was forgotten; "
    "the good value is the reference's. This is no leakage attack: it says nothing about records never learnt."
)
COMPLETE: Final = "membership.iam_completeness@after"


@dataclass(frozen=True)
class Iam:
    """IAM: forgotten against kept records, inside one model.

    A record's score is 1 − Σ α·F_α(s_U) / Σ α, over steps α between models that never learnt it (0) and the original
    model (1); F_α is the Gumbel distribution, fitted by moments, of s_out + α(s_O − s_out).

    Attributes:
        n_steps: points of the grid of α in [0, 1].

    Guarantee: none; a degree of forgetting, not a leakage attack (B15).
    Cost: `n_steps` passes over the signals for each block of the jackknife.
    Source: M15; the IAM paper (USENIX Security 2025). The signal is φ and the variance is pooled over records *within*
        models of one α: its public code pools over records' means as well and takes −log of the loss; on the scene
        `stack` ours gives completeness 0.24 of fine-tuning and theirs 0.08, with AUCs within 0.02 of each other.
    """

    n_steps: int = 100

    def play(self, arena: Arena) -> Callable[[Left], Board]:
        """Return the board of unlearned scores, with any block left out.

        Raises:
            BadInput: fewer than three steps.
        """
        scores = self.scores(arena)
        target = arena.target
        forgotten, kept = target.has(FORGOTTEN), target.has(KEPT)

        def board(left: Left) -> Board:
            found, known = scores(left)
            return Board(found, forgotten & known, kept & known)

        return board

    def scores(self, arena: Arena) -> Callable[[Left], tuple[Floats, Mask]]:
        """Return what gives (unlearned scores, which are known), both of shape (M, n), with any block left out."""
        if self.n_steps < 3:
            raise BadInput(f"an interpolation needs three steps or more, not {self.n_steps}")
        originals, target, split = arena.pools["before"], arena.target, arena.split
        sums = Sums.of(originals.phi, originals.has(NEVER), split.cells)
        asked = target.has(FORGOTTEN) | target.has(KEPT)

        def scores(left: Left) -> tuple[Floats, Mask]:
            found, known = np.zeros(asked.shape), np.zeros(asked.shape, bool)
            for cells, models in split.rounds(left):
                out = sums.fit(cells)
                rows = asked[models] & out.known
                known[models] = rows
                now, then = (out.standardised(pool.phi[models])[rows] for pool in (target, originals))
                part = np.zeros(rows.shape)
                part[rows] = unlearned(now, then, self.n_steps)
                found[models] = part
            return found, known

        return scores


def unlearned(now: Floats, then: Floats, n_steps: int = 100) -> Floats:
    """Return the unlearned score of signals in [0, 1]: 0 = still as the original model, 1 = below all who never learnt.

    Args:
        now: signals under the model in question, less the mean of models that never learnt the record, in their
            standard deviations, any shape.
        then: the same under the original model.
        n_steps: points of the grid.

    The last point of the grid (the original itself, without spread) has no distribution and is left out; each F_α
    weighs as much as the α that follows it.
    """
    grid = np.linspace(0.0, 1.0, n_steps)
    scale = np.sqrt(6.0) / np.pi
    member = np.zeros(np.shape(now))
    for alpha, weight in zip(grid[:-1], grid[1:], strict=True):
        z = (now - alpha * then) / ((1.0 - alpha) * scale) + EULER
        member += weight * np.exp(-np.exp(np.clip(-z, -STEEPEST, STEEPEST)))
    return np.asarray(1.0 - member / grid[1:].sum())


def iam() -> Attack:
    """Return M15; *less* than the reference is harmful."""
    how = "IAM, Gumbel by moments on φ, pooled variance, shadows cross-fitted: forgotten against kept in one model"
    return Attack("iam", how, Iam().play, needs=("before",), by_model=True, harmful="lower", note=NOTE)


def completeness(pools: Pools, policy: AuditPolicy) -> Evidence:
    """Return (score_U − score_O)/(score_R − score_O), mean scores of forgotten records: 0 nothing, 1 as retrained."""
    try:
        grounds = [arena(pools, world, ARMS, policy) for world in ARMS]
        scorers = [Iam().scores(ground) for ground in grounds]
        forgotten = grounds[0].target.has(FORGOTTEN)
        values = [_complete([score(left) for score in scorers], forgotten) for left in (None, *_blocks(grounds[0]))]
        sizes = grounds[0].split.sizes
        estimate = of_deletions(values[0], values[1:], sizes)
    except (BadInput, Unsupported) as error:
        return Evidence.missing(COMPLETE, error.message)
    value, low, high, n_models = estimate.interval()
    return Evidence(
        name=COMPLETE,
        estimator=f"(after − before)/(reference − before) of mean IAM scores of forgotten records; 95 % jackknife over "
        f"{len(sizes)} blocks of models",
        value=value,
        low=low,
        high=high,
        n=int(forgotten.sum()),
        unit="scores",
        n_models=n_models,
        p_value=estimate.minus(1.0).p_value("lower"),
        power=estimate.detectable(policy.alpha, policy.power),
        seeds=policy.seeds,
    )


def _blocks(ground: Arena) -> range:
    return range(len(ground.split.sizes))


def _complete(
    scored: list[tuple[Floats, Mask]],
    forgotten: Mask,
) -> float:
    (before, known), (after, _), (reference, _) = scored
    there = known & forgotten
    if not there.any():
        raise BadInput("no forgotten record is known to the models that never learnt it")
    start, end, goal = (float(s[there].mean()) for s in (before, after, reference))
    if abs(goal - start) < 1e-12:
        raise BadInput("retraining moves no forgotten record, so there is no way to have come along")
    return (end - start) / (goal - start)


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the evidence of IAM: its game on each arm, and completeness."""
    return [*evidence(pools, policy, iam()), completeness(pools, policy)]
