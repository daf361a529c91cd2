"""The canonical forest again, from its definition (spec XL01, X04, X05): plain Python numbers, no numba, no state.

Slow and plain on purpose: it shares with the shipped forest only the encoder's bins and the keyed words of names.
"""

from __future__ import annotations

from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.encode import Grid
from expunge.models.forest import Forest

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


def impurity(side: list[int]) -> float:
    """n times the Gini impurity: one correctly rounded division of whole numbers."""
    n = sum(side)
    return (n * n - sum(c * c for c in side)) / n


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
        if len(rows) < rules.min_split or depth >= rules.max_depth or sum(c > 0 for c in counts) <= 1:
            return (counts,)
        split = self.split(self.sample(rows, path), path)
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
        return [sum(self.y[i] == c for i in rows) for c in range(self.k)]

    def sample(self, rows: list[int], path: int) -> list[int]:
        """All rows of a small node; of a larger one those whose keyed word is below the rate of its size."""
        if len(rows) <= self.learner.sample:
            return rows
        exponent = (len(rows) - 1).bit_length()
        bound = (MASK >> exponent) * self.learner.sample
        return [i for i in rows if mix(self.h[i] ^ path) <= bound]

    def split(self, rows: list[int], path: int) -> tuple[int, int] | None:
        """The first best split, in keyed order of features, then in order of bins."""
        if sum(c > 0 for c in self.count(rows)) <= 1:
            return None
        order = sorted(range(len(self.names)), key=lambda f: mix(path ^ self.names[f]))
        order = [f for f in order if len({self.codes[f][i] for i in rows}) > 1][: self.width]
        best = None
        for f in order:
            for b in self.candidates(f, rows, path):
                left = self.count([i for i in rows if self.goes_left(f, b, i)])
                right = [a - c for a, c in zip(self.count(rows), left, strict=True)]
                score = impurity(left) + impurity(right)
                if best is None or score < best[0]:
                    best = (score, f, b)
        return best and best[1:]

    def candidates(self, f: int, rows: list[int], path: int) -> list[int]:
        seen = {self.codes[f][i] for i in rows}
        low, high = min(seen), max(seen)
        if self.nominal[f]:
            return sorted(seen)
        if high - low <= self.learner.thresholds:
            return list(range(low, high))
        word, drawn = path ^ self.names[f], set()
        for _ in range(self.learner.thresholds):
            word = mix((word + PHI) & MASK)
            drawn.add(low + word % (high - low))
        return sorted(drawn)

    def goes_left(self, f: int, b: int, row: int) -> bool:
        return self.codes[f][row] == b if self.nominal[f] else self.codes[f][row] <= b
