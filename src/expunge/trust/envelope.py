"""The signed envelope around a statement: DSSE, over the exact bytes of the payload.

Source: spec T12; DSSE v1.0.2.

>>> from expunge.trust.keys import SIGNATURE_BYTES, SigningKey
>>> pae(PAYLOAD_TYPE, b'{"a":1}')
b'DSSEv1 28 application/vnd.in-toto+json 7 {"a":1}'
>>> issuer = SigningKey.from_secret("issuer.example/i1", bytes([3]) * 32)
>>> envelope = seal(b'{"a":1}', issuer)
>>> envelope.signatures[0].sig
'XGtjRxS4fm1Dpb6Z/cD56ANKAIYGkgQ7+EYZB255ycC4cwLsI+2VrOa1Csv+7DpRWiNulsqrNuM6fXczWvckDA=='
>>> payload, signers = open_envelope(envelope, [issuer.public])
>>> payload, [key.label for key in signers]
(b'{"a":1}', ['issuer.example/i1+7d08a192'])
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from expunge.core.canonical import b64, unb64
from expunge.core.errors import MalformedEvidence, SignatureInvalid, Unverifiable
from expunge.core.record import Record
from expunge.trust.keys import SIGNATURE_BYTES, SigningKey, VerifyKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_SIGNATURES = 16


class Signature(Record):
    """One signature of an envelope.

    Attributes:
        keyid: which key, as a hint; it is not covered by the signature.
        sig: base64.
    """

    keyid: str
    sig: str


class Envelope(Record):
    """A payload with its signatures.

    Attributes:
        payload: base64 of the exact bytes.
        payloadType: media type of the payload.
        signatures: one or more.
    """

    payload: str
    payloadType: str  # noqa: N815
    signatures: tuple[Signature, ...] = Field(min_length=1, max_length=MAX_SIGNATURES)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that a signature covers (DSSE pre-authentication encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, *keys: SigningKey) -> Envelope:
    """Sign a payload with each key."""
    message = pae(PAYLOAD_TYPE, payload)
    return Envelope(
        payload=b64(payload),
        payloadType=PAYLOAD_TYPE,
        signatures=tuple(Signature(keyid=k.public.label, sig=b64(k.sign(message))) for k in keys),
    )


def open_envelope(envelope: Envelope, keys: Sequence[VerifyKey]) -> tuple[bytes, tuple[VerifyKey, ...]]:
    """Return the payload and the known keys that signed it.

    Every signature is tried under every known key, because ``keyid`` is only a hint; signatures of unknown
    keys are ignored.

    Raises:
        MalformedEvidence: the payload type or an encoding is wrong.
        SignatureInvalid: a signature that names a known key verifies under none.
        Unverifiable: no known key has signed.
    """
    if envelope.payloadType != PAYLOAD_TYPE:
        raise MalformedEvidence("the envelope's payload type is not an in-toto statement")
    payload = unb64(envelope.payload)
    message = pae(envelope.payloadType, payload)
    signers: list[VerifyKey] = []
    for signature in envelope.signatures:
        key = _signer(signature, message, keys)
        if key is not None and key not in signers:
            signers.append(key)
    if not signers:
        raise Unverifiable("no pinned key has signed the statement")
    return payload, tuple(signers)


def _signer(signature: Signature, message: bytes, keys: Sequence[VerifyKey]) -> VerifyKey | None:
    raw = unb64(signature.sig)
    hinted = [key for key in keys if key.label == signature.keyid]
    fitting = [key for key in keys if len(raw) == SIGNATURE_BYTES[key.kind]]
    for key in sorted(fitting, key=lambda k: k not in hinted):
        try:
            key.verify(raw, message)
        except SignatureInvalid:
            continue
        return key
    if hinted:
        raise SignatureInvalid(f"the signature of {hinted[0].label} does not verify")
    return None
