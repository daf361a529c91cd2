"""``Samples`` and ``Stream``: records as tensors, and batches of them in a keyed order that can be gone over again.

The order depends on the key and on the set of records alone. A stream knows its length and starts at any step, which is
what lets a descent that was interrupted go on with the very batch that was next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

U64 = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]
PHI = 0x9E3779B97F4A7C15


class Batch(NamedTuple):
    """Some samples.

    Attributes:
        x: inputs, first axis = samples; of a stack of replicas: replicas, then samples.
        y: class codes or numbers.
        weight: of each sample, 0 where a replica's batch is filled up; None = all are one.
        part: what they are: ``kept``, ``forgotten``, or a name of a method's own.
        epoch: how often the part was gone over before.
        words: keyed 64 bits of each sample, of the shape of `weight`.
        partner: a batch that goes with this one.
    """

    x: Tensor
    y: Tensor
    weight: Tensor | None = None
    part: str = "kept"
    epoch: int = 0
    words: U64 | None = None
    partner: Any = None

    @property
    def n_samples(self) -> int:
        """How many samples it holds, all replicas together."""
        return len(self.x) if self.weight is None else int(self.weight.sum())

    def to(self, device: torch.device) -> Batch:
        """Return the batch on a device."""
        weight = None if self.weight is None else self.weight.to(device)
        partner = None if self.partner is None else self.partner.to(device)
        return self._replace(x=self.x.to(device), y=self.y.to(device), weight=weight, partner=partner)


@dataclass(frozen=True, eq=False)
class Stream:
    """Batches in a fixed order.

    Attributes:
        n_steps: how many.
        start: gives the batches from a step on.
    """

    n_steps: int
    start: Callable[[int], Iterator[Batch]] = field(repr=False)

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[Batch]:
        return self.start(0)

    def then(self, other: Stream) -> Stream:
        """Return these batches followed by those of another stream."""

        def start(step: int) -> Iterator[Batch]:
            if step >= self.n_steps:
                return other.start(step - self.n_steps)
            return chain(self.start(step), other.start(0))

        return Stream(self.n_steps + other.n_steps, start)

    def beside(self, other: Stream) -> Stream:
        """Return these batches, each with one of another stream as its partner; the other is gone over in a circle."""

        def start(step: int) -> Iterator[Batch]:
            ours, at = self.start(step), step % other.n_steps
            theirs = chain(other.start(at), _circle(other))
            return (batch._replace(partner=partner) for batch, partner in zip(ours, theirs, strict=False))

        return Stream(self.n_steps, start)

    def first(self, n_steps: int) -> Stream:
        """Return the first batches, gone over in a circle where there are fewer."""

        def start(step: int) -> Iterator[Batch]:
            whole = chain(self.start(step % self.n_steps), _circle(self))
            return islice(whole, max(n_steps - step, 0))

        return Stream(n_steps, start)

    def named(self, part: str) -> Stream:
        """Return the same batches under another name of their part."""
        return Stream(self.n_steps, lambda step: (batch._replace(part=part) for batch in self.start(step)))

    def on(self, device: torch.device) -> Stream:
        """Return the same batches on a device."""
        return Stream(self.n_steps, lambda step: (batch.to(device) for batch in self.start(step)))

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Stream:
        """Return a stream of batches that are there."""
        return cls(len(batches), lambda step: iter(batches[step:]))


def _circle(stream: Stream) -> Iterator[Batch]:
    while True:
        yield from stream.start(0)


def joined(streams: Sequence[Stream]) -> Stream:
    """Return streams one after the other."""
    whole = Stream.of(())
    for stream in streams:
        whole = whole.then(stream)
    return whole


class Samples(Protocol):
    """Records that batches are made of."""

    def __len__(self) -> int:
        """Return how many records there are; of a stack: how many of all replicas together."""
        ...

    def stream(self, part: str, epochs: range, batch: int, salt: int = 0) -> Stream:
        """Return the batches of some epochs, each over all records in a keyed order of its own."""
        ...

    def blocks(self, size: int = 512) -> Iterator[Batch]:
        """Yield all records once, in their own order."""
        ...


@dataclass(frozen=True, eq=False)
class Records:
    """Samples of one model.

    Attributes:
        fetch: gives (inputs, targets) of rows.
        words: keyed words of the record ids, shape (n,), in the order of the ids.
    """

    fetch: Callable[[Rows], tuple[Tensor, Tensor]] = field(repr=False)
    words: U64

    @classmethod
    def of(cls, x: Tensor, y: Tensor, words: U64) -> Records:
        """Return samples of tensors, first axis = samples."""

        def fetch(rows: Rows) -> tuple[Tensor, Tensor]:
            at = torch.from_numpy(rows)
            return x[at], y[at]

        return cls(fetch, words)

    def __len__(self) -> int:
        return len(self.words)

    def take(self, rows: Rows) -> Records:
        """Return some of the records."""
        return replace(self, fetch=lambda at: self.fetch(rows[at]), words=self.words[rows])

    def batch(self, rows: Rows, part: str, epoch: int) -> Batch:
        """Return the batch of these rows."""
        x, y = self.fetch(rows)
        return Batch(x, y, None, part, epoch, self.words[rows])

    def stream(self, part: str, epochs: range, batch: int, salt: int = 0) -> Stream:
        """Return the batches of some epochs, each over all records in a keyed order of its own."""
        per_epoch = n_batches(len(self), batch)

        def start(step: int) -> Iterator[Batch]:
            for epoch in epochs[step // max(per_epoch, 1) :]:
                skip = step % per_epoch if epoch == epochs[step // per_epoch] else 0
                for rows in epoch_rows(self.words, epoch, batch, salt)[skip:]:
                    yield self.batch(rows, part, epoch)

        return Stream(per_epoch * len(epochs), start)

    def blocks(self, size: int = 512) -> Iterator[Batch]:
        """Yield all records once, in their own order."""
        for at in range(0, len(self), size):
            yield self.batch(np.arange(at, min(at + size, len(self))), "all", 0)


def n_batches(n: int, batch: int) -> int:
    """Return how many batches an epoch over n rows has: the last may be smaller, but is never one row among others."""
    whole, rest = divmod(n, batch)
    return whole + (rest > 1 or (rest == 1 and not whole))


def epoch_rows(words: U64, epoch: int, batch: int, salt: int) -> list[Rows]:
    """Return the rows of each batch of an epoch: all rows, in the order of their words mixed with its number.

    Args:
        words: keyed words of the record ids, shape (n,), rows in the order of the ids: then the batches are a
            function of the set of records.
        epoch: its number.
        batch: rows of a batch; the last may be smaller, but is never a single row among others.
        salt: mixed in.
    """
    if not len(words):
        return []
    mixed = mix(words ^ np.uint64((salt + (epoch + 1) * PHI) % 2**64))
    order = np.argsort(mixed, kind="stable").astype(np.int64)
    cuts = [batch * i for i in range(1, n_batches(len(words), batch))]
    return [np.asarray(rows) for rows in np.split(order, cuts)]


def mix(words: U64) -> U64:
    """Return words finalised as in splitmix64 (spec X04)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
