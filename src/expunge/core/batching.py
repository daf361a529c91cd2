"""Whether requests that wait should run now or gather more: a batch is one pass, and gives the same bits (spec XP06).

A request may wait while its deadline is far, and while forgetting it together with the others is cheaper than alone;
never past its epoch. Order and grouping never change an exact model, so batching is a matter of cost alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from expunge.core.costs import span
from expunge.core.deployment import Deployment, Prediction
from expunge.core.errors import BadInput
from expunge.core.record import Record
from expunge.core.request import ForgetRequest

SLACK: Final = 10.0
"""A request waits only while its deadline is more than so many times the batch's 95th percentile away."""
EPOCH_S: Final = 86_400.0

Predict = Callable[[ForgetRequest], Prediction]


@dataclass(frozen=True)
class Waiting:
    """A request that waits.

    Attributes:
        request: what is asked.
        since_s: when it came, in seconds of any clock.
        deadline_s: when it must be done, by the same clock; None = no deadline but the epoch's end.
    """

    request: ForgetRequest
    since_s: float
    deadline_s: float | None = None


class Window(Record):
    """What to do with the requests that wait.

    Attributes:
        run: whether to run them now, as one batch.
        until_s: if not, when to ask again at the latest, by the clock of `Waiting`.
        together_s: predicted time of the batch, in seconds; None if unknown.
        apart_s: sum of the predicted times one by one; None if unknown.
        why: one sentence.
    """

    run: bool
    until_s: float | None = None
    together_s: float | None = None
    apart_s: float | None = None
    why: str


def together(requests: Sequence[ForgetRequest], deployment: Deployment) -> ForgetRequest:
    """Return one request for all the records, trained on or set aside, that these requests name.

    Raises:
        BadInput: there is no request.
        UnknownRecord, UnknownSubject: a request names what is not there.
        NothingLeft: together they name every training record.
    """
    if not requests:
        raise BadInput("there is no request to batch")
    if len(requests) == 1:
        return requests[0]
    each = (deployment.targets(r) + deployment.set_aside(r) for r in requests)
    grounds = {r.ground for r in requests}
    joined = ForgetRequest(
        records=tuple(chain.from_iterable(each)), ground=grounds.pop() if len(grounds) == 1 else "other"
    )
    deployment.targets(joined)
    return joined


def window(
    waiting: Sequence[Waiting], deployment: Deployment, predict: Predict, now_s: float, epoch_s: float = EPOCH_S
) -> Window:
    """Say whether the requests that wait should run now.

    Args:
        waiting: the requests, in the order in which they came.
        deployment: what is to forget.
        predict: request → predicted cost, of the unlearner that would be chosen.
        now_s: the time.
        epoch_s: how long a request waits at most.

    Raises:
        BadInput: see `together`.
    """
    batch = together([w.request for w in waiting], deployment)
    whole, alone = predict(batch), [predict(w.request).seconds for w in waiting]
    apart = sum(s for s in alone if s is not None) if None not in alone else None
    known = {"together_s": whole.seconds, "apart_s": apart}
    tail = whole.p95_s if whole.p95_s is not None else whole.seconds
    if whole.seconds is None or tail is None:
        return Window(
            run=True, why="what the batch costs is unknown, so nothing is known to be gained by waiting", **known
        )
    close = min(_latest(w, tail, epoch_s) for w in waiting)
    if close <= now_s:
        return Window(
            run=True, why=f"a deadline or the epoch's end is near; the batch takes {span(whole.seconds)}", **known
        )
    if len(waiting) > 1:
        before = predict(together([w.request for w in waiting[:-1]], deployment)).seconds
        joining = whole.seconds - (before or 0.0)
        if alone[-1] is not None and joining >= alone[-1]:
            said = f"joining costs the last request {span(max(joining, 0))}, alone it would be {span(alone[-1])}"
            return Window(run=True, why=f"{said}: waiting gains nothing", **known)
    return Window(run=False, until_s=close, why=f"waiting may still save work; {len(waiting)} wait", **known)


def _latest(waiting: Waiting, tail_s: float, epoch_s: float) -> float:
    """Return when a request must run at the latest."""
    end = waiting.since_s + epoch_s
    return end if waiting.deadline_s is None else min(end, waiting.deadline_s - SLACK * tail_s)
