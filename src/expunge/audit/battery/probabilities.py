"""Class probabilities of pools, and the divergences and distances of M21 and M22 with their published forms."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from expunge.audit.pools import Pool
from expunge.audit.statistics import Positions
from expunge.core.errors import Unsupported
from expunge.core.roles import Floats

CELLS: Final = 2_000_000
"""Probabilities of a pool that are held at once."""
TINY: Final = float(np.finfo(np.float32).tiny)


def js(p: Floats, q: Floats) -> Floats:
    """Return the Jensen–Shannon divergence of probabilities over the last axis, in bits, in [0, 1]."""
    mixed = (p + q) / 2
    gap = _entropy(mixed) - (_entropy(p) + _entropy(q)) / 2
    return np.asarray(np.clip(gap / np.log(2), 0.0, 1.0))


def js_legacy(p: Floats, q: Floats) -> Floats:
    """Return what public code calls so: KL to the wrong side, in nats, and a mean over classes, not a sum (B7)."""
    mixed = (p + q) / 2
    logs = 2 * np.log(np.maximum(mixed, TINY)) - np.log(np.maximum(p, TINY)) - np.log(np.maximum(q, TINY))
    return np.asarray((mixed * logs).mean(axis=-1) / 2)


def zrf(p: Floats, untrained: Floats) -> float:
    """Return 1 − the mean JS divergence to an untrained model: 1 = knows as little, arrays of shape (n, k).

    Source: M21; Chundawat et al. (2023).
    """
    return 1 - float(js(p, untrained).mean())


def zrf_legacy(p: Floats, untrained: Floats) -> float:
    """Return the published code's number, near 1 for whatever has many classes (B7)."""
    return 1 - float(js_legacy(p, untrained).mean())


def activation_distance(p: Floats, q: Floats, norm: int = 2) -> float:
    """Return the mean over records of ‖p − q‖, arrays of shape (n, k).

    Args:
        p: probabilities of one model.
        q: of the other.
        norm: 2, or 1.

    Source: M22.
    """
    return float(np.linalg.norm(p - q, ord=norm, axis=-1).mean())


def activation_distance_legacy(p: Floats, q: Floats) -> float:
    """Return √(mean square) in place of the mean norm, as some public code does: never below the mean (W10)."""
    return float(np.sqrt(((p - q) ** 2).sum(axis=-1).mean()))


def chunks(records: Positions, pool: Pool) -> Iterator[Positions]:
    """Yield some records at a time, so that a pool's probabilities for them fit into memory.

    Raises:
        Unsupported: there are no logits.
    """
    if pool.logits is None:
        raise Unsupported("class probabilities need logits")
    size = max(1, CELLS // (len(pool) * pool.logits.shape[2]))
    for start in range(0, len(records), size):
        yield records[start : start + size]


def probabilities(pool: Pool, records: Positions) -> Floats:
    """Return class probabilities of some records, shape (M, records, k), float64.

    Raises:
        Unsupported: there are no logits.
    """
    if pool.logits is None:
        raise Unsupported("class probabilities need logits")
    wide = np.asarray(pool.logits[:, records], np.float64)
    raised = np.exp(wide - wide.max(axis=-1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=-1, keepdims=True))


def _entropy(p: Floats) -> Floats:
    """Return −Σ p ln p over the last axis; 0 · ln 0 = 0."""
    return np.asarray(-(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1))
