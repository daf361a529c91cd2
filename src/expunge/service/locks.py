"""The lock of a store: one writer or many readers, held by the process and gone with it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from expunge.core.errors import StoreBusy, StoreFull


class StoreLock:
    """A lock on a file (flock): it vanishes with the process, so a crash leaves no stale lock."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle

    @classmethod
    def take(cls, path: Path, *, write: bool) -> StoreLock:
        """Take the lock now or not at all.

        Raises:
            StoreBusy: another process holds it; its number is in the message.
            StoreFull: the lock file may not be written.
        """
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreFull(f"cannot open the lock of the store: {error.strerror}") from error
        lock = cls(path, handle)
        try:
            lock.change(write=write)
        except StoreBusy:
            os.close(handle)
            raise
        return lock

    def change(self, *, write: bool) -> None:
        """Turn a reader's lock into a writer's or back.

        Raises:
            StoreBusy: another process is in the way; the old lock is then lost to nobody but may have to be retaken.
        """
        try:
            fcntl.flock(self._handle, (fcntl.LOCK_EX if write else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = _holder(self._handle)
            who = f"process {holder}" if holder else "another process"
            raise StoreBusy(f"{who} uses the store {self.path.parent.name}", pid=holder) from error

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._handle)


def _holder(handle: int) -> int | None:
    """Return the number of a process that holds the lock, where the system tells (Linux: /proc/locks)."""
    found = os.fstat(handle)
    wanted = f":{found.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if "->" not in fields and len(fields) > 5 and fields[1] == "FLOCK" and fields[5].endswith(wanted):
            return int(fields[4])
    return None
