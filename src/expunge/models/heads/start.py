"""``HeadLearner``: what learners of heads do alike: check numbers, encode records, keep a ledger, read it again."""

from __future__ import annotations

from abc import ABC, abstractmethod
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar

from expunge.core.accountant import Budget, Constant, Entry, Ledger
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, StoreDamaged, TooLarge
from expunge.core.models import Identity, check_saved, class_labels
from expunge.core.seeds import Key
from expunge.models.encoding.scale import Scale
from expunge.models.heads.model import Head, HeadModel, opened
from expunge.models.kept import Kept
from expunge.models.linear.gram import MAX_COLUMNS
from expunge.models.logistic.kept import Encoded
from expunge.models.logistic.rows import REACH

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Floats, Progress

LEAST = 1e-12
"""The least positive number that a hyper-parameter may be, and one over the largest."""


class HeadLearner(ABC):
    """A learner of heads; a subclass is a frozen dataclass of hyper-parameters that takes the steps.

    Attributes:
        secrets: names of the secret weights that a model of it may have.
    """

    secrets: ClassVar[tuple[str, ...]] = ()

    @property
    @abstractmethod
    def penalty(self) -> float:
        """λ, a record."""

    @property
    @abstractmethod
    def clip(self) -> float:
        """Standard deviations at which rows are cut."""

    @property
    @abstractmethod
    def empty(self) -> Ledger:
        """The ledger before the first entry."""

    @abstractmethod
    def check(self) -> None:
        """Refuse hyper-parameters that cannot be.

        Raises:
            BadInput: naming one.
        """

    @abstractmethod
    def learnt(
        self, encoded: Encoded, key: Key, progress: Progress | None
    ) -> tuple[Floats, dict[str, Floats], tuple[float, int]]:
        """Return (weights to publish, secret weights, (their residual, passes)) of a fit on rows."""

    @abstractmethod
    def stands(self, ledger: Ledger, budget: Budget) -> tuple[float, float]:
        """Return (what the noise has to hide at this budget, what it does hide)."""

    def prepare(self, say: object) -> None:
        """Load the elementary functions, so that their import is in nobody's timing; silent."""
        import_module("scipy.special")

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> HeadModel:
        """Return the model of these records, whatever their order.

        Raises:
            BadTarget, ClassVanished, BadData: nothing to learn, or not a target for this learner.
            TooLarge: too many records or columns.
            BadInput: a hyper-parameter cannot be.
        """
        self.check()
        encoded = encoded_of(self, data, key)
        weights, secret, (residual, passes) = self.learnt(encoded, key, progress)
        entry = Entry(action="fit", forgotten=0, kept=len(data), residual=residual, passes=passes)
        return made(self, data, key, encoded, (weights, secret, self.empty.adding(entry)))

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> HeadModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records, or the ledger does not stand.
        """
        self.check()
        return reopened(self, self.empty, arrays, (data, key), self.secrets)

    def off(self, model: HeadModel) -> tuple[float, float]:
        """Return bounds on what the ledger says: 0 and that, because a law cannot be measured on one model."""
        return 0.0, model.ledger.residual


def check_numbers(**given: object) -> None:
    """Refuse what is no number from `LEAST` to 1/`LEAST`.

    Raises:
        BadInput: naming one.
    """
    for name, value in given.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not (number and LEAST <= value <= 1 / LEAST):  # type: ignore[operator]
            raise BadInput(f"{name} must be a number from {LEAST:g} to {1 / LEAST:g}, not {value!r}")


def check_counts(**given: object) -> None:
    """Refuse what is no whole number of 1 or more.

    Raises:
        BadInput: naming one.
    """
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise BadInput(f"{name} must be a whole number, 1 or more, not {value!r}")


def encoded_of(learner: Head, data: Dataset, key: Key, progress: Progress | None = None) -> Encoded:
    """Return the records as rows of declared length, in the order of their ids.

    Raises:
        BadTarget, ClassVanished, BadData: nothing to learn, or not a target for this learner.
        TooLarge: too many records or columns.
    """
    labels, scale = class_labels(data), Scale.of(data, key)
    if len(scale.names) >= MAX_COLUMNS:
        raise TooLarge(f"{len(scale.names)} encoded columns, at most {MAX_COLUMNS - 1}", limit=MAX_COLUMNS - 1)
    return Encoded.of(scale, labels, data, learner.clip, progress)


def ledger_of(sigma: float, **constants: float) -> Ledger:
    """Return an empty ledger over closed-form constants; the norm bound of the rows is always one."""
    named = {**constants, "row norm at most": REACH}
    return Ledger(sigma=sigma, constants=tuple(Constant(name=k.replace("_", " "), value=v) for k, v in named.items()))


def made(
    learner: Head, data: Dataset, key: Key, encoded: Encoded, found: tuple[Floats, dict[str, Floats], Ledger]
) -> HeadModel:
    """Return the model of published weights, secret weights and a ledger."""
    return HeadModel(learner, Identity.of(learner, data, key), key, Kept.of(data), encoded, *found)


def reopened(
    learner: Head, empty: Ledger, arrays: Arrays, given: tuple[Dataset, Key], names: tuple[str, ...]
) -> HeadModel:
    """Return the model that was saved as its state and memory.

    Args:
        learner: whose it is.
        empty: its ledger before the first entry.
        arrays: state and memory.
        given: the kept records, and the key.
        names: of secret weights that may be there.

    Raises:
        StoreDamaged: the arrays are not those of this learner over these records, or the ledger does not stand.
    """
    data, key = given
    encoded = encoded_of(learner, data, key)
    shape = (1 + len(encoded.scale.names), encoded.now.rows.answers.shape[1])
    weights, secret, ledger = opened(arrays, shape, names, key)
    if reason := ledger.broken(len(data)):
        raise StoreDamaged(f"the saved ledger does not stand: {reason}")
    if (ledger.sigma, ledger.constants) != (empty.sigma, empty.constants):
        raise StoreDamaged("the saved ledger is another model's: its noise or its constants differ")
    model = made(learner, data, key, encoded, (weights, secret, ledger))
    check_saved(model, arrays)
    return model
