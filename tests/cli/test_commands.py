"""Every command does what its help says: on stdout the result, on stderr the rest, with --json one object."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from service.world import PERSON, clinic, plant_tally, traces

from expunge.cli.main import COMMANDS, run
from expunge.core.archive import unpack_dataset
from expunge.service.store import Store

Run = Callable[..., str]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command line that must succeed; return its stdout."""
    plant_tally()

    def call(*arguments: object) -> str:
        code = run([str(a) for a in arguments])
        out = capsys.readouterr()
        assert code == 0, out.err
        return out.out

    return call


@pytest.fixture
def store(tmp_path: Path, cli: Run) -> Path:
    clinic().to_csv(tmp_path / "people.csv", index=False)
    columns = ("--target", "ill", "--subject", "email", "--id", "visit")
    cli("train", tmp_path / "people.csv", tmp_path / "store", *columns, "--learner", "tally", "--holdout", 0.25)
    return tmp_path / "store"


def test_the_main_job(cli: Run, store: Path, tmp_path: Path) -> None:
    plan = json.loads(cli("forget", store, "--subject", PERSON, "--dry-run", "--json"))
    assert plan["plan"]["unlearner"] == "native"
    assert "Nothing was changed." in cli("forget", store, "--subject", PERSON, "--dry-run")
    facts = json.loads(cli("forget", store, "--subject", PERSON, "--shadows", 8, "--json"))
    assert facts["equals_retrained"] is True
    assert traces(store) == {}
    verified = json.loads(cli("verify", facts["receipt"], "--trust", store / "trust.json", "--json"))
    assert verified["ref"] == facts["ref"]
    assert "trust root" not in " ".join(verified["warnings"])
    assert "vouches for itself" in " ".join(json.loads(cli("verify", facts["receipt"], "--json"))["warnings"])
    out = cli("report", store, "--out", tmp_path / "page.html")
    assert "likeness.equal@after" in out
    page = (tmp_path / "page.html").read_text()
    assert "<svg" in page
    assert "<script" not in page
    report = json.loads(cli("report", store, facts["ref"], "--json"))
    assert report["report"]["digests"]["after"] == facts["after"]
    log = json.loads(cli("log", store, "--check", "--entries", "--json"))
    assert [e["type"] for e in log["entries"]] == ["MANIFEST", "MANIFEST", "CERT"]
    (tmp_path / "checkpoint.json").write_text(json.dumps(log))
    assert json.loads(cli("log", store, "--since", tmp_path / "checkpoint.json", "--json"))["checked_against"] == 1
    assert "No version is kept sealed." in cli("seals", store)


def test_plans_for_several_people_change_nothing_and_learn_from_what_happened(
    cli: Run, store: Path, tmp_path: Path
) -> None:
    waiting = tmp_path / "waiting.txt"
    people = [f"person{i}@example.org" for i in range(12)]
    waiting.write_text("\n\n".join(people))
    before = {p: p.read_bytes() for p in store.rglob("*") if p.is_file() and "sqlite" not in p.name}
    told = json.loads(cli("plan", store, waiting, "--json"))
    assert set(told["plans"]) == set(people)
    one, two, *_ = (name for name, p in told["plans"].items() if p["prediction"]["seconds"] > 0)  # trained on
    assert told["batch"]["together_s"] is not None
    assert "Nothing was changed." in cli("plan", store, waiting)
    assert before == {p: p.read_bytes() for p in store.rglob("*") if p.is_file() and "sqlite" not in p.name}
    cli("forget", store, "--subject", one, "--shadows", 0, "--pace", 0.01)
    lessons = json.loads((store / "lessons.json").read_text())
    assert list(lessons) == ["native/1"]
    assert len(lessons["native/1"]["recent"]) == 1
    waiting.write_text(two)
    after = json.loads(cli("plan", store, waiting, "--json"))
    first, second = (p["plans"][two]["prediction"]["seconds"] for p in (told, after))
    assert second != first
    (store / "lessons.json").write_text("not json")
    cli("plan", store, waiting)
    waiting.write_text(" \n")
    assert run(["plan", str(store), str(waiting)]) == 2


def test_an_impossible_deadline_is_refused_with_the_reasons(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ids.txt").write_text("\n".join(clinic()["visit"][:40]))  # too many to be all set aside
    code = run(["forget", str(store), "--records", str(tmp_path / "ids.txt"), "--deadline", "1e-9", "--dry-run"])
    assert code != 0
    assert "the deadline is" in capsys.readouterr().err


def test_calibration_says_what_the_machine_can_do(cli: Run, tmp_path: Path) -> None:
    found = json.loads(cli("calibrate", "--folder", tmp_path, "--json"))
    assert all(value > 0 for value in (*found["machine"].values(), *found["floors_s"].values()))
    assert not list(tmp_path.iterdir())


def test_audit_and_predict(cli: Run, store: Path, tmp_path: Path) -> None:
    found = json.loads(cli("audit", store, "--shadows", 8, "--json"))["evidence"]
    names = {e["name"] for e in found}
    assert {"utility.accuracy@now", "membership.loss_auc@now", "membership.lira_auc@now"} <= names
    assert list((store / "cache" / "shadows").iterdir())
    assert "use --shadows 64 or more" in cli("audit", store, "--shadows", 8)
    assert "--shadows 64" not in cli("audit", store, "--shadows", 0)
    clinic().drop(columns=["ill", "email"]).to_csv(tmp_path / "new.csv", index=False)
    rows = list(csv.DictReader(io.StringIO(cli("predict", store, tmp_path / "new.csv"))))
    assert len(rows) == len(clinic())
    assert all(float(r["p(no)"]) + float(r["p(yes)"]) == pytest.approx(1) for r in rows)
    assert {r["prediction"] for r in rows} <= {"yes", "no"}


def test_parquet_numbers_and_a_forest(cli: Run, tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(300, 4)).round(3), columns=list("abcd"))
    frame["who"] = np.arange(300) // 3 + 7_000_000
    frame["y"] = np.where(frame.a + draw.normal(size=300) > 0, "up", "down")
    frame.to_parquet(tmp_path / "t.parquet")
    small = ("--param", "n_trees=10", "--param", "trees_per_owner=5", "--holdout", 0)
    store = tmp_path / "s"
    told = json.loads(
        cli(
            "train",
            tmp_path / "t.parquet",
            store,
            "--target",
            "y",
            "--subject",
            "who",
            *small,
            "--holdout",
            0,
            "--json",
        )
    )
    assert "n_trees=10" in told["learner"]
    (tmp_path / "ids.txt").write_text("5\n6\n\n")
    facts = json.loads(cli("forget", store, "--records", tmp_path / "ids.txt", "--shadows", 0, "--json"))
    assert facts["equals_retrained"] is True
    facts = json.loads(cli("forget", store, "--subject", 7_000_050, "--shadows", 0, "--keep-before", 3, "--json"))
    assert facts["kept_until"] is not None
    assert [s["version"] for s in json.loads(cli("seals", store, "--json"))["seals"]] == [2]
    assert "p(up)" in cli("predict", store, tmp_path / "t.parquet")
    opened = tmp_path / "appeal"
    cli("seals", store, "--open", 2, "--out", opened)
    parts = json.loads((opened / "parts.json").read_text())
    assert 7_000_050 in unpack_dataset((opened / "objects" / parts["data"]).read_bytes()).subjects
    assert run(["seals", str(store), "--open", "9", "--out", str(tmp_path / "x")]) == 19
    assert run(["seals", str(store), "--open", "2", "--out", str(store / "x")]) == 42
    assert run(["seals", str(store), "--open", "2"]) == 2


def test_the_catalog(cli: Run) -> None:
    assert "retrain" in cli("catalog", "--role", "unlearner")
    assert {e["role"] for e in json.loads(cli("catalog", "--json"))["entries"]} >= {"learner", "probe", "screen"}


def test_every_command_teaches(cli: Run) -> None:
    assert "expunge forget STORE --subject" in cli("--help")
    for name, sentence in COMMANDS.items():
        text = cli(name, "--help")
        assert "Example" in text, name
        assert "--json" in text, name
        assert sentence.endswith("."), name


def test_verify_loads_no_learning_library_in_its_own_process(cli: Run, store: Path) -> None:
    facts = json.loads(cli("forget", store, "--subject", PERSON, "--shadows", 0, "--json"))
    line = [sys.executable, "-m", "expunge.cli", "verify", facts["receipt"], "--json"]
    done = subprocess.run(line, capture_output=True, text=True, env=ENVIRONMENT, check=True)
    assert json.loads(done.stdout)["learning_libraries_loaded"] == []


def test_a_closed_pipe_is_not_a_refutation() -> None:
    line = [sys.executable, "-m", "expunge.cli", "catalog"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()


def test_a_real_ctrl_c_while_training_leaves_nothing(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(size=(20000, 20)), columns=[f"x{j}" for j in range(20)])
    frame["y"] = np.where(draw.random(20000) < 0.5, "a", "b")
    frame["useless"] = np.nan  # said aloud just before training begins
    frame.to_csv(tmp_path / "t.csv", index=False)
    # As the installed script starts it: under -m, CPython dies of the signal (-2) where it fell within an exec.
    line = [sys.executable, "-c", "from expunge.cli.main import main; main()", "train"]
    line += [str(tmp_path / "t.csv"), str(tmp_path / "s"), "--target", "y"]
    line += ["--param", "n_trees=2000", "--param", "trees_per_owner=500"]
    process = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stderr is not None
    assert "useless" in process.stderr.readline()
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "error[interrupted]" in err
    assert [p.name for p in tmp_path.iterdir()] == ["t.csv"]


def test_predict_says_what_the_training_data_do_not_hold(
    store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = clinic().drop(columns=["ill", "email"]).assign(height=np.nan)
    frame.loc[:4, "city"] = "Lima"
    frame.loc[5:6, "city"] = "Rome"
    frame.to_csv(tmp_path / "new.csv", index=False)
    assert run(["predict", str(store), str(tmp_path / "new.csv")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == len(frame) + 1
    lines = err.splitlines()
    assert any(line.startswith("note: Column 'height': has no value at all") for line in lines)
    (city,) = (line for line in lines if "'city'" in line)
    assert "never seen in training, in " in city
    assert "'Lima'" in city
    frame.drop(columns=["age", "city"]).to_csv(tmp_path / "new.csv", index=False)
    assert run(["predict", str(store), str(tmp_path / "new.csv")]) == 15
    assert "lacks age, city," in capsys.readouterr().err


def test_declared_ranges_stand_and_lies_about_them_are_refused(
    cli: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clinic().to_csv(tmp_path / "people.csv", index=False)
    columns = ("--subject", "email", "--id", "visit", "--holdout", 0.25)
    place = tmp_path / "ranged"
    given = ("--target", "ill", "--range", "height=100:250", "--learner", "tally")
    cli("train", tmp_path / "people.csv", place, *columns, *given)
    assert Store.open(place).deployment().data.ranges == {"height": (100.0, 250.0)}
    lie = [
        str(a) for a in ("train", tmp_path / "people.csv", tmp_path / "lie", *columns, *given, "--range", "age=0:50")
    ]
    assert run(lie) == 17
    assert "outside the declared range 0 to 50" in capsys.readouterr().err
    assert not (tmp_path / "lie").exists()
    assert run([*lie[:-1], "age"]) == 2
    assert "NAME=LOW:HIGH" in capsys.readouterr().err
