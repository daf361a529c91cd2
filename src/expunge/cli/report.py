"""``expunge report``: the report of a request, as lines, JSON or a page."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from expunge.cli.console import fields, json_option, say_waiting, show, table, writing

_VERDICT = {True: "pass", False: "MISSED", None: ""}


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("ref", required=False)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Copy the page (HTML) to this file.")
@json_option
def report(store: Path, ref: str | None, out: Path | None, as_json: bool) -> None:
    """Show the report of a request: what was asked, what was done, what was measured, and what is not claimed.

    REF is the reference on the receipt (default: the last request). The page is one HTML file without scripts and
    links, for a privacy officer; --out copies it. Who was forgotten is not in it: the store does not know any more.

    \b
    Examples:
      expunge report STORE --out report.html
      expunge report STORE aaqeayeaudaocajbifqydiob4a --json
    """
    from expunge.audit import wording
    from expunge.service.reading import report_of

    say_waiting(store)
    done = report_of(store, ref)
    if out is not None:
        with writing(out):
            shutil.copyfile(done.report, out)
    evidence = done.facts.evidence
    head = {"ref": done.ref, "page": str(out or done.report), "receipt": str(done.receipt)}
    rows = [(e.name, e.text(), _VERDICT[e.passed]) for e in evidence]
    said = [wording.promise(done.facts.guarantee), *wording.findings(evidence)]
    lines = [*fields(head), "", *said, "", *table(("evidence", "value", ""), rows)]
    show(as_json, head | {"report": done.facts.as_json()}, lines)
