"""The objects of a process: ``Deployment``, ``Outcome``, ``Case`` and the ``Prediction`` of a cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.errors import DuplicateId, NothingLeft, UnknownSubject
from expunge.core.guarantee import Guarantee
from expunge.core.record import Record
from expunge.core.request import ForgetRequest, Id
from expunge.core.roles import Learner, Model
from expunge.core.seeds import Key

if TYPE_CHECKING:
    from typing import Self


@dataclass(frozen=True)
class Deployment:
    """A model in use, with all that made it.

    Attributes:
        learner: what fitted it; its ``repr`` is on the receipt.
        data: the records that it was fitted on.
        key: the key of its draws.
        model: the fitted model.
        holdout: records set aside for measurement, never fitted on; forgotten from as well.
        fit_s: how long the last full fit took, in seconds; None if unknown.

    Raises:
        DuplicateId: data and holdout share ids, so that an id would not say which record is meant.
    """

    learner: Learner
    data: Dataset
    key: Key
    model: Model
    holdout: Dataset | None = None
    fit_s: float | None = None

    def __post_init__(self) -> None:
        if self.holdout is not None and not self.holdout.id_set.isdisjoint(self.data.id_set):
            raise DuplicateId("training data and holdout share ids, so that an id does not say which record is meant")

    def targets(self, request: ForgetRequest) -> tuple[Id, ...]:
        """Return the ids of the *training* records that the request names; the holdout's are `set_aside`.

        Raises:
            UnknownRecord: a record id is in neither the training data nor the holdout.
            UnknownSubject: the subject owns no record at all.
            NothingLeft: no training record would be left.
        """
        held = self.set_aside(request)
        if request.subject is not None:
            ids = self.data.owned_by(request.subject)
            if not ids and not held:
                raise UnknownSubject(f"subject {request.subject!r} owns no record here")
        else:
            aside, forms = set(held), self.data.named(request.records)
            asked = [i for i, form in zip(request.records, forms, strict=True) if form not in aside]
            ids = tuple(self.data.ids[list(dict.fromkeys(self.data.positions(asked).tolist()))].tolist())
        if len(ids) >= len(self.data):
            raise NothingLeft("the request names every training record")
        return ids

    def set_aside(self, request: ForgetRequest) -> tuple[Id, ...]:
        """Return the ids of the holdout records that the request names; empty without a holdout."""
        if self.holdout is None:
            return ()
        if request.subject is not None:
            return self.holdout.owned_by(request.subject)
        named = dict.fromkeys(self.holdout.named(request.records))
        return tuple(i for i in named if i is not None and i in self.holdout.id_set)

    def with_model(self, model: Model, request: ForgetRequest, fit_s: float | None = None) -> Self:
        """Return the deployment after the request: the new model, and neither data nor holdout hold the records."""
        ids, held, holdout = self.targets(request), self.set_aside(request), self.holdout
        if holdout is not None:
            stay = np.isin(holdout.ids, np.array(held, holdout.ids.dtype), invert=True)
            holdout = (holdout.take(stay).unlinked(held) if held else holdout).unlinked(ids)
        data = (self.data.without(ids) if ids else self.data).unlinked(held)
        return replace(self, data=data, model=model, holdout=holdout, fit_s=fit_s or self.fit_s)


class Prediction(Record):
    """What a run is predicted to cost (spec XP01).

    Attributes:
        seconds: median expected time; None if unknown.
        p95_s: time not exceeded in 19 of 20 runs.
        worst_s: a bound, where one exists.
        memory_bytes: memory taken beside the model before; None if unknown.
        records_read: records touched.
        parts_touched: trees, shards or matrices touched.
        parts: how many there are.
        why: one sentence.
    """

    seconds: float | None = None
    p95_s: float | None = None
    worst_s: float | None = None
    memory_bytes: int | None = None
    records_read: int | None = None
    parts_touched: int | None = None
    parts: int | None = None
    why: str = ""


class Cost(Record):
    """What a run did cost.

    Attributes:
        seconds: wall clock.
        records_read: records touched.
        parts_touched: trees, shards or matrices touched.
        refitted: whether the model was learnt again.
        forward: samples that went forward through a network.
        backward: samples whose gradient was taken.
        products: samples that went into products of a curvature matrix and a vector.
        steps: steps of an optimiser.
    """

    seconds: float
    records_read: int | None = None
    parts_touched: int | None = None
    refitted: bool = False
    forward: int | None = None
    backward: int | None = None
    products: int | None = None
    steps: int | None = None


@dataclass(frozen=True)
class Outcome:
    """What an unlearner gives back.

    Attributes:
        after: the deployment without the records.
        guarantee: the promise that holds for it.
        cost: what it took.
        method: ``repr`` of the unlearner.
    """

    after: Deployment
    guarantee: Guarantee
    cost: Cost
    method: str


@dataclass(frozen=True)
class Case:
    """What probes measure: the model before and after, the records, and a retrained reference where there is one.

    Attributes:
        before: the deployment as it was.
        after: the deployment as it is now.
        forgotten: the forgotten training records.
        holdout: records that neither model saw (without the subject's own).
        reference: the deployment retrained without the records, the control of every measure.
        cost: what unlearning took.
        reference_s: what retraining the reference took, in seconds.
        n_shadows: how many shadow models the policy allows.
        seed: seed of the measurements.
        extras: further facts for probes by name.
        views: what probes computed of these models and records, for the next probe to take; never part of a result.
    """

    before: Deployment
    after: Deployment
    forgotten: Dataset
    holdout: Dataset
    reference: Deployment | None = None
    cost: Cost | None = None
    reference_s: float | None = None
    n_shadows: int = 0
    seed: str = "audit-0"
    extras: Mapping[str, str] = field(default_factory=dict)
    views: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)
