"""The report of a request: ``report.json`` (the source of everything), and a page and a Markdown text made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from expunge.audit import wording
from expunge.audit.facts import Asked, Digests, Done, Option, ReceiptSummary, Report, Trained
from expunge.audit.rendering import rendered
from expunge.core.evidence import Evidence

__all__ = [
    "Asked",
    "Digests",
    "Done",
    "Option",
    "ReceiptSummary",
    "Report",
    "Trained",
    "render_html",
    "render_markdown",
    "report_json",
]

COSTS = ("seconds@after", "seconds@reference", "ratio@after")


@dataclass(frozen=True)
class Line:
    """One row of the evidence table: label (short where it is a difference), a cell for each arm, and the notes."""

    label: str
    short: str
    before: str
    after: str
    reference: str
    passed: bool | None
    bound: str
    notes: tuple[str, ...]


def report_json(report: Report) -> bytes:
    """Return the canonical bytes of a report (RFC 8785)."""
    return report.canonical()


def render_html(report: Report) -> str:
    """Return one self-contained page: no script, no request, the same bytes each time.

    Cost: about two seconds, most of it matplotlib.
    """
    from expunge.audit.figures import figures

    drawn = figures(report.evidence, report.curves)
    return rendered("report.html", figures=drawn, **_content(report))


def render_markdown(report: Report) -> str:
    """Return the report as Markdown, without figures."""
    return rendered("report.md", **_content(report))


def _content(report: Report) -> dict[str, Any]:
    named = {e.name: e for e in report.evidence}
    judged = [e for e in report.evidence if e.threshold is not None]
    return {
        "report": report,
        "heading": wording.heading(report.guarantee),
        "promise": wording.promise(report.guarantee),
        "findings": wording.findings(report.evidence),
        "sections": _sections(report.evidence),
        "missing": _missing(report.evidence),
        "cost": {
            name: _measured(named, f"cost.{name}") for name in ("seconds@after", "seconds@reference", "ratio@after")
        },
        "judged": judged,
        "met": [e for e in judged if e.passed],
        "non_claims": [*report.non_claims, *wording.NON_CLAIMS[report.guarantee.kind], *wording.ALWAYS],
        "words": wording.ARMS,
        "label": wording.label,
    }


def _measured(named: dict[str, Evidence], name: str) -> Evidence | None:
    found = named.get(name)
    return found if found is not None and found.status == "measured" else None


def _sections(evidence: Sequence[Evidence]) -> list[tuple[str, list[Line]]]:
    """Return the measured evidence as (question, lines), one section a probe, in the order of the evidence."""
    measured = [e for e in evidence if e.status == "measured"]
    probes = dict.fromkeys(e.name.partition(".")[0] for e in measured)
    return [
        (wording.PROBES.get(probe, probe), _lines([e for e in measured if e.name.partition(".")[0] == probe]))
        for probe in probes
    ]


def _lines(evidence: Sequence[Evidence]) -> list[Line]:
    by_measure: dict[str, dict[str, Evidence]] = {}
    for e in evidence:
        measure, arm = wording.parts(e.name)
        by_measure.setdefault(measure, {})[arm] = e
    return [_line(measure, found) for measure, found in by_measure.items()]


def _line(measure: str, found: dict[str, Evidence]) -> Line:
    judged = next((e for e in found.values() if e.threshold is not None), None)
    words = {"lower": "at most", "higher": "at least", "equal": "exactly", "none": ""}
    bound = "" if judged is None else f"{words[judged.direction]} {wording.number(judged.threshold or 0)}"
    notes = dict.fromkeys([e.estimator for e in found.values()] + [e.note for e in found.values() if e.note])
    return Line(
        label=wording.label(measure),
        short=wording.short(measure),
        before=wording.cell(found.get("before")),
        after=wording.cell(found.get("after")),
        reference=wording.cell(found.get("reference")),
        passed=None if judged is None else judged.passed,
        bound=bound,
        notes=tuple(n for n in notes if n != "-"),
    )


def _missing(evidence: Sequence[Evidence]) -> list[tuple[str, str]]:
    """Return (measures, reason) of what could not be measured, one line a reason."""
    reasons: dict[str, dict[str, None]] = {}
    for e in evidence:
        if e.status == "not_measured":
            reasons.setdefault(e.note or "", {})[wording.label(e.name)] = None
    return [("; ".join(labels), reason) for reason, labels in reasons.items()]
