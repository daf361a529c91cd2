"""Membership inference where the truth is known: memorisers leak, retraining does not, noise stays at one half."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import TableLearner, by_name, case_of, records

from expunge.audit import curves as drawing
from expunge.audit.membership import Membership, curves, likelihood_ratio
from expunge.audit.signals import margins

PROBE = Membership(n_jobs=1, n_pool=400)


def measured(case, probe=PROBE):
    return by_name(probe.measure(case))


def world(kind, seed=1, n=400, m=30, **more):
    data, holdout = records(n, seed), records(400, seed + 5_000, first=100_000, per_owner=2)
    return case_of(TableLearner(kind), data, holdout, list(range(m)), **more)


def test_a_memoriser_leaks_before_and_not_after_retraining():
    found = measured(world("nearest", n_shadows=16))
    for attack in ("loss", "lira"):
        assert found[f"membership.{attack}_auc@before"].low > 0.8
        after = found[f"membership.{attack}_auc@after"]
        assert after.low < 0.5 < after.high
        assert after.null.value == after.value
        excess = found[f"membership.{attack}_auc_excess@after"]
        assert (excess.value, excess.low, excess.high) == (0, 0, 0)
        assert found[f"membership.{attack}_auc_excess@before"].low > 0.2
    assert found["membership.lira_auc@after"].n_models == 16
    assert found["membership.lira_auc@after"].seeds == ("audit-0",)


def test_doing_nothing_leaves_an_excess():
    found = measured(world("nearest", unlearnt="nothing", n_shadows=16))
    for attack in ("loss", "lira"):
        assert found[f"membership.{attack}_auc_excess@after"].low > 0.2


def test_lira_beats_the_loss_attack_where_records_differ_in_difficulty():
    found = measured(world("memory", n_shadows=16))
    assert found["membership.lira_auc@before"].low > found["membership.loss_auc@before"].high


def test_an_ignorant_learner_stays_at_one_half():
    """Of 60 worlds, 90 % or more have an interval that holds ½, for both attacks."""
    hits = {"loss": 0, "lira": 0}
    for seed in range(60):
        found = measured(replace(world("noise", seed=10 + seed, n=120, m=20, n_shadows=8), seed=f"s{seed}"))
        for attack in hits:
            e = found[f"membership.{attack}_auc@before"]
            hits[attack] += e.low <= 0.5 <= e.high
    assert min(hits.values()) >= 54, hits


def test_one_subject_is_said_to_be_one_subject():
    data = records(400, 1, per_owner=20)
    case = case_of(TableLearner("nearest"), data, records(300, 2, first=100_000), list(range(20)))
    note = measured(case)["membership.loss_auc@after"].note
    assert "one subject" in note
    assert "80 % power" in note


def test_power_is_printed():
    note = measured(world("nearest"))["membership.loss_auc@after"].note
    assert f"{0.5 + 2.4865 * (231 / (12 * 30 * 200)) ** 0.5:.3f}" in note  # 30 records, 200 owners


def test_what_cannot_be_measured_is_said():
    no_shadows = measured(world("nearest", n_shadows=0))
    assert no_shadows["membership.loss_auc@after"].status == "measured"
    assert "and 0 are asked for" in no_shadows["membership.lira_auc@after"].note
    assert "1000 non-members" in no_shadows["membership.loss_tpr_1pct@after"].note
    one = measured(world("nearest", m=1, n_shadows=8))
    assert {e.status for e in one.values()} == {"not_measured"}
    alone = measured(world("nearest", reference=False, n_shadows=8))
    assert alone["membership.loss_auc@after"].null is None
    for name in ("loss_auc@reference", "lira_auc_excess@after"):
        assert alone[f"membership.{name}"].status == "not_measured"


def test_tpr_where_there_are_enough_others():
    data, holdout = records(300, 1), records(1_100, 2, first=100_000)
    found = measured(case_of(TableLearner("nearest"), data, holdout, list(range(30))))
    assert found["membership.loss_tpr_1pct@before"].value == 1
    assert found["membership.loss_tpr_1pct@after"].value < 0.2


def test_the_likelihood_ratio_of_known_normals():
    generator = np.random.default_rng(0)
    inside = np.repeat([True, False], 500)[:, None] & np.ones((1, 50), bool)
    matrix = generator.normal(np.where(inside, 1.0, -1.0), 1.0)
    ratio = likelihood_ratio(np.linspace(-2, 2, 50), matrix, inside)
    assert ratio == pytest.approx(2 * np.linspace(-2, 2, 50), abs=0.8)
    pooled = likelihood_ratio(np.zeros(50), matrix[450:510], inside[450:510])
    assert np.isfinite(pooled).all()


def test_constant_signals_score_alike():
    inside = np.arange(8)[:, None] % 2 == np.zeros((1, 5), int)
    assert not likelihood_ratio(np.ones(5), np.ones((8, 5)), inside).any()


@given(st.lists(st.floats(-1e4, 1e4), min_size=2, max_size=5), st.integers(0, 4))
@settings(deadline=None)
def test_margins_are_finite_and_are_log_odds(scores, place):
    row = np.array([scores])
    true = np.array([place % len(scores)])
    phi = margins(row, true)[0]
    assert np.isfinite(phi)
    p = np.exp(row[0] - row[0].max())
    p /= p.sum()
    if 1e-9 < p[true[0]] < 1 - 1e-9:
        assert phi == pytest.approx(np.log(p[true[0]] / (1 - p[true[0]])), abs=1e-5)


def test_curves_hold_few_points_and_no_small_count():
    kept = []
    case = world("nearest", n_shadows=8)
    replace(PROBE, on_curves=kept.append).measure(case)
    shown = kept[0]
    assert shown == curves(case, PROBE)
    assert {(r.attack, r.arm) for r in shown.rocs} == {
        (a, b) for a in ("loss", "lira") for b in ("before", "after", "reference")
    }
    for roc in shown.rocs:
        assert len(roc.fpr) <= 100
        assert list(roc.fpr) == sorted(roc.fpr)
        assert list(roc.tpr) == sorted(roc.tpr)
        assert (roc.fpr[-1], roc.tpr[-1]) == (1, 1)
    for h in shown.losses:
        assert sum(h.shares) == pytest.approx(1, abs=1e-4)
        assert min(round(s * h.n) for s in h.shares) >= drawing.SMALLEST
    assert type(shown).from_bytes(shown.canonical()) == shown


def test_fewer_than_ten_records_are_not_drawn_in_public():
    case = world("nearest", m=6)
    seen = PROBE.observe(case)
    public, auditor = seen.curves(), seen.curves(smallest=1)
    assert not public.rocs
    assert "fewer than 10" in public.notes[0]
    assert {h.group for h in public.losses} == {"holdout"}
    assert auditor.rocs


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(1, 15))
def test_merging_keeps_every_record(counts, smallest):
    edges, merged = drawing._merged(counts, [float(i) for i in range(len(counts) + 1)], smallest)
    if sum(counts) < smallest:
        assert merged == []
    else:
        assert sum(merged) == sum(counts)
        assert min(merged) >= smallest
        assert edges == sorted(set(edges))
        assert len(edges) == len(merged) + 1


def test_repr_says_what_matters_only():
    assert repr(Membership(n_jobs=2)) == "Membership(n_pool=2000)"


def test_few_shadows_are_said_to_be_few():
    found = measured(world("nearest", n_shadows=8))
    assert "With 8 shadow models the estimate itself moves" in found["membership.lira_auc@after"].note
    assert "shadow models" not in found["membership.loss_auc@after"].note
    many = measured(world("nearest", n_shadows=64, n=120, m=10))
    assert "shadow models" not in many["membership.lira_auc@after"].note
