"""The estimator of logistic regression with certified removal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from expunge.core.accountant import Budget
from expunge.core.errors import BadInput
from expunge.core.seeds import Key
from expunge.models.estimators.forgetful import Classifies, Forgetful, Kinds
from expunge.models.logistic.learner import Logistic

if TYPE_CHECKING:
    from expunge.core.deployment import Prediction
    from expunge.core.guarantee import Guarantee
    from expunge.core.request import Id
    from expunge.core.roles import Floats


class LogisticHead(Classifies, Forgetful):
    """Logistic regression that forgets within an (ε, δ) budget; parameters as `expunge.Logistic`.

    Args:
        penalty: λ, a record, > 0.
        sigma: noise in units of the gradient; 0 = none, and `forget` refuses.
        clip: rows are cut at so many standard deviations, all columns together.
        epsilon: ε of every `forget`.
        delta: δ of every `forget`.
        passes: how often one `forget` may read the kept records; 0 = never.
        seed: of the noise and of hash buckets, where no key is given. A seed is no secret, so nothing is certified.
        key: the secret key of the noise and of hash buckets, as `expunge.Key.generate(0)` makes one; keep it.
        classes: declared classes; then one may lose its last record.
        kinds: column → kind, where the guess from a frame would be wrong.

    Guarantee: certified (ε, δ) with a secret `key`, with a seed only empirical; not exact: after `forget`, `digest` is
        not that of a fit on the kept records.
    Cost and Source: as `Logistic` (spec XL05, U33).
    """

    _makes = Logistic

    def __init__(  # noqa: PLR0913 - scikit-learn's estimators list their parameters
        self,
        penalty: float = 1e-4,
        *,
        sigma: float = 1e-4,
        clip: float = 3.0,
        epsilon: float = 1.0,
        delta: float = 1e-5,
        passes: int = 20,
        seed: int | str = 0,
        key: Key | None = None,
        classes: Sequence[Any] | None = None,
        kinds: Kinds | None = None,
    ) -> None:
        self.penalty = penalty
        self.sigma = sigma
        self.clip = clip
        self.epsilon = epsilon
        self.delta = delta
        self.passes = passes
        self.seed = seed
        self.key = key
        self.classes = classes
        self.kinds = kinds

    def _key(self) -> Key:
        """Return the key that was given, or that of the seed."""
        if self.key is not None and not isinstance(self.key, Key):
            raise BadInput("key must be an expunge.Key", hint="Make one with expunge.Key.generate(0), and keep it.")
        return Key.public(self.seed) if self.key is None else self.key

    @property
    def _budget(self) -> Budget:
        return Budget(self.epsilon, self.delta)

    def forget(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Self:
        """Forget records in place, within the budget: all of them, or on any error none.

        Args:
            ids: record ids as given to (or made by) `fit`.
            subjects: subjects whose records are all to be forgotten.

        Raises:
            UnknownRecord, UnknownSubject, NothingLeft, ClassVanished, Unsupported: nothing was changed.
        """
        self.model_ = self._fitted().removing(self._named(ids, subjects), self._budget, self.passes)
        return self

    def without(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Self:
        """Return a new estimator without these records, within the budget; self is untouched."""
        after = object.__new__(type(self))
        after.__dict__ |= self.__dict__
        return after.forget(ids, subjects=subjects)

    def plan(self, ids: Iterable[Id] | None = None, *, subjects: Iterable[Id] | None = None) -> Prediction:
        """Return what forgetting would cost; changes nothing."""
        found: Prediction = self._fitted().plan_removal(self._named(ids, subjects), self._budget, self.passes)
        return found

    def guarantee(self) -> Guarantee:
        """Return what the present model promises, with its assumptions.

        Raises:
            Unsupported: nothing can be promised (no noise, or a residual above what the budget allows).
        """
        found: Guarantee = self._fitted().certificate(self._budget)
        return found

    def digest(self) -> str:
        """Return the hex digest of what the model publishes (spec X07); the noise is in it."""
        return str(self._fitted().digest())

    def decision_function(self, X: Any) -> Floats:
        """Return the scores, shape (n, k); of two classes the log-odds of the second, shape (n,)."""
        scores = self._scores(X)
        return scores[:, 1] - scores[:, 0] if scores.shape[1] == 2 else scores
