"""The log's Merkle tree (RFC 6962): roots and proofs from subtree hashes, and the two checks of a proof.

Every function that builds a proof reads hashes through ``at(level, index)``, the hash of the complete
subtree over entries ``[index·2^level, (index+1)·2^level)``; memory (`Tree`) and tiles answer alike.
Every check raises `ProofInvalid`; there is no boolean form.

Source: spec T05; RFC 6962 section 2.1; RFC 9162 sections 2.1.3.2 and 2.1.4.2.

>>> tree = Tree(f"leaf-{i}".encode() for i in range(7))
>>> from expunge.core.canonical import b64
>>> b64(tree.root()), b64(tree.root(4))
('CwB/uRXrmyoUb1SxyG7FO2ZPjkVbdmCwtu4T7cDZIcA=', 'vdHF/1WxnLaw58dhv5psyqJ/u/wHt08fq7bpEaC9KrM=')
>>> verify_inclusion(3, 7, leaf_hash(b"leaf-3"), tree.inclusion(3), tree.root())
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from expunge.core.errors import BadInput, ProofInvalid

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

At = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of a log entry: SHA-256(0x00 ‖ entry)."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256(0x01 ‖ left ‖ right)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """All complete-subtree hashes in memory, by level; an append, a root or a path is O(log n)."""

    def __init__(self, entries: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for entry in entries:
            self.append(leaf_hash(entry))

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH_BYTES

    def at(self, level: int, index: int) -> bytes:
        """Return the hash of complete subtree ``index`` of ``level``."""
        start = index * HASH_BYTES
        return bytes(self._levels[level][start : start + HASH_BYTES])

    def append(self, leaf: bytes) -> int:
        """Add a leaf hash and return its index."""
        index = self.size
        level, position, value = 0, index, leaf
        self._levels[0] += value
        while position & 1:
            value = node_hash(self.at(level, position - 1), value)
            level, position = level + 1, position >> 1
            if level == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level] += value
        return index

    def truncate(self, size: int) -> None:
        """Drop all leaves from ``size`` on."""
        for level, hashes in enumerate(self._levels):
            del hashes[(size >> level) * HASH_BYTES :]

    def root(self, size: int | None = None) -> bytes:
        """Return the root over the first ``size`` leaves (all of them by default)."""
        return root(self._known(size), self.at)

    def inclusion(self, index: int, size: int | None = None) -> list[bytes]:
        """Return the audit path of leaf ``index`` in the tree over the first ``size`` leaves."""
        return inclusion(index, self._known(size), self.at)

    def consistency(self, old: int, size: int | None = None) -> list[bytes]:
        """Return the consistency path from the first ``old`` leaves to the first ``size``."""
        return consistency(old, self._known(size), self.at)

    def _known(self, size: int | None) -> int:
        if size is None:
            return self.size
        if not 0 <= size <= self.size:
            raise BadInput(f"the tree has {self.size} leaves, not {size}")
        return size


def _span(low: int, high: int, at: At) -> bytes:
    """Return the hash over leaves ``[low, high)``; ``low`` is a multiple of a power of two ≥ high − low."""
    value = b""
    while high > low:
        level = (high & -high).bit_length() - 1
        level = min(level, (high - low).bit_length() - 1)
        subtree = at(level, (high >> level) - 1)
        value = node_hash(subtree, value) if value else subtree
        high -= 1 << level
    return value


def root(size: int, at: At) -> bytes:
    """Return the root over the first ``size`` leaves."""
    return _span(0, size, at) if size else EMPTY_ROOT


def _split(n: int) -> int:
    """Return the largest power of two smaller than ``n``."""
    return 1 << ((n - 1).bit_length() - 1)


def inclusion(index: int, size: int, at: At) -> list[bytes]:
    """Return the audit path of leaf ``index``, leaf's sibling first.

    Raises:
        BadInput: there is no such leaf.
    """
    if not 0 <= index < size:
        raise BadInput(f"no entry {index} in a log of {size}")
    low, high, path = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_span(middle, high, at))
            high = middle
        else:
            path.append(_span(low, middle, at))
            low = middle
    return path[::-1]


def consistency(old: int, size: int, at: At) -> list[bytes]:
    """Return the path that shows that the first ``old`` leaves are a prefix of the first ``size``.

    Raises:
        BadInput: ``old`` is not in 1…size.
    """
    if not 0 < old <= size:
        raise BadInput(f"no consistency proof from size {old} to size {size}")
    low, high, path, whole = 0, size, [], True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_span(middle, high, at))
            high = middle
        else:
            path.append(_span(low, middle, at))
            low, whole = middle, False
    if not whole:
        path.append(_span(low, high, at))
    return path[::-1]


def _require_hashes(*hashes: bytes) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise ProofInvalid("a hash in the proof is not 32 bytes long")


def _turns(fn: int, sn: int, path: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each hash of a path and whether it stands on the left; the path must end at the root."""
    for step in path:
        if sn == 0:
            raise ProofInvalid("the proof is too long")
        left = bool(fn & 1) or fn == sn
        if left:
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        yield step, left
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ProofInvalid("the proof is too short")


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> None:
    """Check that ``leaf`` is entry ``index`` of the tree with this size and root.

    Raises:
        ProofInvalid: the path does not lead to the root, or has a hash too many or too few.
    """
    _require_hashes(leaf, root, *path)
    if not 0 <= index < size:
        raise ProofInvalid("the index lies outside the tree")
    value = leaf
    for step, left in _turns(index, size - 1, path):
        value = node_hash(step, value) if left else node_hash(value, step)
    if value != root:
        raise ProofInvalid("the inclusion proof does not lead to the root")


def verify_consistency(old: int, size: int, old_root: bytes, root: bytes, path: Sequence[bytes]) -> None:
    """Check that the tree of ``size`` leaves extends the tree of ``old`` leaves (``old`` ≥ 1).

    Raises:
        ProofInvalid: it does not, or the path is malformed.
    """
    _require_hashes(old_root, root, *path)
    if not 0 < old <= size:
        raise ProofInvalid("the sizes are out of order")
    if old == size:
        if path or old_root != root:
            raise ProofInvalid("two trees of one size differ")
        return
    if not path:
        raise ProofInvalid("the consistency proof is empty")
    first, *rest = [old_root, *path] if old & (old - 1) == 0 else path
    shared = (old & -old).bit_length() - 1  # levels below which the old tree is one complete subtree
    was = now = first
    for step, left in _turns((old - 1) >> shared, (size - 1) >> shared, rest):
        was = node_hash(step, was) if left else was
        now = node_hash(step, now) if left else node_hash(now, step)
    if was != old_root or now != root:
        raise ProofInvalid("the consistency proof does not lead to both roots")
