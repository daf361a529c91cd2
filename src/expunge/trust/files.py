"""Writing a file so that a crash leaves the old one or the new one, whole: temp, fsync, rename, fsync."""

from __future__ import annotations

import os
from pathlib import Path

from expunge.core.errors import StoreFull

TEMP = ".tmp"


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_directory(directory: Path) -> None:
    """Create a directory and its parents, durably."""
    if not directory.is_dir():
        make_directory(directory.parent)
        directory.mkdir(exist_ok=True)
        _sync_directory(directory.parent)


def write_durably(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data``; on return the new content survives a power cut.

    Raises:
        StoreFull: the disk is full or may not be written; the old file is untouched.
    """
    temp = path.with_name(path.name + TEMP)
    try:
        make_directory(path.parent)
        with temp.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temp.replace(path)
        _sync_directory(path.parent)
    except OSError as error:
        raise StoreFull(f"{path.name} could not be written: {error.strerror}") from error
