"""Reading a user's table (CSV or Parquet), and lists of record ids."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from expunge.core.errors import BadData, UnknownRecord
from expunge.core.frames import other_separator
from expunge.core.request import Id

if TYPE_CHECKING:
    import pandas as pd

    from expunge.core.dataset import Dataset

CSV = (".csv", ".csv.gz", ".csv.xz", ".csv.bz2", ".tsv", ".tsv.gz", ".tsv.xz")
PARQUET = (".parquet", ".pq")
AS_UTF8 = "Save the file as UTF-8."
TOO_WIDE = "Quote cells that hold a separator, and take separators off the ends of lines."


def read_table(path: Path) -> pd.DataFrame:
    """Read a table; only empty cells of a CSV are missing values, so ``NA`` or ``None`` stay what they are.

    Raises:
        BadData: not a table of a kind that is read, not readable, with a column named twice, or with a line of more
            cells than the header has names.
    """
    import pandas as pd

    name = path.name.lower()
    try:
        if name.endswith(PARQUET):
            return pd.read_parquet(path)
        if name.endswith(CSV):
            return _read_csv(path, "\t" if ".tsv" in name else ",")
    except OSError as error:
        raise BadData(f"{path.name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadData(f"{path.name} is not UTF-8 text: {error.reason}", hint=AS_UTF8) from error
    except (ValueError, EOFError, ArithmeticError, MemoryError) as error:  # what the parsers raise for broken files
        raise BadData(f"{path.name} is not a readable table: {error}") from error
    kinds = ", ".join((*CSV, *PARQUET))
    raise BadData(f"{path.name} is not of a kind that is read", hint=f"Give a file that ends in one of {kinds}.")


def _read_csv(path: Path, separator: str) -> pd.DataFrame:
    """Read a CSV whose lines have at most as many cells as the header has names, all different."""
    import pandas as pd

    raw: Any = {"sep": separator, "header": None, "dtype": str, "na_filter": False}
    names: list[str] = []
    try:
        # Read as data, the header sets the width; read as a header, it would yield to a first line with more cells.
        names = pd.read_csv(path, nrows=1, **raw).iloc[0].tolist()
        pd.read_csv(path, nrows=2, **raw)
        twice = [name for name in names if name and names.count(name) > 1]
        if twice:
            raise BadData(
                f"two columns of {path.name} are called {twice[0]!r}", hint="Give every column a name of its own."
            )
        return pd.read_csv(
            path, sep=separator, index_col=False, keep_default_na=False, na_values=[""], low_memory=False
        )
    except pd.errors.ParserError as error:
        wide = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        if wide is None:
            raise
        expected, line, saw = wide.groups()
        message = f"line {line} of {path.name} has {saw} cells, and the header names {expected}"
        raise BadData(message, hint=other_separator(names) or TOO_WIDE) from error


def read_ids(path: Path, *known: Dataset) -> tuple[Id, ...]:
    """Read record ids, one a line; empty lines are skipped.

    Args:
        path: the file.
        known: the data sets that the ids belong to; where their ids are numbers, lines must be whole numbers.

    Raises:
        UnknownRecord: a line is not a number where ids are numbers.
        BadData: the file holds no id, or is not UTF-8 text.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise BadData(f"{path.name} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadData(f"{path.name} is not UTF-8 text: {error.reason}", hint=AS_UTF8) from error
    lines = [line for line in lines if line]
    if not lines:
        raise BadData(f"{path.name} names no record")
    if any(data.ids.dtype.kind != "i" for data in known):
        return tuple(lines)
    odd = [line for line in lines if not re.fullmatch(r"-?[0-9]{1,19}", line)]
    if odd:
        raise UnknownRecord(f"ids are numbers here, and {odd[0]!r} is not one")
    return tuple(int(line) for line in lines)
