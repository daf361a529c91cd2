"""The store's SQLite file: versions, cases and nothing else; deleted content is overwritten, never only unlinked."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from expunge.core.errors import StoreBusy, StoreDamaged, StoreFull, StoreUnfinished

VersionState = Literal["staged", "active", "sealed", "destroyed"]
CaseState = Literal["open", "published", "closed"]

_SCHEMA = """
CREATE TABLE versions(
  number INTEGER PRIMARY KEY,
  state TEXT NOT NULL CHECK (state IN ('staged', 'active', 'sealed', 'destroyed')),
  digest TEXT NOT NULL,
  objects TEXT,
  fit_s REAL,
  created_at TEXT NOT NULL,
  keep_until REAL,
  destroyed_at TEXT
) STRICT;
CREATE UNIQUE INDEX one_active ON versions(state) WHERE state = 'active';
CREATE TABLE cases(
  ref TEXT PRIMARY KEY,
  seq INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('open', 'published', 'closed')),
  verdict TEXT,
  body TEXT,
  progress TEXT,
  version INTEGER REFERENCES versions(number),
  keep_until REAL,
  opened_at TEXT NOT NULL,
  closed_at TEXT
) STRICT;
CREATE UNIQUE INDEX one_open ON cases((1)) WHERE state <> 'closed';
PRAGMA user_version = 1;
"""


def now() -> str:
    """Return the time in UTC, to the second, as text."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Version:
    """A row of ``versions``: one model and its data; ``objects`` is JSON, and None once destroyed."""

    number: int
    state: VersionState
    digest: str
    objects: str | None
    fit_s: float | None
    created_at: str
    keep_until: float | None
    destroyed_at: str | None


@dataclass(frozen=True)
class CaseRow:
    """A row of ``cases``: one request; body and progress are None once the case is closed."""

    ref: str
    seq: int
    state: CaseState
    verdict: str | None
    body: str | None
    progress: str | None
    version: int | None
    keep_until: float | None
    opened_at: str
    closed_at: str | None


_FIELDS = {kind: ", ".join(kind.__dataclass_fields__) for kind in (Version, CaseRow)}


class Database:
    """One connection. Every method is one transaction; `write` joins several."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise StoreDamaged(f"{path.name} is missing")
        with _translated():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5)
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "temp_store=MEMORY"):
                self._db.execute(f"PRAGMA {pragma}")
            if self._db.execute("PRAGMA user_version").fetchone() != (1,):
                raise StoreDamaged(f"{path.name} is not the database of this store's format")

    @classmethod
    def create(cls, path: Path) -> Database:
        """Make an empty database."""
        with _translated():
            db = sqlite3.connect(path, isolation_level=None)
            db.executescript(_SCHEMA)
            db.close()
        path.chmod(0o600)
        return cls(path)

    def close(self) -> None:
        """Close the connection; the last one out folds the WAL into the database and removes it."""
        with _translated():
            self._db.close()

    @contextmanager
    def write(self) -> Iterator[None]:
        """Run a block as one transaction: all of it or nothing."""
        with _translated():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def _do(self, sql: str, **values: Any) -> None:
        with _translated():
            self._db.execute(sql, values)

    def _rows(self, sql: str, **values: Any) -> list[tuple[Any, ...]]:
        with _translated():
            return list(self._db.execute(sql, values))

    # versions

    def versions(self, *states: VersionState) -> list[Version]:
        """Return the versions in these states (none named: all), oldest first."""
        rows = self._rows(f"SELECT {_FIELDS[Version]} FROM versions ORDER BY number")  # noqa: S608 - our own names
        return [v for v in (Version(*row) for row in rows) if not states or v.state in states]

    def active(self) -> Version:
        """Return the version in use.

        Raises:
            StoreDamaged: there is none.
        """
        found = self.versions("active")
        if not found:
            raise StoreDamaged("the store has no active model version")
        return found[0]

    def add_version(self, state: VersionState, digest: str, objects: str, fit_s: float | None) -> int:
        """Insert a version and return its number."""
        self._do(
            "INSERT INTO versions(state, digest, objects, fit_s, created_at) VALUES(:s, :d, :o, :f, :t)",
            s=state,
            d=digest,
            o=objects,
            f=fit_s,
            t=now(),
        )
        return int(self._rows("SELECT max(number) FROM versions")[0][0])

    def set_version(self, number: int, state: VersionState, keep_until: float | None = None) -> None:
        """Change a version's state; once sealed to a day or destroyed, its row forgets what it was made of."""
        self._do(
            "UPDATE versions SET state = :s, keep_until = :k WHERE number = :n",
            s=state,
            k=keep_until,
            n=number,
        )
        if keep_until is not None or state == "destroyed":
            self._do("UPDATE versions SET objects = NULL WHERE number = :n", n=number)
        if state == "destroyed":
            self._do("UPDATE versions SET destroyed_at = :t WHERE number = :n", t=now(), n=number)

    def drop_staged(self) -> None:
        """Delete versions that were staged and never published."""
        self._do(
            "UPDATE cases SET version = NULL WHERE version IN (SELECT number FROM versions WHERE state = 'staged')"
        )
        self._do("DELETE FROM versions WHERE state = 'staged'")

    # cases

    def cases(self) -> list[CaseRow]:
        """Return every case, oldest first."""
        rows = self._rows(f"SELECT {_FIELDS[CaseRow]} FROM cases ORDER BY rowid")  # noqa: S608 - our own names
        return [CaseRow(*row) for row in rows]

    def unfinished(self) -> CaseRow | None:
        """Return the case that waits to be finished, if there is one (there is at most one)."""
        return next((case for case in self.cases() if case.state != "closed"), None)

    def open_case(self, ref: str, body: str, keep_until: float | None) -> None:
        """Insert a case with the whole request, in one transaction.

        Raises:
            StoreUnfinished: another case is open.
        """
        try:
            self._do(
                "INSERT INTO cases(ref, seq, state, body, keep_until, opened_at) VALUES(:r, 0, 'open', :b, :k, :t)",
                r=ref,
                b=body,
                k=keep_until,
                t=now(),
            )
        except sqlite3.IntegrityError as error:
            raise StoreUnfinished() from error

    def save_progress(self, ref: str, progress: str) -> None:
        """Keep how far a case has come."""
        self._do("UPDATE cases SET progress = :p, seq = seq + 1 WHERE ref = :r", p=progress, r=ref)

    def set_case(self, ref: str, state: CaseState, *, version: int | None = None, verdict: str | None = None) -> None:
        """Change a case's state."""
        self._do(
            "UPDATE cases SET state = :s, version = coalesce(:v, version), verdict = coalesce(:w, verdict),"
            " closed_at = CASE WHEN :s = 'closed' THEN :t END WHERE ref = :r",
            s=state,
            v=version,
            w=verdict,
            t=now(),
            r=ref,
        )

    def delete_case(self, ref: str) -> None:
        """Delete a case that ended without any effect."""
        self._do("DELETE FROM cases WHERE ref = :r", r=ref)

    def shred(self, ref: str) -> None:
        """Overwrite the request and the progress of a case."""
        self._do("UPDATE cases SET body = NULL, progress = NULL WHERE ref = :r", r=ref)

    def scrub(self) -> None:
        """Rewrite the file without free pages and empty the WAL: deleted content is then in neither."""
        self._do("VACUUM")
        busy = self._rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        if busy:
            raise StoreBusy("another connection keeps the write-ahead log of the store open")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn SQLite's errors into ours; constraint violations pass."""
    try:
        yield
    except sqlite3.IntegrityError:
        raise
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "full" in text or "readonly" in text or "unable to open" in text or "disk I/O" in text:
            raise StoreFull(f"the database cannot be written: {text}") from error
        if "locked" in text:
            raise StoreBusy("another process uses the store's database") from error
        raise StoreDamaged(f"the database cannot be read: {text}") from error
