"""What every figure of a report is drawn on: one palette, fonts as paths, no dates, the same input the same bytes."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ARMS = ("before", "after", "reference")
WORDS = {"before": "before", "after": "after", "reference": "retrained"}
COLOURS = {"before": "#d55e00", "after": "#0072b2", "reference": "#8a8a8a"}  # Okabe–Ito, and grey
MARKS = {"before": "s", "after": "o", "reference": "D"}
DASHES: dict[str, Any] = {"before": "-", "after": (0, (4, 2)), "reference": "-"}
STYLE = {
    "svg.hashsalt": "expunge",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "text.color": "#111111",
}


@dataclass(frozen=True)
class Figure:
    """A figure: its SVG element, what it shows, and a title."""

    name: str
    title: str
    alt: str
    svg: str


def panels(rows: int, columns: int, width: float, height: float) -> tuple[Any, list[Axes]]:
    """Return a drawing and its panels, row by row; sizes in inches."""
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), layout="constrained")
    return drawing, list(np.atleast_1d(drawing.subplots(rows, columns)).ravel())


def svg(name: str, drawing: Any, alt: str) -> str:
    """Return the SVG element alone: ids made unique to the figure, sized by its container, described for readers."""
    buffer = io.StringIO()
    drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'href="#', f'href="#{name}-', text)
    text = re.sub(r"url\(#", f"url(#{name}-", text)
    text = re.sub(r' (width|height)="[\d.]+pt"', "", text, count=2)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1).strip()
