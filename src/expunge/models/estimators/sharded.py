"""The estimators of shards: any learner or estimator, a whole pipeline included, made to forget exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from expunge.models.encoding.table import Form
from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds, Regresses
from expunge.models.linear.ridge import Ridge
from expunge.models.outside.learner import Outside
from expunge.models.sharded.learner import Sharded


def _inner(shards: Any) -> Any:
    """Return what learns a shard: a learner, that of an estimator of ours, or another library's in `Outside`."""
    given = shards.estimator
    if given is None:
        return Ridge()
    if isinstance(given, Forgetful):
        return given._learner()
    if hasattr(given, "get_params") and not isinstance(given, type):
        return Outside(given, table=shards.table, passes=shards.passes)
    return given


class ShardedClassifier(Classifies, Forgetful):
    """Any classifier in shards; parameters as `expunge.models.sharded.learner.Sharded`.

    Args:
        estimator: not fitted: an estimator of ours, scikit-learn's, LightGBM's or XGBoost's, a whole `Pipeline` (every
            step is fitted again inside each shard that is hit, so all of it is inside the guarantee), or a learner
            such as `expunge.Network()`. None = ridge.
        n_shards: shards.
        n_slices: slices of a shard, for networks and estimators with ``partial_fit``.
        vote: ``mean`` of the shards' probabilities, or ``hard``.
        target_encode: columns of categories that each shard encodes by its own target.
        max_per_owner: records of one subject that are learnt from, at most; None = all.
        table: what another library's estimator is given: ``scaled``, ``codes``, ``raw``, or what suits it (``auto``).
        passes: of ``partial_fit`` over all records, where there are slices.
        seed: of all draws; public, so anybody can reproduce the model. Seeds of the estimator are overruled.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, with the grade of what learns the shards. Cost and Source: as `Sharded` (spec XL03).
    """

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        estimator: Any = None,
        n_shards: int = 8,
        *,
        n_slices: int = 1,
        vote: Literal["mean", "hard"] = "mean",
        target_encode: Sequence[str] = (),
        max_per_owner: int | None = None,
        table: Form | Literal["auto"] = "auto",
        passes: int = 10,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_shards = n_shards
        self.n_slices = n_slices
        self.vote = vote
        self.target_encode = target_encode
        self.max_per_owner = max_per_owner
        self.table = table
        self.passes = passes
        self.seed = seed
        self.classes = classes
        self.kinds = kinds

    def _learner(self) -> Sharded:
        encoded = tuple(self.target_encode)
        return Sharded(_inner(self), self.n_shards, self.n_slices, self.vote, encoded, self.max_per_owner)


class ShardedRegressor(Regresses, Forgetful):
    """Any regressor in shards; parameters as `ShardedClassifier`, the mean of the shards' numbers as prediction.

    Args:
        estimator: not fitted; None = ridge.
        n_shards: shards.
        n_slices: slices of a shard, for networks and estimators with ``partial_fit``.
        target_encode: columns of categories that each shard encodes by its own target.
        max_per_owner: records of one subject that are learnt from, at most; None = all.
        table: what another library's estimator is given: ``scaled``, ``codes``, ``raw``, or what suits it (``auto``).
        passes: of ``partial_fit`` over all records, where there are slices.
        seed: of all draws.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, with the grade of what learns the shards. Cost and Source: as `Sharded` (spec XL03).
    """

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        estimator: Any = None,
        n_shards: int = 8,
        *,
        n_slices: int = 1,
        target_encode: Sequence[str] = (),
        max_per_owner: int | None = None,
        table: Form | Literal["auto"] = "auto",
        passes: int = 10,
        seed: int | str = 0,
        kinds: Kinds | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_shards = n_shards
        self.n_slices = n_slices
        self.target_encode = target_encode
        self.max_per_owner = max_per_owner
        self.table = table
        self.passes = passes
        self.seed = seed
        self.kinds = kinds

    def _learner(self) -> Sharded:
        encoded = tuple(self.target_encode)
        return Sharded(_inner(self), self.n_shards, self.n_slices, "mean", encoded, self.max_per_owner)
