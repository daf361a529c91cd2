"""``Store``: one directory with the records, the model, log and receipts, opened by one writer or many readers."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from expunge import catalog
from expunge.core.canonical import canonical_json, read_json
from expunge.core.deployment import Deployment
from expunge.core.errors import EvidenceError, LogRewritten, StoreBusy, StoreUnfinished
from expunge.core.files import read_file, write_durably
from expunge.core.lessons import Lesson, Lessons
from expunge.core.roles import Learner
from expunge.fulfilment.commitments import Commitments
from expunge.service.database import Database, Version
from expunge.service.keyring import Keyring
from expunge.service.locks import StoreLock
from expunge.service.objects import Objects
from expunge.service.sealed import Seals
from expunge.service.settings import Layout, Settings
from expunge.service.versions import Parts, load_commitments, load_deployment, save_deployment
from expunge.trust.log import FileLog
from expunge.trust.trustroot import Pins, open_trust


class Store:
    """An open store; a context manager. Open it with `Store.open`.

    Attributes:
        layout: where things lie.
        settings: the fixed facts.
        database: versions and cases.
        objects: records and model parts.
        keyring: the secrets.
        seals: retired versions kept for an appeal.
    """

    def __init__(self, root: Path, lock: StoreLock, settings: Settings) -> None:
        self.layout = Layout(root)
        self.settings = settings
        self._lock = lock
        self.objects = Objects(self.layout.objects)
        self.keyring = Keyring(self.layout.keys, settings.origin)
        self.seals = Seals(self.layout.sealed, self.layout.keys)
        self.database = Database(self.layout.database)

    @classmethod
    def open(cls, root: Path, *, write: bool = False) -> Self:
        """Open a store; seals that are due are destroyed on the way.

        Args:
            root: the directory.
            write: to change it, alone; else to read it, beside other readers.

        Raises:
            StoreMissing, StoreVersion, StoreDamaged: it cannot be opened at all.
            StoreBusy: another process is in the way.
        """
        layout = Layout(root)
        settings = Settings.load(layout.settings)
        store = cls._locked(layout, settings, write=write)
        if not store.due():
            return store
        if not write:  # what is due is destroyed by a writer; by the next one, if another process is in the way
            store.close()
            with suppress(StoreBusy), cls._locked(layout, settings, write=True) as alone:
                alone.destroy_due()
            return cls._locked(layout, settings, write=False)
        store.destroy_due()
        return store

    @classmethod
    def _locked(cls, layout: Layout, settings: Settings, *, write: bool) -> Self:
        lock = StoreLock.take(layout.lock, write=write)
        try:
            return cls(layout.root, lock, settings)
        except BaseException:
            lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the database and give the lock back."""
        try:
            self.database.close()
        finally:
            self._lock.release()

    # what is in it

    def learner(self) -> Learner:
        """Return the learner of the store's model."""
        learner: Learner = catalog.build("learner", self.settings.learner, **self.settings.params)
        return learner

    def deployment(self, version: Version | None = None) -> Deployment:
        """Return the deployment of a version; default: the one in use.

        Raises:
            StoreDamaged: an object is missing or altered.
        """
        return load_deployment(version or self.database.active(), self.objects, self.learner(), self.keyring.model())

    def commitments(self) -> Commitments:
        """Return the salted commitments to the records in use."""
        return load_commitments(self.database.active(), self.objects, self.keyring.manifest())

    def log(self, *, write: bool = False) -> FileLog:
        """Open the store's log, to read or to append.

        Raises:
            StoreMissing: there is none; a fresh one would contradict the receipts that were given out.
            LogRewritten: to append, and it holds fewer entries than the finished requests put into it.
        """
        log = FileLog(self.layout.log, self.trust().policy.logs[0])
        if not write:
            return log
        self.check_length(log)
        return FileLog(self.layout.log, self.keyring.log())

    def check_length(self, log: FileLog) -> None:
        """Refuse a log that was put back to an earlier state.

        Raises:
            LogRewritten: it holds fewer entries than the finished requests put into it.
        """
        n_entries = {"done": 2, "refused": 1}
        had = 1 + sum(n_entries.get(case.verdict or "", 0) for case in self.database.cases() if case.state == "closed")
        if log.size < had:
            raise LogRewritten(f"the log has {log.size} entries and had {had}")

    def trust(self) -> Pins:
        """Return the trust root that the store hands out."""
        return open_trust(read_file(self.layout.trust))

    def lessons(self) -> dict[str, Lesson]:
        """Return what earlier requests here taught about times; what cannot be read teaches nothing."""
        try:
            found = read_json(self.layout.lessons.read_bytes())
            return {name: Lesson.from_json(lesson) for name, lesson in found.items()}
        except (OSError, AttributeError, EvidenceError):
            return {}

    def keep_lessons(self, lessons: Lessons) -> None:
        """Keep what requests taught about times: numbers only."""
        body = canonical_json({name: lesson.as_json() for name, lesson in lessons.items()})
        write_durably(self.layout.lessons, body, 0o600)

    def require_finished(self) -> None:
        """Refuse to go on while a request waits to be finished.

        Raises:
            StoreUnfinished: naming the case.
        """
        case = self.database.unfinished()
        if case is not None:
            raise StoreUnfinished(f"request {case.ref} was interrupted and waits to be finished", ref=case.ref)

    # changing it

    def stage(self, deployment: Deployment, commitments: Commitments) -> int:
        """Write a deployment as a new version that nobody uses yet; return its number.

        Raises:
            StoreFull: no space; the version in use is untouched.
        """
        parts = save_deployment(deployment, commitments, self.objects)
        return self.database.add_version("staged", deployment.model.digest(), parts.text(), deployment.fit_s)

    def drop_staged(self) -> None:
        """Forget versions that were staged and never published."""
        with self.database.write():
            self.database.drop_staged()
        self.sweep()

    def withdraw(self, ref: str) -> None:
        """Take back a case that ended without effect: the store is as if it had never been asked."""
        with self.database.write():
            self.database.drop_staged()
            self.database.delete_case(ref)
        self.sweep()
        self.database.scrub()

    def sweep(self) -> None:
        """Delete every object that no living version needs."""
        keep: set[str] = set()
        for version in self.database.versions("staged", "active"):
            keep |= Parts.of(version).names()
        for version in self.database.versions("sealed"):
            if version.keep_until is None:  # not sealed on disk yet
                keep |= Parts.of(version).names()
        self.objects.sweep(keep)

    def destroy_version(self, number: int) -> None:
        """Destroy a retired version: its key, its sealed file, its objects, and what its row says of them."""
        self.seals.destroy(number)
        self.database.set_version(number, "destroyed")
        self.sweep()

    def due(self) -> list[Version]:
        """Return the sealed versions whose day has come."""
        return [v for v in self.database.versions("sealed") if v.keep_until is not None and v.keep_until <= time.time()]

    def destroy_due(self) -> None:
        """Destroy the seals whose day has come."""
        for version in self.due():
            self.destroy_version(version.number)
        self.database.scrub()
