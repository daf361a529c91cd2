"""The latency side channel: answers come at multiples of the pace, and what is signed is no finer."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from expunge.core.deployment import Cost, Outcome, Prediction
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.tiny import tiny_deployment
from expunge.fulfilment import dry_run, fulfil
from expunge.fulfilment.padding import PaddedLatency

WORLD = tiny_deployment(0)


def clock(*times: float) -> Callable[[], float]:
    given = iter(times)
    return lambda: next(given)


@pytest.mark.parametrize(
    ("took", "waits", "spent"), [(0.0, 2.0, 2.0), (1.5, 0.5, 2.0), (2.0, 0.0, 2.0), (4.5, 1.5, 6.0)]
)
def test_a_block_ends_at_the_next_multiple(took: float, waits: float, spent: float) -> None:
    slept: list[float] = []
    with PaddedLatency(2.0, clock(10.0, 10.0 + took), slept.append) as padded:
        pass
    assert slept == [pytest.approx(waits)]
    assert padded.spent_s == spent


def test_errors_wait_and_interrupts_do_not() -> None:
    slept: list[float] = []
    with pytest.raises(ValueError), PaddedLatency(2.0, clock(0.0, 0.5), slept.append):
        raise ValueError
    assert slept == [1.5]
    with pytest.raises(KeyboardInterrupt), PaddedLatency(2.0, clock(0.0), slept.append):
        raise KeyboardInterrupt
    assert slept == [1.5]


def test_what_is_told_of_fast_and_slow_deletions_is_the_same() -> None:
    def told(seconds: float) -> Cost:
        with PaddedLatency(1.0, clock(0.0, seconds), lambda s: None) as padded:
            pass
        cost = Cost(seconds=seconds, records_read=int(1e3 * seconds), parts_touched=3)
        return padded.told(Outcome(WORLD, WORLD.model.guarantee(), cost, "Native()")).cost

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


def test_a_paced_plan_tells_neither_times_nor_counts() -> None:
    request = ForgetRequest(records=WORLD.data.ids.tolist()[:1])
    quick = Policy(probes=(), bounds=())
    _, open_plan = dry_run(request, WORLD, quick)
    _, paced = dry_run(request, WORLD, quick.model_copy(update={"pace_s": 0.05}))
    assert "should take" in open_plan.why
    assert "multiple of 50 ms" in paced.why
    assert "should take" not in paced.why
    assert paced.prediction.seconds is not None, "whoever runs it may know, and the next plan learns from it"
    bare = paced.untimed()
    assert {p.model_dump_json() for p in (bare.prediction, *(o.prediction for o in bare.options))} == {
        Prediction().model_dump_json()
    }
    assert bare.unlearner == paced.unlearner
