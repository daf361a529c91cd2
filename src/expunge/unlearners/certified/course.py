"""How a certified unlearner of heads runs: promise, price, removal, certificate; a method gives the steps between."""

from __future__ import annotations

import time
from typing import Protocol

from expunge.core.accountant import Budget
from expunge.core.costs import refit
from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.models.heads.model import HeadModel, Parting


class HeadMethod(Protocol):
    """What a certified unlearner of heads knows, beside its numbers."""

    @property
    def epsilon(self) -> float:
        """ε of the promise."""
        ...

    @property
    def delta(self) -> float:
        """δ of the promise."""
        ...

    def check(self, model: HeadModel, budget: Budget) -> None:
        """Refuse a model that this method cannot serve.

        Raises:
            Unsupported: saying why.
        """
        ...

    def passes(self, model: HeadModel, m: int, budget: Budget) -> int:
        """Return how many passes over the kept records m deletions take, where the encoder stays.

        Raises:
            Unsupported: the budget cannot be kept.
        """
        ...

    def turned(self, model: HeadModel, parting: Parting, budget: Budget) -> HeadModel:
        """Return the next version, where the encoder stays.

        Raises:
            Unsupported: the budget cannot be kept.
        """
        ...


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


def promised(method: HeadMethod, deployment: Deployment) -> Guarantee:
    """Return the certified guarantee that one deletion more would come with; with a public key an empirical one."""
    model, budget = served(method, deployment)
    method.passes(model, 1, budget)
    return model.certificate(budget)


def predicted(method: HeadMethod, deployment: Deployment, request: ForgetRequest) -> Prediction:
    """Return what a run will cost; a few passes are timed by what the fit took."""
    model, budget = served(method, deployment)
    ids = deployment.targets(request)
    if not ids:
        return Prediction(seconds=0.0, p95_s=0.0, records_read=0, why="no training record is named")
    parting, again = model.parted(ids), refit(deployment, request)
    if parting.encoded is None:
        return again.model_copy(update={"why": "a scale or a column moves, so the model is learnt again"})
    passes, whole = method.passes(model, parting.m, budget), model.ledger.entries[0].passes
    share = passes / max(1, whole)
    timed = {name: value and value * share for name, value in (("seconds", again.seconds), ("p95_s", again.p95_s))}
    why = f"takes {passes} passes over the kept records, where a fit takes {whole}"
    return again.model_copy(update={**timed, "records_read": model.kept.n - parting.m if passes else 0, "why": why})


def carried_out(method: HeadMethod, deployment: Deployment, request: ForgetRequest) -> Outcome:
    """Return the deployment whose model took the records out; the certificate is asked of the new version itself.

    Raises:
        Unsupported: the budget cannot be kept; nothing was changed.
    """
    model, budget = served(method, deployment)
    ids = deployment.targets(request)
    started, after = time.perf_counter(), model
    if ids:
        parting = model.parted(ids)
        moves = parting.encoded is None
        after = model.learnt_again(parting, budget) if moves else method.turned(model, parting, budget)
    guarantee = after.certificate(budget)
    seconds = time.perf_counter() - started
    last = after.ledger.entries[-1]
    read = 0 if not ids or not last.passes else last.kept
    cost = Cost(seconds=seconds, records_read=read, refitted=bool(ids) and last.action == "refit")
    told = f"the ledger of {len(after.ledger.entries)} versions is that of {after.ledger.digest()}"
    guarantee = guarantee.model_copy(update={"assumptions": (*guarantee.assumptions, told)})
    return Outcome(deployment.with_model(after, request), guarantee, cost, repr(method))
