"""What earlier runs taught about predicted times: one ``Lesson`` an unlearner and size of request (spec XP04)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from expunge.core.costs import P95_FACTOR
from expunge.core.deployment import Prediction
from expunge.core.record import Record

WEIGHT: Final = 0.2
REMEMBERED: Final = 64
ENOUGH: Final = 16
"""Runs from which on the 95th percentile is taken from what happened."""


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


Lessons = Mapping[str, Lesson]
"""``unlearner/size`` → lesson; the size is the number of digits of the count of forgotten records."""


def lesson_name(unlearner: str, m: int) -> str:
    """Return where the lesson of a request of m records is kept.

    >>> lesson_name("native", 1), lesson_name("native", 250)
    ('native/1', 'native/3')
    """
    return f"{unlearner}/{len(str(max(m, 1)))}"


def lesson_for(lessons: Lessons, unlearner: str, m: int) -> Lesson:
    """Return the lesson for a request of m records: of its own size, else of the nearest size that taught anything.

    >>> far = Lesson(bias=1.0, recent=(1.0,))
    >>> lesson_for({"native/3": far}, "native", 1) is far, lesson_for({}, "native", 1)
    (True, Lesson(bias=0.0, recent=()))
    """
    size = len(str(max(m, 1)))
    known = {
        int(name.rpartition("/")[2]): lesson for name, lesson in lessons.items() if name.startswith(unlearner + "/")
    }
    return known[min(known, key=lambda other: abs(other - size))] if known else Lesson()
