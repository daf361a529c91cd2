"""``LangevinLogistic``: logistic heads learnt by projected noisy steps over keyed batches (U36)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import Budget, Ledger
from expunge.core.seeds import Key
from expunge.core.trajectories import Curve, below, langevin_distance, zcdp_rho
from expunge.models.draws import keyed_words
from expunge.models.heads.model import drawn
from expunge.models.heads.slope import Slope, curve_of, radius
from expunge.models.heads.start import HeadLearner, check_counts, check_numbers, ledger_of
from expunge.models.logistic.kept import Encoded

if TYPE_CHECKING:
    from expunge.core.roles import Floats, Progress

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class LangevinLogistic(HeadLearner):
    """Logistic regression by w ← Π(w - η∇F_B(w) + √(2η)σξ), batch after batch; k > 2 classes each against the rest.

    The batch of a record is a keyed hash of its id. A batch has 2ʲ slots, the fewest that hold the largest; its
    gradient is the sum over its records divided by the slots. So a record that goes leaves an empty slot, and no
    other record's place changes. The last iterate is what is published, and all there is to keep.

    Attributes:
        penalty: λ, > 0.
        sigma: σ > 0, the noise; weights end up about σ/√λ around the minimum.
        clip: rows are cut at so many standard deviations, all columns together; ‖x‖ ≤ √2 then holds whatever the data.
        batches: n/b, steps of an epoch.
        epochs: T.

    Guarantee: certified (ε, δ) through `expunge.unlearners.certified.langevin`; retraining is exact, ``bits-here``.
    Cost: T passes, and as many noise vectors as steps.
    Source: spec U36; Chien, Wang, Chen and Li (NeurIPS 2024). Where we differ: slots by a keyed hash, so that
        retraining from the kept records *is* the process with empty slots; their step from the stationary law is left
        out, since both processes start at zero.
    """

    penalty: float = 1e-2
    sigma: float = 1e-2
    clip: float = 3.0
    batches: int = 4
    epochs: int = 150

    def learnt(
        self, encoded: Encoded, key: Key, progress: Progress | None
    ) -> tuple[Floats, dict[str, Floats], tuple[float, int]]:
        """Return the weights after T epochs; nothing is secret, and nothing is left to hide."""
        zero = np.zeros((1 + encoded.now.rows.codes.shape[1], encoded.now.rows.answers.shape[1]))
        return self.walked(encoded, key, zero, (1, self.epochs)), {}, (0.0, self.epochs)

    def walked(self, encoded: Encoded, key: Key, weights: Floats, version: tuple[int, int]) -> Floats:
        """Return weights after some epochs over the kept rows.

        Args:
            encoded: the rows.
            key: of batches and noise.
            weights: where to start, shape (D, q).
            version: (number of the version, epochs).
        """
        encoded.settle()
        ids, (number, epochs) = encoded.now.ids, version
        places = self.places(ids, key)
        order, slots = np.argsort(places, kind="stable"), slots_of(places)
        slope = Slope.of(encoded.kept().take(order), self.penalty)
        ends = np.searchsorted(places[order], np.arange(self.batches + 1))
        stride, most = self.stride(slope.curve), radius(self.penalty, slope.shape[1])
        xi = drawn((key, self, ids), weights, number, epochs * self.batches)
        for done in range(epochs * self.batches):
            at = done % self.batches
            gradient = slope.total(weights, slice(ends[at], ends[at + 1])) / slots + self.penalty * weights
            weights = weights - stride * gradient + math.sqrt(2 * stride) * self.sigma * xi[done]
            weights = weights * min(1.0, most / max(float(np.linalg.norm(weights)), 1e-300))
        return weights

    def places(self, ids: npt.NDArray[Any], key: Key) -> Ints:
        """Return the batch of each record, shape (n,): a keyed hash of its id alone."""
        found: Ints = (keyed_words(key, ids, "batch") % np.uint64(self.batches)).astype(np.int64)
        return found

    def stride(self, curve: Curve) -> float:
        """Return η = 1/M."""
        return below(1 / curve.smooth)

    def apart(self, slots: int, heads: int) -> float:
        """Return Z of one record: how far it ever drives two of these processes apart."""
        curve = curve_of(self.penalty, heads)
        return langevin_distance(curve, self.stride(curve), slots, self.batches)

    def stands(self, ledger: Ledger, budget: Budget) -> tuple[float, float]:
        """Return (the shift that tells as much as this version, what may be told), both by zCDP."""
        return ledger.residual, below(ledger.sigma * math.sqrt(2 * zcdp_rho(budget.epsilon, budget.delta)))

    @property
    def empty(self) -> Ledger:
        """The ledger before the first entry."""
        return ledger_of(self.sigma, penalty=self.penalty, batches=self.batches, epochs_of_a_fit=self.epochs)

    def check(self) -> None:
        """Refuse hyper-parameters that cannot be.

        Raises:
            BadInput: naming one.
        """
        check_numbers(penalty=self.penalty, sigma=self.sigma, clip=self.clip)
        check_counts(batches=self.batches, epochs=self.epochs)


def slots_of(places: Ints) -> int:
    """Return b: the least power of two that no batch exceeds."""
    most = int(np.bincount(places).max())
    return 1 << (most - 1).bit_length()
