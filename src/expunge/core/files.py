"""Files that a crash leaves old or new, never torn: temp, fsync, rename, fsync the folder."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from expunge.core.errors import StoreDamaged, StoreFull

TEMP = ".tmp"
"""How the name of a half-written file ends."""

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EPERM, errno.EFBIG)


def write_durably(path: Path, data: bytes, mode: int = 0o644, *, sync_parent: bool = True) -> None:
    """Replace a file; on return the new content survives a power cut.

    Args:
        path: the file; folders above it are made.
        data: its new content.
        mode: its rights.
        sync_parent: False where the caller syncs the folder itself, after several files.

    Raises:
        StoreFull: no space, or no right to write; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMP}")
    try:
        make_folder(path.parent)
        temporary.unlink(missing_ok=True)  # of a process that died: its rights are not those asked for now
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        if sync_parent:
            sync_folder(path.parent)
    except OSError as error:
        if error.errno in FULL:
            raise StoreFull(f"cannot write {path.name}, {len(data)} bytes: {error.strerror}") from error
        raise


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, durably."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_file(path: Path) -> bytes:
    """Read a file of the store.

    Raises:
        StoreDamaged: it is missing.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise StoreDamaged(f"{path.name} is missing") from error
