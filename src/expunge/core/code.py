"""What code is: the digest of the package's source files, so that numbers can be told from those of other code."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from expunge.core.canonical import L


@cache
def code_digest() -> str:
    """Return the hex digest of the package's source files, as they are on disk."""
    root = Path(__file__).parents[1]
    h = hashlib.sha256(b"expunge/code/v1\n")
    for path in sorted(root.rglob("*.py")):
        h.update(L(path.relative_to(root).as_posix().encode()) + L(path.read_bytes()))
    return h.hexdigest()
