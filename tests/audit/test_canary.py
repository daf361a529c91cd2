"""Canaries (M32, D13): exact power from declared rates; planted records show a model that forgot nothing."""

from dataclasses import replace
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worlds import NumberLearner, TableLearner, by_name, case_of, records

from expunge.audit.canary import NAMES, Canary, Rates, plant, queries_needed
from expunge.core.errors import BadInput
from expunge.core.seeds import Key


def tail(n, share, least):
    return sum(comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(least, n + 1))


def test_power_by_hand():
    """D13: rates 0.9 and 0.1: seven queries; at α 10⁻³ five hits are residue, and a no-op is found in 97.4 %."""
    rates = Rates(7, 0.9, 0.1)
    assert queries_needed(0.9, 0.1) == 7
    assert rates.threshold == 5
    assert tail(7, 0.1, 5) == pytest.approx(1.765e-4, rel=1e-3)
    assert rates.power == pytest.approx(tail(7, 0.9, 5)) == pytest.approx(0.9743, abs=1e-4)
    assert rates.above(5) == pytest.approx(tail(7, 0.1, 5))
    assert rates.below(4) == pytest.approx(1 - tail(7, 0.9, 5))
    assert tail(7, 0.1 + rates.detectable, 5) == pytest.approx(0.8)
    assert Rates(2, 0.9, 0.1).threshold == 3
    assert Rates(2, 0.9, 0.1).power == 0
    assert Rates(2, 0.9, 0.1).detectable == pytest.approx(0.9)


@given(st.integers(1, 40), st.floats(0.02, 0.9), st.floats(0.01, 0.95), st.floats(1e-6, 0.3))
def test_the_test_is_exact(n, unlearnt, gap, alpha):
    learnt = unlearnt + gap * (1 - unlearnt) * 0.99
    rates = Rates(n, learnt, unlearnt, alpha)
    t = rates.threshold
    assert tail(n, unlearnt, t) <= alpha * (1 + 1e-9)
    assert t == 0 or tail(n, unlearnt, t - 1) > alpha * (1 - 1e-9)
    assert rates.power == pytest.approx(tail(n, learnt, t), abs=1e-9)


@given(st.floats(0.05, 0.5), st.floats(0.2, 0.9), st.sampled_from([1e-3, 0.05]))
def test_as_many_queries_as_are_needed(unlearnt, gap, alpha):
    learnt = unlearnt + gap * (0.99 - unlearnt)
    n = queries_needed(learnt, unlearnt, alpha)
    assert Rates(n, learnt, unlearnt, alpha).power >= 0.95
    assert all(Rates(m, learnt, unlearnt, alpha).power < 0.95 for m in range(max(1, n - 25), n))


@pytest.mark.parametrize(
    ("hits", "answer"),
    [
        ({"before": 30, "after": 15, "reference": 14}, "clean"),
        ({"before": 30, "after": 25, "reference": 14}, "residue"),
        ({"before": 30, "after": 15}, "clean"),
        ({"before": 12, "after": 12, "reference": 14}, "invalid"),
        ({"before": 30, "after": 26, "reference": 26}, "invalid"),
    ],
)
def test_answers(hits, answer):
    """A public test looks at the model after alone: it calls the last row residue, where q was declared too low."""
    rates = Rates(30, 0.95, 0.5)
    assert rates.threshold == 24
    assert rates.answer(hits) == answer
    if hits.get("reference") == 26:
        assert hits["after"] >= rates.threshold


def test_too_few_canaries_decide_nothing():
    assert Rates(4, 0.9, 0.5).answer({"before": 4, "after": 2}) == "inconclusive"


def scene(n=40, learner="nearest", **more):
    """A memorising learner, whose canaries are then forgotten, or left in."""
    data, aside = records(4000, 1), records(n + 400, 2, first=10_000)
    canaries, holdout = aside.take(np.arange(n)), aside.take(np.arange(n, n + 400))
    whole = plant(data, canaries, Key.generate(0))
    return case_of(TableLearner(learner), whole, holdout, list(whole.owned_by("canary")), **more)


def test_a_no_op_is_found_and_retraining_is_not():
    """D13: with 40 canaries of two classes a no-op is residue with power above 0.95 at α 10⁻³."""
    honest, nothing = (by_name(Canary().measure(scene(unlearnt=u))) for u in ("retrain", "nothing"))
    assert set(honest) == set(NAMES)
    for found in (honest, nothing):
        assert found["canary.hits@before"].value == 1
        assert found["canary.hits@before"].p_value < 1e-9
        assert found["canary.power@after"].value > 0.95
        assert 0.2 <= found["canary.hits@reference"].value <= 0.8
        assert found["canary.excess@before"].low > 0.2
    assert honest["canary.hits@after"].p_value > 1e-3
    assert "no more often" in honest["canary.hits@after"].note
    assert honest["canary.hits@after"].null.what == "reference"
    assert honest["canary.excess@after"].value == 0
    assert nothing["canary.hits@after"].value == 1
    assert nothing["canary.hits@after"].p_value < 1e-9
    assert "could" in nothing["canary.hits@after"].note
    assert nothing["canary.excess@after"].low > 0.2


def test_a_model_that_learns_no_single_record_makes_canaries_invalid():
    found = by_name(Canary().measure(scene(learner="mean", unlearnt="nothing")))
    assert "say nothing" in found["canary.hits@after"].note


def test_the_false_alarm_rate_is_exact_whatever_the_model():
    """Classes are drawn uniformly, so models that never saw the canaries give them with chance 1/2 exactly."""
    data, source = records(4000, 1), records(40, 2, first=10_000)
    model = TableLearner("mean").fit(data, Key.public(0))
    hits = []
    for seed in range(300):
        whole = plant(data, source, Key.public(seed))
        planted = whole.only(whole.owned_by("canary"))
        hits.append(int((model.true(planted) == model.logits(planted).argmax(axis=1)).sum()))
    assert np.mean(hits) == pytest.approx(20, abs=4 * np.sqrt(10 / 300))
    assert np.var(hits) == pytest.approx(10, rel=0.4)
    assert sum(h >= Rates(40, 0.9, 0.5).threshold for h in hits) <= 3


def test_planting_is_bounded_and_removable():
    data, source = records(1000, 1), records(10, 2, first=10_000)
    whole = plant(data, source, Key.public(0))
    assert len(whole) == 1010
    assert whole.classes == data.classes
    assert whole.without(whole.owned_by("canary")).digest == data.digest
    assert set(plant(data, source, Key.public(0)).target.values) <= {0, 1}
    assert plant(data, source, Key.public(0)).digest == whole.digest != plant(data, source, Key.public(1)).digest
    with pytest.raises(BadInput, match="11 canaries for 1000 records"):
        plant(data, records(11, 2, first=10_000), Key.public(0))
    with pytest.raises(BadInput, match="owner of their own"):
        plant(data, source, Key.public(0), owner="p3")


def test_what_cannot_be_measured_is_said():
    plain = case_of(TableLearner(), records(200, 1), records(50, 2, first=1000), [1, 2, 3])
    missing = Canary().measure(plain)
    assert {e.name for e in missing} == set(NAMES)
    assert all(e.status == "not_measured" and "owns none" in e.note for e in missing)
    alone = by_name(Canary().measure(replace(scene(), reference=None)))
    assert alone["canary.hits@after"].status == "measured"
    assert alone["canary.hits@reference"].status == alone["canary.excess@after"].status == "not_measured"
    numbers = case_of(
        NumberLearner(),
        records(200, 1, number=True),
        records(50, 2, first=1000, number=True),
        [1, 2],
        unlearnt="retrain",
    )
    assert "classes" in Canary(owner="p1").measure(numbers)[0].note


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rates(0, 0.9, 0.1),
        lambda: Rates(5, 0.1, 0.9),
        lambda: Rates(5, 1.0, 0.1),
        lambda: Rates(5, 0.9, 0.1, 0.6),
        lambda: queries_needed(0.9, 0.1, power=1.0),
        lambda: queries_needed(0.5001, 0.5),
    ],
)
def test_rates_that_make_no_test(make):
    with pytest.raises(BadInput):
        make()
