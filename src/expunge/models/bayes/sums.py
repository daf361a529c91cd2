"""``SumBayes``: Gaussian, multinomial and Bernoulli naive Bayes on integer sums by class, forgotten by subtraction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadData, BadInput
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.change import coming, forecast, going
from expunge.models.encoding.scale import UNIT, Codes, Mask, Scale
from expunge.models.kept import Kept
from expunge.models.scores import class_codes, cross_entropy, known_codes, label_bytes

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]
Likelihood = Literal["gaussian", "multinomial", "bernoulli"]
LIKELIHOODS: tuple[Likelihood, ...] = get_args(Likelihood)
BLOCK = 8192


@dataclass(frozen=True)
class SumBayes:
    """Naive Bayes whose columns are normal numbers, counts, or yes and no, given the class.

    Attributes:
        likelihood: ``gaussian`` (any column), ``multinomial`` (counts: texts, or vectors of whole numbers from 0), or
            ``bernoulli`` (texts, truth values, or such vectors: above 0 or not).
        smoothing: added to every count; of ``gaussian``, to every variance, in squared codes (1/256 of a standard
            deviation, or one step of whole numbers). Above 0.

    Guarantee: exact, grade ``bits``: codes are int16, and Σx and Σx² by class whole numbers below 2⁵³ (n < 2²²).
    Cost: fit O(n·d); forgetting m records O(m·d + k·d), one fit where a scale moves.
    Source: spec XL06 and X05, encoders XE02-XE05.
    """

    likelihood: Likelihood = "gaussian"
    smoothing: float = 1.0

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> SumBayesModel:
        """Return the sums of these records.

        Raises:
            BadTarget, ClassVanished, BadData, TooLarge: nothing to learn, or no columns for this likelihood.
        """
        self._check()
        began = time.perf_counter()
        labels = class_labels(data)
        self._check_columns(data)
        scale = Scale.of(data, key)
        sums = ClassSums.of(self.likelihood, scale, data, labels)
        identity, fit_s = Identity.of(self, data, key), time.perf_counter() - began
        return SumBayesModel(self, identity, key, Kept.of(data), scale, labels, sums, fit_s)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> SumBayesModel:
        """Return the model that was saved as its state and memory, made afresh and compared.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.fit(data, key)
        check_saved(model, arrays)
        return model

    def _check(self) -> None:
        if self.likelihood not in LIKELIHOODS:
            raise BadInput(f"likelihood must be one of {', '.join(LIKELIHOODS)}, not {self.likelihood!r}")
        if not (isinstance(self.smoothing, int | float) and 0 < self.smoothing < float("inf")):
            raise BadInput(f"smoothing must be a positive number, not {self.smoothing!r}")

    def _check_columns(self, data: Dataset) -> None:
        if self.likelihood == "gaussian":
            return
        fine = {"text"} if self.likelihood == "multinomial" else {"text", "boolean"}
        for name, column in data.columns.items():
            whole = column.kind == "vector" and column.values.dtype.kind in "iu" and (column.values >= 0).all()
            if column.kind not in fine and not whole:
                hint = "Take the likelihood gaussian, or give texts, or vectors of whole numbers from 0."
                raise BadData(f"column {name!r} holds no counts, which {self.likelihood} is about", hint=hint)


@dataclass(frozen=True, eq=False)
class ClassSums:
    """Sums over the records of each class.

    Attributes:
        sizes: records, shape (k,).
        sums: Σx of the codes, shape (k, d); of ``bernoulli`` how many are above 0.
        squares: Σx², shape (k, d); of ``gaussian`` alone, else (k, 0).
    """

    sizes: Ints
    sums: Ints
    squares: Ints

    @classmethod
    def of(cls, likelihood: Likelihood, scale: Scale, data: Dataset, labels: tuple[str, ...]) -> ClassSums:
        """Return the sums of records."""
        codes, y, k = counted(likelihood, scale, data), known_codes(data, labels), len(labels)
        sums, squares = np.zeros((k, codes.shape[1])), np.zeros((k, codes.shape[1]))
        for start in range(0, len(codes), BLOCK):
            block = codes[start : start + BLOCK].astype(np.float64)
            member = (y[start : start + BLOCK] == np.arange(k)[:, None]).astype(np.float64)
            sums += member @ block
            if likelihood == "gaussian":
                squares += member @ (block * block)
        kept = squares if likelihood == "gaussian" else squares[:, :0]
        sizes = np.bincount(y, minlength=k).astype(np.int64)
        return cls(sizes, sums.astype(np.int64), kept.astype(np.int64))

    def plus(self, other: ClassSums, sign: int) -> ClassSums:
        """Return the sums of both, or (sign -1) the difference."""
        parts = ((self.sizes, other.sizes), (self.sums, other.sums), (self.squares, other.squares))
        return ClassSums(*(mine + sign * theirs for mine, theirs in parts))

    def columns(self, left: Mask) -> ClassSums:
        """Return the sums of these columns."""
        if left.all():
            return self
        squares = self.squares[:, left] if self.squares.shape[1] else self.squares
        return ClassSums(self.sizes, self.sums[:, left], squares)

    def widened(self, there: Mask) -> ClassSums:
        """Return the sums among new columns, in which these records have only zeros."""
        if there.all():
            return self
        sums = np.zeros((len(self.sizes), len(there)), np.int64)
        squares = sums.copy() if self.squares.shape[1] else self.squares
        sums[:, there] = self.sums
        if self.squares.shape[1]:
            squares[:, there] = self.squares
        return ClassSums(self.sizes, sums, squares)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return the sums as arrays."""
        return {"classes/sizes": self.sizes, "sums": self.sums, "squares": self.squares}


def counted(likelihood: Likelihood, scale: Scale, data: Dataset) -> Codes:
    """Return what is added up of records: their codes; of ``bernoulli`` 1 for yes, and 0 for no and for missing."""
    codes = scale.encode(data)
    if likelihood != "bernoulli":
        return codes
    half = [0 if r.kind == "vector" else UNIT // 2 for r in scale.rulers.every for _ in range(r.own + r.gaps)]
    return (codes > np.array(half, np.int16)).astype(np.int16)


@dataclass(frozen=True, eq=False)
class SumBayesModel:
    """The model of a `SumBayes`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the hash buckets.
        kept: the records.
        scale: the encoder.
        labels: the classes, in the order of the columns of `logits`.
        sums: by class.
        fit_s: seconds of the last fit.
    """

    learner: SumBayes
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    scale: Scale = field(repr=False)
    labels: tuple[str, ...]
    sums: ClassSums = field(repr=False)
    fit_s: float = 0.0

    @property
    def data(self) -> Dataset:
        """The kept records."""
        return self.kept.data

    def logits(self, data: Dataset) -> Floats:
        """Return log P(class) + Σ log P(column | class), shape (n, k)."""
        codes = counted(self.learner.likelihood, self.scale, data)
        weigh = {"gaussian": self._normal, "multinomial": self._counts, "bernoulli": self._flags}
        flat, linear, bent = weigh[self.learner.likelihood]()
        sizes = self.sums.sizes
        prior = np.log(sizes + 1.0) - np.log(sizes.sum() + len(sizes))
        found = np.empty((len(codes), len(sizes)))
        for start in range(0, len(codes), BLOCK):
            block = codes[start : start + BLOCK].astype(np.float64)
            scores = block @ linear.T + (flat + prior)
            found[start : start + BLOCK] = scores if bent is None else scores + (block * block) @ bent.T
        return found

    def _normal(self) -> tuple[Floats, Floats, Floats | None]:
        n = np.maximum(self.sums.sizes, 1)[:, None]
        mean = self.sums.sums / n
        spread = np.maximum(self.sums.squares / n - mean * mean, 0.0) + self.learner.smoothing
        flat = -0.5 * (np.log(spread) + mean * mean / spread).sum(axis=1)
        return flat, mean / spread, -0.5 / spread

    def _counts(self) -> tuple[Floats, Floats, Floats | None]:
        one = 1 if all(ruler.kind == "vector" for ruler in self.scale.rulers.every) else UNIT
        counts = self.sums.sums / one + self.learner.smoothing
        linear = (np.log(counts) - np.log(counts.sum(axis=1, keepdims=True))) / one
        return np.zeros(len(counts)), linear, None

    def _flags(self) -> tuple[Floats, Floats, Floats | None]:
        n, a = self.sums.sizes[:, None], self.learner.smoothing
        yes, no = np.log(self.sums.sums + a) - np.log(n + 2 * a), np.log(n - self.sums.sums + a) - np.log(n + 2 * a)
        return no.sum(axis=1), yes - no, None

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: scale, classes and sums."""
        self.kept.settle()
        return {**self.scale.state(), **self.sums.state(), "classes/labels": label_bytes(self.labels)}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again: the scale's counts."""
        return self.scale.memory()

    @property
    def nbytes(self) -> int:
        """The bytes of state and memory."""
        return sum(a.nbytes for a in (*self.state().values(), *self.memory().values()))

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, in bits."""
        return exactly("bits")

    def without(self, ids: Iterable[Id]) -> SumBayesModel:
        """Return the model that never saw these records; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
        """
        change = going(self.kept, self.scale, ids)
        if not len(change.records):
            return self
        if change.after is None:
            return self.learner.fit(change.kept.data, self.key)
        scale, left = change.after
        part = ClassSums.of(self.learner.likelihood, self.scale, change.records, self.labels)
        return replace(self, kept=change.kept, scale=scale, sums=self.sums.plus(part, -1).columns(left))

    def adding(self, data: Dataset) -> SumBayesModel:
        """Return the model that has seen these records as well; self is untouched.

        Raises:
            DuplicateId: a record is known already.
            BadData, BadTarget: other columns, or another target.
            TooLarge: there would be too many.
        """
        change = coming(self.kept, self.scale, data)
        if not len(data):
            return self
        if change.after is None or (data.target is not None and not set(data.target.vocabulary) <= set(self.labels)):
            return self.learner.fit(change.kept.data, self.key)
        self.learner._check_columns(data)
        scale, known = change.after
        part = ClassSums.of(self.learner.likelihood, scale, data, self.labels)
        return replace(self, kept=change.kept, scale=scale, sums=self.sums.widened(known).plus(part, 1))

    def plan(self, ids: Sequence[Id]) -> Prediction:
        """Return what `without` would cost; changes nothing."""
        change = going(self.kept, self.scale, ids)
        if change.after is None:
            return forecast("a scale moves, so the sums are taken again", self.fit_s, 1.0, change.kept.n)
        m = len(change.records)
        return forecast("subtracts the records' sums", self.fit_s, m / (change.kept.n + m), m)
