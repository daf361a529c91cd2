"""Parts of a scene's samples put together anew: several as one, some of them, with other targets; and how many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from expunge.core.errors import Unsupported
from expunge.models.streams import Records, Rows, Samples, Stream, mix, n_batches
from expunge.unlearners.scene import Scene


def records_of(samples: Samples) -> Records:
    """Return the samples as records of one model.

    Raises:
        Unsupported: they are those of a stack.
    """
    if not isinstance(samples, Records):
        raise Unsupported("this method treats one network at a time")
    return samples


def stream_of(scene: Scene, samples: Samples, name: str, epochs: int, batch: int) -> Stream:
    """Return the batches of some epochs over samples of a method's own, where the scene is computed.

    Raises:
        Unsupported: there are no samples.
    """
    if not len(samples):
        raise Unsupported(f"this method needs {name} samples, and there are none")
    found = samples.stream(name, range(epochs), batch)
    return found if scene.device.type == "cpu" else found.on(scene.device)


def share_of(scene: Scene, part: str, share: float, batch: int) -> Stream:
    """Return one epoch over about a share of a part: whole batches of its keyed order, at least one."""
    whole = scene.stream(part, 1, batch)
    return whole.first(_steps(len(whole), share))


def n_share(n: int, share: float, batch: int) -> int:
    """Return how many of n samples `share_of` takes."""
    return n_drawn(n, batch, _steps(n_batches(n, batch), share))


def _steps(steps: int, share: float) -> int:
    return min(steps, max(1, math.ceil(share * steps - 1e-9)))


def n_drawn(n: int, batch: int, steps: int) -> int:
    """Return how many samples so many batches hold, of a stream over n samples that is gone over in a circle."""
    per_epoch = n_batches(n, batch)
    if not per_epoch:
        return 0
    rounds, rest = divmod(steps, per_epoch)
    return rounds * n + rest * batch


def some(samples: Samples, n: int, purpose: int = 0) -> Records:
    """Return n of the records, those with the smallest keyed words for a purpose; all where there are fewer."""
    records = records_of(samples)
    order = np.argsort(mix(records.words ^ np.uint64(purpose)), kind="stable")[:n]
    return records.take(np.sort(order).astype(np.int64))


def pooled(parts: Sequence[Records]) -> Records:
    """Return the records of several parts as those of one."""
    ends = np.cumsum([len(part) for part in parts])

    def fetch(rows: Rows) -> tuple[Tensor, Tensor]:
        which = np.searchsorted(ends, rows, side="right")
        found, places = [], []
        for i, part in enumerate(parts):
            at = np.flatnonzero(which == i)
            if len(at):
                found.append(part.fetch(rows[at] - (ends[i] - len(part))))
                places.append(at)
        back = torch.from_numpy(np.argsort(np.concatenate(places), kind="stable"))
        return torch.cat([x for x, _ in found])[back], torch.cat([y for _, y in found])[back]

    return Records(fetch, np.concatenate([part.words for part in parts]))


def with_targets(records: Records, targets: Tensor) -> Records:
    """Return the records with other targets, first axis = records."""

    def fetch(rows: Rows) -> tuple[Tensor, Tensor]:
        return records.fetch(rows)[0], targets[torch.from_numpy(rows)]

    return replace(records, fetch=fetch)
