"""Write the pages that are made from the code, so that they cannot differ from it: ``python docs/generate.py``.

A test holds that what is committed is what this writes.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SRC = DOCS.parent / "src"
MADE = "<!-- Made by docs/generate.py (`make docs`); edits are lost. -->"

FAMILIES = {
    "BadInput": "What was asked cannot be done as asked. Nothing was changed.",
    "Refused": "The policy or the planner says no, with reasons.",
    "StoreError": "Something is wrong with the directory on disk.",
    "EvidenceError": "Something that should be proof is not. Do not rely on it.",
    "Interrupted": "Ctrl-C, or a signal. Work that can be resumed is resumed by the same command.",
}
ROLES = {
    "learner": ("Learners", "Learn a model from records."),
    "unlearner": ("Unlearners", "Take records out of a trained model. The folder is the promise."),
    "probe": ("Probes", "Measure what unlearning did."),
    "attack": ("Attacks", "Play an adversary, to measure what a defence is worth."),
    "screen": ("Screens", "Judge a request before anything is forgotten."),
}
COMMAND_LINE = (
    ("usage", "The command line is not understood; add `--help`.", 2),
    ("unexpected", "A defect of expunge; run again with `EXPUNGE_TRACEBACK=1` and report what it prints.", 70),
)
COMPARTMENTS = {"data": "the embedded data set and its attribution"}
"""What folders hold that have no Python file to say it."""


def errors_page() -> str:
    """Return the page of every error code."""
    from expunge.core.errors import ExpungeError, all_errors

    def row(kind: type[ExpungeError]) -> str:
        text = " ".join((kind.__doc__ or "").split())
        anchor = f'<span id="{kind.code}"></span>`{kind.code}`'
        return f"| {anchor} | `{kind.__name__}` | {text} | {kind.hint} | {kind.exit_code} | {kind.http_status} |"

    lines = [
        "# Errors",
        "",
        MADE,
        "",
        "Every error that expunge raises on purpose has a stable code, a hint, an exit code for the command line and",
        "an HTTP status for the service. All are classes of `expunge.core.errors` and carry plain data only;",
        "`as_dict()` gives what `--json` prints. An exit code of 0 means that the command did what it was asked.",
        "",
        "`expunge verify` has the exit codes of any checker: **0** verified, **1** refuted (not proof), **2** asked",
        "wrongly (no trust root, no such file), **3** neither: something needed is missing.",
        "",
    ]
    head = ["| Code | Class | What happened | What to do | Exit | HTTP |", "|---|---|---|---|---|---|"]
    kinds = all_errors()
    for family, sentence in FAMILIES.items():
        members = [k for k in kinds if family in {b.__name__ for b in k.__mro__}]
        lines += [f"## {family}", "", sentence, "", *head, *map(row, members), ""]
    lines += ["## Anything else", "", "The class that all the others are.", "", *head, row(ExpungeError), ""]
    lines += ["On the command line only:", "", "| Code | What happened | Exit |", "|---|---|---|"]
    lines += [f"| `{code}` | {text} | {exit_code} |" for code, text, exit_code in COMMAND_LINE] + [""]
    return "\n".join(lines)


def catalog_page() -> str:
    """Return the page of every name on the menu; what installed plug-ins add is not on it."""
    from expunge.catalog import ENTRIES

    lines = [
        "# Catalogue",
        "",
        MADE,
        "",
        "The names that policies, the library and the command line know. `expunge catalog` prints this list together",
        "with what installed plug-ins add.",
        "",
    ]
    for role, (title, sentence) in ROLES.items():
        entries = [entry for entry in ENTRIES if entry.role == role]
        if not entries:
            continue
        unlearners = role == "unlearner"
        lines += [f"## {title}", "", sentence, ""]
        lines += ["| Name | Promise | What it does | Class |", "|---|---|---|---|"] if unlearners else []
        lines += ["| Name | What it does | Class |", "|---|---|---|"] if not unlearners else []
        for entry in entries:
            needs = f" Needs `expunge[{entry.needs}]`." if entry.needs else ""
            promise = f" {entry.kind} |" if unlearners else ""
            target = entry.target.replace(":", ".")
            lines.append(f"| `{entry.name}` |{promise} {entry.sentence}{needs} | `{target}` |")
        lines.append("")
    return "\n".join(lines)


def command_page() -> str:
    """Return the page of the command line: what ``--help`` says, command by command."""
    import click

    from expunge.cli.main import COMMANDS, cli

    def told(command: click.Command, name: str) -> list[str]:
        # a width of its own, so that the page is the same whatever the terminal
        shape = {**cli.context_settings, "terminal_width": 100, "max_content_width": 100}
        context = click.Context(command, info_name=name, **shape)
        return ["```text", command.get_help(context).strip(), "```", ""]

    lines = [
        "# Command line",
        "",
        MADE,
        "",
        "What `expunge COMMAND --help` prints. Exit codes are in [Errors](errors.md).",
        "",
        *told(cli, "expunge"),
    ]
    for name, line in COMMANDS.items():
        command = cli.get_command(click.Context(cli), name)
        if command is not None:
            lines += [f"## expunge {name}", "", line, "", *told(command, f"expunge {name}")]
            parts = command.commands.items() if isinstance(command, click.Group) else ()
            for part, inner in parts:
                lines += [f"### expunge {name} {part}", "", *told(inner, f"expunge {name} {part}")]
    return "\n".join(lines)


def sentence_of(path: Path) -> str:
    """Return the first sentence of a Python file's docstring, without its full stop."""
    text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    text = re.split(r"(?<=[a-z0-9)`])\. (?=[A-Z])", text)[0]
    return text.rstrip(".").replace("``", "")


def branches(folder: Path, indent: str = "") -> Iterator[str]:
    """Yield one line a file and folder, with what each says of itself."""
    files = sorted(p for p in folder.glob("*.py") if p.name != "__init__.py")
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and p.name != "__pycache__")
    width = max([len(p.stem if p.is_file() else p.name + "/") for p in [*files, *folders]], default=0)
    for path in files:
        yield f"{indent}{path.stem:<{width}}  {sentence_of(path)}".rstrip()
    for path in folders:
        opening = path / "__init__.py"
        says = sentence_of(opening) if opening.is_file() else COMPARTMENTS.get(path.name, "")
        if says or any(path.rglob("*.py")):
            yield f"{indent}{path.name + '/':<{width}}  {says}".rstrip()
            yield from branches(path, indent + "  ")


def architecture_page() -> str:
    """Return the architecture page with the tree as it is now between its two marks."""
    text = (DOCS / "explanation" / "architecture.md").read_text(encoding="utf-8")
    before, mark, rest = text.partition("<!-- tree -->\n")
    _, end, after = rest.partition("<!-- end of tree -->")
    tree = "\n".join(["```text", "src/expunge/", *branches(SRC / "expunge", "  "), "```"])
    return f"{before}{mark}\n{tree}\n\n{end}{after}"


PAGES = {
    "reference/errors.md": errors_page,
    "reference/catalog.md": catalog_page,
    "reference/cli.md": command_page,
    "explanation/architecture.md": architecture_page,
}


def main() -> None:
    """Write every page that differs."""
    for name, make in PAGES.items():
        path, text = DOCS / name, make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"  {path.relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
