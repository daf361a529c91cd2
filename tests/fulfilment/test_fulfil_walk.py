"""The path of a request: every step, the loop, every place to resume, and what each party is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from expunge import catalog
from expunge.catalog import Entry
from expunge.core.canonical import canonical_json, unb64
from expunge.core.conformance import tiny_deployment
from expunge.core.deployment import Cost, Outcome, Prediction
from expunge.core.errors import (
    BadInput,
    ClaimRefuted,
    DuplicateId,
    Interrupted,
    MalformedEvidence,
    NoPlan,
    RequestHeld,
    RequestRefused,
    UnknownRecord,
    UnknownSubject,
    Unsupported,
)
from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee
from expunge.core.policy import Bound, Policy
from expunge.core.request import ForgetRequest
from expunge.core.ruling import Ruling
from expunge.fulfilment import STEPS, Progress, dry_run, fulfil, receipt, walk
from expunge.trust.keys import SigningKey
from expunge.trust.log import FileLog
from expunge.trust.receipt import Prepared
from expunge.trust.statement import read_statement
from expunge.trust.trustroot import trust_root
from expunge.trust.verify import HolderSecrets, verify

ISSUER = SigningKey.from_secret("issuer.example/i1", bytes([3]) * 32)
LOG = SigningKey.from_secret("log.example/expunge", bytes([1]) * 32)
TRUST = trust_root(LOG.vkey, ISSUER.vkey).canonical()
LIGHT = Policy(probes=("likeness", "cost"), max_share=0.5)
EXACT = Guarantee(kind="exact", grade="bits")
STEP_NAMES = [step.__name__ for step in STEPS]


@pytest.fixture
def deployment():
    return tiny_deployment(3)


@pytest.fixture
def request_(deployment):
    return ForgetRequest(records=deployment.data.ids.tolist()[7:9])


@pytest.fixture
def log(tmp_path):
    return FileLog(tmp_path / "log", LOG)


@pytest.fixture
def menu(monkeypatch):
    """Add names to the catalogue for one test: ``menu(role, name, object)``."""
    built: dict[tuple[str, str], Any] = {}
    real = catalog.build

    def build(role, name, **params):
        found = built.get((role, name))
        return real(role, name, **params) if found is None else found

    def add(role, name, value):
        built[role, name] = value
        entry = Entry(role, name, "nowhere:Nothing", "A test's own.")
        monkeypatch.setattr(catalog, "ENTRIES", (*catalog.ENTRIES, entry))

    monkeypatch.setattr(catalog, "build", build)
    return add


@dataclass(frozen=True)
class Liar:
    """An unlearner that is quickest, and wrong."""

    change: Any = None
    guarantee: Guarantee = EXACT
    unsupported: str = ""

    def promise(self, deployment):
        return Guarantee(kind="exact", grade="bits")

    def predict_cost(self, deployment, request):
        return Prediction(seconds=1e-9)

    def unlearn(self, deployment, request, progress=None):
        if self.unsupported:
            raise Unsupported(self.unsupported)
        after = deployment.with_model(deployment.model, request)
        return Outcome(
            self.change(deployment, after) if self.change else after, self.guarantee, Cost(seconds=0.0), "Liar()"
        )


@dataclass(frozen=True)
class Says:
    """A screen with one answer."""

    verdict: Any

    def judge(self, request, deployment, policy):
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return Ruling(screen="says", verdict=self.verdict, reasons=("Because.",))


@dataclass(frozen=True)
class Measures:
    """A probe with one answer."""

    answer: Any

    def measure(self, case):
        if isinstance(self.answer, BaseException):
            raise self.answer
        return [self.answer]


def only_forgotten(statement_json, deployment, request):
    text = json.dumps(statement_json)
    return [str(i) for i in (*deployment.targets(request), request.subject) if i is not None and f'"{i}"' in text]


def test_the_whole_path_ends_in_a_receipt_that_verifies(deployment, request_, log):
    digest = deployment.model.digest()
    heard = []
    done = fulfil(request_, deployment, policy=LIGHT, issuer=ISSUER, log=log, say=lambda step, _: heard.append(step))
    assert heard == STEP_NAMES
    assert deployment.model.digest() == digest
    assert done.deployment.model.digest() == deployment.learner.fit(done.deployment.data, deployment.key).digest()
    assert {e.name: e.passed for e in done.evidence if e.threshold is not None} == {"likeness.equal@after": True}
    seen = verify(done.receipt, TRUST)
    assert (seen.level, seen.guarantee.kind, seen.outcome) == ("L1", "exact", "complete")
    assert seen.ref == done.progress.ref
    assert log.size == 2  # the new roots, then the certificate
    assert receipt(done.progress, log) == done.receipt
    assert log.size == 2


def test_the_receipt_holds_the_proofs_of_the_holders_record(deployment, request_, log):
    done = fulfil(request_, deployment, policy=LIGHT, issuer=ISSUER, log=log)
    gone = deployment.data.only(request_.records)
    for key, _, c in done.progress.commitments.leaving(gone):
        verify(done.receipt, TRUST, holder=HolderSecrets(key=key.hex(), c=c.hex()))


def test_a_tampered_receipt_is_refused(deployment, request_, log):
    done = fulfil(request_, deployment, policy=LIGHT, issuer=ISSUER, log=log)
    read = json.loads(done.receipt)
    payload = unb64(read["envelope"]["payload"]).replace(b'"n_forgotten":2', b'"n_forgotten":3')
    import base64

    read["envelope"]["payload"] = base64.b64encode(payload).decode()
    with pytest.raises(Exception, match="verif"):
        verify(canonical_json(read), TRUST)


@pytest.mark.parametrize("subject", [True, False])
def test_neither_statement_nor_log_names_anybody(deployment, request_, log, subject):
    wish = ForgetRequest(subject=deployment.data.subjects.tolist()[7]) if subject else request_
    done = fulfil(wish, deployment, policy=Policy(n_shadows=2, max_share=0.5), issuer=ISSUER, log=log)
    payload = unb64(done.progress.prepared.envelope.payload)
    statement, warnings = read_statement(payload)
    assert not warnings
    assert only_forgotten(statement.as_json(), deployment, wish) == []
    entries = b"".join(log.entries())
    assert not any(str(i).encode() in entries for i in deployment.targets(wish))
    digests = deployment.data.only(deployment.targets(wish)).record_digests
    assert not any(d.tobytes().hex().encode() in payload for d in digests)


def test_what_is_not_claimed_is_said(deployment, request_, log):
    done = fulfil(request_, deployment, policy=LIGHT, issuer=ISSUER, log=log)
    said, _ = read_statement(unb64(done.progress.prepared.envelope.payload))
    predicate = said.predicate
    assert {"media-residue", "near-duplicates", "batch-difference", "causal-absence", "anonymity", "loader"} <= set(
        predicate.claim.non_claims
    )
    text = " ".join(predicate.scope.not_covered)
    for word in ("copies", "exports", "backups", "derived", "media", "public seed"):
        assert word in text
    assert predicate.stage == "attested"
    assert {s.name: s.status for s in predicate.scope.stores}["model before"] == "PENDING"
    assert "reconstruction-by-difference" in predicate.evaluation.attack_families.missing
    assert predicate.evaluation.policy_digest == LIGHT.digest()


@pytest.mark.parametrize("stop", STEP_NAMES)
@pytest.mark.parametrize("keeps_model", [True, False])
def test_a_walk_resumes_after_every_step(deployment, request_, log, stop, keeps_model):
    class Killed(Exception):
        pass

    kept = {}

    def saved(step, progress):
        kept.update(json=json.loads(json.dumps(progress.to_json())), outcome=progress.outcome, progress=progress)
        if step == stop:
            raise Killed

    fresh = Progress(request_, deployment, LIGHT, issuer=ISSUER)
    fresh = replace(fresh, about=fresh.about.logged_in(log))
    with pytest.raises(Killed):
        walk(fresh, saved)
    after = kept["outcome"].after if keeps_model and kept["outcome"] else None
    rest = {"issuer": ISSUER, "about": fresh.about, "policy": LIGHT}
    resumed = Progress.from_json(kept["json"], request_, deployment, after, **rest)
    heard = []
    done = walk(resumed, lambda step, _: heard.append(step))
    due = STEP_NAMES[STEP_NAMES.index(stop) + 1 :]
    if after is None and stop in ("unlearn", "measure", "attest"):
        due = STEP_NAMES[STEP_NAMES.index("unlearn") :]
    assert heard == due
    assert done.ref == fresh.ref
    if stop == "attest" and keeps_model:
        assert done.prepared == kept["progress"].prepared
    verify(receipt(done, log), TRUST)


def test_a_missed_bound_goes_on_to_the_next_unlearner(menu, deployment, request_, log):
    menu("unlearner", "liar", Liar())
    heard = []
    done = fulfil(request_, deployment, policy=LIGHT, issuer=ISSUER, log=log, say=lambda step, _: heard.append(step))
    assert heard == ["judge", "choose", "unlearn", "measure", "choose", "unlearn", "measure", "attest"]
    assert done.plan.unlearner == "native"
    assert done.progress.attempt == 2
    (tried,) = done.progress.tried
    assert tried.name == "liar"
    assert tried.reason.startswith("bound missed: likeness.equal@after")
    said, _ = read_statement(unb64(done.progress.prepared.envelope.payload))
    assert (said.predicate.method.attempt, said.predicate.outcome) == (2, "complete")
    assert said.predicate.method.tried[0].startswith("liar: bound missed")


def test_on_bound_report_takes_the_result_and_says_partial(menu, deployment, request_, log):
    menu("unlearner", "liar", Liar())
    policy = LIGHT.model_copy(update={"on_bound": "report"})
    done = fulfil(request_, deployment, policy=policy, issuer=ISSUER, log=log)
    assert done.plan.unlearner == "liar"
    seen = verify(done.receipt, TRUST)
    assert (seen.level, seen.outcome) == ("L0", "partial")


def test_the_loop_ends_with_retraining_whatever_the_evidence(menu, deployment, request_, log):
    policy = LIGHT.model_copy(update={"bounds": (Bound(evidence="no.such@after", threshold=0, direction="lower"),)})
    done = fulfil(request_, deployment, policy=policy, issuer=ISSUER, log=log)
    assert done.plan.unlearner == "retrain"
    assert [d.name for d in done.progress.tried] == ["native"]
    (missing,) = done.progress.missed
    assert (missing.name, missing.status) == ("no.such@after", "not_measured")
    assert verify(done.receipt, TRUST).outcome == "partial"


@pytest.mark.parametrize("guarantee", ["weak", "unsupported"])
def test_a_result_that_breaks_its_promise_is_not_taken(menu, deployment, request_, guarantee):
    liar = Liar(guarantee=Guarantee(kind="suppression")) if guarantee == "weak" else Liar(unsupported="not this one")
    menu("unlearner", "liar", liar)
    done = fulfil(request_, deployment, policy=LIGHT)
    assert done.plan.unlearner == "native"
    assert done.progress.tried[0].reason in ("gave only suppression, and exact is asked", "not this one")


def spoils_before(before, after):
    before.model.counts[0, 0] += 1
    return after


def keeps_data(before, after):
    return replace(after, data=before.data)


@pytest.mark.parametrize("change", [spoils_before, keeps_data])
def test_an_unlearner_that_spoils_things_is_stopped(menu, deployment, request_, change):
    menu("unlearner", "liar", Liar(change=change))
    with pytest.raises(ClaimRefuted, match="Liar"):
        fulfil(request_, deployment, policy=LIGHT)


def test_a_hold_waits_for_a_person(deployment, request_):
    policy = LIGHT.model_copy(update={"max_share": 0.001})
    kept = {}
    with pytest.raises(RequestHeld, match="more than the policy's") as caught:
        walk(Progress(request_, deployment, policy), lambda step, p: kept.update({step: p.to_json()}))
    assert set(kept) == {"judge"}
    assert caught.value.facts["reasons"]
    with pytest.raises(RequestHeld):
        walk(Progress.from_json(kept["judge"], request_, deployment, policy=policy))
    done = walk(Progress.from_json(kept["judge"], request_, deployment, policy=policy, approved=True))
    assert done.outcome is not None
    assert fulfil(request_, deployment, policy=policy, approved=True).rulings[1].verdict == "hold"


def test_a_refusal_is_signed_and_approval_does_not_lift_it(menu, deployment, request_, log):
    menu("screen", "says", Says("refuse"))
    policy = LIGHT.model_copy(update={"screens": ("ownership", "says")})
    with pytest.raises(RequestRefused, match="Because") as caught:
        fulfil(request_, deployment, policy=policy, approved=True, issuer=ISSUER, log=log)
    prepared = Prepared.from_bytes(caught.value.facts["denial"].encode())
    assert log.size == 0
    said, _ = read_statement(unb64(prepared.envelope.payload))
    assert said.predicate.reasons == ("Because.",)
    from expunge.trust.receipt import complete

    verify(complete(prepared, log), TRUST)
    with pytest.raises(RequestRefused):
        fulfil(request_, deployment, policy=policy)


def test_a_screen_that_breaks_holds(menu, deployment, request_):
    menu("screen", "says", Says(ZeroDivisionError("secret id 17")))
    policy = LIGHT.model_copy(update={"screens": ("says",)})
    with pytest.raises(RequestHeld, match="ZeroDivisionError") as caught:
        fulfil(request_, deployment, policy=policy)
    assert "17" not in caught.value.message


@pytest.mark.parametrize(
    ("answer", "note"),
    [(ValueError("person-17"), "the probe failed: ValueError"), (Unsupported("needs logits"), "needs logits")],
)
def test_a_probe_that_raises_is_missing_evidence_not_silence(menu, deployment, request_, answer, note):
    menu("probe", "mine", Measures(answer))
    done = fulfil(request_, deployment, policy=Policy(probes=("mine",), bounds=(), max_share=0.5))
    assert [(e.name, e.status, e.note) for e in done.evidence] == [("mine@after", "not_measured", note)]


def test_a_number_that_json_cannot_carry_is_missing_evidence(menu, deployment, request_, log):
    menu("probe", "mine", Measures(Evidence(name="mine.big@after", estimator="x", value=5e18, low=0, high=5e18, n=1)))
    policy = Policy(probes=("mine",), bounds=(), max_share=0.5)
    done = fulfil(request_, deployment, policy=policy, issuer=ISSUER, log=log)
    assert done.evidence[0].status == "not_measured"
    verify(done.receipt, TRUST)


def test_ctrl_c_in_a_probe_is_not_evidence(menu, deployment, request_):
    menu("probe", "mine", Measures(Interrupted()))
    with pytest.raises(Interrupted):
        fulfil(request_, deployment, policy=Policy(probes=("mine",), bounds=(), max_share=0.5))


def test_the_case_excludes_the_subjects_own_from_the_holdout(menu, deployment):
    cases = []

    class Sees:
        def measure(self, case):
            cases.append(case)
            return []

    menu("probe", "mine", Sees())
    data, held = deployment.data, deployment.holdout
    owner = data.subjects[7]
    mixed = replace(held, subjects=held.subjects.copy().astype(data.subjects.dtype))
    mixed.subjects[0] = owner
    policy = Policy(probes=("mine",), bounds=(), max_share=0.5)
    fulfil(ForgetRequest(records=data.ids.tolist()[7:8]), replace(deployment, holdout=mixed), policy=policy)
    fulfil(ForgetRequest(records=data.ids.tolist()[7:8]), replace(deployment, holdout=None), policy=policy)
    assert owner not in cases[0].holdout.subjects
    assert len(cases[0].holdout) == len(held) - 1
    assert len(cases[1].holdout) == 0
    assert cases[0].reference.model.digest() == cases[0].after.model.digest()
    assert cases[0].reference is not cases[0].after


def test_no_reference_is_made_where_the_policy_wants_none(deployment, request_):
    policy = LIGHT.model_copy(update={"reference": "none", "bounds": ()})
    done = fulfil(request_, deployment, policy=policy)
    assert done.progress.reference is None
    assert all(e.status == "not_measured" for e in done.evidence if e.name == "likeness.equal@after")


def test_a_dry_run_changes_nothing_and_does_not_stop_at_a_hold(deployment, request_):
    before = {k: v.copy() for k, v in deployment.model.state().items()}
    rulings, plan = dry_run(request_, deployment, Policy(max_share=0.001))
    assert [r.verdict for r in rulings] == ["accept", "hold"]
    assert plan.unlearner == "native"
    assert all((before[k] == v).all() for k, v in deployment.model.state().items())


def test_bad_input_is_an_error_before_anything_happens(deployment, request_):
    heard = []
    for wish, kind in (
        (ForgetRequest(records=("nobody",)), UnknownRecord),
        (ForgetRequest(subject="nobody"), UnknownSubject),
    ):
        with pytest.raises(kind):
            fulfil(wish, deployment, policy=LIGHT.model_copy(update={"screens": ()}), say=lambda *a: heard.append(a))
    with pytest.raises(BadInput, match="no_such"):
        fulfil(ForgetRequest(), deployment, no_such=1)
    with pytest.raises(NoPlan):
        fulfil(request_, deployment, policy=LIGHT.model_copy(update={"deadline_s": 1e-12}))
    assert [step for step, _ in heard] == []


def test_an_empty_request_is_the_identity(deployment, log):
    done = fulfil(ForgetRequest(), deployment, policy=LIGHT, issuer=ISSUER, log=log)
    assert done.deployment.model.digest() == deployment.model.digest()
    verify(done.receipt, TRUST)


def test_dates_are_in_order_even_when_the_request_comes_from_the_future(deployment, request_, log):
    for shift in (timedelta(days=-3), timedelta(days=3)):
        wish = request_.model_copy(update={"requested_at": datetime.now(UTC) + shift})
        verify(fulfil(wish, deployment, policy=LIGHT, issuer=ISSUER, log=log).receipt, TRUST)


def test_a_second_request_carries_the_commitments_on(deployment, request_, log):
    one = fulfil(request_, deployment, policy=LIGHT, issuer=ISSUER, log=log)
    about = one.progress.about.model_copy(update={"version": 2})
    wish = ForgetRequest(records=deployment.data.ids.tolist()[10:11])
    two = fulfil(
        wish,
        one.deployment,
        policy=LIGHT,
        issuer=ISSUER,
        log=log,
        about=about,
        commitments=one.progress.commitments_after,
    )
    first, second = (read_statement(unb64(r.progress.prepared.envelope.payload))[0].predicate for r in (one, two))
    assert first.data.d_after == second.data.d_before
    assert first.data.u_after == second.data.u_before
    assert first.data.version + 1 == second.data.version
    verify(two.receipt, TRUST)


def test_without_an_issuer_nothing_is_signed(deployment, request_, log):
    done = fulfil(request_, deployment, policy=LIGHT)
    assert (done.receipt, done.progress.prepared) == (None, None)
    assert fulfil(request_, deployment, policy=LIGHT, log=log).receipt is None
    assert log.size == 0


def test_saved_json_is_strict(deployment, request_):
    with pytest.raises(MalformedEvidence):
        Progress.from_json({"ref": "x"}, request_, deployment)
    good = Progress(request_, deployment).to_json()
    with pytest.raises(MalformedEvidence, match="plan"):
        Progress.from_json(good, request_, deployment, plan=None)
    assert Progress.from_json(good, request_, deployment, policy=LIGHT).policy == LIGHT


def test_unlearning_reports_ticks(deployment, request_):
    ticks = []

    def tick(done, total):
        ticks.append((done, total))
        raise Interrupted

    class Slow(Liar):
        def unlearn(self, deployment, request, progress=None):
            progress(0, 10)
            raise AssertionError

    with pytest.MonkeyPatch.context() as patch:
        real = catalog.build
        patch.setattr(catalog, "build", lambda r, n, **p: Slow() if n == "native" else real(r, n, **p))
        with pytest.raises(Interrupted):
            fulfil(request_, deployment, policy=LIGHT, tick=tick)
    assert ticks == [(0, 10)]


def test_an_unlearner_that_leaves_the_holdout_is_found_out(deployment, menu):
    request = ForgetRequest(records=[*deployment.data.ids.tolist()[:1], *deployment.holdout.ids.tolist()[:1]])
    menu("unlearner", "liar", Liar(lambda before, after: replace(after, holdout=before.holdout)))
    with pytest.raises(ClaimRefuted, match="holdout"):
        fulfil(request, deployment, policy=LIGHT)
    held = replace(deployment.holdout, subjects=deployment.data.subjects[: len(deployment.holdout)])
    whose = ForgetRequest(subject=deployment.data.subjects.tolist()[0])
    with pytest.raises(ClaimRefuted, match="holdout"):
        fulfil(whose, replace(deployment, holdout=held), policy=LIGHT)


def test_an_id_that_is_in_training_data_and_holdout_alike_is_refused(deployment):
    held = replace(deployment.holdout, ids=deployment.data.ids[: len(deployment.holdout)])
    with pytest.raises(DuplicateId, match="share ids"):  # it would be taken from the holdout only
        fulfil(ForgetRequest(records=held.ids.tolist()[:1]), replace(deployment, holdout=held), policy=LIGHT)
