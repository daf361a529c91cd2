"""``Key``: all randomness of a model, drawn by names and keyed hashes, never by position or call order (spec X03, X04).

A draw for record ``i`` depends on the key and the record's id alone, so forgetting another record shifts nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import nfc, sha256
from expunge.core.errors import BadInput

U64 = npt.NDArray[np.uint64]
PUBLIC_SECRET = bytes(32)


def id_bytes(value: object) -> bytes:
    """Return the canonical bytes of a record or subject id: ``i`` + int64, or ``s`` + NFC UTF-8 (spec X03).

    Raises:
        BadInput: neither a 64-bit integer nor a string of whole characters.
    """
    if type(value) is int and -(2**63) <= value < 2**63:
        return b"i" + value.to_bytes(8, "big", signed=True)
    if isinstance(value, str):
        try:
            return b"s" + nfc(value).encode()
        except UnicodeEncodeError as error:
            raise BadInput("an id holds half a surrogate pair") from error
    if isinstance(value, int | np.integer) and not isinstance(value, bool) and -(2**63) <= value < 2**63:
        return b"i" + int(value).to_bytes(8, "big", signed=True)
    raise BadInput(f"an id must be a string or a 64-bit integer, not {type(value).__name__}")


@dataclass(frozen=True, repr=False)
class Key:
    """The secret and the seed that a model's draws come from.

    Attributes:
        secret: 32 bytes. The library's ``seed=7`` uses a public constant here, and says so (`is_public`).
        seed: what is mixed in after the secret was committed (a number, or a public beacon).
        nonce: 32 bytes that blind the commitment.

    Source: spec X03. The secret never shows in ``repr``; `commitment` does.
    """

    secret: bytes
    seed: str
    nonce: bytes = bytes(32)

    @classmethod
    def public(cls, seed: int | str) -> Key:
        """Return the key of a library seed: reproducible by anybody, hence no protection against ground ids."""
        return cls(PUBLIC_SECRET, str(seed))

    @classmethod
    def generate(cls, seed: int | str) -> Key:
        """Return a key with a fresh secret and a fresh nonce."""
        return cls(secrets.token_bytes(32), str(seed), secrets.token_bytes(32))

    @property
    def is_public(self) -> bool:
        """Whether anybody can recompute the draws."""
        return self.secret == PUBLIC_SECRET

    @property
    def commitment(self) -> bytes:
        """``SHA-256("expunge/model-key/v1\\n" ‖ nonce ‖ secret)``: binds the secret before the seed is known."""
        return sha256(b"expunge/model-key/v1\n", self.nonce, self.secret)

    @cached_property
    def bytes(self) -> bytes:
        """The 32-byte key of all draws: ``HMAC-SHA256(secret, seed)``."""
        return hmac.digest(self.secret, self.seed.encode(), "sha256")

    def child(self, name: str) -> Key:
        """Return an independent key for a named part (a shadow, a shard, an audit)."""
        return Key(self.secret, f"{self.seed}/{name}", self.nonce)

    def word(self, name: str) -> int:
        """Return 64 keyed bits for a name (a column, a category, a purpose)."""
        return int.from_bytes(
            hashlib.blake2b(name.encode(), digest_size=8, key=self.bytes, person=b"expunge/name").digest(),
            "big",
        )

    def words(self, ids: Iterable[object], person: str = "record") -> U64:
        """Return 64 keyed bits for each id.

        Args:
            ids: record ids (``person="record"``) or subject ids (``person="owner"``).
            person: the domain; at most 8 characters.

        Returns:
            Array of shape (n,), uint64.

        Cost: about 1 microsecond an id.
        """
        copy = hashlib.blake2b(digest_size=8, key=self.bytes, person=b"expunge/" + person.encode()).copy
        digests = []
        for value in ids:
            h = copy()
            h.update(id_bytes(value))
            digests.append(h.digest())
        return np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)

    def generator(self, purpose: str) -> np.random.Generator:
        """Return a numpy generator for measurements (never for a model's own draws)."""
        return np.random.Generator(np.random.PCG64(self.word(f"generator/{purpose}")))

    def __repr__(self) -> str:
        return f"Key(commitment={self.commitment.hex()[:16]}…, seed={self.seed!r})"


def unit(words: U64) -> npt.NDArray[np.float64]:
    """Map 64-bit words to [0, 1): ``(h ≫ 11)·2⁻⁵³`` (spec X04)."""
    return (words >> np.uint64(11)).astype(np.float64) * 2.0**-53
