"""``NetworkStack``: many networks of one learner, trained and asked together where their batches allow it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.dataset import Dataset
from expunge.core.errors import Unsupported
from expunge.core.roles import Progress
from expunge.core.seeds import Key
from expunge.models.encoding.table import in_order
from expunge.models.losses import nats, squares
from expunge.models.modules import seeded
from expunge.models.network_model import NetworkModel
from expunge.models.stack import Many, Stacked, check_stackable, grouped
from expunge.models.streams import U64, Rows, n_batches

if TYPE_CHECKING:
    from expunge.models.network import Network

Mask = npt.NDArray[np.bool_]
LARGEST = 64
"""Networks that are trained in one stack, at most: beyond, operations do not get cheaper."""
NUMBERS = 2**26
"""Weights, gradients and momenta of one stack, and answers that are asked for together, at most."""


@dataclass(frozen=True, eq=False)
class NetworkStack:
    """Networks of one learner over one universe of records.

    Attributes:
        members: the models.
    """

    members: tuple[NetworkModel, ...]

    def __len__(self) -> int:
        return len(self.members)

    def models(self) -> Sequence[NetworkModel]:
        """Return the models by themselves."""
        return self.members

    def logits(self, data: Dataset) -> npt.NDArray[np.float32]:
        """Return unnormalised log-probabilities, shape (M, n, k); float32."""
        found: list[npt.NDArray[np.float32]] = []
        for chunk in chunks(range(len(self)), size_of(self.members[0].module)):
            members = [self.members[i] for i in chunk]
            x, own = inputs_of(members, data)
            many = Many([m.module for m in members]).eval()
            with seeded(0), torch.no_grad():
                found.append(
                    np.concatenate([_ask(many, x, own, rows) for rows in _blocks(x, own, len(members))], axis=1)
                )
        return np.concatenate(found)


def _blocks(x: Tensor, own: bool, m: int) -> Iterable[slice]:
    n, width = x.shape[own], max(1, int(np.prod(x.shape[1 + own :])))
    size = max(1, NUMBERS // (16 * width * m))
    return [slice(at, at + size) for at in range(0, n, size)]


def _ask(many: Many, x: Tensor, own: bool, rows: slice) -> npt.NDArray[np.float32]:
    found = many(x[:, rows]) if own else many.shared(x[rows])
    return np.asarray(found.numpy(), np.float32)


def size_of(module: nn.Module) -> int:
    """Return how many weights a module has."""
    return sum(p.numel() for p in module.parameters())


def chunks(positions: Sequence[int], weights: int) -> list[list[int]]:
    """Return positions in chunks of as many networks as fit together."""
    size = max(1, min(LARGEST, NUMBERS // max(4 * weights, 1)))
    return [list(positions[at : at + size]) for at in range(0, len(positions), size)]


def inputs_of(members: Sequence[NetworkModel], data: Dataset) -> tuple[Tensor, bool]:
    """Return the inputs of some models for the same records, and whether each has its own (a leading axis)."""
    first = members[0].table
    if first.form == "plain" and all(m.table.units == first.units for m in members):
        return members[0].inputs(data), False
    return torch.stack([m.inputs(data) for m in members]), True


def goals_of(members: Sequence[NetworkModel], data: Dataset) -> Tensor:
    """Return the targets: shared by all models where they are classes, each model's own where they are numbers."""
    if members[0].labels:
        return members[0].goals(data)
    return torch.stack([m.goals(data) for m in members])


def samples_of(members: Sequence[NetworkModel], data: Dataset, masks: Mask, words: U64) -> Stacked:
    """Return the records of replicas as samples.

    Args:
        members: the replicas' models.
        data: the universe, in the order of its ids.
        masks: which records each replica has, shape (M, n).
        words: keyed words of all records for each replica, shape (M, n).
    """
    x, own = inputs_of(members, data)
    y = goals_of(members, data)
    if own and members[0].labels:
        y = y.expand(len(members), *y.shape)
    if not own and not members[0].labels:
        x = x.expand(len(members), *x.shape)
    rows: list[Rows] = [np.flatnonzero(mask).astype(np.int64) for mask in masks]
    return Stacked.of(x, y, rows, words)


def words_of(data: Dataset, keys: Sequence[Key]) -> U64:
    """Return the keyed words of all records for each key, shape (M, n)."""
    ids = data.ids.tolist()
    return np.stack([key.words(ids) for key in keys])


def over_groups(
    members: Sequence[NetworkModel], sizes: Sequence[object], treat: Callable[[list[int]], list[nn.Module]]
) -> NetworkStack:
    """Return the models after treating those together that take equally many steps.

    Args:
        members: the models before.
        sizes: what must be equal in one stack (numbers of steps).
        treat: positions → their modules after.
    """
    found: dict[int, NetworkModel] = {}
    for group in grouped(sizes):
        for chunk in chunks(group, size_of(members[0].module)):
            for i, module in zip(chunk, treat(chunk), strict=True):
                found[i] = members[i].changed(module)
    return NetworkStack(tuple(found[i] for i in range(len(members))))


def fit_many(
    learner: Network, data: Dataset, membership: Mask, keys: Sequence[Key], progress: Progress | None = None
) -> NetworkStack:
    """Return the networks of M sets of records; see `Network.fit_many`."""
    order = np.argsort(data.ids, kind="stable")
    data, membership = in_order(data), np.asarray(membership, bool)[:, order]
    began = [learner.begin(data.take(mask), key) for mask, key in zip(membership, keys, strict=True)]
    check_stackable(began[0].module)
    if any(model.labels != began[0].labels for model in began):
        raise Unsupported(
            "not every model has records of every class", hint="Declare the classes of the data (classes=...)."
        )
    words = words_of(data, keys)
    loss = nats if began[0].labels else squares
    done, whole = 0, len(began)

    def treat(chunk: list[int]) -> list[nn.Module]:
        nonlocal done
        members = [began[i] for i in chunk]
        samples = samples_of(members, data, membership[chunk], words[chunk])
        many = Many([m.module for m in members])
        trained = learner.trained(many, samples, loss, 0, (learner.epochs, None, None))
        done += len(chunk)
        if progress is not None:
            progress(done, whole)
        return replicas(trained, members)

    sizes = [n_batches(int(mask.sum()), learner.batch) for mask in membership]
    return over_groups(began, sizes, treat)


def replicas(trained: nn.Module, members: Sequence[NetworkModel]) -> list[nn.Module]:
    """Return the modules of a stack by themselves.

    Raises:
        Unsupported: it is no stack.
    """
    if not isinstance(trained, Many):
        raise Unsupported("what was trained together is no stack of replicas")
    return [trained.replica(i, m.module) for i, m in enumerate(members)]
