"""``GroupPrivacy``: nothing is done, because the noise of training hides so few records already (U39)."""

from __future__ import annotations

from dataclasses import dataclass

from expunge.core.accountant import Budget
from expunge.core.errors import Unsupported
from expunge.models.heads.model import HeadModel, Parting, entry_of
from expunge.models.heads.private import PrivateLogistic, size_class
from expunge.unlearners.course import HeadMethod, learner_of, only_by, since_fit


@dataclass(frozen=True)
class GroupPrivacy(HeadMethod):
    """Leaves a differentially private model as it is while all that were forgotten since its fit are hidden together.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).
        refit: whether to learn again where they are too many; else that is refused.

    Guarantee: certified (ε, δ) for all records forgotten since the fit, together, by group privacy: one record's
        (ε₁, δ₁) is (gε₁, g·e^((g-1)ε₁)·δ₁) for g of them; where every step reads all records, exactly a shift g times
        as far. Requests must not react to the model. Nothing is secret but the key.
        The whole model is as noisy as one that could lose any g records; that is the price.
    Cost: nothing; a fit where they are too many, where a scale moves, or where n falls below a power of two.
    Source: spec U39; Dwork and Roth (2014, thm. 2.2); our own accountant (`expunge.core.sampled`, B9).

    >>> from expunge.core.conformance import world_of
    >>> from expunge.core.request import ForgetRequest
    >>> before = world_of(PrivateLogistic())(1)
    >>> outcome = GroupPrivacy().unlearn(before, ForgetRequest(records=before.data.ids.tolist()[:1]))
    >>> outcome.guarantee.kind, outcome.after.model.ledger.entries[-1].passes in (0, 100)
    ('certified', True)
    """

    refit: bool = True

    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse heads without differential privacy, and those whose noise does not hide one record.

        Raises:
            Unsupported: saying why.
        """
        learner = _learner(model)
        only_by(model, "spared")
        found = learner.sampled.delta(budget.epsilon)
        if found > budget.delta:
            raise Unsupported(
                f"at epsilon={budget.epsilon:g} the noise of training gives one record delta={found:.3g}, not "
                f"{budget.delta:g}",
                hint="Fit with more noise or fewer steps, ask for a larger epsilon, or use retrain.",
            )

    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return 0, or the steps of a fit.

        Raises:
            Unsupported: too many, and `refit` is off.
        """
        if self._spared(model, m, budget):
            return 0
        if not self.refit:
            raise Unsupported(f"{m} more records are too many to go for nothing, and refit=False", hint="Use retrain.")
        return _learner(model).n_steps

    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the same weights under a longer ledger; learnt again where that would not do."""
        if self.passes(model, parting.m, budget):
            return model.learnt_again(parting, budget)
        gone = since_fit(model)[1] + parting.m
        residual = _learner(model).telling(gone, budget.epsilon)
        return model.version(parting, model.weights, {}, entry_of("spared", parting, residual, 0, budget))

    def _spared(self, model: HeadModel, m: int, budget: Budget) -> bool:
        n, gone = since_fit(model)
        same = size_class(n) == size_class(model.kept.n - m)
        return same and _learner(model).sampled.delta(budget.epsilon, gone + m) <= budget.delta * (1 - 2.0**-20)


def _learner(model: HeadModel) -> PrivateLogistic:
    return learner_of(
        model, PrivateLogistic, "this head was not learnt with differential privacy", "Use descent, rewind or retrain."
    )
