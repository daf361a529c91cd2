"""Signing keys in files, and the public keys that verify them (C2SP vkey strings).

Kinds: ``ed25519`` (type 0x01: log, issuer, promiser, auditor), ``cosigner`` (0x04: a witness's timestamped
Ed25519 cosignature) and ``mldsa44`` (0x06: post-quantum, where the installed cryptography library has it).

Source: spec T07, T11; C2SP signed-note and tlog-cosignature; FIPS 204.

>>> log = SigningKey.from_secret("log.example/expunge", bytes([1]) * 32)
>>> log.vkey
'log.example/expunge+5ff4e040+AYqI4910CfGV/VLbLTy6XXLKZwm/HZQSG/N0iAG0D29c'
>>> VerifyKey.parse(log.vkey).verify(log.sign(b"hello"), b"hello")
>>> SigningKey.from_secret("witness.example/w1", bytes([2]) * 32, kind="cosigner").public.key_id.hex()
'df1c0a35'
>>> SigningKey.from_secret("issuer.example/i1", bytes([3]) * 32).public.key_id.hex()
'7d08a192'
"""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from expunge.core.canonical import b64, sha256, unb64
from expunge.core.errors import KeyUnsafe, MalformedEvidence, SignatureInvalid, StoreExists, Unsupported, Unverifiable

KeyKind = Literal["ed25519", "cosigner", "mldsa44"]

TYPE_BYTE: dict[KeyKind, int] = {"ed25519": 0x01, "cosigner": 0x04, "mldsa44": 0x06}
PUBLIC_BYTES: dict[KeyKind, int] = {"ed25519": 32, "cosigner": 32, "mldsa44": 1312}
SIGNATURE_BYTES: dict[KeyKind, int] = {"ed25519": 64, "cosigner": 64, "mldsa44": 2420}


def check_name(name: str) -> str:
    """Return ``name`` if it can name a key: non-empty, no space, no ``+``, no control character.

    Raises:
        MalformedEvidence: it cannot.
    """
    if not name or "+" in name or any(c.isspace() or unicodedata.category(c) in ("Cc", "Cs") for c in name):
        raise MalformedEvidence("a key name is empty or holds a space, a plus or a control character")
    return name


def key_id(name: str, kind: KeyKind, public: bytes) -> bytes:
    """Return the four-byte key id: SHA-256(name ‖ 0x0A ‖ type ‖ public key)[:4]."""
    return sha256(name.encode(), b"\n", bytes([TYPE_BYTE[kind]]), public)[:4]


def _mldsa() -> Any:
    """Return the library's ML-DSA module.

    Raises:
        Unsupported: the installed cryptography library has none.
    """
    if find_spec("cryptography.hazmat.primitives.asymmetric.mldsa") is None:
        raise Unsupported("this version of the cryptography library has no ML-DSA; use an Ed25519 key")
    from cryptography.hazmat.primitives.asymmetric import mldsa

    return mldsa


@dataclass(frozen=True)
class VerifyKey:
    """A public key with its name: what a verifier pins.

    Attributes:
        name: who signs with it.
        kind: algorithm and use.
        public: raw public key bytes.
    """

    name: str
    kind: KeyKind
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The four-byte key id."""
        return key_id(self.name, self.kind, self.public)

    @property
    def label(self) -> str:
        """``name+hex(keyid)``: the DSSE keyid hint."""
        return f"{self.name}+{self.key_id.hex()}"

    @property
    def vkey(self) -> str:
        """``name+hex(keyid)+base64(type ‖ public key)``."""
        return f"{self.label}+{b64(bytes([TYPE_BYTE[self.kind]]) + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Read a vkey string.

        Raises:
            MalformedEvidence: it is not one, or its key id is not that of its key.
        """
        parts = vkey.split("+", 2)
        if len(parts) != 3:
            raise MalformedEvidence("a vkey is name+keyid+key")
        name, identity, body = check_name(parts[0]), parts[1], unb64(parts[2])
        kind = next((k for k, byte in TYPE_BYTE.items() if body[:1] == bytes([byte])), None)
        if kind is None or len(body) != 1 + PUBLIC_BYTES[kind]:
            raise MalformedEvidence("a vkey has an unknown type or a key of the wrong length")
        key = cls(name, kind, body[1:])
        if key.key_id.hex() != identity:
            raise MalformedEvidence("the key id of a vkey does not belong to its key")
        return key

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a raw signature.

        Raises:
            SignatureInvalid: it is not this key's signature of the message.
            Unverifiable: an ML-DSA key, and the installed library has none.
        """
        public: Any
        try:
            if self.kind == "mldsa44":
                public = _mldsa().MLDSA44PublicKey.from_public_bytes(self.public)
            else:
                public = Ed25519PublicKey.from_public_bytes(self.public)
            public.verify(signature, message)
        except (InvalidSignature, ValueError) as error:
            raise SignatureInvalid(f"the signature of {self.label} does not verify") from error
        except (Unsupported, UnsupportedAlgorithm) as error:
            raise Unverifiable("the signature is ML-DSA, which the installed library cannot check") from error


@dataclass(frozen=True)
class SigningKey:
    """A private key with its name; the secret never shows in ``repr``."""

    name: str
    kind: KeyKind
    _private: Any = field(repr=False, compare=False)

    @classmethod
    def generate(cls, name: str, *, kind: KeyKind = "ed25519") -> Self:
        """Make a fresh key.

        Raises:
            Unsupported: ``kind`` is ``mldsa44`` and the installed library has none.
        """
        check_name(name)
        if kind != "mldsa44":
            return cls(name, kind, Ed25519PrivateKey.generate())
        try:
            return cls(name, kind, _mldsa().MLDSA44PrivateKey.generate())
        except UnsupportedAlgorithm as error:
            raise Unsupported("ML-DSA is not available here; use an Ed25519 key") from error

    @classmethod
    def from_secret(cls, name: str, secret: bytes, *, kind: KeyKind = "ed25519") -> Self:
        """Build an Ed25519 key from its 32 secret bytes (vectors, tests)."""
        return cls(check_name(name), kind, Ed25519PrivateKey.from_private_bytes(secret))

    @property
    def public(self) -> VerifyKey:
        """The key that verifies what this one signs."""
        return VerifyKey(self.name, self.kind, self._private.public_key().public_bytes_raw())

    @property
    def vkey(self) -> str:
        """The public key as a vkey string."""
        return self.public.vkey

    def sign(self, message: bytes) -> bytes:
        """Return the raw signature of ``message``."""
        return bytes(self._private.sign(message))

    def save(self, path: Path, passphrase: bytes | None = None) -> None:
        """Write the key as PKCS#8 PEM, mode 0600, durably.

        Raises:
            StoreExists: there is a file already; keys are never overwritten.
        """
        lock: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
        pem = self._private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as error:
            raise StoreExists(f"there is already a key file {path.name}") from error
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())

    @classmethod
    def load(cls, path: Path, name: str, passphrase: bytes | None = None, *, kind: KeyKind | None = None) -> Self:
        """Read a key file; Ed25519 is taken as ``ed25519`` unless ``kind`` says ``cosigner``.

        Raises:
            KeyUnsafe: others may read the file, or it is missing, locked or of another kind.
        """
        check_name(name)
        try:
            private: Any = load_pem_private_key(_read_secret(path), passphrase)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise KeyUnsafe(f"the key file {path.name} cannot be unlocked or is damaged") from error
        if isinstance(private, Ed25519PrivateKey):
            found: KeyKind = "cosigner" if kind == "cosigner" else "ed25519"
        elif type(private).__name__ == "MLDSA44PrivateKey":
            found = "mldsa44"
        else:
            raise KeyUnsafe(f"the key file {path.name} holds a key of a kind that is not used here")
        if kind not in (None, found):
            raise KeyUnsafe(f"the key file {path.name} holds an {found} key, not {kind}")
        return cls(name, found, private)


def _read_secret(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if os.name == "posix" and mode & 0o077:
                raise KeyUnsafe(f"the key file {path.name} may be read by others (mode {mode:03o})")
            return file.read()
    except OSError as error:
        raise KeyUnsafe(f"the key file {path.name} cannot be read: {error.strerror}") from error
