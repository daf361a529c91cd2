"""What all tests share: where compiled kernels are kept, how hypothesis runs, and the data sets beside the checkout."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from expunge import catalog

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"

# before anything compiles: kernels are compiled once for all tests and workers
os.environ.setdefault("NUMBA_CACHE_DIR", str(ROOT / "build" / "numba"))
os.environ.setdefault("MPLCONFIGDIR", str(ROOT / "build" / "matplotlib"))
os.environ.setdefault("MPLBACKEND", "Agg")

# whoever is started in the background has interrupts ignored, and so would all tests of interrupts be
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# a shared machine is slow at times, and a test must say the same thing twice
settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def data_folder(name: str) -> Path:
    """Return the folder of a data set beside the checkout, or skip the test with the reason."""
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"data set {name!r} is not beside the checkout (looked in ../shared/data)")
    return folder


@pytest.fixture(scope="session")
def shared_folder() -> Callable[[str], Path]:
    """Return `data_folder`: the folder of a data set beside the checkout, or a skip with the reason."""
    return data_folder


@pytest.fixture(scope="session")
def shared_data() -> Callable[..., pd.DataFrame]:
    """Return a loader of the tables beside the checkout: ``shared_data("adult")`` → frame; skips where absent.

    The only compressed CSV of the folder is read; name it (``shared_data("x", "file.csv.xz")``) if there are several.
    Keyword arguments go to ``pandas.read_csv``. Tests that use it are marked ``data``.
    """

    def load(name: str, file: str | None = None, **options: object) -> pd.DataFrame:
        import pandas as pd

        folder = data_folder(name)
        found = [folder / file] if file else sorted(folder.glob("*.csv.xz"))
        if len(found) != 1 or not found[0].is_file():
            raise FileNotFoundError(f"{name}: expected one table, found {[p.name for p in found]}")
        return pd.read_csv(found[0], low_memory=False, **options)  # type: ignore[call-overload,no-any-return]

    return load


@pytest.fixture(scope="module", autouse=True)
def menu_as_shipped() -> Iterator[None]:
    """What a module puts on the menu for its tests is gone after them."""
    before = catalog.ENTRIES
    yield
    catalog.ENTRIES = before
