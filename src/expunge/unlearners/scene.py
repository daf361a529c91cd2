"""``Scene``: what a gradient method is given: the module before, forgotten and kept samples, and how to descend.

A method never sees where these came from (a deployment, a user's own module, a stack of replicas), and writes no loop:
it makes streams of batches, and passes losses to `Scene.descend`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput, Unsupported
from expunge.core.roles import Progress
from expunge.models.bookmarks import Bookmark
from expunge.models.curvature import Blocks, Terrain
from expunge.models.descent import Meter, Pace, Watch, descend
from expunge.models.losses import Loss, cross_entropies, nats, squares
from expunge.models.modules import copied, modes, placed, put_modes, recalibrated, remembers_statistics, seeded
from expunge.models.stack import Many, flat
from expunge.models.streams import Batch, Samples, Stream, mix

Task = Literal["classes", "numbers"]


@dataclass(frozen=True, eq=False)
class Scene:
    """What a method works with.

    Attributes:
        module: the module before, or a stack of replicas (`Many`); sacred.
        forgotten: the samples to forget.
        kept: the samples to keep.
        outputs: how many classes there are (of numbers: 1).
        seed: of whatever the module draws, and of `generator`.
        task: what the targets are.
        fresh: draws an untrained module of the same architecture, by the name of its purpose.
        train: trains an untrained module on samples by the recipe that made the module before.
        holdout: samples that no model learnt.
        device: where it is computed.
        precision: of forward passes.
        meter: of what is done.
        progress: called with (steps done, steps) of each phase.
        bookmark: where phases are kept, so that an interrupted run can go on.
    """

    module: nn.Module
    forgotten: Samples
    kept: Samples
    outputs: int
    seed: int = 0
    task: Task = "classes"
    fresh: Callable[[str], nn.Module] | None = field(default=None, repr=False)
    train: Callable[[nn.Module, Samples, int], nn.Module] | None = field(default=None, repr=False)
    holdout: Samples | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: Literal["float32", "bfloat16"] = "float32"
    meter: Meter = field(default_factory=Meter)
    progress: Progress | None = field(default=None, repr=False)
    bookmark: Bookmark | None = field(default=None, repr=False)
    _phases: list[str] = field(default_factory=list, init=False, repr=False)

    @property
    def stacked(self) -> bool:
        """Whether the module is a stack of replicas."""
        return isinstance(self.module, Many)

    @property
    def own(self) -> Loss:
        """The loss that the module was trained with: mean cross-entropy, or mean squared error."""
        return nats if self.task == "classes" else squares

    def losses(self, module: nn.Module, batch: Batch) -> Tensor:
        """Return the loss of each sample, shape (..., b)."""
        if self.task == "classes":
            return cross_entropies(module(batch.x), batch.y)
        squared: Tensor = ((module(batch.x) - batch.y) ** 2).mean(-1)
        return squared

    def stream(self, part: str, epochs: int | range, batch: int) -> Stream:
        """Return the batches of some epochs over a part.

        Args:
            part: ``kept``, ``forgotten`` or ``holdout``.
            epochs: how many, or which (the order of an epoch depends on its number).
            batch: samples a step.

        Raises:
            Unsupported: there are no such samples.
            BadInput: fewer than no epochs, or an empty batch.
        """
        samples = {"kept": self.kept, "forgotten": self.forgotten, "holdout": self.holdout}[part]
        if samples is None or not len(samples):
            raise Unsupported(f"this method needs {part} samples, and there are none")
        if batch < 1 or (isinstance(epochs, int) and epochs < 0):
            raise BadInput(f"epochs are 0 or more and a batch is 1 or more, not {epochs} and {batch}")
        span = range(epochs) if isinstance(epochs, int) else epochs
        found = samples.stream(part, span, batch, _salt(part))
        return found if self.device.type == "cpu" else found.on(self.device)

    def descend(self, module: nn.Module, stream: Stream, loss: Loss, pace: Pace, phase: str = "") -> nn.Module:
        """Return a copy of the module after one step a batch; see `expunge.models.descent.descend`.

        Args:
            module: where to start.
            stream: of batches.
            loss: of the module on a batch.
            pace: optimiser, rate, mask and so on; its precision is the scene's.
            phase: a name, where one phase is to be told from another; by default its number.
        """
        name = f"{len(self._phases)}-{phase}"
        self._phases.append(name)
        watch = Watch(self.meter, self.progress, None, self.bookmark, name)
        pace = replace(pace, precision=self.precision)
        return descend(placed(module, self.device), stream, loss, pace, seed=self.seed + len(self._phases), watch=watch)

    def recalibrated(self, module: nn.Module, batch: int = 256) -> nn.Module:
        """Return the module with running statistics of the kept samples alone, where it has any (spec 2.3)."""
        if not remembers_statistics(module):
            return module
        return recalibrated(module, [b.x.to(self.device) for b in self.kept.blocks(batch)], self.seed)

    def answers(self, module: nn.Module, samples: Samples, batch: int = 512) -> Tensor:
        """Return the outputs in evaluation, without gradients, shape (..., n, outputs), on the processor."""
        with evaluating(module), torch.no_grad(), seeded(self.seed, self.device):
            found = [self._ask(module, block).cpu() for block in samples.blocks(batch)]
        return torch.cat(found, -2)

    def _ask(self, module: nn.Module, block: Batch) -> Tensor:
        self.meter.forward += block.n_samples
        found: Tensor = module(block.x.to(self.device))
        return found

    def taught(self, teacher: nn.Module, batch: Batch) -> Tensor:
        """Return a frozen teacher's outputs for a batch, without gradients; the meter counts them."""
        self.meter.forward += batch.n_samples
        with torch.no_grad():
            found: Tensor = teacher(batch.x)
        return found

    def terrain(self, samples: Blocks) -> Terrain:
        """Return the module before on some samples: where slopes and curvature are taken; the meter counts them."""
        return Terrain.of(self.module, samples, self.task, self.meter, self.device)

    def untrained(self, purpose: str) -> nn.Module:
        """Return an untrained module of the same architecture, drawn for a purpose.

        Raises:
            Unsupported: nobody said how one is made.
        """
        if self.fresh is None:
            raise Unsupported(
                "this method needs an untrained module", hint="Say how one is made: unlearn(..., fresh=lambda: Net())."
            )
        return placed(self.fresh(purpose), self.device)

    def labels(self, batch: Batch, *, other: bool) -> Tensor:
        """Return random classes for the samples of a batch, a function of key, record and epoch alone.

        Args:
            batch: with its words.
            other: never the true class.

        Raises:
            Unsupported: targets are numbers.
        """
        if self.task != "classes" or batch.words is None:
            raise Unsupported("random labels need a target of classes")
        words = mix(batch.words ^ np.uint64((0x6C61_6265_6C73 + batch.epoch * 0x9E37_79B9) % 2**64))
        share = torch.from_numpy((words >> np.uint64(11)).astype(np.float64) * 2.0**-53).to(batch.y.device)
        if not other:
            return (share * self.outputs).long()
        return (batch.y + 1 + (share * (self.outputs - 1)).long()) % self.outputs

    def generator(self, purpose: str) -> torch.Generator:
        """Return a generator of the scene's own, on the processor, for a purpose."""
        return torch.Generator().manual_seed((self.seed ^ _salt(purpose)) % 2**63)


def _salt(name: str) -> int:
    """Return a number for a name; public: the order of batches is keyed by the words of the records."""
    return int.from_bytes(name.encode()[-8:].rjust(8, b"/"), "big")


class evaluating:  # noqa: N801  # used like a function
    """A block in which a module evaluates; its training flags are afterwards as they were."""

    def __init__(self, module: nn.Module) -> None:
        self.module, self.flags = module, modes(module)

    def __enter__(self) -> nn.Module:
        return self.module.eval()

    def __exit__(self, *_: Any) -> None:
        put_modes(self.module, self.flags)


def head_of(module: nn.Module) -> list[str]:
    """Return the names of the parameters of the last layer that has any."""
    return blocks_of(module)[-1]


def blocks_of(module: nn.Module) -> list[list[str]]:
    """Return parameter names by block, from the input to the head: the children of a module, containers opened.

    A child with parameters is a block; where a module has just one such child, it is looked into. Of a stack: the
    blocks of each replica.
    """
    if isinstance(module, Many):
        return [[flat(name) for name in names] for names in blocks_of(module.pattern)]
    while True:
        children = [(name, part) for name, part in module.named_children() if any(True for _ in part.parameters())]
        if len(children) != 1 or any(True for _ in module.parameters(recurse=False)):
            break
        prefix, module = children[0]
        inner = blocks_of(module)
        return [[f"{prefix}.{name}" for name in names] for names in inner] if inner else []
    found = [[f"{name}.{n}" for n, _ in part.named_parameters()] for name, part in children]
    bare = [n for n, _ in module.named_parameters(recurse=False)]
    return [bare, *found] if bare else found


def only(module: nn.Module, names: Sequence[str]) -> dict[str, Tensor]:
    """Return the mask under which nothing but these parameters may move."""
    free = set(names)
    return {n: torch.full_like(p, n in free, dtype=torch.bool) for n, p in module.named_parameters()}


def weights_of(module: nn.Module) -> dict[str, Tensor]:
    """Return copies of the parameters, name → tensor."""
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def with_weights(module: nn.Module, weights: dict[str, Tensor]) -> nn.Module:
    """Return a copy of the module with some parameters replaced."""
    after = copied(module)
    with torch.no_grad():
        for name, p in after.named_parameters():
            if name in weights:
                p.copy_(weights[name])
    return after
