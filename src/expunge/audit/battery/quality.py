"""M18, forgetting quality (NeurIPS 2023): per record, the largest ε that a threshold or an interval of signals shows.

The published score gives two pools of the *same* models about 0.2, not 1, and how much depends on the number of
models. Here ε is found exactly, by sorting, and F stands over its label-shuffled null: F/F_null is 1 for a retrained
pool. The published grid stands beside.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from expunge.audit import statistics
from expunge.audit.battery.composites import accuracies
from expunge.audit.battery.grid import CAP, grid_epsilons, table
from expunge.audit.battery.sides import Arm, Reading, Sides, face, randomness
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import Mask, Pools
from expunge.audit.statistics import Positions
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

Counts = npt.NDArray[np.int16]

FEWER_SHUFFLES: Final = 40
"""Shuffles for each block that the jackknife leaves out."""
COLUMNS: Final = 2048
"""Records, times shuffles, that are swept at once."""
GRID_CELLS: Final = 1000
"""Records, times shuffles, that the published grid's null may cost: 4 ms each."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """Pooled signals in ascending order, column by column; equal signals are told apart from nothing.

    Attributes:
        values: shape (2N, n), ascending.
        order: the row of the pooled array that each came from, same shape.
        first: the first row of those equal to it; None where no two are equal.
        last: the last row of those equal to it; None where no two are equal.
    """

    values: Floats
    order: Positions
    first: Positions | None
    last: Positions | None

    @classmethod
    def of(cls, pooled: Floats) -> Ranked:
        """Sort pooled signals, shape (2N, n)."""
        order = np.argsort(pooled, axis=0, kind="stable")
        values = np.take_along_axis(pooled, order, 0)
        new = np.diff(values, axis=0) > 0
        if new.all():
            return cls(values, order, None, None)
        rows = np.arange(len(values))[:, None]
        edge = np.ones((1, values.shape[1]), bool)
        first = np.maximum.accumulate(np.where(np.concatenate([edge, new]), rows, 0), axis=0)
        ends = np.where(np.concatenate([new, edge]), rows, len(values))
        last = np.minimum.accumulate(ends[::-1], axis=0)[::-1]
        return cls(values, order, first, last)

    def columns(self, chosen: Positions) -> Ranked:
        """Return some columns, in the order given."""
        first, last = (None if a is None else a[:, chosen] for a in (self.first, self.last))
        return Ranked(self.values[:, chosen], self.order[:, chosen], first, last)


def epsilons(after: Floats, reference: Floats) -> Floats:
    """Return the largest ε that an interval of signals shows for each record, shape (n,), in [0, 50].

    The rule is that of the challenge, without its grid: of the two pools the one with the smaller range is ``in``; each
    interval of signals, half-lines included, is a guess of ``in`` with error rates FPR and FNR; intervals where exactly
    one of them is zero say too little and are left out; where both are, or where the ranges differ a hundredfold,
    ε is 50. Else ε = max(ln(1 − δ − FPR) − ln FNR, ln(1 − δ − FNR) − ln FPR), δ 10⁻⁵.

    Args:
        after: signals of the models in question, shape (N, n).
        reference: signals of retrained models, same shape.

    Cost: N²/2 comparisons a record.
    Source: M18. For each number of models of ``in`` inside, only the fewest others inside matters, and it is reached
        between two signals of ``in``: so the sweep is exact.
    """
    pooled = np.concatenate([np.asarray(after, np.float64), np.asarray(reference, np.float64)])
    ranked = Ranked.of(pooled)
    return _swept(ranked, ranked.order < len(pooled) // 2)


def quality(epsilons: Floats, n_models: int) -> Floats:
    """Return F, the mean over records (the last axis) of 2^−⌊ε/0.5⌋; 0 beyond ⌈ln(N − 1)⌉.

    Args:
        epsilons: of each record, shape (…, n).
        n_models: N a side, three at least.

    Source: M18.
    """
    top = float(np.ceil(np.log(n_models - 1)))
    points = np.where(epsilons < top, 0.5 ** np.floor(np.asarray(epsilons) / 0.5), 0.0)
    return np.asarray(points.mean(axis=-1))


def shuffled_epsilons(sides: Sides, generator: np.random.Generator, n_shuffles: int) -> Floats:
    """Return `epsilons` of each record under shuffled labels, shape (n_shuffles, n)."""
    ranked = Ranked.of(sides.pooled)
    units = np.take_along_axis(sides.units, ranked.order, 0)
    labels = sides.shuffled(generator, n_shuffles)
    n = units.shape[1]
    cells = np.arange(n_shuffles * n)
    found = np.empty(len(cells))
    for chosen in _pieces(cells):
        draw, record = chosen // n, chosen % n
        found[chosen] = _swept(ranked.columns(record), labels[draw[None], units[:, record]])
    return found.reshape(n_shuffles, n)


def disjoint_null(reference: Floats, generator: np.random.Generator, n_splits: int = 20) -> Floats:
    """Return F of two disjoint halves of the retrained models, shape (n_splits,).

    The null that needs no other pool. It is that of N/2 models a side: F grows and shrinks with N, so compare it with
    an F of as many models only.
    """
    half = len(reference) // 2
    orders = (generator.permutation(len(reference)) for _ in range(n_splits))
    splits = ((reference[o[:half]], reference[o[half : 2 * half]]) for o in orders)
    return np.array([float(quality(epsilons(a, b), half)) for a, b in splits])


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the forgetting quality of the forgotten records, after and before.

    * ``likeness.forgetting_quality_ratio@<arm>``: F/F_null; 1 = as for retrained models, lower = residue.
    * ``likeness.forgetting_epsilon_excess@<arm>``: mean ε less that of the null.
    * ``likeness.forgetting_quality_legacy@<arm>``: F of the published grid, beside its own null.
    * ``likeness.forgetting_score_legacy@<arm>``: that F times the ratios of kept and holdout accuracy to retraining.

    Guarantee: none. ε is the largest of many noisy ones and no bound; what may be claimed is M19.
    Cost: seconds for 128 + 128 models and 150 forgotten records.
    Source: M18, B6; Triantafillou et al. (2024). We differ in the sweep (no grid) and in F_null.
    """
    found: list[Evidence] = []
    for arm in ("after", "before"):
        forms = ("quality_ratio", "epsilon_excess", *(("quality_legacy", "score_legacy") if policy.legacy else ()))
        names = [f"forgetting_{form}@{arm}" for form in forms]
        try:
            sides = face(pools, arm, "forgotten")
            found += _corrected(sides, names, policy)
            found += _legacy(pools, sides, arm, policy) if policy.legacy else []
        except (Unsupported, BadInput, BadData) as error:
            found += [Evidence.missing(f"likeness.{name}", error.message) for name in names]
    return found


def _corrected(sides: Sides, names: list[str], policy: AuditPolicy) -> list[Evidence]:
    value, drawn = _ours(sides, policy, N_SHUFFLES)
    f, f_null = float(quality(value, sides.n_models)), quality(drawn, sides.n_models)
    mean = sides.compared(float(value.mean()), drawn.mean(axis=1))

    def parts(models: Positions) -> tuple[float, float]:
        part = sides.keeping(models)
        e, null = _ours(part, policy, FEWER_SHUFFLES)
        ratio = float(quality(e, part.n_models)) / _positive(quality(null, part.n_models).mean())
        return ratio, float(e.mean() - null.mean())

    blocks = statistics.blocks(len(sides), policy.n_blocks)
    everyone, sizes = np.arange(len(sides)), [len(b) for b in blocks]
    without = np.array([parts(np.delete(everyone, block)) for block in blocks])
    ratio = sides.compared(f / _positive(f_null.mean()), f_null / _positive(f_null.mean()))
    estimates = [
        statistics.of_deletions(whole, without[:, i], sizes) for i, whole in enumerate((ratio.value, mean.excess))
    ]
    first = _reading(names[0], "forgetting quality F by exact sweeps, over that of its null", sides, policy)
    second = _reading(names[1], "mean ε of exact sweeps, less the mean of its null", sides, policy)
    return [first.ratio(ratio, estimates[0], policy.alpha), second.excess(mean, estimates[1], policy.alpha)]


def _ours(sides: Sides, policy: AuditPolicy, n_shuffles: int) -> tuple[Floats, Floats]:
    generator = randomness(policy, "likeness.forgetting_quality")
    return epsilons(*np.split(sides.pooled, 2)), shuffled_epsilons(sides, generator, n_shuffles)


def _legacy(pools: Pools, sides: Sides, arm: Arm, policy: AuditPolicy) -> list[Evidence]:
    f = float(quality(grid_epsilons(*np.split(sides.pooled, 2)), sides.n_models))
    compared = sides.compared(f, _grid_null(sides, policy))
    name, what = f"forgetting_quality_legacy@{arm}", "forgetting quality F of the published grid of thresholds"
    note = "A perfect result is not 1: compare with the null."
    found = [_reading(name, what, sides, policy).beside(compared, note, (0.0, 1.0))]
    name = f"forgetting_score_legacy@{arm}"
    try:
        factor = accuracy_ratio(pools, arm)
    except (Unsupported, BadInput) as error:
        return [*found, Evidence.missing(f"likeness.{name}", error.message)]
    scaled = Compared(f * factor, compared.draws * factor, compared.what, compared.form)
    return [*found, _reading(name, f"{what}, times ratios of accuracy", sides, policy).beside(scaled, note)]


def accuracy_ratio(pools: Pools, arm: Arm) -> float:
    """Return RA/RA_r · TA/TA_r: kept and holdout accuracy of an arm, over those of the retrained models.

    Raises:
        Unsupported: predicted classes are missing.
        BadInput: the retrained models are never right, or nothing was kept or held out.
    """
    ours, theirs = accuracies(pools.need(arm)), accuracies(pools.need("reference"))
    shares = [(float(a.mean()), float(b.mean())) for a, b in ((ours.kept, theirs.kept), (ours.holdout, theirs.holdout))]
    if not all(np.isfinite(a) and b > 0 for a, b in shares):
        raise BadInput(
            "the ratio of accuracies needs kept and holdout records that retrained models get right at times"
        )
    return float(np.prod([a / b for a, b in shares]))


def _grid_null(sides: Sides, policy: AuditPolicy) -> Floats:
    """Return F of the grid under few shuffles, on records spread over all of them."""
    n_shuffles = 20
    step = max(1, int(np.ceil(sides.pooled.shape[1] * n_shuffles / GRID_CELLS)))
    records = np.arange(0, sides.pooled.shape[1], step)
    labels = sides.shuffled(randomness(policy, "likeness.forgetting_grid"), n_shuffles)
    pooled, units = sides.pooled[:, records], sides.units[:, records]
    found = []
    for row in labels:
        order = np.argsort(~row[units], axis=0, kind="stable")
        first, second = np.split(np.take_along_axis(pooled, order, 0), 2)
        found.append(float(quality(grid_epsilons(first, second), sides.n_models)))
    return np.array(found)


def _reading(name: str, estimator: str, sides: Sides, policy: AuditPolicy) -> Reading:
    return Reading(f"likeness.{name}", estimator, len(sides.records), sides.n_models, policy.seeds)


def _positive(value: npt.ArrayLike) -> float:
    """Return F_null; below one point in a million every F is as good as zero."""
    return max(float(np.asarray(value)), 1e-6)


def _pieces(cells: Positions) -> Iterator[Positions]:
    for start in range(0, len(cells), COLUMNS):
        yield cells[start : start + COLUMNS]


def _swept(ranked: Ranked, is_arm: Mask) -> Floats:
    """Return ε of each column, for labels given in ascending order of the signals, shape (2N, columns)."""
    peaky, degenerate = _peakier(ranked.values, is_arm)
    below, upto = _others(ranked, peaky)
    n = len(is_arm) // 2
    fewest = np.empty((n, is_arm.shape[1]), np.int16)
    ties = _ties(ranked, peaky)
    for inside in range(1, n + 1):
        held = upto[inside - 1 :] - below[: n - inside + 1]
        if ties is not None and inside < n:
            held = ties.held(held, inside)
        np.min(held, axis=0, out=fewest[inside - 1])
    apart = fewest[-1] == 0
    missed = np.arange(n - 1, 0, -1)
    found = table(n)[missed[:, None], np.clip(fewest[:-1], 1, n)].max(axis=0)
    return np.where(apart | degenerate, CAP, found)


@dataclass(frozen=True)
class Ties:
    """What equal signals forbid: an interval holds all of those that are equal to one in it, of either pool.

    Attributes:
        starts: whether an interval can begin at a signal of the peakier pool, shape (N, columns), ascending.
        ends: whether it can end there.
        under: how many equal signals of the other pool come next below; N + 1 where none does.
        over: how many come next above.
        first: whether no signal of the peakier pool lies below those of `under`.
        last: whether none lies above those of `over`.
    """

    starts: Mask
    ends: Mask
    under: Counts
    over: Counts
    first: Mask
    last: Mask

    def held(self, held: Counts, inside: int) -> Counts:
        """Return how many of the other pool intervals hold that may not be empty of them, and may not hold all else.

        Args:
            held: of intervals from each signal of the peakier pool over so many, shape (N - inside + 1, columns).
            inside: how many.
        """
        m, never = len(held), np.int16(len(self.starts) + 1)
        under, over = self.under[:m].copy(), self.over[inside - 1 :].copy()
        under[-1][self.first[m - 1]] = never  # widened, it would hold the whole peakier pool
        over[0][self.last[inside - 1]] = never
        wide = np.where(held == 0, np.minimum(under, over), held)
        return np.where(self.starts[:m] & self.ends[inside - 1 :], wide, never)


def _ties(ranked: Ranked, peaky: Mask) -> Ties | None:
    """Return what equal signals forbid; None where no two are equal."""
    if ranked.first is None or ranked.last is None:
        return None
    length, columns = peaky.shape
    n, places = length // 2, np.arange(length)[:, None]
    others, own = (np.concatenate([np.zeros((1, columns), int), np.cumsum(side, axis=0)]) for side in (~peaky, peaky))
    behind = ranked.last + 1
    equal = np.take_along_axis(others, behind, 0) - np.take_along_axis(others, ranked.first, 0)
    lower = np.maximum.accumulate(np.where(peaky, -1, places), axis=0)
    lower = np.take_along_axis(np.concatenate([np.full((1, columns), -1), lower]), ranked.first, 0)
    upper = np.minimum.accumulate(np.where(peaky, length, places)[::-1], axis=0)[::-1]
    upper = np.take_along_axis(np.concatenate([upper, np.full((1, columns), length)]), behind, 0)
    lost = np.full((1, columns), n + 1)
    below = np.concatenate([np.take_along_axis(own, ranked.first, 0), lost])  # own signals below a place's value
    upto = np.concatenate([np.take_along_axis(own, behind, 0), lost])
    counts = np.concatenate([equal, lost])
    at = np.where(lower < 0, length, lower), upper
    every = (
        np.take_along_axis(own[:-1], ranked.first, 0) == own[:-1],
        np.take_along_axis(own, behind, 0) == own[1:],
        *(np.take_along_axis(counts, place, 0).astype(np.int16) for place in at),
        np.take_along_axis(below, at[0], 0) == 0,
        np.take_along_axis(upto, at[1], 0) == n,
    )
    return Ties(*(np.ascontiguousarray(a.T[peaky.T].reshape(columns, n).T) for a in every))


def _peakier(values: Floats, is_arm: Mask) -> tuple[Mask, Mask]:
    """Return which entries belong to the pool of the smaller range, and where the ranges differ a hundredfold."""
    ranges = []
    for labels in (is_arm, ~is_arm):
        first, last = labels.argmax(axis=0), len(labels) - 1 - labels[::-1].argmax(axis=0)
        ends = np.take_along_axis(values, np.stack([first, last]), 0)
        ranges.append(ends[1] - ends[0])
    arm, other = ranges
    degenerate = np.minimum(arm, other) < 0.01 * np.maximum(arm, other)
    return np.where(arm <= other, is_arm, ~is_arm), degenerate


def _others(ranked: Ranked, peaky: Mask) -> tuple[Counts, Counts]:
    """Return how many signals of the other pool lie below, and up to, each of the peakier one, two (N, columns)."""
    n = len(peaky) // 2
    before = np.zeros((len(peaky) + 1, peaky.shape[1]), np.int16)
    np.cumsum(~peaky, axis=0, out=before[1:], dtype=np.int16)
    if ranked.first is None or ranked.last is None:
        below = upto = before[:-1]
    else:
        below = np.take_along_axis(before, ranked.first, 0)
        upto = np.take_along_axis(before, ranked.last + 1, 0)
    low, high = (np.ascontiguousarray(a.T[peaky.T].reshape(-1, n).T) for a in (below, upto))
    return low, high
