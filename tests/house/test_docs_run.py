"""Every example in the tutorials, the how-to pages and the README runs, page by page, from top to bottom.

Blocks tagged ``python`` and ``sh`` share one fresh directory a page; Python blocks that follow each other share one
session. A block that cannot run here says why, in a comment on the line above: ``<!-- not run: reason -->``.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import pytest
from house import pages
from house.pages import Block
from house.source import ROOT, python

PAGES = [p for f in ("tutorials", "how-to") for p in sorted((pages.DOCS / f).glob("*.md"))] + [ROOT / "README.md"]

SESSION = """
import json, sys
names = {"__name__": "__main__"}
for where, line, body in json.loads(sys.argv[1]):
    exec(compile("\\n" * line + body, where, "exec"), names)
"""
"""Blocks one after the other; a failure shows the page and the line in it."""


def run_python(blocks: list[Block], folder: Path) -> tuple[int, str]:
    """Run Python blocks in one interpreter."""
    done = python(SESSION, json.dumps([(pages.name(b.page), b.line, b.body) for b in blocks]), cwd=folder)
    return done.returncode, done.stdout + done.stderr


def run_shell(block: Block, folder: Path) -> tuple[int, str]:
    """Run a shell block; it stops at the first command that fails."""
    tools = folder.parent / "tools"
    tools.mkdir(exist_ok=True)
    command = tools / "expunge"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m expunge.cli "$@"\n')
    command.chmod(0o755)
    variables = {
        **os.environ,
        "PATH": f"{tools}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT / "src"),
        "COLUMNS": "100",
    }
    # bash's -e overlooks a line that is expected to fail, and does not
    body = re.sub(r"^! (.*)$", r"if \1; then echo 'expected to fail: \1' >&2; exit 1; fi", block.body, flags=re.M)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", body],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=pages.name)
def test_examples_run(page: Path, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    running = [b for b in pages.blocks(page) if b.runs]
    for language, group in groupby(running, key=lambda b: b.language):
        blocks = list(group)
        if language == "python":
            code, output = run_python(blocks, folder)
            assert code == 0, f"{pages.name(page)}:{blocks[0].line}\n{output}"
            continue
        for block in blocks:
            code, output = run_shell(block, folder)
            assert code == 0, f"{pages.name(page)}:{block.line}\n{block.body}\n{output}"


def test_a_broken_example_is_found(tmp_path: Path) -> None:
    page = ROOT / "README.md"
    code, output = run_python([Block(page, 41, "python", "x = 1\nx.y\n")], tmp_path)
    assert code
    assert 'README.md", line 43' in output
    (tmp_path / "here").mkdir()
    assert run_shell(Block(page, 1, "sh", "false\ntrue\n"), tmp_path / "here")[0]
    assert run_shell(Block(page, 1, "sh", "! true\ntrue\n"), tmp_path / "here")[0]
    assert run_shell(Block(page, 1, "sh", "! false\ntrue\n"), tmp_path / "here") == (0, "")
