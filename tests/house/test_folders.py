"""The folder is the promise: what lies in ``unlearners/exact`` promises exactness, and so on, in word and in deed."""

from __future__ import annotations

import importlib
import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from house.source import OPTIONAL, PACKAGE, modules

from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import ExpungeError, Unsupported
from expunge.core.seeds import Key

KINDS = {"exact": "exact", "certified": "certified", "approximate": "empirical", "suppression": "suppression"}
"""Folder below ``unlearners`` → the kind of guarantee that lives there."""

HOMES = {
    "learner": ("expunge.models.",),
    "unlearner": tuple(f"expunge.unlearners.{folder}." for folder in KINDS),
    "probe": ("expunge.audit.",),
    "attack": ("expunge.threats.",),
    "screen": ("expunge.defences.screens.",),
}


def catalogue() -> ModuleType:
    """Return the catalogue."""
    return importlib.import_module("expunge.catalog")


def entries(role: str) -> list[Any]:
    """Return our own entries of a role (not those of installed plug-ins)."""
    return [entry for entry in catalogue().ENTRIES if entry.role == role]


def folder_of(entry: Any) -> str:
    """Return the folder below ``unlearners`` that an entry's class lies in."""
    return str(entry.target.partition(":")[0].split(".")[2])


def resolve(entry: Any) -> Any:
    """Import an entry's class; skips if an extra is not installed."""
    try:
        return catalogue().resolve(entry.role, entry.name)
    except Unsupported as error:
        if str(error.facts.get("missing")).split(".")[0] in OPTIONAL:
            pytest.skip(error.message)
        raise


def worlds() -> list[Deployment]:
    """Return a small deployment of every learner that can learn one of two small tables."""
    draw = np.random.default_rng(0)
    X = draw.normal(size=(60, 3))
    labels = ["yes" if v > 0 else "no" for v in X[:, 0] + 0.3 * draw.normal(size=60)]
    found = []
    for entry in entries("learner"):
        try:
            learner = catalogue().build("learner", entry.name)
        except ExpungeError:
            continue
        for y in (labels, X[:, 0] * 2.0):
            data, key = Dataset.from_arrays(X, y), Key(bytes(range(32)), "7")  # a public key certifies nothing
            try:
                kept, aside = data.take(np.arange(50)), data.take(np.arange(50, 60))
                found.append(Deployment(learner, kept, key, learner.fit(kept, key), aside))
            except ExpungeError:
                continue
    return found


def test_every_entry_lies_where_its_role_lives_and_exists() -> None:
    for role, homes in HOMES.items():
        for entry in entries(role):
            assert entry.target.startswith(homes), f"{role} {entry.name} lies in {entry.target}"
            assert inspect.isclass(resolve(entry))


def test_every_entry_says_what_it_does_in_one_sentence() -> None:
    listed = catalogue().ENTRIES
    assert len({(e.role, e.name) for e in listed}) == len(listed), "a name is listed twice"
    wrong = [e.name for e in listed if not e.sentence.endswith(".") or "\n" in e.sentence]
    assert not wrong, wrong


def test_the_menu_says_the_kind_of_the_folder() -> None:
    wrong = [e.name for e in entries("unlearner") if e.kind != KINDS[folder_of(e)]]
    assert not wrong, f"the menu's kind is not the folder's: {wrong}"


def test_promises_are_of_the_kind_of_the_folder() -> None:
    unlearners = entries("unlearner")
    deployments = worlds()
    assert deployments, "no learner of the catalogue learnt anything"
    for entry in unlearners:
        build, kinds, reasons = resolve(entry), set(), []
        for deployment in deployments:
            try:
                kinds.add(build().promise(deployment).kind)
            except Unsupported as error:
                reasons.append(error.message)
        assert kinds == {KINDS[folder_of(entry)]}, f"{entry.name} promises {kinds or 'nothing'} ({reasons[:1]})"


def test_retraining_is_the_last_resort() -> None:
    assert [e.name for e in entries("unlearner") if e.kind == "exact"][-1] == "retrain"


def test_every_unlearner_is_on_the_menu() -> None:
    listed = {entry.target for entry in entries("unlearner")}
    lost = []
    for module in modules():
        if module.folder != "unlearners" or module.path.parent.name not in KINDS:
            continue
        try:
            real = importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] in OPTIONAL:
                continue
            raise
        for name, value in vars(real).items():
            own = inspect.isclass(value) and value.__module__ == module.name and not name.startswith("_")
            if own and callable(getattr(value, "unlearn", None)) and f"{module.name}:{name}" not in listed:
                lost.append(f"{module.name}:{name}")
    assert not lost, f"not in the catalogue: {lost}"


def test_there_are_no_other_folders() -> None:
    here = PACKAGE / "unlearners"
    folders = {p.name for p in here.iterdir() if p.is_dir() and p.name != "__pycache__"} if here.is_dir() else set()
    assert folders <= set(KINDS), f"unlearners/ holds {sorted(folders - set(KINDS))}"
