"""An audit's report as one HTML page and as Markdown, from its record alone."""

from __future__ import annotations

from typing import Any

from expunge.audit import wording
from expunge.audit.canvas import WORDS
from expunge.audit.curves import SMALLEST
from expunge.audit.findings import AuditReport
from expunge.audit.pages import tables, words
from expunge.audit.rendering import rendered
from expunge.audit.views import FIVE


def audit_json(report: AuditReport) -> bytes:
    """Return the canonical bytes of a report (RFC 8785): the source of both pages."""
    return report.canonical()


def audit_html(report: AuditReport) -> str:
    """Return one self-contained page: no script, no request, the same bytes each time.

    Cost: about three seconds, nearly all of it matplotlib.
    """
    from expunge.audit.pages.figures import figures, lines

    return rendered("audit.html", figures=figures(report), lines=lines(report), **_content(report))


def audit_markdown(report: AuditReport) -> str:
    """Return the report as Markdown, without figures."""
    return rendered("audit.md", **_content(report))


def _content(report: AuditReport) -> dict[str, Any]:
    verdict = report.verdict
    return {
        "report": report,
        "verdict": verdict,
        "words": words,
        "wording": wording,
        "arms": WORDS,
        "five": FIVE,
        "smallest": SMALLEST,
        "asked": (*verdict.findings, *verdict.watched),
        "measures": tables.measures(report),
        "beside": tables.beside(report),
        "missing": tables.missing(report),
        "not_covered": (*verdict.not_covered, *report.not_covered),
        "assumptions": (*report.guarantee.assumptions, *report.assumptions),
    }
