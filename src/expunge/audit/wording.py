"""The report in plain words: what a guarantee means, what a measure is called, what is not claimed.

Spec V9: an empirical result reads "within … of retraining, on these questions", and what is hidden or reduced is
called hidden or reduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from expunge.core.costs import span
from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee, GuaranteeKind

ARMS = {"before": "before", "after": "after", "reference": "retrained without the records"}

PROBES = {
    "utility": "Is the model still good?",
    "likeness": "Is it like a model retrained without the records?",
    "membership": "Can an attacker tell that the records were used?",
    "cost": "What did it cost?",
    "relearning": "Can the forgotten be brought back?",
    "bystanders": "What happened to the records that stay?",
    "canary": "Are planted records found?",
    "composite": "Composite scores of the literature",
}

MEASURES = {
    "utility.accuracy": "Accuracy on records the model never saw",
    "utility.auc": "AUC on records the model never saw",
    "utility.loss": "Mean loss on records the model never saw (nats)",
    "utility.mse": "Mean squared error on records the model never saw",
    "utility.r2": "R² on records the model never saw",
    "utility.forgotten_accuracy": "Accuracy on the forgotten records",
    "utility.training_accuracy": "Accuracy on a sample of the training records",
    "likeness.equal": "Model equal to the retrained one (1 = yes, bit for bit)",
    "likeness.memory_equal": "Stored memory equal to the retrained one's (1 = yes)",
    "likeness.state_max_difference": "Largest difference in the model's numbers",
    "likeness.agreement_forgotten": "Same prediction as the retrained model, forgotten records",
    "likeness.agreement_holdout": "Same prediction as the retrained model, other records",
    "likeness.loss_rmse_forgotten": "Difference of losses, forgotten records (RMSE)",
    "likeness.loss_rmse_holdout": "Difference of losses, other records (RMSE)",
    "likeness.logit_rmse_forgotten": "Difference of logits, forgotten records (RMSE)",
    "likeness.logit_rmse_holdout": "Difference of logits, other records (RMSE)",
    "membership.loss_auc": "Loss attack, AUC (0.5 = guessing)",
    "membership.lira_auc": "Shadow-model attack (LiRA), AUC (0.5 = guessing)",
    "membership.loss_tpr_1pct": "Loss attack, share found at 1 % false alarms",
    "membership.lira_tpr_1pct": "Shadow-model attack, share found at 1 % false alarms",
    "canary.hits": "Planted records whose planted class is predicted",
    "canary.power": "Chance that planted records left in would have been found",
    "cost.seconds": "Seconds",
    "cost.ratio": "Retraining takes this many times as long",
    "cost.parts_touched": "Parts of the model that were rebuilt",
    "cost.records_read": "Records that were read again",
}

NON_CLAIMS: dict[GuaranteeKind, tuple[str, ...]] = {
    "exact": (
        "Nothing is said about copies of the data outside this model and the artefacts named under “Covered”.",
        "Nothing is said about earlier copies of the model that someone else may hold.",
    ),
    "certified": (
        "The new model is close to a retrained one in the sense of the stated bound; it is not the same model.",
        "Nothing is said about copies of the data or of earlier models that someone else may hold.",
    ),
    "empirical": (
        "No proof is given that the influence of the records is gone. These attacks and measures were run; others may "
        "find more.",
        "Nothing is said about copies of the data or of earlier models that someone else may hold.",
    ),
    "suppression": (
        "The influence of the records was not removed from the model. Its outputs were restricted; the records' traces "
        "are still inside.",
        "Nothing is said about copies of the data or of earlier models that someone else may hold.",
    ),
}
ALWAYS = (
    "No legal conclusion is drawn: whether this satisfies a duty of the controller is for people to judge.",
    "Intervals cover which people and records were drawn into the measurement, at 95 %; they do not cover attacks "
    "that were not run.",
)


def promise(guarantee: Guarantee) -> str:
    """Return what the guarantee means, in one or two plain sentences."""
    if guarantee.kind == "exact":
        how = {
            "bits": "is, bit for bit, the model that training without these records gives, on any platform",
            "bits-here": "is, bit for bit, the model that training without these records gives, under the same "
            "numerical libraries",
            "law": "has the same distribution as models trained without these records",
        }[guarantee.grade or "law"]
        return f"The new model {how}. Under the assumptions below, it holds nothing that came from the records."
    if guarantee.kind == "certified":
        return (
            "The new model is statistically close to one that was trained without these records: no test can tell the "
            f"two apart better than ε = {guarantee.epsilon:g}, δ = {guarantee.delta or 0:g} allow."
        )
    if guarantee.kind == "empirical":
        return (
            "The influence of the records on the model was reduced, and what is left was measured against a model "
            "retrained without them. This is a measurement; a mathematical guarantee is not given."
        )
    return (
        "What the model says about the records is suppressed. The records' influence is still inside the model; "
        "it was hidden, not removed."
    )


def heading(guarantee: Guarantee) -> str:
    """Return the guarantee's name for the banner."""
    return {
        "exact": "Exact forgetting",
        "certified": "Certified approximate forgetting",
        "empirical": "Measured reduction of influence",
        "suppression": "Suppression of outputs",
    }[guarantee.kind]


def parts(name: str) -> tuple[str, str]:
    """Split ``probe.measure@arm`` into (``probe.measure``, ``arm``)."""
    measure, _, arm = name.partition("@")
    return measure, arm


def short(name: str) -> str:
    """Return a difference's label for a row below its measure; other measures' full label."""
    measure, _ = parts(name)
    if measure.endswith("_change"):
        return "change: after − before"
    if measure.endswith("_excess"):
        return "difference to the retrained model"
    return label(name)


def label(name: str) -> str:
    """Return what a measure is called, without its arm; the name itself if it is not one of ours."""
    measure, _ = parts(name)
    for suffix, words in (("_change", ": change, after − before"), ("_excess", ": difference to the retrained model")):
        if measure.endswith(suffix):
            return MEASURES.get(measure.removesuffix(suffix), measure.removesuffix(suffix)) + words
    return MEASURES.get(measure, measure)


def number(value: float) -> str:
    """Return a number for people: four significant digits, thousands separated, no exponent where it can be avoided."""
    if value == 0:
        return "0"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    if abs(value) >= 1000:
        return f"{value:,.0f}".replace("-", "−")
    if abs(value) < 1e-4:
        return f"{value:.2e}".replace("-", "−")
    text = f"{value:.{max(0, 3 - _magnitude(value))}f}"
    return text.rstrip("0").rstrip(".").replace("-", "−")


def _magnitude(value: float) -> int:
    """Return the decimal exponent of a value between 0.0001 and 1000."""
    return int(f"{abs(value):e}".partition("e")[2])


def seconds(value: float) -> str:
    """Return seconds with their unit."""
    return span(value)


def moment(text: str) -> str:
    """Return an RFC 3339 time to the minute, for people; what is not one as it is."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return text
    if when.tzinfo is None:
        return text
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def cell(evidence: Evidence | None) -> str:
    """Return ``value [low, high] (n …)``; what was counted or timed once has no interval."""
    if evidence is None:
        return "–"
    if evidence.status == "not_measured":
        return "not measured"
    models = f", {evidence.n_models} shadow models" if evidence.n_models else ""
    if evidence.n == 1 and evidence.low == evidence.high:
        return f"{number(evidence.value)} (one {evidence.unit}, no interval)"
    n = f"(n\u00a0{evidence.n:,} {evidence.unit}{models})"
    return f"{interval(evidence)} {n}"


def interval(e: Evidence) -> str:
    """Return ``value [low, high]``."""
    return f"{number(e.value)} [{number(e.low)}, {number(e.high)}]"


def findings(evidence: Sequence[Evidence]) -> list[str]:
    """Return what the evidence says, one plain sentence a question; numbers come from the evidence."""
    named = {e.name: e for e in evidence if e.status == "measured"}
    said = [_equal(named), _useful(named), *(_attack(named, a) for a in ("lira", "loss"))]
    return [s for s in said if s]


def _equal(named: dict[str, Evidence]) -> str:
    found = named.get("likeness.equal@after")
    if found is None:
        return "No retrained model was available, so likeness to one was not measured."
    same = "is equal to" if found.value == 1 else "differs from"
    return f"By its digest, the new model {same} a model retrained without the records ({found.n:,} values compared)."


def _useful(named: dict[str, Evidence]) -> str:
    for measure, words in (("accuracy", "Accuracy"), ("r2", "R²"), ("loss", "The mean loss")):
        found = named.get(f"utility.{measure}_change@after")
        if found is not None:
            return f"{words} on records the model never saw changed by {interval(found)} (n {found.n:,})."
    return ""


def _attack(named: dict[str, Evidence], attack: str) -> str:
    """Return what one attack found, against the retrained model; what there was to find is said first."""
    who = {"lira": "An attacker with shadow models", "loss": "An attacker who looks at the loss"}[attack]
    before, after = (named.get(f"membership.{attack}_auc@{arm}") for arm in ("before", "after"))
    there, left = (named.get(f"membership.{attack}_auc_excess@{arm}") for arm in ("before", "after"))
    if before is None or after is None:
        return ""
    if there is None or left is None:
        return f"{who} gets AUC {interval(before)} on the old model and {interval(after)} on the new one."
    if there.low > 0:
        start = f"{who} could tell from the old model that the records had been used"
    else:
        start = f"{who} found no clear trace even in the old model, so its silence about the new one says little"
    start += f" (AUC above the retrained model's by {interval(there)})"
    if left.low == left.high == 0:
        return f"{start}; the new model gives exactly what the retrained one gives (AUC {interval(after)})."
    if left.low <= 0 <= left.high:
        told = "is not told apart from the retrained one by it, at this number of records"
    else:
        told = "differs from the retrained one"
    return f"{start}; the new model {told} (difference in AUC {interval(left)})."
