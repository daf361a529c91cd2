"""Utility of pools of models (M01): accuracy and loss on kept, forgotten and holdout records, by class and by group.

RA, FA and TA of the literature are ``kept_accuracy``, ``forgotten_accuracy`` and ``holdout_accuracy``; UA is 1 − FA.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.paired import SWAPPED, Sheet, control, level, pair
from expunge.audit.nulls import Compared
from expunge.audit.pools import ARMS, FORGOTTEN, KEPT, NEVER, POPULATION, Mask, Pool, Pools, World
from expunge.audit.statistics import Harmful
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

Group = Literal["kept", "forgotten", "holdout"]
GROUPS: Final[tuple[Group, ...]] = ("kept", "forgotten", "holdout")
AUDITED: Final[tuple[World, ...]] = ("before", "after")
MOST_CLASSES: Final = 100
"""Classes up to which each has evidence of its own; the worst one has it always."""


@dataclass(frozen=True)
class Kind:
    """A measure of utility: its range, and which side is harmful."""

    name: Literal["accuracy", "loss"]
    bounds: tuple[float, float]
    harmful: Harmful

    def scores(self, pool: Pool) -> Floats:
        """Return the measure of each model and record, shape (M, n).

        Raises:
            Unsupported: what was handed over does not give it.
        """
        if self.name == "accuracy":
            return pool.correct
        return np.asarray(np.logaddexp(0.0, -pool.phi), np.float64)

    def harmful_on(self, group: Group) -> Harmful:
        """Return which side is harmful: to be good on forgotten records, to be bad on all others."""
        if group != "forgotten":
            return self.harmful
        return "higher" if self.harmful == "lower" else "lower"


KINDS: Final = (Kind("accuracy", (0.0, 1.0), "lower"), Kind("loss", (0.0, np.inf), "higher"))
ACCURACY: Final = KINDS[0]


def members(pool: Pool, group: Group) -> Mask:
    """Return where a record belongs to the group, shape (M, n); holdout = population, or never where there is none."""
    if group == "kept":
        return pool.has(KEPT)
    if group == "forgotten":
        return pool.has(FORGOTTEN)
    population = pool.has(POPULATION)
    return population if population.any() else pool.has(NEVER)


def by_model(scores: Floats, where: Mask) -> Floats:
    """Return the mean of each model over its records, shape (M,).

    Raises:
        BadInput: a model has no such record.
    """
    counts = where.sum(axis=1)
    if not counts.all():
        raise BadInput(f"{int((counts == 0).sum())} of {len(counts)} models have no such record")
    return np.asarray((scores * where).sum(axis=1) / counts, np.float64)


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return accuracy and loss of each arm and their excess over retraining, by class and by group.

    Models are the unit: intervals cover the randomness of training for these records. A negative
    ``utility.holdout_accuracy_excess@after`` is what forgetting cost.

    Source: spec M01; section 7 (means over models by t; the worst of several beside its null).
    """
    found: list[Evidence] = []
    for group in GROUPS:
        for kind in KINDS:
            found += [_arm(pools, policy, group, kind, world) for world in ARMS]
            found += [_excess(pools, policy, group, kind, world) for world in AUDITED]
    for group in ("kept", "holdout"):
        found += _parts(pools, policy, group, "class", _classes(pools))
        if pools.subgroups:
            found += _parts(pools, policy, group, "group", pools.subgroups)
    return found


def _classes(pools: Pools) -> dict[str, Mask]:
    present = np.unique(pools.truth).tolist()
    return {str(c): pools.truth == c for c in present}


def _arm(pools: Pools, policy: AuditPolicy, group: Group, kind: Kind, world: World) -> Evidence:
    name = f"utility.{group}_{kind.name}@{world}"
    try:
        values, n = _values(pools.need(world), group, kind)
        reference = pools.get("reference") if world == "after" else None
        null = control(*_values(reference, group, kind), kind.bounds) if reference is not None else None
        how = f"mean {kind.name} on {group} records; 95 % t over models"
        return Sheet(policy, n).write(name, how, level(values, n, kind.bounds), len(values), null=null)
    except (BadInput, Unsupported) as error:
        return Evidence.missing(name, error.message)


def _values(pool: Pool, group: Group, kind: Kind) -> tuple[Floats, int]:
    where = members(pool, group)
    return by_model(kind.scores(pool), where), int(where.sum(axis=1).min())


def _excess(pools: Pools, policy: AuditPolicy, group: Group, kind: Kind, world: World) -> Evidence:
    name = f"utility.{group}_{kind.name}_excess@{world}"
    how = f"{kind.name} on {group} records, {world} − reference"
    try:
        first, second, paired = pair(pools, world)
        (ours, n), (theirs, _) = _values(first, group, kind), _values(second, group, kind)
        equal = paired and _same(kind.scores(first), kind.scores(second), members(first, group))
        sheet = Sheet(policy, n, equal)
        if paired:
            return sheet.difference(name, how, ours - theirs, kind.harmful_on(group))
        return sheet.unpaired(name, how, ours, theirs, kind.harmful_on(group))
    except (BadInput, Unsupported) as error:
        return Evidence.missing(name, error.message)


def _same(first: Floats, second: Floats, where: Mask) -> bool:
    return bool((first == second)[where].all())


def _parts(
    pools: Pools, policy: AuditPolicy, group: Group, what: Literal["class", "group"], parts: dict[str, Mask]
) -> Iterator[Evidence]:
    """Yield the excess of accuracy in each part after forgetting, and the worst of them (pairs of models only)."""
    worst = f"utility.{group}_worst_{what}_excess@after"
    try:
        first, second, paired = pair(pools, "after")
        if not paired:
            raise Unsupported("accuracy by part is compared in pairs of models, and there are fewer than three")
        where = members(first, group)
        gaps = first.correct - second.correct
        equal = not gaps[where].any()
        masks = np.array(list(parts.values()), np.float64)
        counts = masks @ where.T
        with np.errstate(invalid="ignore"):
            means = (masks @ (gaps * where).T) / counts
        full = np.flatnonzero((counts > 0).all(axis=1))
    except (BadInput, Unsupported) as error:
        yield Evidence.missing(worst, error.message)
        return
    if not len(full):
        yield Evidence.missing(worst, f"no {what} has a {group} record in every model")
        return
    labels = list(parts)
    if len(full) <= MOST_CLASSES:
        for at in full.tolist():
            name = f"utility.{group}_accuracy_{what}_{labels[at]}_excess@after"
            how = f"accuracy on {group} records of {what} {labels[at]}, after − reference"
            sheet = Sheet(policy, int(counts[at].min()), equal)
            yield sheet.difference(name, how, means[at], "lower")
    yield _worst(worst, Sheet(policy, int(counts[full].min()), equal), means[full].T, what)


def _worst(name: str, sheet: Sheet, gaps: Floats, what: str) -> Evidence:
    """Return the worst part's excess less its null: the lowest of several is low by chance alone.

    Args:
        name: of the evidence.
        sheet: where it is written.
        gaps: differences of accuracy, shape (pairs, parts).
        what: class or group.
    """
    lowest = float(gaps.mean(axis=0).min())
    compared = Compared(lowest, sheet.swapped(name, gaps).min(axis=1), SWAPPED, "rank")
    found = statistics.jackknife(
        len(gaps), sheet.policy.n_blocks, lambda kept: float(gaps[kept].mean(axis=0).min()), lowest
    ).minus(float(compared.draws.mean()))
    interval = found.interval(bounds=(-1.0, 1.0))
    if found.se == 0 and not sheet.equal:
        interval = Interval(found.value, found.value - 1 / sheet.n, found.value + 1 / sheet.n, found.n)
    return sheet.write(
        name,
        f"lowest accuracy of {gaps.shape[1]} parts by {what}, after − reference, less the mean of its null; "
        f"95 % jackknife over {sheet.policy.n_blocks} blocks of pairs",
        interval,
        len(gaps),
        null=compared.centred.null,
        p_value=compared.p_value("lower"),
        power=sheet.power(found),
    )
