"""What models have in common that hold a `Network`'s model and remember more than it: its answers, its checks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, StoreDamaged
from expunge.core.seeds import Key
from expunge.models.network_model import NetworkModel

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Floats, Progress
    from expunge.models.losses import Loss
    from expunge.models.network import Network
    from expunge.models.streams import Samples


class Wrapped:
    """A model that answers as the network in it; what it remembers besides is its own.

    Attributes:
        model: the network.
    """

    model: NetworkModel

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

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.model.digest()


def learnt(begun: NetworkModel, samples: Samples, loss: Loss, key: Key, progress: Progress | None) -> NetworkModel:
    """Return a network that was begun, after a training by its recipe that a loss looks on at."""
    network: Network = begun.learner
    watch = (network.epochs, progress, None)
    return begun.changed(network.trained(begun.module, samples, loss, key.word("network/dropout"), watch))


def remembered(arrays: Arrays, names: Iterable[str], shape: tuple[int, ...], damaged: str) -> list[npt.NDArray[Any]]:
    """Return saved arrays of float32 of one shape.

    Raises:
        StoreDamaged: with the words of `damaged`: they are not that, or not finite.
    """
    found = [np.asarray(arrays.get(name, ())) for name in names]
    if any(a.shape != shape or a.dtype != np.float32 or not np.isfinite(a).all() for a in found):
        raise StoreDamaged(damaged)
    return found


def check_steps(network: Network, why: str, mixed: bool = False) -> None:
    """Refuse steps that are not plain gradient steps.

    Args:
        network: the recipe.
        why: begins the refusal.
        mixed: whether forward passes may be in bfloat16.

    Raises:
        BadInput: an optimiser with a memory, or dropout.
    """
    rounded = network.precision != "float32" and not mixed
    if network.optimiser != "sgd" or network.momentum or network.dropout or rounded:
        raise BadInput(why, hint='Use optimiser="sgd", momentum=0, dropout=0.')


def check_plain(network: Network, why: str) -> None:
    """Refuse a network whose weights are not all there is.

    Raises:
        BadInput: a learnt encoder, or another device.
    """
    if network.form != "plain" or network.device != "cpu":
        raise BadInput(why, hint='Use Network(form="plain", device="cpu").')


def check_target(data: Dataset, who: str) -> None:
    """Refuse a target of numbers.

    Raises:
        BadTarget: the target is one.
    """
    if data.target is not None and data.target.kind != "category":
        raise BadTarget(f"{who} learns classes: the ruler of numbers is learnt from records")


def flattened(tensors: Iterable[Tensor]) -> Tensor:
    """Return tensors as one vector."""
    return torch.cat([t.reshape(-1) for t in tensors])
