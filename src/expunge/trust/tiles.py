"""Tiles and bundles: the log as immutable files that anybody can serve (C2SP tlog-tiles).

A tile holds up to 256 hashes of one level-group; a bundle holds up to 256 entries. Hash ``i`` of tile ``n``
on tile level ``L`` covers entries ``[(256n + i)·256^L, (256n + i + 1)·256^L)``.

Source: spec T08.

>>> tile_path(0, 1234067), tile_path(1, 3, 17), bundle_path(0, 5)
('tile/0/x001/x234/067', 'tile/1/003.p/17', 'tile/entries/000.p/5')
>>> parse_path("tile/1/003.p/17")
(1, 3, 17)
>>> [(level, n, width) for level, n, width in tiles_of(256)]
[(0, 0, 256), (1, 0, 1)]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from expunge.core.errors import MalformedEvidence
from expunge.trust.merkle import HASH_BYTES, node_hash

WIDTH = 256
MAX_LEVEL = 63
MAX_ENTRY_BYTES = 65_535
ENTRIES = -1  # the "level" of bundles

_PATH = re.compile(r"tile/(entries|0|[1-9]\d?)/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


def _number(n: int) -> str:
    groups = [f"{n % 1000:03d}"]
    while n := n // 1000:
        groups.append(f"x{n % 1000:03d}")
    return "/".join(reversed(groups))


def tile_path(level: int, n: int, width: int = WIDTH) -> str:
    """Return the path of tile ``n`` on tile level ``level``, relative to the log."""
    tail = "" if width == WIDTH else f".p/{width}"
    return f"tile/{'entries' if level == ENTRIES else level}/{_number(n)}{tail}"


def bundle_path(n: int, width: int = WIDTH) -> str:
    """Return the path of entry bundle ``n``, relative to the log."""
    return tile_path(ENTRIES, n, width)


def parse_path(path: str) -> tuple[int, int, int]:
    """Return (level, n, width) of a tile path; level is `ENTRIES` for a bundle.

    Raises:
        MalformedEvidence: it is not the one spelling of a tile's path.
    """
    found = _PATH.fullmatch(path)
    if not found:
        raise MalformedEvidence("not a tile path")
    level = ENTRIES if found[1] == "entries" else int(found[1])
    n, width = int(found[2].replace("/", "").replace("x", "")), int(found[3] or WIDTH)
    if level > MAX_LEVEL or width > WIDTH or tile_path(level, n, width) != path:
        raise MalformedEvidence("not a tile path")
    return level, n, width


def edge_of(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield the partial tiles (level, n, width) of a tree, lowest level first."""
    level = 0
    while size:
        n, width = divmod(size, WIDTH)
        if width:
            yield level, n, width
        level, size = level + 1, n


def tiles_of(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield all tiles (level, n, width) of a tree with ``size`` entries."""
    level = 0
    while size:
        full, width = divmod(size, WIDTH)
        yield from ((level, n, WIDTH) for n in range(full))
        if width:
            yield level, full, width
        level, size = level + 1, full


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return the bytes of an entry bundle: each entry behind its u16 length.

    Raises:
        MalformedEvidence: an entry is longer than 65 535 bytes.
    """
    if any(len(entry) > MAX_ENTRY_BYTES for entry in entries):
        raise MalformedEvidence("a log entry is longer than 65 535 bytes")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> list[bytes]:
    """Return the ``width`` entries of a bundle.

    Raises:
        MalformedEvidence: it does not hold exactly that many.
    """
    entries: list[bytes] = []
    position = 0
    while position < len(data) and len(entries) <= width:
        stop = position + 2 + int.from_bytes(data[position : position + 2], "big")
        if stop > len(data) or position + 2 > len(data):
            raise MalformedEvidence("an entry bundle is cut off")
        entries.append(data[position + 2 : stop])
        position = stop
    if len(entries) != width:
        raise MalformedEvidence("an entry bundle holds another number of entries")
    return entries


def tile_bytes(level: int, n: int, width: int, at: Callable[[int, int], bytes]) -> bytes:
    """Return the bytes of a tile, given the tree's subtree hashes."""
    return b"".join(at(8 * level, n * WIDTH + i) for i in range(width))


class TileReader:
    """A tree's subtree hashes, read from tiles through ``read(path)``; works like `merkle.Tree.at`."""

    def __init__(self, size: int, read: Callable[[str], bytes]) -> None:
        self.size = size
        self._read = read
        self._tiles: dict[tuple[int, int], bytes] = {}

    def at(self, level: int, index: int) -> bytes:
        """Return the hash of complete subtree ``index`` of ``level``.

        Raises:
            MalformedEvidence: the tile that holds it has the wrong length.
        """
        tile_level, above = divmod(level, 8)
        first = index << above
        return self._fold(tile_level, first, above)

    def _fold(self, tile_level: int, first: int, above: int) -> bytes:
        n, start = divmod(first, WIDTH)
        data = self._tile(tile_level, n)
        row = [data[i * HASH_BYTES : (i + 1) * HASH_BYTES] for i in range(start, start + (1 << above))]
        while len(row) > 1:
            row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
        return row[0]

    def _tile(self, level: int, n: int) -> bytes:
        if (level, n) not in self._tiles:
            width = min(WIDTH, (self.size >> (8 * level)) - n * WIDTH)
            data = self._read(tile_path(level, n, width))
            if width < 1 or len(data) != width * HASH_BYTES:
                raise MalformedEvidence("a tile has the wrong length")
            self._tiles[level, n] = data
        return self._tiles[level, n]
