"""A request's way through the store: saved after every step, so that a stop at any point can be resumed.

What is durable, in order: the case with the whole request · progress after each step · the new version, staged ·
the signed statement · its log entries · the swap of versions (one transaction) · report and receipt · the old version
sealed or destroyed · caches purged · the request itself shredded. Until the swap the store answers as before.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from expunge import fulfilment
from expunge.core.canonical import canonical_json, read_json
from expunge.core.deployment import Deployment
from expunge.core.errors import (
    BadInput,
    ExpungeError,
    Interrupted,
    RequestRefused,
    StoreBusy,
    StoreDamaged,
    StoreFull,
)
from expunge.core.interrupts import was_interrupted
from expunge.core.plans import Plan
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.roles import Progress as Tick
from expunge.core.ruling import Ruling
from expunge.fulfilment.progress import About, Progress
from expunge.service.database import CaseRow
from expunge.service.failpoints import failpoint
from expunge.service.pages import Facts
from expunge.service.publishing import Done, close_refused, finish, refuse
from expunge.service.store import Store
from expunge.trust.fields import time_text
from expunge.trust.leaf import new_ref
from expunge.trust.predicate import Store as Lies

RESUME = "Run `expunge forget STORE --resume` to finish it."
MAX_BODY_BYTES = 1 << 30


@dataclass(frozen=True)
class Wish:
    """What is asked of a store.

    Attributes:
        request: who is to be forgotten.
        policy: what is demanded of the way.
        approved: whether a person accepts what a screen holds.
        keep_days: how many days the old version stays sealed; None: it is destroyed at once.
    """

    request: ForgetRequest
    policy: Policy
    approved: bool = False
    keep_days: float | None = None

    def received(self) -> Wish:
        """Return the wish with the time when it came."""
        now = datetime.now(UTC).replace(microsecond=0)
        return replace(self, request=self.request.model_copy(update={"requested_at": self.request.requested_at or now}))

    def text(self) -> str:
        """Return the wish as JSON text."""
        fields = {"request": self.request.as_json(), "policy": self.policy.as_json(), "approved": self.approved}
        return canonical_json({**fields, "keep_days": self.keep_days}).decode()

    @classmethod
    def read(cls, text: str | None) -> Wish:
        """Read what `text` gave.

        Raises:
            StoreDamaged: it is not that.
        """
        try:
            found = read_json((text or "").encode(), MAX_BODY_BYTES)
            request, policy = ForgetRequest.from_json(found["request"]), Policy.from_json(found["policy"])
            return cls(request, policy, bool(found["approved"]), found["keep_days"])
        except (ExpungeError, KeyError, TypeError) as error:
            raise StoreDamaged("the open request cannot be read") from error


def forget(root: Path, wish: Wish, tick: Tick | None = None) -> Done:
    """Carry out a request; the same request again after an interruption goes on where it stopped.

    Args:
        root: the store.
        wish: what is asked.
        tick: called during long work; raising from it stops, resumably.

    Raises:
        UnknownRecord, UnknownSubject, NothingLeft, ClassVanished, NoPlan, RequestHeld: nothing was changed.
        RequestRefused: recorded in the log with a receipt of its own.
        StoreUnfinished: another request waits to be finished.
        StoreFull, Interrupted: nothing is half-changed; the request is kept and can be resumed.
    """
    with Store.open(root, write=True) as store, _resumable():
        open_case = store.database.unfinished()
        if open_case is not None:
            if not _same(open_case, wish):
                store.require_finished()
            return _go_on(store, open_case, wish.approved, tick)
        wish = wish.received()
        deployment = store.deployment()
        deployment.targets(wish.request)  # what cannot be done is refused before anything is written
        store.keyring.check()
        store.log(write=True)
        until = _until(wish.keep_days)
        failpoint("forget.asked")
        ref = new_ref()
        store.database.open_case(ref, wish.text(), until)
        failpoint("forget.case-written")
        return _go_on(store, _open(store), False, tick, deployment)


def resume(root: Path, *, approved: bool = False, tick: Tick | None = None) -> Done | None:
    """Finish the request that was interrupted; None if there is none.

    Raises:
        As `forget`.
    """
    with Store.open(root, write=True) as store, _resumable():
        case = store.database.unfinished()
        return None if case is None else _go_on(store, case, approved, tick)


def dry_run(root: Path, wish: Wish) -> tuple[tuple[Ruling, ...], Plan]:
    """Return what the screens say of a request, and what would be done; changes nothing.

    Raises:
        NoPlan: nothing gives the guarantee asked for.
        UnknownRecord, UnknownSubject, NothingLeft: the request names what is not there, or everything.
    """
    with Store.open(root) as store:
        return fulfilment.dry_run(wish.request, store.deployment(), wish.policy, store.lessons())


def _until(keep_days: float | None) -> float | None:
    """Return the time, in POSIX seconds, until which the old version is kept sealed.

    Raises:
        BadInput: there is no such day.
    """
    if keep_days is None:
        return None
    try:
        return (datetime.now(UTC) + timedelta(days=keep_days)).timestamp()
    except (OverflowError, ValueError) as error:
        raise BadInput(f"the old version cannot be kept for {keep_days} days: there is no such day") from error


def _same(case: CaseRow, wish: Wish) -> bool:
    if case.body is None:
        return False
    kept = Wish.read(case.body)
    ours, theirs = (w.request.model_copy(update={"requested_at": None}) for w in (wish, kept))
    return ours == theirs and wish.keep_days == kept.keep_days


def _open(store: Store) -> CaseRow:
    case = store.database.unfinished()
    if case is None:
        raise StoreDamaged("the open request is gone")
    return case


def _go_on(
    store: Store, case: CaseRow, approved: bool, tick: Tick | None, deployment: Deployment | None = None
) -> Done:
    if case.verdict == "refused":
        close_refused(store, case.ref)
        raise RequestRefused("The request was refused; its receipt says why.", ref=case.ref)
    if case.state == "open":
        wish = Wish.read(case.body)
        _walk(store, case, wish, approved, _progress(store, wish, case, tick, deployment or store.deployment()))
        case = _open(store)
    return finish(store, case)


def _walk(store: Store, case: CaseRow, wish: Wish, approved: bool, progress: Progress) -> None:
    """Walk the steps up to the signed statement; a case that cannot be served is withdrawn without a trace."""
    progress = _resumed(store, case, progress, approved or wish.approved)
    latest = [progress]

    def saved(step: str, progress: Progress) -> None:
        latest[:] = [progress]
        _save(store, case.ref, step, progress)
        failpoint(f"forget.{step}-saved")

    try:
        fulfilment.walk(progress, saved)
    except (StoreFull, StoreBusy, Interrupted):
        raise
    except Exception as error:
        _end(store, case.ref, latest[0], error)
        raise


def _end(store: Store, ref: str, progress: Progress, error: Exception) -> None:
    """End a case that cannot be served: a refusal leaves a receipt, everything else no trace.

    Raises:
        KeyboardInterrupt, OSError: it was Ctrl-C or a full disk after all; the case stays open.
    """
    if was_interrupted(error):
        raise KeyboardInterrupt from error
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
    if isinstance(error, RequestRefused) and progress.prepared is not None:
        refuse(store, ref, progress.prepared)
    else:
        store.withdraw(ref)


def _progress(store: Store, wish: Wish, case: CaseRow, tick: Tick | None, deployment: Deployment) -> Progress:
    about = About(
        dataset=store.settings.dataset,
        version=store.database.active().number,
        log_origin=store.settings.origin,
        log_policy_digest=store.trust().policy.digest,
        stores=_kept_back(deployment, case.keep_until),
    )
    return Progress(
        wish.request,
        deployment,
        wish.policy,
        ref=case.ref,
        approved=wish.approved,
        about=about,
        issuer=store.keyring.issuer(),
        commitments=store.commitments(),
        tick=tick,
        lessons=store.lessons(),
    )


def _kept_back(deployment: Deployment, keep_until: float | None) -> tuple[Lies, ...]:
    """Return where the records lie on, for the statement: sealed, where the old version is kept for an appeal."""
    if keep_until is None:
        return ()
    until = time_text(datetime.fromtimestamp(keep_until, UTC))
    reason = f"sealed for an appeal; destroyed when the store is next opened after {until}"
    kinds = {"training data before": "data", "holdout data before": "data", "model before": "model"}
    if deployment.holdout is None:
        del kinds["holdout data before"]
    return tuple(Lies(name=name, kind=kind, status="PENDING", reason=reason) for name, kind in kinds.items())


def _resumed(store: Store, case: CaseRow, progress: Progress, approved: bool) -> Progress:
    if case.progress is None:
        store.drop_staged()
        return progress
    staged = store.database.versions("staged")
    after = store.deployment(staged[-1]) if staged and case.version == staged[-1].number else None
    if after is None:
        store.drop_staged()
    return replace(progress, approved=approved).resumed(_kept(store)["walk"], after)


def _save(store: Store, ref: str, step: str, progress: Progress) -> None:
    """Keep how far a case has come; after `unlearn` the new version is kept with it."""
    version = None
    if step == "unlearn" and progress.outcome is not None:
        store.drop_staged()
        failpoint("forget.staging")
        before, after = progress.deployment, progress.outcome.after
        gone = before.data.only(before.targets(progress.request))
        commitments = progress.commitments or store.commitments()
        version = store.stage(after, commitments.without(gone))
        failpoint("forget.staged")
    kept = {"walk": progress.to_json()} | ({"facts": Facts.of(progress).as_json()} if _measured(step, progress) else {})
    with store.database.write():
        store.database.save_progress(ref, canonical_json({**_kept(store), **kept}).decode())
        if version is not None:
            store.database.set_case(ref, "open", version=version)
    if version is not None:
        store.keep_lessons(progress.learnt())


def _measured(step: str, progress: Progress) -> bool:
    return step == "measure" and progress.evidence is not None


def _kept(store: Store) -> dict[str, Any]:
    """Return what was saved of the open case before."""
    case = store.database.unfinished()
    kept = None if case is None or case.progress is None else read_json(case.progress.encode(), MAX_BODY_BYTES)
    return kept if isinstance(kept, dict) else {}


@contextmanager
def _resumable() -> Iterator[None]:
    """Turn Ctrl-C and a full disk into errors that say how to go on."""
    try:
        yield
    except (KeyboardInterrupt, Exception) as error:
        if isinstance(error, Interrupted) or was_interrupted(error):
            raise Interrupted("interrupted; nothing is half-changed", hint=RESUME) from error
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StoreFull("the disk is full; nothing is half-changed") from error
        raise
