"""The estimator of principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_array

from expunge.models.estimators.forgetful import Forgetful, Kinds
from expunge.models.linear.components import PrincipalComponents

if TYPE_CHECKING:
    from expunge.core.roles import Floats


class Components(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Forgetful):  # type: ignore[misc]
    """Principal components that forget records; parameters as `expunge.models.linear.components.PrincipalComponents`.

    Args:
        n_components: how many; at most as many as there are encoded columns are found.
        standardise: whether every column is divided by its standard deviation first.
        seed: of the hash buckets of columns with many categories, and of texts.
        kinds: column → kind, where the guess from a frame would be wrong; "vector": all columns are one vector.

    Guarantee: exact, grade ``bits-here``. Cost and Source: as `PrincipalComponents` (spec XL09).
    """

    _makes = PrincipalComponents
    _needs_y = False

    def __init__(
        self,
        n_components: int = 10,
        *,
        standardise: bool = False,
        seed: int | str = 0,
        kinds: Kinds | None = None,
    ) -> None:
        self.n_components = n_components
        self.standardise = standardise
        self.seed = seed
        self.kinds = kinds

    @property
    def components_(self) -> Floats:
        """The components as rows, largest variance first, shape (k, d)."""
        found: Floats = self._fitted().components
        return found

    @property
    def explained_variance_(self) -> Floats:
        """The variance along each component, shape (k,)."""
        found: Floats = self._fitted().solution["variances"]
        return found

    @property
    def mean_(self) -> Floats:
        """The mean of each encoded column, shape (d,)."""
        found: Floats = self._fitted().solution["mean"]
        return found

    @property
    def _n_features_out(self) -> int:
        return len(self.components_)

    def transform(self, X: Any) -> Floats:
        """Return each record's place along the components, shape (n, k)."""
        data = self._questions(X)
        found: Floats = self._fitted().transform(data)
        return found

    def inverse_transform(self, X: Any) -> Floats:
        """Return the encoded columns at these places, shape (n, d): of a table of numbers, the table."""
        found: Floats = self._fitted().inverse(check_array(X, dtype=np.float64))
        return found
