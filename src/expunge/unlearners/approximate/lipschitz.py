"""``Lipschitz``: make the network's answers change little around the forgotten records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput, Unsupported
from expunge.models.descent import Pace
from expunge.models.losses import averaged
from expunge.models.streams import PHI, U64, Batch, mix
from expunge.unlearners.method import Method, Needs
from expunge.unlearners.scene import Scene


@dataclass(frozen=True)
class Lipschitz(Method):
    """Descends Σ_k ‖f(x) − f(x + ξ_k)‖ / ‖ξ_k‖ on the forgotten records, ξ_k normal noise.

    Attributes:
        samples: noises a record and step.
        noise: standard deviation of each input's noise.
        epochs: over the forgotten records.
        rate: step size.
        batch: records a step.

    Guarantee: empirical. Reads no kept record. By these defaults nothing moves toward retraining on `stack` (see
        `away`).
    Cost: epochs · forgotten samples, each (1 + samples) times forward and backward.
    Source: spec U22; Foster et al. (JiT, TMLR 2024). Gradients begin at zero in every step (a public port keeps them),
        and go through both answers (public code keeps the second fixed); noise is not cut off at the batch's extremes.
        A record's noise is drawn from its own key.
    """

    needs: ClassVar[frozenset[Needs]] = frozenset({"forgotten"})
    stacks: ClassVar[bool] = True
    away: ClassVar[str] = (
        "RMSE of φ to retraining on forgotten records, `stack`, 3 draws: 2.23, 2.48, 2.37; before 2.24, 2.48, 2.37"
    )

    samples: int = 25
    noise: float = 0.5
    epochs: int = 1
    rate: float = 1e-3
    batch: int = 64

    def passes(self, kept: int, forgotten: int) -> int:
        """Return how many samples' gradients are taken (all noises of one counted as one)."""
        return self.epochs * forgotten

    def change(self, scene: Scene) -> nn.Module:
        """Return the module after; the one before is untouched."""
        if self.noise <= 0 or self.samples < 1:
            raise BadInput("noise must be above 0, and samples 1 or more")

        def loss(module: nn.Module, batch: Batch) -> Tensor:
            here, first = module(batch.x), int(scene.stacked) + 1
            total = torch.zeros((), device=batch.x.device)
            for k in range(self.samples):
                shape = batch.x.shape[first:]
                drawn = self.noise * normals(words_in(batch), int(np.prod(shape)), batch.epoch * self.samples + k)
                away = torch.from_numpy(drawn).to(batch.x).reshape(batch.x.shape)
                apart = _norm(here - module(batch.x + away)) / away.flatten(first).norm(dim=-1)
                total = total + averaged(apart, batch.weight)
            return total

        pace = Pace("sgd", self.rate, freeze_norms=True)
        stream = scene.stream("forgotten", self.epochs, self.batch)
        return scene.recalibrated(scene.descend(scene.module, stream, loss, pace))


def words_in(batch: Batch) -> U64:
    """Return the keyed words of a batch's records.

    Raises:
        Unsupported: it has none.
    """
    if batch.words is None:
        raise Unsupported("these samples have no keyed words to draw from")
    return batch.words


def _norm(difference: Tensor) -> Tensor:
    """Return the norm over outputs, with gradient 0 at 0."""
    squares = difference.square().sum(-1)
    return torch.where(squares > 0, squares, 1.0).sqrt() * (squares > 0)


def normals(words: U64, width: int, salt: int) -> npt.NDArray[np.float64]:
    """Return normal numbers drawn from keyed words, shape (..., width): the same for a record whatever its batch.

    Args:
        words: of the records, shape (...).
        width: numbers a record.
        salt: tells draws of one record apart.
    """
    pairs = -(-width // 2)
    index = mix(np.arange(2 * pairs, dtype=np.uint64) + np.uint64((PHI * (salt + 1)) % 2**64))
    bits = mix(words[..., None] ^ index)
    share = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    radius, turn = np.sqrt(-2 * np.log(share[..., :pairs])), 2 * np.pi * share[..., pairs:]
    found: npt.NDArray[np.float64] = np.concatenate([radius * np.cos(turn), radius * np.sin(turn)], axis=-1)[
        ..., :width
    ]
    return found
