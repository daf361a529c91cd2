"""``NetworkModel``: a trained torch module with its encoder and its classes; what `Network` learns."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.dataset import Dataset
from expunge.core.errors import Unsupported
from expunge.core.guarantee import Guarantee
from expunge.core.models import Identity, exactly
from expunge.core.seeds import Key
from expunge.models.encoding.table import Table
from expunge.models.modules import arrays_of, copied, seeded
from expunge.models.scores import class_codes, cross_entropy, known_codes, label_bytes, squared_errors
from expunge.models.streams import Records

if TYPE_CHECKING:
    from expunge.core.roles import Floats

BLOCK = 4096
"""Rows that are predicted together, at most."""
NUMBERS = 2**26
"""Numbers that are put into a module together, at most."""
WIDE = 1_000_000
"""Modules of up to this many weights answer in float64."""
SAME_HERE = "torch gives the same bits for the same input on one thread of this platform"


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

    learner: Any
    identity: Identity
    table: Table
    labels: tuple[str, ...]
    ruler: tuple[float, float]
    module: nn.Module = field(repr=False)

    def changed(self, module: nn.Module) -> NetworkModel:
        """Return the model with another module."""
        return replace(self, module=module.cpu().eval())

    def inputs(self, data: Dataset) -> Tensor:
        """Return what the module is asked, shape (n, inputs), float32."""
        return torch.from_numpy(self.table.encode(data).astype(np.float32))

    def goals(self, data: Dataset) -> Tensor:
        """Return what the module should answer: class codes, shape (n,), or numbers, shape (n, 1)."""
        if self.labels:
            return torch.from_numpy(known_codes(data, self.labels))
        values = np.asarray(data.target.values if data.target is not None else (), np.float64)
        return torch.from_numpy(((values - self.ruler[0]) / self.ruler[1]).astype(np.float32)[:, None])

    def records(self, data: Dataset, key: Key) -> Records:
        """Return the records as samples of the module, in the order given, with their keyed words."""
        return Records.of(self.inputs(data), self.goals(data), key.words(data.ids.tolist()))

    def _answers(self, data: Dataset) -> Floats:
        """Return the module's outputs, shape (n, outputs)."""
        found = np.zeros((len(data), len(self.labels) or 1))
        block = max(1, min(BLOCK, NUMBERS // max(self.table.width * 16, 1)))
        module, kind, device = self._asked, self._kind, torch.device(self.learner.device)
        with seeded(0, device), torch.no_grad():
            for start in range(0, len(data), block):
                rows = np.arange(start, min(start + block, len(data)))
                found[rows] = module(self.inputs(data.take(rows)).to(device, kind)).double().cpu().numpy()
        return found

    @property
    def _kind(self) -> torch.dtype:
        small = sum(p.numel() for p in self.module.parameters()) <= WIDE
        return torch.float64 if small and self.learner.device == "cpu" else torch.float32

    @cached_property
    def _asked(self) -> nn.Module:
        """The module as it answers: small ones in float64, so that the other records asked about do not show."""
        return copied(self.module).to(torch.device(self.learner.device), self._kind).eval()

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
        layers = [part for part in self._asked.modules() if isinstance(part, nn.Linear)]
        if not layers:
            raise Unsupported(f"{self.learner.module} has no linear layer, so it has no features")
        seen: list[Floats] = []
        hook = layers[-1].register_forward_pre_hook(
            lambda _, given: seen.append(given[0].detach().double().cpu().numpy())
        )
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
        weights: dict[str, npt.NDArray[Any]] = {f"weights/{n}": a for n, a in arrays_of(self.module).items()}
        goal: dict[str, npt.NDArray[Any]] = {
            "classes/labels": label_bytes(self.labels),
            "target/ruler": np.array(self.ruler, np.float64),
        }
        return {**self.table.state(), **goal, **weights}

    def digest(self) -> str:
        """Return the hex digest of `state` (spec X07)."""
        return self.identity.digest(self.state())

    def guarantee(self) -> Guarantee:
        """Return exact, ``bits-here``, resting on torch."""
        return exactly("bits-here", SAME_HERE)
