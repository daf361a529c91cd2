"""Records that travel: frozen, closed, one byte form; and requests, which name exactly what was asked for."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from expunge.core.errors import MalformedEvidence
from expunge.core.evidence import Evidence
from expunge.core.record import Record
from expunge.core.request import ForgetRequest

some_ids = st.lists(
    st.integers(-(2**53) + 1, 2**53 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=6
)


class Sample(Record):
    """A record with one of everything."""

    n: int
    x: float = 0.5
    t: str | None = None
    many: tuple[str, ...] = ()
    raw: bytes = b""


def test_the_byte_form_by_hand():
    record = Sample(n=3, x=1.0, many=("b", "a"), raw=b"\xff\xfe")
    assert record.canonical() == b'{"many":["b","a"],"n":3,"raw":"__4=","x":1}'
    assert record.digest() == hashlib.sha256(record.canonical()).hexdigest()


@given(some_ids)
def test_a_request_comes_back_from_its_bytes(ids):
    request = ForgetRequest(records=ids)
    again = ForgetRequest.from_bytes(request.canonical())
    assert again == request
    assert again.canonical() == request.canonical()
    assert [type(i) for i in again.records] == [type(i) for i in request.records]


def test_records_are_frozen_and_closed():
    record = Sample(n=1)
    with pytest.raises(ValidationError):
        record.n = 2
    with pytest.raises(ValidationError):
        Sample(n=1, other=2)
    assert record == Sample(n=1)
    assert hash(record) == hash(Sample(n=1))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b'{"n":"x"}',
        b"{}",
        b'{"n":1,"m":2}',
        b'{"n":1,"n":1}',
        b'{"n":1.5}',
        b'{"n":1,"x":NaN}',
        b'{"n":1,"x":"inf"}',
        b'{"n":1,"many":"ab"}',
        b'{"n":9007199254740993}',
        b'{"n":{}}',
    ],
    ids=repr,
)
def test_malformed_records_are_refused_with_our_error(data):
    with pytest.raises(MalformedEvidence):
        Sample.from_bytes(data)


@pytest.mark.parametrize("x", [float("nan"), float("inf"), -float("inf")])
def test_no_number_without_bytes(x):
    with pytest.raises(ValidationError):
        Sample(n=1, x=x)


# --- requests ---


def test_a_request_is_a_set():
    one, two = (ForgetRequest(records=r) for r in (["b", 2, "a", 1, "a"], ("a", "b", 1, 2, 2)))
    assert one == two
    assert one.canonical() == two.canonical()
    assert one.records == (1, 2, "a", "b")
    assert one.granularity == "record"
    assert ForgetRequest(subject="a").granularity == "subject"


def test_texts_and_numbers_are_different_records():
    assert ForgetRequest(records=[17, "17", "017"]).records == (17, "017", "17")
    assert ForgetRequest.from_bytes(b'{"subject":"17"}').subject == "17"
    assert ForgetRequest.from_bytes(b'{"subject":17}').subject == 17


def test_spellings_of_one_text_are_one_id():
    assert ForgetRequest(records=["e\u0301", "\xe9"]).records == ("\xe9",)
    assert ForgetRequest(subject="e\u0301").canonical() == ForgetRequest(subject="\xe9").canonical()


def test_numbers_of_numpy_are_numbers():
    request = ForgetRequest(records=np.array([3, 1]), requested_at=None)
    assert request.records == (1, 3)
    assert all(type(i) is int for i in request.records)
    assert ForgetRequest(subject=np.str_("a")).canonical() == ForgetRequest(subject="a").canonical()


@pytest.mark.parametrize("odd", [True, False, 1.0, 1.5, b"a", [1], {}, np.True_, np.float64(1)], ids=repr)
def test_true_is_not_the_record_1(odd):
    with pytest.raises(ValidationError):
        ForgetRequest(subject=odd)
    with pytest.raises(ValidationError):
        ForgetRequest(records=[5, odd])


@pytest.mark.parametrize(
    "data",
    [
        b'{"subject":true}',
        b'{"records":[true]}',
        b'{"subject":1.0}',
        b'{"records":[null]}',
        b'{"records":"abc"}',
        b'{"records":[1],"subject":1}',
        b'{"ground":"because"}',
        b'{"verified_how":"trust me"}',
        b'{"subject":"a","admin":true}',
        b'{"requested_at":"yesterday"}',
    ],
    ids=repr,
)
def test_malformed_requests_are_refused(data):
    with pytest.raises(MalformedEvidence):
        ForgetRequest.from_bytes(data)


def test_a_mask_is_no_request():
    with pytest.raises(ValidationError):
        ForgetRequest(records=np.array([True, False]))


def test_times_are_kept():
    when = datetime(2026, 7, 1, 12, tzinfo=UTC)
    request = ForgetRequest(subject="a", requested_at=when)
    assert b'"requested_at":"2026-07-01T12:00:00Z"' in request.canonical()
    assert ForgetRequest.from_bytes(request.canonical()).requested_at == when


def test_a_number_beyond_json_travels_as_text():
    request = ForgetRequest(subject=2**60)
    assert request.subject == str(2**60)
    assert ForgetRequest.from_bytes(request.canonical()) == request
    assert ForgetRequest(subject=2**53 - 1).subject == 2**53 - 1


def test_evidence_reads_like_what_it_is():
    seconds = Evidence(name="c.s@after", estimator="-", value=0.0671, low=0.0671, high=0.0671, n=1, unit="timing")
    assert seconds.text() == "0.0671 (1 timing; no interval)"
    error = Evidence(name="u.mse@after", estimator="-", value=32511.6, low=1999.96, high=1e6, n=1200)
    assert error.text() == "32,510 [2,000, 1,000,000] (n 1200 records)"
    share = error.model_copy(update={"value": 0.51234, "low": 0.5, "high": 1.0})
    assert share.text() == "0.5123 [0.5, 1] (n 1200 records)"
