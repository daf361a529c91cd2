"""Reading a pandas frame into columns: which kind each column is, and saying aloud what was decided."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np

from expunge.core.columns import CODED, Column, Kind, normal_ids
from expunge.core.errors import BadData, BadTarget, MissingColumn

if TYPE_CHECKING:
    import pandas as pd

MISSING_TEXTS = frozenset({"", "?", "na", "n/a", "nan", "null", "none", "<na>"})
"""Texts read as a missing value in columns that are otherwise numbers or dates."""

MANY_CLASSES = 1000
TEXT_WORDS = 4
"""A column whose distinct values have this many words on average, mostly unrepeated, is read as free text."""


class Roles(NamedTuple):
    """Which columns of the frame are not features."""

    target: str | None = None
    subject: str | None = None
    ids: str | None = None


def read(frame: pd.DataFrame, roles: Roles, classes: tuple[str, ...], kinds: dict[str, Kind]) -> dict[str, Any]:
    """Return the fields of a ``Dataset`` read from a frame; see ``Dataset.from_frame``."""
    frame = _named(frame)
    roles = Roles(*(None if name is None else str(name) for name in roles))
    kinds = {str(name): kind for name, kind in kinds.items()}
    _check_asked(frame, [name for name in (*roles, *kinds) if name is not None], kinds)
    notes: list[str] = []
    record_ids, note = _record_ids(frame, roles.ids)
    notes += note
    columns: dict[str, Column] = {}
    for name in frame.columns:
        if name in roles:
            continue
        column, remark = _column(frame[name], kinds.get(name))
        notes += [f"Column {name!r}: {remark}" + ("" if remark.endswith("?") else ".")] if remark else []
        if column is not None:
            columns[name] = column
    if not columns:
        raise BadData("no column is left to learn from")
    target = None
    if roles.target is not None:
        classes = tuple(map(str, classes))
        if len(set(classes)) < len(classes):
            raise BadTarget(f"class {max(classes, key=classes.count)!r} is declared twice")
        target = _target(frame[roles.target], roles.target, classes, kinds.get(roles.target))
    return {
        "columns": columns,
        "ids": record_ids,
        "subjects": record_ids if roles.subject is None else normal_ids(frame[roles.subject].tolist(), "subject"),
        "target": target,
        "target_name": "target" if roles.target is None else roles.target,
        "classes": classes,
        "notes": tuple(notes),
    }


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with texts as column names."""
    import pandas as pd

    names = []
    for name in frame.columns.tolist():
        if pd.isna(name) is True:
            raise BadData("a column has no name")
        names.append(str(name))
    if len(set(names)) < len(names):
        raise BadData(f"two columns are called {max(names, key=names.count)!r}")
    return frame.set_axis(names, axis=1)


def _record_ids(frame: pd.DataFrame, ids: str | None) -> tuple[Any, list[str]]:
    if ids is not None:
        return normal_ids(frame[ids].tolist(), "record id"), []
    if frame.index.is_unique:
        return normal_ids(frame.index.tolist(), "record id"), []
    numbered = normal_ids(range(len(frame)), "record id")
    return numbered, ["The index repeats, so records are numbered 0…n-1."]


def _check_asked(frame: pd.DataFrame, names: list[str], kinds: dict[str, Kind]) -> None:
    if not len(frame):
        raise BadData("the table has no rows")
    odd = [kind for kind in kinds.values() if kind not in get_args(Kind)]
    if odd:
        raise BadData(f"there is no kind {odd[0]!r}; there are: {', '.join(get_args(Kind))}")
    for name in names:
        if name not in frame.columns:
            there = ", ".join(map(str, list(frame.columns)[:20])) + (" …" if len(frame.columns) > 20 else "")
            raise MissingColumn(f"there is no column {name!r}; there are: {there}", hint=other_separator(frame.columns))


def other_separator(names: Iterable[object]) -> str:
    """Return a hint where the only column's name looks like a whole header written with another separator."""
    listed = list(names)
    if len(listed) == 1 and any(sign in str(listed[0]) for sign in ";\t"):
        return "Write the table with commas between the cells (or, with tabs, name the file .tsv)."
    return ""


def _coded(series: pd.Series[Any], kind: Kind = "category") -> Column:
    """Return a column of texts, by one pass over the distinct values of a series that is `_settled`."""
    import pandas as pd

    codes, values = pd.factorize(series, use_na_sentinel=True)
    column = Column.of_texts([str(v) for v in values], kind)
    return Column(kind, np.append(column.values, np.int32(-1))[codes], column.vocabulary)


def _target(series: pd.Series[Any], name: str, classes: tuple[str, ...], kind: Kind | None) -> Column:
    lost = int(series.isna().sum())
    if lost:
        raise BadTarget(f"target {name!r} is missing in {lost} of {len(series)} rows", rows=lost)
    series = _settled(series)
    if kind == "number" or (kind is None and not classes and series.dtype.kind == "f"):
        return _measured(series, name)
    column = _coded(series)
    if classes:
        extra = sorted(set(column.vocabulary) - set(classes))
        if extra:
            listed = ", ".join(map(repr, extra[:3])) + (" …" if len(extra) > 3 else "")
            raise BadTarget(f"target {name!r} holds what is not among the declared classes: {listed}")
        codes = np.array([classes.index(word) for word in column.vocabulary], np.int32)
        column = Column("category", codes[column.values], classes)
    if len(column.vocabulary) < 2:
        raise BadTarget(f"target {name!r} has the single class {column.vocabulary[0]!r}")
    if len(column.vocabulary) > MANY_CLASSES:
        raise BadTarget(
            f"target {name!r} has {len(column.vocabulary)} classes",
            hint="If it is a number, say kinds={target: 'number'} (on the command line: --number).",
        )
    return column


def _measured(series: pd.Series[Any], name: str) -> Column:
    try:
        values = np.asarray(series, np.float64)
    except (ValueError, TypeError) as error:
        raise BadTarget(f"target {name!r} holds what is not a number: {error}") from error
    if not np.isfinite(values).all():
        raise BadTarget(f"target {name!r} holds infinite values")
    return Column("number", values)


def _column(series: pd.Series[Any], kind: Kind | None) -> tuple[Column | None, str]:
    """Return the column (None = left out) and what is worth saying about it."""
    if series.isna().all():
        return None, "has no value at all and is left out"
    series = _settled(series)
    kind, note = (kind, "") if kind else _guess(series)
    if kind in CODED:
        return _coded(series, kind), note
    try:
        values = {"date": _days, "boolean": _truths}.get(kind, _numbers)(series)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadData(f"column {series.name!r} is not of kind {kind!r}: {error}") from error
    if np.isinf(values).any():
        raise BadData(f"column {series.name!r} holds infinite values", hint="Replace them by blanks or real numbers.")
    return Column(kind, values), note


def _settled(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return a series whose values do not depend on each other: objects of several types become texts.

    Left as they are, 1, 1.0 and True would be one value, spelled like whichever comes first.
    """
    if series.dtype != object:
        return series
    types = {type(value) for value in series[series.notna()]}
    if types <= {str}:
        return series
    if types <= {bool, np.bool_}:
        return series.where(series.notna(), None).astype("boolean")  # NaT and NaN alike
    odd = sorted(t.__name__ for t in types if t.__hash__ is None)
    if odd:
        raise BadData(f"column {series.name!r} holds values of type {odd[0]}, which are no single values")
    return series.map(str, na_action="ignore").astype(object)


def _masked(series: pd.Series[Any]) -> pd.Series[Any]:
    """Return the texts, without those that stand for a missing value."""
    text = series.astype("string").str.strip()
    return text.mask(text.str.lower().isin(MISSING_TEXTS))


def _truths(series: pd.Series[Any]) -> Any:
    if series.dtype.kind == "b":
        return _numbers(series)
    spelled = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
    text = _masked(series).str.lower()
    odd = sorted(set(text.dropna()) - set(spelled))
    if odd:
        raise ValueError(f"{odd[0]!r} is neither true nor false")
    return text.map(spelled).astype("Float64").to_numpy(np.float64, na_value=np.nan)


def _numbers(series: pd.Series[Any]) -> Any:
    import pandas as pd

    if series.dtype.kind == "m":
        return _in_days(series.to_numpy())
    if series.dtype.kind in "fiub":
        return np.asarray(series, np.float64)
    numbers = pd.to_numeric(_masked(series), errors="raise")
    return np.asarray(numbers.astype("Float64").to_numpy(np.float64, na_value=np.nan))


def _days(series: pd.Series[Any]) -> Any:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(series.dtype):
        raise ValueError("numbers are no dates; give text, or dates of pandas")
    given = series if series.dtype.kind == "M" else _masked(series)
    when = pd.to_datetime(given, errors="raise", format="mixed", utc=True)
    days = when.dt.tz_convert(None).to_numpy()
    return _in_days(days - np.array(0, days.dtype))


def _in_days(spans: Any) -> Any:
    """Return spans of time as days; whole days are exact, and the unit that the spans are kept in does not show."""
    day = np.timedelta64(1, "D")
    whole = spans.astype("m8[D]")
    return whole / day + (spans - whole) / day


def _guess(series: pd.Series[Any]) -> tuple[Kind, str]:
    import pandas as pd

    if series.dtype.kind == "b":
        return "boolean", ""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return "category", ""
    if series.dtype.kind == "M" or isinstance(series.dtype, pd.DatetimeTZDtype):
        return "date", "read as dates (days since 1970)"
    if series.dtype.kind == "m":
        return "number", "durations, read as days"
    if pd.api.types.is_numeric_dtype(series.dtype):
        return "number", ""
    counts = series.value_counts()
    texts = pd.Series([str(v) for v in counts.index], dtype=object)
    real = np.array([t.strip().lower() not in MISSING_TEXTS for t in texts], bool)
    return _guess_texts(texts[real], int(counts.to_numpy()[real].sum()))


def _guess_texts(distinct: pd.Series[Any], n: int) -> tuple[Kind, str]:
    """Guess from the distinct real texts and how many rows (n) they fill."""
    import pandas as pd

    if not len(distinct):
        return "category", ""
    if pd.to_numeric(distinct, errors="coerce").notna().all():
        return "number", "texts that are all numbers, read as numbers"
    if _looks_like_dates(distinct):
        return "date", "texts that are all dates, read as days since 1970"
    if len(distinct) > n / 2:
        words = float(np.mean([len(str(t).split()) for t in distinct]))
        if words >= TEXT_WORDS:
            return "text", "free text, read as counts of hashed words"
        if len(distinct) > 32:
            return "category", f"{len(distinct)} distinct values, nearly one a row: is it an identifier?"
    return "category", ""


def _looks_like_dates(texts: pd.Series[Any]) -> bool:
    import pandas as pd

    sample = texts.iloc[:50]
    if not sample.str.match(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").all():
        return False
    try:
        return bool(pd.to_datetime(texts, errors="coerce", format="mixed", utc=True).notna().all())
    except (ValueError, OverflowError):
        return False
