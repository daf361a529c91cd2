"""``left_out``: predictions of each record by the model without it, for all records in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.models.kept import few
from expunge.models.linear.gram import CELLS, design
from expunge.models.linear.normal import Normal
from expunge.models.linear.totals import Book

if TYPE_CHECKING:
    from expunge.core.roles import Floats

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
FIRST_ORDER = 1e-5
"""Up to this share of a column's own sum, what the penalty changes by is taken to first order."""
LEAST = 1e-6
"""A record whose leverage is closer to 1 is alone in some direction."""


def left_out(book: Book, alpha: float, data: Dataset, rows: Ints) -> tuple[Floats, Mask]:
    """Return (predictions, shape (m, k), which of them are sure) of these records by the model without each.

    With z the codes from the mean, u = A⁻¹z and e the residual under the weights W, the weights without the record are
    W - u·e/(1 - 1/n - z·u), where A holds the penalty for n - 1 records; that of column j also goes down by
    δ = α·z²·n/(n - 1)², which enters to first order. Sure is what that is enough for, under the scale of all records.
    """
    n = float(book.sums.n)
    outputs = np.zeros((len(rows), book.goal.outputs))
    if n < 3:
        return outputs, np.zeros(len(rows), bool)
    system = Normal.of(book.sums, book.goal, alpha * n / (n - 1))
    inverse = system.inverse() if system.varies.any() else np.zeros((0, 0))
    weights, diagonal = inverse @ system.right, np.diagonal(system.scatter)
    sure = np.zeros(len(rows), bool)
    size = max(1, CELLS // (1 + len(inverse)))
    for start in range(0, len(rows), size):
        part = slice(start, min(start + size, len(rows)))
        some = few(data, rows[part])
        z = (design(book.scale, some) - system.mean)[:, system.varies]
        y = book.goal.whole(book.goal.encode(some))
        u = z @ inverse
        leverage = np.einsum("ij,ij->i", z, u)
        missed, room = y - system.base - z @ weights, 1.0 - 1.0 / n - leverage
        room = np.where(room > LEAST, room, np.inf)
        delta = alpha * n / (n - 1) ** 2 * z * z
        moved = (u * delta) @ weights - missed * (np.einsum("ij,ij,ij->i", u, u, delta) / room)[:, None]
        factor = n / (n - 1)
        outputs[part] = y - missed / room[:, None] + factor * moved / (1.0 - factor * leverage)[:, None]
        sure[part] = np.isfinite(room) & ((delta / diagonal).max(axis=1, initial=0.0) <= FIRST_ORDER)
    ruler = book.goal.ruler
    return (outputs if ruler is None else outputs * ruler.step + ruler.shift), sure
