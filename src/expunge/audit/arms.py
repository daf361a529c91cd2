"""The arms of a case (before, after, reference) and the evidence that is written about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.deployment import Case, Deployment
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence, Null

NAMES = ("before", "after", "reference")
EXACT_NOTE = "The two models are equal by digest, so the difference is exactly zero."
NO_REFERENCE = "no reference model was trained, so there is nothing to compare with"


def each(case: Case) -> Iterator[tuple[str, Deployment]]:
    """Yield ("before", …), ("after", …) and, where there is one, ("reference", …)."""
    yield "before", case.before
    yield "after", case.after
    if case.reference is not None:
        yield "reference", case.reference


def no_reference(*names: str) -> list[Evidence]:
    """Return the evidence that could not be measured because there is no reference."""
    return [Evidence.missing(name, NO_REFERENCE) for name in names]


def told(measured: Callable[[], list[Evidence]], names: Iterable[str]) -> list[Evidence]:
    """Return what is measured; where it cannot be, why, under each of these names."""
    try:
        return measured()
    except (BadInput, Unsupported) as error:
        return [Evidence.missing(name, error.message) for name in names]


def equal_to_reference(case: Case) -> bool:
    """Say whether after and reference are the same model by digest: then every difference between them is exactly 0."""
    return case.reference is not None and case.after.model.digest() == case.reference.model.digest()


def owners_note(owners: npt.NDArray[Any]) -> str | None:
    """Return what must be said of an interval when all records belong to one person; None otherwise."""
    if len(np.unique(owners)) > 1 or len(owners) < 2:
        return None
    return (
        f"All {len(owners)} forgotten records belong to one subject. Records of one person are not independent; "
        "the interval takes them as if they were, so it is too narrow for a statement about other people."
    )


def control(reference: Interval | None) -> Null | None:
    """Return the control of the after arm: the same measure on the reference model."""
    if reference is None:
        return None
    value, low, high, n = reference
    return Null(what="reference", value=value, low=low, high=high, n=n)


def evidence(
    name: str, estimator: str, interval: Interval, note: str | None = None, null: Null | None = None
) -> Evidence:
    """Return an interval as evidence."""
    value, low, high, n = interval
    return Evidence(name=name, estimator=estimator, value=value, low=low, high=high, n=n, note=note, null=null)
