"""Every example in a docstring gives what it says."""

from __future__ import annotations

import doctest
import importlib

import pytest
from house.source import OPTIONAL, Module, modules


@pytest.mark.parametrize("module", [m for m in modules() if ">>> " in m.text], ids=lambda m: m.name)
def test_examples_in_docstrings(module: Module) -> None:
    try:
        real = importlib.import_module(module.name)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in OPTIONAL:
            pytest.skip(f"{error.name} is an extra that is not installed")
        raise
    options = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(real, optionflags=options, report=True)
    assert result.attempted > 0
    assert result.failed == 0
