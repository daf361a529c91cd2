"""What the trees of a forest answer: shares of classes or means of numbers, and the losses of records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput
from expunge.models.encoding.grid import Grid
from expunge.models.forest.target import Target
from expunge.models.forest.trees import Tree
from expunge.models.scores import squared_errors

if TYPE_CHECKING:
    from expunge.core.roles import Floats


def votes(grid: Grid, target: Target, trees: list[Tree], data: Dataset) -> Floats:
    """Return the mean of the trees' answers in tree order, shape (n, k); of numbers, (n, 1), in steps of the target."""
    from expunge.models.kernels.trees import add_votes

    codes = np.ascontiguousarray(grid.encode(data).T)
    found = np.zeros((len(data), len(target.labels) or 1))
    nominal = grid.nominal
    for tree in trees:
        add_votes(tree.nodes, tree.counts, codes, nominal, target.sums, found)
    mean: Floats = found / len(trees)
    return mean


def numbers(mean: Floats, target: Target) -> Floats:
    """Return the numbers that these votes stand for, shape (n,)."""
    return np.asarray(target.low + target.step * mean[:, 0])


def log_shares(mean: Floats, n_trees: int) -> Floats:
    """Return log-probabilities, shape (n, k); shares below 1/(10 n_trees) count as that."""
    return np.log(np.maximum(mean, 0.1 / n_trees))


def losses(mean: Floats, target: Target, n_trees: int, data: Dataset) -> Floats:
    """Return the loss of each record, shape (n,): cross-entropy in nats, or the squared error of a number.

    Raises:
        BadInput: the records have no target.
    """
    if data.target is None:
        raise BadInput("the data have no target, so there are no losses")
    if target.sums:
        return squared_errors(numbers(mean, target), data)
    logits, worst = log_shares(mean, n_trees), np.log(0.1 / n_trees)
    place = {label: i for i, label in enumerate(target.labels)}
    codes = np.array([place.get(word, -1) for word in data.target.vocabulary] + [-1])[data.target.values]
    return np.asarray(-np.where(codes >= 0, logits[np.arange(len(data)), codes], worst))
