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
from expunge.core.errors import BadInput, TooLarge
from expunge.core.seeds import Key
from expunge.models.encoding.table import in_order
from expunge.models.losses import nats
from expunge.models.network import Network
from expunge.models.network_model import NetworkModel
from expunge.models.wrapped import Wrapped, check_plain, check_steps, check_target, flattened, learnt, remembered

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

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

        model = learnt(begun, samples, trailed, key, progress)
        return TrailedModel(self, model, trail.weights.numpy(), trail.slopes.numpy())

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> TrailedModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self.check(data)
        model = self.network.restore(arrays, data, key)
        shape = (self.network.epochs, sum(p.numel() for p in model.module.parameters()))
        names = ("secret/trail/weights", "secret/trail/slopes")
        found = remembered(arrays, names, shape, "the saved trail does not fit this network")
        return TrailedModel(self, model, *found)

    def check(self, data: Dataset) -> None:
        """Refuse recipes and records whose trail would mean nothing.

        Raises:
            BadInput: other steps than full gradient steps, or a learnt encoder.
            BadTarget: numbers.
        """
        network = self.network
        check_steps(network, "a trail is of plain gradient steps")
        if network.batch < len(data):
            raise BadInput("a trail is of steps over all records", hint=f"Use batch={len(data)} or more.")
        check_plain(network, "a trail is of weights alone")
        check_target(data, "a trailed network")


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


@dataclass(frozen=True, eq=False)
class TrailedModel(Wrapped):
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

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the trail."""
        return {"secret/trail/weights": self.weights, "secret/trail/slopes": self.slopes}
