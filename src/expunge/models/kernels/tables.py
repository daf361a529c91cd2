"""What the kernels of the forest are given: the encoded records, the rules, and room to work in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit


class Table(NamedTuple):
    """The encoded records.

    Attributes:
        codes: bins, shape (n, d), uint8.
        y: class codes, or quantised targets, shape (n,), uint32.
        h: keyed words of the ids, shape (n,), uint64.
        nominal: which features split by equality, shape (d,).
        names: keyed words of the features' names, shape (d,), uint64.
        order: the features by ascending keyed word, shape (d,), int32.
    """

    codes: np.ndarray
    y: np.ndarray
    h: np.ndarray
    nominal: np.ndarray
    names: np.ndarray
    order: np.ndarray


class Rules(NamedTuple):
    """The hyper-parameters that the kernels need.

    Attributes:
        channels: integers a histogram bin holds: the count of each class, or a count and the two halves of a sum.
        sums: whether targets are summed (a regression).
        prime: the least prime that is not below the number of features.
    """

    max_depth: int
    min_split: int
    n_bins: int
    channels: int
    sums: bool
    max_features: int
    sample: int
    thresholds: int
    random_depth: int
    keep: int
    prime: int


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def rules_of(numbers):
    """Return rules that were passed as an array: it is passed to compiled code in a tenth of the time."""
    return Rules(
        numbers[0],
        numbers[1],
        numbers[2],
        numbers[3],
        numbers[4] != 0,
        numbers[5],
        numbers[6],
        numbers[7],
        numbers[8],
        numbers[9],
        numbers[10],
    )


class Scratch(NamedTuple):
    """Room that one call of a kernel works in; nothing in it outlives the call.

    Attributes:
        picked: feature, lowest and highest bin of each candidate, shape (F, 3), int64.
        hist: histograms of a node, shape (F, bins, channels); zero between uses.
        sums: sums of one feature's histogram up to each bin, shape (bins, channels), int64.
        packed: the same of two classes, the second in the upper half, shape (bins,), uint32.
        tried: thresholds that are tried, shape (bins,), int64.
        sampled: the sampled rows, shape (n,), uint32.
    """

    picked: np.ndarray
    hist: np.ndarray
    sums: np.ndarray
    packed: np.ndarray
    tried: np.ndarray
    sampled: np.ndarray


@njit(cache=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
def make_scratch(rules, n, hist):
    """Return room to work on nodes of up to n rows."""
    return Scratch(
        np.empty((rules.max_features, 3), np.int64),
        np.zeros((rules.max_features, rules.n_bins, rules.channels), hist.dtype),
        np.empty((rules.n_bins + 1, rules.channels), np.int64),
        np.empty(rules.n_bins, np.uint32),
        np.empty(rules.n_bins, np.int64),
        np.empty(n, np.uint32),
    )
