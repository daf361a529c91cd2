"""``expunge seals``: retired versions that are kept sealed for an appeal."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import json_option, say_waiting, show, table


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@json_option
def seals(store: Path, as_json: bool) -> None:
    """List the retired versions of the model that `forget --keep-before DAYS` keeps encrypted.

    A seal is destroyed (key first, then file) when an expunge command next opens the store on or after its day:
    nothing runs in between, so run any command, for example this one from a daily timer. The key lies in the same
    directory: a seal keeps the old version out of use, not out of reach of somebody who holds the whole store.

    \b
    Examples:
      expunge seals STORE
    """
    from expunge.service.reading import seals_of

    say_waiting(store)
    found = seals_of(store)
    rows = [(s["version"], s["state"], s["digest"][:16] + "…", s["kept_until"] or "-") for s in found]
    lines = table(("version", "state", "digest", "kept until"), rows) if rows else ["No version is kept sealed."]
    show(as_json, {"seals": found}, lines)
