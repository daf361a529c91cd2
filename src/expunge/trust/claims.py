"""The claim ladder and the non-claims: how much a certificate may say, computed from what it carries.

Guarantee kind and claim level are independent axes: the kind says what was done, the level says how far
others can check that it was done.

Source: spec T13 step 8, T14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from expunge.core.errors import ClaimRefuted
from expunge.trust.predicate import Denial, Level, NonClaim, Unlearning
from expunge.trust.statement import DENIAL, Statement, subject_of

LEVELS: tuple[Level, ...] = get_args(Level)
SMALL_BATCH = 10

LEVEL_TEXT: dict[Level, str] = {
    "L0": "recorded: the log holds this statement; nothing about the work itself was checked",
    "L1": "self-attested: the operator describes the run with digests and passing measurements",
    "L2": "replayable: the run was repeated at least once with an equal result",
    "L3": "independently audited: an auditor has countersigned",
    "L4": "attested hardware: a hardware quote binds code, data and result",
    "L5": "zero-knowledge: a proof of the computation is attached",
}

NON_CLAIM_TEXT: dict[NonClaim, str] = {
    "anonymity": "Not claimed: that no attack could still learn something about the forgotten records.",
    "causal-absence": "Not claimed: proof that the forgotten records no longer influence the model.",
    "near-duplicates": "Not claimed: that similar copies of the records, held under other names, were found.",
    "identity-map": "Not claimed: that the list linking people to records is right; only its keeper can check.",
    "manifest-completeness": "Not claimed: that the model was trained on nothing outside the committed list.",
    "loader": "Not claimed: that training read the records in the committed order; it used its own loader.",
    "derived-unknown": "Not claimed: that models or data derived elsewhere from this model are known.",
    "backups-pending": "Not claimed: that backups are clean; they still wait for their turn.",
    "media-residue": "Not claimed: that storage media hold no remains of overwritten files.",
    "side-channels": "Not claimed: that the hardware has no side channels.",
    "witness-independence": "Not claimed: that anybody independent of the operator watches the log.",
    "batch-difference": "Not claimed: that comparing the models before and after reveals nothing; few left at once.",
}

ALWAYS: tuple[NonClaim, ...] = (
    "near-duplicates", "identity-map", "manifest-completeness", "derived-unknown", "media-residue",
    "witness-independence",
)  # fmt: skip


@dataclass(frozen=True)
class Support:
    """Which of the six groups of machine-checkable evidence are present, one a level."""

    recorded: bool = True
    executed: bool = False
    replayable: bool = False
    audited: bool = False
    hardware: bool = False
    zero_knowledge: bool = False


def level_of(support: Support) -> Level | None:
    """Return the highest level whose evidence, and that of every level below it, is present.

    >>> level_of(Support(executed=True)), level_of(Support(replayable=True)), level_of(Support(recorded=False))
    ('L1', 'L0', None)
    """
    groups = (
        support.recorded,
        support.executed,
        support.replayable,
        support.audited,
        support.hardware,
        support.zero_knowledge,
    )
    reached = groups.index(False) if False in groups else len(groups)
    return LEVELS[reached - 1] if reached else None


def gates(predicate: Unlearning) -> list[bool]:
    """Return, of every measurement that was held against a threshold, whether it passed."""
    found = [e for e in predicate.evaluation.evidence if e.threshold is not None and e.direction != "none"]
    return [e.passed is True for e in found]


def gates_pass(predicate: Unlearning) -> bool:
    """Say whether something was held against a threshold, and all of it passed."""
    passed = gates(predicate)
    return bool(passed) and all(passed)


def support_of(predicate: Unlearning) -> Support:
    """Return what a certificate's own fields support; L3 and above need evidence that v1 cannot carry."""
    method, replay = predicate.method, predicate.claim.replay
    return Support(
        executed=gates_pass(predicate),
        replayable=(method.deterministic or method.tolerance is not None)
        and method.beacon is not None
        and predicate.data.loader == "committed-order"
        and replay is not None
        and replay.n_replayed >= 1,
    )


def required_non_claims(predicate: Unlearning) -> frozenset[NonClaim]:
    """Return the non-claims that this certificate's other fields oblige it to state."""
    families, level = predicate.evaluation.attack_families, predicate.claim.level
    rules: dict[NonClaim, bool] = {
        "anonymity": bool(families.missing) or not families.tested or not gates_pass(predicate),
        "causal-absence": level in ("L0", "L1") or predicate.guarantee.kind == "suppression",
        "loader": predicate.data.loader == "own",
        "backups-pending": any(
            p.kind in ("backup", "snapshot") and p.status != "VERIFIED" for p in predicate.propagation
        ),
        "side-channels": level == "L4",
    }
    return frozenset(code for code, holds in rules.items() if holds)


def honest(draft: Unlearning) -> Unlearning:
    """Return the draft with the highest level it supports and every non-claim that applies."""
    level = level_of(support_of(draft)) or "L0"
    claim = draft.claim.model_copy(update={"level": level})
    draft = draft.model_copy(update={"claim": claim})
    codes = {*ALWAYS, *required_non_claims(draft), *claim.non_claims}
    if draft.scope.n_forgotten <= SMALL_BATCH:
        codes.add("batch-difference")
    return draft.model_copy(update={"claim": claim.model_copy(update={"non_claims": tuple(sorted(codes))})})


def check_statement(said: Statement) -> None:
    """Check that a statement claims no more than its own fields support.

    Raises:
        ClaimRefuted: subject, level, non-claims, a gate or the order of dates is wrong.
    """
    predicate = said.predicate
    if tuple((s.name, s.digests.sha256) for s in said.subject) != subject_of(predicate):
        raise ClaimRefuted("the statement is about something else than its predicate")
    if isinstance(predicate, Denial) != (said.predicate_type == DENIAL):
        raise ClaimRefuted("the predicate is not of the type that the statement names")
    asked = predicate.request
    dates = [asked.received_at, asked.decided_at, predicate.validity.as_of]
    if isinstance(predicate, Unlearning):
        dates.insert(2, predicate.request.completed_at)
        _check_gates(predicate)
        _check_level(predicate)
    if dates != sorted(dates):
        raise ClaimRefuted("the dates of the statement are out of order")


def _check_gates(predicate: Unlearning) -> None:
    for e in predicate.evaluation.evidence:
        due = None if e.threshold is None else e.judged(e.threshold, e.direction).passed
        if e.passed is not due:
            raise ClaimRefuted("a measurement is said to pass, or to fail, against its own numbers")


def _check_level(predicate: Unlearning) -> None:
    most = level_of(support_of(predicate)) or "L0"
    if LEVELS.index(predicate.claim.level) > LEVELS.index(most):
        raise ClaimRefuted(f"level {predicate.claim.level} is claimed; the evidence supports {most}")
    missing = required_non_claims(predicate) - set(predicate.claim.non_claims)
    if missing:
        raise ClaimRefuted(f"the statement leaves out what it must not claim: {', '.join(sorted(missing))}")
