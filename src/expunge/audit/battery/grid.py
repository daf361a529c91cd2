"""The published grid of M18: thresholds 0.01 apart and pairs of thresholds, as the challenge's scorer lays them."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from expunge.core.roles import Floats

DELTA: Final = 1e-5
CAP: Final = 50.0
PER_UNIT: Final = 100
BUFFER: Final = 2.0


@lru_cache(maxsize=64)
def table(n_models: int) -> Floats:
    """Return ε by the number of missed and of falsely found models, shape (N + 1, N + 1); −inf where it is left out.

    The rates are float32, as they are in the published scorer: the two agree to the last digit.

    Source: M18: 50 where both are zero; left out where one is; else the larger of the two branches, at least 0.
    """
    shares = np.arange(n_models + 1, dtype=np.float32) / np.float32(n_models)
    fnr, fpr = shares[:, None], shares[None, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        branches = [np.log(1 - DELTA - b) - np.log(a) for a, b in ((fnr, fpr), (fpr, fnr))]
    found = np.asarray(np.fmax(np.fmax(branches[0], branches[1]), 0), np.float64)
    found[0, :] = found[:, 0] = -np.inf
    found[0, 0] = CAP
    return found


def grid_epsilons(after: Floats, reference: Floats) -> Floats:
    """Return the published ε of each record, shape (n,), in [0, 50].

    Args:
        after: signals of the models in question, shape (N, n).
        reference: signals of retrained models, same shape.

    Cost: 3 ms a record at 256 models a side (the published scorer: 2 s).
    Source: M18; B6: the published scorer stops at an assertion about an array whenever more than one threshold counts.
        Where none counts, it has nothing to say; we say 0.
    """
    signals = np.asarray(after, np.float64), np.asarray(reference, np.float64)
    larger = np.median(signals[1], axis=0) > np.median(signals[0], axis=0)
    positive, negative = np.where(larger, signals[1], signals[0]), np.where(larger, signals[0], signals[1])
    return np.array([_epsilon(p, n) for p, n in zip(positive.T, negative.T, strict=True)])


def _epsilon(positive: Floats, negative: Floats) -> float:
    ranges = sorted((float(np.ptp(positive)), float(np.ptp(negative))))
    if ranges[1] > 0 and ranges[0] / ranges[1] < 0.01:
        return CAP
    best = max(_single(positive, negative), _double(positive, negative))
    return float(min(max(best, 0.0), CAP))


def _single(positive: Floats, negative: Floats) -> float:
    """Return the largest ε of ``signal ≥ threshold``, thresholds over the pooled range."""
    low, high = min(positive.min(), negative.min()), max(positive.max(), negative.max())
    thresholds = np.linspace(low, high, int(np.ceil((high - low) * PER_UNIT)))
    if not len(thresholds):
        return -np.inf
    n = len(positive)
    missed = np.searchsorted(np.sort(positive), thresholds)
    false = n - np.searchsorted(np.sort(negative), thresholds)
    return float(table(n)[missed, false].max())


def _double(positive: Floats, negative: Floats) -> float:
    """Return the largest ε of ``left ≤ signal ≤ right``, for intervals about as wide as the peakier pool."""
    if np.ptp(positive) >= np.ptp(negative):
        positive, negative = negative, positive
    width = positive.max() - positive.min()
    low, high = positive.min() + width - BUFFER, positive.max() + BUFFER
    right = np.linspace(low, high, int(np.ceil((high - low) * PER_UNIT)))
    left = np.linspace(right - width - BUFFER, right - width + BUFFER, int(np.ceil(2 * BUFFER * PER_UNIT)), axis=1)
    n = len(positive)
    order = np.argsort(np.concatenate([positive, negative]), kind="stable")
    pooled = np.concatenate([positive, negative])[order]
    # one number stands for (positives missed, negatives found), and both ends of an interval add to it
    steps = np.concatenate([[0], np.cumsum(np.where(order < n, n + 1, -1))])
    upto = n * (n + 1) - steps[np.searchsorted(pooled, right, side="right")]
    cells = upto[:, None] + steps[np.searchsorted(pooled, left.ravel()).reshape(left.shape)]
    if width < BUFFER:
        cells[left > right[:, None]] = n * (n + 1)  # nothing is inside
    return float(table(n).ravel()[cells].max())
