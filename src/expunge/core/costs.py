"""What a run will cost, and which unlearner is chosen: ``Plan``, with a reason beside every option (XP01–XP05)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from expunge.core.deployment import Deployment, Prediction
from expunge.core.errors import NoPlan, Unsupported
from expunge.core.guarantee import STRENGTH, Guarantee
from expunge.core.policy import Policy
from expunge.core.record import Record
from expunge.core.request import ForgetRequest
from expunge.core.roles import Unlearner

LAST_RESORT: Final = "retrain"
P95_FACTOR: Final = 4.0
"""Taken between the median and the 95th percentile of a time until residuals are known (spec XP04)."""

WEIGHT: Final = 0.2
REMEMBERED: Final = 64
ENOUGH: Final = 16
"""Runs from which on the 95th percentile is taken from what happened."""

FOREST_CURVE: Final = ((1.0, 0.0025), (10.0, 0.02), (100.0, 0.15), (1000.0, 0.52))
"""Share of a refit that forgetting m records takes: the shipped start (spec XP03)."""


class Option(Record):
    """An unlearner that could serve the request."""

    unlearner: str
    guarantee: Guarantee
    prediction: Prediction


class Dropped(Record):
    """An unlearner that was not considered further, and why."""

    name: str
    reason: str


class Lesson(Record):
    """How far an unlearner's predictions were from its times, on one deployment; numbers only (spec XP04).

    Attributes:
        bias: moving average (weight 0.2) of log(actual / predicted).
        recent: the last 64 of these logs, oldest first.

    >>> lesson = Lesson()
    >>> for _ in range(20):
    ...     lesson = lesson.after(predicted_s=1.0, actual_s=3.0)
    >>> lesson.applied(Prediction(seconds=1.0)).seconds > 2.9
    True
    """

    bias: float = 0.0
    recent: tuple[float, ...] = ()

    def after(self, predicted_s: float, actual_s: float) -> Lesson:
        """Return the lesson after one more run; times of zero teach nothing."""
        if predicted_s <= 0 or actual_s <= 0:
            return self
        error = math.log(actual_s / predicted_s)
        bias = error if not self.recent else (1 - WEIGHT) * self.bias + WEIGHT * error
        return Lesson(bias=bias, recent=(*self.recent, error)[-REMEMBERED:])

    def applied(self, prediction: Prediction) -> Prediction:
        """Return a prediction corrected by what was learnt; its bound stays."""
        if prediction.seconds is None or not self.recent:
            return prediction
        seconds = prediction.seconds * math.exp(self.bias)
        p95_s = P95_FACTOR * seconds
        if len(self.recent) >= ENOUGH:
            rank = math.ceil(0.95 * len(self.recent)) - 1
            p95_s = max(seconds, prediction.seconds * math.exp(sorted(self.recent)[rank]))
        return prediction.model_copy(update={"seconds": seconds, "p95_s": p95_s})


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


def along(curve: Sequence[tuple[float, float]], m: float) -> float:
    """Interpolate a cost curve at m forgotten records, log-log; flat outside its points.

    >>> round(along(FOREST_CURVE, 100), 3), round(along(FOREST_CURVE, 31.6), 3)
    (0.15, 0.055)
    """
    if m <= curve[0][0]:
        return curve[0][1]
    for (x0, y0), (x1, y1) in zip(curve, curve[1:], strict=False):
        if m <= x1:
            share = math.log(m / x0) / math.log(x1 / x0)
            return math.exp(math.log(y0) + share * math.log(y1 / y0))
    return curve[-1][1]


def refit(deployment: Deployment, request: ForgetRequest) -> Prediction:
    """Predict a fit on the kept records: the last fit's time, scaled by the share of records kept."""
    n, m = len(deployment.data), len(deployment.targets(request))
    if deployment.fit_s is None:
        return Prediction(records_read=n - m, why=f"learns again from {n - m:,} records; no earlier fit was timed")
    seconds = deployment.fit_s * (n - m) / n
    why = f"learns again from {n - m:,} of {n:,} records; the last fit took {span(deployment.fit_s)}"
    return Prediction(seconds=seconds, p95_s=2 * seconds, records_read=n - m, why=why)


def completed(prediction: Prediction, refit_s: float | None, m: int) -> Prediction:
    """Fill in the times that a model left open, from the time of a refit (spec XP03).

    Args:
        prediction: what the model knows exactly: records and parts touched, maybe times.
        refit_s: predicted time of a refit, in seconds; None if unknown.
        m: how many records are forgotten.
    """
    update: dict[str, float] = {}
    seconds = prediction.seconds
    if seconds is None and refit_s is not None:
        share = along(FOREST_CURVE, m)
        if prediction.parts and prediction.parts_touched is not None:
            share = min(share, prediction.parts_touched / prediction.parts)
            update["worst_s"] = refit_s * prediction.parts_touched / prediction.parts
        seconds = update["seconds"] = share * refit_s
    if prediction.p95_s is None and seconds is not None:
        update["p95_s"] = P95_FACTOR * seconds
    return prediction.model_copy(update=update) if update else prediction


def choose(
    candidates: Mapping[str, Unlearner],
    deployment: Deployment,
    request: ForgetRequest,
    policy: Policy,
    tried: Iterable[Dropped] = (),
    lessons: Mapping[str, Lesson] | None = None,
) -> Plan:
    """Choose the cheapest unlearner whose promise is as strong as asked; retraining is always the last (spec XP05).

    Args:
        candidates: catalogue name → unlearner.
        deployment: what is to forget.
        request: what is to be forgotten.
        policy: guarantee asked for, and the deadline.
        tried: what was tried before, and why its result was not taken.
        lessons: unlearner → what its earlier runs here taught.

    Raises:
        NoPlan: nothing is left to choose; the message holds each reason.
    """
    dropped = list(tried)
    gone = {d.name for d in dropped}
    options: list[Option] = []
    for name, unlearner in candidates.items():
        if name in gone:
            continue
        lesson = (lessons or {}).get(name, Lesson())
        option = _consider((name, lesson, policy), unlearner, deployment, request)
        options.append(option) if isinstance(option, Option) else dropped.append(option)
    if not options:
        reasons = [f"{d.name}: {d.reason}" for d in dropped]
        raise NoPlan(f"no unlearner is left: {'; '.join(reasons) or 'the catalogue has none'}", reasons=reasons)
    options.sort(key=_rank)
    best = options[0]
    return Plan(
        **{name: getattr(best, name) for name in Option.model_fields},
        why=_why(options, policy, len(deployment.targets(request))),
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
        prediction = lesson.applied(unlearner.predict_cost(deployment, request))
    except Unsupported as error:
        return Dropped(name=name, reason=error.message)
    late = _late(prediction, policy.deadline_s)
    return (
        Dropped(name=name, reason=late) if late else Option(unlearner=name, guarantee=guarantee, prediction=prediction)
    )


def _late(prediction: Prediction, deadline_s: float | None) -> str:
    if deadline_s is None:
        return ""
    expected = prediction.seconds if prediction.p95_s is None else prediction.p95_s
    if expected is None:
        return f"how long it takes is unknown, and the deadline is {span(deadline_s)}"
    if expected > deadline_s:
        return f"may take {span(expected)} (95 %), and the deadline is {span(deadline_s)}"
    return ""


def _rank(option: Option) -> tuple[bool, float, int, str]:
    seconds = option.prediction.seconds
    return (
        option.unlearner == LAST_RESORT,
        math.inf if seconds is None else seconds,
        -STRENGTH[option.guarantee.kind],
        option.unlearner,
    )


def _why(options: list[Option], policy: Policy, m: int) -> str:
    best, prediction = options[0], options[0].prediction
    grade = f" ({best.guarantee.grade})" if best.guarantee.grade else ""
    said = f"{best.unlearner} promises {best.guarantee.kind}{grade}, {policy.guarantee} is asked"
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


def span(seconds: float) -> str:
    """Write a time for people.

    >>> span(0.00071), span(0.43), span(95)
    ('0.71 ms', '430 ms', '1.6 min')
    """
    for unit, size in (("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3)):
        if seconds >= size * (1.5 if size > 1 else 1):
            return f"{seconds / size:.3g} {unit}" if size <= 1 else f"{seconds / size:.1f} {unit}"
    return f"{seconds * 1e3:.2g} ms" if seconds >= 1e-4 else f"{seconds * 1e6:.2g} µs"
