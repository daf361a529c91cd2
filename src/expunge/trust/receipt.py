"""The receipt file: signed statement, log entry, and the proof that the log holds it; and how one is made.

Making one is split for crash safety: `prepare` signs and fixes the log entry, the caller stores the result,
`complete` appends the entry (once, however often it is called) and joins the proof.

Source: spec T13.
"""

from __future__ import annotations

import secrets
from typing import Literal

from expunge.core.canonical import b64, sha256, unb64
from expunge.core.errors import ClaimRefuted
from expunge.core.record import Record
from expunge.trust.claims import check_statement
from expunge.trust.envelope import PAYLOAD_TYPE, Envelope, pae, seal
from expunge.trust.fields import Hex32
from expunge.trust.keys import SigningKey
from expunge.trust.leaf import LeafType, body_commitment, body_leaf
from expunge.trust.log import FileLog
from expunge.trust.manifest import MapProof
from expunge.trust.predicate import Unlearning
from expunge.trust.statement import Statement, read_statement

MapName = Literal["d_after", "u_after"]


class LeafPart(Record):
    """The log entry of a receipt and the nonce that opens its commitment (both base64)."""

    entry: str
    nonce: str


class ManifestLeaf(Record):
    """A MANIFEST entry (base64) and its own log proof."""

    entry: str
    proof: str


class MapAnswer(Record):
    """What one of the two maps says of one key.

    Attributes:
        map: which root of the statement: ``d_after`` or ``u_after``.
        key: the pseudonym asked for.
        value: its commitment when the map holds it; None when it is absent.
        proof: the proof.
    """

    map: MapName
    key: Hex32
    value: Hex32 | None = None
    proof: MapProof


class Attachments(Record):
    """What a receipt may carry besides: map answers (base64 of exact JSON bytes), manifest leaf, time stamp."""

    absence: tuple[str, ...] = ()
    manifest_leaf: ManifestLeaf | None = None
    rfc3161: str | None = None


class Receipt(Record):
    """A receipt file."""

    type: Literal["expunge-receipt/v1"]
    envelope: Envelope
    leaf: LeafPart
    proof: str
    attachments: Attachments | None = None


class Prepared(Record):
    """A signed statement that waits for its place in the log; JSON-able, to be stored before the append."""

    envelope: Envelope
    leaf: LeafPart
    absence: tuple[str, ...] = ()


def attach(answer: MapAnswer) -> tuple[str, str]:
    """Return a map answer as an attachment, and the digest that ``data.absence_digests`` must hold."""
    data = answer.canonical()
    return b64(data), sha256(data).hex()


def prepare(
    said: Statement, issuer: SigningKey, ref: str, seq: int, t: int, *, absence: tuple[str, ...] = ()
) -> Prepared:
    """Sign a statement and fix its log entry, with a fresh nonce.

    Args:
        said: the statement.
        issuer: the issuer's key; the statement names it.
        ref: reference of the case; the statement names it.
        seq: number of this leaf within the reference.
        t: POSIX seconds; floored to a minute in the log.
        absence: attachments from `attach`, whose digests the statement names.

    Raises:
        ClaimRefuted: the statement claims more than it supports, or names another issuer, case or attachment.
    """
    check_statement(said)
    predicate = said.predicate
    if predicate.issuer.key != issuer.vkey or predicate.request.ref != ref:
        raise ClaimRefuted("the statement names another issuer or case")
    digests = predicate.data.absence_digests if isinstance(predicate, Unlearning) else ()
    if tuple(sha256(unb64(a)).hex() for a in absence) != digests:
        raise ClaimRefuted("the statement names other attachments")
    payload = said.canonical()
    read_statement(payload)
    nonce = secrets.token_bytes(32)
    kind: LeafType = "CERT" if isinstance(predicate, Unlearning) else "DECISION"
    entry = body_leaf(kind, ref, seq, t, body_commitment(nonce, pae(PAYLOAD_TYPE, payload)))
    return Prepared(
        envelope=seal(payload, issuer),
        leaf=LeafPart(entry=b64(entry), nonce=b64(nonce)),
        absence=absence,
    )


def complete(prepared: Prepared, log: FileLog, *, manifest_index: int | None = None) -> bytes:
    """Put the entry into the log, once, and return the receipt file's bytes.

    Args:
        prepared: from `prepare`, perhaps read back after a crash.
        log: the log.
        manifest_index: index of the MANIFEST leaf that announced the roots, to be attached with its proof.
    """
    index = log.ensure(unb64(prepared.leaf.entry))
    manifest = None
    if manifest_index is not None:
        manifest = ManifestLeaf(entry=b64(log.entry(manifest_index)), proof=log.proof(manifest_index))
    extras = None
    if prepared.absence or manifest is not None:
        extras = Attachments(absence=prepared.absence, manifest_leaf=manifest)
    return Receipt(
        type="expunge-receipt/v1",
        envelope=prepared.envelope,
        leaf=prepared.leaf,
        proof=log.proof(index),
        attachments=extras,
    ).canonical()


def issue(said: Statement, issuer: SigningKey, log: FileLog, ref: str, seq: int, t: int) -> bytes:
    """Sign a statement, log it and return the receipt file's bytes (`prepare`, then `complete`)."""
    return complete(prepare(said, issuer, ref, seq, t), log)
