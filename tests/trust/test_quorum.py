"""The policy file: each line that is refused, and nested quorums against brute force (V7)."""

from __future__ import annotations

import itertools

import pytest

from expunge.core.errors import MalformedEvidence, Unverifiable
from expunge.trust.keys import SigningKey
from expunge.trust.quorum import parse_policy

from .samples import LOG

W = [SigningKey.from_secret(f"w{i}.example/k", bytes([10 + i]) * 32, kind="cosigner").vkey for i in range(40)]
SIX = f"# six witnesses, two groups\n\nlog {LOG.vkey} https://log.example/\n" + "".join(
    f"witness w{i}\t{W[i]}  https://w{i}.example/\n" for i in range(6)
)


def met(policy: str, seen: tuple[str, ...]) -> bool:
    try:
        parse_policy(policy.encode()).require(seen)
    except Unverifiable:
        return False
    return True


def test_nested_groups_agree_with_brute_force() -> None:
    policy = SIX + "group left 2 w0 w1 w2\ngroup right all w3 w4\ngroup both any left right\nquorum both\n"
    strict = SIX + "group left 2 w0 w1 w2\ngroup right all w3 w4\ngroup both all left right\nquorum both\n"
    for n in range(7):
        for seen in itertools.combinations([f"w{i}" for i in range(6)], n):
            left = len({"w0", "w1", "w2"} & set(seen)) >= 2
            right = {"w3", "w4"} <= set(seen)
            assert met(policy, seen) == (left or right)
            assert met(strict, seen) == (left and right)


def test_a_quorum_may_be_one_witness_or_none() -> None:
    assert met(SIX + "quorum w3\n", ("w3",))
    assert not met(SIX + "quorum w3\n", ("w0", "w1"))
    assert met(SIX + "quorum none", ())
    assert not met(SIX + "quorum w3\n", ("stranger",))


def test_a_group_is_not_met_by_naming_it() -> None:
    policy = SIX + "group left 2 w0 w1 w2\nquorum left\n"
    assert not met(policy, ("left",))


def test_many_witnesses_fit() -> None:
    lines = "".join(f"witness w{i} {W[i]}\n" for i in range(40))
    policy = parse_policy(
        f"{lines}group all-of-them all {' '.join(f'w{i}' for i in range(40))}\nquorum none\n".encode()
    )
    assert len(policy.witnesses) == 40


def test_the_digest_is_of_the_bytes() -> None:
    one, two = (parse_policy(text.encode()).digest for text in (SIX + "quorum w0\n", SIX + "quorum  w0\n"))
    assert one != two


REFUSED = {
    "no quorum": SIX,
    "two quorums": SIX + "quorum none\nquorum none\n",
    "quorum of two": SIX + "quorum w0 w1\n",
    "unknown quorum": SIX + "quorum w9\n",
    "unknown word": SIX + "quorums none\n",
    "forward reference": SIX + "group a any b\ngroup b any w0\nquorum a\n",
    "cycle": SIX + "group a any a\nquorum a\n",
    "quorum before its group": SIX + "quorum a\ngroup a any w0\n",
    "name twice": SIX + f"witness w0 {W[9]}\nquorum none\n",
    "group named like a witness": SIX + "group w0 any w1\nquorum w0\n",
    "key twice": SIX + f"witness other {W[0]}\nquorum none\n",
    "log key twice": SIX + f"log {LOG.vkey}\nquorum none\n",
    "member in two groups": SIX + "group a any w0\ngroup b any w0\nquorum a\n",
    "member twice in a group": SIX + "group a 2 w0 w0\nquorum a\n",
    "none as a member": SIX + "group a any none\nquorum a\n",
    "none as a witness": SIX + f"witness none {W[9]}\nquorum none\n",
    "none as a group": SIX + "group none any w0\nquorum none\n",
    "k is 0": SIX + "group a 0 w0\nquorum a\n",
    "k is too large": SIX + "group a 3 w0 w1\nquorum a\n",
    "k has a leading zero": SIX + "group a 01 w0\nquorum a\n",
    "k is a word": SIX + "group a most w0\nquorum a\n",
    "empty group": SIX + "group a any\nquorum a\n",
    "log with a cosigner's key": f"log {W[0]}\nquorum none\n",
    "witness with a log's key": f"witness w {LOG.vkey}\nquorum none\n",
    "bad vkey": "log a+b+c\nquorum none\n",
    "carriage return": SIX + "quorum none\r\n",
    "control character": SIX + "quorum none\n# \x01\n",
    "delete character": SIX + "quorum none\n# \x7f\n",
    "witness without a key": SIX + "witness w9\nquorum none\n",
}


@pytest.mark.parametrize("why", REFUSED)
def test_a_wrong_policy_is_refused(why: str) -> None:
    with pytest.raises(MalformedEvidence):
        parse_policy(REFUSED[why].encode())


def test_names_are_opaque_octets() -> None:
    policy = parse_policy(b"witness \xff\xfe " + W[0].encode() + b"\nquorum \xff\xfe\n")
    assert len(policy.witnesses) == 1
