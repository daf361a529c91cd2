"""``Ghosts``: whether vectors that were forgotten still lie in what a model holds and writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case, Deployment
from expunge.core.estimates import proportion
from expunge.core.evidence import Evidence, Null
from expunge.core.ghosts import ghosts
from expunge.core.roles import Remembers

LEAST = 4
"""Numbers that a vector needs: shorter ones may lie anywhere by chance."""


@dataclass(frozen=True)
class Ghosts:
    """The share of forgotten vectors whose numbers are in the model's arrays, before and after, and the control.

    For indexes that delete by a mark (XD13): who is marked is no longer answered, and is still there. Vectors that a
    kept record has as well are left out, because they may stay. The control are vectors of the holdout, which were
    never in the model. A share of 0 before says that the model writes vectors in a form that is not looked for: then
    0 after says nothing.

    Guarantee: none; a test. A vector that is found was not removed; one that is not may lie there in another form.
    Cost: one search of all arrays for each vector in each form; trains nothing.
    Source: spec XD13, XL07 Done when.
    """

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the shares among the forgotten before and after, and among the holdout after."""
        names = ("ghosts.forgotten@before", "ghosts.forgotten@after", "ghosts.holdout@after")
        gone, others = (_alone(_vectors(data), _vectors(case.after.data)) for data in (case.forgotten, case.holdout))
        if gone is None:
            return [Evidence.missing(name, "the records hold no vectors") for name in names]
        if not len(gone) or gone.shape[1] < LEAST:
            reason = f"vectors of less than {LEAST} numbers" if len(gone) else "kept records have the same vectors"
            return [Evidence.missing(name, reason) for name in names]
        after = _written(case.after)
        strangers = None if others is None or not len(others) else ghosts(after, others)
        null = None if strangers is None else _null(strangers)
        return [
            _share(names[0], ghosts(_written(case.before), gone), None),
            _share(names[1], ghosts(after, gone), null),
            Evidence.missing(names[2], "nothing was set aside")
            if strangers is None
            else _share(names[2], strangers, None),
        ]


def _vectors(data: Dataset) -> npt.NDArray[np.generic] | None:
    """Return the only vector of each record, shape (n, d); None where there is none, or more than one."""
    found = [column.values for column in data.columns.values() if column.kind == "vector"]
    return found[0] if len(found) == 1 else None


def _alone(
    vectors: npt.NDArray[np.generic] | None, kept: npt.NDArray[np.generic] | None
) -> npt.NDArray[np.generic] | None:
    """Return the vectors that no kept record has."""
    if vectors is None or kept is None:
        return vectors
    there = {row.tobytes() for row in kept}
    return vectors[[row.tobytes() not in there for row in vectors]]


def _written(deployment: Deployment) -> Arrays:
    model = deployment.model
    return {**model.state(), **(model.memory() if isinstance(model, Remembers) else {})}


def _share(name: str, found: npt.NDArray[np.bool_], null: Null | None) -> Evidence:
    value, low, high, n = proportion(int(found.sum()), len(found))
    said = "share of vectors whose numbers lie in the model's state and memory"
    return Evidence(name=name, estimator=said, value=value, low=low, high=high, n=n, null=null)


def _null(found: npt.NDArray[np.bool_]) -> Null:
    value, low, high, n = proportion(int(found.sum()), len(found))
    return Null(what="control", value=value, low=low, high=high, n=n)
