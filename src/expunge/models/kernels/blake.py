"""BLAKE2b of many short messages under one key, eight at a time: the keyed words of ids (spec X03; RFC 7693)."""

from __future__ import annotations

import numpy as np
from numba import njit

LANES = 8
"""Messages that are hashed side by side, so that the compiler can use wide registers."""
BLOCK = 128
"""Bytes of one block; a message has at most this many."""
START = np.array(
    [
        0x6A09E667F3BCC908, 0xBB67AE8584CAA73B, 0x3C6EF372FE94F82B, 0xA54FF53A5F1D36F1,
        0x510E527FADE682D1, 0x9B05688C2B3E6C1F, 0x1F83D9ABFB41BD6B, 0x5BE0CD19137E2179,
    ],
    np.uint64,
)  # fmt: skip
ORDER = np.array(
    [
        [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
        [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
        [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
        [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
        [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
        [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
        [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
        [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
        [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
    ],
    np.int64,
)
MIXED = np.array(
    [
        [0, 4, 8, 12], [1, 5, 9, 13], [2, 6, 10, 14], [3, 7, 11, 15],
        [0, 5, 10, 15], [1, 6, 11, 12], [2, 7, 8, 13], [3, 4, 9, 14],
    ],
    np.int64,
)  # fmt: skip


@njit(cache=True, nogil=True)
def compress(h, m, counted, last, v):
    """Take one block of each lane into its state.

    Args:
        h: states, shape (8, LANES), uint64; changed.
        m: blocks, shape (16, LANES), uint64.
        counted: bytes so far, this block included, shape (LANES,), uint64.
        last: all ones for the last block, else zero.
        v: room, shape (16, LANES), uint64.
    """
    for i in range(8):
        for lane in range(LANES):
            v[i, lane] = h[i, lane]
            v[i + 8, lane] = START[i]
    for lane in range(LANES):
        v[12, lane] ^= counted[lane]
        v[14, lane] ^= last
    for r in range(12):
        for g in range(8):
            a, b, c, d = MIXED[g]
            x, y = ORDER[r % 10, 2 * g], ORDER[r % 10, 2 * g + 1]
            for lane in range(LANES):
                va, vb, vc, vd = v[a, lane], v[b, lane], v[c, lane], v[d, lane]
                va = va + vb + m[x, lane]
                vd = vd ^ va
                vd = (vd >> np.uint64(32)) | (vd << np.uint64(32))
                vc = vc + vd
                vb = vb ^ vc
                vb = (vb >> np.uint64(24)) | (vb << np.uint64(40))
                va = va + vb + m[y, lane]
                vd = vd ^ va
                vd = (vd >> np.uint64(16)) | (vd << np.uint64(48))
                vc = vc + vd
                vb = vb ^ vc
                vb = (vb >> np.uint64(63)) | (vb << np.uint64(1))
                v[a, lane], v[b, lane], v[c, lane], v[d, lane] = va, vb, vc, vd
    for i in range(8):
        for lane in range(LANES):
            h[i, lane] ^= v[i, lane] ^ v[i + 8, lane]


@njit(cache=True, nogil=True)
def keyed_words(key, parameters, messages, length):
    """Return the first 64 bits of the keyed digest of each message.

    Args:
        key: shape (16,), uint64: the key, little-endian, padded with zeros to one block.
        parameters: shape (8,), uint64: the parameter block.
        messages: shape (n, k), uint64, little-endian, k at most 16; what is missing of a block is zero.
        length: bytes of each message.

    Returns:
        Array of shape (n,), uint64, little-endian as the digest starts.
    """
    n = len(messages)
    out = np.empty(n, np.uint64)
    v = np.empty((16, LANES), np.uint64)
    m = np.zeros((16, LANES), np.uint64)
    begun = np.empty((8, LANES), np.uint64)
    counted = np.full(LANES, np.uint64(BLOCK))
    for lane in range(LANES):
        for i in range(8):
            begun[i, lane] = START[i] ^ parameters[i]
        for i in range(16):
            m[i, lane] = key[i]
    compress(begun, m, counted, np.uint64(0), v)
    h = np.empty((8, LANES), np.uint64)
    for lane in range(LANES):
        counted[lane] = np.uint64(BLOCK + length)
        for i in range(16):
            m[i, lane] = 0
    for first in range(0, n, LANES):
        many = min(LANES, n - first)
        for lane in range(many):
            for i in range(messages.shape[1]):
                m[i, lane] = messages[first + lane, i]
        for i in range(8):
            for lane in range(LANES):
                h[i, lane] = begun[i, lane]
        compress(h, m, counted, np.uint64(0xFFFFFFFFFFFFFFFF), v)
        for lane in range(many):
            out[first + lane] = h[0, lane]
    return out
