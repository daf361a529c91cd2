"""The estimators of linear models on integer Gram sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from expunge.core.errors import BadInput
from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds, Regresses, class_text
from expunge.models.linear.discriminant import Discriminant
from expunge.models.linear.ridge import Ridge

if TYPE_CHECKING:
    from expunge.core.roles import Floats


class RidgeClassifier(Classifies, Forgetful):
    """Least-squares classification, each class against the rest; parameters as `expunge.models.linear.ridge.Ridge`.

    Args:
        alpha: penalty on the weights of standardised columns, ≥ 0; 0 is ordinary least squares.
        seed: of the hash buckets of columns with many categories, and of texts.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong; "vector": all columns are one vector.

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


class LinearDiscriminant(Classifies, Forgetful):
    """Linear discriminant analysis; parameters as `expunge.models.linear.discriminant.Discriminant`.

    Args:
        shrinkage: in [0, 1]: how far the covariance within classes is drawn towards the variances of all records.
        priors: class → probability, of every class; None = the classes' shares of the records.
        seed: of the hash buckets of columns with many categories, and of texts.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong; "vector": all columns are one vector.

    Guarantee: exact, grade ``bits-here``. Cost and Source: as `Discriminant` (spec XL04).
    """

    _makes = Discriminant

    def __init__(
        self,
        shrinkage: float = 0.0,
        *,
        priors: Mapping[Any, float] | None = None,
        seed: int | str = 0,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.shrinkage = shrinkage
        self.priors = priors
        self.seed = seed
        self.classes = classes
        self.kinds = kinds

    def _learner(self) -> Discriminant:
        if self.priors is None:
            return Discriminant(self.shrinkage)
        if not isinstance(self.priors, Mapping):
            raise BadInput("priors are a mapping, class → probability", hint="Write priors={'no': 0.9, 'yes': 0.1}.")
        pairs = sorted((class_text(label), float(share)) for label, share in self.priors.items())
        return Discriminant(self.shrinkage, tuple(pairs))

    def decision_function(self, X: Any) -> Floats:
        """Return the scores, shape (n, k); of two classes how far the second's is above the first's, shape (n,)."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores


class RidgeRegressor(Regresses, Forgetful):
    """Ridge regression; parameters as `expunge.models.linear.ridge.Ridge`.

    Args:
        alpha: penalty on the weights of standardised columns, ≥ 0; 0 is ordinary least squares.
        step: declared step of the target; None = learnt from it, and forgotten with it.
        seed: of the hash buckets of columns with many categories, and of texts.
        kinds: column → kind, where the guess from a frame would be wrong; "vector": all columns are one vector.

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
