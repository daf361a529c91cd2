"""The envelope: a signature covers type and bytes; the key id is only a hint (V8)."""

from __future__ import annotations

import pytest

from expunge.core.canonical import b64, unb64
from expunge.core.errors import ExpungeError, MalformedEvidence, SignatureInvalid, Unsupported, Unverifiable
from expunge.core.record import Record
from expunge.trust.envelope import Envelope, Signature, open_envelope, pae, seal
from expunge.trust.keys import SigningKey

from .samples import ISSUER, LOG, changed

AUDITOR = SigningKey.from_secret("auditor.example/a", bytes([5]) * 32)
PAYLOAD = b'{"a":1}'
KEYS = [ISSUER.public, AUDITOR.public]


def altered(envelope: Envelope, **changes: object) -> Envelope:
    return Envelope.from_json(changed(envelope.as_json(), {k.replace("__", "."): v for k, v in changes.items()}))


def test_one_and_two_signatures_open() -> None:
    assert open_envelope(seal(PAYLOAD, ISSUER), KEYS) == (PAYLOAD, (ISSUER.public,))
    assert open_envelope(seal(PAYLOAD, AUDITOR, ISSUER), KEYS)[1] == (AUDITOR.public, ISSUER.public)
    assert open_envelope(seal(PAYLOAD, LOG, ISSUER, ISSUER), KEYS)[1] == (ISSUER.public,)


def test_the_key_id_is_only_a_hint() -> None:
    for hint in ("", "nobody", AUDITOR.public.label):
        envelope = seal(PAYLOAD, ISSUER)
        signature = Signature(keyid=hint, sig=envelope.signatures[0].sig)
        assert open_envelope(envelope.model_copy(update={"signatures": (signature,)}), KEYS)[1] == (ISSUER.public,)


def test_lengths_are_counted_in_bytes() -> None:
    assert pae("é", "ü".encode()) == "DSSEv1 2 é 2 ü".encode()


def test_what_was_not_signed_is_refused() -> None:
    good = seal(PAYLOAD, ISSUER)
    raw = unb64(good.signatures[0].sig)
    forged = Signature(keyid=ISSUER.public.label, sig=b64(bytes([raw[0] ^ 1]) + raw[1:]))
    bare = Signature(keyid=ISSUER.public.label, sig=b64(ISSUER.sign(PAYLOAD)))
    wrong: list[tuple[Envelope, type[ExpungeError]]] = [
        (altered(good, payload=b64(b'{"a":2}')), SignatureInvalid),
        (altered(good, payloadType="application/json"), MalformedEvidence),
        (altered(good, payload=good.payload + "A"), MalformedEvidence),
        (altered(good, payload=good.payload[:-2] + "R="), MalformedEvidence),
        (good.model_copy(update={"signatures": (forged,)}), SignatureInvalid),
        (good.model_copy(update={"signatures": (*good.signatures, forged)}), SignatureInvalid),
        (good.model_copy(update={"signatures": (bare,)}), SignatureInvalid),
        (seal(PAYLOAD, LOG), Unverifiable),
    ]
    for envelope, error in wrong:
        with pytest.raises(error):
            open_envelope(envelope, KEYS)
    with pytest.raises(Unverifiable):
        open_envelope(good, [])


@pytest.mark.parametrize(
    "text",
    [
        b'{"payload":"","payloadType":"x","signatures":[]}',
        b'{"payload":"","payloadType":"x","signatures":[{"keyid":"a","sig":""}],"more":1}',
        b'{"payload":"","payload":"","payloadType":"x","signatures":[{"keyid":"a","sig":""}]}',
        b'{"payload":"","payloadType":"x"}',
        b'{"payload":1,"payloadType":"x","signatures":[{"keyid":"a","sig":""}]}',
        b'{"payload":"","payloadType":"x","signatures":[{"keyid":"a","sig":"","cert":""}]}',
        b"[]",
    ],
)
def test_a_malformed_envelope_is_refused(text: bytes) -> None:
    shape: type[Record] = Envelope
    with pytest.raises(MalformedEvidence):
        shape.from_bytes(text)


def test_too_many_signatures_are_refused() -> None:
    with pytest.raises(MalformedEvidence):
        Envelope.from_json(changed(seal(PAYLOAD, ISSUER).as_json(), {"signatures": [{"keyid": "", "sig": ""}] * 17}))


def test_a_post_quantum_issuer_signs_beside_an_ed25519_one() -> None:
    try:
        quantum = SigningKey.generate("issuer.example/pq", kind="mldsa44")
    except Unsupported as error:
        pytest.skip(str(error))
    envelope = seal(PAYLOAD, quantum, ISSUER)
    assert open_envelope(envelope, [quantum.public])[1] == (quantum.public,)
    assert len(open_envelope(envelope, [ISSUER.public, quantum.public])[1]) == 2
