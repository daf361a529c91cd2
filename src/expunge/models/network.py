"""``Network``: a torch module as a learner: a perceptron over tables or vectors, or any module of the user's.

The loop is `expunge.models.descent`'s. Encoders, classes, first weights, batches and dropout are functions of the key
and of the set of records, so a fit on the kept records is what a deletion must equal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.dataset import Dataset
from expunge.core.errors import BadInput, BadTarget, StoreDamaged, Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, check_saved, class_labels, exactly
from expunge.core.seeds import Key
from expunge.models.descent import Batch, Pace, copied, descend, epochs, seeded
from expunge.models.encoding.moments import moments, place
from expunge.models.encoding.table import Table, in_order
from expunge.models.scores import class_codes, cross_entropy, known_codes, label_bytes, squared_errors

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Floats, Progress

Factory = Callable[[int, int], nn.Module]
"""Takes the numbers of inputs and outputs, gives a module from (n, inputs) to (n, outputs), float32."""
BLOCK = 4096
"""Rows that are predicted together."""
SAME_HERE = "torch gives the same bits for the same input on one thread of this platform"


@dataclass(frozen=True)
class Network:
    """A network that learns classes or numbers from tables and vectors.

    Attributes:
        hidden: widths of the hidden layers of the perceptron (ReLU).
        epochs: how often all records are gone over.
        batch: records a step.
        optimiser: ``adam``, ``adamw`` or ``sgd`` (momentum 0.9).
        rate: step size.
        decay: weight decay.
        dropout: share of hidden units left out at a step.
        module: ``mlp``, or the name of the factory given to `of`; the name stands for it in digests and receipts.
        factory: see `of`.

    Guarantee: exact, grade ``bits-here``, when it learns again (it cannot forget by itself): put it into `Sharded`.
    Cost: fit O(epochs · n · parameters), one thread.
    Source: deep-and-audit section 2, XL03 (XS08). Adam: Kingma and Ba (2015).
    """

    hidden: tuple[int, ...] = (128, 64)
    epochs: int = 8
    batch: int = 256
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = 2e-3
    decay: float = 0.0
    dropout: float = 0.0
    module: str = "mlp"
    factory: Factory | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, factory: Factory, name: str = "", **params: Any) -> Network:
        """Return a network of the user's own module.

        Args:
            factory: makes the module (see `Factory`); it may draw from torch's generator, which is seeded for it.
            name: what the module is called, by default where the factory is defined; another module needs another.
            params: the other attributes.

        Raises:
            BadInput: a factory without a name.
        """
        name = name or f"{getattr(factory, '__module__', '')}:{getattr(factory, '__qualname__', '')}"
        if "<" in name or name.endswith(":") or name == "mlp":
            raise BadInput("a module needs a name of its own", hint='Write Network.of(factory, "my-module-1").')
        return cls(module=name, factory=factory, **params)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Take a first step, so that what torch loads for it (some seconds, silently) is in nobody's timing."""
        if "torch._dynamo" not in sys.modules:
            say("torch gets ready for its first step (a few seconds)")
        module = perceptron((1, 1))
        descend(module, [(torch.zeros((1, 1)), torch.zeros((1, 1)))], squares)

    def fit(self, data: Dataset, key: Key, progress: Progress | None = None) -> NetworkModel:
        """Return the network of these records.

        Args:
            data: records with a target of classes or numbers.
            key: of all draws.
            progress: called with (steps done, steps).

        Raises:
            BadTarget, ClassVanished, BadData: nothing to learn, or the loss grew without bound.
        """
        return self._trained(self.begin(data, key), data, key, self.epochs, progress)

    def begin(self, data: Dataset, key: Key) -> NetworkModel:
        """Return the network before it has learnt: encoder, classes, first weights."""
        self._check()
        numbers = data.target is not None and data.target.kind == "number"
        labels = () if numbers else class_labels(data)
        ruler = _ruler(data) if numbers else (0.0, 1.0)
        table = Table.of(data, key, "scaled")
        with seeded(key.word("network/first")):
            module = self._build(table.width, len(labels) or 1)
        return NetworkModel(self, Identity.of(self, data, key), table, labels, ruler, module.eval())

    def resume(self, model: NetworkModel, data: Dataset, key: Key, share: float) -> NetworkModel:
        """Return the network after more epochs, this share of a whole training's; the one given is untouched."""
        return self._trained(model, data, key, max(1, round(share * self.epochs)), None)

    def reload(self, model: NetworkModel, arrays: Arrays) -> NetworkModel:
        """Return the network of saved weights, with the encoder and classes of another.

        Raises:
            StoreDamaged: the weights are not those of such a network.
        """
        with seeded(0):
            module = self._build(model.table.width, len(model.labels) or 1)
        wanted = module.state_dict()
        given = {name: arrays.get(f"weights/{name}") for name in wanted}
        odd = [n for n, a in given.items() if a is None or tuple(a.shape) != tuple(wanted[n].shape)]
        if odd:
            raise StoreDamaged(f"the saved weights {odd[0]!r} do not fit the network")
        module.load_state_dict({n: torch.from_numpy(np.array(a)).to(wanted[n].dtype) for n, a in given.items()})
        return replace(model, module=module.eval())

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> NetworkModel:
        """Return the network that was saved as its state.

        Raises:
            StoreDamaged: the arrays are not those of this learner over these records.
        """
        model = self.reload(self.begin(data, key), arrays)
        check_saved(model, arrays)
        return model

    def _trained(
        self, model: NetworkModel, data: Dataset, key: Key, n_epochs: int, progress: Progress | None
    ) -> NetworkModel:
        data = in_order(data)
        X, y = model.inputs(data), model.goals(data)
        words, seed = key.words(data.ids.tolist()), key.word("network/batches")
        rows = list(epochs(words, n_epochs, self.batch, seed))
        batches = ((X[torch.from_numpy(r)], y[torch.from_numpy(r)]) for r in rows)
        pace = Pace(self.optimiser, self.rate, momentum=0.9, decay=self.decay)
        loss = nats if model.labels else squares
        watch = (None, progress, len(rows))
        module = descend(model.module, batches, loss, pace, seed=key.word("network/dropout"), watch=watch)
        return replace(model, module=module.eval())

    def _build(self, width: int, outputs: int) -> nn.Module:
        if self.module == "mlp":
            return perceptron((width, *self.hidden, outputs), self.dropout)
        if self.factory is None:
            raise BadInput(f"the module {self.module!r} was given by the user", hint="Give it again: Network.of(...).")
        return self.factory(width, outputs).float()

    def _check(self) -> None:
        if not all(isinstance(h, int) and 1 <= h <= 2**16 for h in self.hidden):
            raise BadInput(f"hidden must be positive whole numbers, not {self.hidden!r}")
        for name, value in (("epochs", self.epochs), ("batch", self.batch)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise BadInput(f"{name} must be a positive whole number, not {value!r}")
        if not 0 <= self.dropout < 1:
            raise BadInput(f"dropout must be from 0 to below 1, not {self.dropout!r}")
        if not (self.rate > 0 and self.decay >= 0):
            raise BadInput(f"rate must be above 0 and decay not below, not {self.rate!r} and {self.decay!r}")


def perceptron(widths: tuple[int, ...], dropout: float = 0.0) -> nn.Sequential:
    """Return a multi-layer perceptron: linear layers of these widths with ReLU (and dropout) between them."""
    layers: list[nn.Module] = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [nn.Linear(a, b), nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers[: -2 - bool(dropout)], layers[-2 - bool(dropout)])


def nats(module: nn.Module, batch: Batch) -> Tensor:
    """Return the mean cross-entropy of a batch (inputs, class codes)."""
    return nn.functional.cross_entropy(module(batch[0]), batch[1])


def squares(module: nn.Module, batch: Batch) -> Tensor:
    """Return the mean squared error of a batch (inputs, numbers of shape (n, 1))."""
    return nn.functional.mse_loss(module(batch[0]), batch[1])


def _ruler(data: Dataset) -> tuple[float, float]:
    """Return (shift, step) of a target of numbers: a power of two near its spread, from integer moments.

    Raises:
        BadTarget: a number is missing.
    """
    values = np.asarray(data.target.values if data.target is not None else (), np.float64)
    if not np.isfinite(values).all():
        raise BadTarget(f"target {data.target_name!r} is not a number in every record")
    return place(moments(values), 0)


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """The model of a `Network`.

    Attributes:
        learner: its hyper-parameters.
        identity: learner, schema and key commitment, for the digest.
        table: the encoder.
        labels: the classes, in the order of the columns of `logits`; none for a target of numbers.
        ruler: what 0 and 1 of the network's answer are, where the target is a number.
        module: in evaluation mode; never changed, `expunge.models.descent.descend` takes copies.
    """

    learner: Network
    identity: Identity
    table: Table
    labels: tuple[str, ...]
    ruler: tuple[float, float]
    module: nn.Module = field(repr=False)

    def inputs(self, data: Dataset) -> Tensor:
        """Return what the module is asked, shape (n, inputs), float32."""
        return torch.from_numpy(self.table.encode(data).astype(np.float32))

    def goals(self, data: Dataset) -> Tensor:
        """Return what the module should answer: class codes, shape (n,), or numbers, shape (n, 1)."""
        if self.labels:
            return torch.from_numpy(known_codes(data, self.labels))
        values = np.asarray(data.target.values if data.target is not None else (), np.float64)
        return torch.from_numpy(((values - self.ruler[0]) / self.ruler[1]).astype(np.float32)[:, None])

    def _answers(self, data: Dataset) -> Floats:
        """Return the module's outputs, shape (n, outputs)."""
        found = np.zeros((len(data), len(self.labels) or 1))
        with seeded(0), torch.no_grad():
            for start in range(0, len(data), BLOCK):
                rows = np.arange(start, min(start + BLOCK, len(data)))
                found[rows] = self._wide(self.inputs(data.take(rows)).double()).numpy()
        return found

    @cached_property
    def _wide(self) -> nn.Module:
        """The module in float64: so wide that the other records asked about do not show in an answer."""
        return copied(self.module).double().eval()

    def logits(self, data: Dataset) -> Floats:
        """Return unnormalised log-probabilities, shape (n, k)."""
        return self._answers(data)

    def values(self, data: Dataset) -> Floats:
        """Return the predicted numbers, shape (n,)."""
        found: Floats = self._answers(data)[:, 0] * self.ruler[1] + self.ruler[0]
        return found

    def features(self, data: Dataset) -> Floats:
        """Return what the last linear layer is asked, shape (n, d): the records as the network sees them.

        Raises:
            Unsupported: the module has no linear layer.
        """
        layers = [part for part in self._wide.modules() if isinstance(part, nn.Linear)]
        if not layers:
            raise Unsupported(f"{self.learner.module} has no linear layer, so it has no features")
        seen: list[Floats] = []
        hook = layers[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().numpy()))
        try:
            self._answers(data)
        finally:
            hook.remove()
        return np.concatenate([np.zeros((0, layers[-1].in_features)), *seen])

    def losses(self, data: Dataset) -> Floats:
        """Return cross-entropy in nats, or squared errors; shape (n,)."""
        if self.labels:
            return cross_entropy(self.logits(data), class_codes(data, self.labels))
        return squared_errors(self.values(data), data)

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return what predicts: encoder, classes or target step, weights and buffers."""
        weights = {f"weights/{n}": t.detach().numpy().copy() for n, t in self.module.state_dict().items()}
        goal = {"classes/labels": label_bytes(self.labels), "target/ruler": np.array(self.ruler, np.float64)}
        return {**self.table.state(), **goal, **weights}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here``, resting on torch."""
        return exactly("bits-here", SAME_HERE)
