"""What an audit's figures show, recomputed by hand from the pools."""

import numpy as np
import pytest
from audit_sample import POLICY, K, made_pools, recoveries_of

from expunge.audit.pools import FORGOTTEN, NEVER, POPULATION, Pools
from expunge.audit.viewing import N_EXPOSED, recoveries, views_of

LABELS = ("cat", "dog", "heron", "newt")


@pytest.fixture(scope="module")
def pools():
    return made_pools(0.6, n_models=16, n=200, n_population=60, seed=3)


@pytest.fixture(scope="module")
def views(pools):
    return views_of(pools, POLICY, LABELS)


def test_curves_are_shares_above_a_threshold(pools, views):
    roc = next(r for r in views.rocs if (r.attack, r.arm) == ("population", "after"))
    pool = pools.need("after")
    inside, outside = pool.phi[pool.has(FORGOTTEN)], pool.phi[pool.has(POPULATION)]
    assert (roc.n_inside, roc.n_outside, roc.n_models) == (len(inside), len(outside), 16)
    assert roc.n_records == int(pool.has(FORGOTTEN).any(axis=0).sum())
    for fpr, tpr in zip(roc.fpr, roc.tpr, strict=True):
        allowed = int(np.floor(fpr * len(outside) + 1e-6))
        cut = np.sort(outside)[::-1][min(allowed, len(outside) - 1)]
        assert tpr == pytest.approx(np.mean(inside > cut) if allowed < len(outside) else 1.0, abs=1e-6)
    for low, tpr, high in zip(roc.low, roc.tpr, roc.high, strict=True):
        assert 0 <= low <= tpr + 1e-6
        assert tpr - 1e-6 <= high <= 1


def test_each_attack_has_a_curve_an_arm(views):
    assert [(r.attack, r.arm) for r in views.rocs] == [
        (attack, arm) for attack in ("population", "ulira") for arm in ("before", "after", "reference")
    ]


def test_accuracy_by_class_is_the_mean_over_models(pools, views):
    share = next(s for s in views.shares if (s.group, s.arm) == ("heron", "reference"))
    pool = pools.need("reference")
    unseen = np.isin(pool.roles, (NEVER, POPULATION)) & (pool.truth == 2)
    values = [pool.correct[i][unseen[i]].mean() for i in range(len(pool))]
    assert share.value == pytest.approx(np.mean(values), abs=1e-6)
    assert share.high - share.value == pytest.approx(2.1314495 * np.std(values, ddof=1) / 4, abs=1e-5)
    assert (share.n, share.n_models) == (int(unseen.any(axis=0).sum()), 16)
    assert any(s.group == "older records" for s in views.shares)


def test_the_matrix_counts_predictions_of_unseen_records(pools, views):
    matrix = next(m for m in views.matrices if m.arm == "after")
    pool = pools.need("after")
    counts = np.zeros((K, K))
    for roles, guessed in zip(pool.roles, pool.predicted, strict=True):
        for record in np.flatnonzero(np.isin(roles, (NEVER, POPULATION))):
            counts[pool.truth[record], guessed[record]] += 1
    assert matrix.rows == pytest.approx(counts / counts.sum(axis=1, keepdims=True), abs=1e-6)


def test_the_most_exposed_come_first(pools, views):
    found = views.exposed
    assert len(found) == N_EXPOSED
    assert sorted(found, key=lambda e: -abs(e.distance)) == list(found)
    first = found[0]
    at = pools.ids.index(first.record)
    pool = pools.need("after")
    forgot = pool.phi[pool.roles[:, at] == FORGOTTEN, at]
    assert first.was[2] == pytest.approx(np.median(forgot), abs=1e-6)
    assert first.was == tuple(sorted(first.was))


def test_nulls_are_one_value_a_model(pools, views):
    spread = next(s for s in views.spreads if "forgotten records" in s.measure)
    pool = pools.need("reference")
    assert len(spread.reference) == 16
    assert spread.reference[5] == pytest.approx(pool.correct[5][pool.roles[5] == FORGOTTEN].mean(), abs=1e-6)
    assert np.mean(spread.before) > np.mean(spread.after) > np.mean(spread.reference)


def test_recovery_is_drawn_from_the_evidence():
    lines = recoveries(recoveries_of(0.4))
    assert [(line.arm, line.x) for line in lines] == [
        (arm, (0.0, 1.0, 3.0, 10.0)) for arm in ("before", "after", "reference")
    ]
    assert lines[1].y[2] == pytest.approx(0.1 + 0.2 + 0.12)


def test_what_cannot_be_drawn_is_said(pools):
    """Labels only: no signal, so no curve and no exposed record, and a note for each."""
    bare = []
    for pool in pools.pools:
        top = np.asarray(pool.predicted)
        bare.append(type(pool)(pool.world, pool.roles, pool.truth, pool.pairs, top=top))
    views = views_of(Pools(pools.ids, pools.truth, K, tuple(bare)), POLICY)
    assert (views.rocs, views.exposed) == ((), ())
    assert len(views.notes) == 6
    assert len(views.matrices) == 2
