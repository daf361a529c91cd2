"""``expunge predict``: predictions of the current model for a table."""

from __future__ import annotations

from pathlib import Path

import click

from expunge.cli.console import json_option, say, say_waiting, show


@click.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.argument("data", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
def predict(store: Path, data: Path, as_json: bool) -> None:
    """Predict with the current model for each row of a table (CSV or Parquet); CSV on stdout.

    The table needs the columns that the model was trained on; the target may be missing. For classes, each row gets
    the class and one probability a class. Categories that were never seen in training are counted on stderr.

    \b
    Examples:
      expunge predict STORE new.csv > predictions.csv
    """
    from expunge.service.reading import predictions
    from expunge.service.tables import read_table

    say_waiting(store)
    head, rows, notes = predictions(store, read_table(data))
    say(*(f"note: {note}" for note in notes))
    show(as_json, {"columns": head, "rows": rows}, (",".join(map(_cell, row)) for row in [head, *rows]))


def _cell(value: object) -> str:
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
