"""``PaddedLatency``: unlearning ends only at multiples of a fixed time, so that its time says less about the records.

How long an exact deletion takes depends on the forgotten record (how many splits it held up), so an observer of the
latency learns about it. A pace above the plan's worst case makes every answer take the same time; below, an observer
learns the number of whole paces and nothing finer. The figure that is signed is the paced one.

Source: spec XL01 (latency is an influence side channel), D01 and D05 (padded latency).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from expunge.core.deployment import Outcome


@dataclass
class PaddedLatency:
    """A block that ends at a multiple of `pace_s` after its begin; None = when it is done.

    Attributes:
        pace_s: the multiple, in seconds.
        clock: tells the time, in seconds.
        sleep: waits for so many seconds.
        spent_s: how long the block took with the wait; 0 before its end.

    >>> ticks = iter([0.0, 3.2])
    >>> waits = []
    >>> with PaddedLatency(2.0, lambda: next(ticks), waits.append) as padded:
    ...     pass
    >>> padded.spent_s, [round(w, 9) for w in waits]
    (4.0, [0.8])
    """

    pace_s: float | None
    clock: Callable[[], float] = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    spent_s: float = 0.0
    _began: float = field(default=0.0, repr=False)

    def __enter__(self) -> Self:
        self._began = self.clock()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the next multiple; an interrupt does not wait, an error does: how soon it came tells as much."""
        if self.pace_s is None or (kind is not None and not issubclass(kind, Exception)):
            return
        spent = self.clock() - self._began
        self.spent_s = max(1, math.ceil(spent / self.pace_s)) * self.pace_s
        self.sleep(max(0.0, self.spent_s - spent))

    def told(self, outcome: Outcome) -> Outcome:
        """Return the outcome with the paced time as its cost, without the counts that would tell what is hidden."""
        if self.pace_s is None:
            return outcome
        cost = outcome.cost.model_copy(update={"seconds": self.spent_s, "records_read": None, "parts_touched": None})
        return replace(outcome, cost=cost)
