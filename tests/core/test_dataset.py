"""Data sets: who owns what, what a removal leaves behind, digests of sets by hand, and splits by owner."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadTarget, DuplicateId, NothingLeft, UnknownRecord
from expunge.core.seeds import Key

FRAME = pd.DataFrame(
    {
        "id": ["r1", "r2", "r3", "r4"],
        "who": ["ann", "bob", "ann", "cat"],
        "x": [1.0, -0.0, None, 2.5],
        "c": ["a", None, "rare", "a"],
        "t": ["yes", "no", "yes", "no"],
    }
)
DATA = Dataset.from_frame(FRAME, ids="id", subject="who", target="t")


def owned(*subjects: Any) -> Dataset:
    """Return records 0, 1, 2… owned by these."""
    values = np.array(subjects)
    return Dataset({"x": Column("number", np.zeros(len(values)))}, np.arange(len(values)), values)


# --- digests by hand ---


def u64(n: int) -> bytes:
    return n.to_bytes(8, "big")


def by_hand() -> tuple[list[bytes], str]:
    def text(name: bytes, value: bytes) -> bytes:
        return name + b"\0utf8\0\x01" + u64(len(value)) + value

    def number(value: float) -> bytes:
        return b"x\0<f8\0\0" + struct.pack("<d", value)

    rows = [
        text(b"c", b"a") + text(b"t", b"yes") + number(1.0),
        b"c\0null\0\0" + text(b"t", b"no") + number(0.0),
        text(b"c", b"rare") + text(b"t", b"yes") + b"x\0null\0\0",
        text(b"c", b"a") + text(b"t", b"no") + number(2.5),
    ]
    digests = [hashlib.sha256(row).digest() for row in rows]
    schema = b'{"classes":[],"columns":{"c":"category","x":"number"},"target":["t","category"]}'
    lines = sorted(
        hashlib.sha256(b"s" + i).digest() + hashlib.sha256(b"s" + s).digest() + d
        for i, s, d in zip([b"r1", b"r2", b"r3", b"r4"], [b"ann", b"bob", b"ann", b"cat"], digests, strict=True)
    )
    body = b"expunge/dataset/v1\n" + hashlib.sha256(schema).digest() + b"".join(lines)
    return digests, hashlib.sha256(body).hexdigest()


def test_digests_by_hand():
    digests, whole = by_hand()
    assert [row.tobytes() for row in DATA.record_digests] == digests
    assert DATA.digest == whole


def test_the_digest_is_of_the_set():
    shuffled = FRAME.sample(frac=1, random_state=3)[["t", "c", "who", "x", "id"]]
    assert Dataset.from_frame(shuffled, ids="id", subject="who", target="t").digest == DATA.digest
    for column, row, value in [("id", 0, "r9"), ("who", 0, "bob"), ("x", 0, 1.5), ("c", 1, "a"), ("t", 0, "no")]:
        other = FRAME.copy()
        other.loc[row, column] = value
        assert Dataset.from_frame(other, ids="id", subject="who", target="t").digest != DATA.digest


def test_ids_of_numbers_and_texts_have_different_digests():
    assert owned(1, 2).digest != owned("1", "2").digest


def test_records_without_columns_have_digests():
    data = Dataset({}, np.arange(2), np.arange(2))
    assert {row.tobytes() for row in data.record_digests} == {hashlib.sha256(b"").digest()}


# --- who owns what ---


@pytest.mark.parametrize("subject", [17, "17", "017", np.int64(17)])
def test_a_subject_of_number_is_found(subject):
    assert owned(17, 3, 17).owned_by(subject) == (0, 2)


@pytest.mark.parametrize(
    "subject",
    [
        18,
        "",
        "-",
        "--17",
        "+17",
        " 17",
        "17 ",
        "17\n",
        "17.0",
        "1e1",
        "\u0661\u0667",
        "\u00b2",
        "17\0",
        "0x11",
        True,
        17.0,
        None,
        2**70,
        "9" * 19,
        "9" * 20,
    ],
    ids=ascii,
)
def test_what_is_not_the_number_owns_nothing(subject):
    assert owned(17, 1).owned_by(subject) == ()


def test_the_ends_of_64_bits_are_found_as_texts():
    data = owned(-(2**63), 2**63 - 1, -5)
    assert data.owned_by(str(-(2**63))) == (0,)
    assert data.owned_by(str(2**63 - 1)) == (1,)
    assert data.owned_by("-5") == (2,)


def test_a_subject_of_text_is_found_in_any_spelling():
    data = Dataset.from_frame(pd.DataFrame({"x": [1, 2, 3], "s": ["e\u0301", "\xe9", "17"]}), subject="s")
    assert data.owned_by("\xe9") == data.owned_by("e\u0301") == (0, 1)
    assert data.owned_by(17) == data.owned_by("17") == (2,)


@pytest.mark.parametrize("subject", [7, "7", "007\0", "7\0", " 007", "00", True, None, b"007"], ids=ascii)
def test_leading_zeros_are_part_of_a_text(subject):
    assert owned("007", "True", "None").owned_by(subject) == ()
    assert owned("007").owned_by("007") == (0,)


def test_positions_are_those_of_the_ids():
    assert DATA.positions(["r3", "r1", "r3"]).tolist() == [2, 0, 2]
    assert DATA.positions([]).dtype == np.int64
    composed = Dataset.from_frame(pd.DataFrame({"x": [1, 2]}, index=["e\u0301", "b"]))
    assert composed.positions(["e\u0301", "\xe9"]).tolist() == [0, 0]
    assert composed.id_set == {"\xe9", "b"}


@pytest.mark.parametrize("mask", [[True, False], [np.True_], np.array([True, False])], ids=["python", "numpy", "array"])
def test_a_mask_is_no_list_of_ids(mask):
    with pytest.raises(UnknownRecord):
        owned("a", "b").without(mask)


@pytest.mark.parametrize("wanted", [["r1", "nobody"], [1], ["R1"], ["r1\0"], [""]], ids=repr)
def test_unknown_ids_change_nothing(wanted):
    for ask in (DATA.positions, DATA.without, DATA.only):
        with pytest.raises(UnknownRecord, match="not in the data"):
            ask(wanted)


# --- what a removal leaves ---


@given(st.lists(st.integers(0, 3), unique=True, min_size=1, max_size=2))
def test_a_removal_is_as_if_the_records_had_never_been_there(gone):
    assert len(DATA.record_digests) == 4, "known, so they go along with the records that stay"
    data = DATA.without([f"r{i + 1}" for i in gone])
    fresh = Dataset.from_frame(FRAME.drop(index=gone), ids="id", subject="who", target="t", classes=["no", "yes"])
    assert data.record_digests.tolist() == fresh.record_digests.tolist()
    assert data.ids.tolist() == fresh.ids.tolist()
    for name in set(data.columns) & set(fresh.columns):
        assert data.columns[name].vocabulary == fresh.columns[name].vocabulary
    assert DATA.only([f"r{i + 1}" for i in range(4) if i not in gone]).digest == data.digest


def test_the_rare_word_leaves_and_the_original_stays():
    before = DATA.digest
    after = DATA.without(["r3"])
    assert after.columns["c"].vocabulary == ("a",)
    assert "rare" in DATA.columns["c"].vocabulary
    assert DATA.digest == before
    assert after.owned_by("ann") == ("r1",)


def test_nothing_or_everything():
    assert DATA.without([]).digest == DATA.digest
    with pytest.raises(NothingLeft):
        DATA.without(["r1", "r2", "r3", "r4"])
    with pytest.raises(DuplicateId):
        DATA.only(["r1", "r1"])


# --- the holdout ---


def test_owners_are_on_one_side_whoever_else_is_there():
    subjects = np.arange(600) // 3
    data = Dataset({"x": Column("number", np.arange(600.0))}, np.arange(600), subjects)
    train, held = data.split(Key.public(1), 0.25)
    assert not set(train.subjects) & set(held.subjects)
    assert sorted([*train.ids, *held.ids]) == list(range(600))
    assert 30 <= len(set(held.subjects)) <= 70
    fewer = data.without(range(300))
    assert set(fewer.split(Key.public(1), 0.25)[1].ids) == set(held.ids) - set(range(300))


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_side_without_owners_is_refused(share):
    with pytest.raises(BadData):
        DATA.split(Key.public(1), share)
    with pytest.raises(BadData):
        owned("one", "one").split(Key.public(1), 0.5)


# --- shapes and names ---


def test_a_target_called_like_a_column_is_refused():
    one = Column("number", np.array([1.0, 2.0]))
    with pytest.raises(BadData, match="like a column"):
        Dataset({"target": one}, np.arange(2), np.arange(2), one)
    assert Dataset({"target": one}, np.arange(2), np.arange(2)).target is None


@pytest.mark.parametrize("name", [1, None, "a\0", "\ud800"], ids=ascii)
def test_names_without_bytes_of_their_own_are_refused(name):
    with pytest.raises(BadData, match="name"):
        Dataset({name: Column("number", np.zeros(2))}, np.arange(2), np.arange(2))


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 1), ()])
def test_lengths_must_agree(shape):
    with pytest.raises(BadData, match="other shapes"):
        Dataset({"x": Column("number", np.zeros(shape))}, np.arange(2), np.arange(2))
    with pytest.raises(BadData, match="other shapes"):
        Dataset({}, np.arange(2), np.zeros(shape, int))


ARRAYS: list[tuple[Any, Any, dict[str, Any], type[Exception]]] = [
    ([1.0, 2.0], None, {}, BadData),
    ([[1.0], [np.inf]], None, {}, BadData),
    ([["a"], ["b"]], None, {}, BadData),
    ([[1], [2, 3]], None, {}, BadData),
    ([[1, 2], [3, 4]], None, {"names": ["a"]}, BadData),
    ([[1, 2], [3, 4]], None, {"names": ["a", "b", "c"]}, BadData),
    ([[1, 2], [3, 4]], None, {"names": ["a", "a"]}, BadData),
    ([[1, 2], [3, 4]], [1.0, 2.0], {"names": ["a", "target"]}, BadData),
    ([[1], [2]], [1.0], {}, BadData),
    ([[1], [2]], [1.0, np.nan], {}, BadTarget),
    ([[1], [2]], [1.0, np.inf], {}, BadTarget),
    ([[1], [2]], ["a", None], {}, BadTarget),
    ([[1], [2]], np.array(["a", np.nan], object), {}, BadTarget),
    ([[1], [2]], [[1.0], [2.0]], {}, BadTarget),
    ([[1], [2]], None, {"ids": [1, 1]}, DuplicateId),
    ([[1], [2]], None, {"ids": [1]}, BadData),
    ([[1], [2]], None, {"subjects": ["a"]}, BadData),
    ([[1], [2]], None, {"subjects": ["a", None]}, BadData),
]


@pytest.mark.parametrize(("X", "y", "options", "error"), ARRAYS)
def test_bad_arrays_are_refused(X, y, options, error):
    with pytest.raises(error):
        Dataset.from_arrays(X, y, **options)


def test_arrays_are_read():
    X = np.array([[1.0, np.nan], [3.0, 4.0]])
    data = Dataset.from_arrays(X, [0, 1], ids=["a", "b"], subjects=[5, 5])
    assert list(data.columns) == ["x0", "x1"]
    assert data.target.vocabulary == ("0", "1")
    assert data.owned_by(5) == ("a", "b")
    X[:] = 0
    assert data.columns["x0"].values.tolist() == [1.0, 3.0]
    assert Dataset.from_arrays([[1]], [1.5]).target.kind == "number"
    assert len(Dataset.from_arrays(np.zeros((0, 2)))) == 0


def test_ids_beyond_what_json_holds_can_be_asked_for() -> None:
    """Snowflake-like ids: numbers in the data, texts on the wire."""
    from expunge.core.canonical import read_json
    from expunge.core.deployment import Deployment
    from expunge.core.request import ForgetRequest
    from expunge.core.seeds import Key
    from expunge.core.tiny import Tally

    big = 2**60 + np.arange(8)
    data = Dataset.from_arrays(np.arange(8.0)[:, None], ["a", "b"] * 4, ids=big, subjects=big // 2)
    deployment = Deployment(Tally(), data, Key.public(0), Tally().fit(data, Key.public(0)), data.take(np.arange(0)))
    request = ForgetRequest(records=(int(big[3]), str(big[3]), int(big[5])))
    again = ForgetRequest.from_json(read_json(request.canonical()))
    assert again == request
    assert deployment.targets(again) == (int(big[3]), int(big[5]))
    whole = ForgetRequest(subject=int(big[4] // 2))
    assert deployment.targets(ForgetRequest.from_json(read_json(whole.canonical()))) == (int(big[4]), int(big[5]))


def test_a_record_is_found_as_number_and_as_text() -> None:
    numbers = Dataset.from_arrays(np.zeros((3, 1)), ids=[5, 6, 7])
    texts = Dataset.from_arrays(np.zeros((3, 1)), ids=["5", "6", "x"])
    assert numbers.positions(["6", 7]).tolist() == [1, 2]
    assert texts.positions([6, "x"]).tolist() == [1, 2]
    for odd in ("6.0", " 6", "²", "6\0", True, 6.0):
        with pytest.raises(UnknownRecord):
            numbers.positions([odd])


def test_a_deployment_refuses_ids_that_mean_two_records() -> None:
    from expunge.core.deployment import Deployment
    from expunge.core.errors import DuplicateId
    from expunge.core.seeds import Key
    from expunge.core.tiny import Tally

    data = Dataset.from_arrays(np.arange(6.0)[:, None], ["a", "b"] * 3)
    model = Tally().fit(data, Key.public(0))
    with pytest.raises(DuplicateId, match="holdout"):
        Deployment(Tally(), data, Key.public(0), model, holdout=data.only([1]))


def test_joined_merges_vocabularies_and_refuses_what_does_not_match() -> None:
    def columns(*texts: str | None, first: int = 0) -> Dataset:
        ids = np.arange(first, first + len(texts))
        return Dataset({"c": Column.of_texts(list(texts))}, ids, ids)

    a, b = columns("x", None, "z"), columns("y", "x", first=50)
    both = a.joined(b)
    assert both.columns["c"].vocabulary == ("x", "y", "z")
    assert both.columns["c"].values.tolist() == [0, -1, 2, 1, 0]
    assert both.ids.tolist() == [0, 1, 2, 50, 51]
    assert both.digest == b.joined(a).digest
    with pytest.raises(DuplicateId):
        a.joined(a)
    with pytest.raises(BadData, match="columns"):
        a.joined(Dataset.from_arrays(np.zeros((1, 1)), ids=[9]))
    with pytest.raises(BadData, match="numbers in one"):
        a.joined(Dataset({"c": Column.of_texts(["x"])}, np.array(["a"]), np.array(["a"])))


@pytest.mark.parametrize("dtype", ["float32", "int16", "int8", "uint8"])
def test_vectors_keep_their_type_and_travel(dtype: str) -> None:
    from expunge.core.archive import pack_dataset, unpack_dataset

    X = np.arange(12).reshape(4, 3).astype(dtype)
    data = Dataset.from_vectors(X, ["a", "b", "a", "b"], subjects=[1, 1, 2, 2])
    assert data.columns["x"].values.dtype == dtype
    assert np.array_equal(data.without([1]).columns["x"].values, X[[0, 2, 3]])
    read = unpack_dataset(pack_dataset(data))
    assert read.digest == data.digest == data.take(np.array([3, 1, 0, 2])).digest
    assert data.without([3]).joined(data.only([3])).digest == data.digest
    other = Dataset.from_vectors(X + 1, ["a", "b", "a", "b"], subjects=[1, 1, 2, 2])
    assert other.digest != data.digest


def test_vectors_that_cannot_be_read() -> None:
    from expunge.core.errors import BadData

    for odd in (np.zeros(3), np.zeros((2, 2), np.int64), np.array([[1.0, np.nan]]), np.array([[1e300]])):
        with pytest.raises(BadData):
            Dataset.from_vectors(odd)
    minus = Dataset.from_vectors(np.array([[-0.0]], np.float32))
    assert minus.digest == Dataset.from_vectors(np.array([[0.0]], np.float32)).digest


def test_declared_ranges_are_part_of_the_schema_and_travel() -> None:
    from expunge.core.archive import pack_dataset, unpack_dataset

    plain = Dataset.from_arrays(np.array([[1.0], [5.0], [np.nan]]), ["a", "b", "a"])
    data = plain.declaring({"x0": (0, 10)})
    assert data.schema_digest != plain.schema_digest
    assert plain.declaring({}).schema_digest == plain.schema_digest
    assert unpack_dataset(pack_dataset(data)).ranges == data.ranges == data.without([1]).ranges == {"x0": (0.0, 10.0)}
    more = Dataset.from_arrays(np.array([[11.0]]), ["a"], ids=[9])
    with pytest.raises(BadData, match="outside the declared range"):
        data.joined(more)


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ({"x0": (2, 10)}, "1 of 2 values lie outside the declared range 2 to 10"),
        ({"x0": (10, 0)}, "lowest first"),
        ({"x0": (0, np.inf)}, "finite"),
        ({"x9": (0, 1)}, "not a column of numbers"),
    ],
)
def test_ranges_that_lie_are_refused(ranges: dict[str, tuple[float, float]], said: str) -> None:
    with pytest.raises(BadData, match=said):
        Dataset.from_arrays(np.array([[1.0], [5.0]])).declaring(ranges)


def test_the_whole_holdout_may_be_forgotten() -> None:
    from expunge.core.deployment import Deployment
    from expunge.core.request import ForgetRequest
    from expunge.core.seeds import Key
    from expunge.core.tiny import Tally

    data = Dataset.from_arrays(np.arange(6.0)[:, None], ["a", "b"] * 3)
    model = Tally().fit(data.only([0, 1, 2, 3]), Key.public(0))
    deployment = Deployment(Tally(), data.only([0, 1, 2, 3]), Key.public(0), model, data.only([4, 5]))
    request = ForgetRequest(records=(4, 5, 0))
    after = deployment.with_model(model.without([0]), request)
    assert (len(after.data), len(after.holdout)) == (3, 0)


@pytest.mark.parametrize("order", [1, -1])
def test_rows_are_found_whatever_the_order_of_ids(order):
    data = Dataset.from_arrays(np.zeros((5, 1)), ids=np.array([-4, 0, 3, 8, 2**62])[::order])
    assert data.ids[data.positions([8, "-4", 2**62])].tolist() == [8, -4, 2**62]
    for lost in (7, 2**62 + 1, 2**70, -5, "x"):
        with pytest.raises(UnknownRecord):
            data.positions([8, lost])
    with pytest.raises(UnknownRecord):
        data.take(np.zeros(0, np.int64)).positions([8])
    assert not len(data.positions([]))
