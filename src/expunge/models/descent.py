"""THE gradient loop: every method that learns or unlearns by gradients passes a loss to `descend` and writes no loop.

The module given is never changed: `descend` works on a deep copy that shares no storage with it. One thread, generators
seeded for the block alone, batches in the order of keyed words: the same bits for the same input on one platform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn

from expunge.core.errors import BadData, BadInput
from expunge.core.roles import Progress
from expunge.models.bookmarks import Bookmark
from expunge.models.losses import Loss
from expunge.models.modules import copied, freeze_norms, modes, put_modes, seeded
from expunge.models.stack import Many
from expunge.models.streams import Batch, Stream

Mask = Mapping[str, Tensor]
"""Parameter name → which coordinates may move (bool, of the parameter's shape); parameters not named may."""
Act = Callable[[nn.Module, int], None]
"""Called with (module, step) after a step; one with a memory of its own should be `bookmarks.Recalls`."""


@dataclass
class Meter:
    """What a descent cost, in units that do not depend on the machine.

    Attributes:
        forward: samples that went forward.
        backward: samples whose gradient was taken.
        products: products of a Hessian (or Fisher matrix) and a vector, in samples.
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
        scales: parameter name → what its gradient is multiplied by (a number or a tensor).
        after_step: called with (module, step) after each step, outside of gradients.
        precision: in which forward passes are made; weights and steps stay float32.
    """

    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    rate: float = 2e-3
    momentum: float = 0.0
    decay: float = 0.0
    clip: float | None = None
    schedule: Callable[[int], float] | None = field(default=None, compare=False)
    freeze_norms: bool = False
    mask: Mask | None = field(default=None, compare=False, repr=False)
    scales: Mapping[str, Any] | None = field(default=None, compare=False, repr=False)
    after_step: Sequence[Act] = field(default=(), compare=False, repr=False)
    precision: Literal["float32", "bfloat16"] = "float32"

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


@dataclass(frozen=True)
class Watch:
    """What looks on while a descent runs.

    Attributes:
        meter: is added to.
        progress: called with (steps done, steps); raising from it stops the descent, and nothing is changed then.
        n_steps: how many steps there are; None = as many as batches.
        bookmark: where the descent is kept, if it is to be resumed.
        phase: the name that it is kept under.
    """

    meter: Meter | None = None
    progress: Progress | None = None
    n_steps: int | None = None
    bookmark: Bookmark | None = None
    phase: str = "descent"


def descend(
    module: nn.Module,
    batches: Stream | Iterable[Any],
    loss: Loss,
    pace: Pace = Pace(),
    *,
    seed: int = 0,
    watch: Watch = Watch(),
) -> nn.Module:
    """Return a copy of the module after one step a batch.

    Args:
        module: where to start; not changed in any way, its training flags and buffers included.
        batches: a `Stream`, or tuples of tensors, first axis = samples; one step is taken for each. A bookmark needs
            a stream.
        loss: of the module on a batch.
        pace: optimiser, rate, clipping, mask and what is done after each step.
        seed: of dropout and whatever else the module draws.
        watch: who looks on, and where it is kept.

    Raises:
        BadData: the loss is not finite.

    Cost: forward and backward over all batches, and one copy of the module.
    Source: deep-and-audit section 2.3.
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    with seeded(seed, device):
        after = copied(module)
        if watch.bookmark is not None and watch.bookmark.finished(watch.phase, after):
            return after
        after.train()
        if pace.freeze_norms:
            freeze_norms(after)
        _run(after, batches, loss, pace, watch)
        put_modes(after, modes(module))
        for mine, theirs in zip(after.parameters(), module.parameters(), strict=True):
            mine.requires_grad_(theirs.requires_grad)
    if watch.bookmark is not None:
        watch.bookmark.finish(watch.phase, after)
    return after


def _run(after: nn.Module, batches: Stream | Iterable[Any], loss: Loss, pace: Pace, watch: Watch) -> None:
    """Take all steps, from where a bookmark says that they were left."""
    still = _still(after, pace)
    optimiser = pace.build(after)
    parts, begin = (after, optimiser, tuple(pace.after_step)), 0
    if watch.bookmark is not None:
        begin = watch.bookmark.load(watch.phase, parts)
    n_steps = watch.n_steps if watch.n_steps is not None or not isinstance(batches, Stream) else len(batches)
    rest = batches.start(begin) if isinstance(batches, Stream) else iter(batches)
    left = None if n_steps is None else max(n_steps - begin, 0)
    for step, batch in enumerate(islice(rest, left), begin):
        _take(after, optimiser, loss, (step, batch), pace)
        _put_back(still)
        _count(watch.meter, batch)
        for act in pace.after_step:
            act(after, step)
        _tell(watch, step + 1, n_steps, parts)


def _tell(watch: Watch, done: int, n_steps: int | None, parts: Any) -> None:
    """Keep a bookmark where it is time to, and tell of the progress; what stops the descent there finds one kept."""
    if watch.bookmark is not None and watch.bookmark.due():
        watch.bookmark.save(watch.phase, done, parts)
    if watch.progress is None:
        return
    try:
        watch.progress(done, n_steps or 0)
    except BaseException:
        if watch.bookmark is not None:
            watch.bookmark.save(watch.phase, done, parts)
        raise


def _take(module: nn.Module, optimiser: torch.optim.Optimizer, loss: Loss, at: tuple[int, Any], pace: Pace) -> None:
    """Take one step."""
    step, batch = at
    if pace.schedule is not None:
        for group in optimiser.param_groups:
            group["lr"] = abs(pace.rate) * pace.schedule(step)
    optimiser.zero_grad()
    if pace.precision == "float32":
        value = loss(module, batch)
    else:
        kind = next(module.parameters()).device.type
        with torch.autocast(kind, dtype=torch.bfloat16):
            value = loss(module, batch)
    if not math.isfinite(said := value.item()):
        raise BadData(f"the loss is {said} at step {step}", hint="Lower the rate, or clip the gradients.")
    value.backward()  # type: ignore[no-untyped-call]  # torch's own
    _scale(module, pace.scales)
    if pace.clip is not None:
        clip_gradients(module, pace.clip)
    optimiser.step()


def _scale(module: nn.Module, scales: Mapping[str, Any] | None) -> None:
    if scales:
        for name, parameter in module.named_parameters():
            if name in scales and parameter.grad is not None:
                parameter.grad.mul_(scales[name])


def clip_gradients(module: nn.Module, limit: float) -> None:
    """Scale gradients to a norm of at most the limit: of the module, or of each replica of a stack."""
    if isinstance(module, Many):
        module.clip(limit)
        return
    norm = nn.utils.get_total_norm([p.grad for p in module.parameters() if p.grad is not None])
    if not float(limit / (norm + 1e-6)) >= 1.0:  # where it is, torch would multiply every gradient by one
        nn.utils.clip_grads_with_norm_(module.parameters(), limit, norm)


def _count(meter: Meter | None, batch: Any) -> None:
    if meter is None:
        return
    meter.steps += 1
    while batch:
        samples = batch.n_samples if isinstance(batch, Batch) else len(batch[0])
        meter.forward += samples
        meter.backward += samples
        batch = batch.partner if isinstance(batch, Batch) else None


def _still(module: nn.Module, pace: Pace) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return (parameter, what must not move, its values) of each parameter that is masked in part.

    What is masked as a whole asks for no gradient from here on: nothing is spent on it, and no step reaches it. That is
    left undone where gradients are clipped together, or nothing would be free.
    """
    named, mask = dict(module.named_parameters()), pace.mask or {}
    lost = [name for name in mask if name not in named]
    if lost:
        raise BadInput(f"the mask names {lost[0]!r}, which is no parameter of the module")
    fixed = {name: ~free.bool() for name, free in mask.items()}
    whole = {name for name, still in fixed.items() if still.all()}
    if pace.clip is not None or whole >= {name for name, p in named.items() if p.requires_grad}:
        whole = set()
    for name in whole:
        named[name].requires_grad_(False)
    held = {name: still for name, still in fixed.items() if name not in whole and still.any()}
    return [(named[name], still, named[name].detach().clone()) for name, still in held.items()]


def _put_back(still: list[tuple[Tensor, Tensor, Tensor]]) -> None:
    """Restore masked coordinates bit for bit, whatever decay and momentum did to them."""
    with torch.no_grad():
        for parameter, fixed, values in still:
            torch.where(fixed, values, parameter, out=parameter)
