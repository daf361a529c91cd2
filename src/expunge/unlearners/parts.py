"""What methods take of a scene beside its streams: samples put together anew, a teacher, slopes, largest weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.deployment import Deployment, Prediction
from expunge.core.errors import Unsupported
from expunge.models.modules import frozen, placed
from expunge.models.stack import Many
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


def teacher_of(scene: Scene) -> nn.Module:
    """Return a frozen copy of the module before, where the scene is computed; it shares no storage with anything."""
    return frozen(placed(scene.module, scene.device))


def stream_of(scene: Scene, samples: Samples, name: str, epochs: int, batch: int) -> Stream:
    """Return the batches of some epochs over samples of a method's own, where the scene is computed.

    Raises:
        Unsupported: there are no samples.
    """
    if not len(samples):
        raise Unsupported(f"this method needs {name} samples, and there are none")
    found = samples.stream(name, range(epochs), batch)
    return found if scene.device.type == "cpu" else found.on(scene.device)


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


def largest(module: nn.Module, scores: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """Return the mask of the share of all coordinates with the largest scores; in a stack, of each replica.

    Among equal scores those are taken that come first.

    Args:
        module: whose parameters they are.
        scores: parameter name → score of each coordinate.
        share: of the coordinates, rounded down.
    """
    replicas = len(module) if isinstance(module, Many) else 1
    rows = torch.cat([s.reshape(replicas, -1) for s in scores.values()], 1)
    order = rows.argsort(dim=1, descending=True, stable=True)[:, : math.floor(share * rows.shape[1] + 1e-9)]
    chosen = torch.zeros_like(rows, dtype=torch.bool).scatter_(1, order, torch.ones_like(order, dtype=torch.bool))
    pieces = torch.split(chosen, [s.numel() // replicas for s in scores.values()], dim=1)
    return {name: piece.reshape(s.shape) for (name, s), piece in zip(scores.items(), pieces, strict=True)}


def with_trainings(told: Prediction, deployment: Deployment, records: int) -> Prediction:
    """Return a prediction to which trainings anew are added, by the recipe of the model before.

    Args:
        told: without them.
        deployment: whose last fit was timed, or not.
        records: that they go over, all trainings together.
    """
    why = f"{told.why}; and trains on {records:,} records anew"
    if told.seconds is None or deployment.fit_s is None or not records:
        return told.model_copy(update={"why": why} if records else {})
    seconds = told.seconds + deployment.fit_s * records / len(deployment.data)
    return told.model_copy(update={"seconds": seconds, "p95_s": 4 * seconds, "why": why})
