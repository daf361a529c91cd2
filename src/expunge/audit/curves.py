"""What the report draws: ROC curves and loss distributions, aggregated so that no single record can be read off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import numpy.typing as npt

from expunge.core import estimates
from expunge.core.record import Record
from expunge.core.roles import Floats

SMALLEST = 10
"""The public form shows no group and no bin of fewer records than this."""
N_POINTS = 60
N_BINS = 24

Group = Literal["forgotten", "holdout"]


class Roc(Record):
    """The ROC curve of one attack on one arm, at no more than 62 false positive rates.

    Attributes:
        attack: ``loss`` or ``lira``.
        arm: before, after or reference.
        fpr: false positive rates, rising.
        tpr: true positive rates.
        n_members: forgotten records.
        n_others: holdout records.
    """

    attack: str
    arm: str
    fpr: tuple[float, ...]
    tpr: tuple[float, ...]
    n_members: int
    n_others: int


class Histogram(Record):
    """The distribution of losses of one group on one arm.

    Attributes:
        arm: before, after or reference.
        group: forgotten or holdout.
        edges: bin edges; the outer bins hold everything beyond them.
        shares: share of the group in each bin.
        mean: mean loss of the group.
        n: its records.
    """

    arm: str
    group: Group
    edges: tuple[float, ...]
    shares: tuple[float, ...]
    mean: float
    n: int


class Curves(Record):
    """Everything drawn about membership.

    Attributes:
        rocs: ROC curves.
        losses: loss distributions.
        notes: what was left out, and why.
    """

    rocs: tuple[Roc, ...] = ()
    losses: tuple[Histogram, ...] = ()
    notes: tuple[str, ...] = ()


def roc_of(attack: str, arm: str, scores: Floats, positive: npt.NDArray[np.bool_]) -> Roc:
    """Return a ROC curve at false positive rates that are even on the logarithmic scale."""
    pos, neg = scores[positive], scores[~positive]
    fpr, tpr = estimates.roc(pos, neg)
    grid = np.unique(np.concatenate([[0.0], np.geomspace(1 / len(neg), 1.0, N_POINTS)]))
    grid[-1] = 1.0
    at = tpr[np.searchsorted(fpr, grid + 1e-12, "right") - 1]
    return Roc(
        attack=attack,
        arm=arm,
        fpr=tuple(np.round(grid, 6).tolist()),
        tpr=tuple(np.round(at, 6).tolist()),
        n_members=len(pos),
        n_others=len(neg),
    )


def histograms(losses: Mapping[str, Floats], positive: npt.NDArray[np.bool_], smallest: int) -> list[Histogram]:
    """Return the loss distributions of each arm, forgotten and holdout, over common edges where counts allow.

    Args:
        losses: arm → losses, shape (n,).
        positive: which are forgotten.
        smallest: bins of fewer records are merged with their neighbours; smaller groups are left out.
    """
    low, high = np.quantile(np.concatenate(list(losses.values())), [0.01, 0.99])
    edges = np.linspace(low, high if high > low else low + 1, N_BINS + 1)
    groups: tuple[tuple[Group, npt.NDArray[np.bool_]], ...] = (("forgotten", positive), ("holdout", ~positive))
    return [
        _histogram(arm, group, values[rows], edges, smallest)
        for arm, values in losses.items()
        for group, rows in groups
        if rows.sum() >= max(smallest, 1)
    ]


def _histogram(arm: str, group: Group, values: Floats, edges: Floats, smallest: int) -> Histogram:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    kept, merged = _merged(counts.tolist(), edges.tolist(), smallest)
    return Histogram(
        arm=arm,
        group=group,
        edges=tuple(round(e, 6) for e in kept),
        shares=tuple(round(c / len(values), 6) for c in merged),
        mean=round(float(values.mean()), 6),
        n=len(values),
    )


def _merged(counts: list[int], edges: list[float], smallest: int) -> tuple[list[float], list[int]]:
    """Merge neighbouring bins, left to right, until each holds ``smallest`` records; nothing if there are too few.

    Empty bins at either end are cut off, so that a group that lies together is drawn where it lies.
    """
    if sum(counts) < max(smallest, 1):
        return [], []
    filled = [i for i, count in enumerate(counts) if count]
    counts, edges = counts[filled[0] : filled[-1] + 1], edges[filled[0] : filled[-1] + 2]
    kept, merged, open_count = [edges[0]], [], 0
    for count, right in zip(counts, edges[1:], strict=True):
        open_count += count
        if open_count >= smallest:
            merged.append(open_count)
            kept.append(right)
            open_count = 0
    if kept[-1] != edges[-1]:
        merged[-1] += open_count
        kept[-1] = edges[-1]
    return kept, merged
