"""The estimators of canonical forests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds, Regresses
from expunge.models.forest.learner import Forest


class ForestClassifier(Classifies, Forgetful):
    """A random forest that forgets exactly; parameters as `expunge.models.forest.learner.Forest`.

    Args:
        n_trees: trees.
        trees_per_owner: in how many of them each subject's records are; the cost of forgetting is in proportion.
        max_depth: splits from root to leaf, at most.
        min_split: a node of fewer records is a leaf.
        max_features: features tried at a node: a number, or ``"sqrt"``.
        n_bins: bins a column is cut into (64 or 256).
        sample: a node of more records decides on about this many (a power of two).
        thresholds: thresholds tried a feature.
        random_depth: splits of the first layers that are drawn whatever the targets: they never have to move.
        keep: nodes of more records than this remember their histograms.
        repair: ``"lazy"`` puts repairs off until the trees are next read; no effect on the result.
        debt: with lazy repair, the share of the records that may be owed before repairs are made.
        seed: of all draws; public, so anybody can reproduce the forest.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.
        n_jobs: threads that fit trees; no effect on the result.

    Guarantee: exact, grade ``bits``. Cost and Source: as `Forest` (spec XL01).
    """

    _makes = Forest

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        n_trees: int = 100,
        *,
        trees_per_owner: int = 10,
        max_depth: int = 20,
        min_split: int = 20,
        max_features: int | str = "sqrt",
        n_bins: int = 64,
        sample: int = 1024,
        thresholds: int = 10,
        random_depth: int = 0,
        keep: int = 128,
        repair: Literal["eager", "lazy"] = "eager",
        debt: float = 0.02,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
        n_jobs: int = 1,
    ) -> None:
        self.n_trees = n_trees
        self.trees_per_owner = trees_per_owner
        self.max_depth = max_depth
        self.min_split = min_split
        self.max_features = max_features
        self.n_bins = n_bins
        self.sample = sample
        self.thresholds = thresholds
        self.random_depth = random_depth
        self.keep = keep
        self.repair = repair
        self.debt = debt
        self.seed = seed
        self.classes = classes
        self.kinds = kinds
        self.n_jobs = n_jobs


class ForestRegressor(Regresses, Forgetful):
    """A random forest of a number that forgets exactly; parameters as `expunge.models.forest.learner.Forest`.

    Args:
        n_trees: trees.
        trees_per_owner: in how many of them each subject's records are; the cost of forgetting is in proportion.
        max_depth: splits from root to leaf, at most.
        min_split: a node of fewer records is a leaf.
        max_features: features tried at a node: a number, or ``"sqrt"``.
        n_bins: bins a column is cut into (64 or 256).
        sample: a node of more records decides on about this many (a power of two).
        thresholds: thresholds tried a feature.
        random_depth: splits of the first layers that are drawn whatever the targets: they never have to move.
        keep: nodes of more records than this remember their histograms.
        repair: ``"lazy"`` puts repairs off until the trees are next read; no effect on the result.
        debt: with lazy repair, the share of the records that may be owed before repairs are made.
        seed: of all draws; public, so anybody can reproduce the forest.
        kinds: column → kind, where the guess from a frame would be wrong.
        n_jobs: threads that fit trees; no effect on the result.

    Guarantee: exact, grade ``bits``. Cost and Source: as `Forest` (spec XL01).
    """

    _makes = Forest

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        n_trees: int = 100,
        *,
        trees_per_owner: int = 10,
        max_depth: int = 20,
        min_split: int = 20,
        max_features: int | str = "sqrt",
        n_bins: int = 64,
        sample: int = 1024,
        thresholds: int = 10,
        random_depth: int = 0,
        keep: int = 128,
        repair: Literal["eager", "lazy"] = "eager",
        debt: float = 0.02,
        seed: int | str = 0,
        kinds: Kinds | None = None,
        n_jobs: int = 1,
    ) -> None:
        self.n_trees = n_trees
        self.trees_per_owner = trees_per_owner
        self.max_depth = max_depth
        self.min_split = min_split
        self.max_features = max_features
        self.n_bins = n_bins
        self.sample = sample
        self.thresholds = thresholds
        self.random_depth = random_depth
        self.keep = keep
        self.repair = repair
        self.debt = debt
        self.seed = seed
        self.kinds = kinds
        self.n_jobs = n_jobs
