"""``Views``: what an audit's figures are drawn from, taken from pools; only `Exposed` looks at single records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from expunge.audit.curves import N_POINTS, SMALLEST
from expunge.audit.pools import ARMS, FORGOTTEN, KEPT, NEVER, POPULATION, Mask, Pool, Pools
from expunge.core import estimates
from expunge.core.estimates import Interval
from expunge.core.record import Record
from expunge.core.roles import Floats

N_EXPOSED: Final = 12
FEWEST_MODELS: Final = 3
LARGEST_MATRIX: Final = 20
"""With more classes a matrix of predictions is not drawn."""
DIGITS: Final = 6
FIVE: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


class RocBand(Record):
    """The ROC curve of one attack on one arm, averaged over models.

    Attributes:
        attack: what it looks at.
        arm: before, after or reference.
        fpr: false positive rates, rising.
        tpr: true positive rates, mean over models.
        low: lower end of the 95 % t interval of that mean; empty where there are too few models.
        high: upper end.
        n_members: forgotten records, mean over models.
        n_others: records never seen, mean over models: the smallest rate that means anything is a few of them.
        n_models: models.
    """

    attack: str
    arm: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    n_members: float
    n_others: float
    n_models: int


class Spread(Record):
    """One measure of each model of the pools: the retrained ones are the null that the others are held against.

    Attributes:
        measure: what is measured.
        before: of each original model.
        after: of each unlearned model.
        reference: of each retrained model.
    """

    measure: str
    before: tuple[float, ...] = ()
    after: tuple[float, ...] = ()
    reference: tuple[float, ...] = ()


class Exposed(Record):
    """φ of one forgotten record over models, as quantiles (5, 25, 50, 75, 95 %). Never in a public report.

    Attributes:
        record: its id.
        distance: difference of the means, forgotten less retrained, in standard deviations.
        was: in models that forgot it.
        never: in models that never saw it; empty where there are none.
        retrained: in models retrained without it.
    """

    record: str
    distance: float
    was: tuple[float, ...]
    never: tuple[float, ...] = ()
    retrained: tuple[float, ...]


class Line(Record):
    """A curve with its interval: recovery against records learnt again, likeness of layers, …

    Attributes:
        topic: ``relearning`` or ``layers``.
        arm: before, after or reference.
        x: where it was measured (numbers, or the places of `labels`).
        y: the values.
        low: lower ends of the intervals; empty where there are none.
        high: upper ends.
        labels: names of the places on the x axis; empty = numbers.
    """

    topic: str
    arm: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()


class Share(Record):
    """Accuracy of one group of records that no model learnt, on one arm.

    Attributes:
        group: a class or a named group.
        arm: before, after or reference.
        value: mean over models.
        low: lower end of its 95 % interval.
        high: upper end.
        n: distinct records.
        n_models: models.
    """

    group: str
    arm: str
    value: float
    low: float
    high: float
    n: int
    n_models: int


class Matrix(Record):
    """What a pool predicts for records that no model learnt.

    Attributes:
        arm: before, after or reference.
        labels: the classes.
        rows: share predicted as each class (column) of the records of each class (row); an empty row is withheld.
        n: distinct records of each class.
    """

    arm: str
    labels: tuple[str, ...]
    rows: tuple[tuple[float, ...], ...]
    n: tuple[int, ...]


class Views(Record):
    """Everything that is drawn, and what was left out."""

    rocs: tuple[RocBand, ...] = ()
    spreads: tuple[Spread, ...] = ()
    exposed: tuple[Exposed, ...] = ()
    lines: tuple[Line, ...] = ()
    shares: tuple[Share, ...] = ()
    matrices: tuple[Matrix, ...] = ()
    notes: tuple[str, ...] = ()

    def public(self) -> Views:
        """Return the form without single records, and without groups of fewer than ten."""
        matrices = tuple(
            m.model_copy(
                update={
                    "rows": tuple(row if n >= SMALLEST else () for row, n in zip(m.rows, m.n, strict=True)),
                    "n": tuple(n if n >= SMALLEST else 0 for n in m.n),
                }
            )
            for m in self.matrices
        )
        rocs = tuple(r for r in self.rocs if min(r.n_members, r.n_others) >= SMALLEST)
        shares = tuple(s for s in self.shares if s.n >= SMALLEST)
        return self.model_copy(update={"exposed": (), "rocs": rocs, "matrices": matrices, "shares": shares})


def views_of(pools: Pools, labels: Sequence[str] = (), scores: dict[str, dict[str, Floats]] | None = None) -> Views:
    """Return what can be drawn of pools.

    Args:
        pools: of the audit.
        labels: names of the classes; empty = their numbers.
        scores: attack → arm → scores of shape (M, n), larger for members, NaN where a model has none; drawn beside the
            population attack.
    """
    present = [pool for world in ARMS if (pool := pools.get(world)) is not None]
    names = tuple(labels) or tuple(str(c) for c in range(pools.n_classes))
    signals = [pool for pool in present if pool.has_signals]
    attacks = {"population": {pool.world: pool.phi for pool in signals}} | (scores or {})
    rocs = [
        made
        for attack, by_arm in attacks.items()
        for pool in present
        if pool.world in by_arm and (made := roc_band(attack, pool, by_arm[pool.world])) is not None
    ]
    classes = [pool for pool in present if pool.has_logits or pool.top is not None]
    matrices = [matrix_of(pool, names) for pool in classes if pool.world != "before" and len(names) <= LARGEST_MATRIX]
    return Views(
        rocs=tuple(rocs),
        spreads=tuple(_spreads(present)),
        exposed=tuple(exposed_of(pools)),
        shares=tuple(s for pool in classes for s in shares_of(pool, names, pools.subgroups)),
        matrices=tuple(matrices),
    )


def roc_band(attack: str, pool: Pool, scores: Floats) -> RocBand | None:
    """Return the mean ROC curve of the pool's models with the interval of the mean; None where no model has one."""
    grid: Floats | None = None
    curves, sizes = [], []
    for row, roles in zip(scores, pool.roles, strict=True):
        known = np.isfinite(row)
        members, others = row[known & (roles == FORGOTTEN)], row[known & _unseen(roles)]
        if not len(members) or not len(others):
            continue
        grid = np.r_[0.0, np.geomspace(1 / len(others), 1.0, N_POINTS - 1)] if grid is None else grid
        fpr, tpr = estimates.roc(members, others)
        curves.append(tpr[np.searchsorted(fpr, grid + 1e-12, "right") - 1])
        sizes.append((len(members), len(others)))
    if grid is None:
        return None
    bands = [_mean(column) for column in np.array(curves).T]
    drawn = len(curves) >= FEWEST_MODELS
    return RocBand(
        attack=attack,
        arm=pool.world,
        fpr=_rounded(grid),
        tpr=_rounded(b.value for b in bands),
        low=_rounded(max(0.0, b.low) for b in bands) if drawn else (),
        high=_rounded(min(1.0, b.high) for b in bands) if drawn else (),
        n_members=round(float(np.mean([m for m, _ in sizes])), 1),
        n_others=round(float(np.mean([n for _, n in sizes])), 1),
        n_models=len(curves),
    )


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
    spread = np.sqrt(sum(np.nanvar(part[:, found], axis=0, ddof=1) for part in (was, retrained)) / 2)
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
        found = estimates.proportion(round(float(values[0]) * first), first) if few else _mean(values)
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


def _mean(values: Floats) -> Interval:
    if len(values) < FEWEST_MODELS:
        return Interval(float(values.mean()), float(values.mean()), float(values.mean()), len(values))
    return estimates.mean(values)


def _five(values: Floats) -> tuple[float, ...]:
    known = values[np.isfinite(values)]
    return _rounded(np.quantile(known, FIVE)) if len(known) else ()


def _rounded(values: Iterable[float]) -> tuple[float, ...]:
    return tuple(round(float(v), DIGITS) for v in values)
