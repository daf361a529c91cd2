"""The audit by one run (M32): published bounds, validity by simulation, and no bound where nothing is known."""

from fractions import Fraction
from math import comb, exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.one_run import Guesses, epsilon_lower_bound, guess, p_value, removal_lower_bound
from expunge.core.errors import BadInput


def by_hand(n, made, right, epsilon, delta):
    """The same p-value with sums written out, one term at a time."""
    q = 1 / (1 + exp(-epsilon))
    mass = [comb(made, k) * q**k * (1 - q) ** (made - k) for k in range(made + 1)]
    within = [sum(mass[right - i : right]) / i for i in range(1, right + 1)]
    return min(1.0, sum(mass[right:]) + 2 * n * delta * max(within, default=0.0))


def test_the_published_bound():
    """Steinke et al., appendix D: 75 of 100 guesses right, 1 000 canaries, δ 10⁻⁴, 95 %: ε ≥ 0.673."""
    assert epsilon_lower_bound(Guesses(1000, 100, 75), 1e-4) == pytest.approx(0.673, abs=5e-4)


def test_all_guesses_right_without_delta_has_a_closed_form():
    """P[Binomial(r, q) = r] = q^r = α, so ε = ln(q/(1 − q)), q = α^(1/r)."""
    for made in (10, 100, 1000):
        q = 0.05 ** (1 / made)
        assert epsilon_lower_bound(Guesses(made, made, made)) == pytest.approx(log(q / (1 - q)), abs=1e-9)
    assert p_value(Guesses(3, 3, 2), 0.0) == pytest.approx(float(Fraction(4, 8)))


@given(st.integers(1, 40), st.data())
def test_p_values_are_the_sums_written_out(n, data):
    made = data.draw(st.integers(0, n))
    right = data.draw(st.integers(0, made))
    epsilon, delta = data.draw(st.floats(0, 6)), data.draw(st.sampled_from([0.0, 1e-6, 1e-3, 0.1]))
    guesses = Guesses(n, made, right)
    assert p_value(guesses, epsilon, delta) == pytest.approx(by_hand(n, made, right, epsilon, delta), abs=1e-9)


@given(st.integers(1, 300), st.data())
def test_a_bound_is_where_the_test_stops_to_reject(n, data):
    made = data.draw(st.integers(1, n))
    guesses, delta = Guesses(n, made, data.draw(st.integers(0, made))), data.draw(st.sampled_from([0.0, 1e-5, 1e-3]))
    bound = epsilon_lower_bound(guesses, delta)
    assert p_value(guesses, bound + 1e-6, delta) >= 0.05
    if bound > 0:
        assert p_value(guesses, bound - 1e-6, delta) <= 0.05
    assert removal_lower_bound(guesses) == pytest.approx(epsilon_lower_bound(guesses) / 2, abs=1e-9)
    assert removal_lower_bound(guesses, delta) <= bound / 2 + 1e-9


def test_coins_of_a_randomised_response_are_never_bounded_above_their_epsilon():
    """A mechanism with ε exactly: each coin is told rightly with chance e^ε/(1 + e^ε); 2 000 audits at 95 %."""
    generator = np.random.default_rng(0)
    for epsilon in (0.0, 0.5, 2.0):
        q = 1 / (1 + exp(-epsilon))
        hits = generator.binomial(200, q, 2000)
        bounds = {int(h): epsilon_lower_bound(Guesses(200, 200, int(h))) for h in np.unique(hits)}
        found = np.array([bounds[int(h)] for h in hits])
        assert np.mean(found > epsilon) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 2000)
        assert np.mean(found) > epsilon - 2.5 / np.sqrt(200 * q * (1 - q))  # within the scatter of 200 coins


def test_a_mutant_that_leaves_delta_out_claims_too_much():
    """With δ, all coins may be shown at once with probability n·δ: the mutant then claims a large ε, ours nothing."""
    guesses = Guesses(1000, 1000, 1000)
    assert epsilon_lower_bound(guesses) > 5
    assert epsilon_lower_bound(guesses, delta=0.05) == 0


def test_guesses_are_the_ends_of_the_scores():
    scores, coins = np.array([3.0, 1.0, 2.0, 0.0, -1.0]), np.array([True, True, False, False, True])
    assert guess(scores, coins, 2, 1) == Guesses(5, 3, 1)
    assert guess(scores, coins, 1, 0) == Guesses(5, 1, 1)
    assert guess(scores, coins, 0, 2) == Guesses(5, 2, 1)
    assert guess(scores, coins, 0, 0) == Guesses(5, 0, 0)
    generator = np.random.default_rng(1)
    coins = generator.random(2000) < 0.5
    known = guess(generator.normal(size=2000) + 2 * coins, coins, 200, 200)
    assert known.right > 380
    assert epsilon_lower_bound(known, 1e-6) > 2.5
    assert epsilon_lower_bound(guess(generator.normal(size=2000), coins, 200, 200), 1e-6) < 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: Guesses(10, 5, 6),
        lambda: Guesses(10, 11, 6),
        lambda: guess([1.0, 2.0], [True], 1, 0),
        lambda: guess([1.0, np.nan], [True, False], 1, 0),
        lambda: guess([1.0, 2.0], [True, False], 2, 1),
        lambda: p_value(Guesses(10, 5, 5), -1.0),
        lambda: p_value(Guesses(10, 5, 5), 1.0, 2.0),
        lambda: epsilon_lower_bound(Guesses(10, 5, 5), alpha=0.0),
        lambda: removal_lower_bound(Guesses(10, 5, 5), alpha=1.0),
    ],
)
def test_what_cannot_be_is_refused(make):
    with pytest.raises(BadInput):
        make()
