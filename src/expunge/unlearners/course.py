"""How a certified unlearner of heads runs: promise, price, removal, certificate; a method gives the steps between."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from expunge.core.accountant import Budget, Entry, Ledger
from expunge.core.costs import refit
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.core.roles import Floats, Progress
from expunge.models.heads.model import HeadModel, Parting
from expunge.models.heads.slope import Slope
from expunge.models.heads.stepped import SteppedLogistic
from expunge.models.logistic.kept import Encoded

L = TypeVar("L")


@dataclass(frozen=True)
class HeadMethod(ABC):
    """A certified unlearner of heads: a subclass says whom it serves, in how many passes, and takes its steps.

    Attributes:
        epsilon: ε of the promise, > 0.
        delta: δ of the promise, in (0, 1).
    """

    epsilon: float = 1.0
    delta: float = 1e-5

    @abstractmethod
    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse a model that this method cannot serve.

        Raises:
            Unsupported: saying why.
        """

    @abstractmethod
    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return how many passes over the kept records m deletions take, where the encoder stays.

        Raises:
            Unsupported: the budget cannot be kept.
        """

    @abstractmethod
    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the next version, where the encoder stays.

        Raises:
            Unsupported: the budget cannot be kept.
        """

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return the certified guarantee that one deletion more would come with; with a public key an empirical one.

        Raises:
            Unsupported: no head that the method serves, or its noise cannot hide what is left.
        """
        model, budget = served(self, deployment)
        self.passes(model, 1, budget)
        return model.certificate(budget)

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        """Return what a run will cost, known from the ledger and the sizes; passes are timed by what the fit took."""
        model, budget = served(self, deployment)
        ids = deployment.targets(request)
        if not ids:
            return Prediction(seconds=0.0, p95_s=0.0, records_read=0, why="no training record is named")
        parting, again = model.parted(ids), refit(deployment, request)
        if parting.encoded is None:
            return again.model_copy(update={"why": "a scale or a column moves, so the model is learnt again"})
        passes, whole = self.passes(model, parting.m, budget), model.ledger.entries[0].passes
        share = passes / max(1, whole)
        why = f"takes {passes} passes over the kept records, where a fit takes {whole}"
        read = model.kept.n - parting.m if passes else 0
        return scaled(again, share).model_copy(update={"records_read": read, "why": why})

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Progress | None = None) -> Outcome:
        """Return the deployment whose model took the records out; the certificate is asked of the new version itself.

        Raises:
            Unsupported: the budget cannot be kept; nothing was changed.
        """
        model, budget = served(self, deployment)
        ids = deployment.targets(request)
        started, after = time.perf_counter(), model
        if ids:
            parting = model.parted(ids)
            moves = parting.encoded is None
            after = model.learnt_again(parting, budget) if moves else self.turned(model, parting, budget)
        guarantee = after.certificate(budget)
        seconds = time.perf_counter() - started
        last = after.ledger.entries[-1]
        read = 0 if not ids or not last.passes else last.kept
        cost = Cost(seconds=seconds, records_read=read, refitted=bool(ids) and last.action == "refit")
        return Outcome(deployment.with_model(after, request), beside(guarantee, after.ledger), cost, repr(self))


def served(method: HeadMethod, deployment: Deployment) -> tuple[HeadModel, Budget]:
    """Return the model that a method serves, and its budget.

    Raises:
        Unsupported: it does not serve this one.
        BadInput: ε or δ cannot be.
    """
    model, budget = deployment.model, Budget(method.epsilon, method.delta)
    budget.allowance(1.0)  # refuses an ε or δ that cannot be
    if not isinstance(model, HeadModel):
        raise Unsupported(
            f"{type(model).__name__} is no head whose gradient steps have known constants",
            hint="Use native, removal or retrain.",
        )
    if model.ledger.sigma <= 0:
        raise Unsupported("the model was learnt without noise (sigma=0)", hint="Fit with sigma > 0, or retrain.")
    if reason := model.ledger.broken(model.kept.n):
        raise Unsupported(f"the ledger is broken: {reason}", hint="Use retrain.")
    method.check(model, budget)
    return model, budget


def scaled(again: Prediction, share: float) -> Prediction:
    """Return what a fit will cost, its times multiplied by a share of it."""
    times = (("seconds", again.seconds), ("p95_s", again.p95_s))
    return again.model_copy(update={name: value and value * share for name, value in times})


def beside(guarantee: Guarantee, ledger: Ledger) -> Guarantee:
    """Return a guarantee that also says which ledger it stands on."""
    told = f"the ledger of {len(ledger.entries)} versions is that of {ledger.digest()}"
    return guarantee.model_copy(update={"assumptions": (*guarantee.assumptions, told)})


def only_by(model: HeadModel, action: str) -> None:
    """Refuse a ledger in which another method took records out since the last fit.

    Raises:
        Unsupported: naming it.
    """
    for entry in reversed(model.ledger.entries):
        if entry.action in ("fit", "refit"):
            return
        if entry.action != action:
            raise Unsupported(
                f"records left by {entry.action!r}, after which {action!r} has no bound",
                hint="Use the same method again, or retrain.",
            )


def since_fit(model: HeadModel) -> tuple[int, int]:
    """Return (records at the last fit, records that left since)."""
    for entry in reversed(model.ledger.entries):
        if entry.action in ("fit", "refit"):
            return entry.kept, entry.kept - model.kept.n
    raise Unsupported("the ledger is broken: it has no fit", hint="Use retrain.")


def learner_of(model: HeadModel, kind: type[L], why: str, hint: str = "Use retrain.") -> L:
    """Return the learner of a model, which has to be of a kind.

    Raises:
        Unsupported: it is not, and why that is needed.
    """
    if not isinstance(model.learner, kind):
        raise Unsupported(why, hint=hint)
    return model.learner


def rows_left(model: HeadModel, parting: Parting) -> Encoded:
    """Return the rows of what is left; the model's own where the encoder moves."""
    return model.encoded if parting.encoded is None else parting.encoded


def descended(model: HeadModel, parting: Parting, start: Floats, entry: Entry, old: Mapping[str, Floats]) -> HeadModel:
    """Return the version after full steps on what is left, published with noise.

    Args:
        model: of before.
        parting: what goes.
        start: weights that the steps start from.
        entry: what the ledger says of it; its passes are the steps.
        old: secret weights that are kept.

    Raises:
        Unsupported: the head was not learnt by full gradient steps.
    """
    learner = learner_of(model, SteppedLogistic, "full steps need a head learnt by full gradient steps")
    weights = Slope.of(rows_left(model, parting).kept(), learner.penalty).descended(start, entry.passes)
    published = learner.published(model.key, weights, parting.kept.n, len(model.ledger.entries) + 1)
    return model.version(parting, published, {**old, "weights": weights}, entry)
