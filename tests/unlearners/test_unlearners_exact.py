"""Native and retrain: what they say, what they refuse, and the newcomer's unlearner of the how-to page."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest

from expunge import catalog
from expunge.core.conformance import check_unlearner
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.tiny import Counts, tiny_deployment
from expunge.fulfilment import dry_run, fulfil
from expunge.unlearners.exact.native import Native
from expunge.unlearners.exact.retrain import Retrain

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "add-an-unlearner.md"


@dataclass(frozen=True)
class Fixed:
    """A model that cannot forget by itself."""

    inner: Counts

    def losses(self, data):
        return self.inner.losses(data)

    def state(self):
        return self.inner.state()

    def digest(self):
        return self.inner.digest()


@dataclass(frozen=True, eq=False)
class Certified(Counts):
    """A model whose own forgetting is only certified."""

    def guarantee(self):
        return Guarantee(kind="certified", epsilon=1.0, delta=1e-6)


def one_of(deployment):
    return ForgetRequest(records=deployment.data.ids.tolist()[7:8])


@pytest.mark.parametrize("unlearner", [Native(), Retrain()])
def test_both_conform(unlearner):
    check_unlearner(unlearner)


def test_native_and_retrain_give_the_same_bits():
    deployment = tiny_deployment(1)
    results = [u.unlearn(deployment, one_of(deployment)) for u in (Native(), Retrain())]
    assert results[0].after.model.digest() == results[1].after.model.digest() != deployment.model.digest()
    assert [r.cost.refitted for r in results] == [False, True]
    assert [r.method for r in results] == ["Native()", "Retrain()"]
    assert results[1].after.fit_s == results[1].cost.seconds


def test_the_promise_is_the_models_own_with_the_assumptions_of_exactness():
    promise = Native().promise(tiny_deployment(1))
    assert (promise.kind, promise.grade) == ("exact", "bits")
    assert any("key" in a for a in promise.assumptions)
    assert any("environment" in a for a in promise.assumptions)


def test_native_refuses_models_that_cannot_forget_exactly():
    deployment = tiny_deployment(1)
    fixed = replace(deployment, model=Fixed(deployment.model))
    with pytest.raises(Unsupported, match="Fixed cannot forget by itself"):
        Native().promise(fixed)
    assert Retrain().promise(fixed).grade == "bits-here"
    names = Counts.__dataclass_fields__
    certified = replace(deployment, model=Certified(**{n: getattr(deployment.model, n) for n in names}))
    with pytest.raises(Unsupported, match="promises only certified"):
        Native().promise(certified)
    assert Retrain().promise(certified).kind == "exact"
    rulings, plan = dry_run(one_of(deployment), certified)
    assert [r.verdict for r in rulings] == ["accept", "accept"]
    assert plan.unlearner == "retrain"
    # what promises too little is told by kind, with how many there are
    assert {d.name.lstrip("0123456789 ") for d in plan.dropped} == {
        "native", "certified unlearners", "empirical unlearners",
    }  # fmt: skip


def test_a_subject_only_in_the_holdout_changes_no_model_but_leaves_the_holdout():
    deployment = tiny_deployment(4)
    inside = set(deployment.data.subjects.tolist())
    subject = next(s for s in deployment.holdout.subjects.tolist() if s not in inside)
    request = ForgetRequest(subject=subject)
    for unlearner in (Native(), Retrain()):
        assert unlearner.predict_cost(deployment, request).seconds is not None
        after = unlearner.unlearn(deployment, request).after
        assert after.model.digest() == deployment.model.digest()
        assert not after.holdout.owned_by(subject)


def test_the_newcomers_page(monkeypatch):
    """The page's file of about 20 lines and its one catalogue line are all that is needed."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names = {"__name__": "newcomer"}
    module = ModuleType("newcomer")
    monkeypatch.setitem(sys.modules, "newcomer", module)
    exec(blocks[0], names)
    module.InBatches = names["InBatches"]
    entry = eval(blocks[1].split("\n\n", 1)[1], {"Entry": catalog.Entry})
    monkeypatch.setattr(catalog, "ENTRIES", (*catalog.ENTRIES, replace(entry, target="newcomer:InBatches")))
    assert "in-batches" in catalog.names("unlearner")
    check_unlearner(catalog.build("unlearner", "in-batches", size=3))
    deployment = tiny_deployment(1)
    _, plan = dry_run(one_of(deployment), deployment)
    assert "in-batches" in [option.unlearner for option in plan.options]
    assert plan.options[-1].unlearner == "retrain"
    fulfil(one_of(deployment), deployment, policy=Policy(probes=("likeness",)))
