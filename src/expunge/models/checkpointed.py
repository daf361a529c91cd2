"""``CheckpointedNetwork``: a network that also keeps its weights of before the last epochs, to go back to (U35)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, StoreDamaged
from expunge.core.seeds import Key
from expunge.models.descent import Pace, descend
from expunge.models.encoding.table import in_order
from expunge.models.losses import nats
from expunge.models.modules import arrays_of, copied, load_arrays
from expunge.models.network import BATCHES, Network, factors
from expunge.models.network_model import NetworkModel
from expunge.models.wrapped import Wrapped, check_plain, check_steps, check_target, learnt

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress


@dataclass(frozen=True)
class CheckpointedNetwork:
    """A network of classes learnt by plain gradient steps, whose model keeps the weights of some epochs before the end.

    Attributes:
        network: how it learns: by ``sgd`` without momentum (nothing but weights goes from step to step), ``plain``.
        rewind: K, epochs between the weights that are kept and the last.

    Guarantee: exact, grade ``bits-here``, when it learns again; `expunge.unlearners.approximate.rewind` is empirical.
    Cost: a training; the weights twice.
    Source: spec U35; Mu and Klabjan (2024).
    """

    network: Network = field(
        default_factory=lambda: Network(
            hidden=(), form="plain", epochs=40, optimiser="sgd", momentum=0.0, rate=0.2, decay=1e-2
        )
    )
    rewind: int = 20

    def prepare(self, say: Callable[[str], None]) -> None:
        """Get the network ready."""
        self.network.prepare(say)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> CheckpointedModel:
        """Return the network of these records, and its weights of before the last epochs.

        Raises:
            BadInput: a recipe with more than weights to remember, a learnt encoder, or nothing to go back over.
            BadTarget, ClassVanished, BadData: nothing to learn, or a target of numbers.
        """
        self.check(data)
        network = self.network
        begun = network.begin(data, key)
        samples = begun.records(in_order(data), key)
        per_epoch = len(samples.stream("kept", range(1), network.batch))
        until, seen, then = (network.epochs - self.rewind) * per_epoch, 0, copied(begun.module)

        def passing(module: nn.Module, batch: Any) -> Tensor:
            nonlocal seen, then
            if seen == until:
                then = copied(module)
            seen += 1
            return nats(module, batch)

        model = learnt(begun, samples, passing, key, progress)
        return CheckpointedModel(self, model, then.eval())

    def again(self, model: CheckpointedModel, data: Dataset, key: Key) -> nn.Module:
        """Return the kept weights after the last epochs of the recipe, over these records."""
        network, samples = self.network, model.model.records(in_order(data), key)
        first = network.epochs - self.rewind
        stream = samples.stream("kept", range(first, network.epochs), network.batch, BATCHES)
        factor = factors(network.schedule, network.epochs)
        per_epoch = max(1, len(stream) // self.rewind)
        schedule = None if factor is None else lambda step: factor(first + step / per_epoch)
        pace = Pace("sgd", network.rate, decay=network.decay, schedule=schedule, precision=network.precision)
        return descend(model.then, stream, nats, pace, seed=key.word("network/dropout"))

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> CheckpointedModel:
        """Return the model that was saved as its state and memory.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        self.check(data)
        model = self.network.restore(arrays, data, key)
        given = {n.removeprefix("secret/"): np.asarray(a) for n, a in arrays.items() if n.startswith("secret/")}
        try:
            then = load_arrays(copied(model.module), given)
        except BadInput as error:
            raise StoreDamaged(f"the saved weights of before do not fit: {error.message}") from error
        return CheckpointedModel(self, model, then)

    def check(self, data: Dataset) -> None:
        """Refuse recipes and records that cannot be gone over again from weights alone.

        Raises:
            BadInput: an optimiser with a memory, a learnt encoder, or nothing to go back over.
            BadTarget: numbers.
        """
        network = self.network
        check_steps(network, "only weights are kept", mixed=True)
        check_plain(network, "only weights are gone back to")
        if not isinstance(self.rewind, int) or isinstance(self.rewind, bool) or not 1 <= self.rewind < network.epochs:
            raise BadInput(f"rewind must be from 1 to below the {network.epochs} epochs, not {self.rewind!r}")
        check_target(data, "a checkpointed network")


@dataclass(frozen=True, eq=False)
class CheckpointedModel(Wrapped):
    """A network, and its weights of before the last epochs.

    Attributes:
        learner: what made it.
        model: the network.
        then: the module as it was.
    """

    learner: CheckpointedNetwork
    model: NetworkModel = field(repr=False)
    then: nn.Module = field(repr=False)

    def memory(self) -> dict[str, npt.NDArray[Any]]:
        """Return the weights of before."""
        return {f"secret/{name}": array for name, array in arrays_of(self.then).items()}

    def changed(self, module: nn.Module) -> CheckpointedModel:
        """Return the model with another module; what is gone back to stays."""
        return replace(self, model=self.model.changed(module))


def noisy(module: nn.Module, sigma: float, seed: int) -> nn.Module:
    """Return a copy with normal noise on every weight, by a generator of its own."""
    after, draw = copied(module), torch.Generator().manual_seed(seed % 2**63)
    with torch.no_grad():
        for weight in after.parameters():
            weight.add_(sigma * torch.randn(weight.shape, generator=draw))
    return after
