"""Who is in which model: keyed draws by owner, so that a row depends on the key, its number and the owner alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.seeds import U64, Key

Rows = npt.NDArray[np.int64]


def units(universe: Dataset, forgotten: Rows, key: Key) -> tuple[Rows, U64]:
    """Return each record's unit and each unit's keyed word.

    A unit is an owner; the forgotten records of an owner who keeps others are a unit of their own.

    Args:
        universe: the records.
        forgotten: rows of those that are forgotten together.
        key: of the words.
    """
    owners, which = np.unique(universe.subjects, return_inverse=True)
    theirs, local = np.unique(which[forgotten], return_inverse=True)
    found = which.astype(np.int64)
    found[forgotten] = len(owners) + local
    words = np.concatenate([key.words(owners.tolist(), "owner"), key.words(owners[theirs].tolist(), "forgot")])
    return found, words


def coin(words: U64, row: int) -> U64:
    """Return another 64 bits for each word and the number of a row."""
    return mix(words + np.uint64((row + 1) * 0x9E3779B97F4A7C15 % 2**64))


def mix(z: U64) -> U64:
    """Return the SplitMix64 finaliser of each word."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
