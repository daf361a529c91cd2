"""What a certificate or a denial says: the closed fields of ``unlearning/v1`` and ``denial/v1``.

Every field is required unless it may be None. ``Guarantee``, ``Evidence`` and ``Ruling`` are the records of
`expunge.core`, in their own spelling; what both predicates share is in `expunge.trust.circumstances`.

Source: spec T12.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Strict, model_validator

from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee
from expunge.core.record import Record
from expunge.trust.circumstances import Asked, Issuer, LogRef, Request, Security, Validity
from expunge.trust.fields import Count, Flag, Hex32, Number, Ref, Text, Time, Wire

Status = Literal["VERIFIED", "PENDING", "UNVERIFIED", "FAIL"]
Level = Literal["L0", "L1", "L2", "L3", "L4", "L5"]
NonClaim = Literal[
    "anonymity", "causal-absence", "near-duplicates", "identity-map", "manifest-completeness", "loader",
    "derived-unknown", "backups-pending", "media-residue", "side-channels", "witness-independence",
    "batch-difference",
]  # fmt: skip
GroundCode = Literal[
    "suspected_fraud", "insuf_verification", "no_match", "claim_not_covered", "outside_jurisdiction",
    "too_many_requests", "other", "legal_obligation", "expression", "legal_claims", "research",
]  # fmt: skip
Positive = Annotated[int, Strict(), Field(ge=1)]
Share = Annotated[float, Strict(), Field(ge=0, le=1)]


class ModelChange(Record):
    """A model's state digests before and after."""

    id: Text
    before: Hex32
    after: Hex32


def _reasoned(status: Status, reason: str | None) -> None:
    if status == "UNVERIFIED" and not reason:
        raise ValueError("status UNVERIFIED needs a reason")


class Store(Record):
    """A place where records or what derives from them lie."""

    name: Text
    kind: Text
    status: Status
    reason: Text | None = None

    @model_validator(mode="after")
    def _has_reason(self) -> Store:
        _reasoned(self.status, self.reason)
        return self


class Gap(Record):
    """Something that is not known or not done, and why."""

    what: Text
    why: Text


class Scope(Record):
    """What was to be forgotten, where it was done, and where it was not.

    `n_forgotten` counts training records; `n_set_aside` those deleted from the data that was set aside for measurement,
    which the model never learnt.
    """

    granularity: Literal["record", "subject", "class", "feature", "client", "concept"]
    s_root: Hex32
    n_forgotten: Count
    n_set_aside: Count | None = None
    models: tuple[ModelChange, ...] = Field(min_length=1)
    stores: tuple[Store, ...]
    not_covered: tuple[Text, ...]
    gaps: tuple[Gap, ...]


class Method(Record):
    """How it was done, in enough detail to be done again."""

    run: Ref
    name: Text
    repr: Text
    parameters: dict[str, Any]
    code_digest: Hex32
    environment_digest: Hex32
    seeds: dict[str, str]
    beacon: Hex32 | None = None
    deterministic: Flag
    device: Text
    n_threads: Positive
    tolerance: Annotated[float, Strict(), Field(ge=0)] | None = None
    attempt: Positive
    tried: tuple[Text, ...]


class Data(Record):
    """Roots of the training set (D) and of the forgotten records (U), before and after."""

    dataset: Ref
    version: Count
    encoding: Literal["raw", "jcs", "row/v1"]
    d_before: Hex32
    d_after: Hex32
    u_before: Hex32
    u_after: Hex32
    loader: Literal["committed-order", "own"]
    absence_digests: tuple[Hex32, ...]


class Replay(Record):
    """How many runs were replayed, and the chance that a replay would have caught a cheat."""

    r: Share
    n_runs: Count
    n_replayed: Count
    power: Share


class Claim(Record):
    """How far the claim goes, and what it does not say."""

    level: Level
    non_claims: tuple[NonClaim, ...]
    replay: Replay | None = None


class Families(Record):
    """Attack families that were tried on the model, and those that were not."""

    tested: tuple[Text, ...]
    missing: tuple[Text, ...]


class Change(Record):
    """A utility before and after, with the interval of the difference."""

    before: Number
    after: Number
    delta: Number
    low: Number
    high: Number


class Utility(Record):
    """Utility over everybody and over the worst group; None where no holdout exists to measure it."""

    overall: Change | None = None
    worst_group: Change | None = None


class Evaluation(Record):
    """What was measured, under a policy logged before the run."""

    policy_digest: Hex32
    reference: Literal["retrained", "none"]
    evidence: tuple[Evidence, ...]
    attack_families: Families
    utility: Utility


class Serving(Record):
    """An endpoint, and when it turned from the old model to the new."""

    endpoint: Text
    before: Hex32
    after: Hex32
    swapped_at: Time | None = None
    before_retired_at: Time | None = None
    before_destroyed_by: Time | None = None
    status: Status
    reason: Text | None = None

    @model_validator(mode="after")
    def _has_reason(self) -> Serving:
        _reasoned(self.status, self.reason)
        return self


class Propagation(Record):
    """A derived artefact, recipient, backup, snapshot, cache or index, and how far the news has come."""

    kind: Literal["derived", "recipient", "backup", "snapshot", "cache", "index"]
    id: Text
    status: Status
    at: Time | None = None
    due: Time | None = None
    reason: Text | None = None

    @model_validator(mode="after")
    def _has_reason(self) -> Propagation:
        _reasoned(self.status, self.reason)
        return self


class Unlearning(Wire):
    """Predicate ``unlearning/v1``: the certificate of a request that was carried out."""

    stage: Literal["attested", "published"]
    outcome: Literal["complete", "partial"]
    reasons: tuple[Text, ...]
    request: Request
    scope: Scope
    guarantee: Guarantee
    method: Method
    data: Data
    claim: Claim
    evaluation: Evaluation
    security: Security
    serving: tuple[Serving, ...]
    propagation: tuple[Propagation, ...]
    validity: Validity
    issuer: Issuer
    log: LogRef
    supersedes: Hex32 | None = None
    critical: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _partial_has_reasons(self) -> Unlearning:
        if (self.outcome == "partial") != bool(self.reasons):
            raise ValueError("a partial outcome, and only that, has reasons")
        return self


class Denial(Wire):
    """Predicate ``denial/v1``: a request that was refused, on which grounds, and what can be done about it."""

    request: Asked
    grounds: tuple[GroundCode, ...] = Field(min_length=1)
    reasons: tuple[Text, ...]
    remedies: tuple[Text, ...]
    security: Security
    validity: Validity
    issuer: Issuer
    log: LogRef
    supersedes: Hex32 | None = None
    critical: tuple[str, ...] | None = None
