"""Keys: every draw recomputed by hand (spec X03, X04), independent of other records, and the secret never shown."""

from __future__ import annotations

import hashlib
import hmac
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.errors import BadInput
from expunge.core.seeds import Key, id_bytes, unit

KEY = Key(b"\x01" * 32, "beacon", b"\x02" * 32)
ids = st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def by_hand(key: Key, body: bytes, person: bytes) -> int:
    secret = hmac.new(key.secret, key.seed.encode(), hashlib.sha256).digest()
    return int.from_bytes(hashlib.blake2b(body, digest_size=8, key=secret, person=person).digest(), "big")


def test_a_key_by_hand():
    assert KEY.commitment == hashlib.sha256(b"expunge/model-key/v1\n" + b"\x02" * 32 + b"\x01" * 32).digest()
    assert KEY.bytes == hmac.new(b"\x01" * 32, b"beacon", hashlib.sha256).digest()
    assert KEY.word("age") == by_hand(KEY, b"age", b"expunge/name")
    assert Key.public(7).bytes == hmac.new(bytes(32), b"7", hashlib.sha256).digest()
    assert Key.public(7) == Key.public("7")


@given(ids)
def test_the_word_of_an_id_by_hand(value):
    body = b"i" + value.to_bytes(8, "big", signed=True) if isinstance(value, int) else id_bytes(value)
    assert KEY.words([value]).tolist() == [by_hand(KEY, body, b"expunge/record")]
    assert KEY.words([value], "owner").tolist() == [by_hand(KEY, body, b"expunge/owner")]


def test_golden_words():
    """These bits decide what every model draws: they are the same on every machine and for ever."""
    assert Key.public(0).words([0, -1, "a", "0"]).tolist() == [
        7017812622929403827,
        9498694264691602895,
        1774325024822423175,
        16191793098039556465,
    ]
    assert Key.public(0).word("a") == 10947731208857887875


@given(st.lists(ids, max_size=12), st.randoms())
def test_a_draw_depends_on_nobody_else(values, random):
    words = KEY.words(values).tolist()
    assert KEY.words([np.int64(v) if isinstance(v, int) else v for v in values]).tolist() == words
    order = list(range(len(values)))
    random.shuffle(order)
    few = order[: len(order) // 2]
    assert KEY.words([values[i] for i in few]).tolist() == [words[i] for i in few]


@given(st.lists(ids, unique_by=id_bytes, min_size=2, max_size=12))
def test_different_ids_have_different_bytes(values):
    assert len({id_bytes(v) for v in values}) == len(values)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, b"i" + bytes(8)),
        (-1, b"i" + b"\xff" * 8),
        (2**63 - 1, b"i\x7f" + b"\xff" * 7),
        (-(2**63), b"i\x80" + bytes(7)),
        (np.uint8(5), b"i" + bytes(7) + b"\5"),
        ("", b"s"),
        ("007", b"s007"),
        ("17", b"s17"),
        ("\xe9", b"s\xc3\xa9"),
        ("e\u0301", b"s\xc3\xa9"),
        ("a\0", b"sa\0"),
        (np.str_("x"), b"sx"),
    ],
)
def test_id_bytes_by_hand(value, expected):
    assert id_bytes(value) == expected


@pytest.mark.parametrize(
    "value", [True, np.True_, 1.0, None, b"a", 2**63, -(2**63) - 1, np.uint64(2**63), (1,), np.nan, "\ud800"], ids=ascii
)
def test_what_is_no_id(value):
    with pytest.raises(BadInput):
        id_bytes(value)
    with pytest.raises(BadInput):
        KEY.words([1, value])


def test_no_ids_have_no_words():
    words = KEY.words([])
    assert (words.shape, words.dtype) == ((0,), np.uint64)


def test_the_secret_is_never_shown():
    for key in (Key.generate(3), Key.public(3).child("x"), Key(b"\xab" * 32, "s")):
        shown = repr(key) + str(key) + f"{key}"
        assert key.secret.hex() not in shown
        assert repr(key.secret)[2:-1] not in shown
        assert key.bytes.hex() not in shown
        assert key.commitment.hex()[:16] in shown
    assert Key.public(1).is_public
    assert not Key.generate(1).is_public
    assert Key.generate(1) != Key.generate(1)
    assert pickle.loads(pickle.dumps(KEY)) == KEY


def test_children_are_independent_and_keep_the_commitment():
    child = KEY.child("shadow/1")
    assert child.commitment == KEY.commitment
    assert len({k.word("a") for k in (KEY, child, KEY.child("shadow/2"), child.child("x"))}) == 4


def test_generators_are_repeatable_and_apart():
    a, b, c = (KEY.generator(p).integers(2**62) for p in ("x", "x", "y"))
    assert a == b != c


def test_units_lie_in_zero_to_one():
    words = np.array([0, 2**11 - 1, 2**11, 2**63, 2**64 - 1], np.uint64)
    assert unit(words).tolist() == [0.0, 0.0, 2.0**-53, 0.5, 1 - 2.0**-53]
    drawn = unit(KEY.words(range(4000)))
    assert abs(drawn.mean() - 0.5) < 0.02
    assert np.abs(np.histogram(drawn, 8, (0, 1))[0] - 500).max() < 110
