"""Trust tests do not wait for the disk: what fsync guarantees is tested by counting the steps between."""

from __future__ import annotations

import pytest

from expunge.core import files


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.os, "fsync", lambda handle: None)
