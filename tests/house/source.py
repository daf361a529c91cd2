"""The source tree as the house rules see it: every module with its name, path, text and syntax tree."""

from __future__ import annotations

import ast
import functools
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src"
PACKAGE = SRC / "expunge"

OPTIONAL = frozenset(
    {
        "torch",
        "lightgbm",
        "xgboost",
        "transformers",
        "fastapi",
        "sqlalchemy",
        "uvicorn",
        "httpx",
        "flwr",
        "ray",
        "oqs",
        "usearch",
    }
)
"""Libraries of the extras: a module that needs one of them may fail to import where it is not installed."""


@dataclass(frozen=True)
class Module:
    """One file of the package."""

    name: str
    path: Path
    text: str
    tree: ast.Module

    @property
    def where(self) -> str:
        """The path as messages show it."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def folder(self) -> str:
        """The first folder below the package ("" for files at the top)."""
        parts = self.path.relative_to(PACKAGE).parts
        return parts[0] if len(parts) > 1 else ""


@functools.cache
def modules() -> tuple[Module, ...]:
    """Return every module of the package, sorted by path."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        text = path.read_text(encoding="utf-8")
        found.append(Module(name, path, text, ast.parse(text, str(path))))
    return tuple(found)


def python(code: str, *arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that sees this package; nothing of ours is imported there yet."""
    variables = {**os.environ, "PYTHONPATH": str(SRC), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        env=variables,
        cwd=cwd,
        check=False,
        timeout=300,
    )
