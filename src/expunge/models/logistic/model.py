"""``LogisticModel``: what a `Logistic` learnt; publishes weights with noise, takes records out within a budget."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import Budget, Entry, Ledger, certified
from expunge.core.canonical import L
from expunge.core.dataset import Dataset
from expunge.core.deployment import Prediction
from expunge.core.errors import BadInput, Unsupported
from expunge.core.models import EXACT_ASSUMES, Identity
from expunge.core.seeds import Key, unit
from expunge.models.kept import Kept
from expunge.models.logistic.core import Core, anchored, converge, measured, step
from expunge.models.logistic.kept import READ, Encoded
from expunge.models.logistic.rows import Rows
from expunge.models.scores import class_codes, cross_entropy, label_bytes

if TYPE_CHECKING:
    from expunge.core.guarantee import Guarantee
    from expunge.core.request import Id
    from expunge.core.roles import Floats
    from expunge.models.logistic.learner import Logistic

SPARE, CLOSE = 1 / 16, 1 / 8
"""A removal leaves about this share of the budget on purpose: noise, so that the secret weights do not tell by the
little that is left at them what went. A measured one comes so near to it, in units of that noise."""
TIMED, USUAL = 8192, 3
"""Rows on which a pass is timed to predict one, and passes that a removal usually needs."""
WHY = "takes a Newton step that reads only the forgotten records"
WHY_MEASURED = "takes Newton steps, and measures what is left in passes over the kept records"
WHY_REFIT = "a scale or a column moves, so the model is learnt again"


@dataclass(frozen=True, eq=False)
class LogisticModel:
    """The model of a `Logistic`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        key: of the noise and the hash buckets.
        kept: the records.
        encoded: encoder, classes, and rows.
        core: secret weights, curvature, and the bound on the gradient.
        ledger: every version, and what it was allowed.
    """

    learner: Logistic
    identity: Identity
    key: Key
    kept: Kept = field(repr=False)
    encoded: Encoded = field(repr=False)
    core: Core = field(repr=False)
    ledger: Ledger = field(repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """Class labels, in the order of the columns of `logits`."""
        return self.encoded.labels

    @property
    def data(self) -> Dataset:
        """The kept records; the rows of forgotten ones leave this process's memory.

        The point and the inverse that steps are made with stay until the curvature is taken anew, in no file.
        """
        self.kept.settle()
        self.encoded.settle()
        self.core.curvature.settle()
        return self.kept.data

    @property
    def weights(self) -> Floats:
        """The published weights, shape (1 + d, q): the secret ones and noise; intercepts in row 0."""
        secret, sigma = self.core.weights, self.learner.sigma
        if not sigma:
            return secret
        size = sigma / (self.learner.penalty * self.kept.n)
        drawn = noise(self.key, self.learner, secret, (len(self.ledger.entries), self.kept.n))
        return snapped(secret + size * drawn, size)

    def logits(self, data: Dataset) -> Floats:
        """Return the log-odds (two classes: 0 and the second's), or log-probabilities of each against the rest."""
        weights, k = self.weights, len(self.labels)
        scores = np.zeros((len(data), weights.shape[1]))
        for start in range(0, len(data), READ):
            where = slice(start, min(start + READ, len(data)))
            block = data if len(data) <= READ else data.take(np.arange(where.start, where.stop))
            rows = Rows.of(self.encoded.scale, block, self.learner.clip)
            scores[where] = rows.factor[:, None] * (rows.codes @ weights[1:]) + weights[0]
        if k <= 2:
            return np.concatenate([np.zeros((len(data), 1)), scores], axis=1)
        return -np.logaddexp(0.0, -scores)

    def losses(self, data: Dataset) -> Floats:
        """Return the cross-entropy of each record, shape (n,), in nats."""
        return cross_entropy(self.logits(data), class_codes(data, self.labels))

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts, and may be published: scale, classes, weights with noise."""
        self.data  # noqa: B018 - settles
        return {**self.encoded.scale.state(), "classes/labels": label_bytes(self.labels), "weights": self.weights}

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return what lets it forget again, all of it secret: weights without noise, the ledger, and their seal.

        All else is a function of these and of the kept records, and is taken again by `Logistic.restore`: the
        inverse and the old minimum would hold the forgotten rows.
        """
        self.data  # noqa: B018 - settles
        secret: dict[str, npt.NDArray[Any]] = {"weights": self.core.weights}
        secret["ledger"] = np.frombuffer(self.ledger.canonical(), np.uint8)
        secret["seal"] = np.frombuffer(seal(self.key, self.core.weights, self.ledger), np.uint8)
        return {**self.encoded.scale.memory(), **{f"secret/{name}": array for name, array in secret.items()}}

    def __getstate__(self) -> dict[str, Any]:
        self.data  # noqa: B018 - settles
        return {**self.__dict__, "core": self.core.weights}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        core = anchored(state["core"], self.encoded.kept(), self.learner.penalty)
        self.__dict__["core"] = core

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def residual(self) -> tuple[float, float]:
        """Return proven bounds from below and above on the gradient's norm at the secret weights: one pass."""
        found = measured(self.core, self.encoded.kept(), self.learner.penalty)
        return found.least, found.residual

    def certificate(self, budget: Budget, again: bool = False) -> Guarantee:
        """Return the promise that this version keeps; see `expunge.core.accountant.certified`."""
        found = certified(self.ledger, budget, self.kept.n, self.key.is_public, again)
        return found.model_copy(update={"assumptions": (*found.assumptions, *EXACT_ASSUMES)})

    def removing(self, ids: Iterable[Id], budget: Budget, passes: int = 20) -> LogisticModel:
        """Return the model without these records, (ε, δ)-close to one learnt without them; self is untouched.

        Args:
            ids: the records.
            budget: what must hold afterwards.
            passes: how often the kept records may be read; 0 = not at all.

        Raises:
            UnknownRecord, NothingLeft, ClassVanished: nothing was changed.
            Unsupported: no noise, a broken ledger, or a budget that cannot be kept; nothing was changed.
            BadInput: ε, δ or passes cannot be, or a scale moved and the fit anew does not reach its minimum.

        Cost: 2d² + 4md multiplications a head where the bound of the step is within budget, else a few passes.
        """
        gone, kept = self.kept.forget(ids)
        if not len(gone):
            return self
        self._check(budget, passes)
        used, allowed = 0, budget.allowance(self.ledger.sigma)
        after, action = self._stepped(gone, kept, allowed), "step"
        if after is None or not after.core.residual <= allowed:
            after, used = self._read_again(kept, after, allowed, passes)
            action = "measured" if after.encoded.now.rows is self.encoded.now.rows else "refit"
        entry = Entry(
            action=action,
            forgotten=len(gone),
            kept=kept.n,
            residual=after.core.residual,
            passes=used,
            epsilon=budget.epsilon,
            delta=budget.delta,
        )
        model = replace(after, ledger=self.ledger.adding(entry))
        model.certificate(budget)
        return model

    def _check(self, budget: Budget, passes: int) -> None:
        """Refuse what no removal from this model can keep, before anything is computed."""
        if not isinstance(passes, int) or isinstance(passes, bool) or passes < 0:
            raise BadInput(f"passes must be a whole number, 0 or more, not {passes!r}")
        if budget.allowance(self.ledger.sigma) <= 0:
            raise Unsupported(
                "the model was learnt without noise (sigma=0)", hint="Fit with sigma > 0, or use retrain."
            )
        if reason := self.ledger.broken(self.kept.n):
            raise Unsupported(f"the ledger is broken: {reason}", hint="Use retrain.")

    def _veil(self, allowed: float) -> Floats:
        """Return the gradient to be left at the next secret weights: noise that the forgotten records seed."""
        secret = self.core.weights
        drawn = noise(self.key, self.learner, secret, (-len(self.ledger.entries), self.kept.n))
        return drawn * (SPARE * allowed / math.sqrt(max(1, secret.size)))

    def _stepped(self, gone: Dataset, kept: Kept, allowed: float) -> LogisticModel | None:
        """Return the model after one step without a pass; None where the encoder changes its meaning or its columns."""
        scale = self.encoded.scale.without(gone)
        if scale is None or not scale[1].all():
            return None
        core = step(self.core, self.encoded.only(gone.ids), self.learner.penalty, self.kept.n, self._veil(allowed))
        return replace(self, kept=kept, encoded=self.encoded.without(gone.ids, scale[0]), core=core)

    def _read_again(
        self, kept: Kept, after: LogisticModel | None, allowed: float, passes: int
    ) -> tuple[LogisticModel, int]:
        """Return (the model after measured steps, or learnt again where the encoder moved; passes)."""
        if passes < 1:
            raise Unsupported(
                "the bound without reading the data is above what the noise hides, and passes=0"
                if after is not None
                else f"{WHY_REFIT}, and passes=0",
                hint="Allow passes over the kept records, fit with a larger sigma, or use retrain.",
            )
        if after is None:
            model = self.learner.fit(kept.data, self.key)
            return model, model.ledger.entries[-1].passes
        core = after.core
        if not math.isfinite(core.residual):  # a step too far to be bounded is too far to start from
            core = replace(core, weights=self.core.weights)
        veil = self._veil(allowed)
        aim = CLOSE * SPARE * allowed / math.sqrt(max(1, veil.size))
        core, used = converge(core, after.encoded.kept(), self.learner.penalty, aim, passes, veil)
        return replace(after, core=replace(core, gradient=core.gradient + veil)), used

    def plan_removal(self, ids: Sequence[Id], budget: Budget, passes: int = 20) -> Prediction:
        """Return what `removing` would cost; changes nothing.

        Raises:
            Unsupported: it cannot be done.
        """
        began = time.perf_counter()
        gone, kept = self.kept.forget(ids)
        if not len(gone):
            return Prediction(seconds=0.0, p95_s=0.0, records_read=0, why="no training record is named")
        self._check(budget, passes)
        after = self._stepped(gone, kept, budget.allowance(self.ledger.sigma))
        if after is not None and after.core.residual <= budget.allowance(self.ledger.sigma):
            seconds = time.perf_counter() - began
            return Prediction(seconds=seconds, p95_s=4 * seconds, records_read=len(gone), why=WHY)
        if passes < 1:
            raise Unsupported("the bound without reading the data is above what the noise hides", hint="Use retrain.")
        if after is None:
            return Prediction(records_read=kept.n, why=WHY_REFIT)
        began = time.perf_counter()
        measured(self.core, self.encoded.now.rows.take(slice(0, TIMED)), self.learner.penalty)
        seconds = USUAL * (time.perf_counter() - began) * max(1.0, kept.n / TIMED)
        return Prediction(seconds=seconds, p95_s=4 * seconds, records_read=kept.n, why=WHY_MEASURED)


def noise(key: Key, learner: object, secret: Floats, version: tuple[int, int] = (1, 0)) -> Floats:
    """Return standard normal noise of the shape of the secret weights.

    Drawn by the key, these weights and the version (its number in the ledger, and n): each version of a ledger has a
    draw of its own, and asking for one version twice gives no second draw to average with.
    """
    named = L(repr(learner).encode()) + L(repr((*version, *secret.shape)).encode())
    shake = hashlib.shake_256(b"expunge/noise/v2\n" + L(key.bytes) + named)
    shake.update(np.ascontiguousarray(secret + 0.0, "<f8").tobytes())
    words = np.frombuffer(shake.digest(8 * secret.size), "<u8").astype(np.uint64)
    return deviates(words).reshape(secret.shape)


def deviates(words: npt.NDArray[np.uint64]) -> Floats:
    """Return a standard normal number for each word: finite, and as fine in the upper tail as in the lower."""
    from scipy.special import ndtri

    share = unit(words)
    upper = share >= 0.5
    found: Floats = ndtri(np.where(upper, 1.0 - share - 2.0**-54, share + 2.0**-54))  # exact: no sum is rounded
    return np.where(upper, -found, found)


def snapped(weights: Floats, size: float) -> Floats:
    """Return weights on a grid of about 2⁻²⁰ noise deviations, and not below 2⁻³⁶.

    In float64 a sum w + s·b can only be some numbers, which depend on w; all of them round to all of the grid.
    """
    grid = 2.0 ** max(math.floor(math.log2(size)) - 20, -36)
    found: Floats = np.rint(weights / grid) * grid
    return found + 0.0


def seal(key: Key, weights: Floats, ledger: Ledger) -> bytes:
    """Return what ties secret weights and their ledger together: nobody without the key can change either."""
    told = L(np.ascontiguousarray(weights + 0.0, "<f8").tobytes()) + L(ledger.canonical())
    return hmac.digest(key.bytes, b"expunge/logistic/v1\n" + told, "sha256")
