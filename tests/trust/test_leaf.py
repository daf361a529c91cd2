"""Leaves and log proofs as text: closed schema, one spelling (V7)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from expunge.core.canonical import b64, canonical_json
from expunge.core.errors import BadInput, MalformedEvidence
from expunge.trust.leaf import body_commitment, body_leaf, new_ref, public_leaf, read_leaf
from expunge.trust.merkle import Tree
from expunge.trust.proof import Proof

from .samples import REF, hex32

LEAF: dict[str, Any] = {
    "v": 1, "type": "CERT", "ref": REF, "seq": 0, "t": 1699999980, "body_type": "text/plain", "body": hex32("b"),
}  # fmt: skip
PUBLIC: dict[str, Any] = {"v": 1, "type": "MANIFEST", "ref": REF, "seq": 0, "t": 0, "public": {"version": 1}}


def test_leaves_read_back() -> None:
    assert read_leaf(canonical_json(LEAF)).as_json() == LEAF
    assert read_leaf(canonical_json(PUBLIC)).as_json() == PUBLIC
    assert read_leaf(canonical_json(LEAF | {"ref": "system"})).ref == "system"
    assert read_leaf(public_leaf("POLICY", "system", 1, 61, {"text": "x"})).t == 60


@pytest.mark.parametrize("name", list(LEAF))
def test_every_field_is_needed(name: str) -> None:
    with pytest.raises(MalformedEvidence):
        read_leaf(canonical_json({k: v for k, v in LEAF.items() if k != name}))


WRONG: list[dict[str, Any]] = [
    {"v": 2}, {"v": "1"}, {"v": True}, {"type": "cert"}, {"type": 1}, {"ref": REF.upper()}, {"ref": REF[:-1]},
    {"ref": REF[:-1] + "5"}, {"ref": "alice@example.com"}, {"seq": -1}, {"seq": "0"}, {"seq": 0.5}, {"t": 1},
    {"t": -60}, {"t": "0"}, {"body": "AB" * 32}, {"body": "ab"}, {"body": None}, {"body_type": None},
    {"public": {"x": 1}}, {"subject": "alice"}, {"decision": "granted"}, {"body_type": "x" * 1024},
]  # fmt: skip


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_a_field_outside_the_table_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedEvidence):
        read_leaf(canonical_json(LEAF | change))


def test_only_system_facts_are_public_and_they_are_bounded() -> None:
    for leaf in (PUBLIC | {"type": "CERT"}, PUBLIC | {"body_type": "x"}, PUBLIC | {"public": {"x": "y" * 16_384}}):
        with pytest.raises(MalformedEvidence):
            read_leaf(canonical_json(leaf))
    with pytest.raises(MalformedEvidence):
        public_leaf("CERT", REF, 0, 0, {})
    with pytest.raises(MalformedEvidence):
        public_leaf("POLICY", "system", 0, 0, {"text": "y" * 16_384})
    with pytest.raises(MalformedEvidence):
        body_leaf("CERT", "alice", 0, 0, hex32("b"))
    with pytest.raises(BadInput):
        body_commitment(b"short", b"")


def test_references_are_random_and_well_formed() -> None:
    refs = {new_ref() for _ in range(200)}
    assert len(refs) == 200
    assert all(re.fullmatch("[a-z2-7]{26}", ref) for ref in refs)
    assert all(read_leaf(body_leaf("CERT", ref, 0, 0, hex32("b"))).ref == ref for ref in refs)


TREE = Tree(b"%d" % i for i in range(7))
GOOD = Proof(3, tuple(TREE.inclusion(3)), "o\n7\nroot\n\nsignatures\n").text()
LINES = GOOD.split("\n")


def test_a_proof_reads_back_and_an_extra_line_is_ignored() -> None:
    assert Proof.parse(GOOD).text() == GOOD
    extra = GOOD.replace("\nindex", f"\nextra {b64(b'anything')}\nindex", 1)
    assert Proof.parse(extra) == Proof.parse(GOOD)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("index 3", "index 03"),
        GOOD.replace("index 3", "index -3"),
        GOOD.replace("index 3", "index  3"),
        GOOD.replace("index 3", "Index 3"),
        GOOD.replace("v1", "v2", 1),
        GOOD.replace("\n\n", "\n"),
        "\n".join([LINES[0], LINES[2], LINES[1], *LINES[3:]]),
        "\n".join([LINES[1], LINES[0], *LINES[2:]]),
        "\n".join([*LINES[:2], LINES[2][:-1], *LINES[3:]]),
        "\n".join([*LINES[:2], b64(bytes(31)), *LINES[3:]]),
        "\n".join([*LINES[:2], *[b64(bytes(32))] * 64, *LINES[5:]]),
        GOOD.replace("\nindex", "\nextra !\nindex", 1),
        GOOD.replace("\nindex", "\nextra QQ==\nextra QQ==\nindex", 1),
        "",
    ],
)
def test_a_malformed_proof_is_refused(text: str) -> None:
    assert text != GOOD
    with pytest.raises(MalformedEvidence):
        Proof.parse(text)
