"""The benchmark suite tells the truth: void rows stay out, ratios are of one run, what is missing has its reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
if str(ROOT) not in sys.path:
    sys.path.append(str(ROOT))

from benchmarks.exact import data, goals, ours, ratios, steps, suite, table  # noqa: E402


def run(peer, seed=0, variant="forest", scene="synth100k", folder="", series="peers", **told):
    folder = folder or ("ours" if peer == "expunge" else peer.lower())
    about = {"peer": peer, "variant": variant, "scene": scene, "seed": seed, "series": series, "folder": folder}
    return {**about, "n": 100, "d": 3, "version": "1", "steps": {k.replace("_", " "): v for k, v in told.items()}}


OURS = {"fit": {"cpu_s": 2.0}, "single": {"single_ms": {"n": 10, "mean": 1.0, "median": 0.5}}}


def test_a_ratio_is_taken_seed_by_seed():
    theirs = [run("LightGBM", s, "boosting", fit={"cpu_s": 10.0 + s}) for s in range(3)]
    mine = [run("expunge", s, scratch={"identical": True}, fit={"cpu_s": 1.0 + s}) for s in range(4)]
    found = ratios.ratio({r["seed"]: r for r in theirs}, {r["seed"]: r for r in mine}, ratios.cpu("fit"))
    assert found.values == (10.0, 5.5, 4.0)
    assert found.text() == "5.5× (4.0–10.0)"


@pytest.mark.parametrize("scratch", [{"identical": False}, {}, None])
def test_a_run_without_equal_bits_is_void(scratch):
    told = OURS if scratch is None else {**OURS, "scratch": scratch}
    mine = {0: run("expunge", **told)}
    found = ratios.ratio({0: run("dare-rf", fit={"cpu_s": 9.0})}, mine, ratios.cpu("fit"))
    assert found.middle is None
    assert "void" in found.text()
    assert "**void**" in "\n".join(table.scene_table(list(mine.values()), "synth100k"))


def test_what_was_put_off_counts():
    lazy = run("DynFrs", single={"single_ms": {"n": 10, "mean": 1.0, "median": 1.0}, "deferred_cpu_s": 0.02})
    assert ratios.single()(lazy) == pytest.approx(3e-3)
    assert ratios.single(deferred=False)(lazy) == pytest.approx(1e-3)
    served = run("expunge", single={"single_ms": {"n": 1, "mean": 1.0}, "served_ms": {"n": 1, "mean": 4.0}})
    assert ratios.single()(served) == pytest.approx(4e-3)


def test_the_competitor_is_the_fastest_booster_of_each_repetition():
    runs = [
        run("LightGBM", 0, "boosting", retrain={"cpu_s": 2.0}),
        run("hessboost", 0, "boosting", retrain={"cpu_s": 1.0}),
        run("LightGBM", 1, "boosting", retrain={"cpu_s": 2.0}),
    ]
    found = ratios.fastest(runs, "synth100k", "retrain")
    assert {s: r["peer"] for s, r in found.items()} == {0: "hessboost", 1: "LightGBM"}


def test_goals_that_are_not_measured_say_why():
    runs = [run("dare_rf", variant="depth 10, k 25", **{"left out": {"why": "it is not built"}})]
    runs.append(run("expunge", scratch={"identical": True}, **OURS))
    found = {g.what: g for g in goals.goals(runs)}
    assert found["one deletion, mean"].verdict in ("not measured", "missed")
    assert any("it is not built" in g.found.text() for g in goals.goals(runs))
    assert all(g.verdict == "not measured" for g in goals.goals([]))


def test_the_area_under_the_curve_counts_ties_one_half():
    y, score = np.array([0, 1, 1, 0, 1, 0]), np.array([0.1, 0.9, 0.5, 0.5, 0.8, 0.2])
    wins = [(1.0 if a > b else 0.5 if a == b else 0.0) for a in score[y == 1] for b in score[y == 0]]
    assert steps.auc(y, score) == pytest.approx(np.mean(wins))


def test_batches_are_numbers_and_shares():
    assert steps.sizes("100,1000,10%", 5000) == [("100", 100), ("1000", 1000), ("10%", 500)]
    assert steps.sizes("100,10%", 150) == [("10%", 15)]


@pytest.fixture
def scene(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CACHE", tmp_path)
    draw = np.random.default_rng(0)
    X = draw.normal(size=(300, 4)).astype(np.float32)
    y = (X[:, 0] + draw.normal(size=300) / 2 > 0).astype(np.int8)
    monkeypatch.setitem(data.SCENES, "tiny", lambda: {"X": X[:200], "y": y[:200], "Xt": X[200:], "yt": y[200:]})
    return data.scene("tiny")


def test_our_runner_tells_every_step_and_compares_with_a_scratch_fit(scene, capsys, monkeypatch):
    words = ["ours", str(scene), "--singles", "5", "--batches", "20,10%"]
    monkeypatch.setattr(sys, "argv", words)
    assert ours.main() == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["step"] for line in lines] == ["fit", "single", "batch 20", "batch 10%", "after", "scratch", "done"]
    assert lines[-2]["identical"] is True
    assert lines[1]["single_ms"]["n"] == 5
    assert {line["scene"] for line in lines} == {"tiny"}


def test_a_learner_that_is_not_there_is_left_out_with_the_reason(scene, capsys, monkeypatch):
    monkeypatch.setitem(ours.VARIANTS, "nothing", ours.Variant("no-such-learner"))
    monkeypatch.setattr(sys, "argv", ["ours", str(scene), "--variant", "nothing"])
    assert ours.main() == 3
    assert "no-such-learner" in json.loads(capsys.readouterr().out)["why"]


def test_runs_are_resumed_and_peers_that_are_missing_are_left_out(scene, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "PEERS", tmp_path / "peers")
    folder = tmp_path / "runs"
    folder.mkdir()
    absent = suite.Job("tiny", "dare_rf", "depth 10, k 25")
    assert "not built" in suite.run(absent, 0, 1.0, folder)
    assert suite.run(absent, 0, 1.0, folder) == "done before"
    nowhere = suite.Job("cardio", "lightgbm", "boosting")
    monkeypatch.setattr(data, "SOURCES", "")
    assert "left out" in suite.run(nowhere, 0, 1.0, folder)
    found = suite.collect(folder, 1.0)["runs"]
    assert {(r["scene"], r["folder"], r["seed"]) for r in found} == {("tiny", "dare_rf", 0), ("cardio", "lightgbm", 0)}
    suite._forget_failures(folder)
    assert not list(folder.iterdir())


def test_counted_signatures_become_a_test():
    told = {"config": "k 1", "forgotten": {"a": 300, "b": 100}, "scratch": {"a": 100, "b": 300}}
    found = suite._law(told)
    assert found["df"] == 1
    assert found["p_value"] < 1e-15
    assert found["distance"][1] > 0.3
    rows = table.law_table([run("dare-rf", scene="law") | {"steps": {"law": [found]}}])
    assert "< 1e-15" in rows[-1]


def test_the_plan_names_every_run_once():
    names = [job.name(0) for job in suite.jobs()]
    assert len(names) == len(set(names))
    planned = {job.peer for job in suite.jobs()} - {"ours"}
    there = {p.name for p in (suite.HERE / "peers").iterdir() if (p / "run.py").exists()}
    assert planned <= there
    assert there - planned <= {"hedgecut"}  # it runs on the set that comes with its sources


def test_the_page_says_when_nothing_was_run(monkeypatch, tmp_path):
    monkeypatch.setattr(suite, "RESULTS", tmp_path / "none.json")
    assert table.NOT_RUN in table.comparison()
    assert table.NOT_RUN in table.sections()
