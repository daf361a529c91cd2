"""What every model of ours shares: its digest, and the checks that a learner makes before it learns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from expunge.core.canonical import Arrays, state_digest
from expunge.core.dataset import Dataset
from expunge.core.errors import BadTarget, ClassVanished, NothingLeft, StoreDamaged
from expunge.core.guarantee import Grade, Guarantee
from expunge.core.request import Id
from expunge.core.roles import Model, Remembers
from expunge.core.seeds import Key


@dataclass(frozen=True)
class Identity:
    """Who a model is apart from its arrays: learner, schema and the commitment to its key (spec X07)."""

    learner: str
    schema: bytes = field(repr=False)
    commitment: bytes = field(repr=False)

    @classmethod
    def of(cls, learner: object, data: Dataset, key: Key) -> Identity:
        """Return the identity of the model that this learner makes of data like these."""
        return cls(repr(learner), data.schema_digest, key.commitment)

    def digest(self, state: Arrays, known: Mapping[str, bytes] | None = None) -> str:
        """Return the hex digest of a state under this identity; `known` holds parts that were digested before."""
        return state_digest(self.learner, self.schema, self.commitment, state, known)


KEY_UNCHANGED = "the secret key of the draws is the one committed to, and unchanged"
EXACT_ASSUMES = (
    KEY_UNCHANGED,
    "the schema (kinds of columns, declared classes) does not depend on the forgotten records",
    "code and environment are those of the digests in the statement",
    "every record of these persons that was learnt from is in the data set",
)
"""What exactness rests on for every model (spec X01)."""


def exactly(grade: Grade, *more: str) -> Guarantee:
    """Return the exact guarantee of a model and its encoder, with what it rests on.

    Args:
        grade: ``bits`` or ``bits-here``.
        more: further assumptions of this model.
    """
    return Guarantee(kind="exact", grade=grade, assumptions=(*EXACT_ASSUMES, *more), covers=("model", "encoder"))


def class_labels(data: Dataset) -> tuple[str, ...]:
    """Return the classes of a classification target: declared, or those that the records hold.

    Raises:
        BadTarget: there is no target, or it is a number.
        ClassVanished: an undeclared class has no record (any more).
    """
    target = data.target
    if target is None or target.kind != "category":
        hint = (
            ""
            if target is None
            else "Use a learner of numbers (forest, boosting, ridge), or leave out --number; --class declares classes."
        )
        raise BadTarget(f"a classifier needs a target of categories, and {data.target_name!r} is not one", hint=hint)
    if data.classes:
        return data.classes
    if (target.values < 0).any():
        raise BadTarget(f"{(target.values < 0).sum()} of {len(data)} records have no class in {data.target_name!r}")
    counts = np.bincount(target.values, minlength=len(target.vocabulary))
    check_classes(target.vocabulary, counts)
    return target.vocabulary


def check_classes(labels: tuple[str, ...], counts: npt.NDArray[np.int64]) -> None:
    """Refuse a class without records.

    Raises:
        ClassVanished: naming it.
    """
    empty = [label for label, count in zip(labels, counts, strict=True) if count == 0]
    if empty:
        raise ClassVanished(f"class {empty[0]!r} would have no record left")


def rows_to_forget(data: Dataset, ids: Iterable[Id]) -> npt.NDArray[np.int64]:
    """Return the rows of a deletion after the checks that every model makes (nothing is changed on error).

    Raises:
        UnknownRecord: an id is not in the data.
        NothingLeft: every record is named.
        ClassVanished: an undeclared class would lose its last record.
    """
    rows = data.positions(dict.fromkeys(ids))
    if len(rows) == len(data):
        raise NothingLeft("every record is named")
    if data.target is not None and data.target.kind == "category" and not data.classes:
        codes, size = np.delete(data.target.values, rows), len(data.target.vocabulary)
        check_classes(data.target.vocabulary, np.bincount(codes[codes >= 0], minlength=size))
    return rows


def check_saved(model: Model, arrays: Arrays) -> None:
    """Refuse saved arrays that are not the state and memory of a model made afresh.

    Raises:
        StoreDamaged: naming the first array that is missing or differs.
    """
    mine = {**model.state(), **(model.memory() if isinstance(model, Remembers) else {})}
    for name, array in mine.items():
        if name not in arrays or not np.array_equal(array, arrays[name]):
            raise StoreDamaged(f"the saved array {name!r} is not what these records give")
