"""Columns: their bytes by hand (row/v1), vocabularies that hold only what occurs, ids that mean one record each."""

from __future__ import annotations

import struct
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.canonical import text_field
from expunge.core.columns import Column, normal_ids
from expunge.core.errors import BadData, ExpungeError

words = st.none() | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(st.lists(words, max_size=20))
def test_texts_come_back_sorted_by_their_bytes(texts):
    column = Column.of_texts(texts)
    assert column.values.dtype == np.int32
    assert [None if c < 0 else column.vocabulary[c] for c in column.values.tolist()] == texts
    assert list(column.vocabulary) == sorted({t for t in texts if t is not None}, key=lambda t: t.encode())


@given(st.lists(words, min_size=1, max_size=20), st.data())
def test_taking_rows_is_reading_those_rows(texts, data):
    rows = np.array(data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=20)), np.int64)
    taken, fresh = Column.of_texts(texts).take(rows), Column.of_texts([texts[r] for r in rows])
    assert taken.vocabulary == fresh.vocabulary
    assert taken.values.tolist() == fresh.values.tolist()
    assert taken.values.dtype == fresh.values.dtype
    assert taken.fields("c") == fresh.fields("c")
    mask = np.zeros(len(texts), bool)
    mask[rows] = True
    assert (
        Column.of_texts(texts).take(mask).vocabulary == Column.of_texts([texts[r] for r in np.unique(rows)]).vocabulary
    )


@given(st.lists(words, max_size=12), st.text("ab\xe9", max_size=3))
def test_fields_of_texts_by_hand(texts, name):
    null = name.encode() + b"\0null\0\0"
    expected = [null if t is None else text_field(name, t) for t in texts]
    assert Column.of_texts(texts).fields(name) == expected
    assert Column.of_texts(texts, "text").fields(name) == expected


@pytest.mark.parametrize("kind", ["number", "date", "boolean"])
def test_fields_of_numbers_by_hand(kind):
    given_values = [0.0, -0.0, 1.0, -2.5, np.nan, 1e308, 5e-324]
    head = b"x\0<f8\0\0"
    expected = [b"x\0null\0\0" if v != v else head + struct.pack("<d", v or 0.0) for v in given_values]
    assert Column(kind, np.array(given_values)).fields("x") == expected
    assert Column(kind, np.array(given_values, ">f8")).fields("x") == expected
    assert Column(kind, np.array([1, 2], np.int64)).fields("x") == Column(kind, np.array([1.0, 2.0])).fields("x")


@given(
    st.lists(st.tuples(st.text("abxyz<f8\x01", min_size=1, max_size=3), words), max_size=3, unique_by=lambda p: p[0]),
    st.lists(st.tuples(st.text("abxyz<f8\x01", min_size=1, max_size=3), words), max_size=3, unique_by=lambda p: p[0]),
)
def test_two_records_never_have_the_same_bytes(one, other):
    def encode(record):
        return b"".join(Column.of_texts([text]).fields(name)[0] for name, text in sorted(record))

    assert (encode(one) == encode(other)) == (sorted(one) == sorted(other))


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(BadData, match="Unicode"):
        Column.of_texts(["a", "\ud800"])


# --- ids ---


@pytest.mark.parametrize(
    ("given_ids", "expected"),
    [
        ([], []),
        ([3, -1], [3, -1]),
        ([np.int8(3), 4], [3, 4]),
        (np.array([1, 2], np.uint16), [1, 2]),
        (range(3), [0, 1, 2]),
        ([1, "a"], ["1", "a"]),
        (["007", "7"], ["007", "7"]),
        ([2**70, "a"], [str(2**70), "a"]),
        (["e\u0301"], ["\xe9"]),
        (["  a "], ["  a "]),
        (pd.Series(["x", "y"]), ["x", "y"]),
        (pd.array([1, 2], dtype="Int64"), [1, 2]),
        (pd.Index([5, 6]), [5, 6]),
        (pd.Categorical(["u", "v"]), ["u", "v"]),
        ([2**63 - 1, -(2**63)], [2**63 - 1, -(2**63)]),
    ],
    ids=repr,
)
def test_ids_become_numbers_or_texts(given_ids, expected):
    found = normal_ids(given_ids, "record id")
    assert found.tolist() == expected
    assert found.dtype.kind == ("i" if all(isinstance(e, int) for e in expected) else "U")


@pytest.mark.parametrize("lost", [None, "", np.nan, pd.NA, pd.NaT, float("nan")], ids=repr)
@pytest.mark.parametrize("other", [1, "a"])
def test_a_missing_id_says_so(lost, other):
    with pytest.raises(BadData, match="subject is missing"):
        normal_ids([other, lost], "subject")


@pytest.mark.parametrize(
    "odd",
    [1.0, 1.5, True, np.True_, b"a", (1,), [1], {}, Decimal(1), pd.Timestamp(0), np.inf, "a\0", "\0", "\ud800", 1j],
    ids=ascii,
)
@pytest.mark.parametrize("other", [[], [1], ["a"]], ids=repr)
def test_what_is_no_id_is_refused(odd, other):
    with pytest.raises(BadData):
        normal_ids([*other, odd], "record id")


@pytest.mark.parametrize(
    "values", [[2**63], [-(2**63) - 1], [1, 10**30], [10**5000, "a"]], ids=["", "low", "long", "digits"]
)
def test_too_large_numbers_are_refused_or_text(values):
    with pytest.raises(BadData, match="give it as text"):
        normal_ids(values, "record id")


@given(
    st.lists(
        st.one_of(st.integers(), st.text(max_size=3), st.floats(), st.booleans(), st.none(), st.binary(max_size=2))
    )
)
def test_any_list_is_read_or_refused_with_our_error(values):
    try:
        found = normal_ids(values, "record id")
    except ExpungeError:
        return
    assert len(found) == len(values)
    assert all(isinstance(v, int | str) for v in found.tolist())
    assert normal_ids(found, "record id").tolist() == found.tolist()
