"""Statements: every field is needed and typed; unknown members warn, critical ones refuse; the claim ladder (V8)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.canonical import canonical_json
from expunge.core.errors import ClaimRefuted, MalformedEvidence, Unverifiable
from expunge.trust.claims import (
    ALWAYS,
    LEVEL_TEXT,
    LEVELS,
    NON_CLAIM_TEXT,
    Support,
    check_statement,
    honest,
    level_of,
    required_non_claims,
    support_of,
)
from expunge.trust.fields import time_text
from expunge.trust.predicate import Denial, Unlearning
from expunge.trust.statement import read_statement, schema, statement

from .samples import DENIAL, REPLAYED, UNLEARNING, changed, denial, evidence, hex32, unlearning

SCHEMA = Path(__file__).parents[1] / "golden" / "trust" / "statement.schema.json"

FULL: dict[str, Any] = changed(
    UNLEARNING,
    REPLAYED
    | {
        "outcome": "partial",
        "reasons": ["one shard is lost"],
        "request.regime": "eu-gdpr",
        "request.decide_by": "2026-02-01T00:00:00Z",
        "request.final_by": "2026-02-01T00:00:00Z",
        "request.extension": {"reason": "many requests", "notified_at": "2026-01-01T00:00:00Z"},
        "request.pauses": [{"from": "2026-01-01T00:00:00Z", "to": "2026-01-01T00:00:01Z", "reason": "identity"}],
        "scope.stores": [{"name": "lake", "kind": "table", "status": "UNVERIFIED", "reason": "no access"}],
        "guarantee": {
            "kind": "certified", "epsilon": 1.0, "delta": 1e-5, "assumptions": ["convex"], "covers": ["model"],
        },
        "method.tolerance": 0.0,
        "method.tried": ["ascent"],
        "data.absence_digests": [hex32("absence")],
        "evaluation.utility.worst_group": UNLEARNING["evaluation"]["utility"]["overall"],
        "security.influence": 0.1,
        "security.batch_influence": 0.2,
        "serving": [
            {
                "endpoint": "e", "before": hex32("b"), "after": hex32("a"), "swapped_at": "2026-01-01T00:00:00Z",
                "before_retired_at": "2026-01-01T00:00:00Z", "before_destroyed_by": "2026-01-01T00:00:00Z",
                "status": "UNVERIFIED", "reason": "no answer",
            }
        ],
        "propagation": [
            {
                "kind": "backup", "id": "b1", "status": "PENDING", "at": "2026-01-01T00:00:00Z",
                "due": "2026-01-01T00:00:00Z", "reason": "expires",
            }
        ],
        "validity.reverify_by": "2026-06-01T00:00:00Z",
        "supersedes": hex32("old"),
        "critical": ["data"],
    },
)  # fmt: skip

OPTIONAL = {
    # marked "?" in T12
    "request.extension", "method.beacon", "method.tolerance", "claim.replay", "supersedes", "critical",
    # cannot exist in one process: no holdout, no bound, no date, nothing swapped yet
    "evaluation.utility.overall", "evaluation.utility.worst_group", "security.influence",
    "security.batch_influence", "validity.reverify_by", "serving.0.swapped_at", "serving.0.before_retired_at",
    "serving.0.before_destroyed_by", "propagation.0.at", "propagation.0.due", "propagation.0.reason",
    # defaults of the records of core
    "guarantee.assumptions", "guarantee.covers", "guarantee.delta", "evaluation.evidence.0.threshold",
    "evaluation.evidence.0.direction", "evaluation.evidence.0.passed", "evaluation.evidence.0.seeds",
    "evaluation.evidence.0.unit", "evaluation.evidence.0.status",
    "security.rulings.0.reasons",
}  # fmt: skip
FREE = {"method.parameters.n_trees", "method.seeds.init"}  # names that the issuer chooses


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        here = f"{path}.{name}" if path else str(name)
        yield here, inner
        yield from walk(inner, here)


def place(value: Any, path: str) -> tuple[Any, Any]:
    *steps, last = [int(s) if s.isdigit() else s for s in path.split(".")]
    for step in steps:
        value = value[step]
    return value, last


FIELDS = [(path, value) for path, value in walk(FULL) if not path.rpartition(".")[2].isdigit()]


def test_the_full_sample_is_a_certificate() -> None:
    assert Unlearning.from_json(FULL).as_json() == json.loads(json.dumps(FULL))


@pytest.mark.parametrize("path", [path for path, _ in FIELDS if path not in FREE])
def test_a_missing_field_is_refused(path: str) -> None:
    spoilt = changed(FULL, {})
    holder, name = place(spoilt, path)
    del holder[name]
    if path in OPTIONAL:
        Unlearning.from_json(spoilt)
    else:
        with pytest.raises(MalformedEvidence):
            Unlearning.from_json(spoilt)


@pytest.mark.parametrize(("path", "value"), [f for f in FIELDS if f[0] not in FREE - {"method.seeds.init"}])
def test_a_field_of_the_wrong_type_is_refused(path: str, value: Any) -> None:
    wrong: list[Any] = [12.5, {"x": 1}, ["x", 1]] if isinstance(value, str) else ["x", {"x": "y"}, ["x", 1]]
    if isinstance(value, dict):
        wrong = [12.5, "x", ["x", 1]]
    elif isinstance(value, list):
        wrong = [12.5, "x", [["x"]]]
    if path == "method.parameters.n_trees":
        return
    for bad in wrong:
        spoilt = changed(FULL, {})
        holder, name = place(spoilt, path)
        holder[name] = bad
        with pytest.raises(MalformedEvidence):
            Unlearning.from_json(spoilt)


@pytest.mark.parametrize("path", ["scope.n_forgotten", "method.n_threads", "method.attempt", "data.version"])
def test_numbers_are_not_guessed_from_text(path: str) -> None:
    for wrong in ("1", True, 1.5, -1):
        with pytest.raises(MalformedEvidence):
            Unlearning.from_json(changed(FULL, {path: wrong}))


@pytest.mark.parametrize(
    "path", [p for p, v in walk(FULL) if isinstance(v, dict) and p not in ("method.parameters", "method.seeds")]
)
def test_an_unknown_field_is_refused_when_writing(path: str) -> None:
    spoilt = changed(FULL, {})
    holder, name = place(spoilt, path)
    holder[name]["unknown"] = 1
    with pytest.raises(MalformedEvidence):
        Unlearning.from_json(spoilt)


BAD_TIMES = [
    "2026-01-01T00:00:00+00:00",
    "2026-01-01T00:00:00.5Z",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01 00:00:00Z",
    "2026-01-01T00:00:00Z\n",
    "now",
]


@pytest.mark.parametrize("text", BAD_TIMES)
def test_times_have_one_spelling(text: str) -> None:
    with pytest.raises(MalformedEvidence):
        Unlearning.from_json(changed(FULL, {"validity.as_of": text}))


@pytest.mark.parametrize(
    "change",
    [
        {"reasons": []},
        {"outcome": "complete"},
        {"request.regime": "eu-gdpr", "request.final_by": None},
        {"scope.models": []},
        {"scope.stores": [{"name": "lake", "kind": "table", "status": "UNVERIFIED"}]},
        {"scope.stores": [{"name": "lake", "kind": "table", "status": "OK"}]},
        {"stage": "promised"},
        {"guarantee.kind": "erasure"},
        {"claim.non_claims": ["immortality"]},
        {"data.encoding": "csv"},
        {"request.ref": "alice"},
        {"scope.s_root": "AB" * 32},
    ],
    ids=str,
)
def test_an_inconsistent_certificate_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedEvidence):
        Unlearning.from_json(changed(FULL, change))


@pytest.mark.parametrize("name", [n for n in DENIAL if n not in ("supersedes", "critical")])
def test_a_denial_needs_its_fields(name: str) -> None:
    for spoilt in ({k: v for k, v in DENIAL.items() if k != name}, DENIAL | {name: 12.5}):
        with pytest.raises(MalformedEvidence):
            Denial.from_json(spoilt)
    for grounds in ([], ["because"]):
        with pytest.raises(MalformedEvidence):
            Denial.from_json(DENIAL | {"grounds": grounds})


def payload(members: dict[str, Any], /, **changes: Any) -> bytes:
    said = statement(unlearning()).as_json()
    return canonical_json({**said, "predicate": {**said["predicate"], **members}, **changes})


def test_statements_read_back() -> None:
    for predicate in (unlearning(), denial()):
        said = statement(predicate)
        assert read_statement(said.canonical()) == (said, ())
        check_statement(said)


def test_an_unknown_member_is_a_warning_unless_it_is_critical() -> None:
    said, warnings = read_statement(payload({"colour": "red"}))
    assert warnings == ("unknown member ignored: 'colour'",)
    check_statement(said)
    assert read_statement(payload({"critical": ["data"]}))[1] == ()
    for critical in (["colour"], ["data", "colour"], ["Data"]):
        for member in ({"colour": "red"}, {}):
            with pytest.raises(Unverifiable):
                read_statement(payload({"critical": critical, **member}))


@pytest.mark.parametrize(
    "text",
    [
        payload({}, predicateType="urn:x-expunge:unlearning:v2"),
        payload({}, predicateType="URN:x-expunge:unlearning:v1"),
        payload({}, predicateType=7),
        payload({}, predicateType="urn:x-expunge:denial:v1"),
        payload({}, predicate=[]),
        payload({}, subject=[]),
        payload({}, subject=[{"name": "m", "digest": {"sha1": "ab"}}]),
        payload({}, _type="https://in-toto.io/Statement/v0.1"),
        payload({}, more=1),
        payload({"critical": "data"}),
        payload({}).replace(b'"stage"', b'"stage":"attested","stage"'),
        payload({})[:-1],
        b"\xef\xbb\xbf" + payload({}),
        payload({}).replace(b'"n_forgotten":3', b'"n_forgotten":NaN'),
        payload({}).replace(b'"n_forgotten":3', b'"n_forgotten":9007199254740992'),
        b"[]",
        b"",
    ],
)  # fmt: skip
def test_a_malformed_statement_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedEvidence):
        read_statement(text)


@given(st.data())
def test_a_mutated_statement_never_surprises(data: st.DataObject) -> None:
    text = bytearray(payload({}))
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MalformedEvidence, Unverifiable):
        read_statement(bytes(text))


def test_the_published_schema_is_current() -> None:
    assert json.loads(SCHEMA.read_text()) == schema()


@pytest.mark.parametrize("present", list(itertools.product([False, True], repeat=6)))
def test_a_level_needs_all_levels_below(present: tuple[bool, ...]) -> None:
    reached = [level for i, level in enumerate(LEVELS) if all(present[: i + 1])]
    assert level_of(Support(*present)) == (reached[-1] if reached else None)


@pytest.mark.parametrize(
    ("change", "level"),
    [
        ({}, "L1"),
        ({"evaluation.evidence": []}, "L0"),
        ({"evaluation.evidence": [evidence(threshold=None, direction="none", passed=None)]}, "L0"),
        ({"evaluation.evidence": [evidence(), evidence(threshold=0.5, passed=False)]}, "L0"),
        ({"evaluation.evidence": [evidence(direction="none", passed=None)]}, "L0"),
        ({"evaluation.evidence": [evidence(), evidence(direction="none", passed=None)]}, "L1"),
        ({"evaluation.evidence": [evidence(status="not_measured", note="no holdout", passed=False)]}, "L0"),
        (REPLAYED, "L2"),
        (REPLAYED | {"data.loader": "own"}, "L1"),
        (REPLAYED | {"method.deterministic": False}, "L1"),
        (REPLAYED | {"method.deterministic": False, "method.tolerance": 0.1}, "L2"),
        (REPLAYED | {"claim.replay": {"r": 0.0, "n_runs": 1, "n_replayed": 0, "power": 0.0}}, "L1"),
        ({k: v for k, v in REPLAYED.items() if k != "method.beacon"}, "L1"),
        (REPLAYED | {"evaluation.evidence": []}, "L0"),
    ],
    ids=str,
)
def test_the_level_follows_from_the_fields(change: dict[str, Any], level: str) -> None:
    predicate = honest(Unlearning.from_json(changed(UNLEARNING, change)))
    assert predicate.claim.level == level
    check_statement(statement(predicate))
    for higher in LEVELS[LEVELS.index(level) + 1 :]:  # type: ignore[arg-type]
        claim = predicate.claim.model_copy(update={"level": higher, "non_claims": tuple(NON_CLAIM_TEXT)})
        with pytest.raises(ClaimRefuted, match="evidence supports"):
            check_statement(statement(predicate.model_copy(update={"claim": claim})))


@given(
    rows=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1), st.booleans(), st.sampled_from(["lower", "higher"]))),
    level=st.sampled_from(LEVELS),
    deterministic=st.booleans(),
    loader=st.sampled_from(["own", "committed-order"]),
)
def test_for_random_evidence_no_level_above_the_table_passes(
    rows: list[tuple[float, float, bool, str]], level: str, deterministic: bool, loader: str
) -> None:
    found = [evidence(value=v, low=v, high=v, threshold=t, passed=p, direction=d) for v, t, p, d in rows]
    change = {"evaluation.evidence": found, "method.deterministic": deterministic, "data.loader": loader}
    draft = Unlearning.from_json(changed(UNLEARNING, REPLAYED | change))
    claim = draft.claim.model_copy(update={"level": level, "non_claims": tuple(NON_CLAIM_TEXT)})
    draft = draft.model_copy(update={"claim": claim})
    true_gates = [v <= t if d == "lower" else v >= t for v, t, _, d in rows]
    told = [p for _, _, p, _ in rows]
    most = 0 if not rows or not all(true_gates) else 2 if deterministic and loader == "committed-order" else 1
    try:
        check_statement(statement(draft))
    except ClaimRefuted:
        assert told != true_gates or LEVELS.index(level) > most  # type: ignore[arg-type]
    else:
        assert told == true_gates
        assert LEVELS.index(level) <= most  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, "anonymity"),
        ({"evaluation.attack_families": {"tested": [], "missing": []}}, "anonymity"),
        ({}, "causal-absence"),
        (REPLAYED | {"guarantee": {"kind": "suppression"}}, "causal-absence"),
        ({}, "loader"),
        ({"propagation": [{"kind": "backup", "id": "b", "status": "PENDING"}]}, "backups-pending"),
    ],
    ids=str,
)
def test_a_non_claim_that_applies_cannot_be_left_out(change: dict[str, Any], code: str) -> None:
    predicate = honest(Unlearning.from_json(changed(UNLEARNING, change)))
    assert code in required_non_claims(predicate)
    assert {*ALWAYS, "batch-difference", code} <= set(predicate.claim.non_claims)
    left = tuple(c for c in predicate.claim.non_claims if c != code)
    claim = predicate.claim.model_copy(update={"non_claims": left})
    with pytest.raises(ClaimRefuted, match=code):
        check_statement(statement(predicate.model_copy(update={"claim": claim})))


def test_a_non_claim_that_does_not_apply_is_not_required() -> None:
    families = {"evaluation.attack_families": {"tested": ["membership"], "missing": []}}
    predicate = honest(Unlearning.from_json(changed(UNLEARNING, REPLAYED | families)))
    assert required_non_claims(predicate) == frozenset()
    assert support_of(predicate).replayable
    big = honest(Unlearning.from_json(changed(UNLEARNING, {"scope.n_forgotten": 11})))
    assert "batch-difference" not in big.claim.non_claims


@pytest.mark.parametrize(
    "row",
    [
        evidence(passed=False),
        evidence(passed=None),
        evidence(threshold=0.5),
        evidence(direction="higher"),
        evidence(threshold=None, direction="none"),
    ],
    ids=str,
)
def test_a_gate_against_its_own_numbers_is_refuted(row: dict[str, Any]) -> None:
    predicate = Unlearning.from_json(changed(unlearning().as_json(), {"evaluation.evidence": [row]}))
    with pytest.raises(ClaimRefuted, match="measurement"):
        check_statement(statement(predicate))


def test_dates_out_of_order_are_refuted() -> None:
    for field in ("request.received_at", "request.decided_at", "request.completed_at"):
        with pytest.raises(ClaimRefuted, match="dates"):
            check_statement(statement(unlearning(**{field: "2026-01-01T00:00:09Z"})))
    with pytest.raises(ClaimRefuted, match="dates"):
        check_statement(statement(denial(request__decided_at="2025-01-01T00:00:09Z")))


def test_a_statement_about_something_else_is_refuted() -> None:
    said, other = statement(unlearning()), statement(denial())
    for subject in (other.subject, (*said.subject, *said.subject)):
        with pytest.raises(ClaimRefuted, match="something else"):
            check_statement(said.model_copy(update={"subject": subject}))
    with pytest.raises(ClaimRefuted):
        check_statement(said.model_copy(update={"predicate_type": other.predicate_type}))


def test_every_level_and_non_claim_has_its_fixed_text() -> None:
    assert list(LEVEL_TEXT) == list(LEVELS)
    assert len(set(NON_CLAIM_TEXT.values())) == 12
    assert all(text.startswith("Not claimed: ") for text in NON_CLAIM_TEXT.values())


def test_times_are_written_in_utc() -> None:
    from datetime import datetime, timedelta, timezone

    at = datetime(2026, 1, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert time_text(at) == "2025-12-31T23:30:00Z"
