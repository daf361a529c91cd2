"""The sparse map: one answer a key, no forged one; commitments that hide and pseudonyms that repeat (V9)."""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import Callable

import pytest

from expunge.core.canonical import sha256
from expunge.core.errors import BadInput, MalformedEvidence, ProofInvalid
from expunge.trust.manifest import (
    MapProof,
    SparseMap,
    check_run,
    commitment,
    content_key,
    forgotten_items,
    record_key,
    verify_absence,
    verify_membership,
)

SECRET = bytes([4]) * 32


def key(i: int | str) -> bytes:
    return sha256(f"k{i}".encode())


def value(i: int | str) -> bytes:
    return sha256(f"v{i}".encode())


def near(depth: int) -> bytes:
    """A key that shares exactly ``depth`` bits with key 0."""
    number = int.from_bytes(key(0), "big") ^ (1 << (255 - depth))
    return number.to_bytes(32, "big")


def holds(check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except ProofInvalid:
        return False
    return True


def defined_root(items: dict[bytes, bytes], depth: int = 0) -> bytes:
    """The definition of T04, word for word."""
    if not items:
        return bytes(32)
    if len(items) == 1:
        ((k, v),) = items.items()
        return sha256(b"\x20", k, v)
    sides: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})
    for k, v in items.items():
        sides[(k[depth >> 3] >> (7 - (depth & 7))) & 1][k] = v
    return sha256(b"\x21", defined_root(sides[0], depth + 1), defined_root(sides[1], depth + 1))


@pytest.mark.parametrize("n", [0, 1, 2, 5, 40, 300])
def test_roots_follow_the_definition(n: int) -> None:
    items = {key(i): value(i) for i in range(n)}
    assert SparseMap(items).root == defined_root(items)


def test_keys_that_share_long_prefixes_have_proofs() -> None:
    items = {key(0): value(0)} | {near(d): value(d) for d in (0, 3, 249, 250, 254, 255)}
    tree = SparseMap(items)
    assert tree.root == defined_root(items)
    for k, v in items.items():
        verify_membership(tree.root, k, v, tree.prove(k))
    assert len(tree.prove(key(0)).siblings) == 256
    verify_absence(tree.root, near(251), tree.prove(near(251)))


def test_for_every_subset_each_key_has_exactly_one_answer() -> None:
    for subset in range(256):
        items = {key(i): value(i) for i in range(8) if subset >> i & 1}
        tree = SparseMap(items)
        for i in range(8):
            proof = tree.prove(key(i))
            present = holds(verify_membership, tree.root, key(i), value(i), proof)
            absent = holds(verify_absence, tree.root, key(i), proof)
            assert (present, absent) == (key(i) in items, key(i) not in items)


def flip(text: str, draw: random.Random) -> str:
    data = bytearray.fromhex(text)
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return data.hex()


def spoil(proof: MapProof, draw: random.Random) -> MapProof:
    siblings, terminal = list(proof.siblings), proof.terminal
    what = draw.randrange(5)
    place = draw.randrange(len(siblings) + 1)
    if what == 0 and siblings:
        place = draw.randrange(len(siblings))
        siblings[place] = flip(siblings[place], draw)
    elif what == 1 and siblings:
        del siblings[draw.randrange(len(siblings))]
    elif what == 2 or not siblings:
        siblings.insert(place, secrets.token_hex(32) if draw.random() < 0.5 else "00" * 32)
    elif terminal is None:
        terminal = (key("new").hex(), value("new").hex())
    else:
        part = draw.randrange(3)
        terminal = (
            None
            if part == 2
            else (flip(terminal[0], draw), terminal[1])
            if part
            else (terminal[0], flip(terminal[1], draw))
        )
    return MapProof(siblings=tuple(siblings), terminal=terminal)


@pytest.mark.parametrize("n", [0, 1, 5, 60])
def test_no_spoilt_proof_is_accepted(n: int) -> None:
    draw = random.Random(n)
    tree = SparseMap({key(i): value(i) for i in range(n)})
    for trial in range(4_000):
        i = trial % (n + 3)
        proof = tree.prove(key(i))
        wrong = spoil(proof, draw)
        if wrong == proof:
            continue
        assert not holds(verify_membership, tree.root, key(i), value(i), wrong)
        assert not holds(verify_absence, tree.root, key(i), wrong)


def test_a_forged_absence_through_another_path_is_refused() -> None:
    """The real proof of another key must not show that this one is absent."""
    tree = SparseMap({key(i): value(i) for i in range(60)})
    for i in range(1, 60):
        assert not holds(verify_absence, tree.root, key(0), tree.prove(key(i)))
        assert not holds(verify_membership, tree.root, key(0), value(0), tree.prove(key(i)))
    assert not holds(verify_absence, tree.root, key(0), tree.prove(key(0)))
    assert not holds(verify_membership, tree.root, key(0), value(1), tree.prove(key(0)))


def test_more_than_256_siblings_are_refused() -> None:
    proof = MapProof(siblings=("00" * 32,) * 257)
    assert not holds(verify_absence, bytes(32), key(0), proof)


@pytest.mark.parametrize("siblings", [["00" * 31], ["0G" * 32], ["AB" * 32], [7], "00" * 32])
def test_a_malformed_proof_is_refused(siblings: object) -> None:
    with pytest.raises(MalformedEvidence):
        MapProof.from_json({"siblings": siblings, "terminal": None})


def test_a_map_holds_32_byte_strings_only() -> None:
    for items in ({b"short": value(0)}, {key(0): b"short"}):
        with pytest.raises(BadInput):
            SparseMap(items)


def test_proofs_are_short_and_a_build_is_fast() -> None:
    n = 100_000
    items = {sha256(b"%d" % i): bytes(32) for i in range(n)}
    began = time.perf_counter()
    tree = SparseMap(items)
    assert time.perf_counter() - began < 5  # about 0.3 s when the machine is idle
    absent = [tree.prove(key(i)) for i in range(2_000)]
    mean = sum(len(proof.siblings) for proof in absent) / len(absent)
    assert abs(mean - math.log2(n)) < 1.5
    assert len(tree) == n


def test_a_commitment_hides_and_pseudonyms_repeat() -> None:
    one, two = (commitment(b"hello", secrets.token_bytes(32)) for _ in range(2))
    assert one != two
    assert content_key(SECRET, b"hello") == content_key(SECRET, b"hello")
    assert content_key(SECRET, b"hello") != content_key(bytes(32), b"hello")
    assert record_key(SECRET, "hello") != content_key(SECRET, b"hello")
    with pytest.raises(BadInput):
        commitment(b"hello", b"short")


def test_ingestion_refuses_what_was_forgotten_by_id_and_by_content() -> None:
    records = [(f"id-{i}", b"record %d" % i) for i in range(10_000)]
    by_id = [(record_key(SECRET, name), key(i), value(i)) for i, (name, _) in enumerate(records[:100])]
    by_content = [
        (key(f"old {i}"), content_key(SECRET, data), value(i)) for i, (_, data) in enumerate(records[100:200])
    ]
    unlearned = forgotten_items([*by_id, *by_content])
    refused = [r for r in records if record_key(SECRET, r[0]) in unlearned or content_key(SECRET, r[1]) in unlearned]
    assert refused == records[:200]


def test_the_relations_of_a_run() -> None:
    record = {i: (key(i), key(f"content {i}"), value(i)) for i in range(8)}
    d0 = {record[i][0]: record[i][2] for i in range(6)}
    u0 = forgotten_items([record[7]])
    leaving, arriving = [record[0], record[1]], [record[6]]
    d1 = {record[i][0]: record[i][2] for i in (2, 3, 4, 5, 6)}
    u1 = u0 | forgotten_items(leaving)
    check_run((d0, d1), (u0, u1), leaving, arriving)
    without = {k: v for k, v in d1.items() if k != record[5][0]}
    wrong = [
        ((d0, d0), (u0, u1), leaving, arriving),
        ((d0, without), (u0, u1), leaving, arriving),
        ((d0, d1), (u0, u0), leaving, arriving),
        ((d0, d1), (u0, forgotten_items(leaving)), leaving, arriving),
        ((d0, d1), (u0, u1), [*leaving, record[7]], arriving),
        ((d0, d1), (u0, u1), leaving, []),
        ((d0, d1 | {record[0][0]: value(0)}), (u0, u1), leaving, [*arriving, record[0]]),
        (
            (d0, d1 | {key("fresh id"): value(0)}),
            (u0, u1),
            leaving,
            [*arriving, (key("fresh id"), record[0][1], value(0))],
        ),
    ]
    for data, unlearned, left, came in wrong:
        with pytest.raises(ProofInvalid):
            check_run(data, unlearned, left, came)
