"""Integer moments of numbers, and the power-of-two step that they give: sums without order, forgotten by subtraction.

Source: spec XE03 and X05.
"""

from __future__ import annotations

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
    parts = np.rint(np.ldexp(values, 2 * LIMB - exponent)).astype(np.int64)
    high, low = parts >> LIMB, parts & ((1 << LIMB) - 1)
    largest = (np.frexp(values)[1] == exponent) & (values != 0)
    every = np.stack([largest, np.ones_like(parts), high, low, high * high, high * low, low * low])
    found: Ints = every.sum(axis=1, dtype=np.int64)
    return found


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
