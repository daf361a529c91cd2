"""A disk that is really full: nothing is half-changed, and the same command works once there is space again."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from expunge.core.errors import StoreFull
from expunge.service.forgetting import forget
from expunge.service.reading import headline
from expunge.service.store import Store
from service.world import PERSON, build, clinic, traces, wish


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of two megabytes, where that is allowed."""
    place = tmp_path / "disk"
    place.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode != 0:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, leave: int) -> Path:
    """Fill the disk but for a few bytes."""
    free = os.statvfs(place)
    ballast = place / "ballast"
    ballast.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - leave))
    return ballast


@pytest.mark.parametrize("leave", [0, 12_000, 40_000, 72_000, 120_000])
def test_forgetting_on_a_full_disk(disk: Path, leave: int) -> None:
    build(disk / "store", frame=clinic(90))
    with Store.open(disk / "store") as store:
        digest = store.deployment().model.digest()
    ballast = fill(disk, leave)
    try:
        done = forget(disk / "store", wish())
    except StoreFull:
        ballast.unlink()
        with Store.open(disk / "store") as store:
            deployment = store.deployment()
            assert deployment.model.digest() == deployment.learner.fit(deployment.data, deployment.key).digest()
            if deployment.data.owned_by(PERSON):
                assert deployment.model.digest() == digest
        done = forget(disk / "store", wish())  # the same request goes on, or starts anew
    assert headline(done)["equals_retrained"] is True
    assert traces(disk / "store") == {}


def test_training_on_a_full_disk_leaves_nothing(disk: Path) -> None:
    fill(disk, 30_000)
    with pytest.raises(StoreFull):
        build(disk / "store")
    assert [p.name for p in disk.iterdir()] == ["ballast"]
