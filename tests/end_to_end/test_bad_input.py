"""Requests and tables that cannot be served are refused in one sentence, and nothing of the store changes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from expunge.cli.main import run
from expunge.core import errors
from expunge.service.failpoints import VARIABLE
from expunge.service.store import Store

N = 60
LEARNERS = {
    "forest": ("--param", "n_trees=5", "--param", "trees_per_owner=2"),
    "boosting": ("--param", "rounds=5"),
    "ridge": ("--number",),
    "bayes": (),
    "item-neighbours": ("--kind", "item=category", "--subject", "user"),
    "clusters": (),
    "sharded": (),
}
CLASSIFIERS = ("forest", "boosting", "bayes", "sharded")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
Call = Callable[..., tuple[int, str, str]]


def table(learner: str) -> pd.DataFrame:
    """Return a small table: rows 10 and 11 are the same but for their id, and row 7 is the only one of its class."""
    draw = np.random.default_rng(2)
    frame = pd.DataFrame({"id": [f"r{i}" for i in range(N)]})
    if learner == "item-neighbours":
        return frame.assign(user=[f"u{i // 4}" for i in range(N)], item=draw.integers(0, 9, N))
    frame = frame.assign(age=draw.integers(18, 90, N), bmi=draw.normal(27, 4, N).round(2))
    frame["city"] = draw.choice(["Delft", "Ghent", "Turin"], N)
    frame["sick"] = np.where(frame.age + draw.normal(0, 15, N) > 55, "yes", "no")
    frame.loc[7, "sick"] = "rare"
    frame.loc[11, frame.columns[1:]] = frame.loc[10, frame.columns[1:]].to_numpy()
    frame = frame.astype({"age": int, "bmi": float})
    if learner == "ridge":
        return frame.assign(sick=frame.age * 10.5)
    return frame if learner in CLASSIFIERS else frame.drop(columns="sick")


def training(learner: str, source: Path, place: Path) -> list[object]:
    target = ["--target", "sick"] if learner in (*CLASSIFIERS, "ridge") else []
    return ["train", source, place, *target, "--id", "id", "--learner", learner, "--holdout", 0, *LEARNERS[learner]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def calling(*arguments: object) -> tuple[int, str, str]:
        code = run([str(a) for a in arguments])
        out = capsys.readouterr()
        return code, out.out, out.err

    return calling


def bytes_of(store: Path) -> dict[str, bytes]:
    """Return the bytes of a store's files, the database's beside its rows: opening it may tidy its journal."""
    with Store.open(store) as opened:
        rows = repr((opened.database.versions("active", "staged", "sealed"), opened.database.cases()))
    found = {str(p): p.read_bytes() for p in store.rglob("*") if p.is_file() and "sqlite" not in p.name}
    return found | {"rows": rows.encode()}


def refused(found: tuple[int, str, str], kind: type[errors.ExpungeError]) -> None:
    code, out, err = found
    assert code == kind.exit_code, err
    assert out == ""
    assert f"error[{kind.code}]:" in err
    assert "\nhint: " in err


@pytest.mark.parametrize("learner", LEARNERS)
def test_requests_that_cannot_be_served_change_nothing(call: Call, tmp_path: Path, learner: str) -> None:
    store, ids = tmp_path / "store", tmp_path / "ids"
    table(learner).to_csv(tmp_path / "t.csv", index=False)
    assert call(*training(learner, tmp_path / "t.csv", store))[0] == 0
    forget = ("forget", store, "--records", ids, "--shadows", 0)
    ids.write_text("r3\nr3\n")  # said twice, forgotten once
    code, out, err = call(*forget, "--json")
    assert code == 0, err
    assert json.loads(out)["n_forgotten"] == 1
    assert json.loads(out)["equals_retrained"] is True

    before = bytes_of(store)
    refused(call(*forget), errors.UnknownRecord)  # once more
    ids.write_text("r5\nnobody\n")
    refused(call(*forget), errors.UnknownRecord)
    refused(call("forget", store, "--subject", "nobody"), errors.UnknownSubject)
    ids.write_text("\n".join(i for i in table(learner).id if i != "r3"))
    refused(call(*forget, "--approve"), errors.NothingLeft)
    ids.write_text("r10\n")
    refused(call(*forget, "--deadline", 1e-12), errors.NoPlan)
    if learner in CLASSIFIERS:
        ids.write_text("r7\n")
        refused(call(*forget), errors.ClassVanished)
        refused(call(*forget, "--dry-run"), errors.ClassVanished)
    ids.write_text("r10\n")
    assert call(*forget, "--dry-run")[0] == 0
    assert bytes_of(store) == before, "neither a refusal nor a dry run changes a byte"

    code, out, err = call(*forget, "--json")  # one of two equal rows
    assert code == 0, err
    assert json.loads(out)["equals_retrained"] is True
    with Store.open(store) as opened:
        assert {"r10", "r11"} & opened.deployment().data.id_set == {"r11"}


@pytest.mark.parametrize("learner", ["forest", "ridge", "clusters"])
def test_tables_that_cannot_be_learnt_leave_nothing(call: Call, tmp_path: Path, learner: str) -> None:
    source, store = tmp_path / "t.csv", tmp_path / "store"
    frame = table(learner)
    frame.assign(bmi=np.inf).to_csv(source, index=False)
    refused(call(*training(learner, source, store)), errors.BadData)
    frame.to_csv(source, index=False)
    for lie in ("age=0:30", "age=30:nan", "age=90:18", "city=0:1", "nobody=0:1"):
        refused(call(*training(learner, source, store), "--range", lie), errors.BadData)
    assert not store.exists()


@pytest.mark.parametrize("learner", ["forest", "ridge"])
def test_questions_that_are_unlike_the_training_data(call: Call, tmp_path: Path, learner: str) -> None:
    store, asked = tmp_path / "store", tmp_path / "q.csv"
    table(learner).to_csv(tmp_path / "t.csv", index=False)
    assert call(*training(learner, tmp_path / "t.csv", store))[0] == 0
    rows = table(learner).head(3).drop(columns="sick")

    def predicted(frame: pd.DataFrame) -> tuple[int, str, str]:
        frame.to_csv(asked, index=False)
        return call("predict", store, asked)

    refused(predicted(rows.drop(columns="age")), errors.MissingColumn)
    refused(predicted(rows.assign(bmi=np.inf)), errors.BadData)
    refused(predicted(rows.assign(age="old")), errors.BadData)
    refused(predicted(rows.head(0)), errors.BadData)
    asked.write_bytes(b'\x00\xff,"')
    refused(call("predict", store, asked), errors.BadData)
    for odd, note in ((rows.assign(city="Mars"), "never seen"), (rows.assign(bmi=np.nan), "no value at all")):
        code, out, err = predicted(odd)
        assert (code, len(out.splitlines())) == (0, 4)
        assert note in err


def test_a_model_without_predictions_says_where_to_ask_it(call: Call, tmp_path: Path) -> None:
    source = tmp_path / "t.csv"
    table("clusters").to_csv(source, index=False)
    assert call(*training("clusters", source, tmp_path / "store"))[0] == 0
    found = call("predict", tmp_path / "store", source)
    refused(found, errors.BadInput)
    assert "Python" in found[2]


@pytest.mark.parametrize("option", ["--deadline", "--pace", "--keep-before"])
@pytest.mark.parametrize("value", ["nan", "inf", "-1", "soon"])
def test_durations_that_are_none(call: Call, tmp_path: Path, option: str, value: str) -> None:
    code, _, err = call("forget", tmp_path, "--subject", "ann", option, value)
    assert code == 2
    assert f"{value!r} is not a finite number" in err


@pytest.mark.parametrize("point", ["forget.staged", "forget.attest-saved", "forget.swapped"])
def test_a_batch_that_is_killed_is_whole_and_goes_on(call: Call, tmp_path: Path, point: str) -> None:
    store, ids = tmp_path / "store", tmp_path / "ids"
    table("forest").to_csv(tmp_path / "t.csv", index=False)
    assert call(*training("forest", tmp_path / "t.csv", store))[0] == 0
    ids.write_text("r1\nr2\nr4\n")
    command = [sys.executable, "-m", "expunge.cli", "forget", str(store), "--records", str(ids), "--shadows", "0"]
    command += ["--approve"]
    done = subprocess.run(command, capture_output=True, check=False, env={**ENVIRONMENT, VARIABLE: point}, timeout=120)
    assert done.returncode == -9
    with Store.open(store) as opened:
        deployment = opened.deployment()
    gone = {"r1", "r2", "r4"} - deployment.data.id_set
    assert gone in (set(), {"r1", "r2", "r4"}), "all of a batch or nothing of it"
    assert bool(gone) == (point == "forget.swapped")
    assert deployment.model.digest() == deployment.learner.fit(deployment.data, deployment.key).digest()
    assert "waits" in call("predict", store, tmp_path / "t.csv")[2]
    code, out, err = call("forget", store, "--resume", "--json")
    assert code == 0, err
    assert json.loads(out)["n_forgotten"] == 3
    assert call("replay", store)[0] == 0
