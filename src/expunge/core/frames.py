"""Reading a pandas frame into a columns: which kind each column is, and saying aloud what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

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
    _check_names(frame, [name for name in (*roles, *kinds) if name is not None])
    notes: list[str] = []
    if frame.columns.duplicated().any():
        raise BadData(f"two columns are called {frame.columns[frame.columns.duplicated()][0]!r}")
    if not len(frame):
        raise BadData("the table has no rows")
    record_ids, note = _record_ids(frame, roles.ids)
    notes += note
    columns: dict[str, Column] = {}
    for name in frame.columns:
        if name in roles:
            continue
        column, remark = _column(frame[name], kinds.get(name))
        notes += [f"Column {name!r}: {remark}."] if remark else []
        if column is not None:
            columns[str(name)] = column
    if not columns:
        raise BadData("no column is left to learn from")
    target = None
    if roles.target is not None:
        target = _target(frame[roles.target], roles.target, classes, kinds.get(roles.target))
    return {
        "columns": columns,
        "ids": record_ids,
        "subjects": record_ids if roles.subject is None else normal_ids(frame[roles.subject].tolist(), "subject"),
        "target": target,
        "target_name": roles.target or "target",
        "classes": classes,
        "notes": tuple(notes),
    }


def _record_ids(frame: pd.DataFrame, ids: str | None) -> tuple[Any, list[str]]:
    if ids is not None:
        return normal_ids(frame[ids].tolist(), "record id"), []
    if frame.index.is_unique:
        return normal_ids(frame.index.tolist(), "record id"), []
    numbered = normal_ids(range(len(frame)), "record id")
    return numbered, ["The index repeats, so records are numbered 0…n-1."]


def _check_names(frame: pd.DataFrame, names: list[str]) -> None:
    for name in names:
        if name not in frame.columns:
            there = ", ".join(map(str, list(frame.columns)[:20])) + (" …" if len(frame.columns) > 20 else "")
            raise MissingColumn(f"there is no column {name!r}; there are: {there}")


def _coded(series: pd.Series[Any], kind: Kind = "category") -> Column:
    """Return a column of texts, by one pass over the distinct values."""
    import pandas as pd

    codes, values = pd.factorize(series, use_na_sentinel=True)
    column = Column.of_texts([str(v) for v in values], kind)
    return Column(kind, np.append(column.values, np.int32(-1))[codes], column.vocabulary)


def _target(series: pd.Series[Any], name: str, classes: tuple[str, ...], kind: Kind | None) -> Column:
    lost = int(series.isna().sum())
    if lost:
        raise BadTarget(f"target {name!r} is missing in {lost} of {len(series)} rows", rows=lost)
    if kind == "number" or (kind is None and not classes and series.dtype.kind == "f"):
        values = np.asarray(series, np.float64)
        if not np.isfinite(values).all():
            raise BadTarget(f"target {name!r} holds infinite values")
        return Column("number", values)
    column = _coded(series)
    if classes:
        extra = sorted(set(column.vocabulary) - set(classes))
        if extra:
            raise BadTarget(f"target {name!r} holds {extra[:3]}, which are not among the declared classes")
        codes = np.array([classes.index(word) for word in column.vocabulary], np.int32)
        column = Column("category", codes[column.values], classes)
    if len(column.vocabulary) < 2:
        raise BadTarget(f"target {name!r} has the single class {column.vocabulary}")
    if len(column.vocabulary) > MANY_CLASSES:
        raise BadTarget(
            f"target {name!r} has {len(column.vocabulary)} classes",
            hint="If it is a number, say kinds={target: 'number'} (on the command line: --number).",
        )
    return column


def _column(series: pd.Series[Any], kind: Kind | None) -> tuple[Column | None, str]:
    """Return the column (None = left out) and what is worth saying about it."""
    if series.isna().all():
        return None, "has no value at all and is left out"
    kind, note = (kind, "") if kind else _guess(series)
    if kind in CODED:
        return _coded(series, kind), note
    values = _days(series) if kind == "date" else _numbers(series)
    if np.isinf(values).any():
        raise BadData(f"column {series.name!r} holds infinite values", hint="Replace them by blanks or real numbers.")
    return Column(kind, values), note


def _numbers(series: pd.Series[Any]) -> Any:
    import pandas as pd

    if series.dtype.kind in "fiub":
        return np.asarray(series, np.float64)
    text = series.astype("string").str.strip()
    text = text.mask(text.str.lower().isin(MISSING_TEXTS))
    return np.asarray(pd.to_numeric(text, errors="raise").astype("Float64").to_numpy(np.float64, na_value=np.nan))


def _days(series: pd.Series[Any]) -> Any:
    import pandas as pd

    when = pd.to_datetime(series, errors="raise", format="mixed", utc=True)
    return np.asarray((when - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1), np.float64)


def _guess(series: pd.Series[Any]) -> tuple[Kind, str]:
    import pandas as pd

    if series.dtype.kind == "b":
        return "boolean", ""
    if isinstance(series.dtype, pd.CategoricalDtype):
        return "category", ""
    if series.dtype.kind == "M" or isinstance(series.dtype, pd.DatetimeTZDtype):
        return "date", "read as dates (days since 1970)"
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
