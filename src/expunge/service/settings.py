"""What a store is (``store.json``), and where things lie in its directory."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from expunge.core.canonical import read_json
from expunge.core.errors import EvidenceError, StoreDamaged, StoreMissing, StoreVersion
from expunge.core.files import write_durably
from expunge.core.record import Record

FORMAT = 1


def expunge_version() -> str:
    """Return the installed version of expunge, ``0`` where it runs from a bare checkout."""
    try:
        return version("expunge")
    except PackageNotFoundError:
        return "0"


class Settings(Record):
    """The fixed facts of a store.

    Attributes:
        format: version of the directory's layout.
        expunge: version that made it.
        created_at: when; UTC.
        learner: catalogue name of the learner.
        params: its hyper-parameters.
        target: the column that is learnt; None where there is none.
        number: whether the target is a number.
        subject: the column that says who owns a record; None: every record owns itself.
        ids: the column of record ids; None: rows are numbered.
        classes: declared classes.
        holdout: share of the owners set aside for measurement.
        origin: name of the store's log.
        dataset: random reference of the records, used in the log.
    """

    format: int
    expunge: str
    created_at: str
    learner: str
    params: dict[str, Any]
    target: str | None = None
    number: bool = False
    subject: str | None = None
    ids: str | None = None
    classes: tuple[str, ...] = ()
    holdout: float
    origin: str
    dataset: str

    def save(self, path: Path) -> None:
        """Write the settings durably."""
        write_durably(path, self.canonical() + b"\n")

    @classmethod
    def load(cls, path: Path) -> Settings:
        """Read the settings of a store.

        Raises:
            StoreMissing: there is none.
            StoreVersion: another format.
            StoreDamaged: not readable.
        """
        if not path.is_file():
            raise StoreMissing(f"there is no store in {path.parent}")
        try:
            found = read_json(path.read_bytes())
            form = found.get("format") if isinstance(found, dict) else None
            if isinstance(form, int) and form != FORMAT:
                raise StoreVersion(
                    f"the store has format {form}, written by expunge {found.get('expunge', '?')};"
                    f" this is expunge {expunge_version()}, which reads format {FORMAT}"
                )
            return cls.from_json(found)
        except EvidenceError as error:
            raise StoreDamaged(f"{path.name} cannot be read: {error.message}") from error


class Layout:
    """The paths of a store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.settings = root / "store.json"
        self.lock = root / "lock"
        self.database = root / "database.sqlite"
        self.keys = root / "keys"
        self.objects = root / "objects"
        self.log = root / "log"
        self.receipts = root / "receipts"
        self.reports = root / "reports"
        self.trust = root / "trust.json"
        self.lessons = root / "lessons.json"
        self.sealed = root / "sealed"
        self.cache = root / "cache"

    def make(self) -> None:
        """Make the folders; private to the user."""
        self.root.mkdir(mode=0o700)
        for folder in (self.keys, self.objects, self.log, self.receipts, self.reports, self.sealed, self.cache):
            folder.mkdir(mode=0o700)
        self.lock.touch(mode=0o600)

    def sweep_leftovers(self) -> None:
        """Delete half-written files that a crash left (their names end in ``.tmp``)."""
        for path in self.root.rglob("*.tmp"):
            if not path.is_dir():
                path.unlink()
