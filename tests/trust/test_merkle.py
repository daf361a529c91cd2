"""The log tree: every size to 256 against the definition, and every class of broken proof (V1, V2)."""

from __future__ import annotations

import itertools

import pytest

from expunge.core.errors import BadInput, ProofInvalid
from expunge.trust.merkle import (
    EMPTY_ROOT,
    Tree,
    leaf_hash,
    node_hash,
    verify_consistency,
    verify_inclusion,
)

N = 256
ENTRIES = [b"entry %d" % i for i in range(N)]
TREE = Tree(ENTRIES)


def defined_root(entries: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word."""
    if not entries:
        return EMPTY_ROOT
    if len(entries) == 1:
        return leaf_hash(entries[0])
    k = 1
    while 2 * k < len(entries):
        k *= 2
    return node_hash(defined_root(entries[:k]), defined_root(entries[k:]))


def flips(hashes: list[bytes]) -> list[list[bytes]]:
    return [[*hashes[:i], bytes([hashes[i][0] ^ 1]) + hashes[i][1:], *hashes[i + 1 :]] for i in range(len(hashes))]


def broken_paths(path: list[bytes]) -> list[list[bytes]]:
    spare = bytes(32)
    short = [path[:i] + path[i + 1 :] for i in range(len(path))]
    return [*flips(path), *short, [spare, *path], [*path, spare], [p[:31] for p in path] or [b"x"]]


def test_roots_follow_the_definition() -> None:
    assert [TREE.root(n) for n in range(N + 1)] == [defined_root(ENTRIES[:n]) for n in range(N + 1)]


def test_every_inclusion_proof_verifies() -> None:
    for n in range(1, N + 1):
        for i in range(n):
            verify_inclusion(i, n, leaf_hash(ENTRIES[i]), TREE.inclusion(i, n), TREE.root(n))


def test_every_consistency_proof_verifies() -> None:
    for n in range(1, N + 1):
        for m in range(1, n + 1):
            verify_consistency(m, n, TREE.root(m), TREE.root(n), TREE.consistency(m, n))


@pytest.mark.parametrize(("n", "i"), [(n, i) for n in range(1, 9) for i in range(n)])
def test_a_broken_inclusion_proof_is_refused(n: int, i: int) -> None:
    leaf, path, root = leaf_hash(ENTRIES[i]), TREE.inclusion(i, n), TREE.root(n)
    wrong = [(i, n, leaf, p, root) for p in broken_paths(path)]
    wrong += [(j, n, leaf, path, root) for j in range(-1, 9) if j != i]
    # a proof may hold for another size too (same path shape); then the root differs in a real log
    wrong += [(i, size, leaf, path, TREE.root(size)) for size in range(9) if size != n]
    wrong += [(i, n, leaf, path, r) for r in (bytes(32), root[:31], b"", flips([root])[0][0])]
    wrong += [(i, n, flips([leaf])[0][0], path, root), (i, n, leaf[1:], path, root)]
    for case in wrong:
        with pytest.raises(ProofInvalid):
            verify_inclusion(*case)


@pytest.mark.parametrize(("m", "n"), [(m, n) for n in range(1, 9) for m in range(1, n + 1)])
def test_a_broken_consistency_proof_is_refused(m: int, n: int) -> None:
    old, new, path = TREE.root(m), TREE.root(n), TREE.consistency(m, n)
    wrong = [(m, n, old, new, p) for p in broken_paths(path)]
    wrong += [(m, n, bytes(32), new, path), (m, n, old, bytes(32), path), (m, n, old, new[:31], path)]
    wrong += [(0, n, EMPTY_ROOT, new, path), (-1, n, old, new, path), (n + 1, n, old, new, path)]
    if m != n:
        wrong += [(m, n, new, old, path), (n, m, old, new, path), (m, n, old, new, [])]
    for case in wrong:
        with pytest.raises(ProofInvalid):
            verify_consistency(*case)


@pytest.mark.parametrize("roots", [(EMPTY_ROOT, EMPTY_ROOT), (b"garbage", b"garbage"), (bytes(32), bytes(32))])
def test_size_zero_has_no_proofs(roots: tuple[bytes, bytes]) -> None:
    with pytest.raises(ProofInvalid):
        verify_consistency(0, 0, *roots, [])
    with pytest.raises(ProofInvalid):
        verify_inclusion(0, 0, *roots, [])


def test_only_existing_proofs_are_made() -> None:
    for ask in (
        lambda: TREE.inclusion(N),
        lambda: TREE.inclusion(-1),
        lambda: TREE.root(N + 1),
        lambda: TREE.consistency(0),
        lambda: TREE.consistency(5, 4),
    ):
        with pytest.raises(BadInput):
            ask()


def test_a_truncated_tree_is_the_smaller_tree() -> None:
    for n, m in itertools.product((1, 7, 8, 33), (0, 1, 5)):
        tree = Tree(ENTRIES[:n])
        tree.truncate(min(m, n))
        for entry in ENTRIES[min(m, n) : 40]:
            tree.append(leaf_hash(entry))
        assert tree.root() == TREE.root(40)
