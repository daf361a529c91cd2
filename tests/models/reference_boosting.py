"""Canonical boosting again, from its definition (spec XL02, X04, X05): plain Python numbers, no numba, no state.

Slow and plain on purpose: it shares with the shipped learner only the encoder's bins and the keyed words of names.
"""

from __future__ import annotations

import math
from decimal import Decimal, localcontext
from functools import cache

from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.boosting.learner import Boosting
from expunge.models.encoding.grid import Grid
from expunge.models.encoding.moments import moments, place

MASK = (1 << 64) - 1
PHI = 0x9E3779B97F4A7C15


def mix(x: int) -> int:
    """The splitmix64 finaliser."""
    x &= MASK
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


@cache
def sigmoid(margin: int, step: float) -> Decimal:
    """1/(1 + exp(-margin·step)) to 40 digits, of a margin within 20 nats."""
    top = int(20 / step)
    with localcontext() as context:
        context.prec = 40
        return 1 / (1 + (-max(-top, min(top, margin)) * Decimal(repr(step))).exp())


class Reference:
    """Boosting of the reference; `chain(c)` gives its trees as lists of (feature, slot) and of leaf values."""

    def __init__(self, learner: Boosting, data: Dataset, key: Key) -> None:
        self.learner, self.n = learner, len(data)
        self.grid = Grid.of(data, key, learner.n_bins)
        self.codes = self.grid.encode(data).tolist()
        self.labels = self.grid.labels().tolist()
        self.equal = [f.kind in ("nominal", "hashed") for f in self.grid.features for _ in range(f.width)]
        self.names = [key.word(f"column/{name}") for name in self.grid.names]
        self.words = [key.word(f"round/{r}") for r in range(learner.rounds)]
        self.owners = [int(w) for w in key.words(data.subjects.tolist(), "owner")]
        bucket = 1 << (self.n - 1).bit_length()
        self.bound = MASK if bucket <= learner.sample else MASK // bucket * learner.sample
        self.number = data.target.kind == "number"
        coarse = max(1, round(0.25 / learner.step))
        if self.number:
            shift, step = place(moments(data.target.values), 10)
            self.y = [[round((v - shift) / step) for v in data.target.values.tolist()]]
            self.unit = max(1, round(learner.step * 1024))
            self.bases = [math.floor((2 * sum(self.y[0]) / (2 * self.n * self.unit * coarse)) + 0.5) * coarse]
            return
        k = len(data.classes or data.target.vocabulary)
        words = data.classes or data.target.vocabulary
        classes = [words.index(data.target.vocabulary[v]) for v in data.target.values.tolist()]
        wanted = [1] if k == 2 else range(k if k > 2 else 0)
        self.y = [[(c == own) << 16 for c in classes] for own in wanted]
        top = int(20 / learner.step)
        grid = [m * coarse for m in range(-(top // coarse), top // coarse + 1)]
        table = [round(65536 * sigmoid(m, learner.step)) for m in grid]
        self.bases = [
            grid[min(range(len(grid)), key=lambda j, own=own: (abs(table[j] * self.n - sum(own)), j))] for own in self.y
        ]

    def pull(self, margin: int, y: int) -> tuple[int, int]:
        """Gradient and curvature of one record."""
        if self.number:
            return margin * self.unit - y, 256
        p = sigmoid(margin, self.learner.step)
        return round(65536 * p) - y, max(round(65536 * p * (1 - p)), 1)

    def look(self, r: int) -> tuple[list[int], dict[int, list[int]]]:
        """The features of a round, and the slot of each of their bins."""
        n_bins, cuts = self.learner.n_bins, self.learner.cuts
        order = sorted(range(len(self.names)), key=lambda f: mix(self.words[r] ^ self.names[f]))
        features = sorted(order[: max(1, math.ceil(self.learner.columns * len(order)))])
        slots = {}
        for f in features:
            own = mix(self.words[r] ^ self.names[f])
            if self.equal[f]:
                slots[f] = [mix(own ^ label) % (cuts + 1) for label in self.labels[f]]
                continue
            drawn = sorted(range(n_bins - 1), key=lambda b, own=own: mix(own + PHI * (b + 1)))[:cuts]
            slots[f] = [sum(cut < b for cut in drawn) for b in range(n_bins)]
        return features, slots

    def chain(self, c: int) -> list[tuple[list[tuple[int, int]], list[int]]]:
        """The trees of one chain."""
        margins, trees = [self.bases[c]] * self.n, []
        for r in range(self.learner.rounds):
            rows = [i for i in range(self.n) if mix(self.owners[i] + self.words[r]) <= self.bound]
            pulls = {i: self.pull(margins[i], self.y[c][i]) for i in rows}
            splits, values = [(-1, 0)] * ((1 << self.learner.depth) - 1), [0] * (1 << self.learner.depth)
            bar = self.bar([pulls[i][0] for i in rows])
            look = self.look(r)
            self.grow(r, 0, 0, rows, pulls, look, bar, splits, values)
            for i in range(self.n):
                margins[i] += values[self.leaf(i, splits, look[1])]
            trees.append((splits, values))
        return trees

    def bar(self, gradients: list[int]) -> float:
        """What a split must gain."""
        if not self.number or not self.learner.min_gain:
            return self.learner.min_gain * 65536.0
        mean = sum(max(-(2**20), min(2**20, g)) ** 2 for g in gradients) // max(len(gradients), 1)
        return self.learner.min_gain / 256.0 * 2.0 ** mean.bit_length()

    def worth(self, rows: list[int], pulls: dict[int, tuple[int, int]]) -> float:
        """The score of one side."""
        g, h = sum(pulls[i][0] for i in rows), sum(pulls[i][1] for i in rows)
        return float(g) * float(g) / float(h + round(self.learner.penalty * (256 if self.number else 65536)))

    def grow(self, r, node, level, rows, pulls, look, bar, splits, values) -> None:
        """Decide a node, and what is below it."""
        learner, (features, slots) = self.learner, look
        best, whole = None, self.worth(rows, pulls)
        for f in features if level < learner.depth and rows else ():
            seen = sorted({slots[f][self.codes[f][i]] for i in rows})
            for s in seen:
                left = [i for i in rows if self.goes_left(f, s, i, slots)]
                right = [i for i in rows if not self.goes_left(f, s, i, slots)]
                if min(len(left), len(right)) < learner.min_rows:
                    continue
                gain = self.worth(left, pulls) + self.worth(right, pulls) - whole
                if gain > bar and (best is None or gain > best[0]):
                    best = (gain, f, s, left, right)
        if best is None:
            first = (node + 1 - (1 << level)) << (learner.depth - level)
            values[first] = self.value(r, first, rows, pulls)
            return
        _, f, s, left, right = best
        splits[node] = (f, s)
        self.grow(r, 2 * node + 1, level + 1, left, pulls, look, bar, splits, values)
        self.grow(r, 2 * node + 2, level + 1, right, pulls, look, bar, splits, values)

    def value(self, r: int, leaf: int, rows: list[int], pulls: dict[int, tuple[int, int]]) -> int:
        """A leaf's value in steps."""
        if not rows:
            return 0
        learner, one = self.learner, 256.0 if self.number else 65536.0
        g, h = sum(pulls[i][0] for i in rows), sum(pulls[i][1] for i in rows) + round(learner.penalty * one)
        per_step = self.unit / (learner.rate * one) if self.number else learner.step / learner.rate
        dither = (mix(self.words[r] + PHI * (leaf + 1)) >> 11) * 2.0**-53
        most = int(10 / learner.step)
        return max(-most, min(most, math.floor(-float(g) / float(h) / per_step + dither)))

    def goes_left(self, f: int, s: int, row: int, slots: dict[int, list[int]]) -> bool:
        """Which side a record takes."""
        own = slots[f][self.codes[f][row]]
        return own == s if self.equal[f] else own <= s

    def leaf(self, row: int, splits: list[tuple[int, int]], slots: dict[int, list[int]]) -> int:
        """The leaf that a record falls into."""
        node, depth = 0, self.learner.depth
        for level in range(depth):
            f, s = splits[node]
            if f < 0:
                return (node + 1 - (1 << level)) << (depth - level)
            node = 2 * node + (1 if self.goes_left(f, s, row, slots) else 2)
        return node + 1 - (1 << depth)
