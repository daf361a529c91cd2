"""``Scrub``: away from a frozen teacher on the forgotten records, towards it on the kept ones; and rewinding."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.deployment import Deployment
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.models.descent import Pace
from expunge.models.losses import Loss, averaged, cross_entropies, divergences
from expunge.models.modules import arrays_of, copied, load_arrays
from expunge.models.streams import Batch, Samples, Stream, joined
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.parts import records_of, teacher_of
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Scrub(Method):
    """Ascends KL(teacher ‖ student) on the forgotten, descends γ·loss + α·KL on the kept records, epoch by epoch.

    Attributes:
        epochs: of descent; the first `msteps` of them begin with an epoch of ascent.
        msteps: epochs of ascent.
        alpha: weight of the divergence on kept records.
        gamma: weight of the loss on kept records.
        temperature: T of the divergences (times T²).
        optimiser: ``adam`` or ``sgd``.
        rate: step size; a tenth of it from the epochs at half, eight and nine tenths on.
        decay: weight decay.
        batch: records a step.
        rewind: take the epoch whose error on forgotten records is nearest to the last one's error on holdout records
            with the forgotten records' shares of classes (SCRUB+R); needs a holdout, one network at a time.

    Guarantee: empirical. On `stack`, RMSE of φ to retraining on forgotten records 1.99, 2.01, 2.11 in 3 draws, before
        2.14, 2.12, 2.23.
    Cost: (epochs · kept + msteps · forgotten) samples, forward and backward, and forward through the teacher; a
        rewind keeps a copy of the weights an epoch, and asks each about the forgotten records.
    Source: spec U13; Kurmanji et al. (NeurIPS 2023). The teacher is a deep copy that shares no storage (B1), and the
        optimiser holds the student's parameters (B2). Rewinding weighs the holdout by class where the authors draw
        a sample of it.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"kept", "forgotten", "classes"})
    stacks: ClassVar[bool] = True

    epochs: int = 10
    msteps: int = 3
    alpha: float = 0.5
    gamma: float = 1.0
    temperature: float = 2.0
    optimiser: Literal["adam", "sgd"] = "adam"
    rate: float = 5e-4
    decay: float = 0.1
    batch: int = 64
    rewind: bool = False

    @classmethod
    def large(cls) -> Scrub:
        """Return the authors' setting for large data sets."""
        return cls(alpha=0.001, gamma=0.99, optimiser="sgd")

    @classmethod
    def ruli(cls) -> Scrub:
        """Return the setting of the RULI study."""
        return cls(epochs=5, msteps=1, alpha=0.1, gamma=0.99, temperature=1.0)

    def promise(self, deployment: Deployment) -> Guarantee:
        """Return an empirical guarantee.

        Raises:
            Unsupported: no network of classes, or a rewind without a holdout.
        """
        if self.rewind and deployment.holdout is None:
            raise Unsupported("Scrub(rewind=True) needs a holdout", hint="Set records aside, or use Scrub().")
        return super().promise(deployment)

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return self.epochs * kept + min(self.msteps, self.epochs) * forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        if self.rewind:
            _holdout(scene)
        stream, loss, ends = self._descent(scene)

        def schedule(step: int) -> float:
            at = int((ends <= step).sum()) / self.epochs
            return float(0.1 ** sum(at >= mark for mark in (0.5, 0.8, 0.9)))

        epochs = _Epochs(set((ends - 1).tolist()))
        acts = (epochs,) if self.rewind else ()
        pace = Pace(self.optimiser, self.rate, decay=self.decay, schedule=schedule, freeze_norms=True, after_step=acts)
        after = scene.descend(scene.module, stream, loss, pace)
        if self.rewind and not epochs.states:  # a finished run was bookmarked: its epochs were not
            after = replace(scene, bookmark=None).descend(scene.module, stream, loss, pace)
        return scene.recalibrated(_rewound(scene, after, epochs) if self.rewind else after)

    def _descent(self, scene: Scene) -> tuple[Stream, Loss, npt.NDArray[np.int64]]:
        """Return the batches of all turns, the loss, and the step after which each epoch ends."""
        teacher, turns, ends = teacher_of(scene), list[Stream](), []
        for epoch in range(self.epochs):
            for part in ("forgotten", "kept") if epoch < self.msteps else ("kept",):
                turns.append(scene.stream(part, range(epoch, epoch + 1), self.batch))
            ends.append(sum(len(turn) for turn in turns))

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            logits = module(batch.x)
            apart = divergences(scene.taught(teacher, batch), logits, self.temperature)
            if batch.part == "forgotten":
                return -averaged(apart, batch.weight)
            return averaged(self.gamma * cross_entropies(logits, batch.y) + self.alpha * apart, batch.weight)

        return joined(turns), loss, np.array(ends, np.int64)


@dataclass
class _Epochs:
    """Keeps a copy of the weights at the end of each epoch.

    Attributes:
        last: the steps, counted from 0, that end an epoch.
        states: the weights after each.
    """

    last: set[int]
    states: list[dict[str, npt.NDArray[Any]]] = field(default_factory=list)

    def __call__(self, module: nn.Module, step: int) -> None:
        if step in self.last:
            self.states.append(arrays_of(module))

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Return the weights kept, as one set of arrays."""
        return {f"{i}/{name}": a for i, state in enumerate(self.states) for name, a in state.items()}

    def recall(self, arrays: dict[str, npt.NDArray[Any]]) -> None:
        """Take the weights back."""
        self.states = [{} for _ in {name.partition("/")[0] for name in arrays}]
        for name, a in arrays.items():
            i, _, rest = name.partition("/")
            self.states[int(i)][rest] = a


def _rewound(scene: Scene, last: nn.Module, epochs: _Epochs) -> nn.Module:
    """Return the epoch whose forget error is nearest to the last one's on like holdout records; the latest of equals.

    Raises:
        Unsupported: there are no holdout records of the forgotten records' classes.
    """
    forgotten, holdout = records_of(scene.forgotten), _holdout(scene)
    y = forgotten.fetch(np.arange(len(forgotten)))[1]
    shares = torch.bincount(y, minlength=scene.outputs).double()
    wanted = _error(scene, last, holdout, shares)
    chosen, nearest = last, float("inf")
    for state in epochs.states:
        candidate = load_arrays(copied(last), state)
        apart = abs(_error(scene, candidate, forgotten, shares) - wanted)
        if apart <= nearest:
            chosen, nearest = candidate, apart
    return chosen


def _holdout(scene: Scene) -> Samples:
    """Return the holdout.

    Raises:
        Unsupported: there is none, or a stack.
    """
    if scene.holdout is None or not len(scene.holdout) or scene.stacked:
        raise Unsupported("Scrub(rewind=True) needs holdout samples, and one network at a time")
    return scene.holdout


def _error(scene: Scene, module: nn.Module, samples: Samples, shares: Tensor) -> float:
    """Return the share of samples whose class is missed, classes weighted by their shares."""
    y = torch.cat([block.y for block in samples.blocks()])
    wrong = (scene.answers(module, samples).argmax(-1) != y).double()
    counts = torch.bincount(y, minlength=len(shares)).double()
    weight = torch.where(counts > 0, shares / counts.clamp(min=1), 0.0)[y]
    if not float(weight.sum()):
        raise Unsupported("no holdout record has a class of the forgotten records")
    return float((wrong * weight).sum() / weight.sum())
