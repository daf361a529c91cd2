"""``Many``: replicas of a module as one module, so that one descent trains them all; and the samples that feed them.

Parameters have a leading axis of replicas, inputs too: (M, b, ...) gives (M, b, k). A loss that is a mean over samples
and a sum over replicas has, for each replica, the gradient that it has alone; so do the steps of any optimiser that
works coordinate by coordinate. Replicas of one stack take equally many steps; where their batches differ in size they
are filled up with samples of weight zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from expunge.core.errors import BadInput, Unsupported
from expunge.models.modules import NORMS, copied
from expunge.models.streams import U64, Batch, Rows, Stream, epoch_rows, n_batches

DRAWS = (nn.modules.dropout._DropoutNd, nn.MultiheadAttention)
"""Layers whose draws would depend on which replicas are trained together (where they drop anything)."""


class Many(nn.Module):
    """M replicas of one module.

    Args:
        modules: of one architecture; copied.

    Raises:
        Unsupported: a layer keeps statistics of what it sees, or drops units at random.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        check_stackable(modules[0])
        parameters, buffers = stack_module_state(list(modules))
        self.names = tuple(parameters)
        for name, tensor in parameters.items():
            self.register_parameter(flat(name), nn.Parameter(tensor.detach().clone()))
        for name, tensor in buffers.items():
            self.register_buffer(flat(name), tensor.detach().clone())
        self.buffer_names = tuple(buffers)
        self._pattern = [copied(modules[0]).to("meta")]  # in a list: its weights are not ours

    def __len__(self) -> int:
        return len(getattr(self, flat(self.names[0])))

    @property
    def pattern(self) -> nn.Module:
        """The architecture, without weights."""
        return self._pattern[0]

    def weights(self) -> dict[str, Tensor]:
        """Return parameters and buffers by the names that they have in one module, each with a leading axis."""
        return {name: getattr(self, flat(name)) for name in (*self.names, *self.buffer_names)}

    def forward(self, x: Tensor) -> Tensor:
        """Return each replica's outputs for its own inputs: (M, b, ...) gives (M, b, k)."""
        return self._run(x, 0)

    def shared(self, x: Tensor) -> Tensor:
        """Return each replica's outputs for the same inputs: (b, ...) gives (M, b, k)."""
        return self._run(x, None)

    def _run(self, x: Tensor, axis: int | None) -> Tensor:
        pattern = self._pattern[0].train(self.training)

        def alone(weights: dict[str, Tensor], inputs: Tensor) -> Tensor:
            found: Tensor = functional_call(pattern, weights, (inputs,))
            return found

        found: Tensor = torch.vmap(alone, in_dims=(0, axis))(self.weights(), x)
        return found

    def clip(self, limit: float) -> None:
        """Scale each replica's gradient to a norm of at most the limit."""
        given = [p.grad for p in self.parameters() if p.grad is not None]
        if not given:
            return
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in given]).norm(dim=0)
        scale = (limit / (norms + 1e-6)).clamp(max=1.0)
        for g in given:
            g.mul_(scale.reshape(-1, *[1] * (g.dim() - 1)))

    def replica(self, i: int, into: nn.Module) -> nn.Module:
        """Return a copy of a module of the architecture, with the weights of replica i."""
        module = copied(into)
        module.load_state_dict({name: tensor[i].detach() for name, tensor in self.weights().items()})
        return module


def check_stackable(module: nn.Module) -> None:
    """Refuse a module that cannot be trained in a stack with the same results as alone.

    Raises:
        Unsupported: naming the layer.
    """
    for part in module.modules():
        if isinstance(part, NORMS) and part.track_running_stats:
            raise Unsupported(f"{type(part).__name__} keeps statistics of what it sees, and cannot be stacked")
        if isinstance(part, DRAWS) and _dropped(part):
            raise Unsupported(f"{type(part).__name__} draws at random, and cannot be stacked with the same draws")


def _dropped(part: nn.Module) -> float:
    """Return the share of units that a layer leaves out."""
    return float(vars(part).get("p", vars(part).get("dropout", 0.0)))


def flat(name: str) -> str:
    """Return the name that a parameter of one module has in a stack."""
    return name.replace(".", "/")


@dataclass(frozen=True, eq=False)
class Stacked:
    """Samples of several replicas: the same records, of which each replica has rows of its own.

    Attributes:
        fetch: gives (inputs, targets) of (replica, row) index arrays of shape (M, b); see `of`.
        rows: which records replica i has, in the order of the ids.
        words: keyed words of all records, of each replica, shape (M, n).
    """

    fetch: Callable[[Rows], tuple[Tensor, Tensor]] = field(repr=False)
    rows: tuple[Rows, ...]
    words: U64

    @classmethod
    def of(cls, x: Tensor, y: Tensor, rows: Sequence[Rows], words: U64) -> Stacked:
        """Return the samples of replicas.

        Args:
            x: inputs of all records, shape (n, ...), or of each replica, shape (M, n, ...).
            y: targets of all records, shape (n,) or (n, 1), or with a leading axis as x.
            rows: which records each replica has.
            words: shape (M, n).
        """
        own = y.shape[: y.dim() - (y.shape[-1] == 1)] != (words.shape[1],)
        replicas = torch.arange(len(rows))[:, None]

        def fetch(at: Rows) -> tuple[Tensor, Tensor]:
            index = torch.from_numpy(at)
            return (x[replicas, index], y[replicas, index]) if own else (x[index], y[index])

        return cls(fetch, tuple(rows), words)

    def __post_init__(self) -> None:
        if len(self.rows) != len(self.words):
            raise BadInput(f"{len(self.rows)} sets of rows for {len(self.words)} replicas")

    def __len__(self) -> int:
        return sum(len(rows) for rows in self.rows)

    def steps(self, batch: int) -> int:
        """Return how many batches an epoch has.

        Raises:
            BadInput: replicas have different numbers of them.
        """
        found = {n_batches(len(rows), batch) for rows in self.rows}
        if len(found) > 1:
            raise BadInput("replicas of one stack must take equally many steps", hint="Group them by `n_batches`.")
        return found.pop()

    def stream(self, part: str, epochs: range, batch: int, salt: int = 0) -> Stream:
        """Return the batches of some epochs; each replica goes over its own records in the order that it has alone."""
        per_epoch = self.steps(batch)

        def start(step: int) -> Iterator[Batch]:
            for epoch in epochs[step // max(per_epoch, 1) :]:
                orders = [
                    [rows[at] for at in epoch_rows(words[rows], epoch, batch, salt)]
                    for rows, words in zip(self.rows, self.words, strict=True)
                ]
                skip = step % per_epoch if epoch == epochs[step // per_epoch] else 0
                for i in range(skip, per_epoch):
                    yield self._batch([order[i] for order in orders], part, epoch)

        return Stream(per_epoch * len(epochs), start)

    def _batch(self, rows: Sequence[Rows], part: str, epoch: int) -> Batch:
        sizes = np.array([len(r) for r in rows])
        width = int(sizes.max())
        at = np.zeros((len(rows), width), np.int64)
        for i, r in enumerate(rows):
            at[i, : len(r)] = r
        weight = None
        if (sizes < width).any():
            weight = torch.from_numpy((np.arange(width) < sizes[:, None]).astype(np.float32))
        x, y = self.fetch(at)
        words = np.take_along_axis(self.words, at, axis=1)
        full = torch.ones(at.shape) if weight is None else weight
        return Batch(x, y, full, part, epoch, words)

    def blocks(self, size: int = 512) -> Iterator[Batch]:
        """Yield all records of all replicas once, in their own order, filled up where a replica has fewer."""
        longest = max((len(rows) for rows in self.rows), default=0)
        for at in range(0, longest, size):
            yield self._batch([rows[at : at + size] for rows in self.rows], "all", 0)


def grouped(keys: Sequence[Any]) -> list[list[int]]:
    """Return positions with equal keys together, in the order of their first position."""
    found: dict[Any, list[int]] = {}
    for i, key in enumerate(keys):
        found.setdefault(key, []).append(i)
    return list(found.values())
