"""What the commands share: results on stdout, everything else on stderr, one format of errors, progress."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from expunge.core.errors import ExpungeError
    from expunge.core.roles import Progress

Command = TypeVar("Command", bound=Callable[..., Any])


class Duration(click.ParamType[float]):
    """A time or a number of days: finite, and above zero (or from zero on)."""

    name = "number"

    def __init__(self, *, zero: bool = False) -> None:
        self.zero = zero

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; nan and inf are no times, though Python reads them as numbers."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or number < 0 or (number == 0 and not self.zero):
            self.fail(f"{value!r} is not a finite number {'of 0 or more' if self.zero else 'above 0'}", param, ctx)
        return number


def json_option(command: Command) -> Command:
    """Give a command the option ``--json``."""
    text = "Print the result as one JSON object on stdout (errors as JSON on stderr)."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def once(ctx: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str | None:
    """Refuse an option that is given twice, where click would take the last and drop the others in silence.

    Raises:
        click.BadParameter: it is.
    """
    if len(given) > 1:
        raise click.BadParameter("give it once: a request is for one", ctx, option)
    return given[0] if given else None


def say(*lines: str) -> None:
    """Say something to the person at the terminal: on stderr, so that results can be piped."""
    for line in lines:
        click.echo(line, err=True)


def show(as_json: bool, result: Mapping[str, Any], lines: Iterable[str]) -> None:
    """Print a result: as JSON for machines, or as lines for people."""
    if as_json:
        click.echo(json.dumps(result, ensure_ascii=False, sort_keys=True, allow_nan=False))
        return
    for line in lines:
        click.echo(line)


def fields(pairs: Mapping[str, object]) -> list[str]:
    """Return ``name  value`` lines with the values aligned; None and empty values are left out."""
    shown = {name: value for name, value in pairs.items() if value not in (None, "", [], ())}
    width = max(map(len, shown), default=0)
    return [f"{name:<{width}}  {value}" for name, value in shown.items()]


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return the lines of a plain table."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(head), *cells]) for i in range(len(head))]
    return [
        "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in [list(head), *cells]
    ]


def show_error(error: ExpungeError, as_json: bool) -> None:
    """Print an error on stderr: ``error[code]: message`` and ``hint: …``, or as one JSON object."""
    if as_json:
        say(json.dumps({"error": error.as_dict()}, ensure_ascii=False, sort_keys=True))
        return
    mark = click.style(f"error[{error.code}]:", fg="red", bold=True)
    say(f"{mark} {error.message.rstrip()}", f"hint: {error.advice}")


def say_waiting(store: Path) -> None:
    """Say that a request waits to be finished, where one does; what is read is then from before or after it, whole."""
    from expunge.service.reading import waiting

    ref = waiting(store)
    if ref is not None:
        say(f"note: request {ref} was interrupted and waits; finish it with: expunge forget {store} --resume")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what keeps a result from being written into an error that names the place.

    Raises:
        StoreFull: no such folder, no rights, or no space.
    """
    from expunge.core.errors import StoreFull

    try:
        yield
    except OSError as error:
        raise StoreFull(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def progress(label: str) -> Iterator[Progress]:
    """Show a progress bar on stderr, where that is a terminal; gives the function that long work calls."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def parse_params(pairs: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` pairs; values are numbers, true/false or text.

    Raises:
        click.BadParameter: a pair without ``=``.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{pair!r} is not of the form NAME=VALUE", param_hint="--param")
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        found[name.replace("-", "_")] = value
    return found


def parse_ranges(pairs: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Read ``NAME=LOW:HIGH`` options.

    Raises:
        click.UsageError: one is not of that form.

    >>> parse_ranges(["age=0:120"])
    {'age': (0.0, 120.0)}
    """
    found = {}
    for pair in pairs:
        name, _, ends = pair.rpartition("=")
        low, _, high = ends.partition(":")
        try:
            found[name] = (float(low), float(high))
        except ValueError:
            name = ""
        if not name:
            raise click.UsageError(f"{pair!r} is not of the form NAME=LOW:HIGH, for example age=0:120.")
    return found
