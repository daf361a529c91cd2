"""Batches: the union of what is asked, run when a deadline is near or when waiting gains nothing."""

from __future__ import annotations

import pytest

from expunge.core.batching import Waiting, together, window
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, NothingLeft, UnknownRecord
from expunge.core.request import ForgetRequest
from expunge.core.tiny import tiny_deployment

WORLD = tiny_deployment(0)
IDS = WORLD.data.ids.tolist()
OWNER = str(WORLD.data.subjects[3])
ONE, TWO = ForgetRequest(records=(IDS[0],)), ForgetRequest(records=(IDS[1], IDS[0]))


def root(request: ForgetRequest) -> Prediction:
    """A cost that grows with the square root of the records: joining is cheaper than being alone."""
    seconds = len(WORLD.targets(request)) ** 0.5
    return Prediction(seconds=seconds, p95_s=2 * seconds)


def square(request: ForgetRequest) -> Prediction:
    return Prediction(seconds=float(len(WORLD.targets(request)) ** 2))


def test_together_names_the_union_once() -> None:
    joined = together([ONE, TWO, ForgetRequest(subject=OWNER)], WORLD)
    assert set(joined.records) == {
        IDS[0],
        IDS[1],
        *WORLD.data.owned_by(OWNER),
        *WORLD.set_aside(ForgetRequest(subject=OWNER)),
    }
    assert together([ONE], WORLD) is ONE
    poisoned = [r.model_copy(update={"ground": "poisoned"}) for r in (ONE, TWO)]
    assert together(poisoned, WORLD).ground == "poisoned"
    assert together([poisoned[0], TWO], WORLD).ground == "other"


def test_together_refuses_what_cannot_be_done() -> None:
    with pytest.raises(BadInput, match="no request"):
        together([], WORLD)
    with pytest.raises(UnknownRecord):
        together([ONE, ForgetRequest(records=("strange",))], WORLD)
    with pytest.raises(NothingLeft):
        together([ForgetRequest(records=IDS[:5]), ForgetRequest(records=IDS[5:])], WORLD)


def test_it_waits_while_the_deadline_is_far_and_joining_is_cheap() -> None:
    said = window([Waiting(ONE, 0.0, 1000.0), Waiting(TWO, 5.0, 1000.0)], WORLD, root, now_s=6.0, epoch_s=500.0)
    assert not said.run
    assert said.until_s == 500.0
    assert said.together_s < said.apart_s


def test_it_runs_when_a_deadline_or_the_epoch_ends() -> None:
    near = window([Waiting(ONE, 0.0, 25.0)], WORLD, root, now_s=6.0)
    assert near.run
    assert "deadline" in near.why
    far = window([Waiting(ONE, 0.0, 27.0)], WORLD, root, now_s=6.0)
    assert not far.run
    assert far.until_s == pytest.approx(7.0)
    assert window([Waiting(ONE, 0.0)], WORLD, root, now_s=11.0, epoch_s=10.0).run


def test_it_runs_when_joining_is_as_dear_as_alone() -> None:
    said = window([Waiting(ONE, 0.0), Waiting(ForgetRequest(records=IDS[1:4]), 0.0)], WORLD, square, now_s=0.0)
    assert said.run
    assert "waiting gains nothing" in said.why


def test_what_is_unknown_is_not_waited_for() -> None:
    said = window([Waiting(ONE, 0.0)], WORLD, lambda r: Prediction(), now_s=0.0)
    assert said.run
    assert said.together_s is None
