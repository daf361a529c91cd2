"""Integer moments of numbers, and the power-of-two step that they give: sums without order, forgotten by subtraction.

Source: spec XE03 and X05.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

NO_EXPONENT = -2000
"""The exponent where every number is zero."""
LIMB = 20
EXPONENT, LARGEST = 0, 1
"""Places in the moments: binary exponent of the largest value, and how many values share it."""


def moments(values: npt.NDArray[np.float64]) -> Ints:
    """Return [exponent, values of that exponent, n, Σh, Σl, Σh², Σhl, Σl²] of numbers without gaps, int64.

    The numbers are taken as 40-bit integers in units of 2^(exponent-40), split into limbs h and l of 20 bits, so
    that all sums are exact for n < 2²², whatever their order.
    """
    present = values != 0
    exponents = np.frexp(values)[1]
    exponent = int(exponents[present].max()) if present.any() else NO_EXPONENT
    return np.concatenate([[exponent], sums(values, exponent)]).astype(np.int64)


def sums(values: npt.NDArray[np.float64], exponent: int) -> Ints:
    """Return the moments after the first, of numbers in units of 2^(exponent-40)."""
    found: Ints = sums_of(values[:, None], np.array([exponent], np.int64))[0]
    return found


def sums_of(values: npt.NDArray[np.float64], exponents: Ints) -> Ints:
    """Return `sums` of each column of a table, shape (p, 7); NaN does not count."""
    there = ~np.isnan(values)
    every = np.empty((7, *values.shape), np.int64)
    values = values if there.all() else np.where(there, values, 0.0)
    parts = np.rint(np.ldexp(values, 2 * LIMB - exponents)).astype(np.int64)
    every[0] = (np.frexp(values)[1] == exponents) & (values != 0)
    every[1] = there
    high, low = np.right_shift(parts, LIMB, out=every[2]), np.bitwise_and(parts, (1 << LIMB) - 1, out=every[3])
    for row, (a, b) in enumerate(((high, high), (high, low), (low, low)), 4):
        np.multiply(a, b, out=every[row])
    return np.ascontiguousarray(every.sum(axis=1).T)


def unmoved(found: Ints, places: Sequence[tuple[float, float, int]]) -> bool:
    """Say whether `place` of each row of moments is still this (shift, step, bits).

    Floats decide where rounding cannot matter; the others are done in whole numbers.
    """
    if not len(found):
        return True
    shift, step, bits = (np.array(column) for column in zip(*places, strict=True))
    exponent, n, total = found[:, 0], found[:, 2].astype(np.float64), (found[:, 3] * 2.0**LIMB + found[:, 4])
    squares = found[:, 5] * 2.0 ** (2 * LIMB) + found[:, 6] * 2.0 ** (LIMB + 1) + found[:, 7]
    with np.errstate(all="ignore"):
        spread = n * squares - total * total
        share, log = np.frexp(spread / (n * n))
        sigma = log // 2  # of `place`: its log is one less
        multiple = total / (n * np.ldexp(2.0, sigma)) + 0.5
        sure = (spread > 2.0**-20 * n * squares) & (np.abs(share - 0.75) < 0.25 - 2.0**-20)
        sure &= np.abs(multiple - np.rint(multiple)) > 1e-6 + 1e-10 * np.abs(multiple)
        binary = sigma + exponent - 2 * LIMB
        same = (np.ldexp(np.floor(multiple), binary + 1) == shift) & (binary - bits > -1000)
        same &= np.ldexp(1.0, np.maximum(binary - bits, -1000)) == step
    unsure = np.flatnonzero(~(sure & same))
    return all(place(found[j], places[j][2]) == places[j][:2] for j in unsure.tolist())


def place(found: Ints, bits: int) -> tuple[float, float]:
    """Return (shift, step) of numbers with these moments: step 2^(round(log₂ σ) - bits), shift a multiple of 2σ.

    Integer arithmetic throughout, hence the same bits everywhere.
    """
    exponent, _, n, high, low, high2, both, low2 = (int(v) for v in found)
    total = (high << LIMB) + low
    spread = n * ((high2 << 2 * LIMB) + (both << (LIMB + 1)) + low2) - total * total  # n² σ²
    if spread == 0:
        return 0.0, _power(0 if exponent == NO_EXPONENT else exponent, bits)
    log = spread.bit_length() - (n * n).bit_length()
    if (spread << max(-log, 0)) < ((n * n) << max(log, 0)):
        log -= 1
    sigma = (log + 1) // 2
    up = max(-(sigma + 1), 0)
    unit = 2 * n << (sigma + 1 + up)
    multiple = (2 * (total << up) + unit // 2) // unit
    binary = sigma + exponent - 2 * LIMB
    return float(np.ldexp(float(multiple), binary + 1)), _power(binary, bits)


def _power(binary: int, bits: int) -> float:
    return float(np.ldexp(1.0, max(binary - bits, -1000)))
