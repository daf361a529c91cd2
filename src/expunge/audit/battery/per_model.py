"""Measures that each model gives by itself: their means over models beside the reference, and in pairs of models."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from expunge.audit.battery.membership_evidence import between_references
from expunge.audit.pools import ARMS, Codes, Pool, Pools, World
from expunge.audit.statistics import Estimate, Harmful, jackknife
from expunge.core import estimates
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence, Null
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats


@dataclass(frozen=True)
class Measured:
    """One number a model.

    Attributes:
        pairs: of the models, shape (M,).
        values: shape (M,).
        n: records behind them.
    """

    pairs: Codes
    values: Floats
    n: int


@dataclass(frozen=True)
class Naming:
    """How a measure of single models is written down.

    Attributes:
        name: without probe and arm.
        how: in words.
        legacy: the arms' values carry ``_legacy``; their excess over the reference is the corrected value.
        harmful: the side on which forgetting is incomplete.
        note: what must be said of the arms' values.
        bounds: the measure's range.
    """

    name: str
    how: str
    legacy: bool = False
    harmful: Harmful = "higher"
    note: str | None = None
    bounds: tuple[float, float] = (0.0, 1.0)


def evidence(
    pools: Pools, policy: AuditPolicy, naming: Naming, measure: Callable[[Pool], Measured]
) -> Iterator[Evidence]:
    """Yield the mean of each arm and, before and after, the mean difference to the reference in pairs of models."""
    found: dict[World, Measured | str] = {}
    for world in ARMS:
        try:
            found[world] = measure(pools.need(world))
        except (BadInput, Unsupported) as error:
            found[world] = error.message
    for world in ARMS:
        yield _arm(found, world, policy, naming)
    for world in ARMS[:2]:
        yield _excess(found, world, policy, naming)


def _mean(values: Floats, policy: AuditPolicy) -> Estimate:
    return jackknife(len(values), policy.n_blocks, lambda kept: float(values[kept].mean()))


def _arm(found: Mapping[World, Measured | str], world: World, policy: AuditPolicy, naming: Naming) -> Evidence:
    name = f"membership.{naming.name}{'_legacy' if naming.legacy else ''}@{world}"
    given = found[world]
    if isinstance(given, str):
        return Evidence.missing(name, given)
    try:
        value, low, high, _ = _interval(_mean(given.values, policy), naming)
    except BadInput as error:
        return Evidence.missing(name, error.message)
    return Evidence(
        name=name,
        estimator=f"{naming.how}; mean over models, 95 % jackknife over blocks of models",
        value=value,
        low=low,
        high=high,
        n=given.n,
        n_models=len(given.values),
        null=_control(found["reference"], policy, naming) if world == "after" else None,
        seeds=policy.seeds,
        note=naming.note,
    )


def _interval(estimate: Estimate, naming: Naming) -> Interval:
    """Return the interval; a share that no block of models changes gets what so many models leave open."""
    if estimate.se == 0 and naming.bounds == (0.0, 1.0):
        return estimates.around(min(max(estimate.value, 0.0), 1.0), estimate.n, estimate.n)
    return estimate.interval(bounds=naming.bounds)


def _control(reference: Measured | str, policy: AuditPolicy, naming: Naming) -> Null | None:
    if isinstance(reference, str):
        return None
    try:
        value, low, high, n = _interval(_mean(reference.values, policy), naming)
    except BadInput:
        return None
    return Null(what="reference", value=value, low=low, high=high, n=n)


def _excess(found: Mapping[World, Measured | str], world: World, policy: AuditPolicy, naming: Naming) -> Evidence:
    name = f"membership.{naming.name}_excess@{world}"
    ours, theirs = found[world], found["reference"]
    if isinstance(ours, str) or isinstance(theirs, str):
        return Evidence.missing(name, ours if isinstance(ours, str) else str(theirs))
    _, left, right = np.intersect1d(ours.pairs, theirs.pairs, return_indices=True)
    try:
        estimate = _mean(ours.values[left] - theirs.values[right], policy)
    except BadInput as error:
        return Evidence.missing(name, error.message)
    low, high = naming.bounds
    value, lower, upper, _ = estimate.interval(bounds=(low - high, high - low))
    return Evidence(
        name=name,
        estimator=f"{naming.how}; {world} − reference, in pairs of models; 95 % jackknife over blocks of models",
        value=value,
        low=lower,
        high=upper,
        n=ours.n,
        n_models=len(left),
        p_value=estimate.p_value(naming.harmful),
        power=estimate.detectable(policy.alpha, policy.power),
        null=between_references(_mean(theirs.values, policy)),
        seeds=policy.seeds,
    )
