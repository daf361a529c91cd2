"""The estimators of linear models on integer Gram sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds, Regresses
from expunge.models.linear import Ridge

if TYPE_CHECKING:
    from expunge.core.roles import Floats


class RidgeClassifier(Classifies, Forgetful):
    """Least-squares classification, each class against the rest; parameters as `expunge.models.linear.Ridge`.

    Args:
        alpha: penalty on the weights of standardised columns, > 0.
        seed: of the hash buckets of columns with many categories, and of texts.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits-here``. Cost and Source: as `Ridge` (spec XL04).
    """

    _makes = Ridge
    step = None

    def __init__(
        self,
        alpha: float = 1.0,
        *,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.alpha = alpha
        self.seed = seed
        self.classes = classes
        self.kinds = kinds

    def decision_function(self, X: Any) -> Floats:
        """Return the scores, shape (n, k); of two classes the second's, shape (n,)."""
        scores = self._scores(X)
        return scores[:, 1] if scores.shape[1] == 2 else scores


class RidgeRegressor(Regresses, Forgetful):
    """Ridge regression; parameters as `expunge.models.linear.Ridge`.

    Args:
        alpha: penalty on the weights of standardised columns, > 0.
        step: declared step of the target; None = learnt from it, and forgotten with it.
        seed: of the hash buckets of columns with many categories, and of texts.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: exact, grade ``bits-here``. Cost and Source: as `Ridge` (spec XL04).
    """

    _makes = Ridge

    def __init__(
        self, alpha: float = 1.0, *, step: float | None = None, seed: int | str = 0, kinds: Kinds | None = None
    ) -> None:
        self.alpha = alpha
        self.step = step
        self.seed = seed
        self.kinds = kinds
