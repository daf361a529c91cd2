"""``expunge seals``: retired versions that are kept sealed for an appeal."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import json_option, say, say_waiting, show, table, writing


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--open", "version", type=int, metavar="VERSION", help="Decrypt this version, into the folder --out.")
@click.option("--out", type=click.Path(path_type=Path), help="New folder outside the store, for --open.")
@json_option
def seals(store: Path, version: int | None, out: Path | None, as_json: bool) -> None:
    """List the retired versions of the model that `forget --keep-before DAYS` seals; open one for an appeal.

    A seal is destroyed (key first, then file) when an expunge command next opens the store on or after its day:
    nothing runs in between, so run any command, for example this one from a daily timer. The key lies in the same
    directory: a seal keeps the old version out of use, not out of reach of somebody who holds the whole store.

    \b
    Examples:
      expunge seals STORE
      expunge seals STORE --open 3 --out appeal
    """
    from expunge.service.reading import open_seal, seals_of

    say_waiting(store)
    if (version is None) != (out is None):
        raise click.UsageError("--open and --out go together.")
    if version is not None and out is not None:
        with writing(out):
            n = open_seal(store, version, out)
        say(f"{out} holds the forgotten records in clear: destroy it when the appeal is over.")
        show(as_json, {"version": version, "objects": n, "out": str(out)}, [f"Opened version {version} into {out}."])
        return
    found = seals_of(store)
    rows = [(s["version"], s["state"], s["digest"][:16] + "…", s["kept_until"] or "-") for s in found]
    lines = table(("version", "state", "digest", "kept until"), rows) if rows else ["No version is kept sealed."]
    show(as_json, {"seals": found}, lines)
