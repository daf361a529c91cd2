"""``Forest``: the canonical random forest, a pure function of key, schema, parameters and the set of kept records.

Forgetting a record gives, bit for bit, the forest that never saw it, by deciding again only what its absence can
have changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, StoreDamaged
from expunge.core.models import Identity
from expunge.core.seeds import Key
from expunge.models.draws import keyed_words, owner_words
from expunge.models.encoding.grid import Grid
from expunge.models.forest import trees as forestry
from expunge.models.forest.model import ForestModel
from expunge.models.forest.target import Target

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress
    from expunge.models.kernels.splits import Rules


@dataclass(frozen=True)
class Forest:
    """A random forest that forgets exactly.

    Attributes:
        n_trees: trees.
        trees_per_owner: each subject's records are in this many of the trees (in all, if there are fewer); the cost of
            forgetting is in proportion.
        max_depth: splits from root to leaf, at most.
        min_split: a node of fewer records is a leaf.
        max_features: features tried at a node: a number, or ``"sqrt"``.
        n_bins: bins a column is cut into (64 or 256).
        sample: a node of more records decides on a keyed sample of about this many (a power of two).
        thresholds: thresholds tried a feature, keyed draws between the lowest and the highest bin.
        random_depth: the splits of so many layers are drawn whatever the targets, so that they never have to move.
        keep: nodes of more records than this remember their histograms: memory against speed, no effect on bits.
        repair: ``"eager"``: trees are repaired at once; ``"lazy"``: when they are next read, or at the latest when
            `debt` is passed; no effect on bits.
        debt: with lazy repair, the share of the records that may be owed: what the next reader waits for.
        n_jobs: threads that fit trees; no effect on bits.

    Guarantee: exact, grade ``bits``: the state digest equals that of a fit on the kept records, whatever the order,
        the batches and the number of threads (spec X01, X02).
    Cost: fit O(n · trees_per_owner · depth · max_features); forgetting one record touches exactly
        `trees_per_owner` of `n_trees` trees, hence at most that share of a fit, unless a grid moves (then one fit).
    Source: spec XL01, with the draws of X04 (features and thresholds by keyed walks) and the score of X05 (as one
        quotient of integers). Related: DaRE (Brophy and Lowd, ICML 2021),
        DynFrs (ICLR 2025); both were measured not to be exact (XD01-XD07).
    """

    n_trees: int = 100
    trees_per_owner: int = 10
    max_depth: int = 20
    min_split: int = 20
    max_features: int | str = "sqrt"
    n_bins: int = 64
    sample: int = 1024
    thresholds: int = 10
    random_depth: int = 0
    keep: int = 128
    repair: Literal["eager", "lazy"] = field(default="eager", repr=False, compare=False)
    debt: float = field(default=0.02, repr=False, compare=False)
    n_jobs: int = field(default=1, repr=False, compare=False)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the kernels, or load them from their cache; the first time on a machine that is said, and slow."""
        from expunge.models.forest.warm import is_warm, walk

        if not is_warm():
            say("compiling the forest's kernels, once on this machine (15 to 25 s)")
        walk(Forest(n_trees=2, trees_per_owner=1, keep=8, min_split=2))

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ForestModel:
        """Return the forest of these records.

        Args:
            data: records with a target of categories or numbers.
            key: of all draws.
            progress: called with (trees done, trees).

        Raises:
            BadTarget, ClassVanished, TooLarge, BadInput: a parameter out of range, or nothing to learn.
        """
        self._check()
        began = time.perf_counter()
        model = self._unbuilt(data, key)
        model.trees = forestry.build(model.members(), model.tables, model.roots, self.n_jobs, progress)
        model.owned = set(range(self.n_trees))
        model.fit_s = time.perf_counter() - began
        return model

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ForestModel:
        """Return the forest that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of a forest of this learner over these records.
        """
        self._check()
        model = self._unbuilt(data, key)
        if not model.grid.agrees(arrays):
            raise StoreDamaged("the saved forest was cut by another grid than these records give")
        model.trees = forestry.restore(arrays, model.members(), model.tables, model.grid.labels())
        return model

    def _check(self) -> None:
        ranges = {
            "n_trees": (1, 10_000),
            "trees_per_owner": (1, 10_000),
            "max_depth": (1, 60),
            "min_split": (2, 2**31),
            "sample": (64, 2**15),
            "thresholds": (1, 256),
            "random_depth": (0, 60),
            "keep": (1, 2**31),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise BadInput(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        if self.repair not in ("eager", "lazy"):
            raise BadInput(f"repair must be 'eager' or 'lazy', not {self.repair!r}")
        if not isinstance(self.debt, int | float) or not 0 <= self.debt <= 1:
            raise BadInput(f"debt must be a share from 0 to 1, not {self.debt!r}")
        if self.n_bins not in (64, 256):
            raise BadInput(f"n_bins must be 64 or 256, not {self.n_bins}")
        if self.sample & (self.sample - 1):
            raise BadInput(f"sample must be a power of two, not {self.sample}")
        if self.max_features != "sqrt" and (not isinstance(self.max_features, int) or self.max_features < 1):
            raise BadInput(f"max_features must be 'sqrt' or a positive number, not {self.max_features!r}")

    def _unbuilt(self, data: Dataset, key: Key) -> ForestModel:
        target = Target.of(data, self.sample)
        grid, tally = Grid.counted(data, key, self.n_bins)
        y = target.encode(data)
        return ForestModel(
            learner=self,
            identity=Identity.of(self, data, key),
            key=key,
            source=data,
            grid=grid,
            target=target,
            codes=np.ascontiguousarray(grid.encode(data).T),
            y=y,
            h=keyed_words(key, data.ids),
            owner_words=owner_words(key, data),
            tally=tally,
            alive=np.ones(len(data), bool),
            class_counts=np.array([len(y)]) if target.sums else np.bincount(y, minlength=len(target.labels)),
            trees=[],
        )

    @property
    def per_owner(self) -> int:
        """How many trees hold a subject's records."""
        return min(self.trees_per_owner, self.n_trees)

    def rules(self, d: int, labels: tuple[str, ...]) -> Rules:
        """Return the kernels' form of the hyper-parameters, for d features and these classes (none: numbers)."""
        from expunge.models.kernels.splits import Rules

        width = int(np.sqrt(d)) if self.max_features == "sqrt" else int(self.max_features)
        return Rules(
            max_depth=self.max_depth,
            min_split=self.min_split,
            n_bins=self.n_bins,
            channels=len(labels) or 3,
            sums=not labels,
            max_features=max(1, min(width, d)),
            sample=self.sample,
            thresholds=self.thresholds,
            random_depth=self.random_depth,
            keep=self.keep,
            prime=least_prime(d),
        )


def least_prime(d: int) -> int:
    """Return the least prime that is at least d, and at least 2.

    >>> least_prime(0), least_prime(40), least_prime(41)
    (2, 41, 41)
    """
    p = max(d, 2)
    while any(p % q == 0 for q in range(2, int(p**0.5) + 1)):
        p += 1
    return p
