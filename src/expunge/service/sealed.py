"""Sealed versions: a retired model kept for an appeal, encrypted, until a day; then key and file are destroyed.

Destruction happens when an expunge command next opens the store on or after that day: nothing runs in between.
The key lies in the same directory, so a seal protects against accidental use and partial copies, not against
somebody who holds the whole directory.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from expunge.core.canonical import sha256
from expunge.core.errors import StoreDamaged
from expunge.core.files import read_file, sync_folder, write_durably
from expunge.service.keyring import PRIVATE, destroy_file, read_secret

_MARK = b"\x01"


@dataclass(frozen=True)
class Seals:
    """The folder of sealed versions.

    Attributes:
        folder: one folder a version.
        keys: where the keys lie, one file a version.
    """

    folder: Path
    keys: Path

    def _key(self, version: int) -> Path:
        return self.keys / f"seal-{version}.key"

    def seal(self, version: int, bodies: Iterator[bytes]) -> None:
        """Encrypt a version (the list of its parts, then each object) under a fresh key; harmless to do again.

        Raises:
            StoreFull: no space; the version is still there unsealed.
        """
        self.destroy(version)
        folder = self.folder / str(version)
        self.folder.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700)
        key = AESGCM.generate_key(256)
        write_durably(self._key(version), key, PRIVATE)
        cipher = AESGCM(key)
        for number, body in enumerate(bodies):
            nonce = os.urandom(12)
            locked = cipher.encrypt(nonce, body, _context(version, number))
            write_durably(folder / f"{number}.bin", _MARK + nonce + locked, PRIVATE)
        sync_folder(self.folder)

    def unseal(self, version: int) -> tuple[bytes, dict[str, bytes]]:
        """Return the list of parts of a sealed version, and its objects by name.

        Raises:
            KeyUnsafe: its key is gone or may be read by others.
            StoreDamaged: a file was altered.
        """
        cipher = AESGCM(read_secret(self._key(version)))
        bodies: list[bytes] = []
        for number in range(len(list((self.folder / str(version)).glob("*.bin")))):
            data = read_file(self.folder / str(version) / f"{number}.bin")
            try:
                bodies.append(cipher.decrypt(data[1:13], data[13:], _context(version, number)))
            except InvalidTag as error:
                raise StoreDamaged(f"sealed version {version} was altered") from error
        if not bodies:
            raise StoreDamaged(f"sealed version {version} is empty")
        return bodies[0], {sha256(body).hex(): body for body in bodies[1:]}

    def destroy(self, version: int) -> None:
        """Destroy the key, then the file; harmless if there is none."""
        destroy_file(self._key(version))
        folder = self.folder / str(version)
        if folder.exists():
            shutil.rmtree(folder)
            sync_folder(self.folder)
        sync_folder(self.keys)


def _context(version: int, number: int) -> bytes:
    return f"expunge/seal/v1\n{version}\n{number}".encode()
