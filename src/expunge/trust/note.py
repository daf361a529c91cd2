"""Signed notes, checkpoints and cosignatures, byte for byte as C2SP defines them.

A note is a text and signature lines; a checkpoint is a note's text that states a log's size and root; a
witness's cosignature is a signature line that also states when the witness saw the checkpoint.

Source: spec T07; C2SP signed-note, tlog-checkpoint, tlog-cosignature.

>>> from expunge.core.canonical import sha256
>>> from expunge.trust.keys import SigningKey
>>> from expunge.trust.merkle import Tree
>>> log = SigningKey.from_secret("log.example/expunge", bytes([1]) * 32)
>>> witness = SigningKey.from_secret("witness.example/w1", bytes([2]) * 32, kind="cosigner")
>>> root = Tree(f"leaf-{i}".encode() for i in range(7)).root()
>>> text = Checkpoint("log.example/expunge", 7, root).text()
>>> note = join_note(text, sign_text(text, log), cosign(text, witness, 1700000000)).encode()
>>> len(note), sha256(note).hex()
(313, '761f7296238f2dc997091b82fb8650e7bc427ece418ff5d6e22d9affc4d76a1d')
>>> [(s.key.name, s.time) for s in open_note(note, [log.public, witness.public])[1]]
[('log.example/expunge', None), ('witness.example/w1', 1700000000)]
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from expunge.core.canonical import b64, unb64
from expunge.core.errors import BadInput, MalformedEvidence, SignatureInvalid, Unverifiable
from expunge.trust.keys import SIGNATURE_BYTES, SigningKey, VerifyKey, check_name
from expunge.trust.merkle import EMPTY_ROOT, HASH_BYTES

MAX_NOTE_BYTES = 256 * 1024
MAX_SIGNATURES = 64
MAX_NUMBER = 2**63 - 1


@dataclass(frozen=True)
class Signed:
    """A signature of a note that was checked.

    Attributes:
        key: the known key that made it.
        time: POSIX seconds of a cosignature; None for a plain note signature.
    """

    key: VerifyKey
    time: int | None


@dataclass(frozen=True)
class Checkpoint:
    """What a log commits to.

    Attributes:
        origin: the log's name.
        size: number of entries.
        root: Merkle root over them (32 bytes).
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the checkpoint as a note's text."""
        return f"{self.origin}\n{self.size}\n{b64(self.root)}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read a checkpoint; extension lines are ignored.

        Raises:
            MalformedEvidence: it is not one.
        """
        lines = text.split("\n")
        if len(lines) < 4 or lines[-1] or "" in lines[:-1]:
            raise MalformedEvidence("a checkpoint has three lines: origin, size, root")
        size, root = decimal(lines[1]), unb64(lines[2])
        if len(root) != HASH_BYTES:
            raise MalformedEvidence("the root of a checkpoint is not 32 bytes long")
        if size == 0 and root != EMPTY_ROOT:
            raise MalformedEvidence("a checkpoint of size 0 has a root of entries")
        return cls(lines[0], size, root)


def decimal(text: str) -> int:
    """Read a non-negative decimal number below 2^63 in its one spelling.

    Raises:
        MalformedEvidence: it is spelt otherwise.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 19 or str(int(text)) != text:
        raise MalformedEvidence("a number is not in canonical decimal")
    if int(text) > MAX_NUMBER:
        raise MalformedEvidence("a number is out of range")
    return int(text)


def _lines(note: bytes) -> tuple[str, list[tuple[str, bytes]]]:
    """Split a note into its text and (name, key id ‖ signature) pairs."""
    if len(note) > MAX_NOTE_BYTES:
        raise MalformedEvidence("the note is too large")
    try:
        whole = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedEvidence("the note is not UTF-8") from error
    if any(c != "\n" and unicodedata.category(c) == "Cc" for c in whole):
        raise MalformedEvidence("the note holds a control character")
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n"):
        raise MalformedEvidence("the note has no signatures after an empty line")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedEvidence("the note has too many signatures")
    return text + "\n", [_signature_line(line) for line in lines]


def _signature_line(line: str) -> tuple[str, bytes]:
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—":
        raise MalformedEvidence("a signature line is malformed")
    body = unb64(parts[2])
    if len(body) < 5:
        raise MalformedEvidence("a signature line is too short")
    return check_name(parts[1]), body


def note_text(note: bytes) -> str:
    """Return the text of a note, unchecked.

    Raises:
        MalformedEvidence: it is no note.
    """
    return _lines(note)[0]


def open_note(note: bytes, keys: Iterable[VerifyKey]) -> tuple[str, tuple[Signed, ...]]:
    """Return a note's text and the signatures of known keys, all checked.

    Args:
        note: the exact bytes.
        keys: the keys that the reader trusts; signatures of others are ignored.

    Raises:
        MalformedEvidence: it is no note.
        SignatureInvalid: the signature of a known key fails.
        Unverifiable: no known key has signed.
    """
    text, lines = _lines(note)
    known = {(key.name, key.key_id): key for key in keys}
    signed = tuple(_check(known[name, body[:4]], body[4:], text) for name, body in lines if (name, body[:4]) in known)
    if not signed:
        raise Unverifiable("no known key has signed the note")
    return text, signed


def _check(key: VerifyKey, body: bytes, text: str) -> Signed:
    stamp = 0 if key.kind == "ed25519" else 8
    if len(body) != stamp + SIGNATURE_BYTES[key.kind]:
        raise SignatureInvalid(f"the signature of {key.label} has the wrong length")
    if not stamp:
        key.verify(body, text.encode())
        return Signed(key, None)
    time = int.from_bytes(body[:8], "big")
    key.verify(body[8:], _cosigned(text, key, time))
    return Signed(key, time)


def _cosigned(text: str, key: VerifyKey, time: int) -> bytes:
    """Return the bytes that a cosignature covers."""
    if key.kind == "cosigner":
        return f"cosignature/v1\ntime {time}\n{text}".encode()
    at = Checkpoint.parse(text)
    name, origin = key.name.encode(), at.origin.encode()
    if max(len(name), len(origin)) > 255:
        raise MalformedEvidence("a name is longer than 255 bytes")
    return b"".join(
        (
            b"subtree/v1\n\0",
            bytes([len(name)]) + name,
            time.to_bytes(8, "big"),
            bytes([len(origin)]) + origin,
            (0).to_bytes(8, "big"),
            at.size.to_bytes(8, "big"),
            at.root,
        )
    )


def sign_text(text: str, key: SigningKey) -> str:
    """Return the signature line of an ``ed25519`` key (type 0x01) for a note's text.

    Raises:
        BadInput: the key is a cosigner's.
    """
    if key.kind != "ed25519":
        raise BadInput("a plain note signature needs an ed25519 key; a witness uses cosign")
    return f"— {key.name} {b64(key.public.key_id + key.sign(text.encode()))}\n"


def cosign(text: str, key: SigningKey, time: int) -> str:
    """Return the cosignature line of a witness key (type 0x04 or 0x06) for a checkpoint's text.

    Raises:
        BadInput: the key is of type 0x01, or the time is negative.
    """
    if key.kind == "ed25519" or time < 0:
        raise BadInput("a cosignature needs a cosigner or mldsa44 key and a POSIX time")
    Checkpoint.parse(text)
    body = time.to_bytes(8, "big") + key.sign(_cosigned(text, key.public, time))
    return f"— {key.name} {b64(key.public.key_id + body)}\n"


def join_note(text: str, *lines: str) -> str:
    """Return the note of a text and its signature lines."""
    return f"{text}\n{''.join(lines)}"
