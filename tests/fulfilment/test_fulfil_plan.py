"""The planner: least predicted time first, retraining last, a reason beside every option."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expunge.core.costs import FOREST_CURVE, along, completed, refit, span
from expunge.core.deployment import Prediction
from expunge.core.errors import NoPlan, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.lessons import Lesson, lesson_for, lesson_name
from expunge.core.plans import Dropped, choose
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.core.tiny import tiny_deployment
from expunge.fulfilment import fulfil

EXACT = Guarantee(kind="exact", grade="bits")
EMPIRICAL = Guarantee(kind="empirical")
WORLD = tiny_deployment(1)
REQUEST = ForgetRequest(records=WORLD.data.ids.tolist()[7:9])


@dataclass(frozen=True)
class Fake:
    seconds: float | None
    guarantee: Guarantee = EXACT
    p95_s: float | None = None
    unsupported: str = ""

    def promise(self, deployment):
        if self.unsupported:
            raise Unsupported(self.unsupported)
        return self.guarantee

    def predict_cost(self, deployment, request):
        return Prediction(seconds=self.seconds, p95_s=self.p95_s)

    def unlearn(self, deployment, request, progress=None):
        raise NotImplementedError


def plan(policy=None, tried=(), **candidates):
    return choose(candidates, WORLD, REQUEST, policy or Policy(), tried)


def test_the_least_time_wins_and_retrain_is_last_even_when_it_is_faster():
    made = plan(retrain=Fake(0.001), slow=Fake(2.0), quick=Fake(0.5), unknown=Fake(None))
    assert [o.unlearner for o in made.options] == ["quick", "slow", "unknown", "retrain"]
    assert made.unlearner == "quick"
    assert "500 ms" in made.why
    assert "next would be slow with 2 s (4× as long)" in made.why


def test_ties_go_to_the_stronger_guarantee():
    made = plan(Policy(guarantee="empirical"), a=Fake(1.0, EMPIRICAL), b=Fake(1.0, EXACT))
    assert made.unlearner == "b"


def test_every_dropped_option_keeps_its_reason():
    made = plan(
        Policy(deadline_s=1.0),
        (Dropped(name="before", reason="bound missed"),),
        weak=Fake(0.1, EMPIRICAL),
        late=Fake(0.5, p95_s=3.0),
        odd=Fake(None),
        cannot=Fake(0.1, unsupported="no shards here"),
        before=Fake(0.0),
        retrain=Fake(0.9),
    )
    assert {d.name: d.reason for d in made.dropped} == {
        "before": "bound missed",
        "weak": "promises only empirical, and exact is asked",
        "late": "may take 3 s (95 %), and the deadline is 1 s",
        "odd": "how long it takes is unknown, and the deadline is 1 s",
        "cannot": "no shards here",
    }
    assert made.why.endswith("there is no other option.")


def test_no_plan_says_all_reasons():
    with pytest.raises(NoPlan, match="weak: promises only empirical") as caught:
        plan(weak=Fake(0.1, EMPIRICAL), cannot=Fake(0.1, unsupported="no shards here"))
    assert caught.value.facts["reasons"] == [
        "weak: promises only empirical, and exact is asked",
        "cannot: no shards here",
    ]
    with pytest.raises(NoPlan, match="the catalogue has none"):
        plan()


def test_refit_scales_the_last_fit():
    predicted = refit(WORLD, REQUEST)
    n = len(WORLD.data)
    assert predicted.seconds == pytest.approx(WORLD.fit_s * (n - 2) / n)
    assert predicted.records_read == n - 2


def test_a_model_that_gives_no_times_gets_them_from_the_curve_and_the_parts():
    ten = completed(Prediction(parts=100, parts_touched=10), 2.0, 100)
    assert ten.worst_s == pytest.approx(0.2)
    assert ten.seconds == pytest.approx(0.2)
    one = completed(Prediction(parts=100, parts_touched=10), 2.0, 1)
    assert one.seconds == pytest.approx(0.005)
    assert one.p95_s == pytest.approx(0.02)
    own = Prediction(seconds=1.0, p95_s=1.5)
    assert completed(own, 2.0, 1) == own
    assert completed(Prediction(), None, 5).seconds is None


@given(st.floats(1, 1e6), st.floats(1, 1e6))
def test_the_curve_is_monotone_and_within_its_points(a, b):
    low, high = sorted((a, b))
    assert FOREST_CURVE[0][1] <= along(FOREST_CURVE, low) <= along(FOREST_CURVE, high) * (1 + 1e-12)
    assert along(FOREST_CURVE, high) <= FOREST_CURVE[-1][1] * (1 + 1e-12)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "0 µs"),
        (2e-6, "2 µs"),
        (7.1e-4, "0.71 ms"),
        (0.0123, "12.3 ms"),
        (1.0, "1 s"),
        (95, "1.6 min"),
        (9e4, "25.0 h"),
    ],
)
def test_times_for_people(seconds, text):
    assert span(seconds) == text


def test_lessons_correct_the_median_and_the_tail():
    lesson = Lesson()
    for actual in [2.0] * 15 + [8.0]:
        lesson = lesson.after(1.0, actual)
    told = lesson.applied(Prediction(seconds=10.0, worst_s=100.0))
    assert 20 < told.seconds < 30
    assert told.p95_s == pytest.approx(80.0)
    assert told.worst_s == 100.0
    assert lesson.after(0.0, 1.0) == lesson
    assert Lesson().applied(Prediction(seconds=1.0)) == Prediction(seconds=1.0)
    assert len(Lesson(recent=(0.0,) * 64).after(1.0, 1.0).recent) == 64
    few = Lesson().after(1.0, 2.0).applied(Prediction(seconds=1.0))
    assert (few.seconds, few.p95_s) == (pytest.approx(2.0), pytest.approx(8.0))


def test_a_lesson_changes_the_choice():
    slow = Lesson().after(1.0, 100.0)
    made = choose({"a": Fake(1.0), "b": Fake(2.0)}, WORLD, REQUEST, Policy(), (), {"a/1": slow})
    assert made.unlearner == "b"


def test_a_run_teaches_the_uncorrected_prediction():
    one = fulfil(REQUEST, WORLD, policy=Policy(probes=(), bounds=(), max_share=0.5)).progress
    lesson = one.learnt()["native/1"]
    again = replace(one, lessons=one.learnt())
    plan = one.plan.model_copy(update={"prediction": lesson.applied(one.plan.prediction)})
    twice = replace(again, plan=plan).learnt()["native/1"]
    assert twice.recent[1] == pytest.approx(twice.recent[0])


def test_lessons_are_kept_by_size_and_the_nearest_one_serves():
    one, many = Lesson(bias=1.0, recent=(1.0,)), Lesson(bias=2.0, recent=(2.0,))
    lessons = {"native/1": one, "native/4": many, "other/2": Lesson(bias=9.0, recent=(9.0,))}
    assert [lesson_for(lessons, "native", m).bias for m in (1, 9, 10, 1000, 10**6)] == [1, 1, 1, 2, 2]
    assert lesson_for(lessons, "unknown", 1) == Lesson()
    assert lesson_name("native", 0) == lesson_name("native", 9) == "native/1"


def test_memory_limits_drop_what_is_too_large_or_unknown():
    made = plan(
        Policy(memory_bytes=10**6), heavy=Weighed(0.1, 2 * 10**6), light=Weighed(0.2, 10**5), unknown=Weighed(0.1, None)
    )
    assert made.unlearner == "light"
    reasons = {d.name: d.reason for d in made.dropped}
    assert reasons["heavy"] == "takes 2 MB of memory, and the limit is 1 MB"
    assert reasons["unknown"].startswith("how much memory it takes is unknown")


def test_ties_in_time_go_to_the_smaller_memory():
    assert plan(a=Weighed(1.0, 200), b=Weighed(1.0, 100)).unlearner == "b"


@dataclass(frozen=True)
class Weighed(Fake):
    memory: int | None = None

    def __init__(self, seconds, memory):
        object.__setattr__(self, "seconds", seconds)
        object.__setattr__(self, "memory", memory)

    def predict_cost(self, deployment, request):
        return Prediction(seconds=self.seconds, memory_bytes=self.memory)


def test_native_learns_again_where_that_is_sooner():
    """From 0.8 of a refit's time on the model is fitted again: same bits, and the plan says so."""
    from expunge.unlearners.exact.native import Native

    quick = replace(WORLD, fit_s=1e-9)
    told = Native().predict_cost(quick, REQUEST)
    assert "sooner" in told.why or told.seconds is None
    done = Native().unlearn(replace(WORLD, model=Dear(WORLD.model)), REQUEST)
    assert done.cost.refitted
    assert done.after.model.digest() == Native().unlearn(WORLD, REQUEST).after.model.digest()
    assert not Native().unlearn(WORLD, REQUEST).cost.refitted


@dataclass(frozen=True)
class Dear:
    """A model whose own deletion would take a year."""

    inner: object

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def losses(self, data):
        return self.inner.losses(data)

    def without(self, ids):
        raise AssertionError("too dear")

    def plan(self, ids):
        return Prediction(seconds=3e7)
