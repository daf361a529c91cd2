"""What requests would cost in a store, one by one and as one batch; changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from expunge import fulfilment
from expunge.core.batching import EPOCH_S, Waiting, Window, window
from expunge.core.deployment import Deployment, Prediction
from expunge.core.lessons import Lessons
from expunge.core.plans import Plan
from expunge.core.policy import Policy
from expunge.core.request import ForgetRequest
from expunge.service.store import Store


def costs_of(
    root: Path, requests: Sequence[ForgetRequest], policy: Policy, epoch_s: float = EPOCH_S
) -> tuple[list[Plan], Window]:
    """Return the plan of each request by itself, and whether they should run now, together.

    Args:
        root: the store.
        requests: in the order in which they came.
        policy: what is demanded of each.
        epoch_s: how long a request waits at most, in seconds from now.

    Raises:
        NoPlan: nothing gives the guarantee asked for, in time.
        UnknownRecord, UnknownSubject, NothingLeft: a request names what is not there, or they name everything.
    """
    with Store.open(root) as store:
        deployment, lessons = store.deployment(), store.lessons()
    plans = [_plan(deployment, lessons, policy, request) for request in requests]
    predict = partial(_predicted, deployment, lessons, policy)
    waiting = [Waiting(request, 0.0, policy.deadline_s) for request in requests]
    return plans, window(waiting, deployment, predict, 0.0, epoch_s)


def _plan(deployment: Deployment, lessons: Lessons, policy: Policy, request: ForgetRequest) -> Plan:
    return fulfilment.dry_run(request, deployment, policy, lessons)[1]


def _predicted(deployment: Deployment, lessons: Lessons, policy: Policy, request: ForgetRequest) -> Prediction:
    return _plan(deployment, lessons, policy, request).prediction
