"""``Change``: what every model over a `Scale` does first when records go or come, and what it says that will cost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.models.encoding.scale import Mask, Scale, check_many
from expunge.models.kept import Kept

if TYPE_CHECKING:
    from expunge.core.request import Id


@dataclass(frozen=True, eq=False)
class Change:
    """Records that go or come.

    Attributes:
        records: they.
        kept: what is kept afterwards.
        after: the scale afterwards, and which of its columns the others have had (or keep); None where codes change
            meaning.
    """

    records: Dataset
    kept: Kept
    after: tuple[Scale, Mask] | None

    @property
    def scale(self) -> Scale | None:
        """The scale afterwards, where the codes of all other records stay as they are; None where they change."""
        return self.after[0] if self.after is not None and self.after[1].all() else None


def going(kept: Kept, scale: Scale, ids: Iterable[Id]) -> Change:
    """Return what these ids take away; nothing is changed.

    Raises:
        UnknownRecord, NothingLeft, ClassVanished: they cannot go.
    """
    gone, left = kept.forget(ids)
    return Change(gone, left, scale.without(gone) if len(gone) else (scale, np.ones(scale.width, bool)))


def coming(kept: Kept, scale: Scale, data: Dataset) -> Change:
    """Return what these records bring; nothing is changed.

    Raises:
        DuplicateId, BadData, ClassVanished: they cannot come.
        TooLarge: with them there would be too many to add up.
    """
    both = kept.learn(data)
    check_many(both.n)
    return Change(data, both, scale.adding(data) if len(data) else (scale, np.ones(scale.width, bool)))


def forecast(
    why: str, fit_s: float, share: float, read: int, parts: tuple[int, int] = (1, 1), least_s: float = 1e-3
) -> Prediction:
    """Return what a deletion costs that takes a share of a fit.

    Args:
        why: what is done.
        fit_s: seconds of the last fit; 0 = not known.
        share: of a fit, in [0, 1].
        read: how many records are read.
        parts: how many parts of the model are touched, of how many.
        least_s: seconds beyond that share.
    """
    worst_s = 1.5 * fit_s if fit_s else None
    return Prediction(
        seconds=worst_s and min(worst_s, fit_s * share + least_s),
        p95_s=worst_s and min(worst_s, 4 * (fit_s * share + least_s)),
        worst_s=worst_s,
        records_read=read,
        parts_touched=parts[0],
        parts=parts[1],
        why=why,
    )
