"""The estimators of canonical gradient boosting."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from expunge.models.boosting.learner import Boosting
from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds, Regresses


class BoostedClassifier(Classifies, Forgetful):
    """Gradient-boosted trees that forget exactly; parameters as `expunge.models.boosting.learner.Boosting`.

    Args:
        rounds: trees; more than two classes have as many each.
        rate: share of the Newton step that a leaf takes.
        depth: splits from root to leaf, at most.
        sample: a round is learnt from about this many records (a power of two).
        cuts: thresholds tried a column and round; 0: 31 to 255, the fewer columns the more.
        columns: share of the columns that a round looks at.
        min_rows: records on each side of a split, at least.
        min_gain: what a split must gain; the higher, the steadier and the coarser.
        penalty: added to every sum of curvatures.
        step: the grid of margins, in nats.
        n_bins: bins a column is cut into (64 or 256).
        memory: ``full``, ``lean`` or ``auto``: whether histograms are kept; no effect on the result.
        seed: of all draws; public, so anybody can reproduce the model.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits``. Cost and Source: as `Boosting` (spec XL02).
    """

    _makes = Boosting

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        rounds: int = 40,
        *,
        rate: float = 0.25,
        depth: int = 5,
        sample: int = 2**14,
        cuts: int = 0,
        columns: float = 1.0,
        min_rows: int = 20,
        min_gain: float = 8.0,
        penalty: float = 1.0,
        step: float = 0.05,
        n_bins: int = 256,
        memory: str = "auto",
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.rounds = rounds
        self.rate = rate
        self.depth = depth
        self.sample = sample
        self.cuts = cuts
        self.columns = columns
        self.min_rows = min_rows
        self.min_gain = min_gain
        self.penalty = penalty
        self.step = step
        self.n_bins = n_bins
        self.memory = memory
        self.seed = seed
        self.classes = classes
        self.kinds = kinds


class BoostedRegressor(Regresses, Forgetful):
    """Gradient-boosted trees for numbers that forget exactly; parameters as `BoostedClassifier`.

    Args:
        rounds: trees.
        rate: share of the Newton step that a leaf takes.
        depth: splits from root to leaf, at most.
        sample: a round is learnt from about this many records (a power of two).
        cuts: thresholds tried a column and round; 0: 31 to 255, the fewer columns the more.
        columns: share of the columns that a round looks at.
        min_rows: records on each side of a split, at least.
        min_gain: what a split must gain, in units of the round's mean squared error.
        penalty: added to every count of records.
        step: the grid of predictions, in units of about the target's standard deviation.
        n_bins: bins a column is cut into (64 or 256).
        memory: ``full``, ``lean`` or ``auto``: whether histograms are kept; no effect on the result.
        seed: of all draws; public, so anybody can reproduce the model.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits``. Cost and Source: as `Boosting` (spec XL02).
    """

    _makes = Boosting

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        rounds: int = 40,
        *,
        rate: float = 0.25,
        depth: int = 5,
        sample: int = 2**14,
        cuts: int = 0,
        columns: float = 1.0,
        min_rows: int = 20,
        min_gain: float = 8.0,
        penalty: float = 1.0,
        step: float = 0.01,
        n_bins: int = 256,
        memory: str = "auto",
        seed: int | str = 0,
        kinds: Kinds | None = None,
    ) -> None:
        self.rounds = rounds
        self.rate = rate
        self.depth = depth
        self.sample = sample
        self.cuts = cuts
        self.columns = columns
        self.min_rows = min_rows
        self.min_gain = min_gain
        self.penalty = penalty
        self.step = step
        self.n_bins = n_bins
        self.memory = memory
        self.seed = seed
        self.kinds = kinds
