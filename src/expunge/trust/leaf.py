"""Leaves: what the log holds of an event: a hiding commitment to its body, or a public system fact.

Never in a leaf: identifiers, stable hashes of subjects, record content, unsalted digests of data, outcomes in
clear, volumes per subject.

Source: spec T06.

>>> from expunge.trust.envelope import PAYLOAD_TYPE, pae
>>> from expunge.trust.merkle import leaf_hash
>>> body = body_commitment(bytes(range(32)), pae(PAYLOAD_TYPE, b'{"a":1}'))
>>> body
'5f0f8fb7ff9b575b813b037216a63feb8957c53d20909091b57f076ff9de664f'
>>> entry = body_leaf("CERT", "aaaqeayeaudaocajbifqydiob4", 0, 1700000000, body)
>>> len(entry), leaf_hash(entry).hex()
(196, '9034b6d93ba47cea246762ad2798da2ee2de34e6d62da2a31c7a3e12323b73df')
>>> read_leaf(entry).t
1699999980
"""

from __future__ import annotations

import base64
import secrets
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from expunge.core.canonical import read_json, sha256
from expunge.core.errors import BadInput, MalformedEvidence
from expunge.core.record import Record
from expunge.trust.envelope import PAYLOAD_TYPE
from expunge.trust.fields import Count, Hex32, Ref, Text

MAX_BODY_LEAF_BYTES = 1 << 10
MAX_PUBLIC_LEAF_BYTES = 1 << 14
MINUTE_S = 60

LeafType = Literal[
    "REQUEST", "ACK", "VERIFY", "SCREEN", "SCOPE", "DECISION", "EXTEND", "HOLD", "FREEZE", "MANIFEST", "RUN",
    "EVAL", "SWAP", "NOTICE", "BACKUP", "CERT", "REVOKE", "DISPUTE", "KEY", "POLICY", "PULSE",
]  # fmt: skip
PUBLIC_TYPES = ("MANIFEST", "KEY", "POLICY", "PULSE")


class Leaf(Record):
    """One log entry.

    Attributes:
        v: version, 1.
        type: what happened.
        ref: random reference of the case, run or data set, or ``system``; never a capability.
        seq: 0, 1, 2… without gaps per reference.
        t: POSIX seconds, floored to a minute.
        body_type: media type of the body that is committed to.
        body: hex commitment to the body.
        public: instead of a body, a system fact in clear.
    """

    v: Annotated[int, Field(strict=True, ge=1, le=1)]
    type: LeafType
    ref: Ref
    seq: Count
    t: Annotated[int, Field(strict=True, ge=0, multiple_of=MINUTE_S)]
    body_type: Text | None = None
    body: Hex32 | None = None
    public: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_content(self) -> Leaf:
        if (self.body is None) == (self.public is None):
            raise ValueError("a leaf has either a body or a public object")
        if (self.body is None) != (self.body_type is None):
            raise ValueError("body and body_type come together")
        if self.public is not None and self.type not in PUBLIC_TYPES:
            raise ValueError(f"a leaf of type {self.type} holds a commitment, nothing in clear")
        return self


def new_ref() -> str:
    """Return a fresh random 128-bit reference: 26 lower-case base32 characters."""
    return base64.b32encode(secrets.token_bytes(16)).decode().rstrip("=").lower()


def body_commitment(nonce: bytes, encoded: bytes) -> str:
    """Return the hex commitment to a body, given its 32-byte nonce and its PAE bytes.

    Raises:
        BadInput: the nonce is not 32 bytes.
    """
    if len(nonce) != 32:
        raise BadInput("a leaf's nonce is 32 bytes")
    return sha256(b"expunge/body/v1\n", nonce, encoded).hex()


def _entry(leaf: dict[str, Any], limit: int) -> bytes:
    leaf = {"v": 1, **leaf, "t": leaf["t"] - leaf["t"] % MINUTE_S}
    entry = Leaf.from_json(leaf).canonical()
    if len(entry) > limit:
        raise MalformedEvidence(f"a leaf is longer than {limit} bytes")
    return entry


def body_leaf(type: LeafType, ref: str, seq: int, t: int, body: str) -> bytes:
    """Return the entry of an event whose body stays off the log.

    Args:
        type: what happened.
        ref: reference of the case or run.
        seq: number of the leaf within the reference.
        t: POSIX seconds; floored to a minute.
        body: from `body_commitment`.
    """
    leaf = {"type": type, "ref": ref, "seq": seq, "t": t, "body_type": PAYLOAD_TYPE, "body": body}
    return _entry(leaf, MAX_BODY_LEAF_BYTES)


def public_leaf(type: LeafType, ref: str, seq: int, t: int, public: dict[str, Any]) -> bytes:
    """Return the entry of a system fact (``MANIFEST``, ``KEY``, ``POLICY`` or ``PULSE``), in clear."""
    return _entry({"type": type, "ref": ref, "seq": seq, "t": t, "public": public}, MAX_PUBLIC_LEAF_BYTES)


def read_leaf(entry: bytes) -> Leaf:
    """Read a log entry strictly.

    Raises:
        MalformedEvidence: it is not a leaf, or too long.
    """
    leaf = Leaf.from_json(read_json(entry, MAX_PUBLIC_LEAF_BYTES))
    if leaf.body is not None and len(entry) > MAX_BODY_LEAF_BYTES:
        raise MalformedEvidence("a leaf with a commitment is longer than 1 KiB")
    return leaf
