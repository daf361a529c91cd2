"""M11 LiRA and M12 U-LiRA: each record's signal under two worlds as two normals, and their likelihood ratio.

M12 asks what unlearning leaves: *was* = learnt and then forgotten, *never* = never learnt, both after the same
pipeline. M11 asks what an attacker finds who only has shadows of the model before. Every model is scored by normals
that were fitted to other models.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from expunge.audit.battery.games import Arena, Attack, Board, Left
from expunge.audit.battery.membership_evidence import evidence
from expunge.audit.battery.normals import RECORD_VARIANCE_FROM, Normals, Sums, Variance, log_ratio
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, Mask, Pool, Pools
from expunge.core.errors import BadInput
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

FEWEST_MODELS = 8
MEASURES = ("auc", "balanced_accuracy", "tpr")


@dataclass(frozen=True)
class ULira:
    """U-LiRA: is a record forgotten, or was it never there?

    Attributes:
        group: the records that are told from those never learnt: `FORGOTTEN` (the primary question) or `KEPT` (what
            those who stay give away).
        variance: ``pooled`` over records, ``record`` = each record's own (64 models or more), ``shrunk`` between them.
        floor: smallest standard deviation; None = 0.1 for ``record``, else next to nothing.

    Guarantee: none; an empirical measurement. For a retrained pool the AUC is ½ in expectation, whatever the variance.
        On the scene `stack` (128 models, one seed) the original's AUC is 0.699 pooled, 0.697 shrunk, 0.693 by record,
        and pooled leads from 16 models on.
    Cost: a few passes over (models × records) numbers for each block of the jackknife.
    Source: M12; Hayes et al. (2024), Carlini et al. (2022). We score held-out models only, against records that were
        never learnt, and records that no fitted model holds on a side are left out. B5: the public code scores what it
        was fitted on, has no negatives, and divides by a standard deviation of zero.
    """

    group: int = FORGOTTEN
    variance: Variance = "pooled"
    floor: float | None = None

    def play(self, arena: Arena) -> Callable[[Left], Board]:
        """Return the board of log likelihood ratios, with any block left out.

        Raises:
            BadInput: ``record`` with fewer than 64 models.
        """
        pool = arena.target
        if self.variance == "record" and len(pool) < RECORD_VARIANCE_FROM:
            raise BadInput(f"a variance for each record needs {RECORD_VARIANCE_FROM} models, not {len(pool)}")
        return _ratios(arena, pool, pool.has(self.group), pool.has(NEVER), self)


@dataclass(frozen=True)
class Lira:
    """LiRA with shadows of the model *before*: what an attacker finds who knows nothing of the unlearning.

    Attributes:
        online: the ratio of IN and OUT; else the offline form: how far φ lies above OUT.
        variance: as `ULira`.
        floor: as `ULira`.

    Guarantee: none. It understates what is left where unlearning pushes records past those never learnt: see `ULira`.
    Cost: as `ULira`.
    Source: M11; Carlini et al. (2022), eq. 2 and 4. Offline scores are standardised signals, which have the order of
        the one-sided p-values and do not saturate. W8: a public "U-LiRA" is this attack, with shadows that never pass
        the unlearner.
    """

    online: bool = True
    variance: Variance = "pooled"
    floor: float | None = None

    def play(self, arena: Arena) -> Callable[[Left], Board]:
        """Return the board, with any block left out."""
        shadows = arena.pools["before"]
        inside = shadows.has(KEPT) | shadows.has(FORGOTTEN)
        return _ratios(arena, shadows, inside, shadows.has(NEVER), self)


def _ratios(arena: Arena, shadows: Pool, inside: Mask, outside: Mask, attack: ULira | Lira) -> Callable[[Left], Board]:
    target, split = arena.target, arena.split
    sums = [Sums.of(shadows.phi, side, split.cells) for side in (inside, outside)]
    in_play = target.has(attack.group if isinstance(attack, ULira) else FORGOTTEN), target.has(NEVER)

    def board(left: Left) -> Board:
        scores, known = np.zeros(target.phi.shape), np.zeros(target.phi.shape, bool)
        for cells, models in split.rounds(left):
            was, never = (s.fit(cells, attack.variance, attack.floor) for s in sums)
            scores[models] = _score(target.phi[models], was, never, attack)
            known[models] = was.known & never.known
        return Board(scores, in_play[0] & known, in_play[1] & known)

    return board


def _score(phi: Floats, was: Normals, never: Normals, attack: ULira | Lira) -> Floats:
    if isinstance(attack, Lira) and not attack.online:
        return never.standardised(phi)
    return log_ratio(phi, was, never)


def ulira(variance: Variance = "pooled") -> Attack:
    """Return M12 on forgotten records: the primary."""
    how = f"U-LiRA, {variance} variance, cross-fitted: forgotten against never learnt"
    return Attack("ulira", how, ULira(variance=variance).play, MEASURES, fewest=FEWEST_MODELS, redrawn=True)


def ulira_kept(variance: Variance = "pooled") -> Attack:
    """Return M12 on kept records (A10): does unlearning expose those who stay?"""
    how = f"U-LiRA, {variance} variance, cross-fitted: kept against never learnt"
    return Attack("ulira_kept", how, ULira(KEPT, variance).play, ("auc",), fewest=FEWEST_MODELS)


def lira(online: bool = True) -> Attack:
    """Return M11."""
    kind = "online" if online else "offline"
    how = f"LiRA, {kind}, pooled variance, shadows of the model before, cross-fitted: forgotten against never learnt"
    return Attack(f"lira_{kind}", how, Lira(online).play, ("auc", "tpr"), needs=("before",), fewest=FEWEST_MODELS)


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the evidence of U-LiRA on forgotten and on kept records, and of LiRA online and offline."""
    return evidence(pools, policy, ulira(), ulira_kept(), lira(), lira(online=False))
