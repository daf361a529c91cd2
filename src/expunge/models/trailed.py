"""``TrailedNetwork``: a network that remembers weights and slope of each of its full gradient steps (U31)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, TooLarge
from expunge.core.seeds import Key
from expunge.models.encoding.table import in_order
from expunge.models.losses import nats
from expunge.models.network import Network
from expunge.models.network_model import NetworkModel

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Floats, Progress

MOST = 2**28
"""Numbers that a trail may hold."""


@dataclass(frozen=True)
class TrailedNetwork:
    """A network of classes; its model also holds the weights and the slope of each step.

    Attributes:
        network: how it learns: by ``sgd`` over all records at once (`batch` is no smaller than they are many), without
            momentum and dropout, in the form ``plain``.

    Guarantee: exact, grade ``bits-here``, when it learns again; `expunge.unlearners.approximate.deltagrad` is
        empirical.
    Cost: a training with one more backward pass, and 2·p numbers of memory a step, in float32.
    Source: spec U31; Wu et al. (ICML 2020). Their stochastic form keeps batches, and so traces of which records were in
        them; ours is the full-batch form, which keeps sums over all records alone.
    """

    network: Network = field(
        default_factory=lambda: Network(
            hidden=(), form="plain", epochs=60, batch=2**24, optimiser="sgd", momentum=0.0, rate=0.1, decay=1e-3
        )
    )

    def prepare(self, say: Callable[[str], None]) -> None:
        """Get the network ready."""
        self.network.prepare(say)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> TrailedModel:
        """Return the network of these records, and its trail.

        Raises:
            BadInput: a recipe whose steps are not full gradient steps, or a learnt encoder.
            BadTarget, ClassVanished, BadData: nothing to learn, or a target of numbers.
            TooLarge: the trail does not fit.
        """
        self.check(data)
        network = self.network
        begun = network.begin(data, key)
        samples, trail = begun.records(in_order(data), key), Trail.of(begun.module, network.epochs)

        def trailed(module: nn.Module, batch: Any) -> Tensor:
            value, given = nats(module, batch), list(module.parameters())
            trail.keep(flattened(given), flattened(torch.autograd.grad(value, given, retain_graph=True)))
            return value

        seed = key.word("network/dropout")
        module = network.trained(begun.module, samples, trailed, seed, (network.epochs, progress, None))
        return TrailedModel(self, begun.changed(module), trail.weights.numpy(), trail.slopes.numpy())

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> TrailedModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self.check(data)
        model = self.network.restore(arrays, data, key)
        shape = (self.network.epochs, sum(p.numel() for p in model.module.parameters()))
        found = [np.asarray(arrays.get(f"secret/trail/{name}", ())) for name in ("weights", "slopes")]
        if any(a.shape != shape or a.dtype != np.float32 or not np.isfinite(a).all() for a in found):
            raise StoreDamaged("the saved trail does not fit this network")
        return TrailedModel(self, model, *found)

    def check(self, data: Dataset) -> None:
        """Refuse recipes and records whose trail would mean nothing.

        Raises:
            BadInput: other steps than full gradient steps, or a learnt encoder.
            BadTarget: numbers.
        """
        network = self.network
        if network.optimiser != "sgd" or network.momentum or network.dropout or network.precision != "float32":
            raise BadInput("a trail is of plain gradient steps", hint='Use optimiser="sgd", momentum=0, dropout=0.')
        if network.batch < len(data):
            raise BadInput("a trail is of steps over all records", hint=f"Use batch={len(data)} or more.")
        if network.form != "plain" or network.device != "cpu":
            raise BadInput("a trail is of weights alone", hint='Use Network(form="plain", device="cpu").')
        if data.target is not None and data.target.kind != "category":
            raise BadTarget("a trailed network learns classes: the ruler of numbers is learnt from records")


@dataclass(frozen=True, eq=False)
class Trail:
    """Where a descent was before each step.

    Attributes:
        weights: shape (steps, p).
        slopes: the mean loss's gradient there, shape (steps, p); of a step that was not taken, not a number.
    """

    weights: Tensor
    slopes: Tensor
    _taken: list[int] = field(default_factory=lambda: [0], repr=False)

    @classmethod
    def of(cls, module: nn.Module, n_steps: int) -> Trail:
        """Return a trail to be filled.

        Raises:
            TooLarge: it does not fit.
        """
        p = sum(w.numel() for w in module.parameters())
        if 2 * n_steps * p > MOST:
            raise TooLarge(f"a trail of {n_steps} steps of {p} weights; at most {MOST} numbers", limit=MOST)
        kind = next(module.parameters()).dtype
        return cls(torch.full((n_steps, p), torch.nan, dtype=kind), torch.full((n_steps, p), torch.nan, dtype=kind))

    def keep(self, weights: Tensor, slope: Tensor) -> None:
        """Keep where the next step begins."""
        self.weights[self._taken[0]], self.slopes[self._taken[0]] = weights.detach(), slope.detach()
        self._taken[0] += 1


def flattened(tensors: Any) -> Tensor:
    """Return tensors as one vector."""
    return torch.cat([t.reshape(-1) for t in tensors])


@dataclass(frozen=True, eq=False)
class TrailedModel:
    """A network and its trail.

    Attributes:
        learner: what made it.
        model: the network.
        weights: before each step, shape (steps, p), float32.
        slopes: of the mean loss there, shape (steps, p), float32.
    """

    learner: TrailedNetwork
    model: NetworkModel = field(repr=False)
    weights: npt.NDArray[np.float32] = field(repr=False)
    slopes: npt.NDArray[np.float32] = field(repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the columns of `logits`."""
        return self.model.labels

    def logits(self, data: Dataset) -> Floats:
        """Return unnormalised log-probabilities, shape (n, k)."""
        return self.model.logits(data)

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropy in nats, shape (n,)."""
        return self.model.losses(data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts."""
        return self.model.state()

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the trail."""
        return {"secret/trail/weights": self.weights, "secret/trail/slopes": self.slopes}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.model.digest()
