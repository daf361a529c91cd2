"""Which unlearner is chosen, and why: ``Plan``, with a reason beside every option (spec XP05)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final

from expunge.core.costs import span, weight
from expunge.core.deployment import Deployment, Prediction
from expunge.core.errors import NoPlan, Unsupported
from expunge.core.guarantee import STRENGTH, Guarantee
from expunge.core.lessons import Lesson, Lessons, lesson_for
from expunge.core.policy import Policy
from expunge.core.record import Record
from expunge.core.request import ForgetRequest
from expunge.core.roles import Unlearner

LAST_RESORT: Final = "retrain"


class Option(Record):
    """An unlearner that could serve the request."""

    unlearner: str
    guarantee: Guarantee
    prediction: Prediction


class Dropped(Record):
    """An unlearner that was not considered further, and why."""

    name: str
    reason: str


class Plan(Record):
    """What will be done, and why.

    Attributes:
        unlearner: catalogue name of the choice.
        guarantee: the promise that it comes with.
        prediction: what it is predicted to cost.
        why: one sentence with the numbers that decided.
        dropped: what was not considered, each with its reason.
        options: what was considered, in the order in which it would be tried.
    """

    unlearner: str
    guarantee: Guarantee
    prediction: Prediction
    why: str
    dropped: tuple[Dropped, ...] = ()
    options: tuple[Option, ...] = ()

    def untimed(self) -> Plan:
        """Return the plan without predicted times and counts: they depend on the records as the times do."""
        bare = tuple(o.model_copy(update={"prediction": Prediction()}) for o in self.options)
        return self.model_copy(update={"prediction": Prediction(), "options": bare})


def choose(
    candidates: Mapping[str, Unlearner],
    deployment: Deployment,
    request: ForgetRequest,
    policy: Policy,
    tried: Iterable[Dropped] = (),
    lessons: Lessons | None = None,
) -> Plan:
    """Choose the cheapest unlearner whose promise is as strong as asked; retraining is always the last (spec XP05).

    Args:
        candidates: catalogue name → unlearner.
        deployment: what is to forget.
        request: what is to be forgotten.
        policy: guarantee asked for, deadline, and memory.
        tried: what was tried before, and why its result was not taken.
        lessons: what earlier runs here taught.

    Raises:
        NoPlan: nothing is left to choose; the message holds each reason.
    """
    dropped, m = list(tried), len(deployment.targets(request))
    gone = {d.name for d in dropped}
    options: list[Option] = []
    for name, unlearner in candidates.items():
        if name in gone:
            continue
        lesson = lesson_for(lessons or {}, name, m)
        option = _consider((name, lesson, policy), unlearner, deployment, request)
        options.append(option) if isinstance(option, Option) else dropped.append(option)
    if not options:
        reasons = [f"{d.name}: {d.reason}" for d in dropped]
        raise NoPlan(f"no unlearner is left: {'; '.join(reasons) or 'the catalogue has none'}", reasons=reasons)
    options.sort(key=_rank)
    best = options[0]
    return Plan(
        **{name: getattr(best, name) for name in Option.model_fields},
        why=_why(options, policy, m),
        dropped=tuple(dropped),
        options=tuple(options),
    )


def _consider(
    asked: tuple[str, Lesson, Policy], unlearner: Unlearner, deployment: Deployment, request: ForgetRequest
) -> Option | Dropped:
    name, lesson, policy = asked
    try:
        guarantee = unlearner.promise(deployment)
        if not guarantee.at_least(policy.guarantee):
            return Dropped(name=name, reason=f"promises only {guarantee.kind}, and {policy.guarantee} is asked")
        prediction = lesson.applied(_weighed(unlearner.predict_cost(deployment, request), deployment))
    except Unsupported as error:
        return Dropped(name=name, reason=error.message)
    barred = _late(prediction, policy.deadline_s) or _heavy(prediction, policy.memory_bytes)
    if barred:
        return Dropped(name=name, reason=barred)
    return Option(unlearner=name, guarantee=guarantee, prediction=prediction)


def _weighed(prediction: Prediction, deployment: Deployment) -> Prediction:
    """Return the prediction with its memory: where the unlearner does not say, that of a second model."""
    if prediction.memory_bytes is not None:
        return prediction
    return prediction.model_copy(update={"memory_bytes": weight(deployment.model)})


def _late(prediction: Prediction, deadline_s: float | None) -> str:
    if deadline_s is None:
        return ""
    expected = prediction.seconds if prediction.p95_s is None else prediction.p95_s
    if expected is None:
        return f"how long it takes is unknown, and the deadline is {span(deadline_s)}"
    if expected > deadline_s:
        return f"may take {span(expected)} (95 %), and the deadline is {span(deadline_s)}"
    return ""


def _heavy(prediction: Prediction, limit: int | None) -> str:
    if limit is None:
        return ""
    if prediction.memory_bytes is None:
        return f"how much memory it takes is unknown, and the limit is {limit / 1e6:,.0f} MB"
    if prediction.memory_bytes > limit:
        return f"takes {prediction.memory_bytes / 1e6:,.0f} MB of memory, and the limit is {limit / 1e6:,.0f} MB"
    return ""


def _rank(option: Option) -> tuple[bool, float, int, float, str]:
    prediction = option.prediction
    return (
        option.unlearner == LAST_RESORT,
        math.inf if prediction.seconds is None else prediction.seconds,
        -STRENGTH[option.guarantee.kind],
        math.inf if prediction.memory_bytes is None else prediction.memory_bytes,
        option.unlearner,
    )


def _why(options: list[Option], policy: Policy, m: int) -> str:
    best, prediction = options[0], options[0].prediction
    grade = f" ({best.guarantee.grade})" if best.guarantee.grade else ""
    said = f"{best.unlearner} promises {best.guarantee.kind}{grade}, {policy.guarantee} is asked"
    if policy.pace_s is not None:
        return f"{said}; it ends at a multiple of {span(policy.pace_s)}, so that its time tells less."
    if prediction.seconds is not None:
        said += f"; forgetting {m:,} {'record' if m == 1 else 'records'} should take {span(prediction.seconds)}"
    if prediction.parts and prediction.parts_touched is not None:
        said += f" and touch {prediction.parts_touched:,} of {prediction.parts:,} parts"
    if len(options) == 1:
        return said + "; there is no other option."
    other, other_s = options[1], options[1].prediction.seconds
    if other_s is None or not prediction.seconds:
        return f"{said}; next would be {other.unlearner}."
    return (
        f"{said}; next would be {other.unlearner} with {span(other_s)} ({other_s / prediction.seconds:,.3g}× as long)."
    )
