"""What this machine can do, measured once: the floors under any cost (spec XP04, section 11)."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from expunge.core.record import Record
from expunge.core.roles import Progress

DIMENSIONS: Final = 1024
BUFFER_BYTES: Final = 1 << 28
SYNCS: Final = 40


class Machine(Record):
    """Measured speeds of one thread (as far as BLAS lets itself be limited) and of the disk.

    Attributes:
        flops: float64 multiply-adds of a matrix product, times two, a second.
        bytes_per_s: bytes read a second from memory by a sum over float64.
        scattered_s: time of one read at a random place in 32 MB, many of them under way at once, in seconds.
        fsync_s: time until 4 kB are durable in a folder, median, in seconds.
    """

    flops: float
    bytes_per_s: float
    scattered_s: float
    fsync_s: float


def measure(folder: Path | None = None, progress: Progress | None = None) -> Machine:
    """Measure this machine; takes a few seconds and 256 MB.

    Args:
        folder: where durability is measured; default: the folder for temporary files.
        progress: called with (measurements done, measurements).

    Raises:
        OSError: the folder cannot be written.
    """
    works: tuple[Callable[[], float], ...] = (_flops, _bandwidth, _scattered, lambda: _fsync(folder))
    found: list[float] = []
    for done, work in enumerate(works, start=1):
        found.append(work())
        if progress is not None:
            progress(done, len(works))
    return Machine(flops=found[0], bytes_per_s=found[1], scattered_s=found[2], fsync_s=found[3])


def _best(work: Callable[[], object], times: int) -> float:
    work()
    spent = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        spent.append(time.perf_counter() - began)
    return min(spent)


def _flops() -> float:
    a = np.ones((DIMENSIONS, DIMENSIONS))
    return 2.0 * DIMENSIONS**3 / _best(lambda: a @ a, 5)


def _bandwidth() -> float:
    a = np.ones(BUFFER_BYTES // 8)

    def read() -> float:
        return float(a.sum())

    return BUFFER_BYTES / _best(read, 3)


def _scattered(n: int = 1 << 22, steps: int = 200_000) -> float:
    """Return the time of one read at a random place: 64 walks side by side through one cycle over 32 MB."""
    draw = np.random.Generator(np.random.PCG64(0))
    order = draw.permutation(n)
    following = np.empty(n, np.int64)
    following[order] = np.roll(order, -1)
    width = 64
    at = order[:width].copy()

    def walk() -> None:
        nonlocal at
        for _ in range(steps // width):
            at = following[at]

    return _best(walk, 3) / (steps // width * width)


def _fsync(folder: Path | None) -> float:
    spent = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".calibrate-") as file:
        for _ in range(SYNCS):
            began = time.perf_counter()
            file.seek(0)
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
            spent.append(time.perf_counter() - began)
    return median(spent)
