"""Slices: a shard learnt in stages, so that forgetting restarts at the stage that first saw the record (SISA, U02)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.errors import StoreDamaged, Unsupported
from expunge.core.models import check_saved
from expunge.core.roles import Learner, Model
from expunge.core.seeds import Key

if TYPE_CHECKING:
    from expunge.core.canonical import Arrays

Turns = npt.NDArray[np.int64]


@runtime_checkable
class GoesOn(Protocol):
    """A learner that can learn in stages."""

    def begin(self, data: Dataset, key: Key) -> Any:
        """Return the model before any stage: all that is estimated from the records at once (encoders, classes)."""
        ...

    def resume(self, model: Any, data: Dataset, key: Key, share: float) -> Any:
        """Return the model after a stage with these records that takes this share of a whole training's passes."""
        ...

    def reload(self, model: Any, arrays: Arrays) -> Any | None:
        """Return the model of saved arrays over the same beginning; None if it can only be learnt again."""
        ...


def goes_on(learner: Learner) -> GoesOn:
    """Return the learner as one that learns in stages.

    Raises:
        Unsupported: it cannot.
    """
    if not isinstance(learner, GoesOn):
        raise Unsupported(f"{type(learner).__name__} cannot learn in stages", hint="Use n_slices=1.")
    return learner


def walk(learner: GoesOn, data: Dataset, turns: Turns, key: Key, stages: tuple[int, tuple[Model, ...]]) -> Any:
    """Return the models before the first stage and after each; the last one is the shard's.

    Stage r goes on with the records of the slices up to r. Of R stages each takes 2/(R + 1) of the passes of a whole
    training, so that about as many records are processed as without slices.

    Args:
        learner: learns in stages.
        data: the records of a shard.
        turns: the slice of each record, from 0.
        key: of the shard.
        stages: how many slices, and the models of an earlier walk whose stages saw none but these records. They
            are taken up where what is estimated from all records at once is still the same.

    Returns:
        n_slices + 1 models.
    """
    n_slices, known = stages
    ground: Model = learner.begin(data, key)
    same = bool(known) and known[0].digest() == ground.digest()
    chain: list[Model] = [ground, *(known[1:] if same else ())]
    for stage in range(len(chain), n_slices + 1):
        rows = np.flatnonzero(turns < stage)
        again = len(rows) > 0
        share = 2.0 / (n_slices + 1)
        chain.append(
            learner.resume(chain[-1], data.take(rows), key.child(f"slice/{stage}"), share) if again else chain[-1]
        )
    return tuple(chain)


def stages_left(sizes: npt.NDArray[np.int64], first: int) -> float:
    """Return the share of a walk that is left from a stage on, by the records that stages go over.

    Args:
        sizes: records of each slice.
        first: the slice of the first stage that is walked, from 0.

    >>> round(stages_left(np.array([10, 10, 10]), 1), 3)
    0.833
    """
    seen = np.cumsum(sizes)
    return float(seen[first:].sum() / max(int(seen.sum()), 1))


def saved(chain: tuple[Model, ...]) -> dict[str, npt.NDArray[Any]]:
    """Return the checkpoints but the first and the last, as arrays under ``slice/…``."""
    middle = enumerate(chain[1:-1], 1)
    return {f"slice/{r:03d}/{name}": array for r, model in middle for name, array in model.state().items()}


def reread(learner: GoesOn, arrays: Arrays, data: Dataset, turns: Turns, key: Key, n_slices: int) -> tuple[Model, ...]:
    """Return the models of a walk that was saved: read where the learner can, walked again where it cannot.

    Args:
        learner: as for `walk`, like data, turns, key and n_slices.
        arrays: the last model's state, and the checkpoints.

    Raises:
        StoreDamaged: the arrays are not those of a walk over these records.
    """
    ground = learner.begin(data, key)
    chain: list[Model] = [ground]
    for stage in range(1, n_slices + 1):
        prefix = f"slice/{stage:03d}/" if stage < n_slices else ""
        own = {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
        model = learner.reload(ground, own)
        if model is None:
            found: tuple[Model, ...] = walk(learner, data, turns, key, (n_slices, ()))
            check_saved(found[-1], arrays)
            return found
        chain.append(ground if not (turns < stage).any() else model)
    if len(chain) != n_slices + 1:
        raise StoreDamaged("checkpoints of slices are missing")
    return tuple(chain)
