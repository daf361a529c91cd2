"""The demonstration runs: on a part of the data here, on all of it in `make demo`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expunge.cli.main import run
from expunge.service.demo import Demo


def test_the_demo_on_a_part_of_the_data(tmp_path: Path) -> None:
    demo = Demo(tmp_path / "demo", n_shadows=0, n_rows=12_000)
    headings = [heading for heading, lines in demo.steps() if lines]
    assert headings == ["Load", "Train", "A patient asks to be forgotten", "Forget", "Measure", "Verify"]
    facts = demo.facts
    assert facts["bit_identical"] is True
    assert facts["verified"] is True
    assert facts["verifier_loaded"] == []
    assert facts["forged_exit_code"] == 1
    assert facts["n_forgotten"] >= 8
    assert all(Path(path).exists() for path in facts["files"].values())
    assert json.loads(json.dumps(facts)) == facts


def test_the_demo_refuses_a_place_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("mine")
    assert run(["demo", "--out", str(tmp_path), "--fast"]) == 42
    assert "error[store-exists]" in capsys.readouterr().err
