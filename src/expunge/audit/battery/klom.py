"""M20, KLoM: per record, how far the margins of the models in question are from those of retrained models.

The published form is a KL divergence of two histograms. It is far from zero for two pools of the *same* models (0.33 at
100 models), so here each number has the mean of its label-shuffled null taken off; the published form stands beside.
Two measures without bins come along: the KL divergence of two fitted normals, and the energy distance.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Literal

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.sides import GROUPS, Arm, Group, Reading, Sides, face, randomness
from expunge.audit.nulls import N_SHUFFLES
from expunge.audit.pools import Mask, Pools
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

Direction = Literal["2025", "2026"]
Draws = tuple[Floats, Floats]
"""Values of each record, shape (n,), and the same under shuffled labels, shape (n_shuffles, n)."""

N_BINS: Final = 20
LARGEST_MARGIN: Final = 100.0
LEAST_SHARE: Final = 1e-5
LEAST_VARIANCE: Final = 1e-4
"""Of the pooled variance: a fitted normal is never narrower."""
FEWER_SHUFFLES: Final = 50
"""Shuffles for each block that the jackknife leaves out."""
CHUNK: Final = 256
"""Records whose histograms under all shuffles are held at once."""


def legacy(after: Floats, reference: Floats, direction: Direction = "2026", n_bins: int = N_BINS) -> Floats:
    """Return the published KLoM of each record, shape (n,), equal to the public implementations bit for bit.

    Whatever lies on the upper edge of the pooled range, at least the largest margin, falls out of the histogram (W7).

    Args:
        after: margins of the unlearned models, shape (N, n), float64.
        reference: margins of the retrained models, shape (N, n).
        direction: ``2026`` = KL(unlearned ‖ retrained); ``2025`` = KL(retrained ‖ unlearned), where the raised shares
            are normalised again. The numbers of the two cannot be compared. NaN where ``2025`` divides by zero: all
            models of a side on the upper edge.
        n_bins: equal bins over the pooled range.

    Source: M20, W7; the benchmark of Rinberg et al. (2025) and its successor of 2026.
    """
    pools = _clipped(after), _clipped(reference)
    edges = _edges(np.concatenate(pools), n_bins)
    a, r = (_counts(_bins(pool, edges), n_bins) for pool in pools)
    if direction == "2025":
        return _normalised_divergence(_shares(r), _shares(a))
    p, q = _shares(a), _shares(r)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = p * np.log(p / np.maximum(q, LEAST_SHARE))
    return _compressed_sums(terms, p > 0)


def divergences(after: Floats, reference: Floats, n_bins: int = N_BINS) -> Floats:
    """Return KL(unlearned ‖ retrained) of the two histograms of each record, every margin counted, shape (n,).

    Args:
        after: margins of the unlearned models, shape (N, n).
        reference: margins of the retrained models, shape (M, n).
        n_bins: equal bins over the pooled range.
    """
    pools = _clipped(after), _clipped(reference)
    edges = _edges(np.concatenate(pools), n_bins)
    a, r = (_counts(np.minimum(_bins(pool, edges), n_bins), n_bins) for pool in pools)
    return _divergence(a, r)


def gaussian(after: Floats, reference: Floats) -> Floats:
    """Return KL(unlearned ‖ retrained) of two normals fitted to each record's margins, shape (n,)."""
    moments = (np.mean(after, 0), np.mean(reference, 0), np.var(after, 0, ddof=1), np.var(reference, 0, ddof=1))
    return _gaussian(*moments)


def energy(after: Floats, reference: Floats) -> Floats:
    """Return the energy distance 2·E|X−Y| − E|X−X′| − E|Y−Y′| of each record's margins, shape (n,).

    Source: Székely and Rizzo (2013); for numbers it is 2∫(F − G)².
    """
    values = np.concatenate([after, reference])
    weights = np.repeat([1 / len(after), -1 / len(reference)], [len(after), len(reference)])
    order = np.argsort(values, axis=0)
    steps = np.cumsum(weights[order], axis=0)[:-1]
    return np.asarray(2 * (np.diff(np.take_along_axis(values, order, 0), axis=0) * steps**2).sum(axis=0))


def histogram_draws(sides: Sides, generator: np.random.Generator, n_shuffles: int, *, drop_top: bool = False) -> Draws:
    """Return `divergences` of each record, and the same under shuffled labels.

    Args:
        sides: the two pools.
        generator: the randomness.
        n_shuffles: draws.
        drop_top: lose what lies on the upper edge, as the published form does.

    Cost: n_shuffles · 2N · n · 20 multiply-adds: 0.4 s for 200 shuffles of 128 + 128 models and 1 500 records.
    """
    pooled = _clipped(sides.pooled)
    bins = _bins(pooled, _edges(pooled, N_BINS))
    bins = bins if drop_top else np.minimum(bins, N_BINS)
    labels = _observed_first(sides, generator, n_shuffles)
    found = [_shuffled_chunk(bins[:, c], sides.units[:, c], labels) for c in _chunks(bins.shape[1])]
    both = np.concatenate(found, axis=1)
    return both[0], both[1:]


def gaussian_draws(sides: Sides, generator: np.random.Generator, n_shuffles: int) -> Draws:
    """Return `gaussian` of each record, and the same under shuffled labels."""
    labels = _observed_first(sides, generator, n_shuffles).astype(np.float64)
    count = sides.n_models
    x = sides.pooled - sides.pooled.mean(axis=0)
    spread = np.zeros((2, labels.shape[1], x.shape[1]))
    np.put_along_axis(spread[0], sides.units, x, 0)
    np.put_along_axis(spread[1], sides.units, x**2, 0)
    first, squares = labels @ spread[0], labels @ spread[1]
    mean_a, mean_r = first / count, (x.sum(axis=0) - first) / count
    var_a = (squares - count * mean_a**2) / (count - 1)
    var_r = ((x**2).sum(axis=0) - squares - count * mean_r**2) / (count - 1)
    both = _gaussian(mean_a, mean_r, var_a, var_r)
    return both[0], both[1:]


def energy_draws(sides: Sides, generator: np.random.Generator, n_shuffles: int) -> Draws:
    """Return `energy` of each record, and the same under shuffled labels."""
    labels = _observed_first(sides, generator, n_shuffles)
    order = np.argsort(sides.pooled, axis=0)
    gaps = 2 * np.diff(np.take_along_axis(sides.pooled, order, 0), axis=0)
    units = np.take_along_axis(sides.units, order, 0)
    signs = np.where(labels, 1, -1).astype(np.int16)
    both = np.empty((len(labels), order.shape[1]))
    for i, row in enumerate(signs):
        steps = np.cumsum(row[units], axis=0, dtype=np.int16)[:-1].astype(np.float32)
        both[i] = np.einsum("ij,ij,ij->j", gaps, steps, steps) / sides.n_models**2
    return both[0], both[1:]


KINDS: Final[dict[str, tuple[str, Callable[[Sides, np.random.Generator, int], Draws]]]] = {
    "klom": ("KL divergence of histograms (20 bins, unlearned ‖ retrained)", histogram_draws),
    "gaussian_kl": ("KL divergence of fitted normals (unlearned ‖ retrained)", gaussian_draws),
    "energy": ("energy distance", energy_draws),
}


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return how far margins are from retraining, for forgotten, kept and holdout records, after and before.

    * ``likeness.{klom,gaussian_kl,energy}_<group>_excess@<arm>``: mean over records, less the mean of the null.
    * ``likeness.klom95_<group>_excess@<arm>``: the same of the 95th percentile over records.
    * ``likeness.klom_<group>_legacy@<arm>``: the published 95th percentile, beside its own null.

    ``@before`` is the positive control: what there was to find.

    Guarantee: none; an empirical comparison of signals of true classes. Equal margins are not equal models.
    Cost: seconds for 128 + 128 models and 1 500 records; no model is asked anything.
    Source: M20, W7. We differ from the published form in the null that is taken off, and in the largest margin, which
        is counted.
    """
    found: list[Evidence] = []
    for arm in ("after", "before"):
        for group in GROUPS:
            try:
                sides = face(pools, arm, group)
                found += _readings(sides, arm, group, policy)
            except (Unsupported, BadInput, BadData) as error:
                names = [*(f"{kind}_{group}_excess" for kind in (*KINDS, "klom95")), f"klom_{group}_legacy"]
                found += [Evidence.missing(f"likeness.{name}@{arm}", error.message) for name in names]
    return found


def _readings(sides: Sides, arm: Arm, group: Group, policy: AuditPolicy) -> list[Evidence]:
    found: list[Evidence] = []
    for kind, (what, draw) in KINDS.items():
        found += _excesses(sides, f"{group}_excess@{arm}", (kind, what), draw, policy)
    if policy.legacy:
        name = f"klom_{group}_legacy@{arm}"
        reading = _reading(name, "published KLoM, form of 2026, 95th percentile over records", sides, policy)
        value = _percentile(legacy(sides.pooled[: sides.n_models], sides.pooled[sides.n_models :]))
        _, draws = histogram_draws(sides, randomness(policy, name), N_SHUFFLES, drop_top=True)
        note = "Two pools of one kind of model do not give zero: compare with the null."
        found.append(reading.beside(sides.compared(float(value), _percentile(draws)), note))
    return found


def _mean(values: Floats) -> Floats:
    return np.asarray(values.mean(axis=-1))


def _percentile(values: Floats) -> Floats:
    return np.asarray(np.percentile(values, 95, axis=-1))


def _excesses(
    sides: Sides,
    where: str,
    kind: tuple[str, str],
    draw: Callable[[Sides, np.random.Generator, int], Draws],
    policy: AuditPolicy,
) -> list[Evidence]:
    """Return the mean over records less that of its null; of KLoM the 95th percentile as well."""
    short, what = kind
    over = {short: ("mean", _mean)} | ({"klom95": ("95th percentile", _percentile)} if short == "klom" else {})

    def drawn(part: Sides, n_shuffles: int) -> Draws:
        return draw(part, randomness(policy, f"likeness.{short}_{where}"), n_shuffles)

    def centred(values: Floats, draws: Floats) -> list[float]:
        return [float(reduce(values) - reduce(draws).mean()) for _, reduce in over.values()]

    everyone, left_out = np.arange(len(sides)), statistics.blocks(len(sides), policy.n_blocks)
    parts = (sides.keeping(np.delete(everyone, block)) for block in left_out)
    without = np.array([centred(*drawn(part, FEWER_SHUFFLES)) for part in parts])
    values, draws = drawn(sides, N_SHUFFLES)
    found = []
    for i, (name, (words, reduce)) in enumerate(over.items()):
        compared = sides.compared(float(reduce(values)), reduce(draws))
        estimate = statistics.of_deletions(compared.excess, without[:, i], [len(b) for b in left_out])
        reading = _reading(f"{name}_{where}", f"{what}, {words} over records, less the mean of its null", sides, policy)
        found.append(reading.excess(compared, estimate, policy.alpha))
    return found


def _reading(name: str, estimator: str, sides: Sides, policy: AuditPolicy) -> Reading:
    return Reading(f"likeness.{name}", estimator, len(sides.records), sides.n_models, policy.seeds)


def _clipped(margins: Floats) -> Floats:
    return np.clip(np.asarray(margins, np.float64), -LARGEST_MARGIN, LARGEST_MARGIN)


def _edges(pooled: Floats, n_bins: int) -> Floats:
    """Return equal bins over each record's pooled range, shape (n_bins + 1, n)."""
    low, high = pooled.min(axis=0), pooled.max(axis=0)
    return np.linspace(low, np.where(low >= high, low + 1.0, high), n_bins + 1)


def _bins(values: Floats, edges: Floats) -> statistics.Positions:
    """Return the number of the bin of each value, from 1; n_bins + 1 for what lies on the upper edge."""
    numbers = np.zeros(values.shape, np.int64)
    for edge in edges:
        numbers += values >= edge
    return numbers


def _counts(bins: statistics.Positions, n_bins: int) -> Floats:
    """Return how many values each bin holds, shape (n, n_bins); what has no bin is lost."""
    return np.stack([(bins == b).sum(axis=0) for b in range(1, n_bins + 1)], axis=1).astype(np.float64)


def _shares(counts: Floats) -> Floats:
    totals = counts.sum(axis=-1, keepdims=True)
    return np.asarray(np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0))


def _divergence(first: Floats, second: Floats) -> Floats:
    """Return KL of two histograms over the last axis."""
    p, q = _shares(first), _shares(second)
    logs = np.log(np.where(p > 0, p, 1.0)) - np.log(np.maximum(q, LEAST_SHARE))
    return np.asarray((p * logs).sum(axis=-1))


def _normalised_divergence(p: Floats, q: Floats) -> Floats:
    """Return KL(p ‖ q) with both normalised after q is raised, as ``scipy.stats.entropy`` does."""
    from scipy.special import rel_entr

    q = np.where(p > 0, np.maximum(q, LEAST_SHARE), q)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, q = p / p.sum(axis=1, keepdims=True), q / q.sum(axis=1, keepdims=True)
        return np.asarray(rel_entr(p, q).sum(axis=1))


def _compressed_sums(terms: Floats, where: Mask) -> Floats:
    """Return row sums of the chosen terms, added in the order in which they would be without the others."""
    order = np.argsort(~where, axis=1, kind="stable")
    moved, lengths = np.take_along_axis(terms, order, 1), where.sum(axis=1)
    sums = np.zeros(len(terms))
    for length in np.unique(lengths[lengths > 0]):
        rows = lengths == length
        sums[rows] = np.ascontiguousarray(moved[rows, :length]).sum(axis=1)
    return sums


def _gaussian(mean_a: Floats, mean_r: Floats, var_a: Floats, var_r: Floats) -> Floats:
    least = LEAST_VARIANCE * ((var_a + var_r) / 2 + (mean_a - mean_r) ** 2 / 4) + 1e-300
    a, r = np.maximum(var_a, least), np.maximum(var_r, least)
    return np.asarray((np.log(r / a) + (a + (mean_a - mean_r) ** 2) / r - 1) / 2)


def _observed_first(sides: Sides, generator: np.random.Generator, n_shuffles: int) -> Mask:
    """Return the true labels and draws of shuffled ones below each other, shape (1 + n_shuffles, units)."""
    drawn = sides.shuffled(generator, n_shuffles)
    observed = np.arange(drawn.shape[1]) < drawn.shape[1] // 2
    return np.concatenate([observed[None], drawn])


def _chunks(n: int) -> list[slice]:
    return [slice(start, start + CHUNK) for start in range(0, n, CHUNK)]


def _shuffled_chunk(bins: statistics.Positions, units: statistics.Positions, labels: Mask) -> Floats:
    """Return `_divergence` of some records under each row of labels, shape (rows, records)."""
    n = bins.shape[1]
    cells = np.zeros((labels.shape[1], n, N_BINS), np.float32)
    row, column = np.nonzero(bins <= N_BINS)
    cells[units[row, column], column, bins[row, column] - 1] = 1
    flat = cells.reshape(len(cells), -1)
    arm = (labels.astype(np.float32) @ flat).reshape(-1, n, N_BINS)
    reference = cells.sum(axis=0) - arm
    return _divergence(arm.astype(np.float64), reference.astype(np.float64))
