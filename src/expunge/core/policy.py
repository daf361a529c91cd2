"""``Policy``: which screens, which probes, which thresholds, which guarantee; its digest is on every receipt."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from expunge.core.evidence import Direction
from expunge.core.guarantee import GuaranteeKind
from expunge.core.record import Record


class Bound(Record):
    """A bound on the evidence of one name.

    Attributes:
        evidence: name of the evidence.
        threshold: where good ends.
        direction: which side is good.
        kinds: the kinds of guarantee whose results it judges; empty = all.
    """

    evidence: str
    threshold: float
    direction: Direction
    kinds: tuple[GuaranteeKind, ...] = ()


EXACT_IS_EQUAL = Bound(evidence="likeness.equal@after", threshold=1.0, direction="equal", kinds=("exact",))
"""What exact unlearning gives has the digest of a retrained model; anything weaker is not asked for it."""


class Policy(Record):
    """What is demanded of a request's path.

    Attributes:
        guarantee: the weakest kind of guarantee that is accepted.
        screens: catalogue names, asked in this order.
        probes: catalogue names, run in this order.
        bounds: thresholds on evidence; evidence without a bound is reported, not judged.
        max_share: share of all records that one request may name before a human is asked.
        deadline_s: how long unlearning may take; None = no deadline.
        memory_bytes: how much memory unlearning may take beside the model before; None = no limit.
        pace_s: unlearning is answered only at multiples of this time, so that how long it took tells less about the
            records; None = as soon as it is done. A pace above the plan's worst case tells nothing.
        n_shadows: shadow models for membership inference; 0 = the loss attack only.
        reference: ``retrain`` = compare with a model retrained without the records.
        on_bound: what to do when a bound is missed: try the next unlearner, or only report.
        seeds: seed of every measurement.
    """

    guarantee: GuaranteeKind = "exact"
    screens: tuple[str, ...] = ("ownership", "quota")
    probes: tuple[str, ...] = ("utility", "likeness", "membership", "cost")
    bounds: tuple[Bound, ...] = (EXACT_IS_EQUAL,)
    max_share: float = Field(default=0.05, gt=0, le=1)
    deadline_s: float | None = Field(default=None, gt=0)
    memory_bytes: int | None = Field(default=None, gt=0)
    pace_s: float | None = Field(default=None, gt=0)
    n_shadows: int = Field(default=16, ge=0)
    reference: Literal["retrain", "none"] = "retrain"
    on_bound: Literal["next", "report"] = "next"
    seeds: tuple[str, ...] = ("audit-0",)


class Question(Record):
    """A primary question of an audit, registered before anything is measured.

    Attributes:
        name: what is asked.
        evidence: name of the evidence that answers: an excess over retraining, with its interval.
        margin: Δ: an excess below it is within what is accepted, > 0.
        harmful: which side is harmful.
        both: whether beyond the margin on the other side is overshoot.
    """

    name: str
    evidence: str
    margin: float = Field(gt=0)
    harmful: Literal["higher", "lower"] = "higher"
    both: bool = False


QUESTIONS = (
    Question(name="membership", evidence="membership.ulira_auc_excess@after", margin=0.05),
    Question(name="records", evidence="likeness.record_test@after", margin=0.05),
    Question(name="utility_kept", evidence="utility.kept_accuracy_excess@after", margin=0.01, harmful="lower"),
    Question(name="utility_holdout", evidence="utility.holdout_accuracy_excess@after", margin=0.01, harmful="lower"),
    Question(name="residue", evidence="relearning.recovery_excess@after", margin=0.10),
)
"""Spec section 10."""

Budget = Literal["quick", "standard", "full"]


class AuditPolicy(Record):
    """What an audit asks and how; its digest is logged before the run (spec section 10).

    Attributes:
        questions: the primaries.
        alpha: of each test, before correction.
        power: that the plan aims at.
        budget: how many models: quick 16 shadows and 16 references, standard 64 and 32, full 128 and 128.
        fprs: false positive rates at which true positive rates are given.
        n_folds: cross-fitting folds of per-record attacks.
        n_blocks: blocks of models of the jackknife.
        looks: numbers of models at which the audit may stop.
        legacy: whether the literature's miscalibrated forms are printed beside.
        seeds: of every measurement.
        retention_s: how long shadows may be kept; None = until they are purged.
    """

    questions: tuple[Question, ...] = QUESTIONS
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    budget: Budget = "standard"
    fprs: tuple[float, ...] = (0.01,)
    n_folds: int = Field(default=8, ge=2)
    n_blocks: int = Field(default=8, ge=3)
    looks: tuple[int, ...] = (16, 32, 64, 128)
    legacy: bool = True
    seeds: tuple[str, ...] = ("audit-0",)
    retention_s: float | None = Field(default=None, gt=0)
