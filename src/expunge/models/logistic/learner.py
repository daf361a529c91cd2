"""``Logistic``: l2-regularised logistic regression, published with keyed noise, for certified removal."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np

from expunge.core.accountant import Constant, Entry, Ledger
from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, MalformedEvidence, StoreDamaged, TooLarge
from expunge.core.models import Identity, check_saved, class_labels
from expunge.core.seeds import Key
from expunge.models.encoding.scale import Scale
from expunge.models.kept import Kept
from expunge.models.linear.gram import MAX_COLUMNS
from expunge.models.logistic.core import Core, anchored, begin, check_minimum
from expunge.models.logistic.kept import Encoded
from expunge.models.logistic.model import LogisticModel, seal
from expunge.models.logistic.rows import REACH

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Floats, Progress

LEAST = 1e-12
"""The least penalty, noise and clip, and one over the largest; float64 could not tell what lies beyond."""


@dataclass(frozen=True)
class Logistic:
    """Logistic regression; of more than two classes each against the rest.

    Minimises ``Σ ℓ(w·x) + (λn/2)‖w‖²`` to the limit of float64, and publishes ``w + b/(λn)``, b ~ N(0, σ²I). The
    unpublished w, the curvature and b are secret. b comes from the key, the number of the version in the ledger, n and
    w: each version has a draw of its own, also where w stays the same, and one asked for twice gives one answer. Two
    models made of one (by taking this or that record out) share a draw only where n and w are equal as well.
    What is published is rounded to a grid of about 2⁻²⁰ noise deviations, so that its low bits do not give w away.

    Attributes:
        penalty: λ, a record, > 0.
        sigma: σ, the noise in units of the gradient, ≥ 0. A removal may leave a gradient of up to σε/c, so more noise
            lets more removals go without reading the data. 0 = no noise, and no certified removal.
        clip: rows are cut at so many standard deviations, all columns together; ‖x‖ ≤ 1 then holds whatever the data.

    Guarantee: certified (ε, δ) through `expunge.unlearners.certified.removal`; retraining is exact, ``bits-here``.
    Cost: fit about 10 passes and n·d² for the curvature of each head; 2 d² numbers of memory a head, int16 codes.
    Source: spec XL05 and U33; Guo et al. (ICML 2020). Where we differ: their noise enters the objective and is shared
        by all versions; then an observer of two versions sees their difference, a request that reacts to a version
        finds no randomness left, and the residual depends on the noise, which the theorem does not treat. Fresh noise
        in the objective would need the data for every version. Noise b/(λn) on the weights hides every residual of
        norm β as well as b in the objective does, by strong convexity: |w - w*| ≤ β/(λn), so the rule β ≤ σε/c is
        the same; it is fresh for each version, independent of the residual, and costs d numbers.
    """

    penalty: float = 1e-4
    sigma: float = 1e-4
    clip: float = 3.0

    def prepare(self, say: Callable[[str], None]) -> None:
        """Load the elementary functions, so that their import is in nobody's timing; silent."""
        import_module("scipy.special")

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> LogisticModel:
        """Return the model of these records, whatever their order.

        Raises:
            BadTarget, ClassVanished, BadData: nothing to learn, or not a target for this learner.
            TooLarge: too many records or columns.
            BadInput: a hyper-parameter cannot be, or the penalty is too small for float64 to find the minimum.
        """
        self.check()
        labels, scale = class_labels(data), Scale.of(data, key)
        if len(scale.names) >= MAX_COLUMNS:
            raise TooLarge(f"{len(scale.names)} encoded columns, at most {MAX_COLUMNS - 1}", limit=MAX_COLUMNS - 1)
        encoded = Encoded.of(scale, labels, data, self.clip, progress)
        core, passes = begin(encoded.now.rows, self.penalty)
        check_minimum(core, passes)
        entry = Entry(action="fit", forgotten=0, kept=len(data), residual=core.residual, passes=passes)
        ledger = self._ledger().adding(entry)
        return LogisticModel(self, Identity.of(self, data, key), key, Kept.of(data), encoded, core, ledger)

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> LogisticModel:
        """Return the model that was saved as its state and memory; gradient and curvature are taken again.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records, or the ledger does not stand.

        Cost: one pass, and n·d² for the curvature of each head.
        """
        self.check()
        labels, scale = class_labels(data), Scale.of(data, key)
        encoded = Encoded.of(scale, labels, data, self.clip)
        rows = encoded.now.rows
        weights, ledger = _read(arrays, (1 + len(scale.names), rows.answers.shape[1])), _read_ledger(arrays)
        given = np.asarray(arrays.get("secret/seal", ()), np.uint8).tobytes()
        if not hmac.compare_digest(given, seal(key, weights, ledger)):
            raise StoreDamaged("the saved weights or their ledger were changed, or are another key's")
        if reason := ledger.broken(len(data)):
            raise StoreDamaged(f"the saved ledger does not stand: {reason}")
        core = anchored(weights, rows, self.penalty)
        self._check_ledger(ledger, core)
        model = LogisticModel(self, Identity.of(self, data, key), key, Kept.of(data), encoded, core, ledger)
        check_saved(model, arrays)
        return model

    def _check_ledger(self, ledger: Ledger, core: Core) -> None:
        """Refuse a ledger of other constants, or measured weights that are not where it says."""
        own = self._ledger()
        if (ledger.sigma, ledger.constants) != (own.sigma, own.constants):
            raise StoreDamaged("the saved ledger is another model's: its noise or its constants differ")
        if not core.least <= ledger.residual:
            raise StoreDamaged("the saved weights are not where the ledger says: their gradient is too large")

    def check(self) -> None:
        """Refuse hyper-parameters that cannot be.

        Raises:
            BadInput: naming one.
        """
        for name, value in (("penalty", self.penalty), ("sigma", self.sigma), ("clip", self.clip)):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not (number and LEAST <= value <= 1 / LEAST) and not (number and name == "sigma" and value == 0):
                least = "0 or from" if name == "sigma" else "from"
                raise BadInput(f"{name} must be a number, {least} {LEAST:g} to {1 / LEAST:g}, not {value!r}")

    def _ledger(self) -> Ledger:
        constants = (Constant(name="penalty", value=self.penalty), Constant(name="row norm at most", value=REACH))
        return Ledger(sigma=self.sigma, constants=constants)


def _read(arrays: Arrays, shape: tuple[int, int]) -> Floats:
    found = np.asarray(arrays.get("secret/weights", ()), np.float64)
    if found.shape != shape or not np.isfinite(found).all():
        raise StoreDamaged("the saved array 'secret/weights' does not fit these records")
    return found


def _read_ledger(arrays: Arrays) -> Ledger:
    try:
        return Ledger.from_bytes(np.asarray(arrays.get("secret/ledger", ()), np.uint8).tobytes())
    except MalformedEvidence as error:
        raise StoreDamaged("the saved ledger cannot be read") from error
