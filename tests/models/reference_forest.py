"""The canonical forest again, from its definition (spec XL01, X04, X05): plain Python numbers, no numba, no state.

Slow and plain on purpose: it shares with the shipped forest only the encoder's bins and the keyed words of names.
"""

from __future__ import annotations

from math import ceil, floor, log2

from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.encoding.grid import Grid
from expunge.models.forest.learner import Forest

MASK = (1 << 64) - 1
PHI, LEFT, RIGHT = 0x9E3779B97F4A7C15, 0xD1B54A32D192ED03, 0x8CB92BA72F3D8DD7


def mix(x: int) -> int:
    """The splitmix64 finaliser."""
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
    return x ^ (x >> 31)


def trees_of(word: int, n_trees: int, per_owner: int) -> set[int]:
    """The trees of one owner."""
    found: set[int] = set()
    while len(found) < min(per_owner, n_trees):
        word = mix((word + PHI) & MASK)
        found.add(word % n_trees)
    return found


def gini(left: list[int], right: list[int]) -> float:
    """The size-weighted Gini impurities of both sides: one correctly rounded division of whole numbers."""
    (a, p), (b, q) = ((sum(side), sum(side) ** 2 - sum(c * c for c in side)) for side in (left, right))
    return (p * b + q * a) / (a * b)


def spread(left: list[int], right: list[int]) -> float:
    """Less the squared sums over the counts of both sides, of (count, sum) each."""
    return -(left[1] ** 2 / left[0] + right[1] ** 2 / right[0])


def least_prime(d: int) -> int:
    return next(p for p in range(max(2, d), 2 * d + 3) if all(p % q for q in range(2, p)))


class Reference:
    """A forest of the reference; `tree(t)` gives a tree as nested tuples."""

    def __init__(self, learner: Forest, data: Dataset, key: Key) -> None:
        self.learner, self.data, self.key = learner, data, key
        grid = Grid.of(data, key, learner.n_bins)
        self.codes = grid.encode(data).tolist()
        self.nominal = grid.nominal.tolist()
        self.names = [key.word(f"column/{name}") for name in grid.names]
        self.h = [int(w) for w in key.words(data.ids.tolist())]
        owners = [int(w) for w in key.words(data.subjects.tolist(), "owner")]
        self.member = [trees_of(w, learner.n_trees, learner.trees_per_owner) for w in owners]
        self.numbers = data.target.kind == "number"
        if self.numbers:
            least, greatest = data.target.values.min(), data.target.values.max()
            width = 2.0 ** ceil(log2((greatest - least) or abs(least)))
            self.low, self.step = floor(least / width) * width, width * 2.0 ** (1 - 26 + learner.sample.bit_length())
            self.y = [round((v - self.low) / self.step) for v in data.target.values.tolist()]
        else:
            self.y = data.target.values.tolist()
            self.k = len(data.classes or data.target.vocabulary)
        d = len(self.names)
        self.width = max(1, min(int(d**0.5) if learner.max_features == "sqrt" else learner.max_features, d))

    def tree(self, t: int) -> tuple:
        """(counts,) for a leaf, (counts, feature, bin, left, right) for a split."""
        rows = [i for i in range(len(self.data)) if t in self.member[i]]
        return self.grow(rows, self.key.word(f"tree/{t}"), 0)

    def grow(self, rows: list[int], path: int, depth: int) -> tuple:
        counts = self.count(rows)
        rules = self.learner
        if len(rows) < rules.min_split or depth >= rules.max_depth or len({self.y[i] for i in rows}) <= 1:
            return (counts,)
        split = self.split(self.sample(rows, path), path, depth)
        if split is None:
            return (counts,)
        feature, chosen = split
        goes = [self.goes_left(feature, chosen, i) for i in rows]
        sides = ([i for i, g in zip(rows, goes, strict=True) if g is side] for side in (True, False))
        left, right = (
            self.grow(side, mix(path ^ turn), depth + 1) for side, turn in zip(sides, (LEFT, RIGHT), strict=True)
        )
        return counts, feature, chosen, left, right

    def count(self, rows: list[int]) -> list[int]:
        """Records of each class; of numbers: count, sum, sum of squares."""
        y = [self.y[i] for i in rows]
        return [len(y), sum(y), sum(v * v for v in y)] if self.numbers else [y.count(c) for c in range(self.k)]

    def sample(self, rows: list[int], path: int) -> list[int]:
        """All rows of a small node; of a larger one those whose keyed word is below the rate of its size."""
        if len(rows) <= self.learner.sample:
            return rows
        exponent = (len(rows) - 1).bit_length()
        bound = (MASK >> exponent) * self.learner.sample
        return [i for i in rows if mix(self.h[i] ^ path) <= bound]

    def walk(self, path: int) -> list[int]:
        """The features in the order of a node: those sorted by keyed name, in keyed steps modulo a prime."""
        by_name = sorted(range(len(self.names)), key=lambda f: self.names[f])
        prime, word = least_prime(len(by_name)), mix(path ^ PHI)
        start, stride = (word >> 32) % prime, 1 + (word & 0xFFFFFFFF) % (prime - 1)
        places = [(start + i * stride) % prime for i in range(prime)]
        return [by_name[p] for p in places if p < len(by_name)]

    def split(self, rows: list[int], path: int, depth: int) -> tuple[int, int] | None:
        """The first best split, in keyed order of features, then in order of bins."""
        order = [f for f in self.walk(path) if len({self.codes[f][i] for i in rows}) > 1][: self.width]
        if order and depth < self.learner.random_depth:
            return order[0], self.candidates(order[0], rows, path)[0]
        score, best = spread if self.numbers else gini, None
        for f in order:
            for b in sorted(self.candidates(f, rows, path)):
                left = self.count([i for i in rows if self.goes_left(f, b, i)])
                right = [a - c for a, c in zip(self.count(rows), left, strict=True)]
                value = score(left, right)
                if best is None or value < best[0]:
                    best = (value, f, b)
        return best and best[1:]

    def candidates(self, f: int, rows: list[int], path: int) -> list[int]:
        """The bins that are tried, in the order of the keyed walk over all bins."""
        bins = self.learner.n_bins
        start, step = mix(path ^ self.names[f]) % bins, {64: 39, 256: 157}[bins]
        walk = [(start + i * step) % bins for i in range(bins)]
        seen = {self.codes[f][i] for i in rows}
        if self.nominal[f]:
            return sorted(seen)
        inside = [b for b in walk if min(seen) <= b < max(seen)]
        return inside if len(inside) <= self.learner.thresholds else inside[: self.learner.thresholds]

    def goes_left(self, f: int, b: int, row: int) -> bool:
        return self.codes[f][row] == b if self.nominal[f] else self.codes[f][row] <= b
