"""Relearning and prototypes on digits whose class 3 was forgotten: hidden memory shows, retraining does not; W1."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sklearn.datasets import load_digits  # noqa: E402

from expunge.audit.prototype import Prototype  # noqa: E402
from expunge.audit.relearning import Relearning  # noqa: E402
from expunge.core.conformance.watch import changed, portrait  # noqa: E402
from expunge.core.dataset import Dataset  # noqa: E402
from expunge.core.deployment import Case, Deployment  # noqa: E402
from expunge.core.request import ForgetRequest  # noqa: E402
from expunge.core.seeds import Key  # noqa: E402
from expunge.models.modules import copied  # noqa: E402
from expunge.models.network import Network  # noqa: E402
from expunge.unlearners.approximate.scrub import Scrub  # noqa: E402

DEEP = Network((128, 128), epochs=30, batch=64, optimiser="sgd", rate=0.1, decay=5e-4, form="plain")


@cache
def scene():
    """`classes` of the threat specification: 1,000 digits to learn, class 3 forgotten."""
    X, y = load_digits(return_X_y=True)
    whole = Dataset.from_vectors((X / 16).astype(np.float32), y.astype(str))
    whole = replace(whole, classes=tuple("0123456789"))
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(y))
    data, aside, key = whole.take(np.sort(order[:1000])), whole.take(np.sort(order[1000:])), Key.public(0)
    before = Deployment(DEEP, data, key, DEEP.fit(data, key), aside)
    gone = data.ids[data.target.values == 3].tolist()
    reference = replace(before, data=data.without(gone), model=DEEP.fit(data.without(gone), key))
    return before, reference, data.only(gone), aside


def masked(deployment):
    """The answer 3 is forbidden; nothing else changes: suppression passed off as unlearning."""
    module = copied(deployment.model.module)
    with torch.no_grad():
        module[-1].bias[3] -= 50
    return replace(deployment, model=deployment.model.changed(module))


def case(after):
    before, reference, gone, aside = scene()
    return Case(before, after, gone, aside, reference)


def named(probe, after):
    return {e.name: e for e in probe.measure(case(after))}


def test_a_masked_answer_is_known_again_at_once_and_retraining_is_not():
    found = named(Relearning(n_draws=3), masked(scene()[0]))
    assert found["relearning.recovery_k3@reference"].value == 0
    assert found["relearning.recovery_k0@reference"].high < 0.05
    assert found["relearning.recovery_k10@before"].value > 0.95
    assert found["relearning.recovery_excess@before"].low > 0.9
    assert found["relearning.passes@before"].value == 0
    assert found["relearning.passes@after"].value >= found["relearning.passes@before"].value


def test_scrub_leaves_residue_that_relearning_finds():
    before, _, gone, _ = scene()
    after = Scrub().unlearn(before, ForgetRequest(records=tuple(gone.ids.tolist()))).after
    portraits = portrait(before), portrait(after)
    found = named(Relearning(n_draws=3), after)
    assert not changed(portraits[0], before)  # W1: the models under test stay as they are
    assert not changed(portraits[1], after)
    assert found["relearning.recovery_excess@after"].low > 0.1
    assert found["relearning.recovery_k3@after"].null.value == 0
    assert found["relearning.anamnesis@after"].value < 1


def test_the_reference_beside_itself_shows_nothing():
    _, reference, _, _ = scene()
    found = named(Relearning(n_draws=2), reference)
    excess = found["relearning.recovery_excess@after"]
    assert excess.value == 0
    assert excess.low < 0 < excess.high
    assert found["relearning.anamnesis@after"].value == 1
    same = named(Prototype(n_draws=2), reference)["prototype.excess@after"]
    assert same.value == 0


def test_the_hidden_layer_tells_what_the_answers_hide():
    """A06: head masking leaves the features as they were."""
    before, _, _, _ = scene()
    found = named(Prototype(), masked(before))
    assert found["prototype.accuracy@after"].value == found["prototype.accuracy@before"].value > 0.9
    assert found["prototype.excess@after"].low > 0.05
    assert 0.5 < found["prototype.inputs@reference"].value < 0.95
    assert 0.5 < found["prototype.accuracy@reference"].value < 0.95


@pytest.mark.parametrize("probe", [Relearning(), Prototype()], ids=["relearning", "prototype"])
def test_what_cannot_be_measured_is_said(probe):
    before, reference, gone, aside = scene()
    for odd in (
        Case(before, before, gone.take(np.arange(1)), aside, reference),
        Case(before, before, gone, aside, None),
    ):
        found = probe.measure(odd)
        missing = [e for e in found if e.status == "not_measured"]
        assert missing
        assert all(e.note for e in missing)
    names = [{e.name for e in probe.measure(c)} for c in (odd, case(before))]
    assert names[0] == names[1]
