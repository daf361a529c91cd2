"""The accountant: golden values, monotone in everything, never below the truth, and ledgers that do not bend."""

from __future__ import annotations

import math

import mpmath
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from expunge.core.accountant import (
    PUBLISHED_GAMMA,
    ROUNDOFF,
    SHARP_GAMMA,
    Budget,
    Constant,
    Entry,
    Ledger,
    above,
    certified,
    gaussian_delta,
    gaussian_epsilon,
    gaussian_sigma,
    group,
    independent_residual,
    published_residual,
    removal_constant,
    rounding,
    zcdp_epsilon,
)
from expunge.core.errors import BadInput, MalformedEvidence, Unsupported

EPSILONS = st.floats(0.01, 50)
DELTAS = st.floats(1e-12, 0.3)
SHIFTS = st.floats(1e-4, 20)


@pytest.mark.parametrize(
    ("epsilon", "delta", "sigma"),
    [(1, 1e-5, 3.7306), (1, 1e-4, 3.1857), (0.5, 1e-5, 7.0318), (2, 1e-5, 1.9938), (5, 1e-5, 0.8919)],
)
def test_noise_of_the_analytic_gaussian(epsilon, delta, sigma):
    assert gaussian_sigma(epsilon, delta) == pytest.approx(sigma, rel=1e-4)


def test_constants_of_the_published_theorem_and_of_zcdp():
    assert removal_constant(1e-5) == pytest.approx(4.8823, rel=1e-4)
    assert removal_constant(1e-4) == pytest.approx(4.3854, rel=1e-4)
    assert zcdp_epsilon(0.5 / 4.9006**2, 1e-5) == pytest.approx(1.0, rel=1e-4)
    assert max(p * (1 - p) * (1 - 2 * p) for p in (i / 10**5 for i in range(10**5))) <= SHARP_GAMMA < PUBLISHED_GAMMA
    assert pytest.approx(1 / (6 * math.sqrt(3))) == SHARP_GAMMA


@given(SHIFTS, EPSILONS, EPSILONS)
def test_delta_falls_with_epsilon_and_rises_with_the_shift(mu, one, other):
    low, high = sorted((one, other))
    assert gaussian_delta(mu, high) <= gaussian_delta(mu, low) + 1e-15
    assert gaussian_delta(mu, low) <= gaussian_delta(2 * mu, low) + 1e-15
    assert 0 <= gaussian_delta(mu, low) <= 1


@given(EPSILONS, DELTAS)
def test_sigma_and_epsilon_are_each_others_inverse(epsilon, delta):
    sigma = gaussian_sigma(epsilon, delta)
    assert gaussian_delta(1 / sigma, epsilon) <= delta
    assert gaussian_delta(1 / (0.999 * sigma), epsilon) > delta * 0.999
    assert gaussian_epsilon(1 / sigma, delta) <= epsilon * (1 + 1e-6)


def test_epsilon_at_the_ends():
    assert gaussian_epsilon(0.0, 1e-5) == 0.0
    assert gaussian_epsilon(math.inf, 1e-5) == math.inf
    assert gaussian_epsilon(1e5, 1e-5) == math.inf
    assert gaussian_delta(0.0, 1.0) == 0.0


@given(EPSILONS, DELTAS, st.floats(1e-6, 1e3), st.floats(1.0, 4.0))
def test_the_allowance_is_the_published_rule_and_never_above_the_exact_one(epsilon, delta, sigma, more):
    allowed = Budget(epsilon, delta).allowance(sigma)
    assert allowed <= sigma * epsilon / removal_constant(delta)
    assert gaussian_delta(allowed / sigma, epsilon) <= delta * (1 + 1e-9)
    assert allowed <= Budget(epsilon * more, delta).allowance(sigma) * (1 + 1e-9)
    assert allowed <= Budget(epsilon, min(0.3, delta * more)).allowance(sigma) * (1 + 1e-9)
    assert allowed <= Budget(epsilon, delta).allowance(sigma * more) * (1 + 1e-9)


def test_the_published_rule_alone_would_promise_too_much_at_a_large_epsilon():
    assert gaussian_delta(10 / removal_constant(1e-5), 10.0) > 1e-5
    assert Budget(10.0, 1e-5).allowance(1.0) < 10 / removal_constant(1e-5)


def test_bounds_of_the_paper():
    assert independent_residual(1, 10**6, 1e-4, gamma=PUBLISHED_GAMMA) == pytest.approx(100.0, rel=1e-5)
    assert independent_residual(2, 10**6, 1e-4) == pytest.approx(4 * independent_residual(1, 10**6, 1e-4), rel=1e-5)
    assert published_residual(0.25, 2.0, 3.0, 4.0) == pytest.approx(6.0)
    assert group(1.0, 1e-5, 3) == (3.0, pytest.approx(3 * math.e**2 * 1e-5))


@given(st.integers(1, 10**9))
def test_rounding_is_above_the_textbook_value(k):
    assert rounding(k) >= k * ROUNDOFF
    assert above(float(k)) > k


@pytest.mark.parametrize(
    "wrong",
    [(0, 1e-5), (-1, 1e-5), (math.inf, 1e-5), (math.nan, 1e-5), (1, 0), (1, 1), (1, -1), ("1", 1e-5), (True, 1e-5)],
)
def test_budgets_that_cannot_be(wrong):
    with pytest.raises(BadInput):
        Budget(*wrong).allowance(1.0)


def test_sums_too_long_to_bound():
    with pytest.raises(BadInput):
        rounding(2**53)


def a_ledger(sigma=1.0, residual=0.1, proof="closed-form"):
    ledger = Ledger(sigma=sigma, constants=(Constant(name="penalty", value=0.1, proof=proof),))
    return ledger.adding(Entry(action="fit", forgotten=0, kept=100, residual=1e-9)).adding(
        Entry(action="step", forgotten=3, kept=97, residual=residual, epsilon=1.0, delta=1e-5)
    )


def test_a_ledger_adds_up_and_travels():
    ledger = a_ledger()
    assert ledger.broken(97) == ""
    assert ledger.residual == 0.1
    assert ledger.rho == pytest.approx((0.1**2 + 1e-18) / 2)
    again = Ledger.from_bytes(ledger.canonical())
    assert again == ledger
    assert again.digest() == ledger.digest() != a_ledger(residual=0.2).digest()
    assert Ledger(sigma=1.0).residual == math.inf
    assert a_ledger(sigma=0.0).rho == math.inf


@pytest.mark.parametrize(
    ("ledger", "kept", "why"),
    [
        (Ledger(sigma=1.0), 97, "no entry"),
        (a_ledger(), 98, "ends with 97"),
        (a_ledger(proof="estimated"), 97, "estimate"),
    ],
)
def test_ledgers_that_prove_nothing_are_refused(ledger, kept, why):
    assert why in ledger.broken(kept)
    with pytest.raises(Unsupported, match="ledger is broken"):
        certified(ledger, Budget(), kept, public_key=False)


def test_a_ledger_that_was_bent_cannot_be_read():
    first, second = a_ledger().entries
    odd = Entry(action="step", forgotten=1, kept=97, residual=0)
    for entries in ((second,), (first, second, odd), (second, first)):
        with pytest.raises(ValueError, match=r"begins with a fit|does not follow"):
            Ledger(sigma=1.0, entries=entries)
        bent = a_ledger().as_json() | {"entries": [entry.as_json() for entry in entries]}
        with pytest.raises(MalformedEvidence):
            Ledger.from_json(bent)
    with pytest.raises(ValueError, match="does not follow"):
        a_ledger().adding(odd)
    with pytest.raises(ValueError, match="begins with a fit"):
        Ledger(sigma=1.0).adding(second)


def test_a_guarantee_names_its_constants_and_a_public_key():
    promise = certified(a_ledger(), Budget(1.0, 1e-5), 97, public_key=False)
    assert (promise.kind, promise.epsilon, promise.delta) == ("certified", 1.0, 1e-5)
    assert any("penalty = 0.1 (closed-form)" in a for a in promise.assumptions)
    assert not any("NOT secret" in a for a in promise.assumptions)
    public = certified(a_ledger(), Budget(), 97, public_key=True)
    assert (public.kind, public.epsilon) == ("empirical", None)
    assert "NOT secret" in public.assumptions[0]


@given(st.floats(1e-3, 100), st.floats(1e-3, 1000))
@example(34.2529, 729.511)
@example(32.3263, 720.697)
@example(1e-9, 1.0)
def test_delta_is_never_below_the_truth(mu, epsilon):
    with mpmath.workdps(60):
        m, e = mpmath.mpf(mu), mpmath.mpf(epsilon)
        truth = mpmath.ncdf(m / 2 - e / m) - mpmath.e**e * mpmath.ncdf(-m / 2 - e / m)
        assert gaussian_delta(mu, epsilon) >= truth


def test_delta_beyond_float64():
    assert gaussian_delta(1e-320, 1e10) == 1e-300
    assert gaussian_delta(math.inf, 1.0) == 1.0
    with pytest.raises(BadInput, match="at least 1e-12"):
        Budget(1.0, 1e-13).allowance(1.0)
    assert Budget(1.0, 1e-12).allowance(1.0) > 0


def test_what_the_noise_does_not_hide_is_refused():
    with pytest.raises(Unsupported, match="sigma=0"):
        certified(a_ledger(sigma=0.0), Budget(), 97, public_key=False)
    with pytest.raises(Unsupported, match="residual may be"):
        certified(a_ledger(residual=0.3), Budget(), 97, public_key=False)
    with pytest.raises(Unsupported):
        certified(a_ledger(), Budget(0.1), 97, public_key=False)  # smaller ε is harder
    with pytest.raises(MalformedEvidence):
        Ledger.from_bytes(b'{"sigma": -1}')
