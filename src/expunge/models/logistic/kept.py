"""``Encoded``: the rows of kept records as codes, by id; what is forgotten leaves it when the model settles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.models.encoding.scale import Scale
from expunge.models.logistic.rows import Ints, Mask, Rows, answers, longest, shrink
from expunge.models.scores import known_codes

if TYPE_CHECKING:
    from expunge.core.roles import Progress

READ = 1 << 15
"""Records encoded at a time."""


class _Now(NamedTuple):
    """Ids in order, the row of each, and the rows that are gone; replaced as a whole."""

    ids: npt.NDArray[Any]
    rows: Rows
    gone: tuple[Ints, ...] = ()


@dataclass(eq=False)
class Encoded:
    """Encoder, classes, and the rows of records. To its users a value that never changes.

    Attributes:
        scale: the encoder.
        labels: the classes.
        now: ids and rows, gone ones included until `settle`.
    """

    scale: Scale
    labels: tuple[str, ...]
    now: _Now

    @classmethod
    def of(
        cls, scale: Scale, labels: tuple[str, ...], data: Dataset, clip: float, progress: Progress | None = None
    ) -> Encoded:
        """Return records encoded in the order of their ids."""
        n, limit = len(data), longest(data, clip)
        order = np.argsort(data.ids, kind="stable")
        plain = bool((order == np.arange(n)).all())
        codes, factor = np.zeros((n, len(scale.names)), np.int16), np.zeros(n)
        for start in range(0, n, READ):
            block = slice(start, min(start + READ, n))
            codes[block] = scale.encode(data if plain and n <= READ else data.take(order[block]))
            factor[block] = shrink(codes[block], limit)
            if progress is not None:
                progress(block.stop, n)
        rows = Rows(codes, factor, answers(known_codes(data, labels)[order], len(labels)))
        return cls(scale, labels, _Now(data.ids[order], rows))

    def only(self, ids: npt.NDArray[Any]) -> Rows:
        """Return the rows of these records, in their order."""
        return self.now.rows.take(np.searchsorted(self.now.ids, ids))

    def kept(self) -> Rows:
        """Return the rows of the kept records; nothing is copied."""
        rows, alive = self.now.rows, self._alive()
        return rows if alive is None else Rows(rows.codes, rows.factor, rows.answers, alive)

    def without(self, ids: npt.NDArray[Any], scale: Scale) -> Encoded:
        """Return the rows without those of these records; self is untouched."""
        now = self.now
        return Encoded(scale, self.labels, now._replace(gone=(*now.gone, np.searchsorted(now.ids, ids))))

    def settle(self) -> None:
        """Let go of the rows that are gone."""
        alive = self._alive()
        if alive is not None:
            self.now = _Now(self.now.ids[alive], self.now.rows.take(alive))  # one assignment

    def _alive(self) -> Mask | None:
        if not self.now.gone:
            return None
        alive = np.ones(len(self.now.ids), bool)
        alive[np.concatenate(self.now.gone)] = False
        return alive
