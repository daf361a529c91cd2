"""The figures F1–F6 of an audit, in the order of its page; which there are depends on what was measured."""

from __future__ import annotations

from expunge.audit.canvas import Figure
from expunge.audit.findings import AuditReport
from expunge.audit.pages import attacks, differences, usefulness
from expunge.audit.viewing import recoveries
from expunge.audit.views import Line
from expunge.core.evidence import Null


def figures(report: AuditReport) -> list[Figure]:
    """Return the figures that the report's record allows."""
    views = report.views
    by_topic = {topic: [line for line in lines(report) if line.topic == topic] for topic in attacks.TOPICS}
    made = [
        differences.excesses(report.verdict.findings, nulls(report)),
        attacks.rocs(views.rocs),
        differences.spreads(views.spreads),
        attacks.exposed(views.exposed),
        attacks.lines("relearning", by_topic["relearning"]),
        usefulness.shares(views.shares),
        usefulness.matrices(views.matrices),
        attacks.lines("layers", by_topic["layers"]),
    ]
    return [figure for figure in made if figure is not None]


def lines(report: AuditReport) -> tuple[Line, ...]:
    """Return the curves of the report: those handed in, and recovery as it was measured."""
    given = report.views.lines
    return given if any(line.topic == "relearning" for line in given) else (*given, *recoveries(report.evidence))


def nulls(report: AuditReport) -> dict[str, Null]:
    """Return the nulls of the primaries, turned so that larger is worse."""
    harmful = {q.evidence: q.harmful for q in (*report.policy.questions, *report.policy.watches)}
    found = {}
    for e in report.evidence:
        if e.null is not None and e.name in harmful:
            low, high = (e.null.low, e.null.high) if harmful[e.name] == "higher" else (-e.null.high, -e.null.low)
            value = e.null.value if harmful[e.name] == "higher" else -e.null.value
            found[e.name] = e.null.model_copy(update={"value": value, "low": low, "high": high})
    return found
