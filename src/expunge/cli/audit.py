"""``expunge audit``: how well the current model works, and what it gives away of its training records."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import json_option, progress, say_waiting, show, table

_READ_AS = (
    "Attacks: 0.5 is guessing; where the whole interval lies above it, training records can be told apart.",
    "What forgetting takes away is measured by `expunge forget`, beside a model retrained without the records.",
)

_FEW = (
    "The intervals of LiRA leave the noise between sets of shadow models out: use --shadows {enough} or more for a "
    "decision."
)


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--shadows", default=16, show_default=True, type=click.IntRange(0), help="Shadow models; 0 = none.")
@click.option("--sample", default=1000, show_default=True, type=click.IntRange(10), help="Training records to attack.")
@json_option
def audit(store: Path, shadows: int, sample: int, as_json: bool) -> None:
    """Measure the current model: its utility, and whether an attacker can tell who was in the training data.

    A keyed sample of training records is compared with records set aside (the holdout). An AUC near 0.5 means that
    the attack cannot tell them apart; it does not mean that no attack can. Every number comes with its 95 % interval.

    \b
    Examples:
      expunge audit STORE
      expunge audit STORE --shadows 64 --json
    """
    from expunge.audit.scored import ENOUGH_SHADOWS
    from expunge.service.audits import audit_store

    say_waiting(store)
    with progress("auditing") as tick:
        evidence = audit_store(store, n_shadows=shadows, n_sample=sample, tick=tick)
    rows = [(e.name, e.text()) for e in evidence]
    few = [_FEW.format(enough=ENOUGH_SHADOWS)] if 0 < shadows < ENOUGH_SHADOWS else []
    lines = [*table(("evidence", "value"), rows), "", *_READ_AS, *few]
    show(as_json, {"evidence": [e.as_json() for e in evidence]}, lines)
