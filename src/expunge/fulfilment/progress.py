"""``Progress``: how far a request has come; each step returns a new one, so that a crash loses at most one step."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from pydantic import Field

from expunge.core.canonical import sha256
from expunge.core.deployment import Cost, Deployment, Outcome
from expunge.core.errors import MalformedEvidence
from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee
from expunge.core.lessons import Lesson, Lessons, lesson_for, lesson_name
from expunge.core.plans import Dropped, Plan
from expunge.core.policy import Policy
from expunge.core.record import Record
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress as Tick
from expunge.core.ruling import Ruling, strictest
from expunge.fulfilment.commitments import Commitments
from expunge.trust.circumstances import NO_REGIME_DIGEST
from expunge.trust.keys import SigningKey
from expunge.trust.leaf import new_ref
from expunge.trust.log import FileLog
from expunge.trust.predicate import Propagation, Store
from expunge.trust.quorum import policy_text
from expunge.trust.receipt import Prepared


class About(Record):
    """What the statement calls things: names without personal data.

    Attributes:
        model: name of the model.
        dataset: random reference of the data set.
        version: version of the data set before the request.
        log_origin: name of the log that the receipt goes into.
        log_policy_digest: digest of the log's witness policy.
        stores: where else the records lie or lay, and how far they are gone.
        propagation: derived artefacts, backups and recipients that are known.
        not_covered: what else may hold the records and is not covered.
    """

    model: str = "model"
    dataset: str = Field(default_factory=new_ref)
    version: int = 1
    log_origin: str = "none"
    log_policy_digest: str = NO_REGIME_DIGEST
    stores: tuple[Store, ...] = ()
    propagation: tuple[Propagation, ...] = ()
    not_covered: tuple[str, ...] = ()

    def logged_in(self, log: FileLog) -> Self:
        """Return these names with a log that has no witnesses."""
        policy = policy_text(log.vkey).encode()
        return self.model_copy(update={"log_origin": log.origin, "log_policy_digest": sha256(policy).hex()})


class _Saved(Record):
    """The part of a `Progress` that is JSON."""

    ref: str
    seq: int
    nonce: str
    approved: bool
    decided_at: datetime | None = None
    rulings: tuple[Ruling, ...] | None = None
    plan: Plan | None = None
    tried: tuple[Dropped, ...] = ()
    reference_s: float | None = None
    evidence: tuple[Evidence, ...] | None = None
    manifest: str | None = None
    prepared: Prepared | None = None
    guarantee: Guarantee | None = None
    cost: Cost | None = None
    method: str | None = None


@dataclass(frozen=True)
class Progress:
    """A request under way.

    Attributes:
        request: what is asked.
        deployment: the deployment before; never touched.
        policy: what is demanded.
        ref: random reference of the case (`expunge.trust.leaf.new_ref`).
        seq: how many entries of this reference the log has already.
        nonce: hex of the 32 bytes that hide the request in its commitment.
        approved: whether a person accepted what a screen may hold.
        about: names for the statement.
        issuer: the key that signs; without it the statement stays unsigned.
        commitments: salted commitments of the data set; made fresh where there are none.
        tick: called with (done, total) during long work.
        rulings: what the screens said; None until `judge`.
        decided_at: when they said it; UTC.
        plan: the choice; None until `choose`.
        tried: unlearners whose result was not taken, with the reason.
        lessons: what earlier runs on this deployment taught about times.
        outcome: the deployment after; None until `unlearn`.
        took_s: what unlearning really took, in seconds, where its answer was paced (`Policy.pace_s`); never signed.
        reference: retrained without the records, where the policy asks for it.
        reference_s: what that took, in seconds.
        evidence: measurements; None until `measure`.
        drawn: what probes gave for a report to draw.
        commitments_after: the commitments without the records; None until `attest`, or without an issuer.
        manifest: the log entry (base64) that announces the roots after; goes into the log before the statement.
        prepared: the signed statement (or denial), ready for `expunge.trust.receipt.complete`; None without an issuer.
    """

    request: ForgetRequest
    deployment: Deployment
    policy: Policy = field(default_factory=Policy)
    ref: str = field(default_factory=new_ref)
    seq: int = 0
    nonce: str = field(default_factory=lambda: secrets.token_hex(32), repr=False)
    approved: bool = False
    about: About = field(default_factory=About)
    issuer: SigningKey | None = None
    commitments: Commitments | None = field(default=None, repr=False)
    tick: Tick | None = field(default=None, repr=False)
    rulings: tuple[Ruling, ...] | None = None
    decided_at: datetime | None = None
    plan: Plan | None = None
    tried: tuple[Dropped, ...] = ()
    lessons: Lessons = field(default_factory=dict, repr=False)
    outcome: Outcome | None = None
    took_s: float | None = field(default=None, repr=False)
    reference: Deployment | None = field(default=None, repr=False)
    reference_s: float | None = None
    evidence: tuple[Evidence, ...] | None = None
    drawn: tuple[Any, ...] = field(default=(), repr=False)
    commitments_after: Commitments | None = field(default=None, repr=False)
    manifest: str | None = field(default=None, repr=False)
    prepared: Prepared | None = field(default=None, repr=False)

    @property
    def attempt(self) -> int:
        """Number of the current attempt, from 1."""
        return len(self.tried) + 1

    @property
    def missed(self) -> tuple[Evidence, ...]:
        """The evidence that misses a bound of the policy."""
        return tuple(e for e in self.evidence or () if e.passed is False)

    def learnt(self) -> dict[str, Lesson]:
        """Return the lessons with this run's, to be kept for the next request."""
        if self.plan is None or self.outcome is None or not self.plan.prediction.seconds:
            return dict(self.lessons)
        name, m = self.plan.unlearner, len(self.deployment.targets(self.request))
        place, used = lesson_name(name, m), lesson_for(self.lessons, name, m)
        uncorrected_s = self.plan.prediction.seconds / math.exp(used.bias)
        lesson = self.lessons.get(place, Lesson())
        return {**self.lessons, place: lesson.after(uncorrected_s, self.took_s or self.outcome.cost.seconds)}

    def turned(self, reason: str) -> Progress:
        """Return the progress back before `choose`: the chosen unlearner's result is not taken, for this reason."""
        if self.plan is None:
            return self
        tried = (*self.tried, Dropped(name=self.plan.unlearner, reason=reason))
        return replace(self, tried=tried, plan=None, outcome=None, evidence=None)

    def to_json(self) -> dict[str, Any]:
        """Return the part that is JSON: everything but the deployments, the keys and the commitments."""
        found = {name: getattr(self, name) for name in _Saved.model_fields if hasattr(self, name)}
        if self.outcome is not None:
            found |= {name: getattr(self.outcome, name) for name in ("guarantee", "cost", "method")}
        return _Saved(**found).as_json()

    def resumed(self, saved: Any, after: Deployment | None = None) -> Progress:
        """Return this progress with the steps that were saved, so that `walk` goes on after them.

        Args:
            saved: what `to_json` gave.
            after: the deployment after, if it was saved; else `unlearn` and what follows are done again.

        Raises:
            MalformedEvidence: not the JSON of a progress.
        """
        read = _Saved.from_json(saved)
        kept = {name: getattr(read, name) for name in _Saved.model_fields if hasattr(self, name)}
        kept["approved"] = self.approved or read.approved
        if after is None or read.guarantee is None or read.cost is None or read.method is None:
            kept |= {"evidence": None, "manifest": None}
            kept["prepared"] = read.prepared if strictest(read.rulings or ()) == "refuse" else None
            return replace(self, **kept)
        return replace(self, **kept, outcome=Outcome(after, read.guarantee, read.cost, read.method))

    @classmethod
    def from_json(
        cls,
        saved: Any,
        request: ForgetRequest,
        deployment: Deployment,
        after: Deployment | None = None,
        **rest: Any,
    ) -> Progress:
        """Return a saved progress beside the objects that JSON does not hold; ``rest`` are further fields.

        Raises:
            MalformedEvidence: not the JSON of a progress.
        """
        odd = set(rest) & set(_Saved.model_fields) - {"approved"}
        if odd:
            raise MalformedEvidence(f"{sorted(odd)} come from the saved progress")
        return cls(request, deployment, **rest).resumed(saved, after)
