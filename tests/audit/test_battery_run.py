"""The battery's runner: fixed order, names of their own, and failures that show (W3)."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

from expunge.audit.battery import run as battery
from expunge.audit.pools import Pool, Pools
from expunge.core.errors import Interrupted, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.verdict import verdict_of

POLICY = AuditPolicy()


@pytest.fixture
def pools():
    roles, truth = np.full((4, 6), 2, np.uint8), np.zeros(6, np.int64)
    made = [Pool(w, roles, truth, np.arange(4), given=np.full((4, 6), v)) for v, w in enumerate(("before", "after"))]
    spare = Pool("other", roles, truth, np.arange(4), given=np.full((4, 6), 9.0))
    return Pools(tuple("abcdef"), truth, 2, tuple(made), controls={"random init": spare, "unknown": spare})


@pytest.fixture
def measure(monkeypatch):
    """Install a measure file by name."""

    def install(name, function):
        module = types.ModuleType(name)
        module.measure = function
        monkeypatch.setitem(sys.modules, f"expunge.audit.battery.{name}", module)

    return install


def once(name):
    def measure(pools, policy):
        value = float(pools.need("after").phi.mean())
        return [Evidence(name=name, estimator="made", value=value, low=value, high=value, n=6)]

    return measure


def raising(error):
    def measure(pools, policy):
        raise error

    return measure


def test_order_is_that_of_the_measures(pools, measure):
    measure("first", once("a.b@after"))
    measure("second", once("c.d@after"))
    assert [e.name for e in battery.run(pools, POLICY, ("second", "first"))] == ["c.d@after", "a.b@after"]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Unsupported("there is no pool of models reference"), "unsupported: there is no pool of models reference"),
        (ZeroDivisionError("division by zero"), "unexpected ZeroDivisionError: division by zero"),
        (ImportError("No module named 'scipy'"), "unexpected ImportError: No module named 'scipy'"),
    ],
)
def test_w3_a_measure_that_raises_is_not_measured_with_its_reason(pools, measure, error, why):
    """W3: a public evaluator swallows exceptions, and the metric is silently absent."""
    measure("broken", raising(error))
    measure("sound", once("c.d@after"))

    def swallowing():
        found = []
        for name in ("broken", "sound"):
            try:
                found += sys.modules[f"expunge.audit.battery.{name}"].measure(pools, POLICY)
            except Exception:
                continue
        return found

    assert [e.name for e in swallowing()] == ["c.d@after"]
    lost, sound = battery.run(pools, POLICY, ("broken", "sound"))
    assert (lost.name, lost.status, lost.note) == ("broken.measure@after", "not_measured", why)
    assert sound.status == "measured"
    said = verdict_of((lost, sound), POLICY)
    assert {f.status for f in said.findings} == {"not_measured"}


def test_an_interruption_ends_the_run(pools, measure):
    measure("slow", raising(Interrupted()))
    with pytest.raises(Interrupted):
        battery.run(pools, POLICY, ("slow",))


def test_a_file_that_is_not_there_loses_its_measure_only(pools, measure):
    measure("sound", once("c.d@after"))
    lost, sound = battery.run(pools, POLICY, ("nowhere", "sound"))
    assert "ModuleNotFoundError" in lost.note
    assert sound.name == "c.d@after"


def test_names_are_unique(pools, measure):
    measure("first", once("a.b@after"))
    measure("again", once("a.b@after"))
    names = [e.name for e in battery.run(pools, POLICY, ("first", "again"))]
    assert names == ["a.b@after", "again.measure@after"]


def test_controls_stand_in_the_place_of_after(pools, measure):
    measure("first", once("a.b@after"))
    runs = battery.run_controls(pools, POLICY, ("first",))
    assert {r.kind: r.evidence[0].value for r in runs} == {"no-op": 0.0, "random": 9.0}


def test_every_measure_of_the_folder_is_run_and_gives_what_it_says():
    """A measure file that nobody runs would be silence of another kind."""
    files = [f for f in Path(battery.__file__).parent.glob("*.py") if "\ndef measure(" in f.read_text()]
    assert sorted(f.stem for f in files) == sorted(battery.ALL)


def test_controls_run_only_what_answers_a_question():
    needed = [m for m in battery.ALL if battery.answers(m, POLICY)]
    assert needed == ["accuracy", "ulira", "records"]
    assert battery.answers("a_measure_of_somebody_else", POLICY)
