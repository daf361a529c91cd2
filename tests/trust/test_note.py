"""Signed notes, checkpoints and cosignatures: each rule of the format has something that breaks it (V4, V5)."""

from __future__ import annotations

import pytest

from expunge.core.canonical import b64
from expunge.core.errors import BadInput, ExpungeError, MalformedEvidence, SignatureInvalid, Unsupported, Unverifiable
from expunge.trust.keys import SigningKey, VerifyKey
from expunge.trust.merkle import EMPTY_ROOT, Tree
from expunge.trust.note import Checkpoint, cosign, join_note, open_note, sign_text

from .samples import ISSUER, LOG, WITNESS, T

ROOT = Tree(b"leaf-%d" % i for i in range(7)).root()
TEXT = Checkpoint(LOG.name, 7, ROOT).text()
LINE = sign_text(TEXT, LOG)
COSIGNED = cosign(TEXT, WITNESS, T)
KEYS = [LOG.public, WITNESS.public]


def test_a_note_signed_by_another_implementation_opens() -> None:
    """The example of the Go module golang.org/x/mod/sumdb/note."""
    key = VerifyKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    text = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
    line = (
        "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert open_note(join_note(text, line).encode(), [key])[0] == text
    with pytest.raises(SignatureInvalid):
        open_note(join_note(text.upper(), line).encode(), [key])


@pytest.mark.parametrize("n_strangers", [0, 1, 15, 63])
def test_unknown_signatures_are_ignored(n_strangers: int) -> None:
    strangers = [sign_text(TEXT, SigningKey.generate(f"s{i}.example/k")) for i in range(n_strangers)]
    text, signed = open_note(join_note(TEXT, *strangers, LINE).encode(), KEYS)
    assert text == TEXT
    assert [s.key for s in signed] == [LOG.public]


def test_a_name_or_an_id_alone_does_not_make_a_key_known() -> None:
    namesake = SigningKey.generate(LOG.name)
    assert len(open_note(join_note(TEXT, sign_text(TEXT, namesake), LINE).encode(), KEYS)[1]) == 1
    same_id = f"— other.example/k {b64(LOG.public.key_id + bytes(64))}\n"
    assert len(open_note(join_note(TEXT, same_id, LINE).encode(), KEYS)[1]) == 1


def test_a_text_may_hold_empty_lines() -> None:
    text = "one\n\ntwo\n\n"
    assert open_note(join_note(text, sign_text(text, LOG)).encode(), KEYS)[0] == text


MALFORMED = {
    "65 signatures": join_note(TEXT, LINE * 65).encode(),
    "too long": join_note("x" * (256 * 1024) + "\n", LINE).encode(),
    "no empty line": (TEXT + LINE).encode(),
    "no signature": join_note(TEXT).encode(),
    "no newline at the end": join_note(TEXT, LINE).encode()[:-1],
    "carriage return": join_note(TEXT, LINE.replace("\n", "\r\n")).encode(),
    "tab in the text": join_note("a\tb\n", LINE).encode(),
    "escape in the text": join_note("a\x1bb\n", LINE).encode(),
    "not UTF-8": join_note(TEXT, LINE).encode().replace(b"7", b"\xff", 1),
    "hyphen for dash": join_note(TEXT, LINE.replace("—", "-")).encode(),
    "two spaces": join_note(TEXT, LINE.replace("— ", "—  ")).encode(),
    "a word more": join_note(TEXT, LINE[:-1] + " x\n").encode(),
    "bad base64": join_note(TEXT, LINE[:-2] + "!\n").encode(),
    "base64 not canonical": join_note(TEXT, LINE, "— a.example/k QUJDREV=\n").encode(),
    "signature of four bytes": join_note(TEXT, LINE, "— a.example/k QUJDRA==\n").encode(),
    "plus in a name": join_note(TEXT, LINE, f"— a+b {b64(bytes(68))}\n").encode(),
    "space in a name": join_note(TEXT, LINE, f"— a\u2003b {b64(bytes(68))}\n").encode(),
    "empty": b"",
}


@pytest.mark.parametrize("why", MALFORMED)
def test_a_malformed_note_is_refused(why: str) -> None:
    with pytest.raises(MalformedEvidence):
        open_note(MALFORMED[why], KEYS)


def test_a_known_key_that_fails_spoils_the_note() -> None:
    forged = f"— {LOG.name} {b64(LOG.public.key_id + bytes(64))}\n"
    short = f"— {LOG.name} {b64(LOG.public.key_id + bytes(63))}\n"
    for note in [join_note(TEXT, forged), join_note(TEXT, LINE, forged), join_note(TEXT, COSIGNED, short)]:
        with pytest.raises(SignatureInvalid):
            open_note(note.encode(), KEYS)
    with pytest.raises(SignatureInvalid):
        open_note(join_note(TEXT.replace("7\n", "8\n", 1), LINE).encode(), KEYS)


def test_a_note_of_strangers_is_not_verified() -> None:
    for keys in ([], [ISSUER.public], [WITNESS.public]):
        with pytest.raises(Unverifiable):
            open_note(join_note(TEXT, LINE).encode(), keys)


def test_a_cosignature_binds_time_type_and_text() -> None:
    body = WITNESS.public.key_id + T.to_bytes(8, "big") + WITNESS.sign(f"cosignature/v1\ntime {T}\n{TEXT}".encode())
    assert f"— {WITNESS.name} {b64(body)}\n" == COSIGNED
    late = WITNESS.public.key_id + (T + 1).to_bytes(8, "big") + body[12:]
    plain = WITNESS.public.key_id + bytes(8) + WITNESS.sign(TEXT.encode())
    other = cosign(TEXT.replace("7\n", "8\n", 1), WITNESS, T)
    lines = [f"— {WITNESS.name} {b64(late)}\n", f"— {WITNESS.name} {b64(plain)}\n", other]
    for line in lines:
        with pytest.raises(SignatureInvalid):
            open_note(join_note(TEXT, LINE, line).encode(), KEYS)


def test_a_post_quantum_cosignature_opens() -> None:
    try:
        witness = SigningKey.generate("witness.example/pq", kind="mldsa44")
    except Unsupported as error:
        pytest.skip(str(error))
    note = join_note(TEXT, LINE, cosign(TEXT, witness, T))
    assert [s.time for s in open_note(note.encode(), [LOG.public, witness.public])[1]] == [None, T]
    late = join_note(TEXT, cosign(TEXT, witness, T)).replace(b64(witness.public.key_id)[:5], b64(bytes(4))[:5])
    with pytest.raises((SignatureInvalid, Unverifiable)):
        open_note(late.encode(), [witness.public])
    with pytest.raises(SignatureInvalid):
        open_note(note.replace("\n7\n", "\n8\n", 1).encode(), [witness.public])


def test_each_key_signs_what_it_is_for() -> None:
    with pytest.raises(BadInput):
        sign_text(TEXT, WITNESS)
    with pytest.raises(BadInput):
        cosign(TEXT, LOG, T)
    with pytest.raises(BadInput):
        cosign(TEXT, WITNESS, -1)


def test_a_checkpoint_reads_back_and_extension_lines_are_ignored() -> None:
    assert Checkpoint.parse(TEXT) == Checkpoint(LOG.name, 7, ROOT)
    assert Checkpoint.parse(TEXT + "extension\nmore\n") == Checkpoint(LOG.name, 7, ROOT)
    assert Checkpoint.parse(Checkpoint(LOG.name, 0, EMPTY_ROOT).text()).size == 0


@pytest.mark.parametrize(
    "text",
    [
        f"o\n07\n{b64(ROOT)}\n",
        f"o\n-7\n{b64(ROOT)}\n",
        f"o\n+7\n{b64(ROOT)}\n",
        f"o\n٧\n{b64(ROOT)}\n",
        f"o\n{2**63}\n{b64(ROOT)}\n",
        f"o\n{10**30}\n{b64(ROOT)}\n",
        f"o\n\n{b64(ROOT)}\n",
        f"\n7\n{b64(ROOT)}\n",
        f"o\n7\n{b64(ROOT[:31])}\n",
        f"o\n7\n{b64(ROOT)}",
        f"o\n0\n{b64(ROOT)}\n",
        "o\n7\n",
        "",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(MalformedEvidence):
        Checkpoint.parse(text)


def test_every_changed_byte_of_a_cosigned_note_is_noticed() -> None:
    note = join_note(TEXT, LINE, COSIGNED).encode()
    whole = open_note(note, KEYS)
    for i in range(len(note)):
        changed = note[:i] + bytes([note[i] ^ 1]) + note[i + 1 :]
        try:
            opened = open_note(changed, KEYS)
        except ExpungeError:
            continue
        assert opened != whole  # a line of a known key became a stranger's: its signature no longer counts
        assert opened[0] == TEXT
        assert len(opened[1]) == 1
