"""Where an audit keeps the signals of its models: in chunks that a crash leaves whole or absent, and that are purged.

One chunk = one ``.npz``, written to a temporary name, synced and renamed; then one line in ``chunks.jsonl`` says its
digest, rows, seeds and seconds. A chunk without a line, or that is not what its line says, is computed again. The key
of a folder is the digest of everything that decides the numbers in it, so nothing else can ever be found there.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import Field

from expunge.audit.npy import UNREADABLE
from expunge.core import files
from expunge.core.canonical import Arrays, json_digest, read_json, sha256
from expunge.core.errors import MalformedEvidence
from expunge.core.record import Record

JOURNAL: Final = "chunks.jsonl"
FOLDER: Final = "signals-"
PRIVATE: Final = 0o600


def pack(arrays: Arrays) -> bytes:
    """Return the bytes of an ``.npz``: equal arrays give equal bytes; never a pickle."""
    body = BytesIO()
    np.savez(body, allow_pickle=False, **arrays)
    return body.getvalue()


def unpack(body: bytes) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of an ``.npz`` of ours.

    Raises:
        Exception: it is damaged (`npy.UNREADABLE`).
    """
    with np.load(BytesIO(body), allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


class Chunk(Record):
    """One line of the journal.

    Attributes:
        sha256: hex SHA-256 of the chunk's file.
        start: its first row.
        stop: one past its last row.
        seeds: what tells the models' keys apart, one a row.
        seconds: how long the models took.
    """

    sha256: str
    start: int = Field(ge=0)
    stop: int = Field(ge=1)
    seeds: tuple[str, ...]
    seconds: float = Field(ge=0)

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"rows-{self.start:07d}-{self.stop:07d}.npz"


@dataclass(frozen=True)
class Signals:
    """The folder of one key: rows 0, 1, 2 … of named arrays, one row a model.

    Attributes:
        folder: where it lies.
    """

    folder: Path

    @classmethod
    def under(cls, root: Path, deciding: Mapping[str, Any]) -> Signals:
        """Return the place for what these facts decide.

        Args:
            root: the store.
            deciding: everything that decides the numbers: learner, data, key, code ... as JSON-able data.
        """
        return cls(root / f"{FOLDER}{json_digest(dict(deciding))}")

    def rows(self) -> dict[int, dict[str, npt.NDArray[Any]]]:
        """Return every row that is there and whole; says which chunks are not, and why nothing is lost by it."""
        found: dict[int, dict[str, npt.NDArray[Any]]] = {}
        for chunk in self.chunks():
            if chunk.start in found and chunk.stop - 1 in found:
                continue
            arrays = self._read(chunk)
            if arrays is None:
                warnings.warn(f"{chunk.file} is damaged; its models are made again", RuntimeWarning, stacklevel=3)
                continue
            for row in range(chunk.start, chunk.stop):
                found[row] = {name: array[row - chunk.start] for name, array in arrays.items()}
        return found

    def chunks(self) -> Iterator[Chunk]:
        """Yield the lines of the journal; one that a crash has cut short is passed over."""
        try:
            lines = (self.folder / JOURNAL).read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                yield Chunk.from_json(read_json(line))
            except MalformedEvidence:
                continue

    def _read(self, chunk: Chunk) -> dict[str, npt.NDArray[Any]] | None:
        try:
            body = (self.folder / chunk.file).read_bytes()
            arrays = unpack(body) if sha256(body).hex() == chunk.sha256 else {}
        except UNREADABLE:
            return None
        n = chunk.stop - chunk.start
        return arrays if arrays and all(len(array) == n for array in arrays.values()) else None

    def add(self, start: int, arrays: Arrays, seeds: Sequence[str], seconds: float) -> None:
        """Keep a chunk: first its file, whole, then its line.

        Args:
            start: its first row.
            arrays: one row a model.
            seeds: one a row.
            seconds: how long it took.

        Raises:
            StoreFull: no space, or no right to write.
        """
        body = pack(arrays)
        chunk = Chunk(
            sha256=sha256(body).hex(), start=start, stop=start + len(seeds), seeds=tuple(seeds), seconds=seconds
        )
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_durably(self.folder / chunk.file, body, PRIVATE)
        _append(self.folder / JOURNAL, chunk.canonical() + b"\n")

    def note(self, name: str, value: Any) -> None:
        """Keep a decision that must not be taken anew when work goes on."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.write_durably(self.folder / f"{name}.json", json.dumps(value).encode(), PRIVATE)

    def noted(self, name: str) -> Any:
        """Return a decision that was kept, or None."""
        try:
            return read_json((self.folder / f"{name}.json").read_bytes())
        except (OSError, MalformedEvidence):
            return None


def _append(path: Path, line: bytes) -> None:
    """Add a line, on a line of its own even where a crash has cut the last one short."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, PRIVATE)
    with os.fdopen(handle, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        torn = file.read(1) not in (b"", b"\n")
        file.write((b"\n" if torn else b"") + line)
        file.flush()
        os.fsync(file.fileno())
    files.sync_folder(path.parent)


def purge(root: Path, older_than_s: float = 0.0) -> int:
    """Delete what audits have kept in a folder, and return how many folders of models went.

    All of them go: which records a model held is membership of the forgotten, whether they were in it or not.

    Args:
        root: the store.
        older_than_s: only what was begun so many seconds ago or more (a policy's `retention_s`).
    """
    found = [path for path in root.glob(f"{FOLDER}*") if path.is_dir()] if root.is_dir() else []
    old = [path for path in found if time.time() - _begun(path) >= older_than_s]
    for path in old:
        shutil.rmtree(path)
    if old:
        files.sync_folder(root)
    return len(old)


def _begun(folder: Path) -> float:
    return min([folder.stat().st_mtime, *(path.stat().st_mtime for path in folder.iterdir())])


def remove(folder: Path, prefix: str) -> int:
    """Delete the files of a folder whose names begin so (half-written ones too), and return how many there were."""
    found = [*folder.glob(f"{prefix}*"), *folder.glob(f".{prefix}*")] if folder.is_dir() else []
    for path in found:
        path.unlink(missing_ok=True)
    if found:
        files.sync_folder(folder)
    return len(found)
