"""The accountant of noisy steps on sampled records: never below the exact hockey-stick (B9), monotone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.special import ndtr

from expunge.core.accountant import gaussian_epsilon
from expunge.core.errors import BadInput
from expunge.core.sampled import ORDERS, Sampled


def exact_delta(rate, noise, epsilon):
    """Return the hockey-stick of one step in closed form: the larger of both directions.

    P = (1-q)N(0,z²) + qN(1,z²) against Q = N(0,z²); the ratio rises with x, so each side is a half-line.
    """
    e = math.exp(epsilon)

    def cut(ratio):  # where P/Q = ratio
        return noise**2 * math.log((ratio - (1 - rate)) / rate) + 0.5 if ratio > 1 - rate else -math.inf

    up = cut(e)
    p_up = (1 - rate) * ndtr(-up / noise) + rate * ndtr(-(up - 1) / noise)
    forth = p_up - e * ndtr(-up / noise)
    low = cut(1 / e)
    if math.isinf(low):
        return forth
    p_low = (1 - rate) * ndtr(low / noise) + rate * ndtr((low - 1) / noise)
    return max(forth, ndtr(low / noise) - e * p_low)


def exact_epsilon(rate, noise, delta):
    return brentq(lambda e: exact_delta(rate, noise, e) - delta, 1e-6, 60)


B9 = [(0.5, 1.0, 3.53, 0.614), (0.3, 0.5, 8.23, 2.12), (0.2, 0.3, 16.26, 5.71)]


@pytest.mark.parametrize(("rate", "noise", "truth", "claimed"), B9)
def test_b9_never_below_the_exact_hockey_stick(rate, noise, truth, claimed):
    """B9: a public accountant claims 0.614, 2.12 and 5.71."""
    exact = exact_epsilon(rate, noise, 1e-5)
    assert exact == pytest.approx(truth, abs=5e-3)
    assert claimed < exact <= Sampled(rate, noise, 1).epsilon(1e-5) < 1.2 * exact


@given(st.floats(0.01, 0.99), st.floats(0.3, 20), st.sampled_from([1e-3, 1e-5, 1e-8]))
@settings(max_examples=60)
def test_one_step_is_sound(rate, noise, delta):
    if exact_delta(rate, noise, 1e-6) > delta:
        assert exact_epsilon(rate, noise, delta) <= Sampled(rate, noise, 1).epsilon(delta)


def test_rényi_divergence_by_quadrature():
    """The closed form of whole orders against the integral, in both directions."""
    rate, noise = 0.3, 1.3
    x = np.linspace(-40, 40, 400001)
    q = np.exp(-(x**2) / (2 * noise**2)) / (noise * math.sqrt(2 * math.pi))
    p = (1 - rate) * q + rate * np.exp(-((x - 1) ** 2) / (2 * noise**2)) / (noise * math.sqrt(2 * math.pi))
    for order in (2, 5, 16):
        ratio = p[q > 0] / q[q > 0]
        forth = np.log(np.trapezoid(ratio**order * q[q > 0], x[q > 0])) / (order - 1)
        back = np.log(np.trapezoid(ratio ** (1 - order) * q[q > 0], x[q > 0])) / (order - 1)
        found = Sampled(rate, noise, 1).renyi(order)
        assert found == pytest.approx(forth, rel=1e-6)
        assert back <= found
        assert Sampled(rate, noise, 7).renyi(order) == pytest.approx(7 * found, rel=1e-12)


@given(st.floats(0.01, 0.5), st.floats(0.5, 10), st.integers(1, 500))
@settings(max_examples=40)
def test_monotone(rate, noise, steps):
    one = Sampled(rate, noise, steps)
    epsilon = one.epsilon(1e-5)
    assert Sampled(rate, 1.5 * noise, steps).epsilon(1e-5) <= epsilon
    assert epsilon <= Sampled(rate, noise, 2 * steps).epsilon(1e-5)
    assert epsilon <= Sampled(min(1.0, 1.5 * rate), noise, steps).epsilon(1e-5) * (1 + 1e-9)
    assert one.epsilon(1e-3) <= epsilon
    deltas = [one.delta(2.0, group) for group in (1, 2, 5)]
    assert deltas == sorted(deltas)
    assert one.delta(3.0) <= one.delta(2.0)


def test_epsilon_and_delta_are_one_curve():
    for rate in (0.1, 1.0):
        found = Sampled(rate, 20.0, 200)
        assert found.delta(found.epsilon(1e-5)) == pytest.approx(1e-5, rel=1e-5)


def test_all_records_in_every_step_are_exactly_gaussian():
    """And never less than the accountant of samples says at a rate that is nearly one."""
    assert Sampled(1.0, 40.0, 100).epsilon(1e-5) == pytest.approx(gaussian_epsilon(0.25, 1e-5), rel=1e-9)
    assert Sampled(1.0, 40.0, 100).epsilon(1e-5) <= Sampled(0.999999, 40.0, 100).epsilon(1e-5)


def test_a_group_is_charged_for():
    """U39: (gε, g·e^((g-1)ε)·δ); of plain Gaussians the exact shift is never worse than that."""
    for rate in (0.2, 1.0):
        found = Sampled(rate, 50.0, 50)
        for g in (2, 3, 5):
            share = 1.0 / g
            textbook = g * math.exp((g - 1) * share) * found.delta(share)
            assert found.delta(1.0, g) <= textbook * (1 + 1e-6) + 1e-300
    assert Sampled(0.2, 50.0, 50).delta(1.0, 10**4) == 1.0


def test_what_cannot_be_is_refused():
    for wrong in ((0.0, 1.0, 1), (1.1, 1.0, 1), (0.5, 0.0, 1), (0.5, math.inf, 1), (0.5, 1.0, 0)):
        with pytest.raises(BadInput):
            Sampled(*wrong)
    for wrong in (0.0, 1.0, -1.0):
        with pytest.raises(BadInput):
            Sampled(0.5, 1.0, 1).epsilon(wrong)
    with pytest.raises(BadInput):
        Sampled(0.5, 1.0, 1).delta(0.0)
    with pytest.raises(BadInput):
        Sampled(0.5, 1.0, 1).delta(1.0, 0)
    assert ORDERS[0] == 2
