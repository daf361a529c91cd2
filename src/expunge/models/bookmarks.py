"""``Bookmark``: where a descent was, so that one that was interrupted goes on to the same weights.

A folder of safetensors and JSON: weights, the optimiser's memory, the generators' states, the step. A finished phase is
kept as its weights alone. Nothing in it can hold code.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from expunge.core import archive, files
from expunge.core.errors import BadInput, StoreDamaged
from expunge.models.modules import arrays_of, load_arrays

Arrays = dict[str, npt.NDArray[Any]]


@runtime_checkable
class Recalls(Protocol):
    """Something called after each step that has a memory of its own, to be kept in a bookmark."""

    def arrays(self) -> Arrays:
        """Return its memory."""
        ...

    def recall(self, arrays: Arrays) -> None:
        """Take its memory back."""
        ...


@dataclass
class Bookmark:
    """Where the phases of one run were.

    Attributes:
        folder: of this run alone; made when something is written.
        run: what is run (method, model before, records, seed) as a digest: another run's bookmark is refused.
        every_s: seconds between two savings of an unfinished phase.

    Raises:
        BadInput: the folder holds a bookmark of another run.
    """

    folder: Path
    run: str
    every_s: float = 30.0
    _saved_at: float = field(default_factory=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        if (known := self._about()) is not None and known.get("run") != self.run:
            raise BadInput(
                f"{self.folder.name} holds the bookmark of another run", hint="Give an empty folder, or remove it."
            )

    def _about(self) -> dict[str, Any] | None:
        path = self.folder / "run.json"
        if not path.is_file():
            return None
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise StoreDamaged("run.json of the bookmark is not JSON") from error
        return found if isinstance(found, dict) else {}

    def _write(self, name: str, arrays: Arrays) -> None:
        if self._about() is None:
            files.write_durably(self.folder / "run.json", json.dumps({"run": self.run}).encode())
        files.write_durably(self.folder / name, archive.pack(arrays))

    def _read(self, name: str) -> Arrays | None:
        path = self.folder / name
        return archive.unpack(path.read_bytes(), name) if path.is_file() else None

    def finished(self, phase: str, module: nn.Module) -> bool:
        """Put the weights that a finished phase ended with into a module; say whether there were any."""
        arrays = self._read(f"{phase}.done")
        if arrays is None:
            return False
        load_arrays(module, arrays)
        return True

    def finish(self, phase: str, module: nn.Module) -> None:
        """Keep what a phase ended with, and let go of where it was."""
        self._write(f"{phase}.done", arrays_of(module))
        (self.folder / f"{phase}.part").unlink(missing_ok=True)

    def due(self) -> bool:
        """Say whether it is time to save again."""
        return time.monotonic() - self._saved_at >= self.every_s

    def save(self, phase: str, step: int, parts: tuple[nn.Module, torch.optim.Optimizer, tuple[Any, ...]]) -> None:
        """Keep where a phase is: after this many steps."""
        module, optimiser, acts = parts
        found = {f"weights/{n}": a for n, a in arrays_of(module).items()}
        for i, state in enumerate(_states(optimiser)):
            found |= {f"optimiser/{i}/{name}": _plain(value) for name, value in state.items() if value is not None}
        found |= {
            f"acts/{i}/{n}": a
            for i, act in enumerate(acts)
            if isinstance(act, Recalls)
            for n, a in act.arrays().items()
        }
        found |= {f"draws/{i}": state.numpy() for i, state in enumerate(_draws(module))}
        self._write(f"{phase}.part", {**found, "step": np.array([step], np.int64)})
        self._saved_at = time.monotonic()

    def load(self, phase: str, parts: tuple[nn.Module, torch.optim.Optimizer, tuple[Any, ...]]) -> int:
        """Put a phase back to where it was, and return the steps that it had taken; 0 where nothing was kept."""
        arrays = self._read(f"{phase}.part")
        if arrays is None:
            return 0
        module, optimiser, acts = parts
        load_arrays(module, _under(arrays, "weights/"))
        for i, parameter in enumerate(_parameters(optimiser)):
            known = _under(arrays, f"optimiser/{i}/")
            if known:
                optimiser.state[parameter] = {
                    n: torch.from_numpy(a.copy()).to(_where(n, parameter)) for n, a in known.items()
                }
        for i, act in enumerate(acts):
            if isinstance(act, Recalls):
                act.recall(_under(arrays, f"acts/{i}/"))
        _put_draws(module, [arrays[f"draws/{i}"] for i in range(len(_draws(module)))])
        return int(arrays["step"][0])


def _under(arrays: Arrays, prefix: str) -> Arrays:
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _parameters(optimiser: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [p for group in optimiser.param_groups for p in group["params"]]


def _states(optimiser: torch.optim.Optimizer) -> list[dict[str, Any]]:
    return [dict(optimiser.state.get(p, {})) for p in _parameters(optimiser)]


def _plain(value: Any) -> npt.NDArray[Any]:
    return np.asarray(value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value)


def _where(name: str, parameter: torch.Tensor) -> torch.device:
    return torch.device("cpu") if name == "step" else parameter.device


def _draws(module: nn.Module) -> list[torch.Tensor]:
    """Return the states of the generators that a module may draw from."""
    found = [torch.default_generator.get_state()]
    device = next((p.device for p in module.parameters() if p.device.type == "cuda"), None)
    return found if device is None else [*found, torch.cuda.get_rng_state(device)]


def _put_draws(module: nn.Module, states: list[npt.NDArray[Any]]) -> None:
    torch.default_generator.set_state(torch.from_numpy(states[0].copy()))
    if len(states) > 1:
        device = next(p.device for p in module.parameters() if p.device.type == "cuda")
        torch.cuda.set_rng_state(torch.from_numpy(states[1].copy()), device)
