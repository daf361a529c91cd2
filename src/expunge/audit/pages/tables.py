"""The tables T1–T5 of an audit: every measure, the literature's forms beside the corrected ones, controls and cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expunge.audit import wording
from expunge.audit.findings import AuditReport
from expunge.audit.pages import words
from expunge.core.evidence import Evidence

ROWS = {
    "before": "before",
    "after": "after",
    "reference": "retrained",
    "_excess@before": "before − retrained",
    "_excess@after": "after − retrained",
}


@dataclass(frozen=True)
class Cell:
    """One measurement as a row of T1; texts are ready to print."""

    arm: str
    value: str
    null: str
    p_value: str
    p_adjusted: str
    power: str
    n: str
    n_models: str


@dataclass(frozen=True)
class Block:
    """A measure in T1: its rows, one an arm, and how it was taken."""

    label: str
    name: str
    cells: tuple[Cell, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Beside:
    """A row of T2: a form of the literature, the corrected ones, and why they differ."""

    label: str
    legacy: str
    null: str
    corrected: tuple[tuple[str, str], ...]
    why: str


def measures(report: AuditReport) -> list[tuple[str, list[Block]]]:
    """Return T1: (question, blocks) of each probe, in the order of the evidence; legacy forms are in T2."""
    shown = [e for e in report.evidence if e.status == "measured" and not is_legacy(e)]
    probes = dict.fromkeys(e.name.partition(".")[0] for e in shown)
    adjusted = {
        f.evidence: f.p_adjusted
        for f in (*report.verdict.findings, *report.verdict.watched)
        if f.p_adjusted is not None
    }
    return [
        (
            wording.PROBES.get(probe, probe),
            _blocks([e for e in shown if e.name.partition(".")[0] == probe], adjusted, report.seeds),
        )
        for probe in probes
    ]


def beside(report: AuditReport) -> list[Beside]:
    """Return T2."""
    named = {e.name: e for e in report.evidence if e.status == "measured"}
    return [_beside(e, named) for e in named.values() if is_legacy(e)]


def missing(report: AuditReport) -> list[tuple[str, tuple[str, ...]]]:
    """Return (reason, names) of what could not be measured."""
    reasons: dict[str, dict[str, None]] = {}
    for e in report.evidence:
        if e.status == "not_measured":
            reasons.setdefault(e.note or "", {})[e.name] = None
    return [(reason, tuple(names)) for reason, names in reasons.items()]


def is_legacy(e: Evidence) -> bool:
    """Say whether a measurement is a form of the literature that is printed beside the corrected one."""
    return "_legacy" in e.name


def _blocks(evidence: Sequence[Evidence], adjusted: dict[str, float], seeds: Sequence[str]) -> list[Block]:
    grouped: dict[str, list[Evidence]] = {}
    for e in evidence:
        grouped.setdefault(_measure(e), []).append(e)
    return [
        Block(
            label=words.measure(measure),
            name=measure,
            cells=tuple(_cell(e, adjusted) for e in sorted(found, key=_order)),
            notes=_notes(found, seeds),
        )
        for measure, found in grouped.items()
    ]


def _measure(e: Evidence) -> str:
    return e.name.partition("@")[0].removesuffix("_excess")


def _row(e: Evidence) -> str:
    measure, _, arm = e.name.partition("@")
    return f"_excess@{arm}" if measure.endswith("_excess") else arm


def _order(e: Evidence) -> int:
    row = _row(e)
    return list(ROWS).index(row) if row in ROWS else len(ROWS)


def _cell(e: Evidence, adjusted: dict[str, float]) -> Cell:
    row = _row(e)
    return Cell(
        arm=ROWS.get(row, row),
        value=wording.interval(e),
        null=words.null(e),
        p_value=words.p_value(e.p_value),
        p_adjusted=words.p_value(adjusted.get(e.name)),
        power=_or_dash(e.power),
        n=f"{e.n:,} {e.unit}" if e.n else "withheld",
        n_models=_or_dash(e.n_models),
    )


def _notes(found: Sequence[Evidence], seeds: Sequence[str]) -> tuple[str, ...]:
    notes = dict.fromkeys([e.estimator for e in found] + [e.note for e in found if e.note])
    notes |= dict.fromkeys(f"null: {e.null.what}" for e in found if e.null is not None)
    own = dict.fromkeys(seed for e in found for seed in e.seeds if e.seeds != tuple(seeds))
    if own:
        notes[f"seeds: {', '.join(own)}"] = None
    return tuple(note for note in notes if note and note != "-")


def _beside(e: Evidence, named: dict[str, Evidence]) -> Beside:
    measure, _, arm = e.name.partition("@")
    base = measure.replace("_legacy", "")
    names = [f"{base}{end}@{arm}" for end in ("", "_ratio", "_excess")]
    stem = base.rpartition("_")[0]
    names += [n for n in named if n.startswith(f"{stem}_") and n.endswith(f"@{arm}") and "_legacy" not in n]
    corrected = [(n, wording.interval(named[n])) for n in dict.fromkeys(names) if n in named][:3]
    return Beside(e.name, wording.interval(e), words.null(e), tuple(corrected), words.why_legacy(measure))


def _or_dash(value: float | None) -> str:
    return "–" if value is None else wording.number(value)
