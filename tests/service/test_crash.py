"""Stopped anywhere (kill -9, Ctrl-C, a full disk), a request is either not done or done, and can be resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from expunge.service.failpoints import FAILPOINTS
from service.crash import POINTS
from service.world import build

HERE = Path(__file__).parent
CODES = {"kill": (-9, None), "interrupt": (130, "interrupted"), "full": (45, "store-full")}
SWAPPED = FAILPOINTS.index("forget.swapped")


@pytest.mark.parametrize("how", list(CODES))
def test_every_stop_leaves_a_whole_store_and_can_be_resumed(tmp_path: Path, how: str) -> None:
    build(tmp_path / "store")
    done = subprocess.run(
        [sys.executable, str(HERE / "crash.py"), str(tmp_path / "store"), str(tmp_path), how],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [f["point"] for f in found] == list(POINTS[how])
    for f in found:
        number = FAILPOINTS.index(f["point"])
        code, error = CODES[how]
        assert f["code"] == code, f"{f['point']} was not reached, or not stopped as it should be: {f}"
        assert (f["told"] or {}).get("error") == error, f
        looked, finished = f["seen"]
        assert f["end"] == 0, f
        assert looked["whole"], f
        assert looked["person"] == (number < SWAPPED), f
        if f["point"] not in ("forget.asked", "forget.closed"):
            assert looked["state"] == ("open" if number < SWAPPED else "published"), f
        assert finished == {
            "traces": {},
            "log": ["MANIFEST", "MANIFEST", "CERT"],
            "reports": 2,
            "objects": True,
            "left": [],
            "unfinished": False,
            "person": False,
            "whole": True,
            "again": True,
        }, f
