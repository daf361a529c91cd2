"""``unlearn``: take records out of a torch module of your own; the same kind of thing comes back.

>>> import torch
>>> from expunge.unlearners.approximate.finetune import Finetune
>>> net = torch.nn.Linear(2, 3)
>>> x, y = torch.randn(12, 2), torch.arange(12) % 3
>>> after = unlearn(net, (x[:2], y[:2]), (x[2:], y[2:]), Finetune(epochs=1))
>>> type(after).__name__, after is net
('Linear', False)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from expunge.core.canonical import canonical_json, part_digest, sha256
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.roles import Progress
from expunge.core.seeds import Key
from expunge.models.bookmarks import Bookmark
from expunge.models.descent import Meter
from expunge.models.modules import arrays_of, check_device, modes, placed, put_modes, reinitialised, seeded, tensors
from expunge.models.network import Network
from expunge.models.streams import Records, Rows, Samples
from expunge.unlearners.method import Method
from expunge.unlearners.scene import Scene

LOOKED_AT = 256
"""Records of each side that are looked at before anything is done: as many as one batch."""


@dataclass(frozen=True)
class Circumstances:
    """What else a run of `unlearn` may be told.

    Attributes:
        holdout: records that were never learnt, as `forgotten`; some methods need them.
        fresh: makes an untrained module of the same architecture; by default the layers draw their weights again.
        recipe: how the module was trained, for methods that train anew: epochs, batch, optimiser, rate ... of it.
        key: of all draws: a `Key`, or the seed of a public one.
        device: where it is computed; by default where the module is.
        precision: of forward passes.
        resume: a folder where the run is kept, so that an interrupted one goes on to the same weights.
        every_s: seconds between two savings.
        meter: is added to.
        progress: called with (steps done, steps) of each phase; raising from it stops the run.
    """

    holdout: Any = None
    fresh: Callable[[], nn.Module] | None = None
    recipe: Network | None = None
    key: Key | int = 0
    device: str | None = None
    precision: Literal["float32", "bfloat16"] = "float32"
    resume: Path | str | None = None
    every_s: float = 30.0
    meter: Meter | None = None
    progress: Progress | None = None


def unlearn(module: nn.Module, forgotten: Any, kept: Any, method: Method, **how: Any) -> nn.Module:
    """Return a copy of the module in which a method has reduced the influence of the forgotten records.

    Args:
        module: trained; not changed in any way.
        forgotten: the records to forget: (inputs, targets) as tensors or arrays, first axis = records; or a torch
            data set of such pairs; or a loader, whose data set is taken (the batches are the method's own).
            Whole-number targets are classes, real ones numbers.
        kept: the records to keep, in the same form.
        method: what to do, with its hyper-parameters.
        how: see `Circumstances`.

    Returns:
        The module after: same class, device and training flags.

    Raises:
        BadInput, BadData: what was given does not fit together.
        Unsupported: the method needs what was not given.

    Guarantee: the method's; nothing is signed. Put the module into a `Network` and a `Deployment` for a receipt.
    Cost: the method's, and two copies of the module.
    Source: deep-and-audit section 2.5.
    """
    odd = set(how) - set(Circumstances.__dataclass_fields__)
    if odd:
        raise BadInput(
            f"unlearn has no option {sorted(odd)[0]!r}",
            hint=f"It has: {', '.join(Circumstances.__dataclass_fields__)}.",
        )
    if not isinstance(method, Method):
        raise BadInput(f"a method is asked for, not {method!r}", hint="For example: unlearn(net, a, b, Scrub()).")
    if not isinstance(module, nn.Module):
        raise BadInput(f"a torch module is asked for, not {type(module).__name__}")
    given = Circumstances(**how)
    key = (given.key if isinstance(given.key, Key) else Key.public(given.key)).child("unlearn")
    sides = [_samples(side, key.child(name)) for side, name in ((forgotten, "forgotten"), (kept, "kept"))]
    here = next((t.device for t in tensors(module)), torch.device("cpu"))
    scene = _scene(module, sides, method, given, key)
    after = placed(method.change(scene), here)
    return put_modes(after, modes(module))


def _scene(module: nn.Module, sides: list[Records], method: Method, given: Circumstances, key: Key) -> Scene:
    here = next((t.device for t in tensors(module)), torch.device("cpu"))
    first = next(sides[0].blocks(2))
    outputs = _outputs(placed(module, "cpu"), first.x)
    task: Literal["classes", "numbers"] = "numbers" if first.y.is_floating_point() else "classes"
    holdout = None if given.holdout is None else _samples(given.holdout, key.child("holdout"))
    for side in (*sides, *([] if holdout is None else [holdout])):
        _check_fits(side, placed(module, "cpu"), outputs, task)
    meter = given.meter or Meter()

    def fresh(purpose: str) -> nn.Module:
        if given.fresh is None:
            return reinitialised(placed(module, "cpu"), key.word(f"fresh/{purpose}"))
        with seeded(key.word(f"fresh/{purpose}")):
            return given.fresh()

    def train(untrained: nn.Module, samples: Samples, seed: int) -> nn.Module:
        if given.recipe is None:
            raise Unsupported(
                f"{type(method).__name__} trains anew, and nobody said how",
                hint="Say it: unlearn(..., recipe=Network(epochs=20, optimiser='sgd', rate=0.05)).",
            )
        watch = (given.recipe.epochs, given.progress, meter)
        return given.recipe.trained(untrained, samples, scene.own, seed, watch)

    scene = Scene(
        module,
        sides[0],
        sides[1],
        outputs=outputs,
        seed=key.word("draws") % 2**62,
        task=task,
        fresh=fresh,
        train=train,
        holdout=holdout,
        device=check_device(given.device) if given.device else here,
        precision=given.precision,
        meter=meter,
        progress=given.progress,
        bookmark=_bookmark(module, sides, method, given, key),
    )
    return scene


def _bookmark(
    module: nn.Module, sides: list[Records], method: Method, given: Circumstances, key: Key
) -> Bookmark | None:
    if given.resume is None:
        return None
    parts = part_digest(arrays_of(module)).hex()
    words = [sha256(side.words.tobytes()).hex() for side in sides]
    contents = [sha256(*(b.x.numpy().tobytes() + b.y.numpy().tobytes() for b in side.blocks())).hex() for side in sides]
    run = sha256(canonical_json([repr(method), parts, *words, *contents, key.commitment.hex(), key.seed])).hex()
    return Bookmark(Path(given.resume), run, given.every_s)


def _outputs(module: nn.Module, x: Tensor) -> int:
    """Return how many outputs a module has, asked about a few records."""
    flags = modes(module)
    try:
        with torch.no_grad(), seeded(0):
            found = module.eval()(x)
    except (RuntimeError, ValueError, TypeError) as error:
        raise BadData(f"the module does not take inputs of shape {tuple(x.shape)}: {error}") from error
    finally:
        put_modes(module, flags)
    if not isinstance(found, Tensor) or found.dim() != 2 or len(found) != len(x):
        raise BadData("the module must give outputs of shape (records, classes)")
    return int(found.shape[1])


def _check_fits(side: Records, module: nn.Module, outputs: int, task: str) -> None:
    """Refuse records whose first ones the module does not take, or whose targets are of another kind.

    Raises:
        BadData: they are.
    """
    first = next(side.blocks(LOOKED_AT))
    _outputs(module, first.x[:2])
    if first.y.is_floating_point() != (task == "numbers"):
        raise BadData("some targets are class codes and others are numbers: forgotten and kept records need one kind")
    if task == "classes" and int(first.y.max()) >= outputs:
        raise BadData(f"a target is class {int(first.y.max())}, and the module has {outputs} outputs")


def _samples(given: Any, key: Key) -> Records:
    """Return records as samples; each gets a keyed word by its place.

    Raises:
        BadData: no pair of inputs and targets of one length, or none at all.
    """
    if isinstance(given, torch.utils.data.DataLoader):
        given = given.dataset
    if isinstance(given, torch.utils.data.TensorDataset):
        given = given.tensors
    if isinstance(given, torch.utils.data.Dataset):
        return _lazy(given, key)
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise BadData("records are a pair (inputs, targets), a torch data set, or a loader of one")
    x, y = (torch.as_tensor(np.asarray(part) if not isinstance(part, Tensor) else part).cpu() for part in given)
    if len(x) != len(y) or not len(x):
        raise BadData(f"{len(x)} inputs and {len(y)} targets: as many, and one or more, are needed")
    return Records.of(x if x.dtype == torch.float64 else x.float(), _targets(y), key.words(range(len(x))))


def _targets(y: Tensor) -> Tensor:
    if y.is_floating_point():
        return y[:, None] if y.dim() == 1 else y
    if y.dim() != 1 or (len(y) and int(y.min()) < 0):
        raise BadData("class codes are whole numbers from 0 on, one a record")
    return y.long()


def _lazy(given: Any, key: Key) -> Records:
    """Return the records of a data set that is read as it is needed."""
    try:
        n = len(given)
    except TypeError as error:
        raise BadData("a data set without a length cannot be gone over in a keyed order") from error
    if not n:
        raise BadData("the data set has no record")

    def fetch(rows: Rows) -> tuple[Tensor, Tensor]:
        x, y = torch.utils.data.default_collate([given[int(row)] for row in rows])
        return x.float(), _targets(y)

    return Records(fetch, key.words(range(n)))
