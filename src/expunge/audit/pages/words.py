"""An audit in plain words: what was asked, what a verdict means and what it does not (spec V9)."""

from __future__ import annotations

from typing import Final

from expunge.audit import wording
from expunge.core.evidence import Evidence
from expunge.core.finding import Finding, Worst
from expunge.core.verdict import Verdict

SIGNS: Final = {
    "clean": "✓",
    "kept": "✓",
    "residue": "▲",
    "failed": "▲",
    "overshoot": "▼",
    "inconclusive": "?",
    "not_measured": "–",
    "not_judged": "–",
    "invalid": "✕",
}
"""A sign beside each colour, for those who do not see it and for print."""

STATUSES: Final = {
    "clean": "Within the margin",
    "residue": "Traces left",
    "overshoot": "Beyond retraining",
    "inconclusive": "Not decided",
    "not_measured": "Not measured",
    "not_judged": "Not judged",
    "failed": "Worse than retraining",
    "kept": "Within the margin",
    "invalid": "Invalid",
}

HEADINGS: Final = {
    "invalid": "The audit is invalid",
    "residue": "Traces of the forgotten records are left",
    "overshoot": "The model went beyond forgetting",
    "inconclusive": "The audit does not decide",
    "clean": "Within the margin of retraining",
}

MEANINGS: Final = {
    "invalid": "A control of the audit failed, or its rules were changed after they had been registered. "
    "No verdict is given on the model.",
    "residue": "By at least one registered question, the model still differs from models retrained without the "
    "records, by more than can be chance.",
    "overshoot": "The forgotten records are treated worse than by models that never saw them. That, too, tells that "
    "they were forgotten.",
    "inconclusive": "On the registered questions, the audit shows neither that traces are left nor that the model is "
    "within the margin of retraining.",
    "clean": "The model is within the margin of retraining, on these questions, with this power. This is a "
    "measurement: attacks that were not run may find more.",
}

UTILITY: Final = {
    "kept": "The model is as good as retrained ones, within the margin.",
    "failed": "The model is worse than retrained ones, by more than the margin.",
    "inconclusive": "Whether the model is as good as retrained ones is not decided.",
    "not_measured": "Whether the model is as good as retrained ones was not measured.",
    "not_judged": "Whether the model is as good as retrained ones is not judged.",
}

QUESTIONS: Final = {
    "membership": "Can an attacker tell which records were forgotten?",
    "records": "How many forgotten records stand out from retraining?",
    "utility_kept": "Is the model worse on records that stay?",
    "utility_holdout": "Is the model worse on records it never saw?",
    "residue": "Does a small hint bring the forgotten knowledge back?",
    "forgotten_accuracy": "Is the model better or worse on the forgotten records?",
}

MEASURES: Final = {
    "utility.kept_accuracy": "Accuracy on kept records",
    "utility.kept_loss": "Loss on kept records",
    "utility.forgotten_loss": "Loss on forgotten records",
    "utility.holdout_accuracy": "Accuracy on records never seen",
    "utility.holdout_loss": "Loss on records never seen",
    "utility.kept_worst_class": "Accuracy on kept records, worst class",
    "utility.holdout_worst_class": "Accuracy on records never seen, worst class",
    "membership.ulira_auc": "Forgotten or never learnt, record by record (U-LiRA), AUC",
    "membership.ulira_kept_auc": "Kept or never learnt, record by record (U-LiRA), AUC",
    "membership.lira_online_auc": "Forgotten or never learnt, by shadows of the original (LiRA online), AUC",
    "membership.lira_offline_auc": "Forgotten or never learnt, by shadows of the original (LiRA offline), AUC",
    "membership.rmia_auc": "Forgotten or never learnt, by few references (RMIA), AUC",
    "membership.population_auc": "Forgotten or never learnt, one threshold for all, AUC",
    "membership.iam_auc": "Forgotten or kept, inside one model (IAM), AUC",
    "membership.portfolio_auc": "The best of several attacks, chosen on other records, AUC",
    "bystanders.share": "Share of kept records that stand out more than before",
    "bystanders.rise": "How much more kept records stand out than before, in standard deviations",
    "likeness.record_test": "Share of forgotten records that stand out from retraining",
    "likeness.epsilon_lower_bound": "Lower bound on ε",
}

CONTROLS: Final = {
    "original": "The model before forgetting",
    "no-op": "The model before forgetting, passed off as unlearned",
    "retrain": "Another retrained model",
    "random": "A model that learnt nothing",
}

CLAIMS: Final = {
    "contradicted": "The guarantee’s claim is contradicted by the evidence.",
    "not contradicted": "The guarantee’s claim is not contradicted. No measurement can confirm one.",
    "not tested": "The guarantee’s claim was not tested by this audit.",
    "none": "",
}

LEGACY: Final[tuple[tuple[str, str], ...]] = (
    ("svc", "Its attack is trained on kept against test records and never sees a retrained model; no null is given."),
    ("entropy", "It counts forgotten records called members; retrained models do not give 0 or one half either."),
    ("forgetting", "Coarse thresholds on few models: two pools of the same models do not score 1."),
    ("klom", "Histograms of few models differ by chance: two equal pools are far from 0."),
    ("zrf", "It divides by the number of classes, so that the scale shrinks as classes grow."),
    ("js", "It divides by the number of classes, so that the scale shrinks as classes grow."),
    ("activation", "It takes the root of the mean square, which large differences dominate."),
    ("iam", "Its area is that of forgotten against kept records in one model, where forgetting well scores high."),
)
"""Why a form of the literature differs, by what its name starts with."""
WHY_LEGACY: Final = "It is printed without the value that retraining gives."

VERIFY: Final = (
    "Every number on this page is taken from report.json. Read it with expunge.audit.findings.read_audit: it is "
    "refused if its verdict is not the one that its evidence and policy give by the rules of expunge.core.verdict."
)


def question(name: str) -> str:
    """Return a question in plain words; its name if it is not one of ours."""
    return QUESTIONS.get(name, name)


def measure(name: str) -> str:
    """Return what a measure is called; its name if it is not one of those that most readers look for."""
    return MEASURES.get(name) or wording.label(name)


def excess(found: Finding | Worst) -> str:
    """Return ``value [low, high]`` of a finding; a dash where it was not measured."""
    if found.value is None or found.low is None or found.high is None:
        return "–"
    return f"{wording.number(found.value)} [{wording.number(found.low)}, {wording.number(found.high)}]"


def basis(finding: Finding) -> str:
    """Return the margin and what the value rests on, as a sentence; "" where it was not measured."""
    if finding.value is None:
        return ""
    n = f"n {finding.n:,} {finding.unit}" if finding.n else "n withheld"
    models = f", {finding.n_models:,} models" if finding.n_models and finding.unit != "models" else ""
    return f"Margin {wording.number(finding.margin)}; {n}{models}."


def decides(finding: Finding) -> str:
    """Return how many observations would decide, "" where that is not known or not needed."""
    if finding.n_decides is None:
        return ""
    return f"About {finding.n_decides:,} {finding.n_unit} would decide, if the difference stays as seen."


def null(evidence: Evidence) -> str:
    """Return the null of a measurement: ``median [95 %] (n …)``."""
    if evidence.null is None:
        return "–"
    found = evidence.null
    ends = f"[{wording.number(found.low)}, {wording.number(found.high)}]"
    return f"{wording.number(found.value)} {ends} (n\u00a0{found.n:,})"


def p_value(value: float | None) -> str:
    """Return a p-value; nobody needs the digits of a very small one."""
    if value is None:
        return "–"
    return "<\u00a00.0001" if value < 0.0001 else wording.number(value)


def why_legacy(measure: str) -> str:
    """Return in one line why a form of the literature differs from the corrected one."""
    name = measure.partition(".")[2]
    return next((why for start, why in LEGACY if start in name), WHY_LEGACY)


def counted(verdict: Verdict) -> str:
    """Return how many questions are within the margin."""
    clean = sum(f.status == "clean" for f in verdict.findings)
    return f"Within the margin: {clean} of {len(verdict.findings)} registered questions; it takes all of them."


def reasons(verdict: Verdict) -> tuple[str, ...]:
    """Return the reasons beside the answers to the questions, which stand in a table of their own."""
    names = tuple(f"{f.question}: " for f in (*verdict.findings, *verdict.watched))
    return tuple(reason for reason in verdict.reasons if not reason.startswith(names))
