"""The menu: name → "module:Class", what it needs, one line of what it does. Plain strings, resolved when asked for.

Nothing registers itself and nothing is imported before it is used. Third parties add names through the entry-point
groups ``expunge.learners``, ``expunge.unlearners``, ``expunge.probes``, ``expunge.attacks`` and ``expunge.screens``;
a name of ours cannot be taken over.

>>> names("unlearner")[:2]
('native', 'retrain')
>>> build("unlearner", "retrain")
Retrain()
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from expunge.catalog.entry import ROLES, Entry, Role
from expunge.catalog.learners import LEARNERS
from expunge.catalog.measures import MEASURES
from expunge.catalog.unlearners import UNLEARNERS
from expunge.core.errors import BadInput, UnknownName, Unsupported

ENTRIES: tuple[Entry, ...] = (*LEARNERS, *UNLEARNERS, *MEASURES)


def _own(role: Role) -> tuple[Entry, ...]:
    return tuple(entry for entry in ENTRIES if entry.role == role)


def _plugin(role: Role, point: EntryPoint) -> Entry:
    origin = point.dist.name if point.dist is not None else "an installed package"
    return Entry(role, point.name, point.value, f"From {origin}.", origin=origin)


@cache
def _plugins(role: Role) -> tuple[Entry, ...]:
    """Return what other distributions offer, without importing any of it; names that clash are left out, aloud."""
    found = {entry.name: entry for entry in _own(role)}
    ours = len(found)
    for point in sorted(entry_points(group=f"expunge.{role}s"), key=lambda p: (p.name, p.value)):
        entry = _plugin(role, point)
        if found.setdefault(entry.name, entry).target != entry.target:
            warnings.warn(
                f"{role} {entry.name!r} of {entry.origin} is refused: the name is taken by {found[entry.name].origin}",
                RuntimeWarning,
                stacklevel=3,
            )
    return tuple(found.values())[ours:]


def entries(role: Role | None = None) -> tuple[Entry, ...]:
    """Return the menu, ours first: of one role, or of all.

    Raises:
        UnknownName: there is no such role.
    """
    if role is not None and role not in ROLES:
        raise UnknownName(f"there is no role {role!r}{_near(role, ROLES)}", hint=f"Roles are {', '.join(ROLES)}.")
    return tuple(entry for r in ([role] if role else ROLES) for entry in (*_own(r), *_plugins(r)))


def names(role: Role) -> tuple[str, ...]:
    """Return the names of a role, in the order of the menu."""
    return tuple(entry.name for entry in entries(role))


def find(role: Role, name: str) -> Entry:
    """Return one line of the menu.

    Raises:
        UnknownName: naming close matches, if any.
    """
    menu = {entry.name: entry for entry in entries(role)}
    if name not in menu:
        raise UnknownName(f"there is no {role} {name!r}{_near(name, menu)}")
    return menu[name]


def resolve(role: Role, name: str) -> type[Any]:
    """Import the class behind a name.

    Raises:
        UnknownName: no such name.
        Unsupported: what it needs is not installed.
    """
    entry = find(role, name)
    module, _, attribute = entry.target.partition(":")
    try:
        found: type[Any] = getattr(import_module(module), attribute)
    except ImportError as error:
        lost = error.name or module
        hint = f"pip install 'expunge[{entry.needs}]'" if entry.needs else f"Reinstall {entry.origin}."
        raise Unsupported(f"{role} {name!r} needs {lost}, which is not installed", hint=hint, missing=lost) from error
    except AttributeError as error:
        raise Unsupported(f"{role} {name!r} should be {entry.target}, which does not exist") from error
    return found


def build(role: Role, name: str, **params: Any) -> Any:
    """Build what a name stands for, with hyper-parameters.

    Raises:
        UnknownName, Unsupported: as `resolve`.
        BadInput: a hyper-parameter that it does not have, lacks, or does not accept.
    """
    kind = resolve(role, name)
    known = [p for p in inspect.signature(kind).parameters if p != "self"]
    odd = [p for p in params if p not in known]
    if odd:
        listed = ", ".join(known) or "none"
        raise BadInput(f"{role} {name!r} has no parameter {odd[0]!r}{_near(odd[0], known)}", hint=f"It has: {listed}.")
    try:
        return kind(**params)
    except (TypeError, ValueError) as error:
        raise BadInput(f"{role} {name!r} cannot be built: {error}") from error


def _near(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(str(name), list(known), n=2)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
