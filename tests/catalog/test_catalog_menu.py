"""The menu: names, close matches, plug-ins, and what building says when it cannot."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from expunge import catalog
from expunge.core.errors import BadInput, UnknownName, Unsupported


@pytest.fixture
def plugins(monkeypatch):
    offered: dict[str, list[EntryPoint]] = {}
    monkeypatch.setattr(catalog, "entry_points", lambda group: offered.get(group, []))
    catalog._plugins.cache_clear()
    yield offered
    catalog._plugins.cache_clear()


def test_names_are_unique_in_a_role_and_sentences_are_sentences():
    for role in catalog.ROLES:
        names = [entry.name for entry in catalog.ENTRIES if entry.role == role]
        assert len(names) == len(set(names))
    for entry in catalog.ENTRIES:
        assert entry.sentence[0].isupper()
        assert entry.sentence.endswith(".")
        assert (entry.kind is not None) == (entry.role == "unlearner")


def test_unknown_names_come_with_close_matches():
    with pytest.raises(UnknownName, match="did you mean 'native'"):
        catalog.find("unlearner", "nativ")
    with pytest.raises(UnknownName, match=r"there is no probe 'zzz'$"):
        catalog.resolve("probe", "zzz")
    with pytest.raises(UnknownName, match="no role 'unlearners'; did you mean"):
        catalog.entries("unlearners")


def test_building_says_which_parameter_is_wrong():
    with pytest.raises(BadInput, match="'retrain' has no parameter 'depth'"):
        catalog.build("unlearner", "retrain", depth=3)


def test_a_constructor_that_refuses_is_bad_input(monkeypatch):
    entry = catalog.Entry("screen", "fraction", "fractions:Fraction", "A number.")
    monkeypatch.setattr(catalog, "ENTRIES", (*catalog.ENTRIES, entry))
    with pytest.raises(BadInput, match="cannot be built"):
        catalog.build("screen", "fraction", numerator="many")


def test_a_missing_extra_is_named(monkeypatch):
    entry = catalog.Entry("learner", "net", "no_such_library.net:Net", "A network.", needs="torch")
    monkeypatch.setattr(catalog, "ENTRIES", (*catalog.ENTRIES, entry))
    with pytest.raises(Unsupported, match="needs no_such_library") as caught:
        catalog.build("learner", "net")
    assert caught.value.advice == "pip install 'expunge[torch]'"


def test_a_wrong_target_is_unsupported(monkeypatch):
    entry = catalog.Entry("learner", "net", "expunge.catalog:Nothing", "A network.")
    monkeypatch.setattr(catalog, "ENTRIES", (*catalog.ENTRIES, entry))
    with pytest.raises(Unsupported, match="does not exist"):
        catalog.resolve("learner", "net")


def test_plugins_join_the_menu_unseen(plugins):
    plugins["expunge.unlearners"] = [EntryPoint("mine", "never_imported.mine:Mine", "expunge.unlearners")]
    assert catalog.names("unlearner")[-1] == "mine"
    assert catalog.find("unlearner", "mine").target == "never_imported.mine:Mine"
    assert "never_imported" not in sys.modules


def test_a_plugin_cannot_take_our_name(plugins):
    ours = tuple(e.name for e in catalog.ENTRIES if e.role == "unlearner")
    plugins["expunge.unlearners"] = [EntryPoint("native", "evil.native:Native", "expunge.unlearners")]
    with pytest.warns(RuntimeWarning, match="'native' of an installed package is refused"):
        assert catalog.names("unlearner") == ours
    assert catalog.find("unlearner", "native").origin == "expunge"


def test_entries_are_plain_and_frozen():
    entry = catalog.find("unlearner", "native")
    assert replace(entry, name="other").target == entry.target
    assert {e.role for e in catalog.entries()} == {"learner", "unlearner", "probe", "attack", "screen"}


def test_importing_the_menu_is_cheap():
    code = (
        "import sys, expunge.catalog; heavy = {'torch', 'sklearn', 'numba', 'pandas', 'scipy'} & set(sys.modules);"
        "sys.exit(' '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
