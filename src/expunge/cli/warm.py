"""``expunge warm``: compile what is compiled on first use, ahead of it."""

from __future__ import annotations

import time

import click

from expunge.cli.console import json_option, say, show


@click.command()
@click.argument("learners", nargs=-1)
@json_option
def warm(learners: tuple[str, ...], as_json: bool) -> None:
    """Compile the kernels of LEARNERS (default: of all) now, so that the first training does not wait for it.

    They are kept in numba's cache (NUMBA_CACHE_DIR, else beside the package or in your cache folder), once a machine
    and version; run this again after an upgrade.

    \b
    Examples:
      expunge warm
      expunge warm forest boosting
    """
    from expunge import catalog
    from expunge.core.errors import Unsupported
    from expunge.core.roles import Prepares

    began = time.perf_counter()
    for name in learners or catalog.names("learner"):
        try:
            learner = catalog.build("learner", name)
        except Unsupported:
            if learners:
                raise
            continue  # it needs an extra that is not installed
        if isinstance(learner, Prepares):
            learner.prepare(say)
    seconds = time.perf_counter() - began
    show(as_json, {"seconds": seconds}, [f"ready, after {seconds:.1f} s"])
