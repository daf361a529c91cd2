"""The store itself forgets: after `forget`, the person is in no byte of the directory."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from expunge.core.errors import (
    BadInput,
    Interrupted,
    KeyUnsafe,
    LogRewritten,
    NothingLeft,
    RequestHeld,
    RequestRefused,
    StoreMissing,
    StoreUnfinished,
    UnknownRecord,
    UnknownSubject,
)
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.ruling import Ruling
from expunge.defences.screens.quota import Quota
from expunge.service.database import Database
from expunge.service.forgetting import Wish, dry_run, forget, resume
from expunge.service.pages import certificate
from expunge.service.reading import headline, log_of, report_of, seals_of
from expunge.service.store import Store
from expunge.trust.verify import verify
from service.world import IDS, PERSON, QUICK, build, clinic, traces, wish


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build(tmp_path / "store")
    return tmp_path / "store"


def snapshot(root: Path) -> dict[str, bytes]:
    """Return every file but the database's side files."""
    return {p.name: p.read_bytes() for p in root.rglob("*") if p.is_file() and "sqlite" not in p.name}


def test_the_canary_is_found_before_and_in_no_byte_after(root: Path) -> None:
    (root / "cache" / "shadows").mkdir()
    (root / "cache" / "shadows" / "shadow-x.npz").write_bytes(PERSON.encode())
    (root / "objects" / ".leftover.tmp").write_bytes(PERSON.encode())
    before = traces(root)
    assert {name.split(" as ")[0] for name in before} >= {PERSON, "Zanzibar-Quux", "violet xylophone", *IDS}
    assert any(name.startswith("83652.4375 as <d") for name in before)
    done = forget(root, wish())
    assert traces(root) == {}
    facts = headline(done)
    assert facts["n_forgotten"] == 2
    assert facts["equals_retrained"] is True
    assert facts["outcome"] == "complete"
    with Store.open(root) as store:
        deployment = store.deployment()
        assert deployment.data.owned_by(PERSON) == ()
        again = deployment.learner.fit(deployment.data, deployment.key)
        assert deployment.model.digest() == again.digest() == facts["after"]
        assert [v.state for v in store.database.versions()] == ["destroyed", "active"]
        (case,) = store.database.cases()
        assert (case.state, case.body, case.progress) == ("closed", None, None)


def test_the_receipt_verifies_and_the_log_holds_one_certificate(root: Path) -> None:
    done = forget(root, wish())
    verified = verify(done.receipt.read_bytes(), (root / "trust.json").read_bytes())
    assert verified.ref == done.ref
    log = log_of(root, check=True)
    assert [e["type"] for e in log["entries"]] == ["MANIFEST", "MANIFEST", "CERT"]
    assert log["checked_against"] == 1
    assert report_of(root).ref == done.ref


def test_a_person_in_the_holdout_is_forgotten_too(tmp_path: Path) -> None:
    deployment = build(tmp_path / "store")
    held = deployment.holdout
    assert held is not None
    person = held.subjects[0]
    n_held = len(held.owned_by(person))
    done = forget(tmp_path / "store", wish(str(person)))
    with Store.open(tmp_path / "store") as store:
        after = store.deployment()
        assert after.holdout is not None
        assert after.holdout.owned_by(person) == ()
        assert after.model.digest() == deployment.model.digest()
    assert headline(done)["n_forgotten"] == 0
    assert headline(done)["n_set_aside"] == n_held > 0
    told = " ".join(verify(done.receipt.read_bytes(), (tmp_path / "store" / "trust.json").read_bytes()).lines())
    assert f"{n_held} record(s) that the model never learnt were removed" in told


def test_records_are_forgotten_one_after_the_other(root: Path) -> None:
    for name in IDS:
        forget(root, Wish(ForgetRequest(records=(name,)), QUICK))
    assert traces(root) == {}
    assert [e["type"] for e in log_of(root, check=True)["entries"]] == ["MANIFEST", *["MANIFEST", "CERT"] * 2]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (ForgetRequest(subject="nobody@example.org"), UnknownSubject),
        (ForgetRequest(records=("visit-nope",)), UnknownRecord),
        (ForgetRequest(records=("visit-000001", "visit-nope")), UnknownRecord),
    ],
)
def test_bad_requests_change_nothing(root: Path, request_: ForgetRequest, error: type[Exception]) -> None:
    before = snapshot(root)
    with pytest.raises(error):
        forget(root, Wish(request_, QUICK))
    assert snapshot(root) == before
    assert resume(root) is None


def test_forgetting_everybody_is_refused(root: Path) -> None:
    with Store.open(root) as store:
        everything = tuple(store.deployment().data.ids.tolist())
    with pytest.raises(NothingLeft):
        forget(root, Wish(ForgetRequest(records=everything), QUICK, approved=True))
    assert resume(root) is None


def test_a_held_request_leaves_nothing_and_passes_when_approved(root: Path) -> None:
    held = Policy(max_share=0.001, n_shadows=0)
    before = snapshot(root)
    with pytest.raises(RequestHeld):
        forget(root, Wish(ForgetRequest(subject=PERSON), held))
    assert snapshot(root) == before
    assert resume(root) is None
    forget(root, Wish(ForgetRequest(subject=PERSON), held, approved=True))
    assert traces(root) == {}


def test_dry_run_says_the_plan_and_changes_nothing(root: Path) -> None:
    before = snapshot(root)
    rulings, plan = dry_run(root, wish())
    assert plan.unlearner == "native"
    assert {r.verdict for r in rulings} == {"accept"}
    assert snapshot(root) == before


def test_a_sealed_version_is_unreadable_and_destroyed_when_due(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = forget(root, wish(keep_days=30))
    assert traces(root) == {}, "sealed means encrypted"
    assert done.kept_until is not None
    assert (root / "keys" / "seal-1.key").stat().st_mode & 0o077 == 0
    (seal,) = seals_of(root)
    assert seal["version"] == 1
    with Store.open(root) as store:
        parts, objects = store.seals.unseal(1)
        assert set(json.loads(parts)["model"]) <= set(objects)
        assert any(PERSON.encode() in body for body in objects.values())
    later = time.time() + 31 * 86_400
    monkeypatch.setattr(time, "time", lambda: later)
    assert seals_of(root) == []
    assert not list((root / "sealed").iterdir())
    assert not (root / "keys" / "seal-1.key").exists()


def test_an_earlier_seal_does_not_outlive_a_later_request(root: Path) -> None:
    forget(root, Wish(ForgetRequest(records=(IDS[0],)), QUICK, keep_days=30))
    forget(root, Wish(ForgetRequest(records=(IDS[1],)), QUICK, keep_days=10))
    dates = [s["kept_until"] for s in seals_of(root)]
    assert len(dates) == 2
    assert len(set(dates)) == 1
    forget(root, wish("person1@example.org"))
    assert seals_of(root) == []
    assert not list((root / "sealed").iterdir())


def test_an_open_request_blocks_another_one(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_FAILPOINT", "forget.measure-saved:full")
    with pytest.raises(Exception, match="full"):
        forget(root, wish())
    monkeypatch.delenv("EXPUNGE_FAILPOINT")
    with pytest.raises(StoreUnfinished):
        forget(root, wish("person1@example.org"))
    done = forget(root, wish())  # the same request again goes on
    assert traces(root) == {}
    assert headline(done)["n_forgotten"] == 2


def test_a_passphrase_locks_the_signing_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_PASSPHRASE", "correct horse")
    build(tmp_path / "store")
    assert b"ENCRYPTED" in (tmp_path / "store" / "keys" / "issuer.pem").read_bytes()
    monkeypatch.delenv("EXPUNGE_PASSPHRASE")
    with pytest.raises(KeyUnsafe):
        forget(tmp_path / "store", wish())
    assert resume(tmp_path / "store") is None
    monkeypatch.setenv("EXPUNGE_PASSPHRASE", "correct horse")
    forget(tmp_path / "store", wish())


def test_a_refusal_is_logged_with_a_receipt_of_its_own(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no = Ruling(screen="quota", verdict="refuse", reasons=("Not today.",))
    monkeypatch.setattr(Quota, "judge", lambda *_: no)
    with pytest.raises(RequestRefused, match="Not today"):
        forget(root, wish())
    assert [e["type"] for e in log_of(root, check=True)["entries"]] == ["MANIFEST", "DECISION"]
    (receipt,) = (root / "receipts").iterdir()
    verified = verify(receipt.read_bytes(), (root / "trust.json").read_bytes())
    assert verified.outcome == "denied"
    with Store.open(root) as store:
        (case,) = store.database.cases()
        assert (case.verdict, case.body, case.progress) == ("refused", None, None)
        assert store.deployment().data.owned_by(PERSON)
    assert PERSON.encode() not in (root / "database.sqlite").read_bytes()
    assert resume(root) is None


@pytest.mark.parametrize("method", ["shred", "scrub", "set_case"])
def test_a_refusal_that_was_stopped_is_finished_once(root: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    no = Ruling(screen="quota", verdict="refuse", reasons=("Not today.",))
    real = getattr(Database, method)
    stops = [True]

    def stopped(database: Database, *given: object, **named: object) -> None:
        real(database, *given, **named)
        if stops and "closed" not in given:
            stops.clear()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Quota, "judge", lambda *_: no)
        patch.setattr(Database, method, stopped)
        with pytest.raises(Interrupted):
            forget(root, wish())
    with pytest.raises(StoreUnfinished):
        forget(root, wish("person1@example.org"))
    with pytest.raises(RequestRefused):
        resume(root)
    assert resume(root) is None
    assert [e["type"] for e in log_of(root, check=True)["entries"]] == ["MANIFEST", "DECISION"]
    assert PERSON.encode() not in (root / "database.sqlite").read_bytes()
    forget(root, wish("person1@example.org"))
    assert log_of(root, check=True)["size"] == 4


@pytest.mark.parametrize("receipts", ["kept", "lost"])
@pytest.mark.parametrize(("put_back", "error"), [(True, LogRewritten), (False, StoreMissing)])
def test_a_lost_or_older_log_is_never_continued(
    root: Path, tmp_path: Path, put_back: bool, error: type[Exception], receipts: str
) -> None:
    shutil.copytree(root / "log", tmp_path / "log")
    forget(root, wish("person1@example.org"))
    shutil.rmtree(root / "log")
    if put_back:
        shutil.copytree(tmp_path / "log", root / "log")
    if receipts == "lost":
        shutil.rmtree(root / "receipts")
    with pytest.raises(error):
        log_of(root, check=True)
    with pytest.raises(error):
        forget(root, wish())
    assert resume(root) is None, "nothing was begun"
    with Store.open(root) as store:
        assert store.deployment().data.owned_by(PERSON)


def test_folders_may_be_missing_and_strange_ones_be_there(root: Path) -> None:
    for name in ("cache", "sealed", "receipts", "reports"):  # empty ones do not survive every copy
        shutil.rmtree(root / name)
    (root / "objects" / "stray").mkdir()
    (root / "objects" / "stray" / "copy").write_bytes(PERSON.encode())
    (root / "mine.tmp").mkdir()
    (root / "elsewhere").mkdir()
    forget(root, wish(keep_days=1))
    assert traces(root) == {}
    assert seals_of(root)
    shutil.rmtree(root / "cache")
    (root / "cache").symlink_to(root / "elsewhere")
    (root / "elsewhere" / "shadow").write_bytes(b"person1@example.org")
    forget(root, wish("person1@example.org"))
    assert not list((root / "elsewhere").iterdir())


@pytest.mark.parametrize("keep_days", [None, 30])
def test_the_receipt_says_what_stays_sealed(root: Path, keep_days: float | None) -> None:
    done = forget(root, wish(keep_days=keep_days))
    said = {s.name: (s.status, s.reason) for s in certificate(done.receipt.read_bytes()).scope.stores}
    assert said["training data"] == said["holdout data"] == ("VERIFIED", None)
    status, reason = said["model before"]
    assert status == "PENDING"
    assert reason is not None
    if keep_days is None:
        assert reason == "until the new one is published"
        assert len(said) == 3
    else:
        assert "sealed" in reason
        assert said["training data before"] == said["holdout data before"] == (status, reason)


@pytest.mark.parametrize("keep_days", [1e12, float("inf"), float("nan")])
def test_a_day_that_does_not_exist_is_refused(root: Path, keep_days: float) -> None:
    with pytest.raises(BadInput, match="no such day"):
        forget(root, wish(keep_days=keep_days))
    assert resume(root) is None


def test_after_a_stop_the_receipt_still_names_the_reference(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPUNGE_FAILPOINT", "forget.measure-saved:full")
    with pytest.raises(Exception, match="full"):
        forget(root, wish())
    monkeypatch.delenv("EXPUNGE_FAILPOINT")
    done = resume(root)
    assert done is not None
    assert certificate(done.receipt.read_bytes()).evaluation.reference == "retrained"


def test_the_report_draws_what_the_measuring_run_saw(tmp_path: Path) -> None:
    """Both attacks are drawn from the one run whose numbers the receipt signs; drawing fits no model again."""
    build(tmp_path / "store", frame=clinic(600))
    with Store.open(tmp_path / "store") as store:
        data = store.deployment().data
        ids = tuple(data.ids[:12].tolist())
    policy = Policy(probes=("membership",), bounds=(), n_shadows=8)
    done = forget(tmp_path / "store", Wish(ForgetRequest(records=ids), policy, approved=True))
    drawn = {(roc.attack, roc.arm) for roc in done.facts.curves.rocs}
    assert {("loss", "after"), ("lira", "before"), ("lira", "after"), ("lira", "reference")} <= drawn
