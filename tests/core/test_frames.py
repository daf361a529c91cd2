"""Reading real frames: every type of pandas, every bad column, and never another exception than ours."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadTarget, DuplicateId, ExpungeError, MissingColumn

NAN = float("nan")


def objects(*values: Any) -> pd.Series[Any]:
    return pd.Series(list(values), dtype=object)


def read(values: Any, kind: Any = None, dtype: Any = None) -> Column | None:
    """Read one column beside another."""
    series = pd.Series(values, dtype=dtype) if dtype is not None else pd.Series(values)
    frame = pd.DataFrame({"c": series, "z": np.arange(len(series))})
    return Dataset.from_frame(frame, kinds={"c": kind} if kind else None).columns.get("c")


def plain(column: Column | None) -> tuple[str, list[Any]]:
    """Return the kind and the values as texts or numbers; None is missing."""
    assert column is not None
    if column.kind in ("category", "text"):
        return column.kind, [column.vocabulary[c] if c >= 0 else None for c in column.values.tolist()]
    assert column.values.dtype == np.float64
    return column.kind, [None if v != v else v for v in column.values.tolist()]


arrow = pytest.importorskip("pyarrow")
ARROW_DATE = pd.ArrowDtype(arrow.date32())
ARROW_TIME = pd.ArrowDtype(arrow.timestamp("us", "UTC"))
ARROW_SPAN = pd.ArrowDtype(arrow.duration("us"))
ARROW_DECIMAL = pd.ArrowDtype(arrow.decimal128(5, 2))
ARROW_CODES = pd.ArrowDtype(arrow.dictionary(arrow.int32(), arrow.string()))

COLUMNS: list[tuple[str, Any, Any, str, list[Any]]] = [
    # name, values, dtype, kind, read as
    ("int", [3, 1, 2], "int8", "number", [3, 1, 2]),
    ("uint", [2**64 - 1, 1], "uint64", "number", [2.0**64, 1]),
    ("half", [1.5, NAN], "float16", "number", [1.5, None]),
    ("bool", [True, False], bool, "boolean", [1, 0]),
    ("nullable int", [1, None, 3], "Int64", "number", [1, None, 3]),
    ("nullable float", [1.5, None], "Float64", "number", [1.5, None]),
    ("nullable bool", [True, None, False], "boolean", "boolean", [1, None, 0]),
    ("bools with missing", [True, None, False, NAN], object, "boolean", [1, None, 0, None]),
    ("numpy bools", [np.True_, None], object, "boolean", [1, None]),
    ("string", ["a", None, "b"], "string", "category", ["a", None, "b"]),
    ("text objects", ["b", None, "a", NAN, pd.NA], object, "category", ["b", None, "a", None, None]),
    ("unused categories", ["a", "b", None], pd.CategoricalDtype(["z", "b", "a"]), "category", ["a", "b", None]),
    ("ordered numbers", [2, 1], pd.CategoricalDtype([3, 2, 1], ordered=True), "category", ["2", "1"]),
    ("intervals", pd.cut([1, 2, 9], [0, 5, 10]), None, "category", ["(0, 5]", "(0, 5]", "(5, 10]"]),
    ("sparse", [0, 1, 0], pd.SparseDtype("int64", 0), "number", [0, 1, 0]),
    ("periods", ["2020-01", "2020-02"], "period[M]", "category", ["2020-01", "2020-02"]),
    ("durations", [dt.timedelta(1), None, dt.timedelta(hours=36)], "timedelta64[ns]", "number", [1, None, 1.5]),
    ("naive times", ["1970-01-02", None, "1969-12-31T12:00"], "datetime64[ns]", "date", [1, None, -0.5]),
    ("coarse times", ["0001-01-01", "9999-12-31"], "datetime64[s]", "date", [-719162, 2932896]),
    ("zoned times", pd.to_datetime(["2020-01-01", "2020-07-01"]).tz_localize("Europe/Berlin"), None, "date", None),
    ("arrow int", [1, None], "int64[pyarrow]", "number", [1, None]),
    ("arrow float", [1.5, None], "double[pyarrow]", "number", [1.5, None]),
    ("arrow bool", [True, None, False], "bool[pyarrow]", "boolean", [1, None, 0]),
    ("arrow text", ["b", None, "a"], pd.ArrowDtype(arrow.string()), "category", ["b", None, "a"]),
    ("arrow dates", [dt.date(1970, 1, 3), None], ARROW_DATE, "date", [2, None]),
    ("arrow times", [dt.datetime(1970, 1, 3, 12), None], ARROW_TIME, "date", [2.5, None]),
    ("arrow durations", [dt.timedelta(2), None], ARROW_SPAN, "number", [2, None]),
    ("arrow decimals", [Decimal("1.25"), None], ARROW_DECIMAL, "number", [1.25, None]),
    ("arrow codes", ["b", "a"], ARROW_CODES, "category", ["b", "a"]),
    ("decimals", [Decimal("1.25"), None], object, "number", [1.25, None]),
    ("dates", [dt.date(1970, 1, 3), None], object, "date", [2, None]),
    ("zoned and naive", [pd.Timestamp("1970-01-02", tz="UTC"), pd.Timestamp("1970-01-03")], object, "date", [1, 2]),
    ("huge ints", [2**70, 3], object, "number", [2.0**70, 3]),
    ("mixed", [1, "a", 2.5, None, True], object, "category", ["1", "a", "2.5", None, "True"]),
    ("bytes", [b"a", b"b"], object, "category", ["b'a'", "b'b'"]),
    ("texts of numbers", ["1", " 2.5 ", "1e3", "?", "NA", ""], None, "number", [1, 2.5, 1000, None, None, None]),
    ("texts of long numbers", [str(10**30), "5"], None, "number", [1e30, 5]),
    ("leading zeros", ["007", "012"], None, "number", [7, 12]),
    ("hexadecimal", ["0x10", "0x11"], None, "category", ["0x10", "0x11"]),
    ("decimal commas", ["1,5", "2,5"], None, "category", ["1,5", "2,5"]),
    ("only stand-ins", ["?", "na", ""], None, "category", ["?", "na", ""]),
    ("ISO dates", ["1970-01-02", "1970-01-03T12:00:00", "?", None], None, "date", [1, 2.5, None, None]),
    ("slashed dates", ["13/01/1970", "01/02/1970"], None, "date", [12, 1]),
    ("dotted dates", ["25.12.1970", "31.12.1970"], None, "date", [358, 364]),
    ("zoned texts", ["1970-01-02T02:00:00+02:00", "1970-01-02T00:00:00Z"], None, "date", [1, 1]),
    ("far dates", ["0001-01-01", "9999-12-31"], None, None, None),
    ("wrong dates", ["2020-01-01", "2020-01-99"], None, "category", ["2020-01-01", "2020-01-99"]),
    ("addresses", ["1.2.3.4", "5.6.7.8"], None, "category", ["1.2.3.4", "5.6.7.8"]),
    ("composed and not", ["\xe9", "e\u0301"], None, "category", ["\xe9", "e\u0301"]),
]


@pytest.mark.parametrize(("values", "dtype", "kind", "expected"), [c[1:] for c in COLUMNS], ids=[c[0] for c in COLUMNS])
def test_every_type_is_read(values, dtype, kind, expected):
    column = read(values, dtype=dtype)
    if kind is not None:
        assert plain(column)[0] == kind
    if expected is not None:
        assert plain(column)[1] == expected


@pytest.mark.parametrize(("values", "dtype"), [c[1:3] for c in COLUMNS], ids=[c[0] for c in COLUMNS])
def test_every_type_is_read_alike_in_any_order(values, dtype):
    series = pd.Series(values, dtype=dtype) if dtype is not None else pd.Series(values)
    one = Dataset.from_frame(pd.DataFrame({"c": series, "z": 0}))
    other = Dataset.from_frame(pd.DataFrame({"z": 0, "c": series})[::-1])
    assert one.digest == other.digest
    assert one.columns["c"].vocabulary == other.columns["c"].vocabulary


def test_values_that_python_calls_equal_stay_apart_in_any_order():
    values = ["x", True, 1, 1.0, "1"]
    kind, found = plain(read(objects(*values)))
    assert (kind, found) == ("category", ["x", "True", "1", "1.0", "1"])
    assert plain(read(objects(*values[::-1])))[1] == found[::-1]


def test_the_unit_of_time_does_not_show():
    times = ["2020-02-29T12:34:56.789012", "1903-03-03T23:59:59.999999", "1970-01-01"]
    units = [read(np.array(times, f"datetime64[{u}]")) for u in ("us", "ns")]
    assert units[0].values.tolist() == units[1].values.tolist() == read(times).values.tolist()
    day, us = 24 * 3600, 10**-6
    assert units[0].values[0] == pytest.approx(18321 + (12 * 3600 + 34 * 60 + 56 + 789012 * us) / day, abs=1e-11)


def test_daylight_saving_is_seen():
    zoned = pd.to_datetime(["2020-01-01", "2020-07-01"]).tz_localize("Europe/Berlin")
    assert read(zoned).values.tolist() == [18262 - 1 / 24, 18444 - 2 / 24]


BAD: list[tuple[str, Any, Any, Any]] = [
    # name, values, kind asked for, dtype
    ("lists", objects([1], [2]), None, None),
    ("dicts", objects({}, {}), None, None),
    ("a list among texts", objects("a", ["b"]), None, None),
    ("half a surrogate pair", objects("\ud800", "b"), None, None),
    ("complex", [1j, 2], None, None),
    ("infinity", [1, np.inf], None, None),
    ("infinity as text", ["1", "-inf"], None, None),
    ("infinity, nullable", [1, np.inf], None, "Float64"),
    ("a word among numbers", ["1", "one"], "number", None),
    ("a word among dates", ["2020-01-01", "soon"], "date", None),
    ("numbers as dates", [1.0, 2.0], "date", None),
    ("five as truth", [0, 1, 5], "boolean", None),
    ("yes as truth", ["yes", "no"], "boolean", None),
    ("no such kind", [1, 2], "integer", None),
]


@pytest.mark.parametrize(("values", "kind", "dtype"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_columns_are_refused_with_our_error(values, kind, dtype):
    with pytest.raises(BadData):
        read(values, kind, dtype)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        (["007", "012"], "category", ["007", "012"]),
        ([1.0, 2.5, NAN], "category", ["1.0", "2.5", None]),
        ([1, 2], "text", ["1", "2"]),
        ([0, 1, NAN], "boolean", [0, 1, None]),
        (["True", "false", None, "?"], "boolean", [1, 0, None, None]),
        (pd.Series(["1", "2"], dtype="category"), "number", [1, 2]),
        ([True, False], "number", [1, 0]),
        (["1 Feb 1970", "2 Feb 1970"], "date", [31, 32]),
        (pd.Series(["1970-01-02", "NA"], dtype="category"), "date", [1, None]),
    ],
    ids=repr,
)
def test_kinds_can_be_said(values, kind, expected):
    assert plain(read(values, kind)) == (kind, expected)


def test_a_column_without_values_is_left_out_and_said():
    for lost in ([None, None], [NAN, NAN], pd.array([None, None], dtype="Int64"), pd.to_datetime([None, None])):
        data = Dataset.from_frame(pd.DataFrame({"c": lost, "z": [1, 2]}))
        assert list(data.columns) == ["z"]
        assert "left out" in data.notes[0]
        with pytest.raises(BadData, match="no column is left"):
            Dataset.from_frame(pd.DataFrame({"c": lost}))


def test_what_was_guessed_is_said():
    texts = [f"word{i} and some more of it" for i in range(8)]
    codes = [f"X{i}" for i in range(40)]
    frame = pd.DataFrame({"t": texts * 5, "d": ["2020-01-01"] * 40, "n": ["1", "2"] * 20, "i": codes})
    frame.loc[:, "t"] = [f"{t} {i}" for i, t in enumerate(frame["t"])]
    data = Dataset.from_frame(frame)
    assert {n: c.kind for n, c in data.columns.items()} == {"t": "text", "d": "date", "n": "number", "i": "category"}
    assert [note.split("'")[1] for note in data.notes] == ["t", "d", "n", "i"]
    assert "identifier" in data.notes[3]


# --- names ---


def test_names_that_are_numbers_become_texts():
    data = Dataset.from_frame(pd.DataFrame([[1, 2, 3], [3, 4, 5]]), target=1, subject=0, kinds={2: "category"})
    assert (list(data.columns), data.target_name) == (["2"], "1")
    assert data.columns["2"].kind == "category"
    assert data.subjects.tolist() == [1, 3]
    same = Dataset.from_frame(pd.DataFrame([[1, 2, 3], [3, 4, 5]]), target="1", subject="0", kinds={"2": "category"})
    assert data.digest == same.digest


def test_the_first_of_numbered_columns_can_be_the_target():
    data = Dataset.from_frame(pd.DataFrame([["a", 2], ["b", 4]]), target=0)
    assert data.target_name == "0"
    assert data.target.vocabulary == ("a", "b")
    assert list(data.columns) == ["1"]


@pytest.mark.parametrize(
    ("names", "match"),
    [
        (["a", "a"], "two columns are called 'a'"),
        ([1, "1"], "two columns are called '1'"),
        ([None, "a"], "no name"),
        ([NAN, 1.0], "no name"),
        (["a\0", "b"], "NUL"),
    ],
    ids=ascii,
)
def test_names_that_mean_no_column_or_two(names, match):
    with pytest.raises(BadData, match=match):
        Dataset.from_frame(pd.DataFrame([[1, 2], [3, 4]], columns=names))


def test_an_empty_name_is_a_name():
    frame = pd.DataFrame([[1, "x"], [3, "y"]], columns=["", "a"])
    assert Dataset.from_frame(frame, target="a").columns.keys() == {""}
    assert Dataset.from_frame(frame[["a", ""]], target="").target_name == ""


def test_names_of_two_levels():
    columns = pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])
    data = Dataset.from_frame(pd.DataFrame([[1, 2], [3, 4]], columns=columns), target=("a", "c"))
    assert list(data.columns) == ["('a', 'b')"]


@pytest.mark.parametrize("role", ["target", "subject", "ids"])
def test_a_missing_column_is_named(role):
    with pytest.raises(MissingColumn, match="there is no column 'A'; there are: a, b"):
        Dataset.from_frame(pd.DataFrame({"a": [1, 2], "b": [3, 4]}), **{role: "A"})
    with pytest.raises(MissingColumn):
        Dataset.from_frame(pd.DataFrame({"a": [1, 2]}), kinds={"A": "number"})


@pytest.mark.parametrize(
    "frame", [pd.DataFrame(), pd.DataFrame({"a": []}), pd.DataFrame(index=[])], ids=["0", "1", "2"]
)
def test_an_empty_frame_is_refused(frame):
    with pytest.raises(BadData, match="no rows"):
        Dataset.from_frame(frame)


def test_one_row_is_data_but_no_classes():
    frame = pd.DataFrame({"a": [1.5], "t": ["x"]})
    assert len(Dataset.from_frame(frame)) == 1
    assert len(Dataset.from_frame(frame, target="t", classes=["x", "y"])) == 1
    with pytest.raises(BadTarget, match="single class"):
        Dataset.from_frame(frame, target="t")
    with pytest.raises(BadData, match="no column is left"):
        Dataset.from_frame(frame[["t"]], target="t", classes=["x", "y"])


# --- targets ---

TARGETS: list[tuple[str, Any, dict[str, Any]]] = [
    ("missing", ["a", None, "b"], {}),
    ("missing number", [1.0, NAN, 2.0], {}),
    ("missing, nullable", pd.array([0, None, 1], dtype="Int64"), {}),
    ("infinite", [1.0, np.inf, 2.0], {}),
    ("a word among numbers", ["1", "b", "2"], {"kinds": {"t": "number"}}),
    ("one class", ["a", "a", "a"], {}),
    ("undeclared class", ["a", "b", "c"], {"classes": ["a", "b"]}),
    ("class declared twice", ["a", "b", "a"], {"classes": ["a", "b", "a"]}),
    ("one declared class", ["a", "a", "a"], {"classes": ["a"]}),
    ("complex numbers", [1j, 2, 3], {"kinds": {"t": "number"}}),
]


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize(("values", "options"), [t[1:] for t in TARGETS[:-1]], ids=[t[0] for t in TARGETS[:-1]])
def test_bad_targets_are_refused(values, options):
    with pytest.raises(BadTarget):
        Dataset.from_frame(pd.DataFrame({"a": [1, 2, 3], "t": values}), target="t", **options)


def test_too_many_classes_are_refused_with_advice():
    frame = pd.DataFrame({"a": 1, "t": np.arange(1001)})
    with pytest.raises(BadTarget) as caught:
        Dataset.from_frame(frame, target="t")
    assert "number" in caught.value.advice
    assert Dataset.from_frame(frame, target="t", kinds={"t": "number"}).target.kind == "number"


def test_declared_classes_keep_their_order_and_may_be_numbers():
    frame = pd.DataFrame({"a": [1, 2], "t": [1, 0]})
    data = Dataset.from_frame(frame, target="t", classes=[1, 0, 2])
    assert data.classes == data.target.vocabulary == ("1", "0", "2")
    assert data.target.values.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("values", "kind"),
    [([0, 1], "category"), ([0.5, 1.5], "number"), ([True, False], "category"), (["1", "2"], "category")],
)
def test_floats_are_learnt_as_numbers_and_the_rest_as_classes(values, kind):
    assert Dataset.from_frame(pd.DataFrame({"a": [1, 2], "t": values}), target="t").target.kind == kind


# --- ids ---


def test_the_index_gives_ids_where_it_can():
    frame = pd.DataFrame({"a": [1, 2]})
    assert Dataset.from_frame(frame.set_index(pd.Index(["x", "y"]))).ids.tolist() == ["x", "y"]
    assert Dataset.from_frame(frame.set_index(pd.Index([7, 3]))).ids.tolist() == [7, 3]
    repeated = Dataset.from_frame(frame.set_index(pd.Index([7, 7])))
    assert repeated.ids.tolist() == [0, 1]
    assert "numbered" in repeated.notes[0]


@pytest.mark.parametrize(
    "index", [[0.5, 1.5], pd.to_datetime(["2020-01-01", "2020-01-02"]), [True, False], ["a", None]]
)
def test_an_index_that_is_no_id_is_refused(index):
    with pytest.raises(BadData):
        Dataset.from_frame(pd.DataFrame({"a": [1, 2]}, index=index))


def test_ids_given_twice_are_refused_also_in_another_spelling():
    for ids in (["x", "x"], ["\xe9", "e\u0301"], objects(1, "1")):
        with pytest.raises(DuplicateId):
            Dataset.from_frame(pd.DataFrame({"a": [1, 2], "i": ids}), ids="i")


def test_subjects_with_gaps_are_refused():
    for subjects in (["x", None], pd.array([1, None], dtype="Int64"), [1.0, NAN]):
        with pytest.raises(BadData):
            Dataset.from_frame(pd.DataFrame({"a": [1, 2], "s": subjects}), subject="s")


def test_reading_changes_no_frame():
    frame = pd.DataFrame({1: objects(1, "a"), "d": ["2020-01-01", "?"], "t": ["x", "y"]})
    before = frame.copy(deep=True)
    Dataset.from_frame(frame, target="t")
    pd.testing.assert_frame_equal(frame, before)


cells = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.sampled_from(["2020-01-01", "1.5", "NA", "?", "13/13/2020", "0000-00-00", "99-99-99", "1-1-1", "inf", "1e999"]),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),  # pandas itself fails on a signalling NaN
    st.binary(max_size=2),
    st.sampled_from([[1], {}, pd.NA, pd.NaT, 1j, (1, 2), pd.Timestamp(0), np.float32(1), np.datetime64("2020")]),
)


@settings(max_examples=250)
@given(
    st.lists(cells, min_size=1, max_size=6), st.sampled_from([None, "number", "category", "text", "date", "boolean"])
)
def test_any_column_is_read_or_refused_with_our_error(values, kind):
    frame = pd.DataFrame({"c": objects(*values), "z": 0})
    try:
        data = Dataset.from_frame(frame, kinds={"c": kind} if kind else None)
    except ExpungeError:
        return
    if "c" in data.columns:
        column = data.columns["c"]
        assert kind in (None, column.kind)
        assert column.values.shape == (len(values),)
        if column.kind not in ("category", "text"):
            assert not np.isinf(column.values).any()
    assert data.digest == Dataset.from_frame(frame[::-1], kinds={"c": kind} if kind else None).digest


def test_notes_and_errors_read_as_sentences():
    names = pd.DataFrame({"who": [f"n{i}" for i in range(40)], "x": range(40)})
    assert Dataset.from_frame(names).notes[0].endswith("is it an identifier?")
    with pytest.raises(BadTarget, match=r"has the single class 'yes'$"):
        Dataset.from_frame(pd.DataFrame({"x": [1, 2], "y": ["yes", "yes"]}), target="y")
    with pytest.raises(BadTarget, match=r"declared classes: 'no', 'perhaps'$"):
        Dataset.from_frame(
            pd.DataFrame({"x": [1, 2, 3], "y": ["no", "yes", "perhaps"]}), target="y", classes=["yes", "never"]
        )
    with pytest.raises(DuplicateId, match=r"^1 id occurs more than once, for example 7$"):
        Dataset.from_frame(pd.DataFrame({"i": [7, 7, 7, 8], "x": [1, 2, 3, 4]}), ids="i")


def test_a_table_with_another_separator_is_told_apart():
    with pytest.raises(MissingColumn) as caught:
        Dataset.from_frame(pd.DataFrame({"age;city;ill": ["3;Bern;yes"]}), target="ill")
    assert "commas" in caught.value.advice
