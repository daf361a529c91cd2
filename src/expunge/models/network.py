"""``Network``: a torch module as a learner: a perceptron, one of `expunge.models.vision`, or any module of the user's.

The loop is `expunge.models.descent`'s. Encoders, classes, first weights, batches and dropout are functions of the key
and of the set of records, so a fit on the kept records is what a deletion must equal.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from expunge.core.dataset import Dataset
from expunge.core.errors import BadData, BadInput, BadTarget, StoreDamaged
from expunge.core.models import Identity, check_saved, class_labels
from expunge.core.seeds import Key
from expunge.models import vision
from expunge.models.descent import Meter, Pace, Watch, descend
from expunge.models.encoding.moments import moments, place
from expunge.models.encoding.table import Form, Table, in_order
from expunge.models.losses import Loss, nats, squares
from expunge.models.modules import check_device, load_arrays, placed, seeded
from expunge.models.network_model import NetworkModel
from expunge.models.scores import labels_of
from expunge.models.streams import Samples
from expunge.models.vision import perceptron

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays
    from expunge.core.roles import Progress
    from expunge.models.network_stack import NetworkStack

Factory = Callable[[int, int], nn.Module]
"""Takes the numbers of inputs and outputs, gives a module from (n, inputs) to (n, outputs), float32."""
BATCHES = 0x6578_7075_6E67_6501
"""The salt of the order of batches in training."""
Schedule = Literal["constant", "cosine", "linear", "steps", "peak"]


@dataclass(frozen=True)
class Network:
    """A network that learns classes or numbers from tables, vectors and images.

    Attributes:
        hidden: widths of the hidden layers of the perceptron (ReLU).
        epochs: how often all records are gone over.
        batch: records a step.
        optimiser: ``adam``, ``adamw`` or ``sgd``.
        rate: step size.
        decay: weight decay.
        dropout: share of hidden units left out at a step.
        module: ``mlp``, a name of `expunge.models.vision.NETWORKS`, or the name of the factory given to `of`; the name
            stands for it in digests and receipts.
        factory: see `of`.
        momentum: of ``sgd``.
        schedule: of the rate: ``constant``, ``cosine`` to zero, ``linear`` to zero, ``steps`` (a tenth after half and
            three quarters of the steps), ``peak`` (up for a fifth of the steps, then down).
        shape: of an image (channels, height, width), for networks of images.
        form: ``scaled`` = columns are scaled by what the records say; ``plain`` = numbers and vectors as they are.
        device: ``cpu`` or ``cuda``.
        precision: of forward passes in training: ``float32`` or ``bfloat16``.

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
    momentum: float = 0.9
    schedule: Schedule = "constant"
    shape: tuple[int, ...] = ()
    form: Literal["scaled", "plain"] = "scaled"
    device: str = "cpu"
    precision: Literal["float32", "bfloat16"] = "float32"

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
        if "<" in name or name.endswith(":") or name in ("mlp", *vision.NETWORKS):
            raise BadInput("a module needs a name of its own", hint='Write Network.of(factory, "my-module-1").')
        return cls(module=name, factory=factory, **params)

    def prepare(self, say: Callable[[str], None]) -> None:
        """Take a first step, so that what torch loads for it (some seconds, silently) is in nobody's timing."""
        if "torch._dynamo" not in sys.modules:
            say("torch gets ready for its first step (a few seconds)")
        descend(perceptron((1, 1)), [(torch.zeros((1, 1)), torch.zeros((1, 1)))], squares)

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

    def fit_many(
        self,
        data: Dataset,
        membership: npt.NDArray[np.bool_],
        keys: Sequence[Key],
        progress: Progress | None = None,
    ) -> NetworkStack:
        """Return the networks of M sets of records, trained together: the results are those of M fits.

        Args:
            data: the universe of records, n.
            membership: which records each network learns from, shape (M, n).
            keys: of each network.
            progress: called with (steps done, steps).

        Raises:
            Unsupported: layers that keep statistics, or drop units, cannot be trained together.

        Cost: as M fits, with fewer and larger operations; `expunge.audit.worlds` measures whether it pays.
        Source: deep-and-audit section 8.
        """
        from expunge.models.network_stack import fit_many

        return fit_many(self, data, membership, keys, progress)

    def begin(self, data: Dataset, key: Key) -> NetworkModel:
        """Return the network before it has learnt: encoder, classes, first weights."""
        self._check()
        numbers = data.target is not None and data.target.kind == "number"
        labels = () if numbers else class_labels(data)
        ruler = _ruler(data) if numbers else (0.0, 1.0)
        form: Form = self.form
        table = Table.of(data, key, form)
        with seeded(key.word("network/first")):
            module = self.build(table.width, len(labels) or 1)
        return NetworkModel(self, Identity.of(self, data, key), table, labels, ruler, module.eval())

    def resume(self, model: NetworkModel, data: Dataset, key: Key, share: float) -> NetworkModel:
        """Return the network after more epochs, this share of a whole training's; the one given is untouched."""
        return self._trained(model, data, key, max(1, round(share * self.epochs)), None)

    def going_on(self, model: NetworkModel, data: Dataset, n_steps: int, key: Key) -> NetworkModel:
        """Return the network after more steps on these records, at a tenth of the recipe's rate.

        Args:
            model: of this learner; untouched.
            data: what it goes on with.
            n_steps: steps of one batch each, gone over in a circle.
            key: of the order of batches.
        """
        samples = model.records(in_order(data), key)
        per_epoch = max(len(samples.stream("kept", range(1), self.batch)), 1)
        stream = samples.stream("kept", range(-(-n_steps // per_epoch)), self.batch, BATCHES).first(n_steps)
        loss = nats if model.labels else squares
        pace = replace(self.pace(n_steps, constant=True), rate=self.rate / 10)
        return model.changed(descend(placed(model.module, self.device), stream, loss, pace))

    def reload(self, model: NetworkModel, arrays: Arrays) -> NetworkModel:
        """Return the network of saved weights, with the encoder and classes of another.

        Raises:
            StoreDamaged: the weights are not those of such a network.
        """
        with seeded(0):
            module = self.build(model.table.width, len(model.labels) or 1)
        given = {n.removeprefix("weights/"): np.asarray(a) for n, a in arrays.items() if n.startswith("weights/")}
        try:
            return model.changed(load_arrays(module, given))
        except BadInput as error:
            raise StoreDamaged(error.message) from error

    def restore(self, arrays: Arrays, data: Dataset, key: Key) -> NetworkModel:
        """Return the network that was saved as its state: encoder, classes and weights are those of the arrays.

        They need not be what these records give: a network that was unlearned keeps the encoder that it had.

        Raises:
            StoreDamaged: the arrays are not those of this learner over such records.
        """
        try:
            table, labels = Table.read(arrays, data, key), labels_of(arrays["classes/labels"])
            low, step = np.asarray(arrays["target/ruler"], np.float64).tolist()
        except (BadData, KeyError, ValueError) as error:
            raise StoreDamaged(f"the saved network cannot be read: {error}") from error
        if bool(labels) == (data.target is not None and data.target.kind == "number"):
            raise StoreDamaged("the saved network answers another kind of question than these records ask")
        blank = NetworkModel(self, Identity.of(self, data, key), table, labels, (low, step), nn.Module())
        model = self.reload(blank, arrays)
        check_saved(model, arrays)
        return model

    def trained(
        self,
        module: nn.Module,
        samples: Samples,
        loss: Loss,
        seed: int,
        watch: tuple[int, Progress | None, Meter | None],
    ) -> nn.Module:
        """Return a copy of a module after training by this recipe.

        Args:
            module: where to start: one, or a stack.
            samples: what to learn.
            loss: of a batch.
            seed: of dropout.
            watch: epochs, progress and meter.
        """
        epochs, progress, meter = watch
        stream = samples.stream("kept", range(epochs), self.batch, BATCHES)
        found = descend(
            placed(module, self.device),
            stream if self.device == "cpu" else stream.on(torch.device(self.device)),
            loss,
            self.pace(len(stream)),
            seed=seed,
            watch=Watch(meter, progress),
        )
        return placed(found, "cpu")

    def pace(self, n_steps: int, constant: bool = False) -> Pace:
        """Return the recipe's pace over so many steps."""
        schedule = None if constant else factors(self.schedule, n_steps)
        return Pace(
            self.optimiser,
            self.rate,
            momentum=self.momentum,
            decay=self.decay,
            schedule=schedule,
            precision=self.precision,
        )

    def _trained(
        self, model: NetworkModel, data: Dataset, key: Key, n_epochs: int, progress: Progress | None
    ) -> NetworkModel:
        samples, loss = model.records(in_order(data), key), nats if model.labels else squares
        seed = key.word("network/dropout")
        return model.changed(self.trained(model.module, samples, loss, seed, (n_epochs, progress, None)))

    def build(self, width: int, outputs: int) -> nn.Module:
        """Return a module with first weights from torch's generator.

        Raises:
            BadInput: it was the user's own, and is not given here; or images without a shape.
        """
        if self.factory is not None:
            return self.factory(width, outputs).float()
        if self.module == "mlp":
            return perceptron((width, *self.hidden, outputs), self.dropout)
        if self.module in vision.NETWORKS:
            return vision.over_rows(self.module, self.shape, (width, outputs))
        raise BadInput(f"the module {self.module!r} was given by the user", hint="Give it again: Network.of(...).")

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
        factors(self.schedule, 1)
        check_device(self.device)
        if self.precision not in ("float32", "bfloat16"):
            raise BadInput(f"precision must be float32 or bfloat16, not {self.precision!r}")


def factors(schedule: str, n_steps: int) -> Callable[[int], float] | None:
    """Return the factor of the rate by step; None where it is 1 throughout.

    Raises:
        BadInput: no such schedule.

    >>> cosine = factors("cosine", 4)
    >>> [round(cosine(step), 3) for step in range(4)]
    [1.0, 0.854, 0.5, 0.146]
    """
    known: dict[str, Callable[[float], float] | None] = {
        "constant": None,
        "cosine": lambda t: 0.5 * (1 + float(np.cos(np.pi * t))),
        "linear": lambda t: 1 - t,
        "steps": lambda t: 1.0 if t < 0.5 else 0.1 if t < 0.75 else 0.01,
        "peak": lambda t: min(1.0, (t + 1 / max(n_steps, 1)) / 0.2) if t < 0.2 - 1 / max(n_steps, 1) else (1 - t) / 0.8,
    }
    if schedule not in known:
        raise BadInput(f"schedule must be one of {', '.join(known)}, not {schedule!r}")
    shape = known[schedule]
    return None if shape is None else lambda step: shape(step / max(n_steps, 1))


def _ruler(data: Dataset) -> tuple[float, float]:
    """Return (shift, step) of a target of numbers: a power of two near its spread, from integer moments.

    Raises:
        BadTarget: a number is missing.
    """
    values = np.asarray(data.target.values if data.target is not None else (), np.float64)
    if not np.isfinite(values).all():
        raise BadTarget(f"target {data.target_name!r} is not a number in every record")
    return place(moments(values), 0)
