"""``expunge train``: a table in, a store with a model that can forget out."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import fields, json_option, parse_params, parse_ranges, progress, say, show


@click.command()
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--target", help="Column to learn (none for learners without a target, such as clusters).")
@click.option("--subject", help="Column that says who owns a record (default: every record owns itself).")
@click.option("--id", "ids", help="Column of record ids (default: rows are numbered from 0).")
@click.option("--learner", default="forest", show_default=True, help="Learner; see `expunge catalog`.")
@click.option("--param", "params", multiple=True, metavar="NAME=VALUE", help="Hyper-parameter, e.g. n_trees=200.")
@click.option("--class", "classes", multiple=True, help="Declare a class of the target (repeat for each).")
@click.option("--number", is_flag=True, help="The target is a number, not a class (learner ridge).")
@click.option("--kind", "kinds", multiple=True, metavar="NAME=KIND", help="Kind of a column that is guessed wrong.")
@click.option("--range", "ranges", multiple=True, metavar="NAME=LOW:HIGH", help="Declare the range of a number.")
@click.option("--holdout", default=0.2, show_default=True, type=click.FloatRange(0, 0.9), help="Share of owners.")
@click.option("--seed", default=0, show_default=True, help="Mixed into the model's secret key.")
@json_option
def train(  # noqa: PLR0917 - click calls it by name
    data: Path,
    store: Path,
    target: str | None,
    subject: str | None,
    ids: str | None,
    learner: str,
    params: tuple[str, ...],
    classes: tuple[str, ...],
    number: bool,
    kinds: tuple[str, ...],
    ranges: tuple[str, ...],
    holdout: float,
    seed: int,
    as_json: bool,
) -> None:
    """Train a model that can forget, from a CSV or Parquet table, in a new directory STORE.

    The store keeps the records, the model and its own keys and log; nothing else is needed to forget later. A share
    of the owners (--holdout) is set aside for honest measurements. Kinds of columns are guessed, and what is unusual
    is said on stderr. Ranges of numbers are learnt, and forgotten, with the records, unless --range declares them: then
    no deletion can move them, and a value outside is refused. Ctrl-C leaves nothing behind. Copy STORE/trust.json to
    whoever is to verify receipts, now: pinning it before anything happens is what makes receipts worth something.

    \b
    Examples:
      expunge train people.csv STORE --target churn --subject email
      expunge train people.csv STORE --target churn --id customer --param n_trees=200
      expunge train people.csv STORE --target churn --range age=0:120
      expunge train ratings.csv STORE --learner ease --subject user --kind item=category
      expunge train visits.parquet STORE --target cost --number --learner ridge
      expunge train people.csv STORE --target churn --learner sharded --param learner=lightgbm
    """
    from expunge.core.seeds import Key
    from expunge.service.create import Recipe, check_place, create
    from expunge.service.tables import read_table

    check_place(store)
    given = {"ranges": parse_ranges(ranges), "kinds": dict(parse_params(kinds))}
    recipe = Recipe(target, learner, parse_params(params), subject, ids, classes, number, holdout, seed, **given)
    recipe.build()  # a misspelt learner or parameter is said before a large table is read
    records = recipe.read(read_table(data))
    say(*(f"note: {note}" for note in records.notes))
    with progress("training") as tick:
        deployment = recipe.train(records, Key.generate(seed), tick, say)
    with progress("writing the store"):
        create(store, deployment, recipe)
    held = deployment.holdout
    result = {
        "store": str(store),
        "records": len(deployment.data),
        "holdout": len(held) if held is not None else 0,
        "learner": repr(deployment.learner),
        "digest": deployment.model.digest(),
        "fit_s": deployment.fit_s,
        "trust": str(store / "trust.json"),
        "notes": list(records.notes),
    }
    shown = {k: v for k, v in result.items() if k != "notes"} | {"fit_s": f"{deployment.fit_s or 0:.3f}"}
    show(as_json, result, fields(shown))
    say(f"Hand out {store / 'trust.json'} now: receipts are checked against the keys that people pinned before.")
