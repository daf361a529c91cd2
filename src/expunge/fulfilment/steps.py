"""The steps of a request before it is attested: judge, choose, unlearn, measure. Each is Progress → Progress."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from expunge import catalog
from expunge.core import plans
from expunge.core.canonical import MAX_SAFE_INTEGER
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case, Outcome
from expunge.core.errors import (
    ClaimRefuted,
    ExpungeError,
    Interrupted,
    RequestHeld,
    RequestRefused,
    Unsupported,
)
from expunge.core.evidence import Evidence
from expunge.core.guarantee import STRENGTH, GuaranteeKind
from expunge.core.interrupts import was_interrupted
from expunge.core.plans import LAST_RESORT, Dropped, Plan
from expunge.core.policy import Policy
from expunge.core.roles import Draws, Prepares, Unlearner
from expunge.core.ruling import Ruling, strictest
from expunge.fulfilment.attest import deny
from expunge.fulfilment.padding import PaddedLatency
from expunge.fulfilment.progress import Progress

_LOG = logging.getLogger(__name__)


def judge(progress: Progress) -> Progress:
    """Ask the policy's screens, in its order; a refusal gets a signed denial where there is an issuer.

    Raises:
        UnknownRecord, UnknownSubject, NothingLeft: the request names what is not there, or everything.
    """
    progress.deployment.targets(progress.request)
    rulings = tuple(_ruling(name, progress) for name in progress.policy.screens)
    return deny(replace(progress, rulings=rulings, decided_at=datetime.now(UTC)))


def _ruling(name: str, progress: Progress) -> Ruling:
    screen = catalog.build("screen", name)
    try:
        ruling: Ruling = screen.judge(progress.request, progress.deployment, progress.policy)
    except ExpungeError:
        raise
    except Exception as error:  # a broken screen must neither wave a request through nor lose it
        reason = f"The screen failed ({type(error).__name__}); a person must look."
        return Ruling(screen=name, verdict="hold", reasons=(reason,))
    return ruling


def admit(progress: Progress) -> None:
    """Let a judged request pass, or stop it.

    Raises:
        RequestRefused: a screen refused; approval does not change that.
        RequestHeld: a screen holds it, and nobody has approved it.
    """
    rulings = progress.rulings or ()
    verdict = strictest(rulings)
    reasons = [reason for r in rulings if r.verdict == verdict for reason in r.reasons]
    if verdict == "refuse":
        raise RequestRefused(" ".join(reasons) or "A screen refused the request.", reasons=reasons, ref=progress.ref)
    if verdict == "hold" and not progress.approved:
        raise RequestHeld(" ".join(reasons) or "A screen holds the request.", reasons=reasons, ref=progress.ref)


def planned(progress: Progress) -> Plan:
    """Return the plan for this attempt, whatever the screens say; changes nothing.

    Raises:
        NoPlan: nothing is left to choose, with the reasons.
        UnknownName: the policy names an unlearner that does not exist.
    """
    candidates: dict[str, Unlearner] = {}
    strong, unavailable = _strong_enough(progress.policy)
    for name in strong:
        try:
            candidates[name] = catalog.build("unlearner", name)
        except ExpungeError as error:
            unavailable.append(Dropped(name=name, reason=error.message))
    gone = {d.name for d in progress.tried}
    dropped = (*progress.tried, *(d for d in unavailable if d.name not in gone))
    lessons = progress.lessons
    return plans.choose(candidates, progress.deployment, progress.request, progress.policy, dropped, lessons)


def _strong_enough(policy: Policy) -> tuple[list[str], list[Dropped]]:
    """Return the unlearners whose kind may do, and the others by kind: what is not asked for is not even imported."""
    strong: list[str] = []
    weak: dict[GuaranteeKind, list[str]] = {}
    asked, named = policy.guarantee, policy.unlearners
    for name in named or ():
        catalog.find("unlearner", name)
    for entry in catalog.entries("unlearner"):
        if named is not None and entry.name not in (*named, LAST_RESORT):
            continue
        if entry.kind is None or STRENGTH[entry.kind] >= STRENGTH[asked]:
            strong.append(entry.name)
        else:
            weak.setdefault(entry.kind, []).append(entry.name)
    return strong, [
        Dropped(
            name=names[0] if len(names) == 1 else f"{len(names)} {kind} unlearners",
            reason=f"{'promises' if len(names) == 1 else 'promise'} only {kind}, and {asked} is asked",
        )
        for kind, names in weak.items()
    ]


def choose(progress: Progress) -> Progress:
    """Choose the cheapest unlearner that gives the guarantee asked for, in time; say why.

    Raises:
        RequestRefused, RequestHeld: see `admit`.
        NoPlan: nothing is left to choose, with the reasons.
    """
    admit(progress)
    return replace(progress, plan=planned(progress))


def unlearn(progress: Progress) -> Progress:
    """Run the chosen unlearner; back to `choose` if it cannot serve this request after all.

    Raises:
        ClaimRefuted: the unlearner changed the deployment before, or kept a record that it should have forgotten.
    """
    if progress.plan is None:
        return progress
    before = progress.deployment
    unlearner: Unlearner = catalog.build("unlearner", progress.plan.unlearner)
    digest = before.model.digest()
    if isinstance(before.learner, Prepares):
        before.learner.prepare(_LOG.info)  # what is loaded or compiled once does not belong to the cost of this request
    with PaddedLatency(progress.policy.pace_s) as padded:
        try:
            outcome = unlearner.unlearn(before, progress.request, progress.tick)
        except Unsupported as error:
            return progress.turned(error.message)
    progress, outcome = replace(progress, took_s=outcome.cost.seconds), padded.told(outcome)
    _check(progress, outcome, digest)
    if not outcome.guarantee.at_least(progress.policy.guarantee):
        return progress.turned(f"gave only {outcome.guarantee.kind}, and {progress.policy.guarantee} is asked")
    return replace(progress, outcome=outcome)


def _check(progress: Progress, outcome: Outcome, digest: str) -> None:
    before, after = progress.deployment, outcome.after
    if before.model.digest() != digest:
        raise ClaimRefuted(f"{outcome.method} changed the model before", hint="Do not use this unlearner; report it.")
    wanted = before.data.id_set - set(before.targets(progress.request))
    if after.data.id_set != wanted:
        odd = len(after.data.id_set ^ wanted)
        raise ClaimRefuted(
            f"{outcome.method} left {odd} records too many or too few", hint="Do not use this unlearner; report it."
        )
    if outcome.after.set_aside(progress.request):
        raise ClaimRefuted(
            f"{outcome.method} left records in the holdout", hint="Do not use this unlearner; report it."
        )


def measure(progress: Progress) -> Progress:
    """Run the policy's probes and hold the evidence against its bounds; back to `choose` if a bound is missed.

    Evidence that could not be measured is said, with the reason; under a bound it counts as missed. The result of
    retraining is taken whatever the evidence says: there is nothing after it, and the statement names what was missed.
    """
    outcome, plan = progress.outcome, progress.plan
    if outcome is None or plan is None:
        return progress
    progress, notes = _with_reference(progress, outcome)
    case = _case(progress, outcome)
    drawn: list[Any] = []
    found = [e for name in progress.policy.probes for e in _measured(name, case, drawn)]
    judged = _judged([*notes, *found], progress.policy, outcome.guarantee.kind)
    progress = replace(progress, evidence=tuple(judged), drawn=tuple(drawn))
    if not progress.missed or progress.policy.on_bound == "report" or plan.unlearner == LAST_RESORT:
        return progress
    return progress.turned("bound missed: " + "; ".join(f"{e.name} {e.text()}" for e in progress.missed))


def _with_reference(progress: Progress, outcome: Outcome) -> tuple[Progress, list[Evidence]]:
    if progress.policy.reference == "none" or progress.reference is not None:
        return progress, []
    if progress.plan is not None and progress.plan.unlearner == LAST_RESORT:
        return replace(progress, reference=outcome.after, reference_s=outcome.cost.seconds), []
    retrain: Unlearner = catalog.build("unlearner", LAST_RESORT)
    started = time.perf_counter()
    try:
        reference = retrain.unlearn(progress.deployment, progress.request, progress.tick)
    except Interrupted:
        raise
    except ExpungeError as error:
        return progress, [Evidence.missing("reference.retrain@after", f"retraining failed: {error.code}")]
    return replace(progress, reference=reference.after, reference_s=time.perf_counter() - started), []


def _case(progress: Progress, outcome: Outcome) -> Case:
    before = progress.deployment
    forgotten = before.data.only(before.targets(progress.request))
    return Case(
        before=before,
        after=outcome.after,
        forgotten=forgotten,
        holdout=_strangers(outcome, forgotten),
        reference=progress.reference,
        cost=outcome.cost,
        reference_s=progress.reference_s,
        n_shadows=progress.policy.n_shadows,
        seed=progress.policy.seeds[0] if progress.policy.seeds else "audit-0",
    )


def _strangers(outcome: Outcome, forgotten: Dataset) -> Dataset:
    """Return the holdout without what the subjects of the forgotten records own; empty where there is none."""
    holdout = outcome.after.holdout
    if holdout is None:
        return forgotten.take(np.array([], np.int64))
    return holdout.take(~np.isin(holdout.subjects, forgotten.subjects))


def _measured(name: str, case: Case, drawn: list[Any]) -> list[Evidence]:
    try:
        probe = catalog.build("probe", name)
        probe = probe.drawing(drawn.append) if isinstance(probe, Draws) else probe
        return [_travels(e) for e in probe.measure(case)]
    except Interrupted:
        raise
    except Unsupported as error:
        return [Evidence.missing(f"{name}@after", error.message)]
    except Exception as error:  # never silence; and no message, which could name a record
        if was_interrupted(error):
            raise Interrupted() from error
        return [Evidence.missing(f"{name}@after", f"the probe failed: {type(error).__name__}")]


def _travels(e: Evidence) -> Evidence:
    """Return the evidence, or why it is missing where JSON cannot carry its numbers (spec T02)."""
    if max(abs(e.low), abs(e.value), abs(e.high)) <= MAX_SAFE_INTEGER:
        return e
    return Evidence.missing(e.name, f"about {e.value:.1e}, beyond what a receipt can carry")


def _judged(found: list[Evidence], policy: Policy, kind: GuaranteeKind) -> list[Evidence]:
    bounds = {bound.evidence: bound for bound in policy.bounds if not bound.kinds or kind in bound.kinds}
    known = {e.name for e in found}
    found += [Evidence.missing(name, "no probe of the policy measures it") for name in bounds if name not in known]
    return [e.judged(b.threshold, b.direction) if (b := bounds.get(e.name)) else e for e in found]
