"""Arrays from strangers' files: every size is known to fit before anything is allocated, and nothing is ever unpickled.

numpy's own reader is not used: it allocates what a header claims, and warns or raises in many ways. The two layouts
that matter (``.npy``, and one array in an ``.npz``) are short enough to be read strictly here.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from expunge.core.errors import MalformedEvidence

UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    RuntimeError,
    ArithmeticError,
)
"""What reading broken files and archives raises."""
MAX_HEADER: Final = 4096
BLOCK: Final = 1 << 20
HEADER = re.compile(
    rb"\{\s*'descr'\s*:\s*'([<>|=]?(?:[iu][1248]|f[248]))'\s*,\s*'fortran_order'\s*:\s*(True|False)\s*,"
    rb"\s*'shape'\s*:\s*\(((?:\s*[0-9]{1,18}\s*,?)*)\s*\)\s*,?\s*\}\s*"
)
ZIP_SLACK: Final = 4096
"""What an archive of one member needs beside the array: its names, and a directory."""


class Shape(NamedTuple):
    """What the header of an array says: checked against what may be, before anything is read."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def n_bytes(self) -> int:
        """The size of the array."""
        return self.dtype.itemsize * prod(self.shape)


class Wanted(NamedTuple):
    """What an array may be.

    Attributes:
        kinds: letters of `numpy.dtype.kind`.
        shape: its sizes; None where any will do.
        limit_bytes: no array is larger.
    """

    kinds: str
    shape: tuple[int | None, ...]
    limit_bytes: int


def regular(path: Path) -> int:
    """Return the size of a plain file.

    Raises:
        MalformedEvidence: it is missing, a link, a folder, or something that could keep a reader waiting.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        raise MalformedEvidence(f"{path.name} is missing") from error
    if not stat.S_ISREG(found.st_mode):
        raise MalformedEvidence(f"{path.name} is not a plain file")
    return found.st_size


def digest(path: Path) -> str:
    """Return the hex SHA-256 of a plain file."""
    regular(path)
    with _refusals(path.name), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_array(path: Path, wanted: Wanted) -> npt.NDArray[Any]:
    """Read a ``.npy`` file.

    Raises:
        MalformedEvidence: it is not what is wanted, or longer or shorter than its header says.
    """
    size = regular(path)
    with _refusals(path.name), path.open("rb") as file:
        told, begins = _header(file, path.name)
        _check(told, wanted, path.name)
        if size != begins + told.n_bytes:
            raise MalformedEvidence(f"{path.name} has {size} bytes, and its header says {begins + told.n_bytes}")
        return _body(file, told, path.name)


def read_packed(path: Path, member: str, wanted: Wanted) -> npt.NDArray[Any]:
    """Read the only array of an ``.npz`` file.

    Args:
        path: the file.
        member: the array's name in it.
        wanted: with every size given, so that a packed array cannot be larger than it should be.

    Raises:
        MalformedEvidence: another member, an encrypted one, a size that is not the header's, or no such file.
    """
    most = min(wanted.limit_bytes, 8 * prod(size or 0 for size in wanted.shape))
    if regular(path) > most + most // 1000 + MAX_HEADER + ZIP_SLACK:
        raise MalformedEvidence(f"{path.name} is larger than an array of this shape can be")
    with _refusals(path.name), zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if names != [f"{member}.npy"]:
            raise MalformedEvidence(f"{path.name} must hold one array called {member!r}")
        info = archive.getinfo(names[0])
        if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MalformedEvidence(f"{path.name} is packed in a way that is not read")
        with archive.open(info) as file:
            told, begins = _header(cast(BinaryIO, file), path.name)
            _check(told, wanted, path.name)
            if info.file_size != begins + told.n_bytes:
                raise MalformedEvidence(f"{path.name} does not unpack to what its header says")
            return _body(cast(BinaryIO, file), told, path.name)


@contextmanager
def _refusals(name: str) -> Iterator[None]:
    """Turn whatever a reader of foreign bytes may raise into a refusal."""
    try:
        yield
    except UNREADABLE as error:
        raise MalformedEvidence(f"{name} cannot be read: {type(error).__name__}") from error


def _header(file: BinaryIO, name: str) -> tuple[Shape, int]:
    start = file.read(8)
    if len(start) < 8 or start[:6] != b"\x93NUMPY" or start[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
        raise MalformedEvidence(f"{name} does not hold a numpy array")
    width = 2 if start[6] == 1 else 4
    length = int.from_bytes(file.read(width), "little")
    if length > MAX_HEADER:
        raise MalformedEvidence(f"{name}: the header of the array is too long")
    found = HEADER.fullmatch(file.read(length))
    if found is None:
        raise MalformedEvidence(f"{name}: the header of the array is not one of plain numbers")
    shape = tuple(int(size) for size in found[3].replace(b",", b" ").split())
    return Shape(np.dtype(found[1].decode()), shape, found[2] == b"True"), 8 + width + length


def _check(told: Shape, wanted: Wanted, name: str) -> None:
    if told.dtype.kind not in wanted.kinds:
        raise MalformedEvidence(f"{name}: numbers of type {told.dtype} are not expected here")
    fits = len(told.shape) == len(wanted.shape) and all(
        want in (None, size) for size, want in zip(told.shape, wanted.shape, strict=True)
    )
    if not fits:
        asked = ", ".join("any" if size is None else str(size) for size in wanted.shape)
        raise MalformedEvidence(f"{name} has the shape {told.shape}, and ({asked}) is expected")
    if told.n_bytes > wanted.limit_bytes:
        raise MalformedEvidence(f"{name} has {told.n_bytes:,} bytes, more than the {wanted.limit_bytes:,} allowed")


def _body(file: BinaryIO, told: Shape, name: str) -> npt.NDArray[Any]:
    flat = np.empty(told.n_bytes, np.uint8)
    at = 0
    while at < told.n_bytes:
        block = file.read(min(BLOCK, told.n_bytes - at))
        if not block:
            raise MalformedEvidence(f"{name} ends too early")
        flat[at : at + len(block)] = np.frombuffer(block, np.uint8)
        at += len(block)
    if file.read(1):  # at the end of a packed array, this is what checks its sum
        raise MalformedEvidence(f"{name} goes on behind its array")
    array = flat.view(told.dtype)
    shaped = array.reshape(told.shape[::-1]).transpose() if told.fortran else array.reshape(told.shape)
    return shaped.astype(told.dtype.newbyteorder("="), copy=False)
