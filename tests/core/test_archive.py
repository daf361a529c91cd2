"""The archive: what is packed comes back, what was removed is in no byte, and a failing disk leaves the old file."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.archive import pack, pack_dataset, unpack, unpack_dataset
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, StoreDamaged, StoreFull
from expunge.core.files import read_file, sync_folder, write_durably
from expunge.core.seeds import Key

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
ids = st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1, max_size=8) | st.lists(
    st.text("ab\xe9\U0001f600", min_size=1, max_size=3), unique=True, min_size=1, max_size=8
)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    names = draw(ids)
    n = len(names)

    def column() -> Column:
        kind = draw(st.sampled_from(["number", "date", "boolean", "category", "text"]))
        if kind in ("category", "text"):
            return Column.of_texts(
                draw(st.lists(st.none() | st.text("a\0\xe9", max_size=3), min_size=n, max_size=n)), kind
            )
        return Column(kind, np.array(draw(st.lists(st.floats(allow_infinity=False), min_size=n, max_size=n))))

    columns = {name: column() for name in draw(st.lists(texts, unique=True, max_size=3))}
    target_name = draw(texts.filter(lambda t: t not in columns))
    target = column() if draw(st.booleans()) else None
    record_ids = np.array(names)
    subjects = record_ids[draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))]
    return Dataset(columns, record_ids, subjects, target, target_name, tuple(draw(st.lists(texts, max_size=2))), ("é",))


def same(a: Dataset, b: Dataset) -> None:
    def check(x: Column, y: Column) -> None:
        assert (x.kind, x.vocabulary, x.values.dtype) == (y.kind, y.vocabulary, y.values.dtype)
        assert x.values.tobytes() == y.values.tobytes()

    assert list(a.columns) == list(b.columns)
    for name in a.columns:
        check(a.columns[name], b.columns[name])
    assert (a.target is None) == (b.target is None)
    if a.target is not None:
        check(a.target, b.target)
    for field in ("target_name", "classes", "notes", "digest", "schema"):
        assert getattr(a, field) == getattr(b, field)
    for field in ("ids", "subjects"):
        assert getattr(a, field).dtype.kind == getattr(b, field).dtype.kind
        assert getattr(a, field).tolist() == getattr(b, field).tolist()


@settings(max_examples=150)
@given(datasets())
def test_a_data_set_comes_back(data):
    body = pack_dataset(data)
    again = unpack_dataset(body)
    same(data, again)
    assert pack_dataset(again) == body
    fresh = Dataset(again.columns, again.ids, again.subjects, again.target, again.target_name)
    assert fresh.record_digests.tolist() == again.record_digests.tolist()


@settings(max_examples=60)
@given(datasets(), st.data())
def test_packed_bytes_do_not_know_what_was_there_before(data, choice):
    keep = choice.draw(st.lists(st.sampled_from(data.ids.tolist()), unique=True, min_size=1, max_size=len(data)))
    rows = np.sort(data.positions(keep))
    left = data.take(rows)
    again = unpack_dataset(pack_dataset(left))
    columns = {  # read from nothing but the values that are left
        name: Column.of_texts([c.vocabulary[v] if v >= 0 else None for v in c.values.tolist()], c.kind)
        if c.kind in ("category", "text")
        else Column(c.kind, c.values.copy())
        for name, c in again.columns.items()
    }
    built = Dataset(
        columns,
        np.array(left.ids.tolist()),
        np.array(left.subjects.tolist()),
        again.target,
        left.target_name,
        left.classes,
        left.notes,
    )
    assert pack_dataset(built) == pack_dataset(left)


def test_vanished_words_and_ids_are_in_no_byte():
    secret = ["MARKER-alpha", "MARKER-beta"]
    frame = pd.DataFrame(
        {
            "id": [f"row{i}" for i in range(60)] + ["MARKER-id-that-is-very-long"],
            "who": [f"p{i % 9}" for i in range(60)] + ["MARKER-subject"],
            "c": ["a", "b", "c"] * 20 + [secret[0]],
            "t": [f"some free text number {i}" for i in range(60)] + [f"a note of {secret[1]} and more"],
            "x": [float(i) for i in range(60)] + [123456.789],
            "y": ["yes", "no"] * 30 + ["yes"],
        }
    )
    data = Dataset.from_frame(frame, ids="id", subject="who", target="y", kinds={"c": "category"})
    whole = pack_dataset(data)
    assert b"MARKER-id-that-is-very-long" in whole
    assert all(word.encode() in whole for word in secret)
    left = data.without(["MARKER-id-that-is-very-long"])
    body = pack_dataset(left)
    assert b"MARKER" not in body
    assert np.float64(123456.789).tobytes() not in body
    assert data.record_digests[60].tobytes() not in body
    for side in left.split(Key.public(0), 0.3):
        assert b"MARKER" not in pack_dataset(side)


def test_a_column_without_a_name_comes_back():
    data = Dataset.from_frame(pd.DataFrame([[1, "x"], [2, "y"]], columns=["", "t"]), target="t")
    same(data, unpack_dataset(pack_dataset(data)))


BODY = pack_dataset(Dataset.from_frame(pd.DataFrame({"a": [1.0, 2.0], "c": ["x", "y"], "t": ["n", "m"]}), target="t"))


@settings(max_examples=300)
@given(st.integers(0, len(BODY) - 1), st.integers(1, 255), st.sampled_from(["flip", "cut", "drop", "twice"]))
def test_damage_is_told_or_harmless(at, by, how):
    body = bytearray(BODY)
    if how == "flip":
        body[at] ^= by
    elif how == "cut":
        del body[at:]
    elif how == "drop":
        del body[at : at + by]
    else:
        body[at:at] = body[at : at + by]
    try:
        read = unpack_dataset(bytes(body))
    except StoreDamaged:
        return
    assert len(read) == 2


def arrays_of(**changes: np.ndarray | None) -> bytes:
    arrays = unpack(BODY) | {name.replace("__", "/"): array for name, array in changes.items() if array is not None}
    return pack({name: a for name, a in arrays.items() if changes.get(name.replace("/", "__"), a) is not None})


def text(value: str) -> np.ndarray:
    return np.frombuffer(value.encode(), np.uint8)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff" * 100,
        (2**63).to_bytes(8, "little") + b"{}",
        pack({}),
        pack({"head": np.zeros(1)}),
        arrays_of(head=text("[]")),
        arrays_of(head=text("{}")),
        arrays_of(head=text("null")),
        arrays_of(head=text("{")),
        arrays_of(head=text('{"a":1,"a":1}')),
        arrays_of(head=text('{"columns":[],"has_target":true,"target_name":"t","classes":[],"notes":[]}')),
        arrays_of(head=text('{"columns":[1],"has_target":true,"target_name":"t","classes":[],"notes":[]}')),
        arrays_of(digests=None),
        arrays_of(digests=np.zeros((3, 32), np.uint8)),
        arrays_of(ids__numbers=np.array([1, 1])),
        arrays_of(ids__numbers=np.array([1, 2, 3])),
        arrays_of(ids__numbers=None),
        arrays_of(subjects__numbers=np.array([[1], [2]])),
        arrays_of(column__0__values=None),
        arrays_of(column__0__values=np.zeros(3)),
        arrays_of(column__1__words__bytes=np.array([255, 255], np.uint8)),
    ],
    ids=range(22),
)
def test_what_is_no_data_set(body):
    with pytest.raises(StoreDamaged, match="holdout"):
        unpack_dataset(body, "holdout")


# --- arrays ---


def test_arrays_come_back_as_they_were():
    arrays = {
        "b": np.array([True, False]),
        "zero-d": np.array(5, np.int16),
        "empty": np.zeros((0, 3), np.float32),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "strided": np.arange(10)[::3],
        "negative zero": np.array([-0.0, np.nan]),
        "\xe9/part": np.array([2**64 - 1], np.uint64),
    }
    again = unpack(pack(arrays))
    assert again.keys() == arrays.keys()
    for name, array in arrays.items():
        assert (again[name].shape, again[name].dtype) == (array.shape, array.dtype)
        assert again[name].tobytes() == array.tobytes()
    assert pack(again) == pack(dict(reversed(arrays.items())))
    assert unpack(pack({})) == {}
    assert unpack(pack({"big": np.array([1, 2], ">i4")}))["big"].tolist() == [1, 2]


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([1j]), np.array(["2020"], "M8[D]"), np.array([None])])
def test_what_the_format_does_not_know_is_refused(array):
    with pytest.raises(BadData):
        pack({"a": array})


# --- durable files ---


def test_a_file_is_written_with_its_folder_and_replaced(tmp_path: Path):
    path = tmp_path / "a" / "b" / "file"
    write_durably(path, b"one", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    write_durably(path, b"two")
    assert read_file(path) == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    sync_folder(tmp_path)
    with pytest.raises(StoreDamaged, match="gone is missing"):
        read_file(tmp_path / "gone")


def test_what_a_dead_process_left_gives_away_no_rights(tmp_path: Path):
    left = tmp_path / f".key.{os.getpid()}.tmp"
    left.write_bytes(b"x" * 1000)
    left.chmod(0o644)
    write_durably(tmp_path / "key", b"secret", mode=0o600)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert read_file(tmp_path / "key") == b"secret"
    assert not left.exists()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM])
@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
def test_a_full_disk_leaves_the_old_file(call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(*args: object, **options: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(*((Path, "replace") if call == "replace" else (os, call)), fail)
    with pytest.raises(StoreFull, match="cannot write file"):
        write_durably(path, b"new content")
    monkeypatch.undo()
    assert read_file(path) == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_any_other_end_leaves_the_old_file_too(error: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    write_durably(path, b"old")

    def fail(handle: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(type(error)):
        write_durably(path, b"new")
    monkeypatch.undo()
    assert read_file(path) == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_a_file_is_an_error_of_its_own(tmp_path: Path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="file"):
        write_durably(tmp_path / "file" / "inside", b"x")
