"""The second half of a request: swap the versions, hand out report and receipt, destroy what is left of the records.

Each step can be done again, so after a crash the whole half is simply done again from where the database says.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from expunge.audit.report import Report, render_html, report_json
from expunge.core.canonical import read_json, unb64
from expunge.core.errors import MalformedEvidence, StoreDamaged
from expunge.core.files import sync_folder, write_durably
from expunge.service.database import CaseRow, Version
from expunge.service.failpoints import failpoint
from expunge.service.objects import delete
from expunge.service.pages import Facts, read_report, report_of
from expunge.service.store import Store
from expunge.service.versions import Parts
from expunge.trust.receipt import Prepared, complete

MAX_PROGRESS_BYTES = 1 << 26


@dataclass(frozen=True)
class Done:
    """What a finished request leaves.

    Attributes:
        ref: reference of the case.
        receipt: the receipt's file.
        report: the report's file, a page for people.
        facts: the report as a record.
        kept_until: day on which the sealed old version is destroyed; None: it is destroyed already.
    """

    ref: str
    receipt: Path
    report: Path
    facts: Report
    kept_until: float | None = None


def finish(store: Store, case: CaseRow) -> Done:
    """Publish and clean up; every part is skipped or repeated harmlessly when done before."""
    if case.body is not None:
        receipt = _log(store, case)
        if case.state == "open":
            _publish(store, case)
        failpoint("forget.swapped")
        _hand_out(store, case, receipt)
        _retire(store, case)
        _purge(store)
        failpoint("forget.shredding")
        store.database.shred(case.ref)
    store.database.scrub()
    failpoint("forget.shredded")
    store.database.set_case(case.ref, "closed", verdict="done")
    failpoint("forget.closed")
    return done(store, case.ref, case.keep_until)


def done(store: Store, ref: str, kept_until: float | None = None) -> Done:
    """Return what a finished request left.

    Raises:
        StoreDamaged: its report is missing or not readable.
    """
    layout = store.layout
    try:
        facts = read_report((layout.reports / f"{ref}.json").read_bytes())
    except (OSError, MalformedEvidence) as error:
        raise StoreDamaged(f"the report of request {ref} is missing or damaged") from error
    return Done(ref, layout.receipts / f"{ref}.json", layout.reports / f"{ref}.html", facts, kept_until)


def refuse(store: Store, ref: str, prepared: Prepared) -> None:
    """Log a denial, hand out its receipt, and forget the request."""
    receipt = complete(prepared, store.log(write=True))
    write_durably(store.layout.receipts / f"{ref}.json", receipt)
    with store.database.write():
        store.database.drop_staged()
        store.database.set_case(ref, "open", verdict="refused")
        store.database.shred(ref)
    close_refused(store, ref)


def close_refused(store: Store, ref: str) -> None:
    """Clean up after a refusal whose receipt is out; harmless to do again."""
    store.sweep()
    store.database.scrub()
    store.database.set_case(ref, "closed", verdict="refused")


def _saved(case: CaseRow) -> dict[str, Any]:
    try:
        found = read_json((case.progress or "").encode(), MAX_PROGRESS_BYTES)
    except MalformedEvidence as error:
        raise StoreDamaged(f"the progress of request {case.ref} cannot be read") from error
    if not isinstance(found, dict) or not found.get("facts") or not found["walk"].get("prepared"):
        raise StoreDamaged(f"request {case.ref} has no signed statement")
    return found


def _log(store: Store, case: CaseRow) -> bytes:
    """Put the roots and the certificate into the log, once, and return the receipt."""
    progress = _saved(case)["walk"]
    log = store.log(write=True)
    failpoint("forget.logging")
    manifest = log.ensure(unb64(progress["manifest"]))
    receipt = complete(Prepared.from_json(progress["prepared"]), log, manifest_index=manifest)
    failpoint("forget.logged")
    return receipt


def _publish(store: Store, case: CaseRow) -> None:
    """Swap the versions in one transaction: before it the old one answers, after it the new one."""
    staged = store.database.versions("staged")
    if len(staged) != 1 or staged[0].number != case.version:
        raise StoreDamaged("the new version was not staged")
    with store.database.write():
        store.database.set_version(store.database.active().number, "sealed")
        store.database.set_version(staged[0].number, "active")
        store.database.set_case(case.ref, "published")


def _hand_out(store: Store, case: CaseRow, receipt: bytes) -> None:
    saved = _saved(case)
    report = report_of(saved["walk"], Facts.from_json(saved["facts"]), receipt)
    path = store.layout.reports / f"{case.ref}.json"
    write_durably(path, report_json(report))
    write_durably(path.with_suffix(".html"), render_html(report).encode())
    failpoint("forget.report-written")
    write_durably(store.layout.receipts / f"{case.ref}.json", receipt)
    failpoint("forget.receipt-written")


def _retire(store: Store, case: CaseRow) -> None:
    """Seal or destroy the old version; earlier seals hold the same records and may not outlive it."""
    for version in store.database.versions("sealed"):
        if case.keep_until is None:
            store.destroy_version(version.number)
        elif version.keep_until is None:
            _seal(store, version, case.keep_until)
        elif version.keep_until > case.keep_until:
            store.database.set_version(version.number, "sealed", case.keep_until)
    store.sweep()
    failpoint("forget.retired")


def _seal(store: Store, version: Version, until: float) -> None:
    failpoint("forget.sealing")
    parts = Parts.of(version)
    objects = (store.objects.get(name) for name in sorted(parts.names()))
    store.seals.seal(version.number, chain([parts.text().encode()], objects))
    store.database.set_version(version.number, "sealed", until)
    failpoint("forget.sealed")


def _purge(store: Store) -> None:
    """Delete caches and half-written files: whatever they hold may come from the records."""
    store.layout.cache.mkdir(mode=0o700, exist_ok=True)
    for left in store.layout.cache.iterdir():
        delete(left)
    sync_folder(store.layout.cache)
    store.layout.sweep_leftovers()
    failpoint("forget.purged")
