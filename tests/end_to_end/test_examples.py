"""Every case study runs, as a reader would run it, and says what it promises to show."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS = {"faces.py": ("orl_faces", "orl_faces.npz")}
"""Case studies over data that users bring."""
SAYS = {
    "clinic.py": ("likeness.equal@after         1 [1, 1]", "Verified: signed by", "is refused: signature-invalid"),
    "shop.py": (
        "asks to be forgotten",
        "can the shop still recommend it: no",
        "the same weights: yes",
        "Verified: signed by",
    ),
    "faces.py": (
        "finetune       8 of 8                 1 [",
        "delete         0 of 8",  # and then KNOWN_AGAIN: every run draws a key of its own
        "retrain        0 of 8                 0 [",
        "Verified: signed by",
    ),
}
KNOWN_AGAIN = re.compile(r"^delete +0 of 8 +(1|0\.[89]\d*) \[", re.MULTILINE)


def test_every_example_is_expected_to_say_something():
    assert {path.name for path in (ROOT / "examples").glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_the_example_runs(name, tmp_path, shared_folder):
    folder, *rest = NEEDS.get(name, ("",))
    given = [shared_folder(folder).joinpath(*rest)] if folder else []
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / name, *given],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in SAYS[name]:
        assert line in done.stdout
    assert name != "faces.py" or KNOWN_AGAIN.search(done.stdout)
    digests = [
        line.split()[-1]
        for line in done.stdout.splitlines()
        if line.strip().startswith(("forgotten model", "learnt, then", "never saw"))
    ]
    assert len(digests) == 2
    assert digests[0] == digests[1]
