"""``expunge calibrate``: what this machine can do, and the floors that follow for forgetting."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import fields, json_option, progress, show

COMMITS = 12
"""How often a request writes durably on its way through a store."""


@click.command()
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Where a store would lie."
)
@json_option
def calibrate(folder: Path | None, as_json: bool) -> None:
    """Measure matrix products, memory and durable writes, in a few seconds, and say what cannot be faster here.

    \b
    Examples:
      expunge calibrate
      expunge calibrate --folder /srv/stores --json
    """
    from expunge.core.costs import span
    from expunge.core.machine import measure

    with progress("measuring") as tick:
        machine = measure(folder, tick)
    floors = {
        "one record through 10 trees of 13 levels": 130 * machine.scattered_s,
        "one record out of a head of 512 weights a class": 2 * 512**2 * 8 / machine.bytes_per_s,
        "one pass over a million embeddings of 512 numbers": 1e6 * 512 * 4 / machine.bytes_per_s,
        "the durable writes of one request": COMMITS * machine.fsync_s,
    }
    speeds = {
        "matrix products": f"{machine.flops / 1e9:.1f} GFLOP/s",
        "memory": f"{machine.bytes_per_s / 1e9:.1f} GB/s, {machine.scattered_s * 1e9:.0f} ns a read at a random place",
        "durable write": span(machine.fsync_s),
    }
    lines = [*fields(speeds), "Nothing that forgets can be faster here than:"]
    found = {"machine": machine.as_json(), "floors_s": floors}
    show(as_json, found, [*lines, *fields({what: span(seconds) for what, seconds in floors.items()})])
