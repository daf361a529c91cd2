"""``Forest``: the canonical random forest, a pure function of key, schema, parameters and the set of kept records.

Forgetting a record gives, bit for bit, the forest that never saw it, by deciding again only what its absence can
have changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, StoreDamaged
from expunge.core.models import Identity, class_labels
from expunge.core.seeds import Key
from expunge.models import trees as forestry
from expunge.models.encode import Grid, Tally
from expunge.models.forest_model import ForestModel

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
        keep: nodes of more records than this remember their histograms: memory against speed, no effect on bits.
        n_jobs: threads that fit trees; no effect on bits.

    Guarantee: exact, grade ``bits``: the state digest equals that of a fit on the kept records, whatever the order,
        the batches and the number of threads (spec X01, X02).
    Cost: fit O(n · trees_per_owner · depth · max_features); forgetting one record touches exactly
        `trees_per_owner` of `n_trees` trees, hence at most that share of a fit, unless a grid moves (then one fit).
    Source: spec XL01, with the draws of X04 and the score of X05. Related: DaRE (Brophy and Lowd, ICML 2021),
        DynFrs (ICLR 2025); both were measured not to be exact (XD01-XD07).
    """

    n_trees: int = 100
    trees_per_owner: int = 10
    max_depth: int = 20
    min_split: int = 10
    max_features: int | str = "sqrt"
    n_bins: int = 64
    sample: int = 2048
    thresholds: int = 10
    keep: int = 64
    n_jobs: int = field(default=1, repr=False, compare=False)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the kernels, or load them from their cache; the first time on a machine that is said, and slow."""
        from expunge.models.warm import is_warm, walk

        if not is_warm():
            say("compiling the forest's kernels, once on this machine (15 to 25 s)")
        walk(Forest(n_trees=2, trees_per_owner=1, keep=8, min_split=2))

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ForestModel:
        """Return the forest of these records.

        Args:
            data: records with a target of categories.
            key: of all draws.
            progress: called with (trees done, trees).

        Raises:
            BadTarget, ClassVanished, BadInput: a parameter out of range, or nothing to learn.
        """
        self._check()
        began = time.perf_counter()
        labels = class_labels(data)
        model = self._unbuilt(data, key, labels)
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
        model = self._unbuilt(data, key, class_labels(data))
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
            "keep": (1, 2**31),
        }
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not low <= value <= high:
                raise BadInput(f"{name} must be a whole number from {low} to {high}, not {value!r}")
        if self.n_bins not in (64, 256):
            raise BadInput(f"n_bins must be 64 or 256, not {self.n_bins}")
        if self.sample & (self.sample - 1):
            raise BadInput(f"sample must be a power of two, not {self.sample}")
        if self.max_features != "sqrt" and (not isinstance(self.max_features, int) or self.max_features < 1):
            raise BadInput(f"max_features must be 'sqrt' or a positive number, not {self.max_features!r}")

    def _unbuilt(self, data: Dataset, key: Key, labels: tuple[str, ...]) -> ForestModel:
        grid = Grid.of(data, key, self.n_bins)
        owners, which = np.unique(data.subjects, return_inverse=True)
        target = data.target.values if data.target is not None else np.zeros(len(data), np.int32)
        return ForestModel(
            learner=self,
            identity=Identity.of(self, data, key),
            key=key,
            source=data,
            grid=grid,
            labels=labels,
            codes=grid.encode(data),
            y=target.astype(np.uint8 if len(labels) <= 256 else np.int32),
            h=key.words(data.ids.tolist()),
            owner_words=key.words(owners.tolist(), "owner")[which],
            tally=Tally.of(grid, data),
            alive=np.ones(len(data), bool),
            class_counts=np.bincount(target, minlength=len(labels)).astype(np.int64),
            trees=[],
        )

    @property
    def per_owner(self) -> int:
        """How many trees hold a subject's records."""
        return min(self.trees_per_owner, self.n_trees)

    def rules(self, d: int, k: int) -> Rules:
        """Return the kernels' form of the hyper-parameters, for d features and k classes."""
        from expunge.models.kernels.splits import Rules

        width = int(np.sqrt(d)) if self.max_features == "sqrt" else int(self.max_features)
        return Rules(
            self.max_depth,
            self.min_split,
            self.n_bins,
            k,
            max(1, min(width, d)),
            self.sample,
            self.thresholds,
            self.keep,
        )
