"""``expunge audit plan | run | logits``: whole audits, from a registered policy to a report."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from expunge.cli.audited import FOLDER, RANK, asked_in, audience_option, finish, registered_in
from expunge.cli.console import Command, fields, json_option, progress, say_waiting, show, table, writing

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_out = click.option("--out", required=True, type=FOLDER, help="Folder of policy.json and of the report.")
_policy = click.option("--policy", type=FILE, help="What is asked, as JSON (default: the default policy).")
_budget = click.option("--budget", type=click.Choice(["quick", "standard", "full"]), help="How many models.")


def _reporting(command: Command) -> Command:
    """Give a command the options of a report."""
    fail = click.option("--fail-on", type=click.Choice(list(RANK)), help="Exit with 1 at this verdict or a worse one.")
    options: tuple[Callable[[Any], Any], ...] = (_policy, _budget, audience_option, _out, fail, json_option)
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("policy", type=FILE, required=False)
@_budget
@click.option("--store", type=FOLDER, help="Time a fit, an unlearning and a prediction there.")
@click.option("--out", type=FOLDER, help="Register the policy in this folder, before anything is measured.")
@json_option
def plan(policy: Path | None, budget: str | None, store: Path | None, out: Path | None, as_json: bool) -> None:
    """Say what an audit by POLICY (JSON; default: the default policy) will take, before anything is trained.

    \b
    Examples:
      expunge audit plan --budget full
      expunge audit plan POLICY.json --store STORE --out AUDIT
    """
    from expunge.audit import preparation

    read = preparation.policy_of(policy, budget=budget) if out is None else asked_in(out, policy, budget)
    planned = preparation.plan(read)
    if store is not None:
        from expunge.service.examining import scene_of, unlearner_of
        from expunge.service.store import Store

        with Store.open(store) as opened:
            deployment = opened.deployment()
            planned = preparation.plan(read, scene_of(deployment, read), unlearner_of(deployment))
    if out is not None:
        registered_in(out, read)
    rows = [(a.question, f"{a.margin:g}", f"{a.n_a_side:,}", a.note) for a in planned.asked]
    facts = {name: value for name, value in planned.as_json().items() if name != "asked"}
    head = ("question", "margin", "observations a side for 'clean', if nothing is left", "")
    show(as_json, planned.as_json(), [*fields(facts), "", *table(head, rows)])


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--forget", type=FILE, help="Ids that are forgotten together (default: a fifth of each model's records).")
@click.option("--unlearner", help="Catalogue name of what is audited (default: what forgets here).")
@click.option("--jobs", default=-1, show_default=True, help="Processes; -1 = one a core.")
@click.option("--backend", type=click.Choice(["loky", "ray"]), default="loky", help="Where processes run.")
@click.option("--bundle", is_flag=True, help="Also write what the models said, under pseudonyms, for other auditors.")
@_reporting
def run(  # noqa: PLR0917 - click calls it by name
    store: Path,
    forget: Path | None,
    unlearner: str | None,
    jobs: int,
    backend: Any,
    bundle: bool,
    policy: Path | None,
    budget: str | None,
    audience: str,
    out: Path,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Audit what the unlearner of STORE leaves behind: train models like the current one, unlearn, retrain, compare.

    The policy is registered in --out before the first model is trained. What models say is kept in the store's cache,
    so that the same command goes on after an interruption; the next `expunge forget` deletes it.

    \b
    Examples:
      expunge audit run STORE --out AUDIT
      expunge audit run STORE --forget ids.txt --budget full --out AUDIT --fail-on residue
    """
    from expunge.audit.worlds import Making
    from expunge.service.examining import examine_store

    if jobs == 0:
        raise click.UsageError("--jobs is 1 or more, or -1 for one a core.")
    say_waiting(store)
    read = asked_in(out, policy, budget)
    register = partial(registered_in, out, read)
    with progress("models") as tick:
        how = Making(n_jobs=jobs, backend=backend, progress=tick)
        found, pools = examine_store(store, read, register=register, unlearner=unlearner, forget=forget, how=how)
    if bundle:
        from expunge.audit.bundle import claimed, pseudonymous, write

        with writing(out):
            write(out / "bundle", pseudonymous(pools), **claimed(found.guarantee))
    finish(found, out, audience, fail_on, as_json)


@click.command()
@click.argument("bundle", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_reporting
def logits(  # noqa: PLR0917 - click calls it by name
    bundle: Path,
    policy: Path | None,
    budget: str | None,
    audience: str,
    out: Path,
    fail_on: str | None,
    as_json: bool,
) -> None:
    """Audit what somebody else's models said (a BUNDLE: see "Audit models that you do not hold" in the manual).

    Needs neither the models nor any learning library. A malformed bundle is refused as a whole.

    \b
    Examples:
      expunge audit logits BUNDLE --out AUDIT
      expunge audit logits BUNDLE --policy POLICY.json --for public --out AUDIT --json
    """
    from expunge.audit.bundle import read
    from expunge.audit.examine import examine_bundle

    given = read(bundle)
    asked = asked_in(out, policy, budget)
    finish(examine_bundle(given, asked, registered=registered_in(out, asked)), out, audience, fail_on, as_json)
