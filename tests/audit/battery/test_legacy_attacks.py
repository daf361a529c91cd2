"""The literature's attacks: their goldens, their nulls, and the defects of public code (B17, W5)."""

from dataclasses import replace

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY, by_name, pools_of, with_logits

from expunge.audit.battery import legacy_attacks as legacy
from expunge.audit.battery import ulira
from expunge.core.errors import BadInput

THREE = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]])
TRUTH = np.array([0, 2, 2])


def measured(pools, policy=POLICY):
    return by_name(legacy.measure(pools, policy))


def public_modified_entropy(p, truth):
    """B17: all rows' label columns at once, and log p where log(1 − p) belongs."""
    log, reverse = -np.log(p), -np.log(p)
    modified = p.copy()
    modified[:, truth] = (1 - p)[:, truth]
    logs = reverse.copy()
    logs[:, truth] = log[:, truth]
    return (modified * logs).sum(axis=1)


def test_b17_modified_entropy_of_three_rows():
    """B17: by hand: −(1−p_y) ln p_y − Σ p_c ln(1−p_c), to ten digits; the public form differs on every row."""
    golden = [0.3 * -np.log(0.7) + 0.2 * -np.log(0.8) + 0.1 * -np.log(0.9)]
    golden += [0.9 * -np.log(0.1) + 0.1 * -np.log(0.9) + 0.8 * -np.log(0.2)]
    golden += [0.5 * -np.log(0.5) + 2 * 0.25 * -np.log(0.75)]
    assert golden == pytest.approx([0.1621671, 3.3704130, 0.4904146], abs=1e-6)
    assert legacy.modified_entropies(THREE, TRUTH) == pytest.approx(golden, abs=1e-10)
    assert (np.abs(public_modified_entropy(THREE, TRUTH) - golden) > 0.1).all()


def test_b17_modified_entropy_is_small_where_the_right_class_is_sure_and_entropy_cannot_tell():
    sure = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    right, wrong = legacy.modified_entropies(sure, np.array([0, 0]))
    assert right == 0
    assert np.isfinite(wrong)
    assert wrong > 50


def test_signals_of_logits():
    pools = with_logits(pools_of(3, 80))
    pool = pools.need("after")
    p = next(pool.probabilities())
    assert legacy.confidence(pool)[0] == pytest.approx(p[np.arange(80), pool.truth], abs=1e-6)
    assert legacy.entropy(pool)[0] == pytest.approx(-(p * np.log(p)).sum(1), abs=1e-9)
    assert legacy.modified_entropy(pool)[0] == pytest.approx(legacy.modified_entropies(p, pool.truth))
    assert np.array_equal(legacy.correctness(pool)[0], p.argmax(1) == pool.truth)


@pytest.mark.parametrize("machine", ["svc", "logistic"])
def test_shares_where_members_are_plain_to_see(machine):
    attack = legacy.OneSided(legacy.confidence, machine)
    kept, outside = np.linspace(0.9, 1.0, 40), np.linspace(0.0, 0.1, 40)
    member_share = attack.share(kept, outside, asked=np.array([0.95, 0.97, 0.03, 0.99]))
    assert member_share == (0.25 if machine == "svc" else 0.75)
    with pytest.raises(BadInput, match="in every model"):
        attack.share(kept, outside, asked=np.zeros(0))


def test_w5_a_share_of_members_only_moves_with_difficulty_and_the_corrected_value_does_not():
    """W5: no negatives, no AUC: for perfect unlearning the legacy share is whatever the forgotten records are like."""
    hard, easy = (with_logits(_shifted(pools_of(16, 200, left=0.0, shift=3.0, seed=1), by)) for by in (-2.0, 3.0))
    shares, excesses = [], []
    for pools in (hard, easy):
        found = measured(pools)
        at = found["membership.svc_confidence_legacy@after"]
        assert at.null.value == found["membership.svc_confidence_legacy@reference"].value
        assert "W5" in at.note
        shares.append(at.value)
        excesses.append(found["membership.svc_confidence_excess@after"])
        leaked = by_name(ulira.measure(pools, POLICY))["membership.ulira_auc_excess@after"]
        assert leaked.low <= 0 <= leaked.high
    assert shares[0] - shares[1] > 0.3
    assert all(abs(e.value) < 0.1 for e in excesses)


def _shifted(pools, by):
    """Every record that some model forgets is harder or easier, in each world alike."""
    return replace(pools, pools=tuple(replace(p, given=p.phi + by * (p.roles != 3)) for p in pools.pools))


def test_every_form_is_there_with_its_corrected_value():
    found = measured(with_logits(pools_of(14, 200, left=3.0, shift=3.0)))
    names = (
        "svc_confidence",
        "svc_correctness",
        "svc_entropy",
        "svc_modified_entropy",
        "entropy",
        "shokri_forgetting_rate",
    )
    for name in names:
        for arm in ("before", "after", "reference"):
            assert found[f"membership.{name}_legacy@{arm}"].status == "measured"
        assert found[f"membership.{name}_excess@after"].status == "measured"
    assert found["membership.svc_confidence_excess@after"].high < 0  # fewer called non-members than by retraining
    assert found["membership.svc_confidence_excess@after"].p_value < 0.05
    assert found["membership.shokri_forgetting_rate_legacy@before"].value == 0
    assert found["membership.shokri_forgetting_rate_excess@after"].value < 0


def test_what_signals_alone_cannot_give_is_missing_by_name():
    found = measured(pools_of(12, 200))
    assert found["membership.svc_confidence_legacy@after"].status == "measured"
    assert "logits" in found["membership.entropy_legacy@after"].note
    assert list(found) == list(measured(replace(pools_of(12, 200), pools=())))


def test_policies_without_legacy_forms_get_none():
    assert legacy.measure(pools_of(12), POLICY.model_copy(update={"legacy": False})) == []


def test_the_rate_of_forgetting():
    before, after = np.array([1.0, 1, 1, 0]), np.array([0.0, 1, 1, 1])
    assert legacy.forgetting_rate(before, after) == pytest.approx((3 - 3) / 3.01)
    assert legacy.forgetting_rate(before, np.zeros(4)) == pytest.approx(3 / 3.01)
    assert legacy.forgetting_rate(np.zeros(4), np.zeros(4)) == 0


def test_shadows_are_never_asked():
    pools = pools_of(10, 200)
    note = measured(pools)["membership.shokri_forgetting_rate_legacy@after"].note
    assert "8 shadows and three models beside" in note
