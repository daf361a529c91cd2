"""The documentation as the tests see it: pages, their fenced blocks, their links, and the commands that they show."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from house.source import ROOT

DOCS = ROOT / "docs"
FRONT = [ROOT / name for name in ("README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGELOG.md")]
FENCE = re.compile(
    r"(?:^ *<!-- not run: (?P<why>[^\n]+) -->\n)?"
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$",
    re.M | re.S,
)
SHELL = frozenset({"sh", "bash", "shell", "console"})


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        page: where it stands.
        line: the line of the opening fence, from 1.
        language: the first word of the fence.
        body: what is inside, without the page's indentation.
        why_not: why it is not run, from a comment ``<!-- not run: reason -->`` on the line above.
        extra: what else stands on the fence (the site's Markdown knows nothing but the language).
    """

    page: Path
    line: int
    language: str
    body: str
    why_not: str = ""
    extra: str = ""

    @property
    def runs(self) -> bool:
        """Whether the block is run as it stands."""
        return not self.why_not and self.language in {"python", "sh"}


def pages() -> list[Path]:
    """Return every Markdown page: the documentation, and the files at the front door."""
    return [*FRONT, *sorted(DOCS.rglob("*.md"))]


def name(page: Path) -> str:
    """Return a page's name for test ids and messages."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        language, _, extra = match["info"].strip().partition(" ")
        body = "".join(line.removeprefix(match["indent"]) for line in match["body"].splitlines(keepends=True))
        line = text.count("\n", 0, match.start("body"))
        found.append(Block(page, line, language, body, match["why"] or "", extra))
    return found


def prose(page: Path) -> str:
    """Return a page's text without its fenced blocks and inline code."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return re.sub(r"`[^`\n]*`", "", text)


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (path, anchor) of every relative link of a page."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield path, anchor


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: its headings, and the ids that it sets."""
    text = page.read_text(encoding="utf-8")
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", text), re.M)
    slugs = {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", h.lower())).strip("-") for h in headings}
    return slugs | set(re.findall(r'id="([^"]+)"', text))


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the ``expunge`` command lines that a shell block shows, split into words."""
    for line in block.body.replace("\\\n", " ").splitlines():
        words = line.strip().removeprefix("$ ")
        if words.startswith("expunge "):
            yield shlex.split(words, comments=True)[1:]
