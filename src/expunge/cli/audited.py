"""``expunge audit render | purge``, and how every audit ends: with a report in a folder, and a verdict on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from expunge.cli.console import fields, json_option, say, show, table, writing

if TYPE_CHECKING:
    from expunge.audit.findings import AuditReport
    from expunge.core.finding import Finding
    from expunge.core.policy import AuditPolicy

FOLDER = click.Path(file_okay=False, path_type=Path)
FAILED: Final = 1
"""The exit code of --fail-on."""

RANK: Final = {"residue": ("invalid", "residue"), "inconclusive": ("invalid", "residue", "overshoot", "inconclusive")}
"""What --fail-on fails on."""

audience_option = click.option(
    "--for",
    "audience",
    type=click.Choice(["auditor", "public"]),
    default="auditor",
    show_default=True,
    help="Public: no scores of single records.",
)


@click.command()
@click.argument("report", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@audience_option
@click.option("--out", type=FOLDER, help="Folder of the pages (default: that of the report).")
@json_option
def render(report: Path, audience: str, out: Path | None, as_json: bool) -> None:
    """Make the pages of a REPORT (report.json) again: the same bytes each time. The verdict is checked first.

    \b
    Examples:
      expunge audit render AUDIT/report.json
      expunge audit render AUDIT/report.json --for public --out PUBLIC
    """
    from expunge.audit.findings import read_audit

    found = read_audit(report.read_bytes())
    if audience == "public" and found.audience == "auditor" and out in (None, report.parent):
        raise click.UsageError("Give --out: the public form would replace the auditor's.")
    if audience == "auditor" and found.audience == "public":
        say("note: this is the public form; the auditor's cannot be made from it.")
    finish(found, out or report.parent, audience, None, as_json)


@click.command()
@click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
@json_option
def purge(store: Path, as_json: bool) -> None:
    """Delete what audits have kept of their models, in a STORE or in a folder of signals: it tells who was forgotten.

    \b
    Examples:
      expunge audit purge STORE
    """
    from expunge.service.examining import purge_signals

    n = purge_signals(store)
    show(as_json, {"purged": n}, [f"Deleted the signals of {n} sets of models."])


def asked_in(out: Path, policy: Path | None, budget: str | None) -> AuditPolicy:
    """Return the policy asked for; what is not asked for is what is registered in the folder.

    Raises:
        BadInput: it is no policy, or looser than the registered one: the audit would be invalid once it is done (V7).
    """
    from expunge.audit.preparation import REGISTERED, policy_of
    from expunge.core.errors import BadInput

    known = out / REGISTERED
    if not known.exists():
        return policy_of(policy, budget=budget)
    read = policy_of(policy or known, budget=budget)
    if not read.only_tightens(policy_of(known)):
        raise BadInput(
            f"{known} registers another policy, and what is asked now is not the same with tighter margins",
            hint="Leave --policy and --budget out to ask what is registered, or give another --out.",
        )
    return read


def registered_in(out: Path, asked: AuditPolicy) -> AuditPolicy:
    """Return the policy that is registered in a folder; where none was, register this one."""
    from expunge.audit.preparation import register

    with writing(out):
        return register(asked, out)


def finish(report: AuditReport, out: Path, audience: str, fail_on: str | None, as_json: bool) -> None:
    """Write a report in the form for its audience, show the verdict, and fail where that was asked for."""
    from expunge.audit.findings import read_audit
    from expunge.audit.pages.render import audit_html, audit_json, audit_markdown
    from expunge.core.files import write_durably

    # what is written is what is shown: fields have the order that they have in the file
    shown = read_audit(audit_json(report.public() if audience == "public" else report))
    pages = {
        "report.json": audit_json(shown),
        "report.html": audit_html(shown).encode(),
        "report.md": audit_markdown(shown).encode(),
    }
    with writing(out):
        for name, page in pages.items():
            write_durably(out / name, page, mode=0o644 if shown.audience == "public" else 0o600)
    verdict = shown.verdict
    rows = [(f.question, f.status, _excess(f), _beside(f)) for f in (*verdict.findings, *verdict.watched)]
    facts = {
        "verdict": verdict.overall,
        "utility": verdict.utility,
        "claim": verdict.claim,
        "models": ", ".join(f"{n} {arm}" for arm, n in shown.audited.n_models.items()),
        "report": out / "report.html",
    }
    lines = [*fields(facts), "", *table(("question", "status", "excess over retraining", ""), rows)]
    lines += ["", *(f"- {reason}" for reason in verdict.reasons)]
    show(as_json, {"verdict": verdict.as_json(), "report": str(out / "report.json")}, lines)
    if fail_on is not None and verdict.overall in RANK[fail_on]:
        click.get_current_context().exit(FAILED)


def _excess(finding: Finding) -> str:
    if finding.value is None:
        return "-"
    return f"{finding.value:.4g} [{finding.low:.4g}, {finding.high:.4g}] (margin {finding.margin:g})"


def _beside(finding: Finding) -> str:
    """Return what must be said of an answer, and what would decide the question where it is open."""
    more = finding.n_decides
    return "; ".join((*finding.notes, *([f"about {more:,} {finding.n_unit} would decide"] if more else [])))
