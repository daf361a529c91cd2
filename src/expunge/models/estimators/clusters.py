"""The estimators of clusters: k-means."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassNamePrefixFeaturesOutMixin, ClusterMixin, TransformerMixin

from expunge.core.roles import Learner
from expunge.models.clusters.divided import DividedKMeans
from expunge.models.clusters.kmeans import KMeans
from expunge.models.estimators.forgetful import Forgetful, Kinds


class Clusters(ClassNamePrefixFeaturesOutMixin, TransformerMixin, ClusterMixin, Forgetful):  # type: ignore[misc]
    """k-means that forgets exactly; parameters as `expunge.models.clusters.kmeans.KMeans`.

    ``fit(X)`` needs no y. After it, `labels_` says the cluster of each record that is still learnt from (in the order
    of `ids_`), `cluster_centers_` the centres on the estimator's own scale, `inertia_` the sum of squared distances.

    Args:
        n_clusters: k.
        n_rounds: rounds, at most.
        steps: steps of the grid that centres are rounded to; the fewer, the fewer deletions change anything.
        share: of the owners that each round learns from.
        n_parts: above 1, the centres of so many parts are clustered, and a deletion costs at most its part's run
            (`expunge.models.clusters.divided.DividedKMeans`; share does not matter then).
        seed: of all draws; public, so anybody can reproduce the clusters.
        kinds: column → kind, where the guess from a frame would be wrong; ``"vector"`` = X is one column of vectors.

    Guarantee: exact, grade ``bits``. Cost and Source: as `KMeans` (spec XL08).
    """

    _needs_y = False

    def __init__(  # noqa: PLR0913 - hyper-parameters
        self,
        n_clusters: int = 8,
        *,
        n_rounds: int = 20,
        steps: int = 4,
        share: float = 1.0,
        n_parts: int = 1,
        seed: int | str = 0,
        kinds: Kinds | None = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.n_rounds = n_rounds
        self.steps = steps
        self.share = share
        self.n_parts = n_parts
        self.seed = seed
        self.kinds = kinds

    def _learner(self) -> Learner:
        if self.n_parts == 1:
            return KMeans(self.n_clusters, self.n_rounds, self.steps, self.share)
        return DividedKMeans(self.n_clusters, self.n_parts, self.n_rounds, self.steps)

    def predict(self, X: Any) -> npt.NDArray[np.int32]:
        """Return the cluster of each record, shape (n,); the first among equally near ones."""
        data = self._questions(X)
        found: npt.NDArray[np.int32] = self._fitted().clusters(data).astype(np.int32)
        return found

    def transform(self, X: Any) -> npt.NDArray[np.float64]:
        """Return how far each record is from each centre, shape (n, k), in units of about a standard deviation."""
        data = self._questions(X)
        found: npt.NDArray[np.float64] = self._fitted().distances(data)
        return found

    def score(self, X: Any, y: Any = None) -> float:
        """Return the negative sum of squared distances to the nearest centres."""
        return -float(self._fitted().losses(self._questions(X)).sum())

    @property
    def _n_features_out(self) -> int:
        return self.n_clusters

    @property
    def labels_(self) -> npt.NDArray[np.int32]:
        """The cluster of each record that is learnt from, shape (n,), in the order of `ids_`."""
        model = self._fitted()
        found: npt.NDArray[np.int32] = model.clusters(model.data).astype(np.int32)
        return found

    @property
    def cluster_centers_(self) -> npt.NDArray[np.float64]:
        """The centres, shape (k, d), where one unit is about a column's standard deviation."""
        found: npt.NDArray[np.float64] = self._fitted().centres
        return found

    @property
    def inertia_(self) -> float:
        """The sum of squared distances of the records learnt from to their centres."""
        model = self._fitted()
        return float(model.losses(model.data).sum())
