"""``expunge audit``: what the current model gives away, and what unlearning leaves behind in models made like it."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path

import click

from expunge.cli import audited, examining
from expunge.cli.console import json_option, progress, say_waiting, show, table

_READ_AS = (
    "Attacks: 0.5 is guessing; where the whole interval lies above it, training records can be told apart.",
    "What forgetting takes away is measured by `expunge forget`, beside a model retrained without the records.",
)

_FEW = (
    "The intervals of LiRA leave the noise between sets of shadow models out: use --shadows {enough} or more for a "
    "decision."
)


class _AuditGroup(click.Group):
    """What does not begin with a subcommand is about the current model: ``expunge audit STORE``."""

    default = "now"

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``now`` before what is no subcommand, nor one that is misspelt."""
        known = {*self.commands, *ctx.help_option_names}
        if not args or args[0] in known or (_is_slip(args[0], self.commands) and not Path(args[0]).exists()):
            return super().parse_args(ctx, args)
        return super().parse_args(ctx, [self.default, *args])


def _is_slip(word: str, commands: Collection[str]) -> bool:
    """Say whether a word is nearly the name of a command; what begins like the default may be a folder."""
    return bool(get_close_matches(word, [c for c in commands if c != _AuditGroup.default]))


@click.group(cls=_AuditGroup)
def audit() -> None:
    """Measure what a model gives away of its training records, and what unlearning leaves behind.

    `expunge audit STORE` (short for `audit now`) attacks the current model. `audit run` trains many models like it,
    unlearns them, and compares them with retrained ones; `audit logits` does so with what somebody else's models said.
    The verdict follows from the evidence and from a policy that is registered first. Every subcommand takes --json.

    \b
    Examples:
      expunge audit STORE
      expunge audit plan POLICY.json
      expunge audit run STORE --out AUDIT --budget quick
      expunge audit logits BUNDLE --out AUDIT
    """


@audit.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--shadows", default=16, show_default=True, type=click.IntRange(0), help="Shadow models; 0 = none.")
@click.option("--sample", default=1000, show_default=True, type=click.IntRange(10), help="Training records to attack.")
@json_option
def now(store: Path, shadows: int, sample: int, as_json: bool) -> None:
    """Measure the current model: its utility, and whether an attacker can tell who was in the training data.

    A keyed sample of training records is compared with records set aside (the holdout). An AUC near 0.5 means that
    the attack cannot tell them apart; it does not mean that no attack can. Every number comes with its 95 % interval.

    \b
    Examples:
      expunge audit STORE
      expunge audit now STORE --shadows 64 --json
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


for _command in (examining.plan, examining.run, examining.logits, audited.render, audited.purge):
    audit.add_command(_command)
