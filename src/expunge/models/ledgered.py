"""``LedgeredNetwork``: a network whose model keeps a ledger, so that noise in its weights can certify something."""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import Budget, Constant, Entry, Ledger
from expunge.core.canonical import L
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, MalformedEvidence, StoreDamaged
from expunge.core.seeds import Key
from expunge.core.trajectories import below, hides, zcdp_rho
from expunge.models.heads.promise import certified_as
from expunge.models.modules import remembers_statistics
from expunge.models.network import Network
from expunge.models.network_model import NetworkModel
from expunge.models.wrapped import Wrapped, check_target

if TYPE_CHECKING:
    from collections.abc import Callable

    from expunge.core.canonical import Arrays
    from expunge.core.guarantee import Guarantee
    from expunge.core.roles import Floats, Progress


HEAD = Network(hidden=(), form="plain", epochs=30, rate=0.2, decay=1e-2, schedule="linear")


@dataclass(frozen=True)
class LedgeredNetwork:
    """A network of classes that learns nothing of the records but its weights, and keeps a ledger of what left.

    Attributes:
        network: how it learns; its form must be ``plain`` (no encoder is learnt from records), without running
            statistics, which weights' noise would not hide. By default a head without hidden layers: the noise that
            hides p weights grows with √p, and what it costs is least where the training after it ends at one minimum.

    Guarantee: certified (ε, δ) through `expunge.unlearners.certified.noisy_network`; retraining is exact,
        ``bits-here``.
    Cost: the network's.
    Source: spec U37 and U38.
    """

    network: Network = HEAD

    def prepare(self, say: Callable[[str], None]) -> None:
        """Get the network ready."""
        self.network.prepare(say)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> LedgeredModel:
        """Return the network of these records, with a ledger that begins.

        Raises:
            BadInput: the network is scaled by the records, or its layers keep statistics of them.
            BadTarget, ClassVanished, BadData: nothing to learn, or a target of numbers, whose ruler is learnt.
        """
        self.check(data)
        model = self.network.fit(data, key, progress)
        if remembers_statistics(model.module):
            raise BadInput("layers keep running statistics of the records", hint="Use a network that has none.")
        entry = Entry(action="fit", forgotten=0, kept=len(data), residual=0.0, passes=self.network.epochs)
        return LedgeredModel(self, model, key, len(data), EMPTY.adding(entry))

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> LedgeredModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records, or the ledger does not stand.
        """
        self.check(data)
        model = self.network.restore(arrays, data, key)
        try:
            ledger = Ledger.from_bytes(np.asarray(arrays.get("secret/ledger", ()), np.uint8).tobytes())
        except MalformedEvidence as error:
            raise StoreDamaged("the saved ledger cannot be read") from error
        found = LedgeredModel(self, model, key, len(data), ledger)
        given = np.asarray(arrays.get("secret/seal", ()), np.uint8).tobytes()
        if not hmac.compare_digest(given, found.seal()):
            raise StoreDamaged("the saved weights or their ledger were changed, or are another key's")
        if (ledger.sigma, ledger.constants) != (EMPTY.sigma, EMPTY.constants) or ledger.broken(len(data)):
            raise StoreDamaged("the saved ledger does not stand for these records")
        return found

    def check(self, data: Dataset) -> None:
        """Refuse what would carry records past the noise.

        Raises:
            BadInput: a learnt encoder.
            BadTarget: numbers.
        """
        if self.network.form != "plain":
            raise BadInput("the network's columns are scaled by the records", hint='Use Network(form="plain").')
        check_target(data, "a certified network")


EMPTY = Ledger(sigma=1.0, constants=(Constant(name="noise in units of itself", value=1.0),))
"""The ledger before the first entry: residuals are shifts in units of the noise that each removal drew for itself."""


@dataclass(frozen=True, eq=False)
class LedgeredModel(Wrapped):
    """A network and its ledger.

    Attributes:
        learner: what made it.
        model: the network.
        key: of the noise.
        n: records that it was learnt from and has not forgotten.
        ledger: every version so far.
    """

    learner: LedgeredNetwork
    model: NetworkModel = field(repr=False)
    key: Key
    n: int
    ledger: Ledger = field(repr=False)

    def features(self, data: Dataset) -> Floats:
        """Return what the last linear layer is asked, shape (n, d)."""
        return self.model.features(data)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the ledger and its seal."""
        ledger = np.frombuffer(self.ledger.canonical(), np.uint8)
        return {"secret/ledger": ledger, "secret/seal": np.frombuffer(self.seal(), np.uint8)}

    def seal(self) -> bytes:
        """Return what ties weights and ledger together: nobody without the key can change either."""
        told = L(self.digest().encode()) + L(self.ledger.canonical())
        return hmac.digest(self.key.bytes, b"expunge/ledgered/v1\n" + told, "sha256")

    def residual(self) -> tuple[float, float]:
        """Return 0 and what the ledger says: a law cannot be measured on one model."""
        return 0.0, self.ledger.residual

    def certificate(self, budget: Budget, again: bool = False) -> Guarantee:
        """Return the promise that this version keeps at a budget; with a public key it is only empirical.

        Raises:
            Unsupported: a ledger that does not stand, or more to hide than the noise hides.
        """
        left, hidden = math.inf, 0.0
        if self.ledger.entries:
            left, hidden = self.ledger.residual, hides(1.0, budget)
            if self.ledger.entries[-1].action == "noised":
                hidden = below(math.sqrt(2 * zcdp_rho(budget.epsilon, budget.delta)))
        return certified_as(self.ledger, self.n, self.key.is_public, (budget, left, hidden), ("model",))

    def version(self, model: NetworkModel, entry: Entry) -> LedgeredModel:
        """Return the next version."""
        return replace(self, model=model, n=entry.kept, ledger=self.ledger.adding(entry))
