"""Tiles: which files a log of a given size has, their names, and proofs read from them (V6)."""

from __future__ import annotations

import random

import pytest

from expunge.core.errors import MalformedEvidence
from expunge.trust import merkle
from expunge.trust.merkle import Tree
from expunge.trust.tiles import (
    ENTRIES,
    TileReader,
    bundle_path,
    decode_bundle,
    edge_of,
    encode_bundle,
    parse_path,
    tile_bytes,
    tile_path,
    tiles_of,
)

SIZE = 70_000


@pytest.fixture(scope="module")
def tree() -> Tree:
    return Tree(b"%d" % i for i in range(SIZE))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, {}),
        (1, {0: (0, 1)}),
        (255, {0: (0, 255)}),
        (256, {0: (1, 0), 1: (0, 1)}),
        (257, {0: (1, 1), 1: (0, 1)}),
        (65_535, {0: (255, 255), 1: (0, 255)}),
        (65_536, {0: (256, 0), 1: (1, 0), 2: (0, 1)}),
        (70_000, {0: (273, 112), 1: (1, 17), 2: (0, 1)}),
    ],
)
def test_a_log_has_these_tiles(size: int, expected: dict[int, tuple[int, int]]) -> None:
    tiles = list(tiles_of(size))
    found = {
        level: (
            sum(t[0] == level and t[2] == 256 for t in tiles),
            sum(t[2] for t in tiles if t[0] == level and t[2] < 256),
        )
        for level in {t[0] for t in tiles}
    }
    assert found == expected
    assert list(edge_of(size)) == [t for t in tiles if t[2] < 256]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_proofs_from_tiles_equal_proofs_from_memory(tree: Tree, seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(170):
        size = draw.randint(1, SIZE)
        index, old = draw.randrange(size), draw.randint(1, size)

        def read(path: str, size: int = size) -> bytes:
            level, n, width = parse_path(path)
            assert (level, n, width) in [(level, n, min(256, (size >> 8 * level) - 256 * n))]
            return tile_bytes(level, n, width, tree.at)

        tiles = TileReader(size, read)
        assert merkle.root(size, tiles.at) == tree.root(size)
        assert merkle.inclusion(index, size, tiles.at) == tree.inclusion(index, size)
        assert merkle.consistency(old, size, tiles.at) == tree.consistency(old, size)


def test_a_tile_of_the_wrong_width_is_refused(tree: Tree) -> None:
    for spoil in (lambda b: b[:-1], lambda b: b + bytes(32), lambda b: b""):
        tiles = TileReader(300, lambda path, spoil=spoil: spoil(tile_bytes(*parse_path(path), tree.at)))
        with pytest.raises(MalformedEvidence):
            merkle.root(300, tiles.at)


@pytest.mark.parametrize("n", [0, 5, 999, 1000, 999_999, 1_000_000, 1_234_067])
def test_a_path_reads_back(n: int) -> None:
    for level, width in [(0, 256), (63, 1), (ENTRIES, 255), (ENTRIES, 256)]:
        assert parse_path(tile_path(level, n, width)) == (level, n, width)
    assert bundle_path(n) == tile_path(ENTRIES, n)


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/1234/067", "tile/0/001/234", "tile/0/x000/001", "tile/00/001", "tile/64/001", "tile/0/001.p/0",
        "tile/0/001.p/256", "tile/0/001.p/01", "tile/0/001.p/", "tile/0/1", "tile/0/x001", "/tile/0/001",
        "tile/0/001/", "tile/-1/001", "tile/entries/001.p/300", "tile/0/../001", "tile/0/٠٠١", "checkpoint", "",
    ],
)  # fmt: skip
def test_a_path_has_one_spelling(path: str) -> None:
    with pytest.raises(MalformedEvidence):
        parse_path(path)


def test_a_bundle_reads_back_and_a_tampered_one_does_not() -> None:
    entries = [b"", b"a", b"b" * 65_535]
    data = encode_bundle(entries)
    assert decode_bundle(data, 3) == entries
    wrong = [(data[:-1], 3), (data + b"\0", 3), (data + b"\0\0", 3), (data, 2), (data, 4), (b"", 1), (b"\0\0", 0)]
    for spoilt, width in wrong:
        with pytest.raises(MalformedEvidence):
            decode_bundle(spoilt, width)
    with pytest.raises(MalformedEvidence):
        encode_bundle([b"x" * 65_536])
