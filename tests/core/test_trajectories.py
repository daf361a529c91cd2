"""Bounds of trajectories: golden values, ceilings, monotone, continuous at λ = 0 (B14), and never below the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expunge.core.accountant import Budget, gaussian_sigma, zcdp_epsilon
from expunge.core.errors import BadInput
from expunge.core.trajectories import (
    Clipped,
    Curve,
    descent_distance,
    descent_step,
    descent_steps,
    hidden,
    hides,
    langevin_distance,
    langevin_rho,
    output_sigma,
    published_descent_sigma,
    published_langevin_rho,
    published_noisy_sigma,
    rewind_distance,
    zcdp_rho,
)

DRAWS = 100
EPSILONS, DELTAS = st.floats(0.05, 8), st.sampled_from([1e-3, 1e-5, 1e-8])
SEEDS = st.integers(0, 2**32 - 1)


def test_golden_descent():
    curve = Curve(0.01, 0.26, 1.0)
    distance = descent_distance(curve, 1000, 50)
    assert distance == pytest.approx(0.0087143, rel=1e-4)
    assert distance * gaussian_sigma(1.0, 1e-5) == pytest.approx(0.032510, rel=1e-4)
    assert published_descent_sigma(distance, 1.0, 1e-5) == pytest.approx(0.085410, rel=1e-4)


def test_golden_langevin():
    curve = Curve(0.011264, 0.25 + 0.011264, 1.0)
    stride = 1 / curve.smooth
    far = langevin_distance(curve, stride, 128, 11264 // 128)
    assert far == pytest.approx(0.061069, rel=1e-4)
    assert 10 * published_langevin_rho(far, curve.convex, stride, 0.03, 88) == pytest.approx(2.3168e-3, rel=1e-4)
    assert 10 * langevin_rho(far, curve.convex, stride, 0.03, 88) == pytest.approx(9.777e-5, rel=1e-4)


def test_golden_noisy_finetuning_and_output_noise():
    flat, shrinking = Clipped(10.0, 1.0, 0.1, 0.0, 100), Clipped(10.0, 1.0, 0.1, 0.5, 100)
    assert flat.sigma(1.0, 1e-5) == pytest.approx(19.602, rel=1e-4)
    assert published_noisy_sigma(flat, 1.0, 1e-5) == pytest.approx(20.358, rel=1e-4)
    assert shrinking.distance == pytest.approx(4.0947, rel=1e-4)
    assert shrinking.sigma(1.0, 1e-5) == pytest.approx(6.2659, rel=1e-4)
    assert output_sigma(10.0, 1.0, 1e-5) == pytest.approx(74.61, rel=1e-4)
    assert flat.sigma(1.0, 1e-5) * math.sqrt(100) == pytest.approx(196, rel=1e-3)


@pytest.mark.parametrize("steps", [1, 10, 100, 1000])
def test_b14_noise_is_continuous_where_the_penalty_vanishes(steps):
    """B14: a public λ = 0 branch has half the variance of the limit λ → 0."""
    at = Clipped(10.0, 1.0, 0.1, 0.0, steps).sigma(1.0, 1e-5)
    for penalty in (1e-9, 1e-11, 1e-13, 1e-16, 1e-300):
        near = Clipped(10.0, 1.0, 0.1, penalty, steps).sigma(1.0, 1e-5)
        assert near == pytest.approx(at, rel=1e-6)
    halved = at / math.sqrt(2)
    assert Clipped(10.0, 1.0, 0.1, 1e-12, steps).sigma(1.0, 1e-5) != pytest.approx(halved, rel=1e-2)


def test_b14_the_rényi_order_is_in_the_conversion():
    """B14: a target of ε = 1 with the factor α left out is truly about 7.8 by zCDP at δ = 1e-5."""
    without_order = 1.0  # ρ that "is" ε
    assert zcdp_epsilon(without_order, 1e-5) == pytest.approx(7.786, rel=1e-3)
    assert zcdp_rho(1.0, 1e-5) == pytest.approx(0.02082, rel=1e-3)
    assert zcdp_epsilon(zcdp_rho(1.0, 1e-5), 1e-5) == pytest.approx(1.0, abs=1e-9)


@given(EPSILONS, DELTAS)
def test_conversions_err_outwards(epsilon, delta):
    assert zcdp_epsilon(zcdp_rho(epsilon, delta), delta) <= epsilon
    sigma = 0.7
    shift = hides(sigma, Budget(epsilon, delta))
    assert gaussian_sigma(epsilon, delta) * shift <= sigma
    assert math.sqrt(2 * zcdp_rho(epsilon, delta)) * sigma <= shift * (1 + 1e-9)  # zCDP promises no more than the truth


@given(EPSILONS, DELTAS, st.floats(1e-3, 1), st.floats(1.0, 100), st.integers(1, 300))
def test_the_papers_numbers_are_ceilings(epsilon, delta, convex, ratio, steps):
    curve = Curve(convex, convex * ratio, 1.0)
    distance = descent_distance(curve, 1000, steps)
    if math.isfinite(distance):
        ours = distance * gaussian_sigma(epsilon, delta)
        assert ours <= published_descent_sigma(distance, epsilon, delta) * (1 + 1e-9)
    stride = 1 / curve.smooth
    ours = langevin_rho(0.3, convex, stride, 0.1, steps)
    assert ours <= published_langevin_rho(0.3, convex, stride, 0.1, steps) * (1 + 1e-9) + 1e-300


@given(st.floats(0.1, 10), st.floats(0.1, 3), st.integers(1, 400), st.floats(0.05, 4))
def test_the_papers_noise_for_no_penalty_is_a_ceiling_where_it_is_sound(start, clip, steps, epsilon):
    delta = 1e-7
    if epsilon <= 0.257 * math.log(1 / delta):
        course = Clipped(start, clip, 0.1, 0.0, steps)
        assert course.sigma(epsilon, delta) <= published_noisy_sigma(course, epsilon, delta) * (1 + 1e-9)


@given(st.floats(0.1, 10), st.floats(0, 0.9), st.integers(1, 200), st.floats(0.1, 5), DELTAS)
def test_epsilon_is_monotone_in_noise_delta_and_steps(start, shrunk, steps, sigma, delta):
    def epsilon(noise, count, delta=delta):
        course = Clipped(start, 1.0, 0.1, shrunk / 0.1, count)
        return zcdp_epsilon(course.rho(noise), delta)

    assert epsilon(2 * sigma, steps) <= epsilon(sigma, steps)
    assert epsilon(sigma, steps, 10 * delta) <= epsilon(sigma, steps)

    def langevin(count, noise=sigma):
        return langevin_rho(start, 0.1, 1.0, noise, count)

    assert langevin(steps + 1) <= langevin(steps)
    assert langevin(steps, 2 * sigma) <= langevin(steps)
    curve = Curve(0.1, 1.0, 1.0)
    assert descent_distance(curve, 50, steps + 1) <= descent_distance(curve, 50, steps)


@given(st.floats(1e-9, 1e3), st.floats(1e-12, 1e3), st.floats(1.0, 1e6))
def test_the_number_of_steps_is_enough_and_not_one_too_many(start, aim, ratio):
    curve = Curve(1.0, ratio, 1.0)
    steps = descent_steps(start, aim, curve)
    assert curve.rate**steps * start <= aim * (1 + 1e-6)
    if steps > 1 and math.isfinite(curve.rate):
        assert curve.rate ** (steps - 1) * start >= aim * (1 - 1e-6)


def test_what_cannot_be_is_refused():
    for wrong in ((0.0, 1.0, 1.0), (2.0, 1.0, 1.0), (1.0, math.inf, 1.0), (1.0, 2.0, 0.0), (math.nan, 1.0, 1.0)):
        with pytest.raises(BadInput):
            Curve(*wrong)
    for wrong in ((0, 1, 0.1, 0, 5), (1, 1, 0.1, 10, 5), (1, 1, 0.1, -1, 5), (1, 1, 0.1, 0, 0), (math.inf, 1, 1, 0, 1)):
        with pytest.raises(BadInput):
            Clipped(*wrong)
    with pytest.raises(BadInput):
        descent_steps(1.0, 0.0, Curve(1.0, 2.0, 1.0))
    with pytest.raises(BadInput):
        zcdp_rho(-1.0, 1e-5)
    assert hidden(1.0, 0.9, 0, 1.0) == hidden(1.0, 0.9, 3, 0.0) == math.inf
    assert rewind_distance(1.0, 2.0, 5000, 1) == math.inf


def quadratic(seed):
    """Return (curve, curvature matrix, one linear term a record) of ½w'Aw + b_i·w: every constant is sharp."""
    draw = np.random.default_rng(seed)
    d, n = int(draw.integers(1, 5)), int(draw.integers(2, 30))
    convex = float(draw.uniform(0.05, 1))
    curve = Curve(convex, convex * float(draw.uniform(1, 30)), float(draw.uniform(0.1, 3)))
    turn, _ = np.linalg.qr(draw.normal(size=(d, d)))
    spectrum = draw.uniform(curve.convex, curve.smooth, d)
    terms = draw.normal(size=(n, d))
    terms *= (curve.steep * draw.uniform(0, 1, n) ** 0.2 / np.linalg.norm(terms, axis=1))[:, None]
    return curve, (turn * spectrum) @ turn.T, terms, draw


def descended(matrix, terms, start, stride, steps):
    for _ in range(steps):
        start = start - stride * (matrix @ start + terms.mean(axis=0))
    return start


def check_descent(seed):
    """A stream of batches: after each, no further from the minimum than the recursion says (U34)."""
    curve, matrix, terms, draw = quadratic(seed)
    w = -np.linalg.solve(matrix, terms.mean(axis=0))
    bound = 0.0
    while len(terms) > 1:
        m, steps = int(draw.integers(1, len(terms))), int(draw.integers(1, 20))
        bound = descent_step(bound, curve, m, len(terms), steps)
        terms = terms[draw.permutation(len(terms))[m:]]
        w = descended(matrix, terms, w, curve.stride, steps)
        found = np.linalg.norm(w + np.linalg.solve(matrix, terms.mean(axis=0)))
        assert found <= bound * (1 + 1e-9) + 1e-12


def check_rewind(seed):
    """K steps from w_(T-K) against T steps without the records, with both growths (U35)."""
    curve, matrix, terms, draw = quadratic(seed)
    n, m = len(terms), int(draw.integers(1, len(terms)))
    apart, again = int(draw.integers(0, 30)), int(draw.integers(1, 30))
    stride = float(draw.uniform(0.1, 1)) * curve.stride
    zero, left = np.zeros(terms.shape[1]), terms[m:]
    ours = descended(matrix, left, descended(matrix, terms, zero, stride, apart), stride, again)
    retrained = descended(matrix, left, zero, stride, apart + again)
    found, shared = np.linalg.norm(ours - retrained), stride * 2 * m * curve.steep / n
    growing = rewind_distance(shared, 1 + stride * curve.smooth, apart, again)
    shrinking = rewind_distance(shared, 1 - stride * curve.convex, apart, again)
    assert found <= shrinking * (1 + 1e-9) + 1e-12
    assert shrinking <= growing * (1 + 1e-9)


def check_langevin(seed):
    """The exact laws on a quadratic are normal with one covariance: their ρ is never above the bound's (U36)."""
    curve, matrix, terms, draw = quadratic(seed)
    batches, batch = int(draw.integers(1, 5)), 4
    terms = np.resize(terms, (batches * batch, terms.shape[1]))
    other, sigma, stride = terms.copy(), float(draw.uniform(0.01, 1)), 1 / curve.smooth
    other[int(draw.integers(len(terms)))] *= -1  # exchanged: the furthest that one record can be
    means = [np.zeros(terms.shape[1]), np.zeros(terms.shape[1])]
    covariance, shrink = np.zeros_like(matrix), np.eye(len(matrix)) - stride * matrix
    epochs, more = int(draw.integers(1, 30)), int(draw.integers(1, 20))
    for done in range((epochs + more) * batches):
        part = slice(done % batches * batch, (done % batches + 1) * batch)
        now = (terms if done < epochs * batches else other, other)
        means = [shrink @ w - stride * each[part].mean(axis=0) for w, each in zip(means, now, strict=True)]
        covariance = shrink @ covariance @ shrink.T + 2 * stride * sigma**2 * np.eye(len(matrix))
    gap = means[0] - means[1]
    exact = gap @ np.linalg.solve(covariance, gap) / 2
    far = langevin_distance(curve, stride, batch, batches)
    assert exact <= langevin_rho(far, curve.convex, stride, sigma, more * batches) * (1 + 1e-6) + 1e-15


def check_noisy_steps(seed):
    """Clipped gradients that do not depend on the weights: the exact ρ is never above, and reached by opposite ones."""
    draw = np.random.default_rng(seed)
    d, steps = int(draw.integers(1, 4)), int(draw.integers(1, 50))
    course = Clipped(float(draw.uniform(0.1, 5)), float(draw.uniform(0.1, 5)), 0.2, float(draw.uniform(0, 4.9)), steps)
    shrink, sigma = 1 - course.stride * course.penalty, 0.3

    def mean(direction, wander):
        w = course.start * direction / np.linalg.norm(direction)
        for _ in range(steps):
            gradient = -course.clip * direction / np.linalg.norm(direction)
            w = shrink * w - course.stride * gradient
            direction = direction + (draw.normal(size=d) * wander)
        return w

    variance = sigma**2 * sum(shrink ** (2 * i) for i in range(steps))
    towards = draw.normal(size=d)
    for wander, exact in ((0.5, False), (0.0, True)):
        gap = mean(towards, wander) - mean(-towards, wander)
        found, bound = gap @ gap / (2 * variance), course.rho(sigma)
        assert found <= bound * (1 + 1e-9)
        if exact:
            assert found == pytest.approx(bound, rel=1e-6)


CHECKS = [check_descent, check_rewind, check_langevin, check_noisy_steps]


@pytest.mark.parametrize("check", CHECKS)
@settings(max_examples=DRAWS)
@given(SEEDS)
def test_the_truth_is_within_the_bound(check, seed):
    check(seed)


@pytest.mark.parametrize("check", CHECKS)
def test_the_truth_is_within_the_bound_in_1000_of_1000(check):
    for seed in range(1000):
        check(seed)
