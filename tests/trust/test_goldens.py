"""The golden values G1 to G6 stand as doctests in their modules; here they run."""

from __future__ import annotations

import doctest
import importlib

import pytest

GOLDEN = {"keys": 5, "merkle": 4, "note": 8, "proof": 9, "manifest": 9, "envelope": 6, "leaf": 6}


@pytest.mark.parametrize("name", [*GOLDEN, "tiles", "quorum", "claims", "fields"])
def test_the_doctests_of_a_module_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"expunge.trust.{name}"))
    assert result.failed == 0
    assert result.attempted >= GOLDEN.get(name, 1)
