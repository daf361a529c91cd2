"""Bad input of every kind ends in one format of error, with a hint and an exit code of its own."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from service.world import PERSON, STRANGER, build, clinic, plant_tally

from expunge.cli.main import run
from expunge.core import errors
from expunge.core.tiny import Tally
from expunge.service.reading import log_of

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line in this process: (exit code, stdout, stderr)."""
    plant_tally()

    def call(*arguments: object) -> tuple[int, str, str]:
        code = run([str(a) for a in arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return call


@pytest.fixture
def table(tmp_path: Path) -> Path:
    clinic().to_csv(tmp_path / "people.csv", index=False)
    return tmp_path / "people.csv"


@pytest.fixture
def store(tmp_path: Path) -> Path:
    build(tmp_path / "store")
    return tmp_path / "store"


def train(table: Path, place: Path, *more: str) -> list[object]:
    return ["train", table, place, "--target", "ill", "--learner", "tally", *more]


def failed(found: tuple[int, str, str], kind: type[errors.ExpungeError]) -> None:
    code, out, err = found
    assert code == kind.exit_code, err
    assert out == ""
    assert f"error[{kind.code}]:" in err
    assert "\nhint: " in err


def spoilt(frame: pd.DataFrame, **columns: object) -> pd.DataFrame:
    return frame.assign(**columns)


@pytest.mark.parametrize(
    ("change", "more", "kind"),
    [
        (lambda f: f, ["--target", "nope"], errors.MissingColumn),
        (lambda f: f, ["--subject", "nope"], errors.MissingColumn),
        (lambda f: f.assign(ill=f.ill.where(f.index != 3)), [], errors.BadTarget),
        (lambda f: f.assign(ill="yes"), [], errors.BadTarget),
        (lambda f: f.assign(visit="same"), ["--id", "visit"], errors.DuplicateId),
        (lambda f: f.assign(email=f.email.where(f.index != 3)), ["--subject", "email"], errors.BadData),
        (lambda f: f.head(0), [], errors.BadData),
        (lambda f: f, ["--learner", "forrest"], errors.UnknownName),
        (lambda f: f, ["--param", "leaves=3"], errors.BadInput),
        (lambda f: f, ["--class", "yes", "--class", "never"], errors.BadTarget),
    ],
)
def test_bad_tables(
    cli: Run, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], more: list[str], kind: type
) -> None:
    change(clinic()).to_csv(tmp_path / "t.csv", index=False)
    failed(cli(*train(tmp_path / "t.csv", tmp_path / "s"), *more), kind)
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"], "nothing is left behind"


def test_unreadable_tables(cli: Run, tmp_path: Path) -> None:
    for name, body in (("a.csv", b'a,b\n"1,2\n3'), ("b.parquet", b"not parquet"), ("c.xlsx", b""), ("d.csv.gz", b"x")):
        (tmp_path / name).write_bytes(body)
        failed(cli(*train(tmp_path / name, tmp_path / "s")), errors.BadData)


def test_a_place_that_is_taken(cli: Run, table: Path, store: Path) -> None:
    before = {p: p.read_bytes() for p in store.rglob("*") if p.is_file()}
    failed(cli(*train(table, store)), errors.StoreExists)
    assert {p: p.read_bytes() for p in store.rglob("*") if p.is_file()} == before


def test_ctrl_c_while_training_leaves_nothing(
    cli: Run, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Tally, "fit", interrupted)
    failed(cli(*train(table, tmp_path / "s")), errors.Interrupted)
    assert [p.name for p in tmp_path.iterdir()] == ["people.csv"]


def test_what_a_killed_training_left_is_swept_up(cli: Run, table: Path, tmp_path: Path) -> None:
    left = tmp_path / ".s.999999999.new"
    left.mkdir()
    (left / "object").write_text("personal")
    assert cli(*train(table, tmp_path / "s"))[0] == 0
    assert not left.exists()


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["--subject", "nobody@example.org"], errors.UnknownSubject),
        (["--subject", PERSON, "--guarantee", "exact", "--records"], None),
        ([], None),
        (["--subject", PERSON, "--resume"], None),
        (["--subject", PERSON, "--subject", STRANGER], None),
    ],
)
def test_bad_requests(cli: Run, store: Path, arguments: list[str], kind: type[errors.ExpungeError] | None) -> None:
    found = cli("forget", store, *arguments)
    if kind is None:
        assert found[0] == 2
    else:
        failed(found, kind)


def test_bad_record_lists(cli: Run, store: Path, tmp_path: Path) -> None:
    ids = tmp_path / "ids.txt"
    ids.write_text("visit-000001\nvisit-nope\n")
    failed(cli("forget", store, "--records", ids), errors.UnknownRecord)
    ids.write_text("\n")
    failed(cli("forget", store, "--records", ids), errors.BadData)
    ids.write_text("\n".join(clinic().visit))
    failed(cli("forget", store, "--records", ids, "--approve"), errors.NothingLeft)


def test_a_class_that_would_vanish(cli: Run, tmp_path: Path) -> None:
    frame = clinic()
    frame.loc[frame.email == PERSON, "ill"] = "maybe"
    build(tmp_path / "store", frame=frame)
    failed(cli("forget", tmp_path / "store", "--subject", PERSON), errors.ClassVanished)
    assert json.loads(cli("forget", tmp_path / "store", "--resume", "--json")[1]) == {"done": False, "ref": None}


def test_stores_that_cannot_be_opened(cli: Run, store: Path, tmp_path: Path) -> None:
    failed(cli("log", tmp_path / "nowhere"), errors.StoreMissing)
    settings = json.loads((store / "store.json").read_text())
    (store / "store.json").write_text(json.dumps({**settings, "format": 9, "expunge": "7.1"}))
    found = cli("forget", store, "--subject", PERSON)
    failed(found, errors.StoreVersion)
    assert "7.1" in found[2]
    (store / "store.json").write_text("{")
    failed(cli("log", store), errors.StoreDamaged)


def test_a_store_in_use_names_the_process(cli: Run, store: Path) -> None:
    with (store / "lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = cli("forget", store, "--subject", PERSON)
        failed(found, errors.StoreBusy)
        assert f"process {os.getpid()}" in found[2]
        failed(cli("log", store), errors.StoreBusy)
    with (store / "lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert cli("log", store)[0] == 0
        failed(cli("forget", store, "--subject", PERSON), errors.StoreBusy)


def test_damage_is_said(cli: Run, store: Path) -> None:
    largest = max((store / "objects").iterdir(), key=lambda p: p.stat().st_size)
    body = largest.read_bytes()
    largest.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
    failed(cli("forget", store, "--subject", PERSON), errors.StoreDamaged)
    largest.unlink()
    failed(cli("audit", store), errors.StoreDamaged)
    (store / "database.sqlite").write_bytes(b"not a database at all" * 100)
    failed(cli("forget", store, "--subject", PERSON), errors.StoreDamaged)
    (store / "database.sqlite").unlink()
    failed(cli("seals", store), errors.StoreDamaged)


def test_a_key_that_others_may_read(cli: Run, store: Path) -> None:
    (store / "keys" / "issuer.pem").chmod(0o644)
    failed(cli("forget", store, "--subject", PERSON), errors.KeyUnsafe)


def test_an_unfinished_request(cli: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_FAILPOINT", "forget.unlearn-saved:interrupt")
    found = cli("forget", store, "--subject", PERSON, "--shadows", 0)
    failed(found, errors.Interrupted)
    assert "--resume" in found[2]
    monkeypatch.delenv("EXPUNGE_FAILPOINT")
    failed(cli("forget", store, "--subject", STRANGER), errors.StoreUnfinished)
    code, _, err = cli("log", store)
    assert (code, "--resume" in err) == (0, True), "what only reads goes on, and says so"
    code, out, _ = cli("forget", store, "--resume", "--json")
    assert code == 0
    assert json.loads(out)["equals_retrained"] is True


def test_a_held_request(cli: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(sorted(open_ids(store))[:40]))
    failed(cli("forget", store, "--records", tmp_path / "ids.txt", "--shadows", 0), errors.RequestHeld)
    assert cli("forget", store, "--records", tmp_path / "ids.txt", "--shadows", 0, "--approve")[0] == 0


def open_ids(store: Path) -> list[str]:
    from expunge.service.store import Store

    with Store.open(store) as opened:
        return [str(i) for i in opened.deployment().data.ids]


def test_receipts_and_logs_that_lie(cli: Run, store: Path, tmp_path: Path) -> None:
    import shutil

    assert cli("forget", store, "--subject", PERSON, "--shadows", 0)[0] == 0
    (receipt,) = (store / "receipts").iterdir()
    shutil.copytree(store / "log", tmp_path / "old-log")
    body, bad, trust = receipt.read_bytes(), tmp_path / "receipt.json", store / "trust.json"
    assert cli("verify", receipt)[0] == 0
    for broken in (body[:-40], b"", b"[]", body.replace(b'"leaf"', b'"leef"')):
        bad.write_bytes(broken)
        failed(cli("verify", bad, "--trust", trust), errors.MalformedEvidence)
    altered = json.loads(body)
    altered["envelope"]["payload"] = altered["envelope"]["payload"].replace("A", "B", 1)
    bad.write_text(json.dumps(altered))
    assert cli("verify", bad, "--trust", trust)[0] == 1
    failed(cli("verify", bad), errors.TrustRootInvalid)
    build(tmp_path / "other")
    failed(cli("verify", receipt, "--trust", tmp_path / "other" / "trust.json"), errors.Unverifiable)

    assert cli("forget", store, "--subject", STRANGER, "--shadows", 0)[0] == 0
    assert cli("log", store, "--check", "--entries")[0] == 0
    shutil.rmtree(store / "log")
    shutil.copytree(tmp_path / "old-log", store / "log")
    failed(cli("log", store, "--check"), errors.LogRewritten)


def test_errors_as_json(cli: Run, tmp_path: Path) -> None:
    code, out, err = cli("log", tmp_path / "nowhere", "--json")
    error = json.loads(err)["error"]
    assert (code, out, error["code"], error["exit_code"]) == (41, "", "store-missing", 41)
    assert error["hint"]
    code, _, err = cli("log", "--json")
    assert code == 2
    assert json.loads(err)["error"]["code"] == "usage"


@pytest.mark.parametrize("asked", [["trian"], ["train"], ["forget", "here"], ["verify", "none.json"], ["seals"]])
def test_usage_errors_have_the_format_of_all_others(cli: Run, asked: list[str]) -> None:
    code, out, err = cli(*asked)
    assert (code, out) == (2, "")
    assert err.startswith("error[usage]: ")
    assert "--help` says what it takes." in err


def test_without_a_command_the_help_is_shown(cli: Run) -> None:
    code, _, err = cli()
    assert code == 2
    assert "Commands:" in err


def test_resuming_takes_no_other_wish(cli: Run, store: Path) -> None:
    for more in ("--dry-run", "--keep-before=3"):
        code, _, err = cli("forget", store, "--resume", more)
        assert code == 2
        assert "error[usage]" in err


def test_a_page_that_cannot_be_written(cli: Run, store: Path, tmp_path: Path) -> None:
    assert cli("forget", store, "--subject", PERSON, "--shadows", "0")[0] == 0
    failed(cli("report", store, "--out", tmp_path / "no" / "page.html"), errors.StoreFull)


def test_surprises_are_short(cli: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("expunge.service.reading.log_of", lambda *_, **__: 1 / 0)
    code, _, err = cli("log", store)
    assert code == 70
    assert "ZeroDivisionError" in err
    assert "EXPUNGE_TRACEBACK=1" in err
    assert "Traceback" not in err
    monkeypatch.setenv("EXPUNGE_TRACEBACK", "1")
    assert "Traceback" in cli("log", store)[2]


def test_the_log_of_a_fresh_store_binds_its_records(store: Path) -> None:
    assert [e["type"] for e in log_of(store, check=True)["entries"]] == ["MANIFEST"]


def test_a_misspelt_learner_is_said_before_the_table_is_read(cli: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"a,b\n1,2,3\n")
    failed(cli(*train(tmp_path / "t.csv", tmp_path / "s"), "--learner", "forrest"), errors.UnknownName)
    failed(cli(*train(tmp_path / "t.csv", tmp_path / "s"), "--param", "leaves=3"), errors.BadInput)
    failed(cli(*train(tmp_path / "t.csv", tmp_path / "s")), errors.BadData)


def test_a_number_for_a_classifier_names_the_learner_for_numbers(cli: Run, table: Path, tmp_path: Path) -> None:
    found = cli(*train(table, tmp_path / "s"), "--target", "age", "--number", "--learner", "bayes")
    failed(found, errors.BadTarget)
    assert "forest" in found[2]
    assert "--number" in found[2]
