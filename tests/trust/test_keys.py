"""Keys: files that others may read are refused, and a vkey has one spelling."""

from __future__ import annotations

from pathlib import Path

import pytest

from expunge.core.errors import (
    KeyUnsafe,
    MalformedEvidence,
    SignatureInvalid,
    StoreExists,
    Unsupported,
    Unverifiable,
)
from expunge.trust import keys
from expunge.trust.keys import SigningKey, VerifyKey

from .samples import ISSUER, LOG

KINDS: list[keys.KeyKind] = ["ed25519", "cosigner", "mldsa44"]


@pytest.fixture(params=KINDS)
def key(request: pytest.FixtureRequest) -> SigningKey:
    try:
        return SigningKey.generate("a.example/k", kind=request.param)
    except Unsupported as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("passphrase", [None, b"open sesame"])
def test_a_saved_key_signs_like_the_first(key: SigningKey, passphrase: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    key.save(path, passphrase)
    assert path.stat().st_mode & 0o777 == 0o600
    again = SigningKey.load(path, key.name, passphrase, kind=key.kind)
    assert again.vkey == key.vkey
    VerifyKey.parse(key.vkey).verify(again.sign(b"message"), b"message")


def test_a_signature_holds_for_its_message_and_key_only(key: SigningKey) -> None:
    signature, public = key.sign(b"message"), key.public
    stranger = SigningKey.generate("a.example/k", kind=key.kind).public
    flipped = bytes([signature[0] ^ 1]) + signature[1:]
    for who, what, message in [
        (public, signature, b"massage"),
        (public, flipped, b"message"),
        (public, signature[:-1], b"message"),
        (public, b"", b"message"),
        (stranger, signature, b"message"),
    ]:
        with pytest.raises(SignatureInvalid):
            who.verify(what, message)


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601])
def test_a_key_file_that_others_may_use_is_refused(mode: int, tmp_path: Path) -> None:
    ISSUER.save(tmp_path / "key.pem")
    (tmp_path / "key.pem").chmod(mode)
    with pytest.raises(KeyUnsafe, match="others"):
        SigningKey.load(tmp_path / "key.pem", ISSUER.name)


def test_a_key_file_is_never_overwritten(tmp_path: Path) -> None:
    ISSUER.save(tmp_path / "key.pem")
    with pytest.raises(StoreExists):
        LOG.save(tmp_path / "key.pem")
    assert SigningKey.load(tmp_path / "key.pem", ISSUER.name).vkey == ISSUER.vkey


def test_a_key_file_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    locked, garbage, missing = (tmp_path / name for name in ("locked", "garbage", "missing"))
    ISSUER.save(locked, b"right")
    garbage.write_bytes(b"-----BEGIN NOTHING-----")
    garbage.chmod(0o600)
    for path, passphrase in [(locked, b"wrong"), (locked, None), (garbage, None), (missing, None)]:
        with pytest.raises(KeyUnsafe) as caught:
            SigningKey.load(path, ISSUER.name, passphrase)
        assert caught.value.exit_code != 0
    ISSUER.save(tmp_path / "plain")
    with pytest.raises(KeyUnsafe):
        SigningKey.load(tmp_path / "plain", ISSUER.name, b"not locked")
    with pytest.raises(KeyUnsafe, match="not mldsa44"):
        SigningKey.load(tmp_path / "plain", ISSUER.name, kind="mldsa44")


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb", "a\u00a0b", "a\x7fb", "\ud800"])
def test_a_name_that_would_break_a_note_is_refused(name: str) -> None:
    with pytest.raises(MalformedEvidence):
        SigningKey.generate(name)


def test_a_vkey_has_one_spelling() -> None:
    name, identity, body = LOG.vkey.split("+", 2)
    for wrong in [
        f"{name}+{identity}",
        f"{name}+{identity.upper()}+{body}",
        f"{name}+00000000+{body}",
        f"{name}x+{identity}+{body}",
        f"{name}+{identity}+{body[:-1]}",
        f"{name}+{identity}+B{body[1:]}",
        f"{name}+{identity}+{body}AAAA",
        f"{name}+{identity}+\u00e9",
        "",
    ]:
        with pytest.raises(MalformedEvidence):
            VerifyKey.parse(wrong)


def test_the_secret_does_not_show() -> None:
    key = SigningKey.from_secret("a.example/k", bytes([7]) * 32)
    assert "07" * 8 not in repr(key)
    assert "rivate" not in repr(key)


def test_without_ml_dsa_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "find_spec", lambda _: None)
    with pytest.raises(Unsupported, match="ML-DSA"):
        SigningKey.generate("a.example/k", kind="mldsa44")
    with pytest.raises(Unverifiable, match="ML-DSA"):
        VerifyKey("a.example/k", "mldsa44", bytes(1312)).verify(bytes(2420), b"")
