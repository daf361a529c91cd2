"""``PrivateLogistic``: logistic heads learnt with differential privacy, which hides small groups (U39)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import LEAST_DELTA, Budget, Ledger, above, gaussian_sigma
from expunge.core.errors import BadInput
from expunge.core.sampled import Sampled
from expunge.core.seeds import Key, unit
from expunge.core.trajectories import below, hides
from expunge.models.draws import keyed_words, mixed
from expunge.models.heads.model import drawn
from expunge.models.heads.slope import Slope
from expunge.models.heads.start import HeadLearner, check_counts, check_numbers, ledger_of

if TYPE_CHECKING:
    from expunge.core.roles import Floats, Progress
    from expunge.models.logistic.kept import Encoded

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PrivateLogistic(HeadLearner):
    """Logistic regression by T noisy steps on sampled records; k > 2 classes each against the rest.

    A step sums the gradients of records drawn with probability q (each at most ‖x‖√k long by construction: nothing is
    clipped), adds noise of z such lengths, and divides by qN. N is the number of records rounded up to a power of two:
    the very number would tell of one record more or less.

    Attributes:
        penalty: λ, > 0.
        noise: z > 0, over the largest norm of a gradient.
        clip: rows are cut at so many standard deviations, all columns together; ‖x‖ ≤ √2 then holds whatever the data.
        rate: q, in (0, 1]; 1 = all records in every step, whose accounting is exact.
        n_steps: T.

    Guarantee: certified (ε, δ) through `expunge.unlearners.certified.group_privacy`; retraining is exact,
        ``bits-here``.
    Cost: T passes over q of the records, and a noise vector each.
    Source: spec U39; Abadi et al. (CCS 2016). Where we differ: heads whose gradients are bounded need no clipping.
    """

    penalty: float = 1e-2
    noise: float = 200.0
    clip: float = 3.0
    rate: float = 1.0
    n_steps: int = 100

    def learnt(
        self, encoded: Encoded, key: Key, progress: Progress | None
    ) -> tuple[Floats, dict[str, Floats], tuple[float, int]]:
        """Return the weights after T noisy steps; nothing is secret, and nothing is left to hide."""
        slope, ids = Slope.of(encoded.now.rows, self.penalty), encoded.now.ids
        weights, words = np.zeros(slope.shape), keyed_words(key, ids, "sampled")
        xi = drawn((key, self, ids), weights, 1, self.n_steps)
        stride, lot = below(1 / slope.curve.smooth), self.rate * size_class(len(ids))
        for done in range(self.n_steps):
            total = slope.total(weights, None if self.rate == 1 else np.flatnonzero(self._taken(words, done)))
            total = total + self.noise * slope.curve.steep * xi[done]
            weights = weights - stride * (total / lot + self.penalty * weights)
        return weights, {}, (0.0, self.n_steps)

    @property
    def sampled(self) -> Sampled:
        """What the accountant has to know."""
        return Sampled(self.rate, self.noise, self.n_steps)

    def telling(self, group: int, epsilon: float) -> float:
        """Return the shift, in units of the noise, that tells as much at ε as this model of g records together."""
        delta = self.sampled.delta(epsilon, group) if group else 0.0
        return 0.0 if not group else above(self.noise / gaussian_sigma(epsilon, max(delta, LEAST_DELTA)))

    def stands(self, ledger: Ledger, budget: Budget) -> tuple[float, float]:
        """Return (what all records forgotten since the fit tell at this ε, what may be told)."""
        return self.telling(gone_since_fit(ledger), budget.epsilon), hides(ledger.sigma, budget)

    def _taken(self, words: npt.NDArray[np.uint64], step: int) -> Mask:
        salt = mixed(np.array([step + 1], np.uint64))
        return np.asarray(unit(mixed(words ^ salt)) < self.rate)

    @property
    def empty(self) -> Ledger:
        """The ledger before the first entry."""
        return ledger_of(self.noise, penalty=self.penalty, sampling_rate=self.rate, noisy_steps=self.n_steps)

    def check(self) -> None:
        """Refuse hyper-parameters that cannot be.

        Raises:
            BadInput: naming one.
        """
        check_numbers(penalty=self.penalty, noise=self.noise, clip=self.clip, rate=self.rate)
        check_counts(n_steps=self.n_steps)
        if self.rate > 1:
            raise BadInput(f"rate is a probability above 0, not {self.rate!r}")


def size_class(n: int) -> int:
    """Return n rounded up to a power of two."""
    return 1 << (n - 1).bit_length()


def gone_since_fit(ledger: Ledger) -> int:
    """Return how many records left since the last fit."""
    for entry in reversed(ledger.entries):
        if entry.action in ("fit", "refit"):
            return entry.kept - ledger.entries[-1].kept
    return 0
