"""What is installed: every dependency is pinned to the version that was tested, from nowhere in particular."""

from __future__ import annotations

import tomllib

from house.source import OPTIONAL, ROOT
from packaging.requirements import Requirement

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def pins() -> dict[str, Requirement]:
    """Return the pinned requirements by normal name."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {normal(r.name): r for r in found}


def normal(name: str) -> str:
    """Return a distribution's name as registries compare it."""
    return name.lower().replace("_", "-").replace(".", "-")


def test_pins_are_exact_and_without_addresses() -> None:
    wrong = [str(r) for r in pins().values() if r.url or not str(r.specifier).startswith("==")]
    assert not wrong


def test_every_dependency_is_pinned_to_a_version_it_allows() -> None:
    wanted = [*PROJECT["dependencies"], *(r for extra in PROJECT["optional-dependencies"].values() for r in extra)]
    known = pins()
    for text in wanted:
        need = Requirement(text)
        pin = known.get(normal(need.name))
        assert pin, f"{need.name} is not in constraints.txt"
        version = str(pin.specifier).removeprefix("==")
        assert need.specifier.contains(version), f"{pin} is not {need}"


def test_what_modules_may_lack_is_no_dependency() -> None:
    always = {normal(Requirement(text).name) for text in PROJECT["dependencies"]}
    assert not always & OPTIONAL


def test_the_licence_and_the_notice_are_there() -> None:
    for name in PROJECT["license-files"]:
        assert (ROOT / name).is_file(), f"{name} is missing"
