"""Canonical bytes: what is written is read back, what is malformed is refused, digests follow the spec by hand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import struct
import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from expunge.core.canonical import (
    MAX_JSON_BYTES,
    MAX_JSON_DEPTH,
    L,
    array_bytes,
    b64,
    canonical_json,
    field_bytes,
    join_rows,
    json_digest,
    nfc,
    part_digest,
    read_json,
    sha256,
    split_parts,
    state_digest,
    text_field,
    unb64,
)
from expunge.core.errors import BadData, MalformedEvidence

SAFE = 2**53 - 1
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
scalars = st.none() | st.booleans() | st.integers(-SAFE, SAFE) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=15,
)


def nested(depth: int) -> object:
    value: object = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


@settings(max_examples=300)
@given(values)
@example(-0.0)
@example(1e21)
@example(5e-324)
@example({"\u20ac": 1, "\U0001f600": 2, "\ufb33": 3, "\r": 4})
def test_what_is_written_is_read_back(value):
    try:
        data = canonical_json(value)
    except BadData:
        found = [float(v) for v in numbers(value)]
        assert any(SAFE < abs(v) < 1e21 for v in found)  # the only reason to refuse such values
        return
    assert read_json(data) == value
    assert canonical_json(read_json(data)) == data
    assert json.loads(data) == value


def numbers(value):
    if isinstance(value, dict):
        return [n for v in value.values() for n in numbers(v)]
    if isinstance(value, list):
        return [n for v in value for n in numbers(v)]
    return [value] if isinstance(value, int | float) else []


def test_keys_are_sorted_as_utf16_and_numbers_are_shortest():
    value = {"\U0001f600": 1.0, "\ufb33": 1e-7, "b": 333333333.33333329, "a": -0.0}
    expected = '{"a":0,"b":333333333.3333333,"\U0001f600":1,"\ufb33":1e-7}'
    assert canonical_json(value) == expected.encode()


@pytest.mark.parametrize(
    "value",
    [
        math.nan,
        math.inf,
        -math.inf,
        2**53,
        -(2**53),
        float(2**53),
        1e20,
        [1e17],
        {"a": (1, {"b": -1e18})},
        {1, 2},
        b"bytes",
        {1: 2},
        {True: 1},
        "\ud800",
        {"\udfff": 1},
        ["a\ud800b"],
        np.int64(3),
        np.array([1]),
        object(),
        nested(MAX_JSON_DEPTH + 1),
        nested(5000),
    ],
    ids=lambda v: type(v).__name__,
)
def test_what_could_not_be_read_back_is_not_written(value):
    with pytest.raises(BadData):
        canonical_json(value)


def test_the_deepest_that_is_written_is_read():
    assert read_json(canonical_json(nested(MAX_JSON_DEPTH))) == nested(MAX_JSON_DEPTH)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        b'"\xff"',
        b'"\xed\xa0\x80"',  # a surrogate in UTF-8
        b'"\xc0\x80"',  # an overlong NUL
        rb'"\ud800"',
        rb'{"\udc00":1}',
        rb'"\udc00\ud800"',
        b'{"a":1,"a":1}',
        rb'{"a":1,"\u0061":2}',
        b'[{"b":{"a":1,"a":2}}]',
        b"NaN",
        b"[Infinity]",
        b'{"a":-Infinity}',
        b"9007199254740992",
        b"-9007199254740992",
        b"1" * 5000,
        b"1e400",
        b"-1e400",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"'a'",
        b"[1,]",
        b'{"a":1,}',
        b"{a:1}",
        b'"\n"',
        b'"a\0b"',
        b"[1]x",
        b"[1] [2]",
        b"[1]\0",
        b"// c\n1",
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 33 + b"1" + b"}" * 33,
        b"[" * 500_000,
        b'"' + b"\\" * 999_999,
        b'"never ends \\"',
        b'"' + b"x" * MAX_JSON_BYTES + b'"',
        b" " * (MAX_JSON_BYTES + 1),
    ],
    ids=lambda d: repr(d[:24]),
)
def test_every_malformation_is_refused(data):
    with pytest.raises(MalformedEvidence):
        read_json(data)


def test_what_is_just_well_formed_is_read():
    assert read_json(b"9007199254740991") == SAFE == -read_json(b"-9007199254740991")
    assert read_json(b'"' + b"x" * (MAX_JSON_BYTES - 2) + b'"') == "x" * (MAX_JSON_BYTES - 2)
    assert read_json(b"[" * 32 + b"]" * 32) is not None
    assert read_json(b'"' + b"[{" * 100 + b'"') == "[{" * 100  # brackets in a text are no depth
    assert read_json(rb'"\"[\\"') == '"[\\'
    assert read_json(rb'"\ud83d\ude00"') == "😀"
    assert read_json(b" [1 , 2.5e3]\n") == [1, 2500.0]
    with pytest.raises(MalformedEvidence):
        read_json(b"[1, 2]", max_bytes=5)


@pytest.mark.parametrize("unit", [b'\\"', b'"', b'"\\', b'\\\\"', b'[""', b'"["'])
def test_reading_hostile_input_takes_one_pass(unit):
    hostile = b'"' + unit * (250_000 // len(unit))
    start = time.perf_counter()
    with pytest.raises(MalformedEvidence):
        read_json(hostile)
    assert time.perf_counter() - start < 2  # quadratic time would be minutes


VALID = canonical_json({"a": [1, -2.5, None, True, 'ü\n"\\'], "b": {"c": {}, "d": "\U0001f600"}, "e": 1e-9})


@settings(max_examples=500)
@given(st.data())
def test_a_mutated_file_is_read_or_malformed_and_nothing_else(data):
    body = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        how = data.draw(st.sampled_from("idc"))
        if how == "i":
            body[at:at] = data.draw(st.sampled_from([b'"', b"\\", b"[", b"{", b"}", b",", b"\xff", b"9", b"\\ud800"]))
        elif how == "d":
            del body[at : at + 2]
        elif at < len(body):
            body[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(MalformedEvidence):
        read_json(bytes(body))


@given(st.binary(max_size=60))
def test_base64_has_one_spelling(data):
    assert unb64(b64(data)) == data


@pytest.mark.parametrize(
    "text", ["YQ", "YR==", "YQ=", "YQ===", "Y Q==", "YQ==\n", "YWI", "_-==", "é===", "=", "YQ==YQ=="]
)
def test_other_spellings_of_base64_are_refused(text):
    with pytest.raises(MalformedEvidence):
        unb64(text)


def test_a_domain_digest_by_hand():
    assert L(b"ab") == b"\0\0\0\0\0\0\0\2ab"
    assert sha256(b"a", b"b") == hashlib.sha256(b"ab").digest()
    assert json_digest({"b": 1, "a": [True]}) == hashlib.sha256(b'{"a":[true],"b":1}').hexdigest()


# --- row/v1, by hand (spec T03) ---


def test_a_field_by_hand():
    u64 = (3).to_bytes(8, "big")
    assert text_field("näme", "abc") == "näme".encode() + b"\0utf8\0\x01" + u64 + b"abc"
    assert text_field("n", "é") == b"n\0utf8\0\x01" + (2).to_bytes(8, "big") + b"\xc3\xa9"
    assert text_field("n", "") == b"n\0utf8\0\x01" + bytes(8)
    assert field_bytes("x", "<f8", struct.pack("<d", 1.5)) == b"x\0<f8\0\0" + bytes.fromhex("000000000000f83f")
    assert field_bytes("m", "<f4", b"....", (2, 3)) == b"m\0<f4\0\x02" + (2).to_bytes(8, "big") + u64 + b"...."
    assert join_rows([[b"a", b"b"], [b"1", b"2"]]) == [b"a1", b"b2"]
    with pytest.raises(ValueError):
        join_rows([[b"a"], [b"1", b"2"]])


# --- X07, recomputed independently ---


def by_hand_part(arrays: dict[str, np.ndarray]) -> bytes:
    out = b"expunge/part/v1\n"
    for name in sorted(arrays, key=lambda n: n.encode()):
        a = arrays[name]
        dtype = a.dtype.newbyteorder("<").str.encode()
        out += len(name.encode()).to_bytes(8, "big") + name.encode() + len(dtype).to_bytes(8, "big") + dtype
        out += bytes([a.ndim]) + b"".join(n.to_bytes(8, "big") for n in a.shape)
        for value in a.ravel(order="C").tolist():
            if a.dtype.kind == "f":
                code = {2: "<e", 4: "<f", 8: "<d"}[a.dtype.itemsize]
                out += struct.pack(code, value if value != 0 else 0.0)
            elif a.dtype.kind == "b":
                out += b"\1" if value else b"\0"
            else:
                out += int(value).to_bytes(a.dtype.itemsize, "little", signed=a.dtype.kind == "i")
    return hashlib.sha256(out).digest()


STATE = {
    "trees/1/feature": np.array([[1, -2], [3, 4]], np.int32),
    "trees/0/feature": np.array([0], np.int32),
    "trees/0/value": np.array([-0.0, 0.0, 1.5, np.inf], np.float64),
    "trees/10/x": np.array([], np.uint8),
    "top": np.array(7, np.int64),
    "flags": np.array([True, False]),
    "ü": np.array([0.5, -0.0], np.float32),
    "half": np.array([1.5], np.float16),
}


def test_parts_and_states_by_hand():
    groups: dict[str, dict[str, np.ndarray]] = {}
    for name, array in STATE.items():
        groups.setdefault(name[: name.rindex("/")] if "/" in name else "", {})[name] = array
    assert list(split_parts(STATE)) == sorted(groups) == ["", "trees/0", "trees/1", "trees/10"]
    out = b"expunge/state/v1\n"
    for part in (b"Learner()", b"s" * 32, b"c" * 32):
        out += len(part).to_bytes(8, "big") + part
    out += (4).to_bytes(8, "big")
    for name in sorted(groups):
        assert part_digest(groups[name]) == by_hand_part(groups[name])
        out += by_hand_part(groups[name])
    assert state_digest("Learner()", b"s" * 32, b"c" * 32, STATE) == hashlib.sha256(out).hexdigest()


def test_a_state_digest_never_changes():
    assert part_digest({"a": np.array([1, 2], np.int32)}).hex() == (
        hashlib.sha256(
            b"expunge/part/v1\n"
            + bytes.fromhex("0000000000000001 61 0000000000000003 3c6934 01 0000000000000002 01000000 02000000")
        ).hexdigest()
    )
    assert state_digest("", b"", b"", {}) == hashlib.sha256(b"expunge/state/v1\n" + bytes(32)).hexdigest()


def test_a_digest_depends_on_content_alone():
    def digest(state):
        return state_digest("L", b"", b"", state)

    base = digest(STATE)
    assert digest(dict(reversed(STATE.items()))) == base
    assert digest({n: a.astype(a.dtype.newbyteorder(">")) for n, a in STATE.items()}) == base
    assert digest({n: np.asfortranarray(a) if a.ndim else a for n, a in STATE.items()}) == base
    assert digest(STATE | {"trees/0/value": np.array([0.0, -0.0, 1.5, np.inf])}) == base
    for name, array in STATE.items():
        others = [array.reshape(1, *array.shape), array.astype(np.complex64)]
        others += [array + array.dtype.type(1)] if array.size and array.dtype.kind != "b" else []
        for other in others:
            assert digest(STATE | {name: other}) != base
        assert digest({n: a for n, a in STATE.items() if n != name}) != base
        assert digest({(n + "x" if n == name else n): a for n, a in STATE.items()}) != base
    assert state_digest("L", b"a", b"", STATE) != state_digest("L", b"", b"a", STATE)


@pytest.mark.parametrize(
    "array",
    [
        np.array([1.0, np.nan]),
        np.array([np.nan], np.float16),
        np.array([np.nan], ">f4"),
        np.array([complex(0, math.nan)]),
        np.array(["NaT"], "M8[D]"),
        np.array([None]),
        np.array([(1, None)], [("a", int), ("b", object)]),
    ],
    ids=lambda a: a.dtype.str,
)
def test_what_has_no_digest(array):
    with pytest.raises(BadData):
        array_bytes(array)


def test_hashing_changes_no_array():
    array = np.array([-0.0, 1.0])
    array_bytes(array)
    assert np.signbit(array[0])


def test_composed_text():
    assert nfc("e\u0301") == nfc("\xe9") == "\xe9"
    assert nfc("plain") == "plain"
    assert nfc("\ufb01") == "\ufb01"  # a ligature is no other spelling of two letters
