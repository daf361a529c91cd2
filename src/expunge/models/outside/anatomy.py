"""Everything that a fitted estimator of another library holds, as arrays: to compare and digest it, never to load it.

The walk goes where pickling would go (attributes, or what the object gives for a copy of itself), but writes numbers
and names only. Equal estimators give equal arrays in any process; what is called a time is left out.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.errors import Unsupported

DEEPEST = 200
PLAIN = (bool, int, complex, str, bytes, type(None))


@dataclass
class _Walk:
    """What was found so far: lines of text for small things, arrays for large ones."""

    lines: list[str] = field(default_factory=list)
    arrays: list[npt.NDArray[Any]] = field(default_factory=list)
    above: list[int] = field(default_factory=list)


def anatomy(thing: Any) -> dict[str, npt.NDArray[Any]]:
    """Return an estimator's contents: ``outline`` (text as uint8) and ``array/…``.

    Raises:
        Unsupported: it holds something that has no content to compare, such as an open file.
    """
    walk = _Walk()
    _visit(walk, "", thing, 0)
    text = "\n".join(walk.lines).encode("utf-8", "surrogatepass")
    return {"outline": np.frombuffer(text, np.uint8)} | {f"array/{j:05d}": a for j, a in enumerate(walk.arrays)}


def named(thing: Any) -> str:
    """Return the full name of a class or function."""
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', getattr(thing, '__name__', ''))}"


def _visit(walk: _Walk, path: str, thing: Any, depth: int) -> None:
    if depth > DEEPEST:
        raise Unsupported(f"{path[:80]} is nested too deeply to be compared")
    if isinstance(thing, np.generic):
        thing = np.asarray(thing) if thing.dtype.names else thing.item()
    plain = _plain(thing)
    if plain:
        walk.lines.append(f"{path}{plain}")
    elif isinstance(thing, np.ndarray):
        _array(walk, path, thing, depth)
    elif id(thing) in walk.above:
        walk.lines.append(f"{path}=#{walk.above.index(id(thing))}")  # a circle: how far up it leads
    else:
        walk.above.append(id(thing))
        _object(walk, path, thing, depth)
        walk.above.pop()


def _plain(thing: Any) -> str:
    """Return the text of what has no parts; "" of anything else."""
    if isinstance(thing, float):
        return f"={thing.hex()}"
    if type(thing) in PLAIN:
        return f"={thing!r}"
    if isinstance(thing, type | types.FunctionType | types.BuiltinFunctionType | np.ufunc):
        return f":{named(thing)}"
    return f":{thing}" if isinstance(thing, np.dtype) else ""


def _object(walk: _Walk, path: str, thing: Any, depth: int) -> None:
    if isinstance(thing, Mapping):
        walk.lines.append(f"{path}:{named(type(thing))}")
        _each(walk, path, sorted(((repr(k), v) for k, v in thing.items()), key=itemgetter(0)), depth)
    elif isinstance(thing, set | frozenset):
        walk.lines.append(f"{path}={sorted(map(repr, thing))}")
    elif isinstance(thing, list | tuple):
        walk.lines.append(f"{path}:{named(type(thing))}[{len(thing)}]")
        _each(walk, path, ((str(j), v) for j, v in enumerate(thing)), depth)
    else:
        walk.lines.append(f"{path}:{named(type(thing))}")
        _each(walk, path, _contents(path, thing), depth)


def _each(walk: _Walk, path: str, items: Iterable[tuple[str, Any]], depth: int) -> None:
    for name, value in items:
        if "_time" not in name:
            _visit(walk, f"{path}.{name}", value, depth + 1)


def _contents(path: str, thing: Any) -> list[tuple[str, Any]]:
    """Return what an object is made of: its attributes, or the parts that it would be copied from."""
    kind = type(thing)
    usual = all(getattr(kind, name) is getattr(object, name) for name in ("__reduce__", "__reduce_ex__"))
    if usual and hasattr(thing, "__dict__") and not hasattr(kind, "__slots__"):
        return sorted(vars(thing).items())
    try:
        found = thing.__reduce_ex__(2)
    except TypeError as error:
        raise Unsupported(f"{path[:80]} ({kind.__name__}) has no content to compare: {error}") from error
    if isinstance(found, str):
        return [("name", found)]
    parts = zip(("make", "from", "state", "items", "pairs"), found, strict=False)
    return [(name, list(part) if name in ("items", "pairs") and part is not None else part) for name, part in parts]


def _array(walk: _Walk, path: str, array: npt.NDArray[Any], depth: int) -> None:
    if array.dtype.names:
        for name in array.dtype.names:  # gaps between the fields of a record hold anything
            _array(walk, f"{path}.{name}", array[name], depth)
        return
    if array.dtype.hasobject or array.dtype.kind in "USV":
        walk.lines.append(f"{path}:array{array.shape}")
        _each(walk, path, ((str(j), v) for j, v in enumerate(array.ravel().tolist())), depth)
        return
    walk.lines.append(f"{path}:array[{len(walk.arrays)}]{array.dtype.str}{array.shape}")
    walk.arrays.append(_comparable(np.ascontiguousarray(array)))


def _comparable(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array without NaN: as it is, or as its bytes with one NaN for all."""
    if array.dtype.kind in "mM":
        return array.view(np.int64)
    if array.dtype.kind not in "fc" or not np.isnan(array).any():
        return array.copy()
    one = np.where(np.isnan(array), array.dtype.type(np.nan), array + array.dtype.type(0))
    return np.frombuffer(one.tobytes(), np.uint8)
