"""A whole audit: registered first, the same on a bundle as on live pools, resumed and stopped as it should be."""

import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from centroids import Again, Centroids, Nothing
from worlds import records

from expunge.audit import bundle, examine, inside, preparation, worlds
from expunge.audit.battery.run import run, run_controls
from expunge.audit.scene import scene
from expunge.audit.worlds import Making
from expunge.core.errors import BadInput
from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee
from expunge.core.policy import AuditPolicy, Question
from expunge.core.seeds import Key

QUICK = AuditPolicy(budget="quick")
PHI_BASED = ("ulira", "rmia", "records", "epsilon", "quality", "klom")
QUICK_ONES = ("accuracy", "ulira", "records", "likeness")
SMALL = {"quick": (8, 6), "standard": (8, 6), "full": (8, 6)}


@pytest.fixture(autouse=True)
def few_models_and_measures(monkeypatch):
    monkeypatch.setattr(worlds, "MODELS", SMALL)
    monkeypatch.setattr(examine, "run", partial(run, measures=QUICK_ONES))
    monkeypatch.setattr(examine, "run_controls", partial(run_controls, measures=QUICK_ONES))


def scene_of(learner=None, n=80, **more):
    return scene(records(n, 1), learner or Centroids(4.0), Key.public("audit"), n_population=20, **more)


def content(evidence):
    return [e.canonical() for e in evidence]


# before the run


def test_the_plan_says_how_many_models_and_observations_before_anything_is_trained():
    learner = Centroids()
    planned = preparation.plan(AuditPolicy(budget="standard"))
    assert (planned.n_models, planned.n_references, planned.n_controls) == (8, 6, 8)
    assert (planned.n_fits, planned.n_unlearnings, planned.seconds) == (22, 8, None)
    assert planned.policy == AuditPolicy(budget="standard").digest()
    assert learner.calls == []


def test_observations_are_those_of_the_equivalence_test():
    """Spec section 7: equivalence within 0.05 needs about 600 a side."""
    (asked, *_) = preparation.plan(QUICK).asked
    assert asked.question == "membership"
    assert asked.n_a_side == 571
    half = AuditPolicy(questions=(Question(name="m", evidence="membership.ulira_auc_excess@after", margin=0.025),))
    assert preparation.plan(half).asked[0].n_a_side == pytest.approx(4 * 571, abs=4)
    draw = np.random.default_rng(0)
    n, z = asked.n_a_side, 1.6448536
    se = np.sqrt((2 * n + 1) / (12 * n * n))
    areas = 0.5 + se * draw.normal(size=20_000)  # what AUCs of n and n look like where nothing is left
    clean = (areas + z * se < 0.55) & (areas - z * se > 0.45)
    assert clean.mean() == pytest.approx(0.8, abs=0.01)


def test_the_plan_says_which_questions_will_hardly_be_answered(monkeypatch):
    """Hours of training for a question that could never be answered would be a bad surprise."""

    def noted(*scene):
        return {a.question: a.note for a in preparation.plan(QUICK, *scene).asked if a.note}

    monkeypatch.setattr(worlds, "MODELS", {"quick": (16, 16), "full": (128, 128)})
    assert "--forget" in noted()["records"]
    assert set(noted(scene_of())) == {"records", "residue"}
    assert "Centroids cannot go on training" in noted(scene_of())["residue"]
    together = scene_of(forget=range(12))
    assert set(noted(together)) == {"residue"}  # 8 of 16 models forget them
    full = preparation.plan(AuditPolicy(budget="full"))
    assert [a.note for a in full.asked] == [""] * 5
    slip = Question(name="m", evidence="membership.typo_excess@after", margin=0.05)
    assert "correct the name" in preparation.plan(AuditPolicy(budget="quick", questions=(slip,))).asked[0].note


def test_a_timed_plan_fits_one_model():
    learner, method = Centroids(), Again()
    planned = preparation.plan(QUICK, scene_of(learner), method)
    assert planned.seconds > 0
    assert learner.calls == ["fit"]
    assert method.calls == ["unlearn"]


def test_a_policy_is_registered_once(tmp_path):
    assert preparation.register(QUICK, tmp_path / "a") == QUICK
    later = preparation.policy_of(None, budget="full")
    assert preparation.register(later, tmp_path / "a") == QUICK
    assert preparation.policy_of(tmp_path / "a" / "policy.json") == QUICK
    (tmp_path / "odd.json").write_text('{"alpha": 2}')
    with pytest.raises(BadInput, match=r"odd.json.*alpha"):
        preparation.policy_of(tmp_path / "odd.json")
    (tmp_path / "odd.json").write_text("{")
    with pytest.raises(BadInput):
        preparation.policy_of(tmp_path / "odd.json")


# the run


def test_the_battery_on_a_bundle_equals_the_battery_on_live_pools(tmp_path):
    """Spec section 9: bit for bit, controls included; and on φ alone, for what needs no more."""
    live = worlds.pools_of(scene_of(forget=range(12)), {"a": Again()}, worlds.Numbers(16, 14))["a"]
    bundle.write(tmp_path / "b", live)
    read = bundle.read(tmp_path / "b").pools
    few = ("accuracy", "population", "likeness", "outputs", *PHI_BASED)
    assert content(run(read, QUICK, few)) == content(run(live, QUICK, few))
    few = ("accuracy", "ulira")
    found, expected = (run_controls(pools, QUICK, few) for pools in (read, live))
    assert [c.canonical() for c in found] == [c.canonical() for c in expected]
    assert len(found) == 3

    def only_phi(pool):
        return replace(pool, logits=None, given=pool.phi)

    bare = replace(
        live,
        pools=tuple(only_phi(pool) for pool in live.pools),
        controls={name: only_phi(pool) for name, pool in live.controls.items()},
    )
    bundle.write(tmp_path / "phi", bare)
    by_phi = {e.name: e.canonical() for e in run(bundle.read(tmp_path / "phi").pools, QUICK, PHI_BASED)}
    measured = {e.name: e.canonical() for e in run(live, QUICK, PHI_BASED) if e.status == "measured"}
    assert {name.partition(".")[0] for name in measured} >= {"membership", "likeness"}
    assert {name: by_phi[name] for name in measured} == measured


def test_an_audit_gives_a_report_whose_verdict_follows(tmp_path):
    subject = examine.Subject("the model in use", artefact="ab" * 32, level="L2")
    report, pools = examine.examine(scene_of(), Again(), QUICK, how=Making(tmp_path), registered=QUICK, subject=subject)
    assert report.recomputed() == report.verdict
    assert report.audited.method == "Again()"
    assert report.audited.n_models == {"before": 8, "after": 8, "reference": 6}
    assert report.audited.n_records == len(pools.ids) == 80
    assert (report.audited.artefact, report.audited.level) == ("ab" * 32, "L2")
    assert report.guarantee.kind == "exact"
    assert {c.kind for c in report.controls} == {"no-op", "retrain", "random"}
    (equal,) = (e for e in report.evidence if e.name == "likeness.equal@after")
    assert (equal.value, equal.n, equal.unit) == (1.0, 3, "models")
    assert report.verdict.claim == "not contradicted"
    learner = Centroids(4.0)
    again, _ = examine.examine(
        scene_of(learner), Again(), QUICK, how=Making(tmp_path), registered=QUICK, subject=subject
    )
    assert again.evidence == report.evidence
    assert again.verdict == report.verdict
    assert learner.calls.count("fit") == 1 + 2 * 3 + 2  # the promise; the digests of three rows; one row and its twin


def test_what_is_older_than_the_policy_allows_is_deleted_first(tmp_path):
    policy = QUICK.model_copy(update={"retention_s": 3600.0})
    how = Making(tmp_path)
    examine.examine(scene_of(), Again(), policy, how=how)
    (young, *_) = folders = sorted(tmp_path.iterdir())
    for path in [*young.iterdir(), young]:
        os.utime(path, (0, 0))
    again = Centroids(4.0)
    examine.examine(scene_of(again), Again(), policy, how=how)
    assert sorted(tmp_path.iterdir()) == folders
    assert min(p.stat().st_mtime for p in young.iterdir()) > 0  # made again


def test_an_exact_claim_that_does_nothing_is_contradicted():
    class Liar(Nothing):
        def promise(self, deployment):
            return Guarantee(kind="exact", grade="bits-here")

    report, _ = examine.examine(scene_of(), Liar(), QUICK, registered=QUICK)
    (equal,) = (e for e in report.evidence if e.name == "likeness.equal@after")
    assert equal.value == 0.0
    assert report.verdict.claim == "contradicted"
    assert report.verdict.overall != "clean"


def test_equality_is_not_asked_of_weaker_promises():
    assert inside.equality(scene_of(), Nothing(), Guarantee(kind="empirical")) == ()
    assert inside.equality(scene_of(), Nothing(), Guarantee(kind="exact", grade="law")) == ()


def test_probes_of_one_model_have_its_twin_beside_and_a_surprise_loses_its_own_measure():
    class Looking:
        def measure(self, case):
            assert case.before.data.id_set - case.after.data.id_set == case.forgotten.id_set
            assert case.reference.data.id_set == case.after.data.id_set
            assert case.reference.key != case.before.key
            assert case.holdout.id_set.isdisjoint(case.before.data.id_set)
            return [Evidence.missing("looking.fine@after", "it looked")]

    class Broken:
        def measure(self, case):
            raise ZeroDivisionError("by zero")

    found = inside.probed(scene_of(forget=[5, 6]), Again(), [Broken(), Looking()], QUICK)
    assert [e.name for e in found] == ["broken.measure@after", "looking.fine@after"]
    assert "ZeroDivisionError" in found[0].note
    report, _ = examine.examine(scene_of(), Again(), QUICK, subject=examine.Subject(probes=(Broken(),)))
    assert {e.name: e.status for e in report.evidence}["broken.measure@after"] == "not_measured"
    default, _ = examine.examine(scene_of(), Again(), QUICK)
    (residue,) = (f for f in default.verdict.findings if f.question == "residue")
    assert residue.status == "not_measured"
    assert "cannot go on training" in residue.notes[0]


def test_margins_that_were_loosened_after_registration_make_the_audit_invalid():
    """V7."""
    looser = tuple(q.model_copy(update={"margin": q.margin * 2}) for q in QUICK.questions)
    report, _ = examine.examine(scene_of(), Again(), AuditPolicy(budget="quick", questions=looser), registered=QUICK)
    assert report.verdict.overall == "invalid"


def test_a_sequential_audit_stops_at_a_look_when_everything_is_decided(monkeypatch):
    asked = []

    def settled(n, pools, policy):
        asked.append(n)
        return n == 6

    monkeypatch.setattr(examine, "_is_settled", settled)
    policy = AuditPolicy(budget="quick", looks=(4, 6), sequential=True)
    report, pools = examine.examine(scene_of(), Again(), policy, registered=policy)
    assert asked == [4, 6]
    assert len(pools.need("after")) == 6
    assert "6 models" in report.deviations[0]
    asked.clear()
    whole, _ = examine.examine(scene_of(), Again(), replace_policy(policy, sequential=False))
    assert asked == []
    assert whole.audited.n_models["after"] == 8
    assert whole.deviations == ()


def replace_policy(policy, **changed):
    return policy.model_copy(update=changed)


def test_a_bundle_is_audited_without_its_models(tmp_path):
    live = worlds.pools_of(scene_of(), {"a": Again()}, worlds.Numbers(8, 6))["a"]
    guarantee = Guarantee(kind="certified", epsilon=1.0, delta=1e-5)
    bundle.write(tmp_path, bundle.pseudonymous(live), notes=("made twice",), **bundle.claimed(guarantee))
    read = bundle.read(tmp_path)
    assert read.described.guarantee() == guarantee
    assert set(read.pools.ids).isdisjoint(live.ids)
    report = examine.examine_bundle(read, QUICK, registered=QUICK)
    *measured, last = report.evidence
    assert content(measured) == content(run(live, QUICK, QUICK_ONES))
    assert (last.name, last.note) == ("relearning.recovery_excess@after", examine.SAID_ONLY)
    assert "made twice" in report.assumptions
    assert any(read.digest in line for line in report.assumptions)


@pytest.mark.parametrize("what", ["top", "phi", "one"])
def test_little_in_a_bundle_caps_the_verdict_and_every_lack_is_said(tmp_path, what):
    """V6: without shadows or references nothing is clean; what cannot be measured is named (W3)."""
    live = worlds.pools_of(scene_of(), {"a": Again()}, worlds.Numbers(8, 6))["a"]
    change = {
        "top": lambda pool: replace(pool, logits=None, top=pool.predicted),
        "phi": lambda pool: replace(pool, logits=None, given=pool.phi),
        "one": lambda pool: pool.take(np.array([0])),
    }[what]
    chosen = live.pools[1:2] if what == "one" else live.pools
    bundle.write(tmp_path, replace(live, pools=tuple(change(pool) for pool in chosen), controls={}))
    report = examine.examine_bundle(bundle.read(tmp_path), QUICK, registered=QUICK)
    assert report.verdict.overall == "inconclusive"
    measured = {e.name.partition("@")[0] for e in report.evidence if e.status == "measured"}
    assert ("utility.kept_accuracy" in measured) == (what != "phi")
    assert ("membership.ulira_auc" in measured) == (what == "phi")
    assert all(e.note for e in report.evidence if e.status == "not_measured")
    if what == "one":
        assert {f.status for f in report.verdict.findings} == {"not_measured"}


def test_claims_survive_a_bundle():
    for guarantee in (
        Guarantee(kind="exact", grade="bits"),
        Guarantee(kind="empirical"),
        Guarantee(kind="certified", epsilon=0.5, delta=1e-6),
    ):
        told = bundle.Description(
            n_classes=2, signal="phi", ids=("a",), models=({"world": "after", "pair": 0},), files={},
            **bundle.claimed(guarantee),
        )  # fmt: skip
        assert told.guarantee() == guarantee


# what it finds


class Honest(Nothing):
    """Does nothing, and claims no more than to have been measured."""

    def promise(self, deployment):
        return Guarantee(kind="empirical")


def statuses(report):
    return {f.question: f.status for f in report.verdict.findings}


def test_doing_nothing_is_residue_and_fitting_again_is_not(monkeypatch):
    monkeypatch.setattr(worlds, "MODELS", {"quick": (16, 16)})
    lazy, _ = examine.examine(scene_of(n=200), Honest(), QUICK, registered=QUICK)
    assert lazy.verdict.overall == "residue", lazy.verdict.reasons
    assert statuses(lazy)["membership"] == "residue"
    exact, _ = examine.examine(scene_of(n=200), Again(), QUICK, registered=QUICK)
    assert exact.verdict.overall == "inconclusive"  # relearning was not measured, so it is not clean (V3)
    assert statuses(exact)["membership"] != "residue"
    for report in (lazy, exact):
        held = {c.kind: c.held for c in report.verdict.controls}
        assert held == {"original": True, "no-op": True, "retrain": True, "random": True}


def test_native_deletion_of_digits_leaves_nothing():
    from sklearn.datasets import load_digits

    from expunge.core.dataset import Dataset
    from expunge.models.bayes.sums import SumBayes
    from expunge.unlearners.exact.native import Native

    X, y = load_digits(return_X_y=True)
    digits = Dataset.from_arrays(X[:500] / 16, [str(label) for label in y[:500]])
    found = scene(digits, SumBayes(), Key.public("digits"), n_population=100)
    report, pools = examine.examine(found, Native(), QUICK, registered=QUICK)
    before, after, reference = (pools.need(world) for world in ("before", "after", "reference"))
    assert np.array_equal(after.logits[:6], reference.logits)  # this learner draws nothing
    assert not np.array_equal(before.logits, after.logits)
    assert "residue" not in statuses(report).values()
    assert report.verdict.claim == "not contradicted"
