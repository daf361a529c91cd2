"""The latency side channel: answers come at multiples of the pace, and what is signed is no finer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from expunge.core.deployment import Cost, Outcome
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.tiny import tiny_deployment
from expunge.fulfilment import fulfil
from expunge.fulfilment.pacing import Pace

WORLD = tiny_deployment(0)


def clock(*times: float) -> Callable[[], float]:
    given = iter(times)
    return lambda: next(given)


@pytest.mark.parametrize(
    ("took", "waits", "spent"), [(0.0, 2.0, 2.0), (1.5, 0.5, 2.0), (2.0, 0.0, 2.0), (4.5, 1.5, 6.0)]
)
def test_a_block_ends_at_the_next_multiple(took: float, waits: float, spent: float) -> None:
    slept: list[float] = []
    with Pace(2.0, clock(10.0, 10.0 + took), slept.append) as pace:
        pass
    assert slept == [pytest.approx(waits)]
    assert pace.spent_s == spent


def test_errors_wait_and_interrupts_do_not() -> None:
    slept: list[float] = []
    with pytest.raises(ValueError), Pace(2.0, clock(0.0, 0.5), slept.append):
        raise ValueError
    assert slept == [1.5]
    with pytest.raises(KeyboardInterrupt), Pace(2.0, clock(0.0), slept.append):
        raise KeyboardInterrupt
    assert slept == [1.5]


def test_what_is_told_of_fast_and_slow_deletions_is_the_same() -> None:
    def told(seconds: float) -> Cost:
        with Pace(1.0, clock(0.0, seconds), lambda s: None) as pace:
            pass
        cost = Cost(seconds=seconds, records_read=int(1e3 * seconds), parts_touched=3)
        return pace.told(Outcome(WORLD, WORLD.model.guarantee(), cost, "Native()")).cost

    assert told(0.001) == told(0.9) == Cost(seconds=1.0)
    assert told(1.1) == Cost(seconds=2.0)


def test_a_paced_request_signs_the_pace_and_learns_from_what_it_took() -> None:
    request = ForgetRequest(records=WORLD.data.ids.tolist()[:1])
    policy = Policy(probes=("cost",), bounds=(), pace_s=0.05)
    done = fulfil(request, WORLD, policy=policy)
    cost = done.progress.outcome.cost
    assert cost.seconds / 0.05 == pytest.approx(round(cost.seconds / 0.05))
    assert cost.parts_touched is None
    assert 0 < done.progress.took_s < cost.seconds
    lesson = done.progress.learnt()["native/1"]
    plain = fulfil(request, WORLD, policy=policy.model_copy(update={"pace_s": None})).progress
    assert plain.outcome.cost.seconds == plain.took_s
    assert abs(lesson.bias) < 10
