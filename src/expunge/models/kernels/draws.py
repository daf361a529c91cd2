"""Keyed draws inside compiled code (spec X04): uint64 only; a signed operand would change the result silently."""

from __future__ import annotations

import numpy as np
from numba import njit

PHI = np.uint64(0x9E3779B97F4A7C15)
LEFT = np.uint64(0xD1B54A32D192ED03)
RIGHT = np.uint64(0x8CB92BA72F3D8DD7)
_M1 = np.uint64(0xBF58476D1CE4E5B9)
_M2 = np.uint64(0x94D049BB133111EB)
_S30 = np.uint64(30)
_S27 = np.uint64(27)
_S31 = np.uint64(31)


@njit(cache=True, nogil=True, inline="always")
def mix(x):
    """Return the splitmix64 finaliser of a uint64."""
    x = (x ^ (x >> _S30)) * _M1
    x = (x ^ (x >> _S27)) * _M2
    return x ^ (x >> _S31)


@njit(cache=True, nogil=True)
def choose_trees(words, n_trees, per_owner):
    """Return, for each owner's word, `per_owner` distinct trees of `n_trees`; shape (n, per_owner), int32."""
    out = np.empty((len(words), per_owner), np.int32)
    for i in range(len(words)):
        h = words[i]
        found = 0
        while found < per_owner:
            h = mix(h + PHI)
            t = np.int32(h % np.uint64(n_trees))
            fresh = True
            for j in range(found):
                if out[i, j] == t:
                    fresh = False
                    break
            if fresh:
                out[i, found] = t
                found += 1
    return out
