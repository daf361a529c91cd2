"""The probes, attacks and screens of the menu."""

from __future__ import annotations

from expunge.catalog.entry import Entry

MEASURES: tuple[Entry, ...] = (
    Entry("probe", "utility", "expunge.audit.utility:Utility", "How well the model works, before and after."),
    Entry("probe", "likeness", "expunge.audit.likeness:Likeness", "How like the retrained model the result is."),
    Entry("probe", "membership", "expunge.audit.membership:Membership", "Whether the forgotten records still show."),
    Entry("probe", "cost", "expunge.audit.cost:CostProbe", "What unlearning took, beside retraining."),
    Entry("probe", "law", "expunge.audit.law:Law", "Whether forgetting and refitting have one law, over fresh keys."),
    Entry(
        "probe",
        "relearning",
        "expunge.audit.relearning:Relearning",
        "How soon what was forgotten is learnt again, beside a model that never learnt it.",
    ),
    Entry(
        "probe",
        "prototype",
        "expunge.audit.prototype:Prototype",
        "Whether the last hidden layer of a network still tells what was forgotten.",
    ),
    Entry(
        "probe",
        "canary",
        "expunge.audit.canary:Canary",
        "Whether forgotten records that were planted still show.",
    ),
    Entry("probe", "ghosts", "expunge.audit.ghosts:Ghosts", "Whether forgotten vectors still lie in what is written."),
    Entry(
        "attack",
        "split-value",
        "expunge.threats.split_value:SplitValue",
        "Looks for a deleted person's values among the points at which the model changes its mind.",
    ),
    Entry(
        "screen",
        "ownership",
        "expunge.defences.screens.ownership:Ownership",
        "Holds requests that name records of several subjects on nobody's authority.",
    ),
    Entry("screen", "quota", "expunge.defences.screens.quota:Quota", "Holds requests for a large share of the data."),
)
