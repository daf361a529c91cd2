"""Keyed draws for whole arrays (spec X04): mixed words, and waiting times whose bits are the same on any platform."""

from __future__ import annotations

import sys

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.seeds import Key

U64 = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float64]


SHORT = 32
"""Fewer ids than this are not worth a kernel."""


def keyed_words(key: Key, ids: npt.NDArray[np.generic], person: str = "record") -> U64:
    """Return `Key.words` of an array of ids, shape (n,): the same bits, several times faster where ids are integers."""
    if ids.dtype != np.int64 or len(ids) < SHORT or sys.byteorder != "little":
        return key.words(ids.tolist(), person)
    from expunge.models.kernels import blake

    secret = np.zeros(blake.BLOCK, np.uint8)
    secret[: len(key.bytes)] = np.frombuffer(key.bytes, np.uint8)
    parameters = np.zeros(64, np.uint8)
    parameters[:4] = 8, len(key.bytes), 1, 1  # bytes of the digest and of the key; one leaf, one level
    name = f"expunge/{person}".encode()
    parameters[48 : 48 + len(name)] = np.frombuffer(name, np.uint8)
    big = ids.byteswap().view(np.uint64)  # the message is "i" and the id, big-endian: nine bytes in two words
    messages = np.stack([(big << np.uint64(8)) | np.uint64(ord("i")), big >> np.uint64(56)], axis=1)
    found: U64 = blake.keyed_words(secret.view(np.uint64), parameters.view(np.uint64), messages, 9)
    return found.byteswap()


def owner_words(key: Key, data: Dataset) -> U64:
    """Return the keyed word of each record's owner, shape (n,): the same for all records of one subject."""
    if data.subjects is data.ids:  # every record owns itself
        return keyed_words(key, data.ids, "owner")
    owners, which = np.unique(data.subjects, return_inverse=True)
    return keyed_words(key, owners, "owner")[which]


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
