"""The inside of two models (M25, M26): distances by array, alignment that ignores rotation and scale."""

import numpy as np
import pytest
from audit.battery.pool_worlds import POLICY
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.battery.weights import cka, cka_by_layer, distance, evidence
from expunge.core.errors import BadData, BadInput


def state(seed, scale=1.0):
    generator = np.random.default_rng(seed)
    return {
        "head.weight": scale * generator.normal(size=(3, 4)).astype(np.float32),
        "body.weight": scale * generator.normal(size=(5, 2)),
        "seen": np.array([7]),
    }


def test_distance_is_the_norm_of_everything_and_of_each_array():
    a, b = state(0), state(1)
    found = distance(a, b)
    flat = [np.concatenate([np.ravel(s[k]).astype(float) for k in ("head.weight", "body.weight")]) for s in (a, b)]
    gap = np.linalg.norm(flat[0] - flat[1])
    assert (found.absolute, found.relative) == pytest.approx((gap, gap / np.linalg.norm(flat[1])))
    layer = np.linalg.norm(a["body.weight"] - b["body.weight"])
    assert found.by_layer["body.weight"] == pytest.approx((layer, layer / np.linalg.norm(b["body.weight"])))
    assert found.n == 22
    assert list(found.by_layer) == ["head.weight", "body.weight"]


def test_equal_weights_are_at_distance_zero_also_from_zero():
    assert distance(state(0), state(0)).absolute == 0
    assert distance({"a": np.zeros(2)}, {"a": np.zeros(2)}).relative == 0
    assert distance({"a": np.ones(2)}, {"a": np.zeros(2)}).relative == np.inf


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"a": np.ones(3)}, "shape"),
        ({"b": np.ones(2)}, "same arrays"),
        ({"a": np.array([1.0, np.nan])}, "finite"),
        ({"a": np.array([1, 2])}, None),
    ],
)
def test_what_cannot_be_compared_is_refused(other, why):
    if why is None:
        with pytest.raises(BadData, match="real-valued"):
            distance(other, other)
        return
    with pytest.raises(BadData, match=why):
        distance(other, {"a": np.ones(2)})


@given(st.integers(0, 10_000), st.floats(0.1, 10))
def test_alignment_ignores_rotation_scale_and_shift(seed, scale):
    generator = np.random.default_rng(seed)
    x = generator.normal(size=(30, 5))
    turn, _ = np.linalg.qr(generator.normal(size=(5, 5)))
    assert cka(x, scale * x @ turn + 3) == pytest.approx(1.0)
    assert cka(x, x[:, :3]) == pytest.approx(cka(x[:, :3], x))


def test_alignment_by_its_definition_and_in_both_of_its_forms():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(20, 4)), generator.normal(size=(20, 6))
    centre = np.eye(20) - 1 / 20
    k, m = centre @ x @ x.T @ centre, centre @ y @ y.T @ centre
    expected = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    assert cka(x, y) == pytest.approx(expected)
    wide = generator.normal(size=(20, 50))
    k2 = centre @ wide @ wide.T @ centre
    assert cka(wide, wide[:, ::-1]) == pytest.approx(1.0)
    assert cka(wide, np.hstack([y] * 5)) == pytest.approx((k2 * m).sum() / np.sqrt((k2 * k2).sum() * (m * m).sum()))


def test_layers_are_aligned_by_name():
    x = np.random.default_rng(0).normal(size=(12, 2, 3))
    assert cka_by_layer({"one": x, "two": x}, {"two": 2 * x}) == {"two": pytest.approx(1.0)}


@pytest.mark.parametrize(
    ("x", "y"), [(np.ones((5, 2)), np.eye(5)), (np.eye(4), np.eye(5)), (np.ones((1, 2)), np.ones((1, 2)))]
)
def test_features_that_say_nothing_are_refused(x, y):
    with pytest.raises(BadInput):
        cka(x, y)


def noisy(seed, shift=0.0):
    return {"w": np.ones(50) + shift + 0.1 * np.random.default_rng(seed).normal(size=50)}


def test_weights_that_stayed_where_they_were_stand_out_from_retrained_ones():
    references = [noisy(s) for s in range(8)]
    models = {"before": [noisy(100 + s, 0.5) for s in range(8)], "after": [noisy(200 + s) for s in range(8)]}
    before, after = evidence(models, references, POLICY)
    assert before.name == "likeness.weight_distance_excess@before"
    assert before.low > 0.2
    assert before.p_value < 0.001
    assert after.p_value > 0.01
    assert "proves nothing" in after.note
    assert (after.unit, after.n, after.n_models) == ("values", 50, 16)


def test_retrained_weights_are_found_different_in_one_of_twenty():
    """Distances share models on both sides: without the stretch of the null's spread it was one of eleven at J 8."""
    p = []
    for seed in range(150):
        references = [noisy(1000 * seed + s) for s in range(6)]
        (after,) = evidence({"after": [noisy(1000 * seed + 500 + s) for s in range(6)]}, references, POLICY)
        p.append(after.p_value)
    assert np.mean(np.array(p) <= 0.05) <= 0.09


def test_models_without_partners_or_of_another_shape_are_not_measured():
    (after,) = evidence({"after": [noisy(0)] * 4}, [noisy(1)] * 3, POLICY)
    assert "needs a partner" in after.note
    (after,) = evidence({"after": [{"w": np.ones(3)}]}, [noisy(s) for s in range(3)], POLICY)
    assert after.status == "not_measured"
