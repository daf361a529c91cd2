"""``HeadModel``: what a learner of heads learnt: published weights, what it keeps secret, and the ledger of both."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import Action, Budget, Entry, Ledger
from expunge.core.canonical import L
from expunge.core.dataset import Dataset
from expunge.core.errors import MalformedEvidence, StoreDamaged
from expunge.core.models import Identity
from expunge.core.seeds import Key, id_bytes
from expunge.models.heads.promise import certified_as
from expunge.models.heads.slope import Slope
from expunge.models.kept import Kept
from expunge.models.logistic.kept import READ, Encoded
from expunge.models.logistic.model import noise
from expunge.models.logistic.rows import Rows
from expunge.models.scores import class_codes, cross_entropy, label_bytes

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.guarantee import Guarantee
    from expunge.core.request import Id
    from expunge.core.roles import Floats, Progress


class Head(Protocol):
    """What a model asks of the learner that made it."""

    @property
    def penalty(self) -> float:
        """λ, a record."""
        ...

    @property
    def clip(self) -> float:
        """Standard deviations at which rows are cut."""
        ...

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> HeadModel:
        """Return the model of these records."""
        ...

    def stands(self, ledger: Ledger, budget: Budget) -> tuple[float, float]:
        """Return (what the noise has to hide at this budget, what it does hide)."""
        ...

    def off(self, model: HeadModel) -> tuple[float, float]:
        """Return measured bounds from below and above on what the ledger says; 0 and that where none can be."""
        ...


@dataclass(frozen=True, eq=False)
class Parting:
    """Records on their way out of a model.

    Attributes:
        m: how many.
        kept: what is left.
        encoded: its rows; None where the encoder moves, so that every row changes.
    """

    m: int
    kept: Kept
    encoded: Encoded | None


@dataclass(frozen=True, eq=False)
class HeadModel:
    """The model of a learner of heads.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of batches, noise and hash buckets.
        kept: the records.
        encoded: encoder, classes, and rows.
        weights: what is published, shape (1 + d, q); intercepts in row 0.
        secret: weights that are not, by name.
        ledger: every version so far.
    """

    learner: Head
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    encoded: Encoded = field(repr=False)
    weights: Floats = field(repr=False)
    secret: Mapping[str, Floats] = field(repr=False)
    ledger: Ledger = field(repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, in the order of the columns of `logits`."""
        return self.encoded.labels

    @property
    def data(self) -> Dataset:
        """The kept records; what is gone leaves this process's memory."""
        self.kept.settle()
        self.encoded.settle()
        return self.kept.data

    @property
    def slope(self) -> Slope:
        """The gradient over the kept records."""
        return Slope.of(self.encoded.kept(), self.learner.penalty)

    def logits(self, data: Dataset) -> Floats:
        """Return the log-odds (two classes: 0 and the second's), or log-probabilities of each against the rest."""
        scores = np.zeros((len(data), self.weights.shape[1]))
        for start in range(0, len(data), READ):
            block = data if len(data) <= READ else data.take(np.arange(start, min(start + READ, len(data))))
            rows = Rows.of(self.encoded.scale, block, self.learner.clip)
            scores[start : start + READ] = rows.factor[:, None] * (rows.codes @ self.weights[1:]) + self.weights[0]
        if len(self.labels) <= 2:
            return np.concatenate([np.zeros((len(data), 1)), scores], axis=1)
        return -np.logaddexp(0.0, -scores)

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts, and may be published: scale, classes, weights."""
        self.data  # noqa: B018 - settles
        return {**self.encoded.scale.state(), "classes/labels": label_bytes(self.labels), "weights": self.weights}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again, all of it secret: its secret weights, the ledger, and their seal."""
        self.data  # noqa: B018 - settles
        found: dict[str, npt.NDArray[Any]] = {f"secret/{name}": array for name, array in self.secret.items()}
        found["secret/ledger"] = np.frombuffer(self.ledger.canonical(), np.uint8)
        found["secret/seal"] = np.frombuffer(seal(self.key, self.weights, self.secret, self.ledger), np.uint8)
        return {**self.encoded.scale.memory(), **found}

    def __getstate__(self) -> dict[str, Any]:
        self.data  # noqa: B018 - settles
        return self.__dict__

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def residual(self) -> tuple[float, float]:
        """Return measured bounds from below and above on what the ledger says of this version."""
        return self.learner.off(self)

    def certificate(self, budget: Budget, again: bool = False) -> Guarantee:
        """Return the promise that this version keeps at a budget; with a public key it is only empirical.

        Args:
            budget: what is to hold.
            again: nothing here; a trajectory reads the data anyway.

        Raises:
            Unsupported: no noise, a ledger that does not stand, or more to hide than the noise hides.
        """
        left = self.learner.stands(self.ledger, budget) if self.ledger.entries else (math.inf, 0.0)
        return certified_as(self.ledger, self.kept.n, self.key.is_public, (budget, *left))

    def parted(self, ids: Iterable[Id]) -> Parting:
        """Return these records on their way out; self is untouched.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: they cannot go.
        """
        gone, kept = self.kept.forget(ids)
        scale = self.encoded.scale.without(gone)
        stays = scale is not None and bool(scale[1].all())
        return Parting(len(gone), kept, self.encoded.without(gone.ids, scale[0]) if scale and stays else None)

    def version(self, parting: Parting, weights: Floats, secret: Mapping[str, Floats], entry: Entry) -> HeadModel:
        """Return the next version, after records went and the encoder stayed."""
        encoded = self.encoded if parting.encoded is None else parting.encoded
        ledger = self.ledger.adding(entry)
        return replace(self, kept=parting.kept, encoded=encoded, weights=weights, secret=secret, ledger=ledger)

    def learnt_again(self, parting: Parting, budget: Budget) -> HeadModel:
        """Return the next version, learnt from what is left; the ledger goes on."""
        model = self.learner.fit(parting.kept.data, self.key)
        first = model.ledger.entries[-1]
        entry = entry_of("refit", parting, first.residual, first.passes, budget)
        return replace(model, ledger=self.ledger.adding(entry))


def entry_of(action: Action, parting: Parting, residual: float, passes: int, budget: Budget) -> Entry:
    """Return the ledger's entry of a version."""
    return Entry(
        action=action,
        forgotten=parting.m,
        kept=parting.kept.n,
        residual=residual,
        passes=passes,
        epsilon=budget.epsilon,
        delta=budget.delta,
    )


def drawn(model_of: tuple[Key, object, npt.NDArray[Any]], start: Floats, version: int, count: int) -> Floats:
    """Return standard normal noise for steps, shape (count, D, q), by key, learner, the ids of the kept, and the start.

    Args:
        model_of: key, learner, and ids of the kept records, in order.
        start: weights before the steps, shape (D, q).
        version: number of the version.
        count: steps.
    """
    key, learner, ids = model_of
    told = hashlib.sha256(b"".join(L(id_bytes(i)) for i in ids.tolist())).hexdigest()
    wide = np.broadcast_to(start, (count, *start.shape))
    named = f"{learner!r} {told}"
    return noise(key, named, np.ascontiguousarray(wide), (version, len(ids)))


def seal(key: Key, weights: Floats, secret: Mapping[str, Floats], ledger: Ledger) -> bytes:
    """Return what ties weights, secret weights and their ledger together: nobody without the key can change any."""
    told = L(np.ascontiguousarray(weights + 0.0, "<f8").tobytes()) + L(ledger.canonical())
    for name in sorted(secret):
        told += L(name.encode()) + L(np.ascontiguousarray(secret[name] + 0.0, "<f8").tobytes())
    return hmac.digest(key.bytes, b"expunge/heads/v1\n" + told, "sha256")


def opened(
    arrays: Arrays, shape: tuple[int, int], names: tuple[str, ...], key: Key
) -> tuple[Floats, dict[str, Floats], Ledger]:
    """Return (published weights, secret weights, ledger) of saved arrays, whose seal is whole.

    Args:
        arrays: state and memory.
        shape: of the weights.
        names: of secret weights that may be there.
        key: that sealed them.

    Raises:
        StoreDamaged: arrays that do not fit, were changed, or are another key's.
    """
    try:
        ledger = Ledger.from_bytes(np.asarray(arrays.get("secret/ledger", ()), np.uint8).tobytes())
    except MalformedEvidence as error:
        raise StoreDamaged("the saved ledger cannot be read") from error
    weights = _read(arrays, "weights", shape)
    secret = {name: _read(arrays, f"secret/{name}", shape) for name in names if f"secret/{name}" in arrays}
    given = np.asarray(arrays.get("secret/seal", ()), np.uint8).tobytes()
    if not hmac.compare_digest(given, seal(key, weights, secret, ledger)):
        raise StoreDamaged("the saved weights or their ledger were changed, or are another key's")
    return weights, secret, ledger


def _read(arrays: Arrays, name: str, shape: tuple[int, int]) -> Floats:
    found = np.asarray(arrays.get(name, ()), np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise StoreDamaged(f"the saved array {name!r} does not fit these records")
    return found
