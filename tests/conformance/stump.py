"""A tree of one split that forgets exactly, small enough to read, and the famous ways in which such trees do not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from expunge.core.deployment import Prediction
from expunge.core.models import Identity, class_labels, rows_to_forget

BINS = 6
Mutation = Literal[
    "none",
    "best score only ever lowered",
    "0/0 counts as valid",
    "saved rows in history order",
    "hash by position",
    "no encoder update",
]


@dataclass(frozen=True)
class Stump:
    """Learns the best split of a keyed half of the records; `mutation` says what it does wrong."""

    mutation: Mutation = "none"

    def fit(self, data, key, progress=None):
        class_labels(data)
        return _grown(self, data, key)


@dataclass(frozen=True, eq=False)
class Split:
    """The model: bin edges, integer counts, which candidates are valid, the best of them, and its sampled rows."""

    learner: Stump
    data: Any = field(repr=False)
    key: Any
    edges: Any
    counts: Any
    valid: Any
    best: tuple[float, int]
    rows: Any

    def losses(self, data):
        logits = self.logits(data)
        k = len(class_labels(self.data))
        codes = np.array([class_labels(self.data).index(data.target.vocabulary[c]) for c in data.target.values], int)
        return np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(data)), codes] if k else None

    def logits(self, data):
        k = len(class_labels(self.data))
        if self.best[1] < 0:
            return np.tile(np.log(self.counts[0].sum(axis=0) + 1.0), (len(data), 1))
        column, cut = divmod(self.best[1], BINS)
        side = _codes(data, self.edges)[column] > cut
        sums = self.counts[column]
        leaves = np.log(np.stack([sums[: cut + 1].sum(axis=0), sums[cut + 1 :].sum(axis=0)]) + 1.0)
        return leaves[side.astype(int)].reshape(len(data), k)

    def state(self):
        return {"edges": self.edges, "counts": self.counts, "best": np.array([self.best[1]])}

    def memory(self):
        return {"valid": self.valid.astype(np.uint8), "rows": self.rows}

    def digest(self):
        return Identity.of(self.learner, self.data, self.key).digest(self.state())

    def plan(self, ids):
        self.data.positions(ids)
        return Prediction(seconds=0.0)

    def without(self, ids):
        listed = list(dict.fromkeys(ids))
        gone = rows_to_forget(self.data, listed)
        if not len(gone):
            return self
        learner, kept = self.learner, self.data.without(listed)
        edges = self.edges if learner.mutation == "no encoder update" else _edges(kept)
        if not np.array_equal(edges, self.edges):
            return _grown(learner, kept, self.key)
        taken = self.data.take(gone)
        counts = self.counts - _counts(taken, edges, _words(learner, taken, self.key), self.counts.shape[2])
        scores, valid = _scores(counts)
        if learner.mutation == "0/0 counts as valid":
            valid = self.valid & (valid | (_empty_side(counts)))
        best = _argmin(scores, valid)
        if learner.mutation == "best score only ever lowered" and not best[0] < self.best[0]:
            best = self.best
        words = _words(learner, kept, self.key)
        rows = _rows(words)
        if learner.mutation == "saved rows in history order":
            rows = _swapped(self.rows, rows)
        return replace(self, data=kept, edges=edges, counts=counts, valid=valid, best=best, rows=rows)


def _grown(learner, data, key):
    edges, words = _edges(data), _words(learner, data, key)
    counts = _counts(data, edges, words, len(class_labels(data)))
    scores, valid = _scores(counts)
    return Split(learner, data, key, edges, counts, valid, _argmin(scores, valid), _rows(words))


def _numbers(data):
    return [column.values for _, column in sorted(data.columns.items()) if column.values.dtype.kind == "f"]


def _edges(data):
    """Equal cells on a power-of-two unit between the smallest and the largest kept value: a function of the set."""
    found = []
    for values in _numbers(data):
        there = values[~np.isnan(values)]
        if not len(there) or there.min() == there.max():
            found.append(np.full(BINS - 2, np.inf))
            continue
        unit = 2.0 ** np.ceil(np.log2((there.max() - there.min()) / (BINS - 2)))
        found.append((np.floor(there.min() / unit) + np.arange(1, BINS - 1)) * unit)
    return np.array(found)


def _codes(data, edges):
    """Bin 0 is for what is missing."""
    return [
        np.where(np.isnan(v), 0, 1 + (v[:, None] > e[None, :]).sum(axis=1))
        for v, e in zip(_numbers(data), edges, strict=True)
    ]


def _words(learner, data, key):
    names = range(len(data)) if learner.mutation == "hash by position" else data.ids.tolist()
    return key.words(names)


def _sampled(words):
    return words % np.uint64(4) != 0


def _rows(words):
    return np.sort(words[_sampled(words)])


def _swapped(before, kept):
    """Remove as a free list would: the last row takes the place of the one that goes."""
    rows, left = before.tolist(), set(kept.tolist())
    for value in before.tolist():
        if value not in left:
            place = rows.index(value)
            rows[place] = rows[-1]
            rows.pop()
    return np.array(rows, np.uint64)


def _counts(data, edges, words, k):
    """Counts of shape (columns, bins, classes) over the sampled records."""
    labels = class_labels(data) if data.classes else data.target.vocabulary
    place = {word: j for j, word in enumerate(labels)}
    y = np.array([place[data.target.vocabulary[c]] for c in data.target.values], int)
    take, counts = _sampled(words), np.zeros((len(edges), BINS, k), np.int64)
    for column, codes in enumerate(_codes(data, edges)):
        np.add.at(counts[column], (codes[take], y[take]), 1)
    return counts


def _empty_side(counts):
    below = counts.cumsum(axis=1).sum(axis=2)
    total = below[:, -1:]
    return ((below == 0) | (below == total)).ravel()


def _scores(counts):
    left = counts.cumsum(axis=1).astype(np.float64)
    right = left[:, -1:, :] - left
    impurity = 0.0
    for side in (left, right):
        n = side.sum(axis=2)
        impurity = impurity + (n * n - (side * side).sum(axis=2)) / np.maximum(n, 1)
    share = impurity / np.maximum(left[:, -1:, :].sum(axis=2), 1)  # a share can rise when records go, a count cannot
    return share.ravel(), ~_empty_side(counts)


def _argmin(scores, valid):
    if not valid.any():
        return np.inf, -1
    masked = np.where(valid, scores, np.inf)
    return float(masked.min()), int(masked.argmin())
