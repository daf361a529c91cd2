"""``FileLog``: an append-only log in a directory, as tiles, entry bundles and a signed checkpoint.

An entry counts from the moment the checkpoint covers it. Tiles and bundles are written before the checkpoint,
each by temp, fsync, rename, fsync; a crash leaves at most one entry beyond the checkpoint, which is written
over by the next append. A partial tile is dropped once a wider one is published: it is that one's beginning.

Cost: an append hashes O(log n) and writes one partial tile, one partial bundle and the checkpoint; opening
reads the level-0 tiles (32 bytes an entry) and the last bundle.

Source: spec T06, T08; C2SP tlog-tiles.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from expunge.core.errors import (
    KeyUnsafe,
    LogRewritten,
    MalformedEvidence,
    StoreBusy,
    StoreDamaged,
    StoreMissing,
)
from expunge.core.files import TEMP, write_durably
from expunge.trust.keys import SigningKey, VerifyKey
from expunge.trust.merkle import EMPTY_ROOT, HASH_BYTES, Tree, leaf_hash
from expunge.trust.note import Checkpoint, join_note, open_note, sign_text
from expunge.trust.proof import Proof
from expunge.trust.tiles import (
    MAX_ENTRY_BYTES,
    WIDTH,
    bundle_path,
    decode_bundle,
    encode_bundle,
    parse_path,
    tile_bytes,
    tile_path,
    tiles_of,
)


class FileLog:
    """An append-only log in a directory, written by one process at a time.

    Args:
        directory: where the log lives; made, with a checkpoint of size 0, when there is none yet.
        key: the log's signing key, named like the log's origin; or its public key, to read only.

    Raises:
        StoreMissing: there is no log here and ``key`` cannot start one.
        StoreDamaged: files are missing, altered or disagree with the signed checkpoint.
        SignatureInvalid: the checkpoint is not signed by this key.
    """

    def __init__(self, directory: Path, key: SigningKey | VerifyKey) -> None:
        self._directory = Path(directory)
        self._signing = key if isinstance(key, SigningKey) else None
        self._public = key.public if isinstance(key, SigningKey) else key
        self._tree = Tree()
        self._index: dict[bytes, int] = {}
        self._tail: list[bytes] = []
        self._note = b""
        self._unsure = False
        if not (self._directory / "checkpoint").exists():
            self._start()
        self._open()

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._public.name

    @property
    def vkey(self) -> str:
        """The public key that its checkpoints are checked with."""
        return self._public.vkey

    @property
    def size(self) -> int:
        """Number of published entries."""
        return self._tree.size

    @property
    def root(self) -> bytes:
        """Merkle root over the published entries."""
        return self._tree.root()

    def checkpoint(self) -> str:
        """Return the signed checkpoint note."""
        return self._note.decode()

    def append(self, entry: bytes) -> int:
        """Add an entry, publish a checkpoint that covers it, and return its index.

        Raises:
            KeyUnsafe: the log was opened with a public key.
            StoreBusy: another process has changed the log since it was opened.
            StoreFull: the disk is full; the log is as it was.
            MalformedEvidence: the entry is longer than 65 535 bytes.
        """
        if len(entry) > MAX_ENTRY_BYTES:
            raise MalformedEvidence("a log entry is longer than 65 535 bytes")
        if self._signing is None:
            raise KeyUnsafe("the log was opened with a public key, which cannot sign")
        self._refresh()
        index = self._tree.append(leaf_hash(entry))
        try:
            self._write(entry, self._signing)
        except BaseException:
            self._tree.truncate(index)
            self._unsure = True  # the checkpoint may or may not have reached the disk
            raise
        self._index.setdefault(leaf_hash(entry), index)
        return index

    def ensure(self, entry: bytes) -> int:
        """Return the index of this exact entry, appending it if the log has it not."""
        self._refresh()
        known = self._index.get(leaf_hash(entry))
        return self.append(entry) if known is None else known

    def entry(self, index: int) -> bytes:
        """Return entry ``index``.

        Raises:
            StoreDamaged: its bytes are not what was logged.
        """
        if not 0 <= index < self.size:
            raise StoreDamaged(f"the log has no entry {index}")
        n, position = divmod(index, WIDTH)
        entry = self._bundle(n)[position]
        if leaf_hash(entry) != self._tree.at(0, index):
            raise StoreDamaged(f"entry {index} of the log was altered")
        return entry

    def entries(self) -> Iterator[bytes]:
        """Yield all entries in order, each checked against the tree."""
        for n in range(-(-self.size // WIDTH)):
            for position, entry in enumerate(self._bundle(n)):
                if leaf_hash(entry) != self._tree.at(0, n * WIDTH + position):
                    raise StoreDamaged(f"entry {n * WIDTH + position} of the log was altered")
                yield entry

    def proof(self, index: int) -> str:
        """Return the tlog-proof text of entry ``index`` under the current checkpoint."""
        return Proof(index, tuple(self._tree.inclusion(index)), self.checkpoint()).text()

    def consistency(self, old_size: int) -> list[bytes]:
        """Return the consistency path from the log's first ``old_size`` entries (≥ 1) to all of them."""
        return self._tree.consistency(old_size)

    def extends(self, old_checkpoint: str) -> None:
        """Check that this log continues the one of an earlier checkpoint note.

        Raises:
            LogRewritten: it does not: entries were altered or taken away.
            SignatureInvalid: the earlier note is not this log's.
        """
        old = self._read_note(old_checkpoint.encode())
        if old.size > self.size:
            raise LogRewritten(f"the log has {self.size} entries and had {old.size}")
        if (self._tree.root(old.size) if old.size else EMPTY_ROOT) != old.root:
            raise LogRewritten(f"the first {old.size} entries of the log are not what they were")

    def check(self) -> None:
        """Recompute everything from the entries on disk and compare.

        Raises:
            StoreDamaged: entries, tiles or checkpoint disagree, or a file is missing.
            LogRewritten: the files agree among themselves on another history than the signed one.
        """
        signed = self._read_note(self._read("checkpoint"))
        if signed.size < self.size:
            raise LogRewritten(f"the log on disk has {signed.size} entries and had {self.size}")
        tree = Tree(entry for n in range(-(-signed.size // WIDTH)) for entry in self._bundle(n, signed.size))
        for level, n, width in tiles_of(signed.size):
            path = tile_path(level, n, width)
            if self._read(path) != tile_bytes(level, n, width, tree.at):
                raise StoreDamaged(f"{path} does not follow from the entries")
        if tree.root() != signed.root or tree.root(self.size) != self._tree.root():
            raise LogRewritten("the log's entries are not those that were signed")
        self._check_reach(signed.size)

    def _check_reach(self, size: int) -> None:
        """Refuse tiles further beyond the checkpoint than the one entry that a crash can leave."""
        for file in (self._directory / "tile").rglob("*"):
            if file.is_file() and file.suffix != TEMP:
                with suppress(MalformedEvidence):  # a stranger's file is no evidence
                    level, n, width = parse_path(file.relative_to(self._directory).as_posix())
                    if (n * WIDTH + width) << (8 * max(level, 0)) > size + 1:
                        raise LogRewritten("the checkpoint is older than the log's tiles")

    def _start(self) -> None:
        if (self._directory / "tile").exists():
            raise StoreDamaged("the log has tiles but no checkpoint")
        if self._signing is None:
            raise StoreMissing(f"there is no log in {self._directory.name}")
        self._publish(self._signing)

    def _publish(self, key: SigningKey) -> None:
        text = Checkpoint(self.origin, self._tree.size, self._tree.root()).text()
        note = join_note(text, sign_text(text, key)).encode()
        write_durably(self._directory / "checkpoint", note)
        self._note = note

    def _open(self) -> None:
        note = self._read("checkpoint")
        signed = self._read_note(note)
        tree = Tree()
        for n in range(-(-signed.size // WIDTH)):
            width = min(WIDTH, signed.size - n * WIDTH)
            data = self._read(tile_path(0, n, width))
            if len(data) != width * HASH_BYTES:
                raise StoreDamaged(f"{tile_path(0, n, width)} has the wrong length")
            for i in range(0, len(data), HASH_BYTES):
                tree.append(data[i : i + HASH_BYTES])
        if tree.root() != signed.root:
            raise StoreDamaged("the log's tiles do not lead to the signed root")
        n, width = divmod(signed.size, WIDTH)
        tail = self._bundle(n, signed.size) if width else []
        if any(leaf_hash(entry) != tree.at(0, n * WIDTH + i) for i, entry in enumerate(tail)):
            raise StoreDamaged("the log's last entries were altered")
        self._tree, self._note, self._tail, self._unsure = tree, note, tail, False
        self._index = {tree.at(0, i): i for i in range(tree.size - 1, -1, -1)}
        self._sweep(signed.size)

    def _refresh(self) -> None:
        if self._unsure:
            self._open()
        elif self._read("checkpoint") != self._note:
            raise StoreBusy("another process has changed the log since it was opened")

    def _write(self, entry: bytes, key: SigningKey) -> None:
        size = self._tree.size
        tail = [*self._tail, entry]
        write_durably(self._directory / bundle_path((size - 1) // WIDTH, len(tail)), encode_bundle(tail))
        for level, n, width in _changed(size):
            data = tile_bytes(level, n, width, self._tree.at)
            write_durably(self._directory / tile_path(level, n, width), data)
        self._publish(key)
        self._tail = tail if len(tail) < WIDTH else []
        self._sweep(size)

    def _sweep(self, size: int) -> None:
        """Drop the partial tiles that the checkpoint of ``size`` superseded; they are beginnings of wider ones."""
        if self._signing is None or not size:
            return
        changed = list(_changed(size))
        paths = [tile_path(level, n, width - 1) for level, n, width in changed if width > 1]
        if changed[0][2] > 1:
            paths.append(bundle_path(changed[0][1], changed[0][2] - 1))
        for path in paths:
            file = self._directory / path
            with suppress(OSError):
                file.unlink(missing_ok=True)
                if path.endswith(f".p/{WIDTH - 1}"):
                    file.parent.rmdir()

    def _bundle(self, n: int, size: int | None = None) -> list[bytes]:
        width = min(WIDTH, (self.size if size is None else size) - n * WIDTH)
        try:
            return decode_bundle(self._read(bundle_path(n, width)), width)
        except MalformedEvidence as error:
            raise StoreDamaged(f"{bundle_path(n, width)} is malformed") from error

    def _read(self, path: str) -> bytes:
        try:
            return (self._directory / path).read_bytes()
        except OSError as error:
            raise StoreDamaged(f"the log's file {path} cannot be read: {error.strerror}") from error

    def _read_note(self, note: bytes) -> Checkpoint:
        signed = Checkpoint.parse(open_note(note, [self._public])[0])
        if signed.origin != self.origin:
            raise MalformedEvidence("the checkpoint belongs to another log")
        return signed


def _changed(size: int) -> Iterator[tuple[int, int, int]]:
    """Yield the tiles (level, n, width) that the append to ``size`` entries added a hash to."""
    level = 0
    while size:
        n, last = divmod(size - 1, WIDTH)
        yield level, n, last + 1
        if last + 1 < WIDTH:
            return
        level, size = level + 1, n + 1
