"""The record of an audit: closed, recomputable by its reader, and a public form that names nobody."""

import pytest
from audit_sample import POLICY, made_evidence, made_pools, made_report
from pydantic import ValidationError

from expunge.audit.findings import WITHHELD, AuditReport, for_statement, read_audit
from expunge.core.canonical import read_json
from expunge.core.errors import MalformedEvidence
from expunge.core.evidence import Evidence
from expunge.core.verdict import ControlRun, verdict_of

CONTROLS = tuple(
    ControlRun(kind=kind, evidence=tuple(made_evidence(statuses)))
    for kind, statuses in (
        ("no-op", {"membership": "residue"}),
        ("retrain", {}),
        ("random", {"utility_kept": "residue", "utility_holdout": "residue"}),
    )
)


@pytest.fixture(scope="module")
def pools():
    return made_pools(0.3)


@pytest.fixture(scope="module")
def report(pools):
    return made_report(pools, controls=CONTROLS)


def test_the_record_round_trips_and_is_closed(report):
    data = report.canonical()
    assert read_audit(data) == report
    assert read_audit(data).canonical() == data
    with pytest.raises(MalformedEvidence):
        AuditReport.from_json(read_json(data, 1 << 26) | {"more": 1})


def test_every_field_has_a_schema(report):
    schema = AuditReport.model_json_schema()
    assert set(schema["properties"]) == set(AuditReport.model_fields)
    assert schema["additionalProperties"] is False
    assert report.verdict.overall == "clean"


def test_the_reader_recomputes_the_verdict_from_the_report_alone(report):
    read = read_audit(report.canonical())
    again = verdict_of(
        read.evidence, read.policy, controls=read.controls, registered=read.registered, claim=read.guarantee
    )
    assert again.canonical() == report.verdict.canonical()


@pytest.mark.parametrize("evidence", [0, 2])
def test_a_report_whose_verdict_does_not_follow_cannot_be_read(report, evidence):
    """V1, V3: nobody can hand on a verdict that the evidence does not give."""
    told = read_json(report.canonical(), 1 << 26)
    told["evidence"][evidence] |= {"low": -0.9, "high": 0.9}
    with pytest.raises(MalformedEvidence, match="the verdict is not the one"):
        AuditReport.from_json(told)


def test_a_softened_policy_does_not_pass(report):
    told = read_json(report.canonical(), 1 << 26)
    told["policy"]["alpha"] = 0.2
    with pytest.raises(MalformedEvidence, match="digest"):
        AuditReport.from_json(told)
    told["policy_digest"] = POLICY.model_copy(update={"alpha": 0.2}).digest()
    with pytest.raises(MalformedEvidence, match="the verdict is not the one"):
        AuditReport.from_json(told)


def test_the_public_form_names_nobody():
    """Section 11: no record id of a 1,000-record audit, no score of a single record."""
    pools = made_pools(0.3, n=1000, n_population=300, n_models=16)
    full = made_report(pools, controls=CONTROLS)
    public = full.public()
    assert full.views.exposed
    assert not public.views.exposed
    assert any(name.encode() in full.canonical() for name in pools.ids)
    assert not any(name.encode() in public.canonical() for name in pools.ids)
    assert (public.full, public.withheld) == (full.digest(), 0)
    assert public.public() is public
    assert read_audit(public.canonical()) == public
    assert public.recomputed() == full.verdict


def test_the_public_form_has_no_count_of_records_below_ten(report):
    few = Evidence(name="utility.rare_accuracy@after", estimator="made", value=0.5, low=0.1, high=0.9, n=9)
    small = report.views.shares[0].model_copy(update={"n": 9})
    matrix = report.views.matrices[0].model_copy(update={"n": (9, *report.views.matrices[0].n[1:])})
    views = report.views.model_copy(update={"shares": (small,), "matrices": (matrix,)})
    full = made_report(
        evidence=(*made_evidence(), few), controls=CONTROLS, pools=made_pools(0.3), views=views
    ).model_copy(update={"audited": report.audited.model_copy(update={"n_forgotten": 7})})
    public = full.public()
    assert Evidence.missing(few.name, WITHHELD) in public.evidence
    assert (public.withheld, public.audited.n_forgotten, public.views.shares) == (1, None, ())
    assert public.views.matrices[0].rows[0] == ()
    assert public.views.matrices[0].rows[1] == matrix.rows[1]
    assert read_audit(public.canonical()) == public


def test_a_withheld_primary_keeps_the_auditors_verdict(pools):
    small = [
        e.model_copy(update={"n": 5, "unit": "records"}) if e.name == "relearning.recovery_excess@after" else e
        for e in made_evidence()
    ]
    full = made_report(pools, small, controls=CONTROLS)
    public = full.public()
    assert public.verdict.overall == full.verdict.overall
    assert [f.n for f in full.verdict.findings if f.question == "residue"] == [5]
    assert [f.n for f in public.verdict.findings if f.question == "residue"] == [0]
    assert read_audit(public.canonical()) == public


def test_a_public_form_with_single_records_is_refused(report):
    with pytest.raises(ValidationError, match="no single record"):
        AuditReport.model_validate(dict(report) | {"audience": "public"})


def test_two_measurements_of_one_name_are_refused(report):
    with pytest.raises(ValidationError, match="one name"):
        AuditReport.model_validate(dict(report) | {"evidence": (*report.evidence, report.evidence[0])})


def test_the_statement_carries_margins_and_what_passed(pools):
    """T12: threshold = Δ and pass = clean, so that a reader's recomputation agrees."""
    found = made_evidence({"membership": "residue", "records": "inconclusive"})
    told = {e.name: e for e in for_statement(made_report(pools, found, controls=CONTROLS))}
    passed = {q.name: told[q.evidence].passed for q in POLICY.questions}
    assert passed["membership"] is False
    assert passed["residue"] is True
    assert told["membership.ulira_auc_excess@after"].threshold == 0.05
    assert told["utility.kept_accuracy_excess@after"].direction == "higher"
    for e in told.values():
        if e.threshold is not None:
            assert e.judged(e.threshold, e.direction).passed is e.passed
