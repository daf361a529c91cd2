"""Importing is quick, needs no heavy library, and does nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from house.source import OPTIONAL, modules, python

HEAVY = ["torch", "sklearn", "pandas", "numba", "scipy", "fastapi", "matplotlib", "joblib", "pyarrow"]
LEARNING = [*HEAVY, "sqlalchemy", "safetensors"]

LOADED = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
print(json.dumps(sorted(set(json.loads(sys.argv[2])) & set(sys.modules))))
"""

WATCH = """
import json, os, sys
allowed, names, optional = json.loads(sys.argv[1]), json.loads(sys.argv[2]), set(json.loads(sys.argv[3]))
seen = []

def writes(arguments):
    mode, flags = arguments[1], arguments[2] or 0
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))

FILES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "shutil.rmtree"}
OTHER = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system"}

def hook(event, arguments):
    if event in OTHER:
        seen.append([event, repr(arguments)])
    elif event in FILES or (event == "open" and writes(arguments)):
        path = arguments[0]
        path = os.path.abspath(os.fsdecode(path)) if isinstance(path, (str, bytes, os.PathLike)) else str(path)
        if path != os.devnull and not any(path == a or path.startswith(a + os.sep) for a in allowed):
            seen.append([event, path])

sys.addaudithook(hook)
import importlib
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in optional:
            raise
    if seen:
        print(json.dumps([name, seen]))
        break
"""


def loaded(names: list[str], libraries: list[str]) -> list[str]:
    """Return which libraries are loaded once the modules are imported in a fresh interpreter."""
    done = python(LOADED, json.dumps(names), json.dumps(libraries))
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout.splitlines()[-1]))


def watched(names: list[str], tmp_path: Path) -> str:
    """Import the modules in a fresh home under an audit hook; return what was written or called, "" if nothing."""
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    done = python(
        WATCH,
        json.dumps([str(kernels)]),
        json.dumps(names),
        json.dumps(sorted(OPTIONAL)),
        cwd=home,
        HOME=str(home),
        # the compiler's own cache may be made ready when a kernel is declared; nothing else may be written
        NUMBA_CACHE_DIR=str(kernels),
        MPLCONFIGDIR=str(home / "matplotlib"),
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def importable() -> list[str]:
    """Return the names of all modules that are there to be imported."""
    return [m.name for m in modules() if not m.name.endswith("__main__")]


def test_import_expunge_loads_nothing_heavy() -> None:
    assert loaded(["expunge"], HEAVY) == []


@pytest.mark.parametrize("floor", ["core", "trust"])
def test_the_ground_needs_no_learning_library(floor: str) -> None:
    names = [m.name for m in modules() if m.folder == floor]
    assert names
    assert loaded(names, LEARNING) == []


def test_the_command_line_starts_without_learning_libraries() -> None:
    names = [m.name for m in modules() if m.folder == "cli"]
    if not names:
        pytest.skip("there is no cli folder yet")
    assert loaded(names, HEAVY) == []


def test_importing_writes_nothing_and_calls_nobody(tmp_path: Path) -> None:
    assert watched(importable(), tmp_path) == ""


@pytest.mark.parametrize("harm", ["open('left', 'w')", "os.mkdir('left')", "socket.socket().connect(('127.0.0.1', 9))"])
def test_the_watch_sees_harm(harm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "bad"
    folder.mkdir()
    (folder / "harmful.py").write_text(f"import os, socket\ntry:\n    {harm}\nexcept OSError:\n    pass\n")
    monkeypatch.setattr("house.source.SRC", folder)
    assert "harmful" in watched(["harmful"], tmp_path)
