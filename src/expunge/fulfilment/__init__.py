"""The one path of a request: ``STEPS``, functions Progress → Progress, walked by the library and the service alike.

judge → choose → unlearn → measure → attest. A step whose result is present is skipped, so a walk that was interrupted
goes on where it stopped; a step that takes its result back (a bound was missed) sends the walk back to `choose` with
the next unlearner. That is the only loop, and it ends because retraining is last.

>>> from expunge.core.conformance import tiny_deployment
>>> from expunge.core.request import ForgetRequest
>>> from expunge.core.policy import Policy
>>> deployment = tiny_deployment(0)
>>> one = ForgetRequest(records=deployment.data.ids.tolist()[:1])
>>> done = fulfil(one, deployment, policy=Policy(probes=(), bounds=()))
>>> done.plan.unlearner, len(deployment.data) - len(done.deployment.data)
('native', 1)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypedDict, Unpack

from expunge.core.canonical import unb64
from expunge.core.deployment import Deployment
from expunge.core.errors import BadInput, NoPlan, RequestRefused
from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee
from expunge.core.lessons import Lessons
from expunge.core.plans import Plan
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress as Tick
from expunge.core.ruling import Ruling
from expunge.fulfilment.attest import attest, manifest_entry, request_commitment
from expunge.fulfilment.commitments import Commitments
from expunge.fulfilment.progress import About, Progress
from expunge.fulfilment.steps import choose, judge, measure, planned, unlearn
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.receipt import Prepared, complete

__all__ = [
    "STEPS", "About", "Commitments", "Fulfilled", "Progress", "Step", "attest", "choose", "dry_run", "fulfil", "judge",
    "manifest_entry", "measure", "receipt", "request_commitment", "unlearn", "walk",
]  # fmt: skip

Step = Callable[[Progress], Progress]
Say = Callable[[str, Progress], None]


STEPS: Final[tuple[Step, ...]] = (judge, choose, unlearn, measure, attest)


def _silent(step: str, progress: Progress) -> None:
    return None


def _done(step: Step, progress: Progress) -> bool:
    results: dict[Step, bool] = {
        judge: progress.rulings is not None,
        choose: progress.plan is not None,
        unlearn: progress.outcome is not None,
        measure: progress.evidence is not None,
        attest: progress.prepared is not None or progress.issuer is None,
    }
    return results[step]


def walk(progress: Progress, saved: Say = _silent) -> Progress:
    """Walk the steps whose results are missing, until none is.

    Args:
        progress: a fresh one, or one that was interrupted.
        saved: called with (name of the step, progress) after each step; what it raises stops the walk.

    Returns:
        The progress with every result.

    Raises:
        RequestRefused, RequestHeld: after ``saved("judge", …)``; a refusal's signed denial is in `Progress.prepared`.
        NoPlan: no unlearner is left.
        BadInput: the request names what is not there.
    """
    while (step := next((s for s in STEPS if not _done(s, progress)), None)) is not None:
        progress = step(progress)
        saved(step.__name__, progress)
    return progress


class Options(TypedDict, total=False):
    """Further fields of a `Progress` that `fulfil` takes; None means the default."""

    policy: Policy | None
    issuer: SigningKey | None
    approved: bool
    about: About | None
    commitments: Commitments | None
    tick: Tick | None


@dataclass(frozen=True)
class Fulfilled:
    """What `fulfil` gives back.

    Attributes:
        deployment: the deployment after; the one before is untouched.
        guarantee: the promise that holds for it.
        rulings: what the screens said.
        plan: what was chosen, and why.
        evidence: what was measured.
        receipt: the receipt file's bytes; None without an issuer and a log.
        progress: everything else.
    """

    deployment: Deployment
    guarantee: Guarantee
    rulings: tuple[Ruling, ...]
    plan: Plan
    evidence: tuple[Evidence, ...]
    receipt: bytes | None
    progress: Progress


def fulfil(
    request: ForgetRequest,
    deployment: Deployment,
    *,
    log: FileLog | None = None,
    say: Say | None = None,
    **rest: Unpack[Options],
) -> Fulfilled:
    """Forget what a request names: judge it, choose how, unlearn, measure what is left, sign a receipt.

    Args:
        request: what is to be forgotten.
        deployment: the model in use, with all that made it; never touched.
        log: the log that the receipt goes into; used with an issuer.
        say: called with (name of the step, progress) after each step.
        **rest: `Options`: ``policy``, ``issuer`` (signs the receipt), ``approved`` (a person accepts what a screen
            holds), ``about`` (names for the statement), ``commitments``, ``tick`` (progress of long work).

    Returns:
        The new deployment with guarantee, rulings, plan, evidence, and the receipt where there are issuer and log.

    Raises:
        RequestRefused: a screen refused; with an issuer, ``facts["denial"]`` holds the signed denial.
        RequestHeld, NoPlan, BadInput: nothing was changed.

    Cost: unlearning itself, one retraining where the policy asks for a reference, the probes, and with an issuer about
        15 microseconds a record for salted commitments.
    """
    try:
        given: dict[str, Any] = {name: value for name, value in rest.items() if value is not None}
        progress = Progress(request, deployment, **given)
    except TypeError as error:
        raise BadInput(f"fulfil: {error}") from error
    if log is not None:
        progress = replace(progress, about=progress.about.logged_in(log))
    denial: list[Prepared] = []

    def tell(step: str, now: Progress) -> None:
        denial.extend([now.prepared] if step == "judge" and now.prepared else [])
        if say is not None:
            say(step, now)

    try:
        progress = walk(progress, tell)
    except RequestRefused as error:
        signed = {"denial": denial[0].canonical().decode()} if denial else {}
        raise RequestRefused(error.message, hint=error.advice, **{**error.facts, **signed}) from error
    if progress.outcome is None or progress.plan is None:
        raise NoPlan("the walk ended without an outcome")
    return Fulfilled(
        deployment=progress.outcome.after,
        guarantee=progress.outcome.guarantee,
        rulings=progress.rulings or (),
        plan=progress.plan,
        evidence=progress.evidence or (),
        receipt=None if log is None else receipt(progress, log),
        progress=progress,
    )


def receipt(progress: Progress, log: FileLog) -> bytes | None:
    """Put what was signed into the log, once however often it is called, and return the receipt; None if nothing was.

    The roots after go in first, then the statement.
    """
    if progress.prepared is None:
        return None
    index = None if progress.manifest is None else log.ensure(unb64(progress.manifest))
    return complete(progress.prepared, log, manifest_index=index)


def dry_run(
    request: ForgetRequest, deployment: Deployment, policy: Policy | None = None, lessons: Lessons | None = None
) -> tuple[tuple[Ruling, ...], Plan]:
    """Return what the screens would say and what would be done; changes nothing, reads what `predict_cost` reads.

    Args:
        request: what is to be forgotten.
        deployment: the model in use.
        policy: what is demanded of the way.
        lessons: what earlier runs on this deployment taught about times (`Progress.learnt`).

    Raises:
        NoPlan: no unlearner gives the guarantee asked for, in time.
        BadInput: the request names what is not there.
    """
    progress = judge(Progress(request, deployment, policy or Policy(), lessons=lessons or {}))
    return progress.rulings or (), planned(progress)
