"""M21 and M22: how far class probabilities are from those of retrained models.

Two retrained models differ too. So every model is compared with *other* pairs' retrained models, and what retrained
models give among themselves is taken off.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.probabilities import chunks, js, js_legacy, probabilities
from expunge.audit.battery.sides import GROUPS, ROLES, Arm, Group, Reading, randomness
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import Mask, Pool, Pools
from expunge.audit.statistics import Positions
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

N_PARTNERS: Final = 4
"""Retrained models of other pairs that each model is compared with."""
FEWEST_PAIRS: Final = 8
WORDS: Final = "labels swapped within pairs of models"


KINDS: Final[dict[str, tuple[str, Callable[[Floats, Floats], Floats]]]] = {
    "js": ("Jensen–Shannon divergence (bits)", js),
    "activation_distance": ("activation distance ‖p − q‖₂", lambda p, q: np.asarray(np.linalg.norm(p - q, axis=-1))),
    "js_legacy": ("published JS divergence (mean over classes, nats)", js_legacy),
    "square": ("root of the mean squared distance", lambda p, q: np.asarray(((p - q) ** 2).sum(axis=-1))),
}
LEGACY_NOTES: Final = {
    "js_legacy": "Divided by the number of classes and taken in the wrong order: not a divergence.",
    "square": "The root of the mean square is not the mean distance.",
}


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances between pairs of models, summed over records.

    Attributes:
        sums: kind → shape (2, 2, M, partners): of model i of one pool (0 = arm, 1 = reference) to its partner of
            another pair, of the one pool or the other.
        counts: records behind each sum, shape (M, partners).
        n_records: records that were compared at all.
    """

    sums: dict[str, Floats]
    counts: Floats
    n_records: int

    def __len__(self) -> int:
        return len(self.counts)

    def to_references(self, kind: str, swaps: Mask, kept: Mask | None = None) -> tuple[Floats, Floats]:
        """Return the mean distance of the arm, and of the references, to references of other pairs.

        Args:
            kind: of `KINDS`; of ``square`` the root of the mean is taken.
            swaps: which pairs are swapped first, shape (draws, M).
            kept: which pairs count, shape (M,); None = all.

        Returns:
            Two arrays of shape (draws,).
        """
        m, n_partners = self.counts.shape
        i, shift = np.meshgrid(np.arange(m), np.arange(n_partners), indexing="ij")
        j = (i + shift + 1) % m
        counts = self.counts if kept is None else self.counts * (kept[i] & kept[j])
        sums, flipped = self.sums[kind], swaps.astype(np.int64)
        mine, partner = flipped[:, i], 1 - flipped[:, j]
        found = []
        for own in (mine, 1 - mine):
            totals = np.where(counts > 0, sums[own, partner, i, shift], 0.0).sum(axis=(1, 2))
            found.append(totals / max(float(counts.sum()), 1.0))
        if kind == "square":
            found = [np.sqrt(f) for f in found]
        return found[0], found[1]


def distances(arm: Pool, reference: Pool, group: Group, kinds: tuple[str, ...] = tuple(KINDS)) -> Distances:
    """Return the distances of each model to those of the next pairs, on records that both have in one role.

    Args:
        arm: the models in question.
        reference: their retrained partners, in the same order.
        group: which records.
        kinds: of `KINDS`.

    Raises:
        Unsupported: there are no logits, too few pairs, or no record in this role in two models.
    """
    if not (arm.has_logits and reference.has_logits):
        raise Unsupported("distances of probabilities need the logits of both pools")
    if len(arm) < FEWEST_PAIRS:
        raise Unsupported(f"distances of probabilities need {FEWEST_PAIRS} pairs of models or more, not {len(arm)}")
    used = np.isin(arm.roles, ROLES[group]) & np.isin(reference.roles, ROLES[group])
    some = np.flatnonzero(used.any(axis=0))
    m = len(arm)
    sums = {kind: np.zeros((2, 2, m, N_PARTNERS)) for kind in kinds}
    counts = np.zeros((m, N_PARTNERS))
    for chunk in chunks(some, arm):
        sides = [probabilities(pool, chunk) for pool in (arm, reference)]
        for s in range(N_PARTNERS):
            both = used[:, chunk] & np.roll(used[:, chunk], -s - 1, axis=0)
            counts[:, s] += both.sum(axis=1)
            for kind in kinds:
                _add(sums[kind][..., s], KINDS[kind][1], sides, both, s + 1)
    if not counts.any():
        raise Unsupported(f"no record is {group} in models of two pairs")
    return Distances(sums, counts, len(some))


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return distances of class probabilities to retraining, for forgotten, kept and holdout records.

    * ``likeness.{js,activation_distance}_<group>_excess@<arm>``: distance to retrained models of other pairs, less
      that of retrained models among themselves.
    * ``likeness.{js,activation_distance}_<group>_legacy@<arm>``: the public forms, beside their null.

    Guarantee: none; an empirical comparison. Equal outputs on these records are not equal models.
    Cost: seconds for 128 + 128 models, 1 500 records and 10 classes.
    Source: M21, M22, B7, W10.
    """
    found: list[Evidence] = []
    for arm in ("after", "before"):
        for group in GROUPS:
            found += _group_readings(pools, arm, group, policy)
    return found


def _group_readings(pools: Pools, arm: Arm, group: Group, policy: AuditPolicy) -> list[Evidence]:
    kinds = tuple(KINDS) if policy.legacy else tuple(KINDS)[:2]
    try:
        between = distances(*pools.paired(arm), group, kinds)
    except (Unsupported, BadInput, BadData) as error:
        names = [f"{kind}_{group}_{form}@{arm}" for kind in tuple(KINDS)[:2] for form in ("excess", "legacy")]
        return [Evidence.missing(f"likeness.{name}", error.message) for name in names]
    return [_reading(between, kind, arm, group, policy) for kind in kinds]


def _reading(between: Distances, kind: str, arm: Arm, group: Group, policy: AuditPolicy) -> Evidence:
    what, legacy = KINDS[kind][0], kind in LEGACY_NOTES
    short = {"js_legacy": "js", "square": "activation_distance"}.get(kind, kind)
    name = f"likeness.{short}_{group}_{'legacy' if legacy else 'excess'}@{arm}"
    generator = randomness(policy, name)
    swaps = generator.random((1 + N_SHUFFLES, len(between))) < 0.5
    swaps[0] = False
    ours, theirs = between.to_references(kind, swaps)
    reading = Reading(name, f"{what} to retrained models", between.n_records, len(between), policy.seeds)
    if legacy:
        compared = Compared(float(ours[0]), ours[1:], WORDS, "rank")
        return reading.beside(compared, LEGACY_NOTES[kind])
    gaps = ours - theirs

    def without(models: Positions) -> float:
        a, b = between.to_references(kind, swaps[:1], np.isin(np.arange(len(between)), models))
        return float(a[0] - b[0])

    estimate = statistics.jackknife(len(between), policy.n_blocks, without, float(gaps[0]))
    described = replace(reading, estimator=f"mean {what} to retrained models, less that among them")
    return described.excess(_centred(float(gaps[0]), gaps[1:]), estimate, policy.alpha)


def _centred(value: float, draws: Floats) -> Compared:
    """Return a paired difference beside its null, whose mean is zero but for the draws taken."""
    return Compared(value, draws - draws.mean(), WORDS, "rank")


def _add(
    sums: Floats, distance: Callable[[Floats, Floats], Floats], sides: list[Floats], both: Mask, shift: int
) -> None:
    """Add the distances of each model to its partner to ``sums``, shape (2, 2, M)."""
    for a, own in enumerate(sides):
        for b, other in enumerate(sides):
            found = distance(own, np.roll(other, -shift, axis=0))
            sums[a, b] += np.where(both, found, 0.0).sum(axis=1)
