"""``AuditReport``: everything an audit found, as a closed record; its pages are made from it alone (spec 11)."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from expunge.audit.curves import SMALLEST
from expunge.audit.pools import ARMS, FORGOTTEN, Pools
from expunge.audit.views import Views
from expunge.core.canonical import read_json
from expunge.core.errors import MalformedEvidence
from expunge.core.evidence import Evidence
from expunge.core.finding import Finding
from expunge.core.guarantee import Guarantee
from expunge.core.policy import AuditPolicy
from expunge.core.record import Record
from expunge.core.verdict import ControlRun, Verdict, verdict_of

Audience = Literal["auditor", "public"]

MAX_JSON_BYTES: Final = 1 << 26
ADVICE: Final = (
    "It is no report, one of another version of expunge, or one that was changed: do not rely on it, and make it again "
    "with `expunge audit run` or `expunge audit logits`."
)
WITHHELD: Final = f"withheld from the public form: it rests on fewer than {SMALLEST} records"
RECORDS: Final = frozenset({"records", "owners", "subjects", "people"})
"""Units of evidence that are people or theirs: fewer than ten of them are not published."""


class Audited(Record):
    """What was audited.

    Attributes:
        name: of the model, in words.
        method: ``repr`` of the unlearner.
        learner: ``repr`` of the learner.
        artefact: digest of the audited artefact, hex; "" where only its outputs were handed over.
        precision: of the audited artefact.
        level: what the statement claims, L0 … L5; "" without one.
        n_records: records that the models were asked about.
        n_forgotten: records that are forgotten by some model; None = fewer than ten, in a public form.
        n_classes: classes.
        n_models: arm → models.
    """

    name: str
    method: str = ""
    learner: str = ""
    artefact: str = ""
    precision: str = "float32"
    level: str = ""
    n_records: int
    n_forgotten: int | None = None
    n_classes: int
    n_models: dict[str, int] = Field(default_factory=dict)

    @classmethod
    def of(cls, pools: Pools, name: str, **said: str) -> Audited:
        """Return what can be said of pools.

        Args:
            pools: of the audit.
            name: of the model.
            said: further fields.
        """
        there = {world: pool for world in ARMS if (pool := pools.get(world)) is not None}
        asked = there.get("after") or there.get("before") or there.get("reference")
        return cls(
            name=name,
            n_records=len(pools.ids),
            n_forgotten=0 if asked is None else int((asked.roles == FORGOTTEN).any(axis=0).sum()),
            n_classes=pools.n_classes,
            n_models={world: len(pool) for world, pool in there.items()},
            **said,
        )


class Spent(Record):
    """What one part of the audit cost.

    Attributes:
        what: the part.
        seconds: single timings, without an interval; None where it was not timed.
        samples: records processed, forward and backward.
        models: models trained or asked.
    """

    what: str
    seconds: float | None = None
    samples: int | None = None
    models: int | None = None


class AuditReport(Record):
    """The report of one audit. It cannot be read if its verdict is not the one its evidence gives.

    Attributes:
        schema_version: of this record.
        audience: ``auditor`` has φ of single records; ``public`` has none, no count below ten and no record's id.
        audited: the model and its pools.
        guarantee: what was promised.
        policy: what was asked.
        policy_digest: its digest.
        registered: the policy as logged before the run; None = none was.
        evidence: every measurement, those that could not be made included.
        controls: the same battery on what has a known verdict.
        verdict: see `expunge.core.verdict`.
        views: what is drawn.
        cost: of the audit and of what it audits.
        seeds: of the measurements.
        versions: of software and machine.
        deviations: where the run differs from the policy or the method from its source.
        not_covered: beyond what the verdict lists.
        assumptions: of the statistics and of the set-up.
        full: digest of the auditor's form, in the public one.
        withheld: measurements that the public form leaves out.
    """

    schema_version: Literal["expunge/audit/v1"] = "expunge/audit/v1"
    audience: Audience = "auditor"
    audited: Audited
    guarantee: Guarantee
    policy: AuditPolicy
    policy_digest: str
    registered: AuditPolicy | None = None
    evidence: tuple[Evidence, ...]
    controls: tuple[ControlRun, ...] = ()
    verdict: Verdict
    views: Views = Views()
    cost: tuple[Spent, ...] = ()
    seeds: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    full: str = ""
    withheld: int = 0

    @model_validator(mode="after")
    def _follows(self) -> AuditReport:
        if self.policy_digest != self.policy.digest():
            raise ValueError("the policy's digest is not that of the policy")
        if len({e.name for e in self.evidence}) != len(self.evidence):
            raise ValueError("two measurements have one name")
        if self.audience == "public" and self.views.exposed:
            raise ValueError("the public form shows no single record")
        if not self.withheld and self.recomputed() != self.verdict:
            raise ValueError("the verdict is not the one that the evidence gives")
        return self

    def recomputed(self) -> Verdict:
        """Return the verdict of the evidence in this report: what every reader can check."""
        return verdict_of(
            self.evidence, self.policy, controls=self.controls, registered=self.registered, claim=self.guarantee
        )

    def public(self) -> AuditReport:
        """Return the form for everybody: no φ of single records, no id of one, no count of records below ten.

        The verdict stays the auditor's. Where measurements had to be withheld, only the auditor's form (its digest is
        in `full`) lets it be recomputed.
        """
        if self.audience == "public":
            return self
        evidence = tuple(_without_small(e) for e in self.evidence)
        controls = tuple(
            run.model_copy(update={"evidence": tuple(_without_small(e) for e in run.evidence)}) for run in self.controls
        )
        withheld = sum(e.note == WITHHELD for e in (*evidence, *(e for run in controls for e in run.evidence)))
        verdict, audited = self.verdict, self.audited
        small = {"n_forgotten": None} if (audited.n_forgotten or 0) < SMALLEST else {}
        fields: dict[str, object] = {
            "audience": "public",
            "audited": audited.model_copy(update=small),
            "evidence": evidence,
            "controls": controls,
            "verdict": verdict.model_copy(
                update={
                    "findings": tuple(_small_finding(f) for f in verdict.findings),
                    "watched": tuple(_small_finding(f) for f in verdict.watched),
                }
            ),
            "views": self.views.public(),
            "full": self.digest(),
            "withheld": withheld,
        }
        return type(self).model_validate(dict(self) | fields)


def report_of(
    audited: Audited, guarantee: Guarantee, policy: AuditPolicy, evidence: tuple[Evidence, ...], **more: object
) -> AuditReport:
    """Return the auditor's report of evidence, with its verdict.

    Args:
        audited: the model.
        guarantee: what was promised of it.
        policy: what was asked.
        evidence: what was measured.
        more: further fields of `AuditReport`: registered, controls, views, cost, …
    """
    fields = {"registered": None, "controls": ()} | more
    verdict = verdict_of(
        evidence, policy, controls=fields["controls"], registered=fields["registered"], claim=guarantee  # type: ignore[arg-type]
    )  # fmt: skip
    return AuditReport.model_validate(
        {
            "audited": audited,
            "guarantee": guarantee,
            "policy": policy,
            "policy_digest": policy.digest(),
            "evidence": evidence,
            "verdict": verdict,
            **fields,
        }
    )


def read_audit(data: bytes) -> AuditReport:
    """Read a report file.

    Raises:
        MalformedEvidence: it is not one, or its verdict does not follow from its evidence.
    """
    try:
        return AuditReport.from_json(read_json(data, MAX_JSON_BYTES))
    except MalformedEvidence as error:
        error.advice = ADVICE
        raise


def for_statement(report: AuditReport) -> tuple[Evidence, ...]:
    """Return the evidence as a statement carries it: primaries held to Δ, ``passed`` where they are clean.

    A reader of the statement holds value against threshold again. Where the verdict is stricter than that (one model
    of a kind, an α below 5 %, a second side), the primary carries no threshold.
    """
    found = {f.evidence: f for f in report.verdict.findings}
    return tuple(_held(e, found[e.name], report.policy) if e.name in found else e for e in report.evidence)


def _held(e: Evidence, finding: Finding, policy: AuditPolicy) -> Evidence:
    (question,) = (q for q in policy.questions if q.name == finding.question)
    if question.harmful == "higher":
        judged = e.judged(question.margin, "lower")
    else:
        judged = e.judged(-question.margin, "higher")
    return judged if judged.passed is (finding.status == "clean") else e


def _without_small(e: Evidence) -> Evidence:
    small = e.status == "measured" and e.unit in RECORDS and e.n < SMALLEST
    return Evidence.missing(e.name, WITHHELD) if small else e


def _small_finding(f: Finding) -> Finding:
    return f.model_copy(update={"n": 0, "n_decides": None}) if f.unit in RECORDS and f.n < SMALLEST else f
