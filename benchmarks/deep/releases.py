"""``InReleases``: a method applied several times, to a part of the requests each time: a stream of deletions."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from expunge.core.deployment import Cost, Deployment, Outcome, Prediction
from expunge.core.guarantee import Guarantee
from expunge.core.request import ForgetRequest
from expunge.core.seeds import Key, unit
from expunge.unlearners.method import Method


@dataclass(frozen=True)
class InReleases:
    """Forgets a request in several releases, records in the order of their keyed words.

    Guarantee: that of the method.
    Cost: the method's, once a release.
    Source: scene `stream` of the specification.
    """

    method: Any
    n_releases: int = 5

    def promise(self, deployment: Deployment) -> Guarantee:
        return self.method.promise(deployment)

    def predict_cost(self, deployment: Deployment, request: ForgetRequest) -> Prediction:
        return self.method.predict_cost(deployment, request)

    def unlearn(self, deployment: Deployment, request: ForgetRequest, progress: Any = None) -> Outcome:
        ids, seconds, counts = deployment.targets(request), 0.0, np.zeros(4)
        turns = _turns(deployment.key, ids, self.n_releases)
        outcome = None
        for turn in range(self.n_releases):
            part = [i for i, t in zip(ids, turns, strict=True) if t == turn]
            outcome = self.method.unlearn(deployment, ForgetRequest(records=tuple(part)), progress)
            deployment, seconds = outcome.after, seconds + outcome.cost.seconds
            counts += [getattr(outcome.cost, n) or 0 for n in ("forward", "backward", "products", "steps")]
        names = ("forward", "backward", "products", "steps")
        cost = Cost(seconds=seconds, **dict(zip(names, counts.astype(int).tolist(), strict=True)))
        return replace(outcome, cost=cost, method=repr(self))

    def unlearn_many(self, stack: Any, data: Any, roles: Any, keys: Sequence[Key], progress: Any = None) -> Any:
        if not isinstance(self.method, Method):
            raise TypeError("only gradient methods treat many networks at once")
        forgotten, kept = roles
        turns = np.stack([_turns(key, data.ids.tolist(), self.n_releases) for key in keys])
        for turn in range(self.n_releases):
            now, later = forgotten & (turns == turn), forgotten & (turns > turn)
            stack = self.method.unlearn_many(stack, data, (now, kept | later), keys, progress)
        return stack


def _turns(key: Key, ids: Sequence[Any], n: int) -> np.ndarray:
    return (unit(key.child("releases").words(ids)) * n).astype(int)
