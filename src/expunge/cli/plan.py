"""``expunge plan``: what forgetting several subjects would cost, one by one and together."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import Duration, fields, json_option, progress, show, table

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("subjects", type=FILE)
@click.option("--deadline", type=Duration(), metavar="SECONDS", help="Refuse what may take one unlearning longer.")
@json_option
def plan(store: Path, subjects: Path, deadline: float | None, as_json: bool) -> None:
    """Say what it would cost to forget each of the SUBJECTS (a file, one a line), alone and in one batch.

    Changes nothing. A batch is one pass and gives the same model, bit for bit. Times come from the last fit of this
    store and from how far its earlier predictions were off; "at worst" is a bound.

    \b
    Examples:
      expunge plan STORE waiting.txt
      expunge plan STORE waiting.txt --deadline 5 --json
    """
    from expunge.core.costs import span
    from expunge.core.errors import BadInput
    from expunge.core.policy import Policy
    from expunge.core.request import ForgetRequest
    from expunge.service.planning import costs_of

    names = [line.strip() for line in subjects.read_text().splitlines() if line.strip()]
    if not names:
        raise BadInput(f"{subjects.name} names no subject", hint="One subject a line.")
    with progress("planning"):
        plans, window = costs_of(store, [ForgetRequest(subject=name) for name in names], Policy(deadline_s=deadline))

    def time(seconds: float | None) -> str:
        return "unknown" if seconds is None else span(seconds)

    told = [p.prediction for p in plans]
    rows = [
        (name, p.unlearner, time(t.seconds), time(t.p95_s), time(t.worst_s), t.why)
        for name, p, t in zip(names, plans, told, strict=True)
    ]
    facts = {
        "one by one": time(window.apart_s),
        "together": time(window.together_s),
        "advice": ("run now: " if window.run else "wait: ") + window.why,
    }
    head = ("subject", "unlearner", "expected", "95 %", "at worst", "why")
    found = {"plans": dict(zip(names, (p.as_json() for p in plans), strict=True)), "batch": window.as_json()}
    show(as_json, found, [*table(head, rows), *fields(facts), "Nothing was changed."])
