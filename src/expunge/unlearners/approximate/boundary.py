"""``Boundary``: move decision boundaries over the forgotten records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput, Unsupported
from expunge.models.descent import Pace
from expunge.models.losses import Loss, averaged, cross_entropies
from expunge.models.modules import copied, frozen, seeded
from expunge.models.streams import U64, Batch
from expunge.unlearners.approximate.lipschitz import words_in
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Boundary(Method):
    """Learns other classes for the forgotten records, each the same in all epochs.

    Attributes:
        form: ``shrink`` = the class that the network before sees in the record moved by `bound` against its loss;
            ``expand`` = a class of their own, beside the k, which is dropped afterwards.
        bound: by how much each input is moved.
        epochs: over the forgotten records.
        rate: step size.
        momentum: of the steps.
        decay: weight decay.
        batch: records a step.

    Guarantee: empirical; made for requests of a whole class. By these defaults nothing moves toward retraining on
        `stack` (see `away`): the rate is that of thousands of forgotten images, and at 1e-3 it moves away.
    Cost: (epochs + 1) · forgotten samples, forward and backward (``expand``: epochs).
    Source: spec U18; Chen et al. (CVPR 2023). The nearest class may be the record's own, as in SalUn's form. Running
        statistics stay as they are.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"forgotten", "classes"})
    stacks: ClassVar[bool] = True
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.24, 2.48, 2.37; before 2.24, 2.48, 2.37"
    )

    form: Literal["shrink", "expand"] = "shrink"
    bound: float = 0.1
    epochs: int = 10
    rate: float = 1e-5
    momentum: float = 0.9
    decay: float = 0.0
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken."""
        return (self.epochs + (self.form == "shrink")) * forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        if self.form not in ("shrink", "expand"):
            raise BadInput(f"form must be shrink or expand, not {self.form!r}")
        pace = Pace("sgd", self.rate, self.momentum, self.decay, freeze_norms=True)
        stream = scene.stream("forgotten", self.epochs, self.batch)
        if self.form == "expand":
            wide = widened(scene.module, scene.outputs, scene.seed)
            after = scene.descend(wide, stream, _beyond(scene.outputs), pace)
            return scene.recalibrated(narrowed(after, scene.module))
        words, nearest = self._nearest(scene)

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            at = np.searchsorted(words, words_in(batch)).clip(max=len(words) - 1)
            y = torch.from_numpy(nearest[at]).to(batch.y.device)
            return averaged(cross_entropies(module(batch.x), y), batch.weight)

        return scene.recalibrated(scene.descend(scene.module, stream, loss, pace))

    def _nearest(self, scene: Scene) -> tuple[U64, npt.NDArray[np.int64]]:
        """Return the records' words, in order, and the nearest class of each."""
        teacher, words, classes = frozen(scene.module).to(scene.device), [], []
        for block in scene.forgotten.blocks(256):
            batch = block.to(scene.device)
            with seeded(scene.seed, scene.device):
                x = batch.x.clone().requires_grad_(True)
                slope = torch.autograd.grad(scene.losses(teacher, batch._replace(x=x)).sum(), x)[0]
                found = teacher(x.detach() + self.bound * slope.sign()).argmax(-1)
            scene.meter.forward += 2 * block.n_samples
            scene.meter.backward += block.n_samples
            real = slice(None) if block.weight is None else block.weight.bool().numpy()
            words.append(words_in(block)[real].ravel())
            classes.append(found.cpu().numpy()[real].ravel())
        order = np.argsort(np.concatenate(words))
        return np.concatenate(words)[order], np.concatenate(classes)[order]


def _beyond(k: int) -> Loss:
    """Return the loss of the class after the last."""

    def loss(module: nn.Module, batch: Batch) -> Tensor:
        return averaged(cross_entropies(module(batch.x), torch.full_like(batch.y, k)), batch.weight)

    return loss


def _head(module: nn.Module) -> tuple[nn.Module, str]:
    """Return the last linear layer's owner, and its name there."""
    found = [
        (owner, name)
        for owner in module.modules()
        for name, part in owner.named_children()
        if isinstance(part, nn.Linear)
    ]
    last = [part for part in module.modules() if isinstance(part, nn.Linear)][-1:]
    for owner, name in found:
        if last and getattr(owner, name) is last[0]:
            return owner, name
    raise Unsupported("a class is added to a linear head, and the network has none")


def widened(module: nn.Module, outputs: int, seed: int) -> nn.Module:
    """Return a copy with one more output, drawn as a layer's first weights.

    Raises:
        Unsupported: its last linear layer does not give the outputs.
    """
    after = copied(module)
    owner, name = _head(after)
    old: nn.Linear = getattr(owner, name)
    if old.out_features != outputs:
        raise Unsupported(f"the last linear layer gives {old.out_features} numbers, not one for each class")
    with seeded(seed), torch.no_grad():
        new = nn.Linear(old.in_features, outputs + 1, old.bias is not None).to(old.weight)
        new.weight[:outputs] = old.weight
        if old.bias is not None:
            new.bias[:outputs] = old.bias
    setattr(owner, name, new)
    return after


def narrowed(module: nn.Module, like: nn.Module) -> nn.Module:
    """Return the module without its last output, as a copy of the one that was widened."""
    after, wide = copied(like), dict(module.state_dict())
    after.load_state_dict({n: wide[n][tuple(slice(s) for s in t.shape)] for n, t in after.state_dict().items()})
    return after
