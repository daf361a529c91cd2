"""Take from pools of models what an audit's figures show: curves, nulls, exposed records, accuracy by class."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from expunge.audit.battery.games import Attack
from expunge.audit.battery.membership_evidence import arena
from expunge.audit.battery.population import population
from expunge.audit.battery.ulira import ulira
from expunge.audit.curves import N_POINTS
from expunge.audit.pools import ARMS, FORGOTTEN, KEPT, NEVER, POPULATION, Mask, Pool, Pools, World
from expunge.audit.statistics import of_deletions
from expunge.audit.views import FIVE, Exposed, Line, Matrix, RocBand, Share, Spread, Views
from expunge.core import estimates
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

N_EXPOSED: Final = 12
FEWEST_MODELS: Final = 3
LARGEST_MATRIX: Final = 20
"""With more classes a matrix of predictions is not drawn."""
DIGITS: Final = 6
RECOVERY: Final = re.compile(r"relearning\.recovery_k(?P<k>\d+)@(?P<arm>before|after|reference)")


def views_of(pools: Pools, policy: AuditPolicy, labels: Sequence[str] = ()) -> Views:
    """Return what can be drawn of pools; what cannot is in the notes.

    Args:
        pools: of the audit.
        policy: folds and blocks.
        labels: names of the classes; one that is missing is called by its number.

    Cost: seconds; U-LiRA is played once more on each arm.
    """
    present = [pool for world in ARMS if (pool := pools.get(world)) is not None]
    names = tuple(labels[c] if c < len(labels) else str(c) for c in range(pools.n_classes))
    notes: list[str] = []
    rocs = []
    for attack in (population(), ulira()):
        for pool in present:
            try:
                rocs.append(roc_band(attack, pools, pool.world, policy))
            except (Unsupported, BadInput) as error:
                notes.append(f"No curve of {attack.name} on models {pool.world}: {error.message}.")
    classes = [pool for pool in present if pool.has_logits or pool.top is not None]
    return Views(
        rocs=tuple(rocs),
        spreads=tuple(_spreads(present)),
        exposed=tuple(exposed_of(pools)),
        shares=tuple(s for pool in classes for s in shares_of(pool, names, pools.subgroups)),
        matrices=tuple(
            matrix_of(pool, names) for pool in classes if pool.world != "before" and len(names) <= LARGEST_MATRIX
        ),
        notes=tuple(notes),
    )


def roc_band(attack: Attack, pools: Pools, world: World, policy: AuditPolicy) -> RocBand:
    """Return the ROC curve of an attack on an arm, its scores pooled over models.

    Raises:
        Unsupported: a pool is missing.
        BadInput: too few models, or no record on a side.
    """
    ground = arena(pools, world, attack.needs, policy)
    board = attack.play(ground)
    played = board(None)
    inside, outside = played.sides()
    if len(ground.target) < attack.fewest or not len(inside) or not len(outside):
        raise BadInput(f"it needs {attack.fewest} models or more, and records on both sides")
    grid = np.r_[0.0, np.geomspace(1 / len(outside), 1.0, N_POINTS - 1)]
    curve = _at(grid, inside, outside)
    without = np.array([_at(grid, *board(left).sides()) for left in range(len(ground.split.sizes))])
    bands = [
        of_deletions(value, column, ground.split.sizes).interval(bounds=(0.0, 1.0))
        for value, column in zip(curve.tolist(), without.T, strict=True)
    ]
    return RocBand(
        attack=attack.name,
        arm=world,
        fpr=_rounded(grid),
        tpr=_rounded(curve),
        low=_rounded(b.low for b in bands),
        high=_rounded(b.high for b in bands),
        n_inside=len(inside),
        n_outside=len(outside),
        n_records=int(played.inside.any(axis=0).sum()),
        n_models=len(ground.target),
    )


def _at(grid: Floats, inside: Floats, outside: Floats) -> Floats:
    """Return the true positive rates at false positive rates no larger than the grid's."""
    fpr, tpr = estimates.roc(inside, outside)
    return np.asarray(tpr[np.searchsorted(fpr, grid + 1e-12, "right") - 1])


def recoveries(evidence: Iterable[Evidence]) -> tuple[Line, ...]:
    """Return what relearning found at each number of records shown, one line an arm."""
    points: dict[str, list[tuple[int, Evidence]]] = {}
    for e in evidence:
        found = RECOVERY.fullmatch(e.name)
        if found and e.status == "measured":
            points.setdefault(found["arm"], []).append((int(found["k"]), e))
    lines = []
    for arm in (world for world in ARMS if world in points):
        at = sorted(points[arm], key=lambda point: point[0])
        x, y, low, high = zip(*((float(k), e.value, e.low, e.high) for k, e in at), strict=True)
        lines.append(Line(topic="relearning", arm=arm, x=x, y=y, low=low, high=high))
    return tuple(lines)


def exposed_of(pools: Pools) -> Iterator[Exposed]:
    """Yield the forgotten records whose φ lies furthest from retrained models', most distant first."""
    after, reference = pools.get("after"), pools.get("reference")
    if after is None or reference is None or not (after.has_signals and reference.has_signals):
        return
    was, retrained = (_masked(pool, FORGOTTEN) for pool in (after, reference))
    never = _masked(after, NEVER)
    enough = [np.isfinite(part).sum(axis=0) >= FEWEST_MODELS for part in (was, retrained)]
    found = np.flatnonzero(enough[0] & enough[1])
    if not len(found):
        return
    means = [np.nanmean(part[:, found], axis=0) for part in (was, retrained)]
    own = sum(np.nanvar(part[:, found], axis=0, ddof=1) for part in (was, retrained)) / 2
    spread = np.sqrt((own + own.mean()) / 2)  # few models know their own spread badly
    distance = (means[0] - means[1]) / np.maximum(spread, 1e-9)
    for i in np.argsort(-np.abs(distance), kind="stable")[:N_EXPOSED].tolist():
        at = int(found[i])
        yield Exposed(
            record=pools.ids[at],
            distance=round(float(distance[i]), DIGITS),
            was=_five(was[:, at]),
            never=_five(never[:, at]),
            retrained=_five(retrained[:, at]),
        )


def shares_of(pool: Pool, labels: Sequence[str], groups: dict[str, Mask]) -> Iterator[Share]:
    """Yield the accuracy on unseen records of each class, and of each named group."""
    correct = np.where(_unseen(pool.roles), pool.correct, np.nan)
    columns = {label: pool.truth == c for c, label in enumerate(labels)} | groups
    for group, which in columns.items():
        part = correct[:, which]
        counts = np.isfinite(part).sum(axis=1)
        if not counts.any():
            continue
        values = np.nansum(part, axis=1)[counts > 0] / counts[counts > 0]
        n = int(np.isfinite(part).any(axis=0).sum())
        few = len(values) < FEWEST_MODELS
        first = int(counts[counts > 0][0])
        found = estimates.proportion(round(float(values[0]) * first), first) if few else estimates.mean(values)
        value, low, high = (round(float(np.clip(v, 0, 1)), DIGITS) for v in found[:3])
        yield Share(
            group=group, arm=pool.world, value=value, low=low, high=high, n=n, n_models=1 if few else len(values)
        )


def matrix_of(pool: Pool, labels: Sequence[str]) -> Matrix:
    """Return the shares of predicted classes among unseen records of each class, over all models of the pool."""
    k, unseen = len(labels), _unseen(pool.roles)
    cells = np.bincount((np.broadcast_to(pool.truth, unseen.shape) * k + pool.predicted)[unseen], minlength=k * k)
    counts = cells.reshape(k, k)
    rows = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    seen = pool.truth[unseen.any(axis=0)]
    return Matrix(
        arm=pool.world,
        labels=tuple(labels),
        rows=tuple(tuple(row) for row in np.round(rows, DIGITS).tolist()),
        n=tuple(int((seen == c).sum()) for c in range(k)),
    )


def _spreads(present: Sequence[Pool]) -> Iterator[Spread]:
    """Yield accuracies and mean signals of each model, by arm."""
    wanted = {
        "accuracy on forgotten records": (FORGOTTEN,),
        "accuracy on kept records": (KEPT,),
        "accuracy on records never seen": (NEVER, POPULATION),
    }
    classes = [pool for pool in present if pool.has_logits or pool.top is not None]
    for measure, roles in wanted.items():
        yield from _spread(measure, {p.world: _model_means(p.correct, np.isin(p.roles, roles)) for p in classes})
    signals = [pool for pool in present if pool.has_signals]
    gaps = {p.world: _model_means(p.phi, p.has(FORGOTTEN)) - _model_means(p.phi, _unseen(p.roles)) for p in signals}
    yield from _spread("mean signal φ, forgotten less never seen", gaps)


def _spread(measure: str, values: Mapping[Any, Floats]) -> Iterator[Spread]:
    kept = {arm: _rounded(v[np.isfinite(v)]) for arm, v in values.items()}
    if kept.get("reference") and kept.get("after"):
        yield Spread(measure=measure, **kept)


def _model_means(values: Floats, which: Mask) -> Floats:
    counts = which.sum(axis=1)
    totals = np.where(which, values, 0.0).sum(axis=1)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _unseen(roles: npt.NDArray[np.uint8]) -> Mask:
    return np.asarray((roles == NEVER) | (roles == POPULATION))


def _masked(pool: Pool, role: int) -> Floats:
    return np.where(pool.has(role), pool.phi, np.nan)


def _five(values: Floats) -> tuple[float, ...]:
    known = values[np.isfinite(values)]
    return _rounded(np.quantile(known, FIVE)) if len(known) else ()


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(v), DIGITS) for v in values)
