"""``expunge log``: show a store's append-only log, and check it."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import fields, json_option, say_waiting, show, table


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Recompute the log from its entries and compare with every receipt.")
@click.option("--since", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="An earlier checkpoint.")
@click.option("--entries", is_flag=True, help="List the entries.")
@json_option
def log(store: Path, check: bool, since: Path | None, entries: bool, as_json: bool) -> None:
    """Show the append-only log of a store: its checkpoint, its entries, and whether it is still itself.

    The log holds salted commitments and times, never who was forgotten. Keep a copy of a checkpoint: --since shows
    later that the log only grew. --check recomputes everything from the entries and holds the log against every
    checkpoint that the store's receipts carry; a rewritten log ends with error[log-rewritten] and exit code 1.

    \b
    Examples:
      expunge log STORE --check
      expunge log STORE --json > checkpoint-today.json
      expunge log STORE --since checkpoint.txt --entries
    """
    from expunge.service.reading import log_of

    say_waiting(store)
    found = log_of(store, check=check, since=since)
    result = found if entries else {name: value for name, value in found.items() if name != "entries"}
    shown = {name: found[name] for name in ("origin", "size", "root", "checked_against")}
    lines = fields(shown)
    if entries:
        rows = [(e["index"], e["type"], e["ref"], e["seq"], e["time"]) for e in found["entries"]]
        lines += ["", *table(("index", "type", "ref", "seq", "time"), rows)]
    show(as_json, result, [*lines, "", *found["checkpoint"].splitlines()])
