"""``LoggedNetwork``: a network that remembers how far each batch moved its weights, and whose it was (U23)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.dataset import Dataset
from expunge.core.errors import StoreDamaged, TooLarge
from expunge.core.seeds import Key
from expunge.models.descent import Pace, Watch, descend
from expunge.models.encoding.table import in_order
from expunge.models.losses import nats
from expunge.models.modules import copied
from expunge.models.network import BATCHES, Network
from expunge.models.network_model import NetworkModel
from expunge.models.wrapped import Wrapped, check_plain, check_target, flattened, learnt, remembered

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress

MOST = 2**28
"""Numbers that a log may hold."""
NOBODY = -1
"""Fills up the rows of `LoggedModel.held`."""


@dataclass(frozen=True)
class LoggedNetwork:
    """A network of classes; its model also holds by how much each batch moved the weights, and which records it held.

    Attributes:
        network: how it learns: by any optimiser, in the form ``plain``.

    Guarantee: exact, grade ``bits-here``, when it learns again; `expunge.unlearners.approximate.amnesiac` is empirical.
    Cost: a training, and steps·(p + batch) numbers of memory, in float32 and int32.
    Source: spec U23; Graves et al. (AAAI 2021). They log the batches of sensitive records alone; here everyone may ask.
    """

    network: Network = field(
        default_factory=lambda: Network(
            hidden=(32,), form="plain", epochs=20, batch=8, optimiser="sgd", momentum=0.0, rate=0.05
        )
    )

    def prepare(self, say: Callable[[str], None]) -> None:
        """Get the network ready."""
        self.network.prepare(say)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> LoggedModel:
        """Return the network of these records, and its log.

        Raises:
            BadInput: a learnt encoder, or another device.
            BadTarget, ClassVanished, BadData: nothing to learn, or a target of numbers.
            TooLarge: the log does not fit.
        """
        self.check(data)
        network, ordered = self.network, in_order(data)
        begun = network.begin(data, key)
        samples = begun.records(ordered, key)
        stream = samples.stream("kept", range(network.epochs), network.batch, BATCHES)
        log = Log.of(begun.module, samples.words, len(stream), network.batch)
        model = learnt(begun, samples, log.loss, key, progress)
        return LoggedModel(self, model, ordered.ids, *log.ended(model.module))

    def again(self, model: LoggedModel, data: Dataset, key: Key, pace: tuple[int, float], watch: Watch) -> LoggedModel:
        """Return the model after more epochs on these records, which are logged as well.

        Args:
            model: without the records that are not in `data`.
            data: the kept records.
            key: of the order of batches.
            pace: epochs, and step size.
            watch: who looks on.
        """
        (epochs, rate), network = pace, self.network
        samples = model.model.records(in_order(data), key)
        stream = samples.stream("kept", range(epochs), network.batch, BATCHES)
        log = Log.of(model.model.module, samples.words, len(stream), network.batch, len(model.moved))
        steps = Pace(network.optimiser, rate, network.momentum, network.decay, precision=network.precision)
        seed = key.word("network/dropout")
        module = descend(model.model.module, stream, log.loss, steps, seed=seed, watch=watch)
        moved, held = log.ended(module)
        return replace(
            model,
            model=model.model.changed(module),
            moved=np.concatenate([model.moved, moved]),
            held=np.concatenate([model.held, held]),
        )

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> LoggedModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self.check(data)
        model, ids = self.network.restore(arrays, data, key), in_order(data).ids
        damaged = "the saved log does not fit this network and these records"
        held = np.asarray(arrays.get("secret/log/held", ()))
        shape = (len(held), sum(p.numel() for p in model.module.parameters()))
        moved = remembered(arrays, ["secret/log/moved"], shape, damaged)[0]
        if held.dtype != np.int32 or held.ndim != 2 or held.shape[1] != self.network.batch + 1:
            raise StoreDamaged(damaged)
        if held.size and not NOBODY <= held.min() <= held.max() < len(ids):
            raise StoreDamaged(damaged)
        return LoggedModel(self, model, ids, moved, held)

    def check(self, data: Dataset) -> None:
        """Refuse recipes and records whose log would mean nothing.

        Raises:
            BadInput: a learnt encoder, or another device.
            BadTarget: numbers.
        """
        check_plain(self.network, "a log is of weights alone")
        check_target(data, "a logged network")


class Log:
    """By how much each step moves the weights of a module that learns, and which samples its batch holds."""

    def __init__(self, weights: Tensor, words: npt.NDArray[np.uint64], held: npt.NDArray[np.int32]) -> None:
        self._weights, self._held, self._taken = weights, held, 0
        self._order = np.argsort(words, kind="stable")
        self._words = words[self._order]

    @classmethod
    def of(cls, module: nn.Module, words: npt.NDArray[np.uint64], n_steps: int, batch: int, n_before: int = 0) -> Log:
        """Return the log of so many steps, before the first.

        Args:
            module: what learns.
            words: keyed words of the records, in their order.
            n_steps: how many.
            batch: samples of a batch; one that would be alone goes with the batch before.
            n_before: steps that are in the log already.

        Raises:
            TooLarge: it does not fit.
        """
        p = sum(w.numel() for w in module.parameters())
        if (n_before + n_steps) * (p + batch + 1) > MOST:
            hint = "Use larger batches, fewer epochs, or Sharded for exact requests."
            said = f"a log of {n_before + n_steps} steps of {p} weights; at most {MOST} numbers of 4 bytes"
            raise TooLarge(said, limit=MOST, hint=hint)
        kind = next(module.parameters()).dtype
        return cls(torch.zeros((n_steps, p), dtype=kind), words, np.full((n_steps, batch + 1), NOBODY, np.int32))

    def loss(self, module: nn.Module, batch: Any) -> Tensor:
        """Return the cross-entropy of a batch; what is about to be stepped from is written down."""
        with torch.no_grad():
            self._weights[self._taken] = flattened(module.parameters())
        self._held[self._taken, : len(batch.words)] = self._order[np.searchsorted(self._words, batch.words)]
        self._taken += 1
        return nats(module, batch)

    def ended(self, module: nn.Module) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Return how far each step went, (steps, p), and the positions of its samples, (steps, batch + 1)."""
        with torch.no_grad():
            last = flattened(module.parameters())[None].to(self._weights.dtype)
            moved = torch.diff(torch.cat([self._weights, last]), dim=0)
        return moved.numpy(), self._held


@dataclass(frozen=True, eq=False)
class LoggedModel(Wrapped):
    """A network and the log of its training.

    Attributes:
        learner: what made it.
        model: the network.
        ids: of the records, in order.
        moved: by how much each step that is still in the log moved the weights, shape (steps, p), float32.
        held: positions in `ids` of the records of its batch, shape (steps, batch + 1), int32; filled up by -1.
    """

    learner: LoggedNetwork
    model: NetworkModel = field(repr=False)
    ids: npt.NDArray[Any] = field(repr=False)
    moved: npt.NDArray[np.float32] = field(repr=False)
    held: npt.NDArray[np.int32] = field(repr=False)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the log."""
        return {"secret/log/moved": self.moved, "secret/log/held": self.held}

    def touched(self, gone: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """Return which steps of the log were taken with one of these ids in the batch, shape (steps,)."""
        places = np.flatnonzero(np.isin(self.ids, gone))
        return np.asarray(np.isin(self.held, places).any(axis=1), np.bool_)

    def undone(self, gone: npt.NDArray[Any]) -> LoggedModel:
        """Return the model with every step undone that one of these ids had a part in; the log lets go of them."""
        hit, stays = self.touched(gone), ~np.isin(self.ids, gone)
        shift = torch.from_numpy(self.moved[hit].sum(axis=0, dtype=np.float64))
        module, start = copied(self.model.module), 0
        with torch.no_grad():
            for weight in module.parameters():
                part = shift[start : start + weight.numel()].reshape(weight.shape)
                weight.copy_(weight.double() - part)
                start += weight.numel()
        places = np.append(np.cumsum(stays) - 1, NOBODY).astype(np.int32)  # the last is where -1 points
        held = places[self.held[~hit]]
        return replace(self, model=self.model.changed(module), ids=self.ids[stays], moved=self.moved[~hit], held=held)
