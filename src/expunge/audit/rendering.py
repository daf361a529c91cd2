"""Templates filled with text that stays text: everything is escaped, in HTML and in Markdown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from expunge.audit import wording

TEMPLATES = Path(__file__).parent / "templates"


def rendered(template: str, **content: Any) -> str:
    """Fill a template; every value is escaped in HTML, and in Markdown by the filter ``line``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(number=wording.number, seconds=wording.seconds, moment=wording.moment, line=one_line)
    return made.get_template(template).render(**content)


def one_line(text: object) -> str:
    """Return a text that cannot break out of a Markdown table cell or start markup."""
    flat = " ".join(str(text).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    for sign in "\\`|*_[]":
        flat = flat.replace(sign, "\\" + sign)
    return flat
