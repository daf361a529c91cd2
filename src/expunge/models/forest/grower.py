"""``Grower``: what a fitted forest asks of the learner that made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from expunge.core.dataset import Dataset
from expunge.core.seeds import Key

if TYPE_CHECKING:
    from expunge.models.kernels.splits import Rules


class Grower(Protocol):
    """The hyper-parameters of a forest, and how to fit it again."""

    @property
    def n_trees(self) -> int:
        """Trees."""
        ...

    @property
    def per_owner(self) -> int:
        """Trees that hold a subject's records."""
        ...

    @property
    def sample(self) -> int:
        """Records that a large node decides on."""
        ...

    @property
    def repair(self) -> str:
        """Whether trees are repaired at once or when they are next read."""
        ...

    @property
    def debt(self) -> float:
        """Share of the records that may be owed."""
        ...

    def rules(self, d: int, labels: tuple[str, ...]) -> Rules:
        """Return the kernels' form of the hyper-parameters."""
        ...

    def fit(self, data: Dataset, key: Key) -> Any:
        """Return the forest of these records."""
        ...
