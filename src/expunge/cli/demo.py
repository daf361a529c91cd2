"""``expunge demo``: the whole path on real hospital data, in about a minute."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

from expunge.cli.console import fields, json_option, progress, say, show

if TYPE_CHECKING:
    from expunge.core.roles import Progress


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="New folder (default: expunge-demo, or the next free).")
@click.option("--fast", is_flag=True, help="Leave the shadow models out (the loss attack stays).")
@json_option
def demo(out: Path | None, fast: bool, as_json: bool) -> None:
    """Show the main job on real data: 101,766 hospital encounters, of which one patient's are forgotten.

    Trains a random forest that forgets exactly, screens and plans the request, forgets in milliseconds, compares with
    a forest retrained without the patient (equal bit for bit), attacks all three, signs a receipt, verifies it in a
    second process that loads no learning library, shows that a forged receipt is refused, and writes a report page.

    \b
    Examples:
      expunge demo
      expunge demo --out my-demo --fast --json
    """
    from expunge.service.demo import Demo

    with ExitStack() as bars:

        def bar(label: str) -> Progress:
            bars.close()
            return bars.enter_context(progress(label))

        shown = Demo(out or _free(), n_shadows=0 if fast else 16, bars=bar, say=say)
        for number, (heading, lines) in enumerate(shown.steps(), start=1):
            bars.close()
            for line in (click.style(f"\n{number}. {heading}", bold=True), *(f"   {text}" for text in lines)):
                click.echo(line, err=as_json)
    show(as_json, shown.facts, ["", *fields(shown.facts["files"])])


def _free() -> Path:
    """Return the first of ``expunge-demo``, ``expunge-demo-2``… that is not there."""
    names = ("expunge-demo", *(f"expunge-demo-{number}" for number in range(2, 1000)))
    return next((Path(name) for name in names if not Path(name).exists()), Path("expunge-demo"))
