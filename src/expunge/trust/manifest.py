"""Record commitments, and the sparse Merkle map that says which records are in, and which are not.

A manifest maps keyed pseudonyms of records to hiding commitments: D holds a training set, U the forgotten
records. One root gives one answer a key, even when the tree was built by a liar; a record hidden at a wrong
place is invisible to proofs and caught only by a rebuild.

Guarantee: binding under SHA-256; hiding by a random nonce a record. Cost: a build of n keys sorts and hashes
each once, O(n log n); a proof is about log2 n hashes.

Source: spec T03, T04.

>>> c = commitment(b"hello", bytes(range(32)))
>>> c.hex()
'67723f56d956de21cd6c1398a631e337899c4085cba680f373fb97b0d2e5d9df'
>>> record_key(bytes([4]) * 32, "r-1").hex()
'3c2dad874204a9ebaea1c08873ff64e85d9231c9400ad10036197e8ff9896fe2'
>>> content_key(bytes([4]) * 32, b"hello").hex()
'ca4ea84424115b5cfcc8c5e5a474d9fdc4904fadef492863b00d5a1740091545'
>>> five = SparseMap({sha256(f"k{i}".encode()): sha256(f"v{i}".encode()) for i in range(5)})
>>> five.root.hex()
'285018b6d9519894719d7455b77cd66d1ac2272e739982e6ac45fa3289bf05d7'
>>> proof = five.prove(sha256(b"absent"))
>>> len(proof.siblings), proof.terminal == (sha256(b"k1").hex(), sha256(b"v1").hex())
(2, True)
>>> verify_absence(five.root, sha256(b"absent"), proof)
>>> SparseMap({sha256(b"k0"): sha256(b"v0")}).root.hex()
'1fc9a1e2139118efd2f63462945ab29ffcfd9b29d9eedd7e31ef9c9ba90daf74'
"""

from __future__ import annotations

import hashlib
import hmac
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from expunge.core.canonical import sha256
from expunge.core.errors import BadInput, ProofInvalid
from expunge.core.record import Record
from expunge.trust.fields import Hex32

EMPTY = bytes(32)
BITS = 256
CACHED_SPAN = 16  # subtrees of fewer keys are hashed again when a proof needs them


def commitment(record: bytes, nonce: bytes) -> bytes:
    """Return the hiding commitment c of a record's bytes under a fresh 32-byte nonce.

    Raises:
        BadInput: the nonce is not 32 bytes.
    """
    if len(nonce) != 32:
        raise BadInput("a commitment's nonce is 32 bytes")
    return sha256(b"expunge/record/v1\n", nonce, sha256(record))


def record_key(secret: bytes, record_id: str) -> bytes:
    """Return the pseudonym of a stable id under the manifest key."""
    return hmac.digest(secret, b"expunge/key/v1\n" + record_id.encode(), "sha256")


def content_key(secret: bytes, record: bytes) -> bytes:
    """Return the pseudonym of a record's content under the manifest key (catches re-ingestion)."""
    return hmac.digest(secret, b"expunge/content/v1\n" + sha256(record), "sha256")


def _terminal_hash(key: bytes, value: bytes) -> bytes:
    return hashlib.sha256(b"\x20" + key + value).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x21" + left + right).digest()


def _bit(key: bytes, depth: int) -> int:
    return (key[depth >> 3] >> (7 - (depth & 7))) & 1


class MapProof(Record):
    """What a map's root says of one key.

    Attributes:
        siblings: hashes beside the path, from the root down (hex).
        terminal: the one (key, value) at the end of the path (hex), or None where it is empty.
    """

    siblings: tuple[Hex32, ...]
    terminal: tuple[Hex32, Hex32] | None = None


class SparseMap:
    """A sparse Merkle map from 32-byte keys to 32-byte values.

    Raises:
        BadInput: a key or value is not 32 bytes long.
    """

    def __init__(self, items: Mapping[bytes, bytes]) -> None:
        if any(len(k) != 32 or len(v) != 32 for k, v in items.items()):
            raise BadInput("keys and values of a map are 32 bytes")
        self._keys = sorted(items)
        self._numbers = [int.from_bytes(key, "big") for key in self._keys]
        self._leaves = [_terminal_hash(key, items[key]) for key in self._keys]
        self._items = items
        self._cache: dict[tuple[int, int, int], bytes] = {}
        self.root = self._hash(0, len(self._keys), 0)

    def __len__(self) -> int:
        return len(self._keys)

    def _cut(self, low: int, high: int, depth: int) -> int:
        """Return where bit ``depth`` turns from 0 to 1 in the sorted keys ``[low, high)``."""
        mask = 1 << (BITS - 1 - depth)
        number = self._numbers[low] & ~(mask - 1) | mask
        return bisect_left(self._numbers, number, low, high)

    def _hash(self, low: int, high: int, depth: int) -> bytes:
        if high - low <= 1:
            return self._leaves[low] if high > low else EMPTY
        if high - low >= CACHED_SPAN:
            known = self._cache.get((low, high, depth))
            if known is not None:
                return known
        middle = self._cut(low, high, depth)
        value = _node(self._hash(low, middle, depth + 1), self._hash(middle, high, depth + 1))
        if high - low >= CACHED_SPAN:
            self._cache[low, high, depth] = value
        return value

    def prove(self, key: bytes) -> MapProof:
        """Return the proof of what the map says of ``key``: membership or absence."""
        low, high, depth, siblings = 0, len(self._keys), 0, []
        while high - low > 1:
            middle = self._cut(low, high, depth)
            if _bit(key, depth):
                siblings.append(self._hash(low, middle, depth + 1))
                low = middle
            else:
                siblings.append(self._hash(middle, high, depth + 1))
                high = middle
            depth += 1
        terminal = None
        if high > low:
            found = self._keys[low]
            terminal = (found.hex(), self._items[found].hex())
        return MapProof(siblings=tuple(s.hex() for s in siblings), terminal=terminal)


def _fold(root: bytes, key: bytes, value: bytes, proof: MapProof) -> None:
    if len(proof.siblings) > BITS:
        raise ProofInvalid("a map proof has more than 256 siblings")
    for depth in range(len(proof.siblings) - 1, -1, -1):
        sibling = bytes.fromhex(proof.siblings[depth])
        value = _node(sibling, value) if _bit(key, depth) else _node(value, sibling)
    if value != root:
        raise ProofInvalid("the map proof does not lead to the root")


def verify_membership(root: bytes, key: bytes, value: bytes, proof: MapProof) -> None:
    """Check that the map with this root holds ``value`` at ``key``.

    Raises:
        ProofInvalid: the proof does not show it.
    """
    if proof.terminal != (key.hex(), value.hex()):
        raise ProofInvalid("the map proof ends at another record")
    _fold(root, key, _terminal_hash(key, value), proof)


def verify_absence(root: bytes, key: bytes, proof: MapProof) -> None:
    """Check that the map with this root has no ``key``.

    Raises:
        ProofInvalid: the proof does not show it.
    """
    if proof.terminal is None:
        _fold(root, key, EMPTY, proof)
        return
    other, value = (bytes.fromhex(part) for part in proof.terminal)
    if other == key:
        raise ProofInvalid("the map holds the key")
    if any(_bit(other, depth) != _bit(key, depth) for depth in range(min(len(proof.siblings), BITS))):
        raise ProofInvalid("the record at the end of the map proof lies on another path")
    _fold(root, key, _terminal_hash(other, value), proof)


def forgotten_items(leaving: Iterable[tuple[bytes, bytes, bytes]]) -> dict[bytes, bytes]:
    """Return what U gains when records (key, content key, c) leave: both pseudonyms → c."""
    gained: dict[bytes, bytes] = {}
    for key, content, c in leaving:
        gained[key] = gained[content] = c
    return gained


def check_run(
    data: tuple[Mapping[bytes, bytes], Mapping[bytes, bytes]],
    unlearned: tuple[Mapping[bytes, bytes], Mapping[bytes, bytes]],
    leaving: Iterable[tuple[bytes, bytes, bytes]],
    arriving: Iterable[tuple[bytes, bytes, bytes]] = (),
) -> None:
    """Check the relations of a run: S ⊆ D, D′ = (D∖S) ∪ A, U′ = U ∪ S, A ∩ U′ = ∅, nothing else changed.

    Args:
        data: the map D before and after.
        unlearned: the map U before and after.
        leaving: the records S as (key, content key, c).
        arriving: the records A in the same form.

    Raises:
        ProofInvalid: a relation does not hold.
    """
    (before, after), (u_before, u_after) = data, unlearned
    left, came = list(leaving), list(arriving)
    gone = {key: c for key, _, c in left}
    if any(before.get(key) != c for key, c in gone.items()):
        raise ProofInvalid("a record that left was not in the training set")
    kept = {key: c for key, c in before.items() if key not in gone}
    if dict(after) != kept | {key: c for key, _, c in came}:
        raise ProofInvalid("the training set after is not what was kept and what arrived")
    if dict(u_after) != dict(u_before) | forgotten_items(left):
        raise ProofInvalid("the map of forgotten records did not grow by exactly those that left")
    if any(key in u_after or content in u_after for key, content, _ in came):
        raise ProofInvalid("a forgotten record was taken in again")
