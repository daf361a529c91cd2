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
_S32 = np.uint64(32)
ALL_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
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


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def walk_of(path, prime):
    """Return (start, stride) of a node's walk over the features: positions start, start + stride, … modulo the prime.

    The walk meets each position once, and each pair of features is as likely to stand at two given places as any.
    """
    word = mix(path ^ PHI)
    start = np.int64((word >> _S32) % np.uint64(prime))
    stride = np.int64(1) + np.int64((word & (ALL_ONES >> _S32)) % np.uint64(prime - 1))
    return start, stride


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def bucket(n, sample):
    """Return 0 if all n rows are looked at, else the exponent of the power of two that sets the sampling rate."""
    if n <= sample:
        return 0
    exponent = 0
    while (1 << exponent) < n:
        exponent += 1
    return exponent


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def rate(exponent, sample):
    """Return the bound θ: a row is in the sample if its keyed word is at most this."""
    if exponent == 0:
        return ALL_ONES
    return (ALL_ONES >> np.uint64(exponent)) * np.uint64(sample)


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def draw_sample(rows, start, n, path, h, sample, out):
    """Copy the sampled rows of a segment to `out`; return how many there are."""
    exponent = bucket(n, sample)
    if exponent == 0:
        for i in range(n):
            out[i] = rows[start + i]
        return n
    bound = rate(exponent, sample)
    m = 0
    for i in range(n):
        row = rows[start + i]
        out[m] = row
        m += 1 if mix(h[row] ^ path) <= bound else 0
    return m
