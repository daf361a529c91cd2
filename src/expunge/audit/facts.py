"""``Report``: everything that the report of one request says, as a closed record; pages are made from it alone."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from expunge.audit.curves import Curves
from expunge.core.deployment import Cost, Prediction
from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee
from expunge.core.record import Record
from expunge.core.request import Ground
from expunge.core.ruling import Ruling


class Asked(Record):
    """What was asked, without who: the subject shows as the reference of the case only.

    Attributes:
        ref: the case's pseudonymous reference.
        ground: why (the requester's claim).
        granularity: whether single records were named, or all of a subject's.
        requested_at: RFC 3339 date or time, as received; None if unknown.
    """

    ref: str
    ground: Ground = "erasure"
    granularity: Literal["record", "subject"] = "subject"
    requested_at: str | None = None


class Trained(Record):
    """What the model was trained on.

    Attributes:
        dataset: its name.
        target: what is predicted.
        learner: ``repr`` of the learner.
        n_records: training records before.
        n_forgotten: training records that were forgotten.
        n_set_aside: records removed from those set aside for measurement.
        n_holdout: records set aside for measurement.
    """

    dataset: str
    target: str
    learner: str
    n_records: int
    n_forgotten: int
    n_set_aside: int = 0
    n_holdout: int


class Option(Record):
    """One unlearner that the planner looked at.

    Attributes:
        method: its name or ``repr``.
        usable: whether it could have served this request.
        seconds: predicted time; None if unknown.
        why: one sentence.
    """

    method: str
    usable: bool
    seconds: float | None = None
    why: str = ""


class Done(Record):
    """What was done.

    Attributes:
        method: ``repr`` of the unlearner that was used.
        why: why the planner chose it, one sentence.
        options: what else was looked at.
        prediction: the cost predicted before.
        cost: the cost it had.
        reference_s: what retraining took.
    """

    method: str
    why: str = ""
    options: tuple[Option, ...] = ()
    prediction: Prediction | None = None
    cost: Cost | None = None
    reference_s: float | None = None


class Digests(Record):
    """Digests of the models' states, hex."""

    before: str
    after: str
    reference: str | None = None


class ReceiptSummary(Record):
    """Where the receipt is.

    Attributes:
        ref: its reference.
        file: its file name, for the verification command.
        log_origin: the log's origin line.
        log_index: the leaf's index in the log.
        log_size: the tree size of the checkpoint in the receipt.
        key: fingerprint of the signing key.
    """

    ref: str
    file: str = "receipt.json"
    log_origin: str = ""
    log_index: int | None = Field(default=None, ge=0)
    log_size: int | None = Field(default=None, ge=0)
    key: str = ""


class Report(Record):
    """The report of one request.

    Attributes:
        schema_version: of this record.
        audience: ``public`` forms hold no per-record score and no count below 10 in a figure.
        asked: the request.
        trained: the model.
        rulings: what the screens said; their reasons must not name the subject.
        done: what was done.
        guarantee: what is promised.
        evidence: every measurement, those that could not be made included.
        curves: what the figures are drawn from.
        digests: of the models.
        receipt: where the proof is; None before it is signed.
        policy_digest: digest of the policy.
        seeds: of the measurements.
        non_claims: what is not claimed; the standing list of the guarantee's kind is added by `expunge.audit.wording`.
        not_covered: artefacts and questions outside this report.
        software: names and versions.
    """

    schema_version: Literal["expunge/report/v1"] = "expunge/report/v1"
    audience: Literal["public", "auditor"] = "public"
    asked: Asked
    trained: Trained
    rulings: tuple[Ruling, ...] = ()
    done: Done
    guarantee: Guarantee
    evidence: tuple[Evidence, ...] = ()
    curves: Curves = Curves()
    digests: Digests
    receipt: ReceiptSummary | None = None
    policy_digest: str = ""
    seeds: tuple[str, ...] = ()
    non_claims: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = ()
    software: tuple[str, ...] = ()
