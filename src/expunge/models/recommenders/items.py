"""``Ease`` and ``ItemNeighbours``: recommenders on integer counts of pairs of items, which forget by subtraction."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, StoreDamaged
from expunge.core.guarantee import Guarantee
from expunge.core.models import check_saved, exactly
from expunge.core.seeds import Key
from expunge.core.tiny_worlds import tiny_shop
from expunge.models.recommenders.interactions import Ints
from expunge.models.recommenders.inverse import Inverse
from expunge.models.recommenders.model import ItemsModel, Standing
from expunge.models.recommenders.pairs import Pairs

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Floats, Progress

BLAS = "weights are compared under one build and thread count of LAPACK; the integer counts behind them anywhere"


def _check(min_raters: object, at_least: object, **positive: object) -> None:
    if not isinstance(min_raters, int) or min_raters < 1:
        raise BadInput(f"min_raters must be a positive whole number, not {min_raters!r}")
    if at_least is not None and not (isinstance(at_least, int | float) and math.isfinite(at_least)):
        raise BadInput(f"at_least must be a number or None, not {at_least!r}")
    for name, value in positive.items():
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise BadInput(f"{name} must be a positive number, not {value!r}")


@dataclass(frozen=True)
class Ease:
    """EASE: one linear weight for each two items, solved in closed form; no factors, no sampling.

    With G the counts of users who took both of two items and P = (G + penalty·I)⁻¹, the weight from item i to item j
    is -Pᵢⱼ / Pⱼⱼ (0 from an item to itself); a user's scores are the sums over what the user took.

    Attributes:
        penalty: λ, > 0; larger for more users.
        min_raters: an item that fewer users took is cold: neither counted nor recommended.
        at_least: a rating below this does not count as taken; None: every interaction counts.

    Guarantee: exact. The counts are integers and grade ``bits``; P solved from them is ``bits-here``. Right after
        forgetting, recommendations come from P corrected by rank-1 terms (within 10⁻¹⁰ of the solved one, relative);
        `state`, `digest`, saving and restoring always use P solved from the kept records' counts.
    Cost: fit O(Σ b² + d³) for baskets of b of d items; forgetting a user O(b·d) now, d³ when the state is asked for.
        8·d² bytes for P and 4·d² for the counts.
    Source: spec XL10; Steck, "Embarrassingly shallow autoencoders for sparse data" (WWW 2019). Where we differ: a
        threshold of users an item.
    """

    penalty: float = 200.0
    min_raters: int = 1
    at_least: float | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the solver and compile the kernel (a second, once), so that neither is in anybody's timing; silent."""
        Ease().fit(tiny_shop(0), Key.public(0))

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ItemsModel:
        """Return the weights of these interactions.

        Raises:
            BadData: the records are not interactions.
            TooLarge: too many items have enough users.
        """
        _check(self.min_raters, self.at_least, penalty=self.penalty)
        return ItemsModel.of(self, data, key, progress)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ItemsModel:
        """Return the model that was saved: counts are taken afresh and compared, P is taken as saved.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        _check(self.min_raters, self.at_least, penalty=self.penalty)
        model = ItemsModel.counted(self, data, key)
        d = len(model.now.pairs.words)
        saved = np.asarray(arrays.get("inverse", ()), np.float64)
        if saved.shape != (d, d) or (d and not (np.diagonal(saved) > 0).all()):
            raise StoreDamaged("the saved inverse does not fit these records")
        after = model.serving(Inverse(saved, np.diagonal(saved).copy()))
        check_saved(after, arrays)
        return after

    def served(self, pairs: Pairs) -> Inverse:
        """Return P of settled counts."""
        return Inverse.of(pairs.counts, float(self.penalty))

    def arrays(self, standing: Standing) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts, beside the names: P."""
        return {"inverse": standing.inverse.base if standing.inverse is not None else np.zeros((0, 0))}

    def scores(self, standing: Standing, history: Ints, less: Ints) -> Floats:
        """Return the scores of a history without each of some items, shape (m, d)."""
        inverse = standing.inverse or self.served(standing.pairs)
        found = np.tile(-inverse.total(history), (len(less), 1))
        rows = np.flatnonzero(np.isin(less, history) & (less >= 0))
        found[rows] += inverse.rows(less[rows])
        found /= np.where(standing.pairs.live, inverse.diagonal, np.inf)  # a dropped item's diagonal is 0
        found[:, history] += 1.0  # no item speaks for itself
        found[rows, less[rows]] -= 1.0
        return found

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here`` (the counts are ``bits``)."""
        return exactly("bits-here", BLAS)


@dataclass(frozen=True)
class ItemNeighbours:
    """Item-item neighbours: every item that a user took votes for the items most often taken with it.

    Attributes:
        n_neighbours: how many items each item votes for.
        measure: ``cosine`` (c / √(a·b)) or ``jaccard`` (c / (a + b - c)) of c users of both, a and b of either.
        shrink: added below the fraction, ≥ 0: pairs of few users count less.
        min_raters: an item that fewer users took is cold: neither counted nor recommended.
        at_least: a rating below this does not count as taken; None: every interaction counts.

    Guarantee: exact, grade ``bits``: the state is integer counts; similarities are one float expression of them.
    Cost: fit O(Σ b²) for baskets of b items; forgetting a user O(b²), and one copy of the counts when next read;
        4·d² bytes.
    Source: spec XL10; Sarwar et al., "Item-based collaborative filtering" (WWW 2001). Where we differ: shrinkage is
        added to the denominator.
    """

    n_neighbours: int = 20
    measure: Literal["cosine", "jaccard"] = "cosine"
    shrink: float = 10.0
    min_raters: int = 1
    at_least: float | None = None

    def prepare(self, say: Callable[[str], None]) -> None:
        """Compile the kernel (a second, once), so that it is in nobody's timing; silent."""
        ItemNeighbours().fit(tiny_shop(0), Key.public(0))

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> ItemsModel:
        """Return the counts of these interactions.

        Raises:
            BadData: the records are not interactions.
            TooLarge: too many items have enough users.
        """
        self._check()
        return ItemsModel.of(self, data, key, progress)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> ItemsModel:
        """Return the model that was saved; its counts are taken afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        _check(self.min_raters, self.at_least)
        if not isinstance(self.n_neighbours, int) or self.n_neighbours < 1:
            raise BadInput(f"n_neighbours must be a positive whole number, not {self.n_neighbours!r}")
        if self.measure not in ("cosine", "jaccard"):
            raise BadInput(f"measure is 'cosine' or 'jaccard', not {self.measure!r}")
        if not (isinstance(self.shrink, int | float) and 0 <= self.shrink < math.inf):
            raise BadInput(f"shrink must be a number of at least 0, not {self.shrink!r}")

    def served(self, pairs: Pairs) -> None:
        """Return nothing: the counts serve."""

    def arrays(self, standing: Standing) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts, beside the names: the counts."""
        return {"counts": standing.pairs.counts}

    def scores(self, standing: Standing, history: Ints, less: Ints) -> Floats:
        """Return the scores of a history without each of some items, shape (m, d)."""
        votes = self._votes(standing.pairs, history)
        found = np.tile(votes.sum(axis=0), (len(less), 1))
        place = {item: row for row, item in enumerate(history.tolist())}
        for row, item in enumerate(less.tolist()):
            if item in place:
                found[row] = np.delete(votes, place[item], axis=0).sum(axis=0)
        return found

    def _votes(self, pairs: Pairs, items: Ints) -> Floats:
        """Return the similarity of each of some items to its nearest ones, shape (b, d); 0 to all others."""
        both, size = pairs.counts[items].astype(np.float64), pairs.raters.astype(np.float64)
        if self.measure == "cosine":
            below = np.sqrt(np.multiply.outer(size[items], size)) + self.shrink
        else:
            below = size[items][:, None] + size - both + self.shrink
        found: Floats = np.divide(both, below, out=np.zeros_like(both), where=below > 0)
        found[np.arange(len(items)), items] = 0.0
        k = min(self.n_neighbours, found.shape[1])
        if k < found.shape[1] and len(items):
            nearest = np.argsort(-found, axis=1, kind="stable")[:, :k]  # among equals the first by name
            kept = np.take_along_axis(found, nearest, axis=1)
            found = np.zeros_like(found)
            np.put_along_axis(found, nearest, kept, axis=1)
        return found

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return exactly("bits")
