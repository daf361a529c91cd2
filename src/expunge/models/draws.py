"""Keyed draws for whole arrays (spec X04): mixed words, and waiting times whose bits are the same on any platform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

U64 = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


def mixed(words: U64) -> U64:
    """Return the splitmix64 finaliser of each word."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


def waits(words: U64) -> Floats:
    """Return -log₂ u of the uniform number u that each word stands for: exponential waiting times, > 0.

    By sums, products and one division, which round alike everywhere; a library's logarithm does not. Error below 10⁻⁷.
    """
    u = ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    share, exponent = np.frexp(u)  # share in [1/2, 1)
    low = share < 0.7071067811865476
    share = np.where(low, 2.0 * share, share)
    s = (share - 1.0) / (share + 1.0)
    square = s * s
    series = s * (1.0 + square * (1 / 3 + square * (1 / 5 + square * (1 / 7 + square * (1 / 9)))))
    found: Floats = -(exponent - low + 2.8853900817779268 * series)
    return np.maximum(found, 2.0**-60)
