"""Divergences and distances of probabilities: by hand, against public defects (B7, W10), less their null (M21, M22)."""

import numpy as np
import pytest
from audit.battery.fixed_pools import POLICY, by_name, fixed_pools
from audit.battery.pool_worlds import pools_of, with_logits
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from expunge.audit.battery import outputs, probabilities, untrained
from expunge.audit.battery.probabilities import (
    activation_distance,
    activation_distance_legacy,
    js,
    js_legacy,
    zrf,
    zrf_legacy,
)
from expunge.audit.pools import Pools


def peak(at, n_classes, height=0.99):
    p = np.full((1, n_classes), (1 - height) / (n_classes - 1))
    p[0, at] = height
    return p


def random_probabilities(generator, n, n_classes):
    raised = np.exp(3 * generator.normal(size=(n, n_classes)))
    return raised / raised.sum(axis=1, keepdims=True)


@pytest.mark.parametrize(("n_classes", "nats", "published"), [(10, 0.678, 0.268), (100, 0.685, 0.0386)])
def test_divergence_of_disjoint_peaks(n_classes, nats, published):
    """B7: peaks of 0.99 are as good as disjoint; the published form divides by k and calls them alike."""
    p, q = peak(0, n_classes), peak(1, n_classes)
    assert float(js(p, q)[0]) * np.log(2) == pytest.approx(nats, abs=5e-4)
    assert float(js_legacy(p, q)[0]) == pytest.approx(published, abs=5e-4)
    assert zrf(p, q) < 0.03
    assert zrf_legacy(p, q) == pytest.approx(1 - published, abs=5e-4)


def test_published_zrf_calls_a_sure_model_untrained():
    """B7: 100 classes: ZRF 0.961 where 0.01 is right."""
    assert zrf_legacy(peak(0, 100), peak(1, 100)) == pytest.approx(0.961, abs=5e-4)


@given(st.integers(0, 10_000), st.integers(2, 30))
def test_divergences_and_distances_against_the_books(seed, n_classes):
    generator = np.random.default_rng(seed)
    p, q = (random_probabilities(generator, 5, n_classes) for _ in range(2))
    expected = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    assert js(p, q) == pytest.approx(expected, abs=1e-9)
    assert js(p, p) == pytest.approx(0, abs=1e-12)
    mixed = (p + q) / 2
    kls = [(mixed * np.log(mixed / x)).mean(axis=1) for x in (p, q)]
    assert js_legacy(p, q) == pytest.approx((kls[0] + kls[1]) / 2)
    assert activation_distance(p, q) == pytest.approx(
        np.mean([np.sqrt(((a - b) ** 2).sum()) for a, b in zip(p, q, strict=True)])
    )
    assert activation_distance(p, q, norm=1) == pytest.approx(np.abs(p - q).sum(axis=1).mean())


def test_mean_norm_is_not_the_root_of_the_mean_square():
    """W10: one record far off among a hundred: the mean distance is 0.014, the public form says 0.14."""
    p, q = np.tile(peak(0, 10, 0.999), (100, 1)), np.tile(peak(0, 10, 0.999), (100, 1))
    q[0] = peak(1, 10, 0.999)[0]
    assert activation_distance(p, q) == pytest.approx(0.0141, abs=1e-4)
    assert activation_distance_legacy(p, q) == pytest.approx(0.141, abs=1e-3)
    assert activation_distance_legacy(p, q) >= activation_distance(p, q)


def test_sums_are_those_of_pairs_written_out():
    pools = with_logits(pools_of(24, 90, seed=1))
    after, reference = pools.paired("after")
    between = outputs.distances(after, reference, "forgotten")
    p, q = (list(pool.probabilities()) for pool in (after, reference))
    used = after.roles == 2
    for i, s in ((0, 0), (5, 2), (23, 3)):
        j = (i + s + 1) % 24
        both = used[i] & used[j]
        assert between.counts[i, s] == both.sum()
        expected = js(p[i][both], q[j][both]).sum()
        assert between.sums["js"][0, 1, i, s] == pytest.approx(expected, abs=1e-6)
        expected = np.linalg.norm(q[i][both] - q[j][both], axis=1).sum()
        assert between.sums["activation_distance"][1, 1, i, s] == pytest.approx(expected, abs=1e-5)


def test_swapped_pairs_are_swapped_pools():
    pools = fixed_pools(16, left=1.5, seed=2)
    after, reference = pools.paired("after")
    between = outputs.distances(after, reference, "forgotten")
    turned = outputs.distances(reference, after, "forgotten")
    everything = np.ones((1, 16), bool)
    for kind in outputs.KINDS:
        swapped = between.to_references(kind, everything)
        assert swapped[0] == pytest.approx(turned.to_references(kind, ~everything)[0])
        assert swapped[1] == pytest.approx(turned.to_references(kind, ~everything)[1])


def test_evidence_finds_what_is_left_and_nothing_where_nothing_is():
    clean, residue = (by_name(outputs.measure(fixed_pools(48, left=left, seed=7), POLICY)) for left in (0.0, 2.0))
    for kind in ("js", "activation_distance"):
        name = f"likeness.{kind}_forgotten_excess"
        assert clean[f"{name}@after"].low <= 0 <= clean[f"{name}@after"].high
        assert clean[f"{name}@after"].p_value > 0.01
        for found in (clean[f"{name}@before"], residue[f"{name}@after"]):
            assert found.low > 0
            assert found.p_value == pytest.approx(1 / 201)
            assert found.power > 0
        old = clean[f"likeness.{kind}_forgotten_legacy@after"]
        assert old.value > 0.01  # retrained models differ too
        assert old.null.low <= old.value <= old.null.high
        assert clean[f"likeness.{kind}_holdout_excess@after"].low <= 0


def test_records_of_models_with_draws_of_their_own():
    found = by_name(outputs.measure(with_logits(pools_of(64, 260, seed=3)), POLICY))
    assert found["likeness.js_forgotten_excess@after"].low <= 0
    assert found["likeness.js_forgotten_excess@before"].low > 0


def test_what_lacks_logits_or_pairs_is_missing_by_name():
    for pools in (fixed_pools(form="phi"), fixed_pools(4), fixed_pools(paired=False)):
        found = outputs.measure(pools, POLICY)
        assert len(found) == 24
        assert all(e.status == "not_measured" for e in found)


def test_zrf_stands_beside_that_of_retrained_models():
    """M21: an original knows what it was shown; retrained models are not at 1 either; chunks change nothing."""
    pools = fixed_pools(40, left=0.0, seed=8)
    found = by_name(untrained.measure(pools, POLICY))
    assert found["likeness.zrf@before"].value < found["likeness.zrf@reference"].value < 1
    assert found["likeness.zrf_excess@before"].high < 0
    assert found["likeness.zrf_excess@before"].p_value == pytest.approx(1 / 201)
    assert found["likeness.zrf_excess@after"].low <= 0 <= found["likeness.zrf_excess@after"].high
    assert found["likeness.zrf_excess@after"].p_value > 0.01
    assert found["likeness.zrf_legacy@after"].value > found["likeness.zrf@after"].value
    after, start = pools.need("after"), pools.controls["random init"]
    p, q = list(after.probabilities()), list(start.probabilities())
    for i in (0, 4, 39):
        gone = after.roles[i] == 2
        expected = zrf(p[i][gone], q[i % 3][gone])
        assert untrained.scores(after, start, js)[i] == pytest.approx(expected, abs=1e-6)


def test_chunks_change_nothing(monkeypatch):
    pools = fixed_pools(12, seed=9)
    whole = by_name(outputs.measure(pools, POLICY))
    monkeypatch.setattr(probabilities, "CELLS", 12 * 4 * 7)
    parts = by_name(outputs.measure(pools, POLICY))
    for name, found in whole.items():
        assert parts[name].value == pytest.approx(found.value)


def test_without_an_untrained_control_zrf_is_missing():
    pools = fixed_pools(12)
    bare = Pools(pools.ids, pools.truth, pools.n_classes, pools.pools)
    found = untrained.measure(bare, POLICY)
    assert len(found) == 5
    assert all("random init" in e.note for e in found)
