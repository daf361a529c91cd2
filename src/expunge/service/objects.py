"""Content-addressed files: an object's name is the SHA-256 of its bytes, so equal parts are stored once."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from expunge.core.canonical import sha256
from expunge.core.errors import StoreDamaged
from expunge.core.files import read_file, sync_folder, write_durably


@dataclass(frozen=True)
class Objects:
    """A folder of objects.

    Attributes:
        folder: where they lie, flat.
    """

    folder: Path

    def put(self, bodies: Iterable[bytes]) -> list[str]:
        """Write objects durably and return their names; what is there already is not written again.

        Raises:
            StoreFull: no space; objects already written stay until `sweep`.
        """
        names: list[str] = []
        fresh = False
        for body in bodies:
            name = sha256(body).hex()
            names.append(name)
            path = self.folder / name
            if not path.exists():
                write_durably(path, body, 0o600, sync_parent=False)
                fresh = True
        if fresh:
            sync_folder(self.folder)
        return names

    def get(self, name: str) -> bytes:
        """Return an object's bytes.

        Raises:
            StoreDamaged: it is missing, or its bytes are not those that were stored.
        """
        body = read_file(self.folder / name)
        if sha256(body).hex() != name:
            raise StoreDamaged(f"object {name[:16]}… was altered")
        return body

    def sweep(self, keep: Set[str]) -> int:
        """Delete everything that is not to be kept, leftovers of a crash included; return how many went."""
        gone = [path for path in self.folder.iterdir() if path.name not in keep]
        for path in gone:
            delete(path)
        if gone:
            sync_folder(self.folder)
        return len(gone)


def delete(path: Path) -> None:
    """Delete a file, a link (not what it points to), or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
