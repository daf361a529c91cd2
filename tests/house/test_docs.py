"""The documentation is true: generated pages are current, names and commands exist, links lead somewhere."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from house import pages
from house.pages import Block
from house.source import PACKAGE, ROOT

from expunge.core.errors import all_errors

HOSTS = [
    r"py" + r"pi\.org",
    r"python" + r"hosted\.org",
    r"npm" + r"js\.",
    r"registry\.np",
    r"crates" + r"\.io",
    r"anaconda\.(org|com)",
]
PLACES = [r"(?<![\w.])/(work|root|home|Users|mnt)/\w", r"/tmp/\w", r"\b[A-Z]:\\\w"]
"""Where packages come from is the reader's business, and so is where things lie on their machine."""


def generator() -> ModuleType:
    """Return docs/generate.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_generate", pages.DOCS / "generate.py")
    if spec is None or spec.loader is None:
        raise ImportError("docs/generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def command_line() -> Any:
    """Return the root command; skips only while there is none."""
    if not (PACKAGE / "cli" / "main.py").is_file():
        pytest.skip("src/expunge/cli/main.py does not exist yet")
    return importlib.import_module("expunge.cli.main").cli


def inner(command: Any, words: list[str]) -> Any:
    """Return the subcommand that a line asks a group for; the command itself where it is no group."""
    parts = getattr(command, "commands", None)
    asked = words[1] if len(words) > 1 else ""
    return command if parts is None else parts.get(asked, parts.get(getattr(command, "default", ""), command))


def parameters(command: Any) -> set[str]:
    """Return the option names of a click command."""
    return {option for p in command.params for option in [*p.opts, *p.secondary_opts] if option.startswith("-")}


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_tests_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page.read_text(encoding="utf-8"))
    bodies = {path: (ROOT / path).read_text(encoding="utf-8") if (ROOT / path).is_file() else "" for path, _ in named}
    missing = [
        f"{path}::{name}" for path, name in named if not bodies[path] or (name and f"def {name}(" not in bodies[path])
    ]
    assert not missing


@pytest.mark.parametrize("page", sorted(generator().PAGES))
def test_generated_pages_are_current(page: str) -> None:
    made = generator().PAGES[page]()
    committed = (pages.DOCS / page).read_text(encoding="utf-8")
    assert committed == made, f"docs/{page} is not what the code says: run `make docs`"


def test_every_error_has_a_row() -> None:
    text = (pages.DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
    missing = [k.code for k in all_errors() if f'<span id="{k.code}"></span>`{k.code}` | `{k.__name__}`' not in text]
    assert not missing


def test_every_name_of_the_catalogue_is_documented() -> None:
    text = (pages.DOCS / "reference" / "catalog.md").read_text(encoding="utf-8")
    entries = importlib.import_module("expunge.catalog").ENTRIES
    assert not [e.name for e in entries if f"| `{e.name}` |" not in text]


def test_methods_speak_of_every_learner_and_unlearner() -> None:
    text = (pages.DOCS / "methods.md").read_text(encoding="utf-8")
    entries = importlib.import_module("expunge.catalog").ENTRIES
    listed = {e.name for e in entries if e.role in ("learner", "unlearner", "probe")}
    assert not sorted(name for name in listed if f"`{name}`" not in text)


def test_every_command_and_option_is_documented() -> None:
    root = command_line()
    context = root.make_context("expunge", [], resilient_parsing=True)
    text = (pages.DOCS / "reference" / "cli.md").read_text(encoding="utf-8")
    missing = []
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command.help, f"expunge {name} has no help"
        if f"expunge {name}" not in text:
            missing.append(name)
        for part in [command, *getattr(command, "commands", {}).values()]:
            assert part.help, f"expunge {name} {part.name} has no help"
            missing += [f"{name} {o}" for o in parameters(part) if o.startswith("--") and o not in text]
    assert not missing, f"not in docs/reference/cli.md: {missing}"


SHOWN = [b for page in pages.pages() for b in pages.blocks(page) if b.language in pages.SHELL]


@pytest.mark.parametrize("block", SHOWN, ids=lambda b: f"{pages.name(b.page)}:{b.line}")
def test_commands_that_are_shown_exist(block: Block) -> None:
    lines = list(pages.commands(block))
    if not lines:
        return
    root = command_line()
    context = root.make_context("expunge", [], resilient_parsing=True)
    for words in lines:
        if words[0].startswith("-"):
            assert words[0] in {"--help", "-h", "--version"}
            continue
        command = root.get_command(context, words[0])
        assert command is not None, f"there is no command {words[0]!r}"
        command = inner(command, words)
        options = {w.partition("=")[0] for w in words[1:] if re.match(r"--?[a-z]", w)}
        odd = options - parameters(command) - {"--help", "-h"}
        assert not odd, f"expunge {words[0]} has no {sorted(odd)}"


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_links_lead_somewhere(page: Path) -> None:
    dead = []
    for path, anchor in pages.links(page):
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in pages.anchors(target)):
            dead.append(f"{path}#{anchor}" if anchor else path)
    assert not dead, f"{pages.name(page)}: {dead}"


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_fences_hold_a_language_and_nothing_else(page: Path) -> None:
    wrong = [f"{b.line}: {b.language} {b.extra}" for b in pages.blocks(page) if b.extra or not b.language]
    assert not wrong, f"{pages.name(page)}: say why a block is not run with <!-- not run: reason --> above it: {wrong}"


def texts() -> list[Path]:
    """Return every text that readers see."""
    top = [p for p in ROOT.iterdir() if p.is_file() and p.suffix in {".md", ".toml", ".txt", ".yml", ".cff", ""}]
    folders = ("src", "tests", "docs", "examples", "benchmarks", ".ci")
    below = [p for f in folders if (ROOT / f).is_dir() for p in (ROOT / f).rglob("*") if p.is_file()]
    kinds = {".md", ".py", ".toml", ".yml", ".html", ".txt", ""}
    return [p for p in [*top, *below] if p.suffix in kinds and "__pycache__" not in p.parts and p.name != ".git"]


def test_texts_name_no_package_host() -> None:
    found = [
        f"{p.relative_to(ROOT)}: {host}"
        for p in texts()
        for host in HOSTS
        if re.search(host, p.read_text(encoding="utf-8", errors="replace"))
    ]
    assert not found, found


def test_texts_name_no_place_of_one_machine() -> None:
    here = [p for p in texts() if "tests" not in p.relative_to(ROOT).parts]
    found = []
    for path in here:
        text = path.read_text(encoding="utf-8", errors="replace")
        found += [f"{path.relative_to(ROOT)}: {m[0]}" for place in PLACES for m in re.finditer(place, text)]
    assert not found, found


def test_there_is_no_yaml_to_configure_anything() -> None:
    allowed = {ROOT / "mkdocs.yml"}
    folders = ("src", "tests", "docs", "examples", "benchmarks")
    found = [p for f in folders for kind in ("*.yml", "*.yaml") for p in (ROOT / f).rglob(kind)]
    assert not [p for p in [*found, *ROOT.glob("*.y*ml")] if p not in allowed]


def test_the_tutorial_pages_run_something() -> None:
    for page in (pages.DOCS / "tutorials").glob("*.md"):
        assert any(b.runs for b in pages.blocks(page)), f"{page.name} shows nothing that is run"
