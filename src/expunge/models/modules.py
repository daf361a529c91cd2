"""What is done to torch modules as a whole: copies without shared storage, seeded draws, freezing, recalibration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor, nn

from expunge.core.errors import BadInput, Unsupported

MEMORY: Any = import_module("torch.utils.deterministic")
"""Torch's switch that fills new memory; typed as anything, as torch leaves it without a type."""
NORMS = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)
"""Normalisers that may remember statistics of what they saw."""


@contextmanager
def seeded(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Give the block torch generators of its own and one thread; what is global is afterwards as it was.

    Deterministic algorithms are asked for inside. Dropout and initialisers draw from the default generators, which is
    why it is those that are seeded, and put back.

    Args:
        seed: of the generators.
        device: a graphics processor whose generator is seeded as well; None = the processor alone.
    """
    threads, strict = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    filling = MEMORY.fill_uninitialized_memory
    cuda = device is not None and device.type == "cuda"
    if threads != 1:
        torch.set_num_threads(1)
    if cuda:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS needs to be deterministic
    # use_deterministic_algorithms() would import torch's compiler, seconds of work, to set a switch there as well.
    torch.set_deterministic_debug_mode("warn" if cuda else "error")
    MEMORY.fill_uninitialized_memory = False  # nothing here reads memory before it is written
    try:
        with torch.random.fork_rng(devices=(device,) if cuda else ()):
            torch.default_generator.manual_seed(seed % 2**63)
            if cuda:
                torch.cuda.manual_seed(seed % 2**63)
            yield
    finally:
        torch.set_deterministic_debug_mode(strict)
        MEMORY.fill_uninitialized_memory = filling
        if threads != 1:
            torch.set_num_threads(threads)


def copied(module: nn.Module) -> nn.Module:
    """Return a deep copy that shares no storage with the module.

    Raises:
        BadInput: the copy shares a tensor, so that changing one would change the other (spec B1).
    """
    copy = deepcopy(module)
    own = {t.untyped_storage().data_ptr() for t in tensors(module) if t.numel()}
    if any(t.untyped_storage().data_ptr() in own for t in tensors(copy) if t.numel()):
        raise BadInput(f"a copy of {type(module).__name__} shares tensors with it", hint="Mend its __deepcopy__.")
    return copy


def check_device(name: str) -> torch.device:
    """Return a device by name.

    Raises:
        BadInput: there is no such kind of device.
        Unsupported: it is not at hand here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"there is no device {name!r}", hint="Use cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise BadInput(f"{name!r} is not served", hint="Use cpu or cuda.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise Unsupported("no graphics processor is at hand here", hint="Use device='cpu'.")
    return device


def placed(module: nn.Module, device: torch.device | str) -> nn.Module:
    """Return the module on a device: itself where it is there, else a copy; the one given stays where it is."""
    wanted = torch.device(device)
    here = next((t.device for t in tensors(module)), wanted)
    return module if here.type == wanted.type else copied(module).to(wanted)


def frozen(module: nn.Module) -> nn.Module:
    """Return a copy that asks for no gradient and evaluates: a teacher."""
    teacher = copied(module).eval()
    for parameter in teacher.parameters():
        parameter.requires_grad_(False)
    return teacher


def tensors(module: nn.Module) -> Iterator[Tensor]:
    """Yield parameters and buffers."""
    yield from module.parameters()
    yield from module.buffers()


def modes(module: nn.Module) -> list[bool]:
    """Return the training flags of a module and its parts."""
    return [part.training for part in module.modules()]


def put_modes(module: nn.Module, flags: Iterable[bool]) -> nn.Module:
    """Give a module and its parts these training flags, and return it."""
    for part, flag in zip(module.modules(), flags, strict=True):
        part.training = flag
    return module


def freeze_norms(module: nn.Module) -> None:
    """Let normalisers use the statistics that they have, and take none."""
    for part in module.modules():
        if isinstance(part, NORMS):
            part.eval()


def remembers_statistics(module: nn.Module) -> bool:
    """Say whether a normaliser holds running statistics: memory of the records that went through."""
    return any(isinstance(part, NORMS) and part.track_running_stats for part in module.modules())


def recalibrated(module: nn.Module, inputs: Iterable[Tensor], seed: int = 0) -> nn.Module:
    """Return a copy whose normalisers hold the statistics of these inputs (kept records), and of nothing else.

    Args:
        module: not changed.
        inputs: one tensor a batch.
        seed: of what the module draws.
    """
    with seeded(seed), torch.no_grad():
        after = copied(module)
        after.eval()
        for part in after.modules():
            if isinstance(part, NORMS) and part.track_running_stats:
                part.reset_running_stats()
                part.momentum = None  # the plain mean of all batches
                part.train()
        for batch in inputs:
            after(batch)
        put_modes(after, modes(module))
        for copy, original in zip(after.modules(), module.modules(), strict=True):
            if isinstance(original, NORMS):
                copy.momentum = original.momentum  # type: ignore[assignment]  # a normaliser's own field
    return after


def reinitialised(module: nn.Module, seed: int) -> nn.Module:
    """Return a copy in which every layer has drawn its first weights again; running statistics are reset.

    Raises:
        Unsupported: a parameter is left as it was, because its layer has no ``reset_parameters`` (spec B3).
    """
    with seeded(seed):
        fresh = copied(module)
        reached: set[int] = set()
        for part in fresh.modules():
            reset = getattr(part, "reset_parameters", None)
            if callable(reset):
                reset()
                reached.update(id(p) for p in part.parameters())
    lost = [name for name, p in fresh.named_parameters() if id(p) not in reached]
    if lost:
        raise Unsupported(
            f"{lost[0]!r} cannot be drawn again: its layer has no reset_parameters",
            hint="Give the factory of the module: unlearn(..., fresh=lambda: MyModule()).",
        )
    return fresh


def arrays_of(module: nn.Module) -> dict[str, npt.NDArray[Any]]:
    """Return parameters and buffers as numpy arrays, name → array; bfloat16 as float32."""
    found: dict[str, npt.NDArray[Any]] = {}
    for name, tensor in module.state_dict().items():
        plain = tensor.detach().cpu()
        found[name] = (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy().copy()
    return found


def load_arrays(module: nn.Module, arrays: dict[str, npt.NDArray[Any]]) -> nn.Module:
    """Put arrays into a module of the same shapes, in place, and return it.

    Raises:
        BadInput: a name or a shape does not fit.
    """
    wanted = module.state_dict()
    odd = [n for n, t in wanted.items() if n not in arrays or tuple(arrays[n].shape) != tuple(t.shape)]
    if odd:
        raise BadInput(f"the saved weights {odd[0]!r} do not fit the network")
    given = {n: torch.from_numpy(arrays[n].copy()).to(t.dtype) for n, t in wanted.items()}
    module.load_state_dict(given)
    return module
