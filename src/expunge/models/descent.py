"""THE gradient loop: every method that learns or unlearns by gradients passes a loss to `descend` and writes no loop.

The module given is never changed: `descend` works on a deep copy that shares no storage with it. One thread, generators
seeded for the block alone, batches in the order of keyed words: the same bits for the same input on one platform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.errors import BadData, BadInput
from expunge.core.roles import Progress

Batch = tuple[Tensor, ...]
Loss = Callable[[nn.Module, Batch], Tensor]
"""Takes the module and a batch, gives what is to be made small: a tensor of one number, in nats where it can be."""
Mask = Mapping[str, Tensor]
"""Parameter name → which coordinates may move (bool, of the parameter's shape); parameters not named may."""

NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
PHI = 0x9E3779B97F4A7C15


@dataclass
class Meter:
    """What a descent cost, in units that do not depend on the machine.

    Attributes:
        forward: samples that went forward.
        backward: samples whose gradient was taken.
        products: products of a Hessian and a vector.
        steps: steps of the optimiser.
    """

    forward: int = 0
    backward: int = 0
    products: int = 0
    steps: int = 0


@dataclass(frozen=True)
class Pace:
    """How to descend.

    Attributes:
        optimiser: ``adam``, ``adamw`` or ``sgd``.
        rate: step size, > 0; negative ascends.
        momentum: of ``sgd``.
        decay: weight decay.
        clip: largest norm of a gradient; None = any.
        schedule: factor of the rate, from the step (counted from 0); None = 1.
        freeze_norms: whether running statistics of normalisers stay as they are (ascent must not move them).
        mask: which coordinates may move.
        after_step: called with (module, step) after each step, outside of gradients.
    """

    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = 2e-3
    momentum: float = 0.0
    decay: float = 0.0
    clip: float | None = None
    schedule: Callable[[int], float] | None = field(default=None, compare=False)
    freeze_norms: bool = False
    mask: Mask | None = field(default=None, compare=False, repr=False)
    after_step: Sequence[Callable[[nn.Module, int], None]] = field(default=(), compare=False, repr=False)

    def build(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser over a module's parameters.

        Raises:
            BadInput: no such optimiser, or a rate that is no number.
        """
        if not math.isfinite(self.rate) or self.rate == 0:
            raise BadInput(f"rate must be a number other than 0, not {self.rate!r}")
        given = [p for p in module.parameters() if p.requires_grad]
        common: dict[str, Any] = {
            "lr": abs(self.rate),
            "weight_decay": self.decay,
            "maximize": self.rate < 0,
            "foreach": False,
        }
        if self.optimiser == "sgd":
            return torch.optim.SGD(given, momentum=self.momentum, **common)
        kinds: dict[str, Any] = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        if self.optimiser not in kinds:
            raise BadInput(f"optimiser must be adam, adamw or sgd, not {self.optimiser!r}")
        found: torch.optim.Optimizer = kinds[self.optimiser](given, **common)
        return found


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give the block torch generators of its own and one thread; what is global is afterwards as it was.

    Deterministic algorithms are asked for inside, and everything runs on the processor. Dropout and initialisers draw
    from the default generator, which is why it is the default one that is seeded, and put back.
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    if threads != 1:
        torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        with torch.random.fork_rng(devices=()):
            torch.default_generator.manual_seed(seed % 2**63)
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        if threads != 1:
            torch.set_num_threads(threads)


def copied(module: nn.Module) -> nn.Module:
    """Return a deep copy that shares no storage with the module.

    Raises:
        BadInput: the copy shares a tensor, so that changing one would change the other.
    """
    copy = deepcopy(module)
    own = {t.data_ptr() for t in _tensors(module) if t.numel()}
    if any(t.data_ptr() in own for t in _tensors(copy) if t.numel()):
        raise BadInput(f"a copy of {type(module).__name__} shares tensors with it", hint="Mend its __deepcopy__.")
    return copy


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def descend(
    module: nn.Module,
    batches: Iterable[Batch],
    loss: Loss,
    pace: Pace = Pace(),
    *,
    seed: int = 0,
    watch: tuple[Meter | None, Progress | None, int | None] = (None, None, None),
) -> nn.Module:
    """Return a copy of the module after one step a batch.

    Args:
        module: where to start; not changed in any way, its training flags and buffers included.
        batches: tensors, first dimension = samples; one step is taken for each.
        loss: of the module on a batch.
        pace: optimiser, rate, clipping, mask and what is done after each step.
        seed: of dropout and whatever else the module draws.
        watch: a meter to add to, a progress to call with (steps done, steps), and the number of steps (None = all
            batches). Raising from the progress stops the descent; nothing is changed then.

    Raises:
        BadData: the loss is not finite.

    Cost: forward and backward over all batches, and one copy of the module.
    Source: deep-and-audit section 2.3.
    """
    meter, progress, n_steps = watch
    with seeded(seed):
        after = copied(module)
        after.train()
        if pace.freeze_norms:
            _freeze(after)
        optimiser, still = pace.build(after), _still(after, pace.mask)
        for step, batch in enumerate(islice(batches, n_steps)):
            _take(after, optimiser, loss, (step, batch), pace)
            _put_back(still)
            _count(meter, len(batch[0]) if batch else 0)
            for act in pace.after_step:
                act(after, step)
            if progress is not None:
                progress(step + 1, n_steps or 0)
        for copy, original in zip(after.modules(), module.modules(), strict=True):
            copy.training = original.training
    return after


def _take(module: nn.Module, optimiser: torch.optim.Optimizer, loss: Loss, at: tuple[int, Batch], pace: Pace) -> None:
    """Take one step."""
    step, batch = at
    if pace.schedule is not None:
        for group in optimiser.param_groups:
            group["lr"] = abs(pace.rate) * pace.schedule(step)
    optimiser.zero_grad()
    value = loss(module, batch)
    if not bool(torch.isfinite(value)):
        raise BadData(f"the loss is {value.item()} at step {step}", hint="Lower the rate, or clip the gradients.")
    value.backward()  # type: ignore[no-untyped-call]  # torch's own
    if pace.clip is not None:
        nn.utils.clip_grad_norm_(module.parameters(), pace.clip)
    optimiser.step()


def _count(meter: Meter | None, samples: int) -> None:
    if meter is not None:
        meter.forward += samples
        meter.backward += samples
        meter.steps += 1


def _freeze(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, NORMS):
            part.eval()


def _still(module: nn.Module, mask: Mask | None) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return (parameter, what must not move, its values) of each masked parameter."""
    named = dict(module.named_parameters())
    lost = [name for name in mask or () if name not in named]
    if lost:
        raise BadInput(f"the mask names {lost[0]!r}, which is no parameter of the module")
    return [(named[name], ~free.bool(), named[name].detach().clone()) for name, free in (mask or {}).items()]


def _put_back(still: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Restore masked coordinates bit for bit, whatever decay and momentum did to them."""
    with torch.no_grad():
        for parameter, fixed, values in still:
            parameter.copy_(torch.where(fixed, values, parameter))


def recalibrated(module: nn.Module, batches: Iterable[Batch], seed: int = 0) -> nn.Module:
    """Return a copy whose normalisers hold the statistics of these batches (kept records), and of nothing else.

    Args:
        module: not changed.
        batches: the first tensor of each is the module's input.
        seed: of what the module draws.
    """
    with seeded(seed), torch.no_grad():
        after = copied(module)
        after.eval()
        for part in after.modules():
            if isinstance(part, NORMS) and part.track_running_stats:
                part.reset_running_stats()
                part.momentum = None  # the plain mean of all batches
                part.train()
        for batch in batches:
            after(batch[0])
        for copy, original in zip(after.modules(), module.modules(), strict=True):
            copy.training = original.training
            if isinstance(original, NORMS):
                copy.momentum = original.momentum  # type: ignore[assignment]  # a normaliser's own field
    return after


def epochs(words: npt.NDArray[np.uint64], n_epochs: int, batch: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """Yield the rows of each batch: every epoch goes over all rows in the order of their words, mixed with its number.

    Args:
        words: keyed words of the record ids, shape (n,), rows in the order of the ids: then the batches are a
            function of the set of records.
        n_epochs: how often all rows are gone over.
        batch: rows of a batch; the last of an epoch may be smaller, but is never a single row among others.
        seed: mixed in.
    """
    for epoch in range(n_epochs):
        mixed = mix(words ^ np.uint64((seed + (epoch + 1) * PHI) % 2**64))
        order = np.argsort(mixed, kind="stable").astype(np.int64)
        ends = [*range(batch, len(order), batch)]
        if ends and len(order) - ends[-1] == 1:
            ends.pop()
        yield from np.split(order, ends)


def mix(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Return words finalised as in splitmix64 (spec X04)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))
