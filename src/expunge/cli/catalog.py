"""``expunge catalog``: every learner, unlearner, probe, attack and screen by name."""

from __future__ import annotations

from dataclasses import asdict

import click

from expunge.cli.console import json_option, show, table


@click.command()
@click.option("--role", type=click.Choice(["learner", "unlearner", "probe", "attack", "screen"]), help="Only these.")
@json_option
def catalog(role: str | None, as_json: bool) -> None:
    """List what can be used, by name: learners, unlearners (with the guarantee they give), probes, attacks, screens.

    Names of other packages come from their entry points and say so. `needs` is the extra to install.

    \b
    Examples:
      expunge catalog --role unlearner
      expunge catalog --json
    """
    from expunge.catalog import entries

    found = [entry for entry in entries() if role in (None, entry.role)]
    rows = [(e.role, e.name, e.kind or "-", e.needs or "-", e.sentence) for e in found]
    lines = table(("role", "name", "guarantee", "needs", "what it does"), rows)
    show(as_json, {"entries": [asdict(entry) for entry in found]}, lines)
