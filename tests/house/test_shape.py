"""How the source looks: one gradient loop, nothing unsafe, no towers, files of a readable length, everything said."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest
from house import rules
from house.source import Module, modules

Rule = Callable[[ast.Module], rules.Found]

RULES: list[tuple[Rule, Callable[[Module], bool], str]] = [
    (rules.gradient_steps, lambda m: m.name != "expunge.models.descent", "def f(o):\n    o.step()"),
    (rules.unsafe_imports, lambda m: True, "from pickle import loads"),
    (rules.unsafe_imports, lambda m: True, "import numpy, dill.source"),
    (rules.unsafe_calls, lambda m: True, "eval('1')"),
    (rules.unsafe_calls, lambda m: True, "import yaml as y\ny.load(file)"),
    (rules.unsafe_calls, lambda m: True, "from yaml import unsafe_load\nunsafe_load(file)"),
    (rules.unsafe_calls, lambda m: True, "import numpy as np\nnp.load(path, allow_pickle=True)"),
    (rules.unsafe_calls, lambda m: True, "import torch\ntorch.load(path)"),
    (rules.unsafe_calls, lambda m: True, "from torch import load\nload(path, weights_only=False)"),
    (rules.unsafe_calls, lambda m: True, "import joblib\njoblib.load(path)"),
    (rules.unsafe_calls, lambda m: True, "subprocess.run(line, shell=True)"),
    (rules.prints, lambda m: m.folder != "cli", "print('x')"),
    (rules.asserts, lambda m: True, "assert x"),
    (rules.globals_changed, lambda m: True, "def f():\n    global x\n    x = 1"),
    (rules.vague_names, lambda m: True, "class ModelManager:\n    '''M.'''"),
    (rules.vague_names, lambda m: True, "class BaseLearner:\n    '''M.'''"),
    (rules.undocumented, lambda m: True, "class A:\n    '''A.'''\n    def b(self): ..."),
    (rules.undocumented, lambda m: True, "async def b(): ..."),
    (rules.opening, lambda m: True, "x = 1"),
    (rules.opening, lambda m: True, "'''A sentence\nof two lines.'''"),
]

FINE = '''"""What this is."""
import re, torch, numpy as np
import yaml
from typing import overload

def f(scheduler, model, numbers, footprint):
    """Say what."""
    model.evaluate(np.load("x", allow_pickle=False), torch.load("x", weights_only=True), yaml.safe_load("x"))
    return re.compile("x"), scheduler.steps(), footprint.print()

class Database:
    """Say what."""
    def _hidden(self): ...
    @overload
    def a(self): ...
'''

LONGEST, LONGEST_CLI = 400, 200
ROOTS = frozenset({"expunge.core.record.Record"})
"""Every record that travels is one; it does not count as a storey."""


def names(rule: tuple[Rule, object, str]) -> str:
    """Return a test id."""
    return rule[0].__name__


@pytest.mark.parametrize("rule", list({r[0]: r for r in RULES}.values()), ids=names)
def test_source_keeps_the_rule(rule: tuple[Rule, Callable[[Module], bool], str]) -> None:
    find, applies, _ = rule
    broken = [f"{m.where}:{line}: {why}" for m in modules() if applies(m) for line, why in find(m.tree)]
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize("rule", RULES, ids=names)
def test_the_rule_finds_what_it_forbids(rule: tuple[Rule, object, str]) -> None:
    assert list(rule[0](ast.parse(rule[2])))


@pytest.mark.parametrize("rule", list({r[0]: r for r in RULES}.values()), ids=names)
def test_the_rule_lets_good_code_be(rule: tuple[Rule, object, str]) -> None:
    assert not list(rule[0](ast.parse(FINE)))


def test_there_are_no_class_towers() -> None:
    classes: dict[str, tuple[str, ...]] = {}
    for module in modules():
        classes.update(rules.bases(module.tree, module.name))
    assert rules.towers(classes, ROOTS) == []


def test_towers_are_found_and_error_trees_are_not() -> None:
    code = """
from enum import Enum
from typing import Protocol, Generic
class Role(Protocol): ...
class A(Role): ...
class B(A): ...
class Error(Exception): ...
class Lost(Error): ...
class Found(Lost): ...
class G(Generic[int]): ...
class H(G[int], Enum): ...
"""
    assert rules.towers(rules.bases(ast.parse(code), "m")) == ["m.B: 2 classes deep"]
    assert rules.towers(rules.bases(ast.parse(code), "m"), frozenset({"m.Role"})) == []


def test_files_have_a_readable_length() -> None:
    long = []
    for module in modules():
        most, lines = LONGEST_CLI if module.folder == "cli" else LONGEST, module.text.count("\n")
        if lines > most:
            long.append(f"{module.where}: {lines} lines, at most {most}")
    assert not long, "\n".join(long)


def test_every_folder_of_code_is_a_package() -> None:
    folders = {m.path.parent for m in modules()}
    bare = sorted(f.as_posix() for f in folders if not (f / "__init__.py").is_file())
    assert not bare, f"without __init__.py: {bare}"
