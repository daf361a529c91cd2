"""The store's secrets, each a file of its own, readable by its owner only."""

from __future__ import annotations

import os
import secrets
import shlex
import stat
from dataclasses import dataclass
from pathlib import Path

from expunge.core.canonical import b64, canonical_json, read_json, unb64
from expunge.core.errors import EvidenceError, KeyUnsafe
from expunge.core.files import write_durably
from expunge.core.seeds import Key
from expunge.trust.keys import SigningKey

PASSPHRASE = "EXPUNGE_PASSPHRASE"  # noqa: S105 - the name of a variable
PRIVATE = 0o600


@dataclass(frozen=True)
class Keyring:
    """The folder of keys.

    Attributes:
        folder: where the files lie.
        origin: name of the log; the issuer is named after it.
    """

    folder: Path
    origin: str

    @property
    def issuer_name(self) -> str:
        """Name of the key that signs receipts."""
        return f"{self.origin}/issuer"

    def make(self, model: Key, manifest: bytes) -> None:
        """Make fresh keys for the log and the issuer; keep the model's and the manifest's.

        The signing keys are encrypted if ``EXPUNGE_PASSPHRASE`` is set.
        """
        SigningKey.generate(self.origin).save(self.folder / "log.pem", _passphrase())
        SigningKey.generate(self.issuer_name).save(self.folder / "issuer.pem", _passphrase())
        write_durably(self.folder / "manifest.key", manifest, PRIVATE)
        fields = {"secret": b64(model.secret), "seed": model.seed, "nonce": b64(model.nonce)}
        write_durably(self.folder / "model.json", canonical_json(fields), PRIVATE)

    def log(self) -> SigningKey:
        """Return the key of the log."""
        return _load(self.folder / "log.pem", self.origin)

    def issuer(self) -> SigningKey:
        """Return the key that signs receipts."""
        return _load(self.folder / "issuer.pem", self.issuer_name)

    def check(self) -> None:
        """Refuse keys that cannot be used, before anything is begun.

        Raises:
            KeyUnsafe: a key is missing, locked, or may be read by others.
        """
        self.log()
        self.issuer()
        self.manifest()

    def manifest(self) -> bytes:
        """Return the secret that turns ids into pseudonyms."""
        return read_secret(self.folder / "manifest.key")

    def model(self) -> Key:
        """Return the key of the model's draws."""
        try:
            fields = read_json(read_secret(self.folder / "model.json"))
            return Key(unb64(fields["secret"]), fields["seed"], unb64(fields["nonce"]))
        except (EvidenceError, KeyError, TypeError) as error:
            raise KeyUnsafe("model.json does not hold a key", hint=_restore(self.folder / "model.json")) from error


def _passphrase() -> bytes | None:
    given = os.environ.get(PASSPHRASE)
    return given.encode() if given else None


def _load(path: Path, name: str) -> SigningKey:
    """Read a signing key; what is wrong with its file is answered by a hint that fits."""
    try:
        return SigningKey.load(path, name, _passphrase())
    except KeyUnsafe as error:
        raise KeyUnsafe(error.message, hint=_advice(path)) from error


def _advice(path: Path) -> str:
    """Return what to do about a signing key that cannot be used."""
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            return _lock(path)
        sealed = b"ENCRYPTED" in path.read_bytes()
    except OSError:
        return _restore(path)
    if not sealed:
        return f"Unset {PASSPHRASE}: {path.name} was made without one." if _passphrase() else _restore(path)
    return f"Set {PASSPHRASE} to the passphrase that the keys were made with."


def _lock(path: Path) -> str:
    return f"chmod 600 {shlex.quote(str(path))}, and think about who may have read it."


def _restore(path: Path) -> str:
    return f"Restore {path} from a backup, readable by its owner only (chmod 600)."


def read_secret(path: Path) -> bytes:
    """Read a key file.

    Raises:
        KeyUnsafe: it is missing, or others may read it.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise KeyUnsafe(f"the key file {path.name} may be read by others (mode {mode:03o})", hint=_lock(path))
        return path.read_bytes()
    except OSError as error:
        raise KeyUnsafe(f"the key file {path.name} cannot be read: {error.strerror}", hint=_restore(path)) from error


def destroy_file(path: Path) -> None:
    """Overwrite a small file, make that durable, and unlink it; a missing file is fine."""
    try:
        with path.open("r+b") as file:
            file.write(secrets.token_bytes(path.stat().st_size))
            file.flush()
            os.fsync(file.fileno())
    except FileNotFoundError:
        return
    path.unlink()
