"""The parts of a store: tables, lists of ids, objects, seals, the database's one transaction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from expunge.core.errors import (
    BadData,
    ClassVanished,
    KeyUnsafe,
    StoreBusy,
    StoreDamaged,
    StoreUnfinished,
    UnknownRecord,
    Unsupported,
)
from expunge.core.interrupts import was_interrupted
from expunge.core.seeds import Key
from expunge.core.tiny import tiny_world
from expunge.service.audits import audit_store
from expunge.service.create import Recipe
from expunge.service.database import Database
from expunge.service.keyring import Keyring
from expunge.service.locks import StoreLock
from expunge.service.objects import Objects
from expunge.service.sealed import Seals
from expunge.service.tables import read_ids, read_table
from service.world import build, clinic, plant_tally


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.csv.xz", "t.TSV", "t.parquet"])
def test_tables_are_read_as_they_are(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"a": ["NA", "None", "x"], "b": [1.5, None, 2.0]})
    path = tmp_path / name
    if name.endswith("parquet"):
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="\t" if "TSV" in name else ",")
    read = read_table(path)
    assert read.a.tolist() == ["NA", "None", "x"], "only an empty cell is missing"
    assert read.b.isna().tolist() == [False, True, False]


def test_lists_of_ids(tmp_path: Path) -> None:
    path = tmp_path / "ids.txt"
    path.write_text("  7 \n\n-3\n")
    assert read_ids(path, tiny_world(0)) == (7, -3)
    assert read_ids(path, tiny_world(1)) == ("7", "-3")
    path.write_text("7\nx\n")
    with pytest.raises(UnknownRecord):
        read_ids(path, tiny_world(0))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadData):
        read_ids(path, tiny_world(0))


def test_objects_are_stored_once_and_checked(tmp_path: Path) -> None:
    objects = Objects(tmp_path)
    one, two, again = objects.put([b"one", b"two", b"one"])
    assert one == again
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted({one, two})
    assert objects.get(one) == b"one"
    (tmp_path / two).write_bytes(b"twO")
    with pytest.raises(StoreDamaged):
        objects.get(two)
    assert objects.sweep({one}) == 1
    with pytest.raises(StoreDamaged):
        objects.get(two)


def test_seals_are_opened_only_whole(tmp_path: Path) -> None:
    (tmp_path / "sealed").mkdir()
    (tmp_path / "keys").mkdir()
    seals = Seals(tmp_path / "sealed", tmp_path / "keys")
    seals.seal(4, iter([b"parts", b"body"]))
    parts, objects = seals.unseal(4)
    assert (parts, list(objects.values())) == (b"parts", [b"body"])
    files = sorted((tmp_path / "sealed" / "4").iterdir())
    bodies = [f.read_bytes() for f in files]
    files[0].write_bytes(bodies[1])  # two files in each other's place
    with pytest.raises(StoreDamaged):
        seals.unseal(4)
    seals.destroy(4)
    seals.destroy(4)
    assert not list((tmp_path / "sealed").iterdir())
    assert not list((tmp_path / "keys").iterdir())


def test_a_transaction_is_all_or_nothing(tmp_path: Path) -> None:
    database = Database.create(tmp_path / "d.sqlite")

    def half() -> None:
        with database.write():
            database.add_version("active", "digest", "{}", None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    assert database.versions() == []
    database.open_case("a", "body", None)
    with pytest.raises(StoreUnfinished):
        database.open_case("b", "body", None)
    database.close()


def test_a_lock_is_named_by_its_process_and_dies_with_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    code = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.flock(f, 2); print('held', flush=True)"
    code += "; time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(StoreBusy, match=str(process.pid)):
            StoreLock.take(path, write=True)
        process.kill()
        process.wait()
    StoreLock.take(path, write=True).release()


def test_an_audit_needs_a_holdout(tmp_path: Path) -> None:
    build(tmp_path / "s", Recipe("ill", "tally", {}, "email", "visit", holdout=0.0), clinic(60))
    with pytest.raises(Unsupported, match="holdout"):
        audit_store(tmp_path / "s")


def test_interrupts_in_disguise() -> None:
    error = SystemError("returned a result with an exception set")
    error.__cause__ = KeyboardInterrupt()
    assert was_interrupted(error)
    assert not was_interrupted(SystemError())


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("a,b\n1,2,3\n", "line 2 of t.csv has 3 cells, and the header names 2"),
        ("a,b\n1,2,\n3,4,\n", "line 2 of t.csv has 3 cells"),
        ("a,b\n1,2\n3,4\n5,6,7\n", "line 4 of t.csv has 3 cells"),
        ("a,b\n1\n3,4,5\n", "line 3 of t.csv has 3 cells"),
        ("age,x,age\n1,2,3\n", "two columns of t.csv are called 'age'"),
    ],
)
def test_tables_that_pandas_would_bend_are_refused(tmp_path: Path, body: str, said: str) -> None:
    (tmp_path / "t.csv").write_text(body)
    with pytest.raises(BadData, match=said):
        read_table(tmp_path / "t.csv")


def test_short_lines_blank_lines_and_quotes_are_read(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeff\na,b,\n"1,5","x\ny",\n\n2\n', encoding="utf-8")
    read = read_table(tmp_path / "t.csv")
    assert read.a.tolist() == ["1,5", "2"]
    assert read.b.isna().tolist() == [False, True]
    assert read.index.tolist() == [0, 1]


def test_what_is_wrong_with_a_file_has_a_hint_that_fits(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("city,y\nZürich,1\n".encode("latin-1"))
    for read in (read_table, read_ids):
        with pytest.raises(BadData) as caught:
            read(path)
        assert "UTF-8" in caught.value.advice
    path.write_text("a;b\n1,5;2,5\n")
    with pytest.raises(BadData) as caught:
        read_table(path)
    assert "commas" in caught.value.advice


def test_a_key_that_cannot_be_used_has_a_hint_that_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_PASSPHRASE", "quagga")
    ring = Keyring(tmp_path, "log.example/x")
    ring.make(Key.public(0), b"m" * 32)

    def advice() -> str:
        with pytest.raises(KeyUnsafe) as caught:
            ring.check()
        return caught.value.advice

    monkeypatch.delenv("EXPUNGE_PASSPHRASE")
    assert "EXPUNGE_PASSPHRASE" in advice()
    monkeypatch.setenv("EXPUNGE_PASSPHRASE", "okapi")
    assert "EXPUNGE_PASSPHRASE" in advice()
    monkeypatch.setenv("EXPUNGE_PASSPHRASE", "quagga")
    for name in ("log.pem", "manifest.key"):
        (tmp_path / name).chmod(0o640)
        assert advice().startswith(f"chmod 600 {tmp_path / name}")
        (tmp_path / name).chmod(0o600)
    (tmp_path / "manifest.key").unlink()
    assert "backup" in advice()
    (tmp_path / "issuer.pem").unlink()
    assert "backup" in advice()


def test_a_passphrase_for_keys_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EXPUNGE_PASSPHRASE", raising=False)
    ring = Keyring(tmp_path, "log.example/x")
    ring.make(Key.public(0), b"m" * 32)
    monkeypatch.setenv("EXPUNGE_PASSPHRASE", "quagga")
    with pytest.raises(KeyUnsafe) as caught:
        ring.check()
    assert caught.value.advice.startswith("Unset EXPUNGE_PASSPHRASE")


def test_a_class_that_only_the_holdout_has(tmp_path: Path) -> None:
    recipe, frame = Recipe("y", "tally", holdout=0.5), pd.DataFrame({"x": range(12), "y": ["a", "b"] * 6})
    plant_tally()
    frame.loc[0, "y"] = "rare"
    data = recipe.read(frame)
    seed = next(s for s in range(100) if 0 in data.split(Key.public(s), 0.5)[1].ids)
    with pytest.raises(ClassVanished) as caught:
        recipe.train(data, Key.public(seed))
    assert "--class" in caught.value.advice
    assert "holdout" in caught.value.advice


def test_an_audit_speaks_of_training_records(tmp_path: Path) -> None:
    build(tmp_path / "store")
    found = audit_store(tmp_path / "store", n_shadows=0)
    words = " ".join(f"{e.name} {e.estimator} {e.note}" for e in found)
    assert "utility.training_accuracy@now" in words
    assert "forgotten" not in words
    assert "policy" not in words
