"""Composites: the formulas by hand, their null, and that no question rests on them (M02, M04, M05, M06)."""

import numpy as np
import pytest
from audit.battery.fixed_pools import POLICY, by_name, fixed_pools
from audit.battery.pool_worlds import pools_of, with_logits
from sklearn.metrics import roc_auc_score

from expunge.audit.battery import composites
from expunge.core.policy import QUESTIONS


def test_formulas_by_hand():
    """Forgotten, kept, holdout accuracy 0.9, 0.99, 0.90 against 0.8, 1.00, 0.94 of retraining."""
    ours, theirs = np.array([[0.88, 0.92], [0.99, 0.99], [0.9, 0.9]]), np.array([[0.8, 0.8], [1.0, 1.0], [0.93, 0.95]])
    assert composites.gaps(ours, theirs) == pytest.approx([0.1, 0.01, 0.04])
    assert composites.average_gap(ours, theirs) == pytest.approx(0.05)
    assert composites.tug_of_war(ours, theirs) == pytest.approx(0.9 * 0.99 * 0.96)
    assert composites.adaptive_score(0.95, 0.90, 0.8) == pytest.approx((1 - 0.05) / 1.1)
    assert composites.normalised_score(0.9, 0.6) == pytest.approx(0.45 + 0.5 * 0.8)
    assert composites.normalised_score(0.9, 0.4) == composites.normalised_score(0.9, 0.6)


def test_accuracies_and_areas_are_those_of_each_model():
    pools = with_logits(pools_of(6, 150, seed=1))
    pool = pools.need("before")
    found, areas = composites.accuracies(pool), composites.attack_areas(pool)
    for i in range(6):
        right = pool.predicted[i] == pool.truth
        assert found.kept[i] == right[pool.roles[i] == 1].mean()
        assert found.forgotten[i] == right[pool.roles[i] == 2].mean()
        out = np.isin(pool.roles[i], (0, 3))
        assert found.holdout[i] == right[out].mean()
        gone = pool.roles[i] == 2
        assert areas[i] == pytest.approx(roc_auc_score(gone[gone | out], pool.phi[i][gone | out]))


def test_evidence_stands_beside_retraining():
    clean, residue = (by_name(composites.measure(fixed_pools(48, left=left, seed=3), POLICY)) for left in (0.0, 3.0))
    assert len(clean) == 8
    for name in ("tow", "tow_mia", "average_gap", "ratio_forgotten"):
        found = clean[f"composite.{name}@after"]
        assert found.null.low <= found.value <= found.null.high
        away = residue[f"composite.{name}@after"]
        assert not away.null.low <= away.value <= away.null.high
    for name in ("aus", "nomus"):
        assert clean[f"composite.{name}@after"].null.what == "retrained models"
    pools = fixed_pools(48, left=3.0, seed=3)
    before, after = composites.accuracies(pools.need("before")), composites.accuracies(pools.need("after"))
    expected = composites.adaptive_score(before.holdout.mean(), after.holdout.mean(), after.forgotten.mean())
    assert residue["composite.aus@after"].value == pytest.approx(expected)
    assert all("composite" in e.note.lower() for e in clean.values())


def test_a_perfect_score_is_not_reached_by_retraining():
    """Retrained models among themselves have ToW below 1 and a gap above 0: the null says where perfect lies."""
    found = by_name(composites.measure(fixed_pools(16, left=0.0, seed=4), POLICY))
    assert found["composite.tow@after"].null.high < 1
    assert found["composite.average_gap@after"].null.low > 0


def test_none_is_a_question():
    assert not [q for q in QUESTIONS if q.evidence.startswith("composite.")]
    assert all(e.p_value is None for e in composites.measure(fixed_pools(16), POLICY))


def test_what_is_missing_is_said():
    phi = by_name(composites.measure(fixed_pools(form="phi"), POLICY))
    assert all(e.status == "not_measured" for e in phi.values())
    no_holdout = by_name(composites.measure(fixed_pools(16, n_holdout=0), POLICY))
    assert "holdout" in no_holdout["composite.tow@after"].note
