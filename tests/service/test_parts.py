"""The parts of a store: tables, lists of ids, objects, seals, the database's one transaction."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from expunge.core.errors import (
    BadData,
    StoreBusy,
    StoreDamaged,
    StoreUnfinished,
    UnknownRecord,
    Unsupported,
)
from expunge.core.interrupts import was_interrupted
from expunge.core.tiny import tiny_world
from expunge.service.audits import audit_store
from expunge.service.create import Recipe
from expunge.service.database import Database
from expunge.service.locks import StoreLock
from expunge.service.objects import Objects
from expunge.service.sealed import Seals
from expunge.service.tables import read_ids, read_table
from service.world import build, clinic


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
