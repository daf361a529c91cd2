"""``WatchedNetwork``: a network that remembers of each record where its weights would be without it (U40)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from expunge.core.dataset import Dataset
from expunge.core.errors import TooLarge
from expunge.core.seeds import Key
from expunge.models.encoding.table import in_order
from expunge.models.losses import cross_entropies, nats
from expunge.models.modules import copied
from expunge.models.network import Network
from expunge.models.network_model import NetworkModel
from expunge.models.wrapped import Wrapped, check_plain, check_steps, check_target, flattened, learnt, remembered

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

Score = Callable[[Tensor, Tensor], Tensor]
"""Outputs (b, k) and targets (b, …) → the loss of each sample (b,)."""
MOST = 2**28
"""Numbers that traces may hold together."""
TOGETHER = 256
"""Traces that are multiplied by the curvature at a time."""


@dataclass(frozen=True)
class WatchedNetwork:
    """A network of classes; its model also holds a trace of every record, which taking it out adds to the weights.

    Attributes:
        network: how it learns: by ``sgd`` without momentum and without dropout, in the form ``plain``.

    Guarantee: exact, grade ``bits-here``, when it learns again; `expunge.unlearners.approximate.trajectory` is
        empirical.
    Cost: a training with n Hessian-vector products a step, and n·p numbers of memory, in float32.
    Source: spec U40; Qiao et al. (ICLR 2025).
    """

    network: Network = field(
        default_factory=lambda: Network(
            hidden=(), form="plain", epochs=20, batch=32, optimiser="sgd", momentum=0.0, rate=0.1, decay=1e-2
        )
    )

    def prepare(self, say: Callable[[str], None]) -> None:
        """Get the network ready."""
        self.network.prepare(say)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> WatchedModel:
        """Return the network of these records, and the trace of each.

        Raises:
            BadInput: a recipe whose steps are not plain gradient steps, or a learnt encoder.
            BadTarget, ClassVanished, BadData: nothing to learn, or a target of numbers.
            TooLarge: traces of so many records and weights do not fit.
        """
        self.check(data)
        network, ordered = self.network, in_order(data)
        begun = network.begin(data, key)
        samples = begun.records(ordered, key)
        n_steps = len(samples.stream("kept", range(network.epochs), network.batch))
        factor = network.pace(n_steps).schedule
        rates = [network.rate * (1.0 if factor is None else factor(step)) for step in range(n_steps)]
        traces = Traces.of(begun.module, samples.words, (cross_entropies, network.decay), rates)

        def watched(module: nn.Module, batch: Any) -> Tensor:
            traces.saw(module, batch)
            return nats(module, batch)

        model = learnt(begun, samples, watched, key, progress)
        return WatchedModel(self, model, ordered.ids, traces.found.numpy())

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> WatchedModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self.check(data)
        model, ids = self.network.restore(arrays, data, key), in_order(data).ids
        shape = (len(ids), sum(p.numel() for p in model.module.parameters()))
        damaged = "the saved array 'secret/traces' does not fit these records"
        return WatchedModel(self, model, ids, *remembered(arrays, ["secret/traces"], shape, damaged))

    def check(self, data: Dataset) -> None:
        """Refuse recipes and records whose traces would mean nothing.

        Raises:
            BadInput: other steps than plain gradient steps, or a learnt encoder.
            BadTarget: numbers.
        """
        network = self.network
        check_steps(network, "traces follow plain gradient steps")
        check_plain(network, "traces are of weights alone")
        check_target(data, "a watched network")


class Traces:
    """The trace of each record, kept up while a network learns.

    Attributes:
        found: shape (n, p): the weights without a record, less the weights with it, to first order.
    """

    def __init__(self, found: Tensor, words: npt.NDArray[np.uint64], loss: tuple[Score, float], rates: list[float]):
        self.found, self.loss, self.rates, self.step_at = found, loss, rates, 0
        self.order = np.argsort(words, kind="stable")
        self.words = words[self.order]

    @classmethod
    def of(
        cls, module: nn.Module, words: npt.NDArray[np.uint64], loss: tuple[Score, float], rates: list[float]
    ) -> Traces:
        """Return the traces of records before the first step: zeros.

        Args:
            module: what learns.
            words: keyed words of the records, in their order.
            loss: the loss of each sample, and the decay of the weights.
            rates: of each step.

        Raises:
            TooLarge: they do not fit.
        """
        n, p = len(words), sum(w.numel() for w in module.parameters())
        if n * p > MOST:
            raise TooLarge(f"{n} traces of {p} weights; at most {MOST} numbers", limit=MOST)
        return cls(torch.zeros((n, p)), words, loss, rates)

    def saw(self, module: nn.Module, batch: Any) -> None:
        """Follow one step that is about to be taken: a ← a - ηH̄a for all, and + (η/b)∇ℓ for those in the batch.

        Cost: n Hessian-vector products over the batch.
        """
        (score, decay), rate = self.loss, self.rates[self.step_at]
        self.step_at += 1
        named = {name: weight.detach() for name, weight in module.named_parameters()}
        x, y = batch.x, batch.y

        def mean(weights: dict[str, Tensor], at: Tensor, goal: Tensor) -> Tensor:
            return score(functional_call(module, weights, (at,)), goal).mean()

        slope = grad(mean)

        def bent(vector: Tensor) -> Tensor:
            return flattened(grad(lambda w: (flattened(slope(w, x, y).values()) * vector).sum())(named).values())

        def alone(at: Tensor, goal: Tensor) -> Tensor:
            return flattened(slope(named, at[None], goal[None]).values())

        rows = torch.from_numpy(self.order[np.searchsorted(self.words, batch.words)])
        for start in range(0, len(self.found), TOGETHER):
            some = self.found[start : start + TOGETHER]
            some -= rate * (vmap(bent)(some) + decay * some)
        self.found.index_add_(0, rows, vmap(alone)(x, y) * (rate / len(x)))


@dataclass(frozen=True, eq=False)
class WatchedModel(Wrapped):
    """A network and the traces of its records.

    Attributes:
        learner: what made it.
        model: the network.
        ids: of the records, in order.
        traces: shape (n, p), float32.
    """

    learner: WatchedNetwork
    model: NetworkModel = field(repr=False)
    ids: npt.NDArray[Any] = field(repr=False)
    traces: npt.NDArray[np.float32] = field(repr=False)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the traces."""
        return {"secret/traces": self.traces}

    def shifted(self, gone: npt.NDArray[Any]) -> WatchedModel:
        """Return the model with the traces of these ids added to its weights, and let go of."""
        out = np.isin(self.ids, gone)
        shift = torch.from_numpy(self.traces[out].astype(np.float64).sum(axis=0))
        module, start = copied(self.model.module), 0
        with torch.no_grad():
            for weight in module.parameters():
                part = shift[start : start + weight.numel()].reshape(weight.shape)
                weight.copy_(weight.double() + part)
                start += weight.numel()
        return replace(self, model=self.model.changed(module), ids=self.ids[~out], traces=self.traces[~out])
