"""The verdict (spec section 10): its table, its rules V1–V9, and that nothing softens it."""

import itertools
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from expunge.core.evidence import Evidence
from expunge.core.finding import ABSENT, INSIDE, ONE_OF_A_KIND, findings_of, holm, status_of
from expunge.core.guarantee import Guarantee
from expunge.core.policy import QUESTIONS, AuditPolicy, Question
from expunge.core.verdict import (
    CHANGED,
    CONTRADICTED,
    EPSILON_LOWER,
    EQUAL,
    NOTHING,
    SEVERITY,
    UNREGISTERED,
    WATCHED_ONLY,
    ControlRun,
    Verdict,
    verdict_of,
    worst,
)

POLICY = AuditPolicy(
    questions=tuple(q.model_copy(update={"both": True, "worst": None}) for q in QUESTIONS), watches=(), legacy=False
)
"""Every question with two sides, so that each can have any of the five statuses; classes are looked at further down."""
STATUSES = ("clean", "residue", "overshoot", "inconclusive", "not_measured")
UTILITY = tuple(q.name for q in POLICY.questions if q.concern == "utility")


def measured(question, low, high, arm="after", **more):
    """Evidence of an excess that lies between `low` and `high` in the harmful direction."""
    sign = 1 if question.harmful == "higher" else -1
    ends = sorted((sign * low, sign * high))
    fields = {"n": 64, "n_models": 64, "unit": "models"} | more
    name = question.evidence.replace("@after", f"@{arm}")
    return Evidence(name=name, estimator="made", value=sum(ends) / 2, low=ends[0], high=ends[1], **fields)


@cache
def of_status(question, status, arm="after"):
    """Evidence that gives a question a status."""
    d = question.margin
    low, high = {
        "clean": (-0.5 * d, 0.5 * d),
        "residue": (9 * d, 11 * d),
        "overshoot": (-11 * d, -9 * d),
        "inconclusive": (-3 * d, 3 * d),
        "not_measured": (0, 0),
    }[status]
    if status == "not_measured":
        return Evidence.missing(question.evidence.replace("@after", f"@{arm}"), "the model gives no classes")
    return measured(question, low, high, arm)


def all_of(status, arm="after", policy=POLICY):
    return tuple(of_status(q, status, arm) for q in policy.questions)


def mixed(statuses, arm="after"):
    return tuple(of_status(q, s, arm) for q, s in zip(POLICY.questions, statuses, strict=True))


LEAKING = ("residue", "residue", "clean", "clean", "residue")
BROKEN = ("inconclusive", "clean", "residue", "residue", "inconclusive")
HOLDING = (
    ControlRun(kind="original", evidence=mixed(LEAKING)),
    ControlRun(kind="no-op", evidence=mixed(LEAKING)),
    ControlRun(kind="retrain", evidence=all_of("clean")),
    ControlRun(kind="random", evidence=mixed(BROKEN)),
)


def judged(evidence, controls=HOLDING, policy=POLICY, **more):
    return verdict_of(evidence, policy, controls=controls, **{"registered": policy} | more)


def test_all_clean_is_clean_and_says_what_was_not_covered():
    said = judged(all_of("clean"))
    assert (said.overall, said.utility, said.reasons) == ("clean", "kept", ())
    assert any("bystanders" in what for what in said.not_covered)
    assert said.then(time_left=True) == "accept"


def expected(statuses):
    """The overall verdict and the utility of five statuses, written down once more."""
    memory = [s for q, s in zip(POLICY.questions, statuses, strict=True) if q.name not in UTILITY]
    utility = [s for q, s in zip(POLICY.questions, statuses, strict=True) if q.name in UTILITY]
    overall = "clean" if set(statuses) == {"clean"} else "inconclusive"
    overall = "overshoot" if "overshoot" in statuses else overall
    overall = "residue" if "residue" in memory else overall
    if "residue" in utility:
        return overall, "failed"
    if set(utility) == {"clean"}:
        return overall, "kept"
    return overall, "not_measured" if set(utility) == {"not_measured"} else "inconclusive"


def test_every_combination_of_statuses_gives_the_verdict_of_the_rules():
    """V2, V3: all 5^5 statuses, with controls that hold, fail, were not run, and find nothing to detect."""
    blind = ControlRun(kind="random", evidence=all_of("clean"))
    quiet = [ControlRun(kind=kind, evidence=all_of("clean")) for kind in ("original", "no-op")]
    sets = {"hold": HOLDING, "fail": (*HOLDING[:3], blind), "absent": HOLDING[:2], "quiet": (*quiet, *HOLDING[2:])}
    for statuses in itertools.product(STATUSES, repeat=5):
        evidence, (plain, utility) = mixed(statuses), expected(statuses)
        said = {name: judged(evidence, controls=runs) for name, runs in sets.items()}
        assert tuple(f.status for f in said["hold"].findings) == statuses
        assert (said["hold"].overall, said["hold"].utility) == (plain, utility), statuses
        assert (plain == "clean") == (not said["hold"].reasons), statuses
        assert said["fail"].overall == "invalid"
        for name in ("absent", "quiet"):
            assert (said[name].overall, said[name].utility) == (worst([plain, "inconclusive"]), utility), statuses


OUTCOMES = {
    "original": (LEAKING, ("clean",) * 5, ("not_measured",) * 5),
    "no-op": (LEAKING, ("clean",) * 5, None),
    "retrain": (("clean",) * 5, ("residue", *("clean",) * 4), ("overshoot", *("clean",) * 4), None),
    "random": (BROKEN, ("clean",) * 5, None),
}


def runs_of(outcome):
    return tuple(
        ControlRun(kind=kind, evidence=mixed(statuses))
        for kind, statuses in zip(OUTCOMES, outcome, strict=True)
        if statuses is not None
    )


@pytest.mark.parametrize("status", STATUSES)
def test_every_outcome_of_the_controls_with_every_verdict(status):
    """V1: a control that fails invalidates; one that was not run, or an original that leaks nothing, caps."""
    evidence = mixed((status, *("clean",) * 4))
    plain = expected((status, *("clean",) * 4))[0]
    for outcome in itertools.product(*OUTCOMES.values()):
        said = judged(evidence, controls=runs_of(outcome))
        original, noop, retrain, random = outcome
        broken = original == LEAKING and noop == ("clean",) * 5
        broken |= retrain is not None and retrain[0] != "clean"
        broken |= random == ("clean",) * 5
        open_ = original != LEAKING or None in outcome
        want = "invalid" if broken else worst([plain, "inconclusive"]) if open_ else plain
        assert said.overall == want, outcome
        assert bool(said.findings) == (want != "invalid")
        assert (said.utility == "not_judged") == (want == "invalid")
        assert (NOTHING in said.reasons) == (want != "invalid" and original == ("clean",) * 5)


def test_a_failing_control_prints_no_verdict_and_holds_the_request():
    """V1."""
    blind = ControlRun(kind="random", evidence=all_of("clean"))
    said = judged(all_of("clean"), controls=(*HOLDING[:3], blind))
    assert (said.overall, said.findings, said.utility) == ("invalid", (), "not_judged")
    assert said.reasons == ("the control random should be utility failure, and is utility kept",)
    assert said.then(time_left=True) == "hold"


def test_the_original_is_judged_by_its_own_arm_where_no_control_run_was_made():
    """V1: ``@before`` is the positive control."""
    both = (*all_of("clean"), *mixed(LEAKING, "before"))
    said = judged(both, controls=HOLDING[1:])
    assert said.overall == "clean"
    assert next(c for c in said.controls if c.kind == "original").held is True
    quiet = (*all_of("clean"), *all_of("clean", "before"))
    said = judged(quiet, controls=(HOLDING[2], HOLDING[3], ControlRun(kind="no-op", evidence=all_of("clean"))))
    assert (said.overall, said.reasons[0]) == ("inconclusive", NOTHING)


def test_a_residue_is_not_hidden_by_an_original_that_leaked_nothing():
    quiet = (*mixed(LEAKING), *all_of("clean", "before"))
    assert judged(quiet, controls=HOLDING[2:]).overall == "residue"


def test_b9_two_of_three_is_not_a_pass():
    """B9, V3: public audits pass when two of three tests pass; ours needs all of them."""

    def two_of_three(findings):
        return sum(f.status == "clean" for f in findings) >= 2

    policy = AuditPolicy(questions=POLICY.questions[:3], watches=())
    evidence = tuple(of_status(q, s) for q, s in zip(policy.questions, ("clean", "clean", "inconclusive"), strict=True))
    said = judged(evidence, policy=policy)
    assert two_of_three(said.findings)
    assert said.overall == "inconclusive"
    assert judged(mixed(("clean", "residue", "clean", "clean", "clean"))).overall == "residue"


@pytest.mark.parametrize(
    "name", ["membership.forgotten_vs_kept_auc@after", "utility.accuracy@after", "membership.ulira_auc@reference"]
)
def test_b9_a_question_that_does_not_compare_with_retraining_cannot_be_registered(name):
    """B9, V8: forgotten against *kept* records, or an attack against guessing, is no question of an audit."""
    with pytest.raises(ValidationError, match="does not compare with retraining"):
        Question(name="likeness", evidence=name, margin=0.05)


def test_b9_a_model_that_never_forgot_is_not_clean():
    """B9: forgotten records that look like kept ones are what *not* forgetting looks like."""
    assert judged(mixed(LEAKING)).overall == "residue"


def test_certified_claims_are_contradicted_or_not_never_confirmed():
    """V4."""
    claim = Guarantee(kind="certified", epsilon=1.0, delta=1e-5)

    def bound(low):
        return Evidence(name=EPSILON_LOWER, estimator="made", value=low, low=low, high=9, n=256)

    over, under = (judged((*all_of("clean"), bound(x)), claim=claim) for x in (1.01, 1.0))
    assert (over.claim, over.overall, over.reasons[0]) == ("contradicted", "inconclusive", CONTRADICTED)
    assert over.then(time_left=True) == "next unlearner"
    assert (under.claim, under.overall) == ("not contradicted", "clean")
    assert judged(all_of("clean"), claim=claim).claim == "not tested"
    assert judged(all_of("clean"), claim=Guarantee(kind="empirical")).claim == "none"


def test_exact_claims_are_held_to_equality_where_determinism_is_declared():
    """V5."""

    def equal(value):
        return Evidence(name=EQUAL, estimator="made", value=value, low=value, high=value, n=10)

    bits, law = (Guarantee(kind="exact", grade=g) for g in ("bits", "law"))
    assert judged((*all_of("clean"), equal(0)), claim=bits).claim == "contradicted"
    assert judged((*all_of("clean"), equal(1)), claim=bits).claim == "not contradicted"
    assert judged((*all_of("clean"), equal(0)), claim=law).claim == "not tested"


@pytest.mark.parametrize("status", ["clean", "residue"])
def test_without_shadows_membership_and_records_are_not_decided(status):
    """V6."""
    evidence = [of_status(q, status).model_copy(update={"n_models": None}) for q in POLICY.questions]
    said = judged(evidence)
    found = {f.question: f for f in said.findings}
    for name in ("membership", "records"):
        assert (found[name].status, found[name].notes) == ("inconclusive", (ONE_OF_A_KIND,))
    assert found["residue"].status == status


def test_without_a_reference_every_question_is_not_measured():
    """V6, W3: nothing to compare with, so nothing is clean; silence counts as not measured."""
    said = judged(())
    assert {f.status for f in said.findings} == {"not_measured"}
    assert all(f.notes == (ABSENT,) for f in said.findings)
    assert (said.overall, said.utility) == ("inconclusive", "not_measured")


@pytest.mark.parametrize(
    "change",
    [
        {"alpha": 0.1},
        {"budget": "full"},
        {"seeds": ("audit-1",)},
        {"n_blocks": 4},
        {"questions": POLICY.questions[:4]},
        {"questions": tuple(q.model_copy(update={"margin": 2 * q.margin}) for q in POLICY.questions)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_was_changed_after_registration_invalidates(change):
    """V6, V7: α, budget, seeds, a dropped question, a looser margin."""
    used = POLICY.model_copy(update=change)
    said = judged(all_of("clean"), policy=used, registered=POLICY)
    assert (said.overall, CHANGED in said.reasons) == ("invalid", True)


def test_margins_may_be_tightened_and_registration_is_asked_for():
    """V7."""
    tighter = POLICY.model_copy(
        update={"questions": tuple(q.model_copy(update={"margin": 0.9 * q.margin}) for q in POLICY.questions)}
    )
    assert judged(all_of("clean"), policy=tighter, registered=POLICY).overall == "clean"
    assert judged(all_of("clean"), registered=None).reasons == (UNREGISTERED,)


def test_watched_questions_show_overshoot_and_nothing_else():
    watch = Question(name="fa", evidence="utility.forgotten_accuracy_excess@after", margin=0.05, both=True)
    policy = POLICY.model_copy(update={"watches": (watch,)})
    seen = {}
    for status in STATUSES:
        said = judged((*all_of("clean"), of_status(watch, status)), policy=policy)
        seen[status] = (said.overall, said.watched[0].status)
        # what was found is said even where it does not decide: with predicted classes alone it is all there is
        assert any(WATCHED_ONLY in reason for reason in said.reasons) == (status == "residue")
    assert seen.pop("overshoot") == ("overshoot", "overshoot")
    assert seen == {s: ("clean", s) for s in seen}


def test_holm_accuses_only_after_correction():
    """Section 7: one p-value of 0.02 among five does not accuse, and of 0.005 does."""
    question = QUESTIONS[0]
    for p, status in ((0.02, "inconclusive"), (0.005, "residue")):
        first, *_ = findings_of((measured(question, 0.01, 0.2, p_value=p),), AuditPolicy())[0]
        assert (first.status, first.p_adjusted) == (status, pytest.approx(5 * p))
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == ()


def test_a_detectable_excess_inside_the_margin_is_clean_and_says_so():
    first, *_ = findings_of((measured(QUESTIONS[0], 0.01, 0.03),), AuditPolicy())[0]
    assert (first.status, first.notes) == ("clean", (INSIDE,))


def test_several_looks_cost_their_share_of_alpha():
    """Section 7: α/4 at each of four looks, and the interval widens with it."""
    policy = AuditPolicy(sequential=True)
    evidence = (measured(QUESTIONS[0], -0.01, 0.0499),)
    once, looked = (findings_of(evidence, p)[0][0] for p in (AuditPolicy(), policy))
    assert policy.alpha_each == 0.0125
    assert (once.status, looked.status) == ("clean", "inconclusive")
    assert (looked.high - looked.value) / (once.high - once.value) == pytest.approx(2.4977 / 1.95996, rel=1e-4)


def test_the_number_of_models_that_would_decide():
    """Equivalence within Δ needs se ≤ (Δ − excess) / (1.96 + 0.84): here se falls from 0.05 to 0.0178, (2.8)² × 64."""
    first, *_ = findings_of((measured(QUESTIONS[0], -0.098, 0.098),), AuditPolicy())[0]
    assert first.status == "inconclusive"
    assert (first.n_decides, first.n_unit) == (pytest.approx(64 * 2.8016**2, abs=1), "models")
    decided, *_ = findings_of((measured(QUESTIONS[0], -0.01, 0.01),), AuditPolicy())[0]
    assert decided.n_decides is None


def test_the_harmful_side_of_accuracy_is_down():
    question = next(q for q in QUESTIONS if q.name == "utility_kept").model_copy(update={"worst": None})
    policy = AuditPolicy(questions=(question,))
    worse, better = (
        Evidence(name=question.evidence, estimator="made", value=v, low=v - 0.002, high=v + 0.002, n=9)
        for v in (-0.05, 0.05)
    )
    found = [findings_of((e,), policy)[0][0] for e in (worse, better)]
    assert [f.status for f in found] == ["residue", "clean"]
    assert found[0].value == pytest.approx(0.05)


CLASSES = AuditPolicy(questions=tuple(q for q in QUESTIONS if q.name == "utility_kept"), watches=())


@pytest.mark.parametrize(
    ("own", "worst", "status"),
    [
        ((-0.002, 0.004), (0.002, 0.018), "clean"),
        ((-0.002, 0.004), (0.002, 0.022), "residue"),
        ((-0.002, 0.004), (-0.002, 0.022), "inconclusive"),
        ((0.005, 0.015), (-0.002, 0.022), "residue"),
        ((-0.005, 0.015), (-0.002, 0.018), "inconclusive"),
    ],
)
def test_the_worst_class_is_held_to_twice_the_margin(own, worst, status):
    """Section 10: worst group 2 ×; the worse of the two statuses counts."""
    (question,) = CLASSES.questions
    second = measured(question, *worst).model_copy(update={"name": question.worst})
    (found,) = findings_of((measured(question, *own), second), CLASSES)[0]
    assert found.status == status
    assert (found.worst.low, found.worst.high) == worst
    assert (found.n_decides is not None) == (status == "inconclusive")


def test_a_worst_class_that_was_not_measured_leaves_the_question_open():
    (question,) = CLASSES.questions
    (found,) = findings_of((measured(question, -0.002, 0.004),), CLASSES)[0]
    assert found.status == "inconclusive"
    assert "worst class was not measured" in found.notes[0]


def test_two_tests_of_one_question_cost_it_twice_the_p_value():
    (question,) = CLASSES.questions
    second = measured(question, 0.01, 0.03, p_value=0.03).model_copy(update={"name": question.worst})
    (found,) = findings_of((measured(question, -0.002, 0.004, p_value=0.4), second), CLASSES)[0]
    assert (found.p_adjusted, found.status) == (pytest.approx(0.06), "inconclusive")


numbers = st.floats(-1, 1, allow_nan=False)


@st.composite
def intervals(draw, question):
    low, value, high = sorted(draw(st.tuples(numbers, numbers, numbers)))
    p = draw(st.none() | st.floats(0, 1))
    sign = 1 if question.harmful == "higher" else -1
    ends = sorted((sign * low, sign * high))
    return Evidence(
        name=question.evidence, estimator="drawn", value=sign * value, low=ends[0], high=ends[1], n=30,
        n_models=draw(st.sampled_from([None, 1, 64])), p_value=p,
    )  # fmt: skip


@st.composite
def audits(draw):
    policy = draw(st.sampled_from([AuditPolicy(), POLICY, AuditPolicy(sequential=True)]))
    asked = [(q, name) for q in policy.questions for name in (q.evidence, q.worst) if name]
    found = [draw(intervals(q)).model_copy(update={"name": name}) for q, name in asked if draw(st.booleans())]
    return policy, tuple(found)


@settings(max_examples=200, deadline=None)
@given(audits(), st.tuples(*[st.floats(0, 2)] * 14))
def test_widening_an_interval_never_turns_inconclusive_into_clean(audit, more):
    policy, evidence = audit
    wider = tuple(
        e.model_copy(update={"low": e.low - a, "high": e.high + b})
        for e, a, b in zip(evidence, more[:7], more[7:], strict=False)
    )
    before, after = (verdict_of(e, policy, controls=HOLDING, registered=policy) for e in (evidence, wider))
    for narrow, wide in zip(before.findings, after.findings, strict=True):
        assert wide.status != "clean" or narrow.status == "clean"
    assert after.overall != "clean" or before.overall == "clean"


@settings(max_examples=100, deadline=None)
@given(audits(), st.randoms())
def test_recomputation_gives_the_same_bytes(audit, random):
    """The verdict is total, travels, and depends on neither order nor on who computes it."""
    policy, evidence = audit
    said = verdict_of(evidence, policy, controls=HOLDING, registered=policy)
    again = [Evidence.from_bytes(e.canonical()) for e in evidence]
    random.shuffle(again)
    runs = [ControlRun.from_bytes(run.canonical()) for run in HOLDING]
    read = AuditPolicy.from_bytes(policy.canonical())
    assert verdict_of(again, read, controls=runs, registered=read).canonical() == said.canonical()
    assert Verdict.from_bytes(said.canonical()) == said
    assert said.overall in SEVERITY


@given(numbers, numbers, st.booleans(), st.booleans())
def test_the_table_is_total(a, b, both, significant):
    question = Question(name="q", evidence="x.y_excess@after", margin=0.1, both=both)
    status = status_of(min(a, b), max(a, b), question, significant)
    assert status in STATUSES
    assert (status == "residue") <= (significant and min(a, b) > 0 and max(a, b) >= 0.1)
