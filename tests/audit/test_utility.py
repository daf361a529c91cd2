"""Utility, likeness and cost on worlds whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest
from worlds import NumberLearner, TableLearner, by_name, case_of, records

from expunge.audit.cost import CostProbe
from expunge.audit.likeness import Likeness
from expunge.audit.utility import Utility
from expunge.core.roles import Probe

FORGOTTEN = list(range(12))


@pytest.fixture(scope="module")
def case():
    data, holdout = records(300, 1, per_owner=3), records(240, 2, per_owner=2, first=10_000)
    return case_of(TableLearner("nearest"), data, holdout, FORGOTTEN)


def test_they_are_probes():
    assert all(isinstance(p, Probe) for p in (Utility(), Likeness(), CostProbe()))


def test_accuracy_auc_and_loss_equal_their_definitions(case):
    found = by_name(Utility().measure(case))
    model, holdout = case.before.model, case.holdout
    right = model.logits(holdout).argmax(1) == model.true(holdout)
    assert found["utility.accuracy@before"].value == pytest.approx(right.mean())
    assert found["utility.loss@before"].value == pytest.approx(model.losses(holdout).mean())
    odds, true = model.odds(holdout), model.true(holdout)
    pairs = odds[true == 1][:, None] - odds[true == 0][None]
    assert found["utility.auc@before"].value == pytest.approx(float(((pairs > 0) + (pairs == 0) / 2).mean()))
    assert found["utility.accuracy@before"].n == 240


def test_exact_unlearning_differs_by_exactly_nothing_from_the_reference(case):
    found = by_name(Utility().measure(case))
    for measure in ("accuracy", "auc", "loss"):
        excess = found[f"utility.{measure}_excess@after"]
        assert (excess.value, excess.low, excess.high) == (0, 0, 0)
        assert "equal by digest" in excess.note
        assert found[f"utility.{measure}@after"].null.value == found[f"utility.{measure}@reference"].value
    assert found["utility.forgotten_accuracy@before"].value == 1 > found["utility.forgotten_accuracy@after"].value


def test_no_visible_change_is_not_certainty(case):
    lazy = replace(case, after=replace(case.before, model=case.before.model))
    change = by_name(Utility().measure(lazy))["utility.accuracy_change@after"]
    assert change.value == 0
    assert change.low < 0 < change.high
    assert "Clopper" in change.note


def test_owners_widen_intervals():
    """Four copies of each holdout record under one owner carry the information of one."""
    data, holdout = records(300, 1), records(100, 2, first=10_000)
    same = np.repeat(np.arange(25), 4)
    columns = {name: column.take(same) for name, column in holdout.columns.items()}
    copies = replace(holdout, columns=columns, target=holdout.target.take(same))
    four = replace(copies, subjects=np.repeat(np.arange(25), 4))
    alone = replace(copies, subjects=np.arange(100))
    learner = TableLearner("mean")
    wide = by_name(Utility().measure(case_of(learner, data, four, FORGOTTEN)))["utility.loss@after"]
    narrow = by_name(Utility().measure(case_of(learner, data, alone, FORGOTTEN)))["utility.loss@after"]
    assert wide.value == narrow.value
    assert 1.7 < (wide.high - wide.low) / (narrow.high - narrow.low) < 2.4


def test_number_targets_give_mse_and_r2():
    data, holdout = records(200, 1, number=True), records(150, 2, number=True, first=10_000)
    found = by_name(Utility().measure(case_of(NumberLearner(), data, holdout, FORGOTTEN)))
    assert 0.7 < found["utility.mse@after"].value < 1.4
    assert found["utility.r2@after"].low < 0.5 < found["utility.r2@after"].high
    assert not any("accuracy" in name for name in found)


def test_several_classes_use_the_macro_auc():
    generator = np.random.default_rng(0)
    from expunge.audit.signals import Seen
    from expunge.audit.utility import _auc

    class View(Seen):
        logits = generator.normal(size=(60, 3))
        truth = np.arange(60) % 3

    found = _auc(View(None, None))
    assert 0.2 < found.value < 0.8
    assert abs(found.influence.sum()) < 1e-9


def test_without_a_reference_everything_says_so():
    data, holdout = records(200, 1), records(150, 2, first=10_000)
    case = case_of(TableLearner("nearest"), data, holdout, FORGOTTEN, reference=False)
    utility = by_name(Utility().measure(case))
    assert utility["utility.accuracy@reference"].status == "not_measured"
    assert "reference" in utility["utility.accuracy_excess@after"].note
    assert utility["utility.accuracy@after"].null is None
    assert {e.status for e in Likeness().measure(case)} == {"not_measured"}
    cost = by_name(CostProbe().measure(case))
    assert cost["cost.ratio@after"].value == pytest.approx(500)
    assert "last full fit" in cost["cost.ratio@after"].estimator


def test_a_model_without_logits_is_said_to_lack_them():
    data, holdout = records(200, 1), records(150, 2, first=10_000)
    case = case_of(TableLearner("nearest"), data, holdout, FORGOTTEN)

    class Mute:
        def __init__(self, model):
            self.losses, self.state, self.digest = model.losses, model.state, model.digest

    mute = replace(case, after=replace(case.after, model=Mute(case.after.model)))
    found = by_name(Utility().measure(mute))
    assert found["utility.accuracy@after"].status == "not_measured"
    assert found["utility.loss@after"].status == "measured"
    assert by_name(Likeness().measure(mute))["likeness.agreement_holdout@after"].status == "not_measured"


def test_likeness_of_exact_unlearning_and_of_doing_nothing(case):
    found = by_name(Likeness().measure(case))
    equal = found["likeness.equal@after"]
    assert (equal.value, equal.low, equal.high, equal.estimator) == (1, 1, 1, "digest equality of the states")
    assert equal.n == 288 * 5
    assert found["likeness.loss_rmse_forgotten@after"].high == 0
    assert found["likeness.equal@before"].value == 0
    assert found["likeness.loss_rmse_forgotten@before"].low > 0
    lazy = by_name(Likeness().measure(replace(case, after=replace(case.after, model=case.before.model))))
    assert lazy["likeness.equal@after"].value == 0
    assert lazy["likeness.state_max_difference@after"].status == "not_measured"
    agreement = lazy["likeness.agreement_holdout@after"]
    assert agreement.low < agreement.value < agreement.high < 1.0 + 1e-9


def test_memory_and_state_differences_of_number_models():
    data, holdout = records(200, 1, number=True), records(150, 2, number=True, first=10_000)
    case = case_of(NumberLearner(), data, holdout, FORGOTTEN)
    found = by_name(Likeness().measure(case))
    assert found["likeness.memory_equal@after"].value == 1
    assert found["likeness.state_max_difference@after"].value == 0
    assert "likeness.state_max_difference@before" not in found, "it is a number about the forgotten records"
    lazy = by_name(Likeness().measure(replace(case, after=replace(case.after, model=case.before.model))))
    gap = np.abs(case.before.model.weights - case.reference.model.weights).max()
    assert lazy["likeness.state_max_difference@after"].value == pytest.approx(gap)
    assert lazy["likeness.state_max_difference@after"].n == 4


def test_cost_claims_no_interval_and_says_so(case):
    found = by_name(CostProbe().measure(case))
    seconds = found["cost.seconds@after"]
    assert (seconds.value, seconds.low, seconds.high, seconds.n) == (0.004, 0.004, 0.004, 1)
    assert "no interval" in seconds.note
    assert found["cost.parts_touched@after"].value == 3
    nothing = by_name(CostProbe().measure(replace(case, cost=None, reference_s=None)))
    assert nothing["cost.seconds@after"].status == "not_measured"
    assert nothing["cost.ratio@after"].status == "not_measured"


def test_a_single_forgotten_record_has_no_number_of_its_own():
    data, holdout = records(200, 1), records(150, 2, first=10_000)
    case = case_of(TableLearner("nearest"), data, holdout, [0])
    for probe in (Utility(), Likeness()):
        about = [e for e in probe.measure(case) if "forgotten" in e.name]
        assert about
        assert {e.status for e in about} == {"not_measured"}
