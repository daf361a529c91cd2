"""The last step: say what was done, no more than the evidence supports, and sign it. Nothing here names a record."""

from __future__ import annotations

import os
import platform
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from expunge import catalog
from expunge.core.canonical import b64, json_digest
from expunge.core.code import code_digest
from expunge.core.dataset import Dataset
from expunge.core.deployment import Outcome
from expunge.core.evidence import Evidence
from expunge.core.ruling import strictest
from expunge.fulfilment.commitments import Commitments
from expunge.fulfilment.progress import Progress
from expunge.trust import circumstances
from expunge.trust import predicate as said
from expunge.trust.claims import honest
from expunge.trust.envelope import pae
from expunge.trust.fields import time_text
from expunge.trust.leaf import body_commitment, public_leaf
from expunge.trust.receipt import MapAnswer, attach, prepare
from expunge.trust.statement import statement

REQUEST_TYPE: Final = "application/vnd.expunge.request+json"
MAX_ANSWERS: Final = 16
"""Forgotten records up to which the receipt carries each one's own proofs; beyond, they are given out on request."""

FAMILIES: Final = (
    "membership", "extraction", "relearning", "canary", "attribute-inference", "reconstruction-by-difference",
    "backdoor",
)  # fmt: skip

NOT_COVERED: Final = (
    "copies of the records outside this data set, and similar records under other names",
    "exports, reports and predictions already given out",
    "backups and snapshots, until they expire",
    "models and data that others derived from the earlier model",
    "remains on storage media and in memory",
)
BEFORE: Final = "model before"
PUBLIC_KEY: Final = "secrecy of the model's draws: the key was made from a public seed"
PACKAGES: Final = ("numpy", "scipy", "numba", "scikit-learn", "pydantic", "cryptography")


def attest(progress: Progress) -> Progress:
    """Sign what was done, ready for the log; without an issuer there is nobody to say it, and nothing is added.

    Raises:
        ClaimRefuted: the statement would claim more than its evidence supports.
    """
    outcome, issuer = progress.outcome, progress.issuer
    if issuer is None or outcome is None:
        return progress
    now = datetime.now(UTC)
    forgotten = progress.deployment.data.only(progress.deployment.targets(progress.request))
    before = progress.commitments or Commitments.fresh(progress.deployment.data)
    after = before.without(forgotten)
    answers = _answers(after, before.leaving(forgotten))
    data = _data(progress, before, after, tuple(digest for _, digest in answers))
    draft = said.Unlearning(
        stage="attested",
        outcome="partial" if progress.missed else "complete",
        reasons=tuple(f"bound missed: {e.name}" for e in progress.missed),
        request=circumstances.Request(**_asked(progress), completed_at=time_text(now), pauses=()),
        scope=_scope(progress, outcome, before.s_root(forgotten).hex(), forgotten),
        guarantee=outcome.guarantee,
        method=_method(progress, outcome),
        data=data,
        claim=said.Claim(level="L0", non_claims=()),
        evaluation=_evaluation(progress),
        serving=(),
        propagation=progress.about.propagation,
        **_closing(progress, now),
    )
    attached = tuple(text for text, _ in answers)
    t = int(now.timestamp())
    prepared = prepare(statement(honest(draft)), issuer, progress.ref, progress.seq, t, absence=attached)
    entry = manifest_entry(progress, after, data.version, t)
    return replace(progress, commitments=before, commitments_after=after, manifest=b64(entry), prepared=prepared)


def deny(progress: Progress) -> Progress:
    """Sign a denial of a request that a screen refused; without an issuer, nothing is added."""
    if progress.issuer is None or strictest(progress.rulings or ()) != "refuse":
        return progress
    now = datetime.now(UTC)
    reasons = [reason for r in progress.rulings or () if r.verdict == "refuse" for reason in r.reasons]
    denial = said.Denial(
        request=circumstances.Asked(**_asked(progress)),
        grounds=("other",),
        reasons=tuple(reasons) or ("A screen of the policy refused the request.",),
        remedies=("Ask the operator for a person to look at the request again, or the supervisory authority.",),
        **_closing(progress, now),
    )
    prepared = prepare(statement(denial), progress.issuer, progress.ref, progress.seq, int(now.timestamp()))
    return replace(progress, prepared=prepared)


def request_commitment(progress: Progress) -> str:
    """Return the hex commitment to the request, opened by `Progress.nonce`."""
    return body_commitment(bytes.fromhex(progress.nonce), pae(REQUEST_TYPE, progress.request.canonical()))


def manifest_entry(progress: Progress, commitments: Commitments, number: int, t: int) -> bytes:
    """Return the log entry that announces the roots of a version of the data set (numbers from 1)."""
    roots = {"d_root": commitments.d_map.root.hex(), "u_root": commitments.u_map.root.hex()}
    facts = {"dataset": progress.about.dataset, "version": number, **roots}
    return public_leaf("MANIFEST", progress.about.dataset, number - 1, t, facts)


def _answers(after: Commitments, left: list[tuple[bytes, bytes, bytes]]) -> list[tuple[str, str]]:
    if len(left) > MAX_ANSWERS:
        return []
    found = []
    for key, _, c in left:
        gone = MapAnswer(map="d_after", key=key.hex(), proof=after.d_map.prove(key))
        told = MapAnswer(map="u_after", key=key.hex(), value=c.hex(), proof=after.u_map.prove(key))
        found += [attach(gone), attach(told)]
    return found


def _asked(progress: Progress) -> dict[str, Any]:
    decided = progress.decided_at or datetime.now(UTC)
    received = progress.request.requested_at or decided
    received = received if received.tzinfo else received.replace(tzinfo=UTC)
    return {
        "ref": progress.ref,
        "commitment": request_commitment(progress),
        "received_at": time_text(min(received, decided)),
        "decided_at": time_text(decided),
        "regime": circumstances.NO_REGIME,
        "regime_digest": circumstances.NO_REGIME_DIGEST,
        "verified_how": progress.request.verified_how,
    }


def _closing(progress: Progress, now: datetime) -> dict[str, Any]:
    about, key = progress.about, "" if progress.issuer is None else progress.issuer.vkey
    revocation = f"a REVOKE entry under reference {progress.ref} in log {about.log_origin}"
    return {
        "security": circumstances.Security(rulings=progress.rulings or ()),
        "validity": circumstances.Validity(as_of=time_text(now), revocation=revocation),
        "issuer": circumstances.Issuer(key=key, role="issuer"),
        "log": circumstances.LogRef(origin=about.log_origin, policy_digest=about.log_policy_digest),
    }


def _scope(progress: Progress, outcome: Outcome, s_root: str, forgotten: Dataset) -> said.Scope:
    before, about = progress.deployment, progress.about
    change = said.ModelChange(id=about.model, before=before.model.digest(), after=outcome.after.model.digest())
    lie = [said.Store(name="training data", kind="data", status="VERIFIED")]
    if before.holdout is not None:
        lie.append(said.Store(name="holdout data", kind="data", status="VERIFIED"))
    if not any(store.name == BEFORE for store in about.stores):
        lie.append(said.Store(name=BEFORE, kind="model", status="PENDING", reason="until the new one is published"))
    return said.Scope(
        granularity=progress.request.granularity,
        s_root=s_root,
        n_forgotten=len(forgotten),
        n_set_aside=len(before.set_aside(progress.request)) or None,
        models=(change,),
        stores=(*lie, *about.stores),
        not_covered=(*NOT_COVERED, *about.not_covered, *((PUBLIC_KEY,) if before.key.is_public else ())),
        gaps=tuple(said.Gap(what=e.name, why=e.note or "not measured") for e in _gaps(progress)),
    )


def _gaps(progress: Progress) -> list[Evidence]:
    found = [e for e in progress.evidence or () if e.status == "not_measured"]
    return [e for e in found if e.name.endswith("@after")]


def _method(progress: Progress, outcome: Outcome) -> said.Method:
    deployment, name = progress.deployment, "" if progress.plan is None else progress.plan.unlearner
    return said.Method(
        run=progress.ref,
        name=name,
        repr=outcome.method,
        parameters={"learner": repr(deployment.learner), **_parameters(name)},
        code_digest=code_digest(),
        environment_digest=json_digest(environment()),
        seeds={"key_commitment": deployment.key.commitment.hex(), "audit": ", ".join(progress.policy.seeds)},
        deterministic=outcome.guarantee.grade in ("bits", "bits-here"),
        device="cpu",
        n_threads=n_threads(),
        attempt=progress.attempt,
        tried=tuple(f"{d.name}: {d.reason}"[:4000] for d in progress.tried),
    )


def _parameters(name: str) -> dict[str, Any]:
    unlearner = catalog.build("unlearner", name)
    if not is_dataclass(unlearner):
        return {}
    return {f.name: repr(getattr(unlearner, f.name)) for f in fields(unlearner)}


def _data(progress: Progress, before: Commitments, after: Commitments, digests: tuple[str, ...]) -> said.Data:
    return said.Data(
        dataset=progress.about.dataset,
        version=progress.about.version + 1,
        encoding="row/v1",
        d_before=before.d_map.root.hex(),
        d_after=after.d_map.root.hex(),
        u_before=before.u_map.root.hex(),
        u_after=after.u_map.root.hex(),
        loader="own",
        absence_digests=digests,
    )


def _evaluation(progress: Progress) -> said.Evaluation:
    evidence = progress.evidence or ()
    heads = {e.name.split(".")[0] for e in evidence if e.status == "measured"}
    tested = tuple(family for family in FAMILIES if family in heads)
    return said.Evaluation(
        policy_digest=progress.policy.digest(),
        reference="none" if progress.reference is None and progress.reference_s is None else "retrained",
        evidence=evidence,
        attack_families=said.Families(tested=tested, missing=tuple(f for f in FAMILIES if f not in tested)),
        utility=said.Utility(overall=_change(evidence)),
    )


def _change(evidence: tuple[Evidence, ...]) -> said.Change | None:
    """Return the first utility that was measured before, after and as a difference."""
    found = {e.name: e for e in evidence if e.status == "measured"}
    for measure in ("accuracy", "r2", "mse", "loss"):
        arms = [found.get(f"utility.{measure}{end}") for end in ("@before", "@after", "_change@after")]
        if all(arms):
            before, after, change = (e for e in arms if e is not None)
            return said.Change(
                before=before.value, after=after.value, delta=change.value, low=change.low, high=change.high
            )
    return None


def n_threads() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment() -> dict[str, str]:
    """Return what the environment digest is made of: versions of Python and of the libraries that compute."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found
