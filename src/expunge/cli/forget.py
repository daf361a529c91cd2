"""``expunge forget``: take a person or records out of a store, and hand out the signed receipt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expunge.cli.console import Duration, fields, json_option, once, progress, say, show

if TYPE_CHECKING:
    from expunge.core.plans import Plan
    from expunge.core.ruling import Ruling
    from expunge.service.forgetting import Wish
    from expunge.service.publishing import Done

STORE = click.Path(path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("store", type=STORE)
@click.option("--subject", callback=once, multiple=True, help="Forget everything that this subject owns.")
@click.option("--records", type=FILE, help="Forget the records whose ids are in this file, one a line.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done, and what it would cost.")
@click.option("--approve", is_flag=True, help="A person has looked: carry out what a screen holds.")
@click.option("--resume", "resuming", is_flag=True, help="Finish the request that was interrupted.")
@click.option("--keep-before", type=Duration(zero=True), metavar="DAYS", help="Keep the old version sealed.")
@click.option(
    "--guarantee",
    type=click.Choice(["exact", "certified", "empirical", "suppression"]),
    default="exact",
    show_default=True,
    help="The weakest guarantee that is accepted.",
)
@click.option("--deadline", type=Duration(), metavar="SECONDS", help="Refuse what may take unlearning longer.")
@click.option("--pace", type=Duration(), metavar="SECONDS", help="Hide how long unlearning took.")
@click.option("--shadows", default=16, show_default=True, type=click.IntRange(0), help="Shadow models; 0 = none.")
@json_option
def forget(  # noqa: PLR0917 - click calls it by name
    store: Path,
    subject: str | None,
    records: Path | None,
    dry_run: bool,
    approve: bool,
    resuming: bool,
    keep_before: float | None,
    guarantee: str,
    deadline: float | None,
    pace: float | None,
    shadows: int,
    as_json: bool,
) -> None:
    """Forget a person (--subject) or records (--records FILE), measure what is left, and sign a receipt.

    The request is screened, the cheapest unlearner that gives the guarantee is chosen and run, the result is measured
    against a model retrained without the records, the statement is signed and logged, and the new model is swapped in.
    Then the store itself forgets: data, old model, caches, the request. If anything stops it, nothing is half-changed:
    run the same command again, or --resume.

    --deadline SECONDS drops every way that may take unlearning longer (its 95 % figure); where none is left, the
    request is refused with the reasons. Measuring and signing come after it, and take longer than unlearning.

    How long exact deletion takes depends a little on the record. --pace SECONDS ends unlearning only at multiples of
    that time and signs no finer figure; above the plan's worst case (see --dry-run) it tells nothing at all.

    --keep-before DAYS keeps the old version encrypted for an appeal. It is destroyed when an expunge command next
    opens the store after that day (nothing runs in between), or earlier, by a later request for less time.

    \b
    Examples:
      expunge forget STORE --subject ann@example.org
      expunge forget STORE --records ids.txt --dry-run
      expunge forget STORE --resume
    """
    from expunge.service import forgetting

    if sum((subject is not None, records is not None, resuming)) != 1:
        raise click.UsageError("Give exactly one of --subject, --records and --resume.")
    if resuming and (dry_run or keep_before is not None):
        raise click.UsageError("--resume finishes what was asked before; it takes neither --dry-run nor --keep-before.")
    if resuming:
        with progress("forgetting") as tick:
            finished = forgetting.resume(store, approved=approve, tick=tick)
        if finished is None:
            show(as_json, {"done": False, "ref": None}, ["Nothing waits to be finished."])
        else:
            _show_done(finished, as_json)
        return
    with progress("reading"):
        demand = {"guarantee": guarantee, "n_shadows": shadows, "deadline_s": deadline, "pace_s": pace}
        wish = _wish(store, subject, records, demand, approve, keep_before)
    if dry_run:
        rulings, plan = forgetting.dry_run(store, wish)
        show(as_json, {"rulings": [r.as_json() for r in rulings], "plan": plan.as_json()}, _plan_lines(rulings, plan))
        return
    with progress("forgetting") as tick:
        finished = forgetting.forget(store, wish, tick)
    _show_done(finished, as_json)


def _wish(
    store: Path,
    subject: str | None,
    records: Path | None,
    demand: dict[str, Any],
    approve: bool,
    keep_before: float | None,
) -> Wish:
    from expunge.core.policy import Policy
    from expunge.core.request import ForgetRequest
    from expunge.service.forgetting import Wish
    from expunge.service.reading import ids_in

    request = ForgetRequest(records=ids_in(store, records)) if records else ForgetRequest(subject=subject)
    return Wish(request, Policy(**demand), approve, keep_before)


def _plan_lines(rulings: Sequence[Ruling], plan: Plan) -> list[str]:
    from expunge.core.costs import span

    screens = [f"screen {r.screen}: {r.verdict}{''.join(' - ' + reason for reason in r.reasons)}" for r in rulings]
    dropped = [f"not considered: {d.name} ({d.reason})" for d in plan.dropped]
    times, memory = plan.prediction, plan.prediction.memory_bytes
    facts = {"plan": plan.unlearner, "guarantee": plan.guarantee.kind, "why": plan.why}
    for name, seconds in (("expected", times.seconds), ("95 %", times.p95_s), ("at worst", times.worst_s)):
        facts[name] = "unknown" if seconds is None else span(seconds)
    facts["memory"] = "unknown" if memory is None else f"{memory / 1e6:,.1f} MB beside the model before"
    return [*screens, *fields(facts), *dropped, "Nothing was changed."]


def _show_done(done: Done, as_json: bool) -> None:
    from expunge.service.reading import headline

    facts = headline(done)
    times = {name: None if facts[name] is None else f"{facts[name]:.4g}" for name in ("seconds", "retraining_s")}
    show(as_json, facts, fields(facts | times))
    if facts["n_forgotten"] == 0:
        say("note: these records had been set aside for measurements; the model never learnt them. They are deleted.")
    say(f"Give the receipt to the person; anybody can check it: expunge verify {done.receipt} --trust trust.json")
