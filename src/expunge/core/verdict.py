"""``Verdict``: what an audit concludes; a pure function of evidence and policy, so that every reader recomputes it.

Rules V1–V9 of spec section 10. Needs pydantic and the standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from expunge.core.evidence import Evidence
from expunge.core.finding import Finding, findings_of
from expunge.core.guarantee import Guarantee
from expunge.core.policy import AuditPolicy, ControlKind
from expunge.core.record import Record

Overall = Literal["invalid", "residue", "overshoot", "inconclusive", "clean"]
UtilityStatus = Literal["failed", "inconclusive", "not_measured", "kept", "not_judged"]
Claim = Literal["none", "contradicted", "not contradicted", "not tested"]
Next = Literal["accept", "next unlearner", "more models", "hold"]

SEVERITY: Final[tuple[Overall, ...]] = ("invalid", "residue", "overshoot", "inconclusive", "clean")
"""From the worst to the best (V2)."""

EPSILON_LOWER: Final = "likeness.epsilon_lower_bound@after"
"""The lower bound on ε that an auditor may state (M19), which a certified claim is held against (V4)."""

EQUAL: Final = "likeness.equal@after"
"""Equality by digest, which an exact claim is held against where determinism is declared (V5)."""

EXPECTED: Final[dict[ControlKind, str]] = {
    "original": "residue",
    "no-op": "residue",
    "retrain": "neither residue nor overshoot",
    "random": "utility failure",
}
NOTHING: Final = "nothing to detect: even the original model does not differ from retrained ones by these measures"
CHANGED: Final = "the policy is not the one that was registered before the run, nor a tighter one (spec V6, V7)"
UNREGISTERED: Final = "no registered policy was handed in, so nothing shows that the questions were asked beforehand"
WATCHED_ONLY: Final = "residue, but it is only watched for overshoot; register it as a question to have it decide"
CONTRADICTED: Final = "the guarantee's claim is contradicted by the evidence"

STANDING: Final = (
    "near duplicates of the forgotten records, in this data set or elsewhere",
    "copies of the data and of earlier models that somebody else may hold",
    "attacks that were not run",
)
COVERED_BY: Final[tuple[tuple[str, str], ...]] = (
    ("membership.ulira", "membership attacks on single records by shadow models"),
    ("membership.rmia", "membership attacks with few reference models (RMIA)"),
    ("likeness.record_test", "a test of each forgotten record against retrained models"),
    ("relearning.", "how fast what was forgotten is learnt again (relearning, recovery)"),
    ("bystanders.", "what forgetting did to the records that stay (bystanders)"),
    ("canary.", "planted records with known rates (canaries)"),
    ("precision.", "other precisions and compressed forms of the model"),
)


class ControlRun(Record):
    """The battery's evidence with something in the place of ``after`` whose verdict is known.

    Attributes:
        kind: what stands there: the original, the original again (no-op), a retrained model outside the null pool,
            a model that learnt nothing (random).
        evidence: what the battery measured.
    """

    kind: ControlKind
    evidence: tuple[Evidence, ...]


class Control(Record):
    """How a control was judged.

    Attributes:
        kind: which control.
        expected: what an audit that works must say of it.
        found: what this audit says.
        held: whether they agree; None where the control was not run.
        why: the questions that decided.
    """

    kind: ControlKind
    expected: str
    found: str
    held: bool | None = None
    why: tuple[str, ...] = ()


class Verdict(Record):
    """What an audit concludes.

    Attributes:
        overall: about what is left of the records. ``clean`` needs every primary to be clean (V3).
        utility: about how good the model is; beside `overall`, never averaged with it (V2).
        findings: one a primary; empty when the audit is invalid: then no verdict is given (V1).
        watched: further questions, which can only show overshoot.
        controls: how the controls were judged.
        claim: whether the evidence contradicts the guarantee's claim; it never confirms one (V4, V5).
        reasons: why it is not clean, and what must be said beside.
        not_covered: what this audit says nothing about (V9).
        policy: digest of the policy.
    """

    overall: Overall
    utility: UtilityStatus
    findings: tuple[Finding, ...] = ()
    watched: tuple[Finding, ...] = ()
    controls: tuple[Control, ...] = ()
    claim: Claim = "none"
    reasons: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()
    policy: str

    def then(self, *, time_left: bool) -> Next:
        """Return what the loop of a request does next (DESIGN section 4, step 6).

        Args:
            time_left: whether the deadline allows more models.
        """
        if self.overall == "invalid":
            return "hold"
        if self.overall in ("residue", "overshoot") or self.utility == "failed" or self.claim == "contradicted":
            return "next unlearner"
        if self.overall == "inconclusive":
            return "more models" if time_left else "next unlearner"
        return "accept"


def verdict_of(
    evidence: Sequence[Evidence],
    policy: AuditPolicy,
    *,
    controls: Sequence[ControlRun] = (),
    registered: AuditPolicy | None = None,
    claim: Guarantee | None = None,
) -> Verdict:
    """Return the verdict of an audit. Pure: the same evidence gives the same bytes, whoever computes it.

    Args:
        evidence: every measurement of the audited model, in any order.
        policy: what was asked.
        controls: the battery's evidence on the controls. The original is judged by ``@before`` where it is not here.
        registered: the policy as logged before the run; None = none was logged, which the verdict then says.
        claim: the guarantee that came with the model.

    Source: spec section 10. Where an original leaks nothing detectable the spec calls the verdict inconclusive; a
    residue found all the same stays residue.
    """
    findings, watched = findings_of(evidence, policy)
    judged = _controls(evidence, policy, controls)
    changed = registered is not None and not policy.only_tightens(registered)
    said = Verdict(
        overall=_overall(findings, watched),
        utility=utility_of(findings),
        findings=findings,
        watched=watched,
        controls=judged,
        claim=_claim(evidence, claim),
        reasons=(UNREGISTERED,) if registered is None else (),
        not_covered=_not_covered(evidence),
        policy=policy.digest(),
    )
    broken = _broken(judged)
    if changed or broken:
        why = (*said.reasons, *((CHANGED,) if changed else ()), *broken)
        return said.model_copy(
            update={"overall": "invalid", "utility": "not_judged", "findings": (), "watched": (), "reasons": why}
        )
    return _capped(said, policy)


def utility_of(findings: Iterable[Finding]) -> UtilityStatus:
    """Return how good the model is: failed where any question about utility shows harm."""
    found = {f.status for f in findings if f.concern == "utility"}
    if "residue" in found:
        return "failed"
    if found == {"clean"}:
        return "kept"
    return "inconclusive" if found - {"not_measured"} else "not_measured"


def worst(several: Iterable[Overall]) -> Overall:
    """Return the worst of several verdicts (V2).

    >>> worst(["clean", "overshoot", "inconclusive"])
    'overshoot'
    """
    return min(several, key=SEVERITY.index)


def _overall(findings: Sequence[Finding], watched: Sequence[Finding]) -> Overall:
    """Return the verdict on what is left; harm to utility is no residue, but it is not clean either (V2, V3)."""
    seen: list[Overall] = ["clean" if all(f.status == "clean" for f in findings) else "inconclusive"]
    if any(f.status == "residue" and f.concern == "memory" for f in findings):
        seen.append("residue")
    if any(f.status == "overshoot" for f in (*findings, *watched)):
        seen.append("overshoot")
    return worst(seen)


def _controls(evidence: Sequence[Evidence], policy: AuditPolicy, runs: Sequence[ControlRun]) -> tuple[Control, ...]:
    judged = [_control(run.kind, *findings_of(run.evidence, policy)) for run in runs]
    if not any(c.kind == "original" for c in judged):
        judged.append(_control("original", *findings_of(evidence, policy, "before")))
    there = {c.kind for c in judged}
    judged += [
        Control(kind=k, expected=EXPECTED[k], found="not run", held=None) for k in policy.controls if k not in there
    ]
    order = list(EXPECTED)
    return tuple(sorted(judged, key=lambda c: order.index(c.kind)))


def _control(kind: ControlKind, findings: Sequence[Finding], watched: Sequence[Finding]) -> Control:
    """Judge a control by the questions that matter for it: utility for random, memory for the original, all for a
    retrained model.
    """
    concerns = {"random": ("utility",), "retrain": ("memory", "utility")}.get(kind, ("memory",))
    harmed = [f.question for f in findings if f.concern in concerns and f.status == "residue"]
    beyond = [f.question for f in (*findings, *watched) if f.status == "overshoot"] if kind == "retrain" else []
    expected, held = EXPECTED[kind], not (harmed or beyond) if kind == "retrain" else bool(harmed)
    if all(f.status == "not_measured" for f in findings if f.concern in concerns):
        return Control(kind=kind, expected=expected, found="not measured", held=None)
    utility = utility_of(findings).replace("_", " ")
    found = f"utility {utility}" if kind == "random" else _overall(findings, watched)
    if kind == "retrain":
        found = expected if held else f"residue or overshoot in {', '.join((*harmed, *beyond))}"
    return Control(kind=kind, expected=expected, found=found, held=held, why=(*harmed, *beyond))


def _broken(controls: Sequence[Control]) -> tuple[str, ...]:
    """Return the controls that make the audit invalid.

    An original that leaks nothing detectable leaves nothing to say, and so does doing nothing to it.
    """
    leaks = all(c.held for c in controls if c.kind == "original")
    broken = (c for c in controls if c.held is False and (leaks if c.kind == "no-op" else c.kind != "original"))
    return tuple(f"the control {c.kind} should be {c.expected}, and is {c.found}" for c in broken)


def _capped(said: Verdict, policy: AuditPolicy) -> Verdict:
    """Return the verdict, no better than inconclusive where the controls or the claim forbid it, with its reasons."""
    why = [f"the control {c.kind} was not run" for c in said.controls if c.held is None and c.kind in policy.controls]
    if any(c.kind == "original" and c.held is False for c in said.controls):
        why.insert(0, NOTHING)
    if said.claim == "contradicted":
        why.insert(0, CONTRADICTED)
    overall = worst([said.overall, "inconclusive"]) if why else said.overall
    open_questions = [
        f"{f.question}: {f.status.replace('_', ' ')}" for f in said.findings if f.status not in ("clean", "overshoot")
    ]
    beside = [f"{f.question}: overshoot" for f in (*said.findings, *said.watched) if f.status == "overshoot"]
    beside += [f"{f.question}: {WATCHED_ONLY}" for f in said.watched if f.status == "residue"]
    return said.model_copy(update={"overall": overall, "reasons": (*open_questions, *beside, *why, *said.reasons)})


def _claim(evidence: Sequence[Evidence], claim: Guarantee | None) -> Claim:
    named = {e.name: e for e in evidence if e.status == "measured"}
    if claim is None or claim.kind not in ("certified", "exact"):
        return "none"
    if claim.kind == "certified":
        found = named.get(EPSILON_LOWER)
        broken = found is not None and found.low > (claim.epsilon or 0.0)
    else:
        found = named.get(EQUAL) if claim.grade != "law" else None
        broken = found is not None and found.high < 1
    if found is None:
        return "not tested"
    return "contradicted" if broken else "not contradicted"


def _not_covered(evidence: Sequence[Evidence]) -> tuple[str, ...]:
    names = [e.name for e in evidence if e.status == "measured"]
    open_topics = (what for prefix, what in COVERED_BY if not any(name.startswith(prefix) for name in names))
    return (*STANDING, *open_topics)
