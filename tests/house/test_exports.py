"""What modules say they export exists, and is sorted."""

from __future__ import annotations

import ast
import importlib

import pytest
from house.source import OPTIONAL, Module, modules, python


def exported(module: Module) -> list[str] | None:
    """Return the module's ``__all__``, None if it has none."""
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
            return list(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    return None


def rank(name: str) -> tuple[int, str]:
    """Return the place of a name as the linter sorts it: CONSTANTS, then Classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


LISTED = [m for m in modules() if exported(m) is not None]


@pytest.mark.parametrize("module", LISTED, ids=lambda m: m.name)
def test_all_is_sorted_and_true(module: Module) -> None:
    listed = exported(module) or []
    assert listed == sorted(set(listed), key=rank), f"{module.where}: __all__ is not sorted, or repeats a name"
    try:
        real = importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in OPTIONAL:
            pytest.skip(f"{error.name} is an extra that is not installed")
        raise
    missing = []
    for name in listed:
        try:
            getattr(real, name)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in OPTIONAL:
                raise
        except AttributeError:
            missing.append(name)
    assert not missing, f"{module.where}: __all__ names what does not exist: {missing}"


def test_the_front_door_lists_what_it_offers() -> None:
    import expunge

    assert "__all__" in vars(expunge), "expunge/__init__.py has no __all__"
    assert {"Dataset", "ForgetRequest", "fulfil"} <= set(expunge.__all__)


def test_names_of_the_front_door_are_not_hidden_by_modules() -> None:
    """A module of the same name takes the place of a function once it is imported, unless the package sees to it."""
    code = "import importlib.util as util, sys, types, expunge\n"
    code += "[__import__(f'expunge.{n}') for n in expunge.__all__ if util.find_spec(f'expunge.{n}')]\n"
    code += "sys.exit(', '.join(n for n in expunge.__all__ if type(getattr(expunge, n)) is types.ModuleType) or 0)"
    done = python(code)
    assert done.returncode == 0, f"expunge.<name> gives a module: {done.stderr}"
