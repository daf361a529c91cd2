"""``Policy``: which screens, which probes, which thresholds, which guarantee; its digest is on every receipt."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator

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
        unlearners: catalogue names that may be used beside ``retrain``, which is always the last; None = all.
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
    unlearners: tuple[str, ...] | None = None


Concern = Literal["memory", "utility"]
ControlKind = Literal["original", "no-op", "retrain", "random"]
Budget = Literal["quick", "standard", "full"]

COMPARED = re.compile(r"[a-z0-9_]+\.[a-z0-9_]*(_excess|record_test)@after")
"""Names of evidence that compares with *retraining*; nothing else answers a question (spec V8)."""


class Question(Record):
    """What an audit asks, registered before anything is measured.

    Attributes:
        name: what is asked.
        evidence: name of the evidence that answers: an excess over retraining, with its interval.
        margin: Δ: an excess below it is within what is accepted, > 0.
        harmful: which side is harmful.
        both: whether beyond the margin on the other side is overshoot.
        concern: ``memory`` = what is left of the records; ``utility`` = whether the model is still good. A failure of
            utility is reported beside what is left, never averaged with it.
        worst: name of the evidence on the worst class; it is held to twice the margin. None = there is none.
        shadows: whether it takes several models to answer; with one, nothing is decided (spec V6).
    """

    name: str
    evidence: str
    margin: float = Field(gt=0)
    harmful: Literal["higher", "lower"] = "higher"
    both: bool = False
    concern: Concern = "memory"
    worst: str | None = None
    shadows: bool = False

    @model_validator(mode="after")
    def _compared_with_retraining(self) -> Question:
        wrong = [name for name in (self.evidence, self.worst) if name and not COMPARED.fullmatch(name)]
        if wrong:
            raise ValueError(
                f"question {self.name}: {wrong[0]} does not compare with retraining; ask for a difference to the "
                "retrained models (<probe>.<measure>_excess@after), never to kept records or to guessing"
            )
        return self


QUESTIONS = (
    Question(name="membership", evidence="membership.ulira_auc_excess@after", margin=0.05, shadows=True),
    Question(name="records", evidence="likeness.record_test@after", margin=0.05, shadows=True),
    Question(
        name="utility_kept",
        evidence="utility.kept_accuracy_excess@after",
        margin=0.01,
        harmful="lower",
        concern="utility",
        worst="utility.kept_worst_class_excess@after",
    ),
    Question(
        name="utility_holdout",
        evidence="utility.holdout_accuracy_excess@after",
        margin=0.01,
        harmful="lower",
        concern="utility",
        worst="utility.holdout_worst_class_excess@after",
    ),
    Question(name="residue", evidence="relearning.recovery_excess@after", margin=0.10),
)
"""The five primaries of spec section 10."""

WATCHES = (
    Question(name="forgotten_accuracy", evidence="utility.forgotten_accuracy_excess@after", margin=0.05, both=True),
)
"""Two-sided measures that can show overshoot: the forgotten records are treated worse than records never seen."""


class AuditPolicy(Record):
    """What an audit asks and how; its digest is logged before the run (spec section 10).

    Attributes:
        questions: the primaries: all must be clean for the audit to be.
        watches: further questions that can only show overshoot.
        controls: the controls without which no audit is clean.
        alpha: of each test, before correction.
        power: that the plan aims at.
        budget: how many models: quick 16 shadows and 16 references, standard 64 and 32, full 128 and 128.
        fprs: false positive rates at which true positive rates are given.
        n_folds: cross-fitting folds of per-record attacks.
        n_blocks: blocks of models of the jackknife.
        looks: numbers of models at which the audit may stop.
        sequential: whether it may really stop at each of the looks; each is then made at a share of alpha.
        legacy: whether the literature's miscalibrated forms are printed beside.
        seeds: of every measurement.
        retention_s: how long shadows may be kept; None = until they are purged.
    """

    questions: tuple[Question, ...] = QUESTIONS
    watches: tuple[Question, ...] = WATCHES
    controls: tuple[ControlKind, ...] = ("original", "no-op", "retrain", "random")
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    power: float = Field(default=0.8, gt=0.5, lt=1)
    budget: Budget = "standard"
    fprs: tuple[float, ...] = (0.01,)
    n_folds: int = Field(default=8, ge=2)
    n_blocks: int = Field(default=8, ge=3)
    looks: tuple[int, ...] = (16, 32, 64, 128)
    sequential: bool = False
    legacy: bool = True
    seeds: tuple[str, ...] = ("audit-0",)
    retention_s: float | None = Field(default=None, gt=0)

    @model_validator(mode="after")
    def _sound(self) -> AuditPolicy:
        names = [q.name for q in (*self.questions, *self.watches)]
        if not self.questions or len(set(names)) != len(names):
            raise ValueError("an audit needs questions, each with a name of its own")
        if not self.looks or list(self.looks) != sorted(set(self.looks)) or self.looks[0] < 1:
            raise ValueError(f"looks are rising numbers of models, and {self.looks} are not")
        if not all(0 < fpr < 1 for fpr in self.fprs):
            raise ValueError(f"false positive rates lie between 0 and 1, and {self.fprs} do not")
        return self

    @property
    def alpha_each(self) -> float:
        """What each test is made at: alpha, or its share of one look where the audit may stop at several."""
        return self.alpha / len(self.looks) if self.sequential else self.alpha

    def only_tightens(self, registered: AuditPolicy) -> bool:
        """Say whether this is the registered policy, but for margins that are smaller (spec V7)."""
        margins = {q.name: q.margin for q in (*registered.questions, *registered.watches)}

        def restored(questions: tuple[Question, ...]) -> tuple[Question, ...]:
            """Return the questions with the registered margins, where theirs are no wider."""
            return tuple(
                q.model_copy(update={"margin": margins[q.name]}) if q.margin <= margins.get(q.name, 0) else q
                for q in questions
            )

        back = {"questions": restored(self.questions), "watches": restored(self.watches)}
        return self.model_copy(update=back) == registered
