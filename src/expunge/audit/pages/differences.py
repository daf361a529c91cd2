"""Figures of an audit that hold the model against retraining: every question's excess (F1), and the nulls (F3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expunge.audit import wording
from expunge.audit.canvas import COLOURS, STYLE, WORDS, Figure, panels, svg
from expunge.audit.pages import words
from expunge.audit.views import Spread
from expunge.core.evidence import Null
from expunge.core.finding import Finding

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TONES = {
    "clean": "#0072b2",
    "residue": "#d55e00",
    "overshoot": "#8f3b76",
    "inconclusive": "#5f6b76",
    "not_measured": "#5f6b76",
}
MARKERS = {"clean": "o", "residue": "^", "overshoot": "v", "inconclusive": "D", "not_measured": "x"}
REACH = 4.0
"""An excess is drawn up to this many margins; beyond, an arrow says that it goes on."""
N_BINS = 12


def excesses(findings: Sequence[Finding], nulls: dict[str, Null]) -> Figure | None:
    """Return F1: the excess of every question over retraining, in margins; None where nothing was measured.

    Args:
        findings: of the verdict.
        nulls: name of the evidence → its null, where one is known, already in the harmful direction.
    """
    import matplotlib as mpl

    shown = [f for f in findings if f.value is not None]
    if not shown:
        return None
    with mpl.rc_context(STYLE):
        drawing, (ax,) = panels(1, 1, 7.4, 1.15 + 0.55 * len(shown))
        ax.axvspan(-REACH, 1, color="#e8f1f8", lw=0)
        ax.axvline(1, color="#0b5c8f", lw=1.4, ls=(0, (5, 3)))
        ax.axvline(0, color="#111111", lw=0.9)
        for place, finding in enumerate(shown):
            _excess(ax, -place, finding, nulls.get(finding.evidence))
        ax.set_yticks([-i for i in range(len(shown))], [plain(f.question.replace("_", " ")) for f in shown])
        ax.set_ylim(-len(shown) + 0.35, 0.65)
        ax.set_xlim(-REACH, REACH)
        ax.set_xlabel("excess over retraining, in margins (right of 0 = harm; 1 = the margin Δ)")
        ax.tick_params(axis="y", length=0)
        title = "How far the model is from retraining"
        said = [
            f"{f.question}: {words.STATUSES[f.status].lower()}, {words.excess(f)}, margin {wording.number(f.margin)}"
            for f in shown
        ]
        alt = f"{title}, for each question, with its interval, in units of the margin. " + "; ".join(said) + "."
        return Figure("f1", title, alt, svg("f1", drawing, alt))


def _excess(ax: Axes, y: float, f: Finding, null: Null | None) -> None:
    value, low, high = (float(v or 0.0) / f.margin for v in (f.value, f.low, f.high))
    tone = TONES[f.status]
    if null is not None:
        ends = np.clip([null.low / f.margin, null.high / f.margin], -REACH, REACH)
        ax.fill_between(ends, y - 0.27, y + 0.27, color="#b9bec3", alpha=0.65, lw=0)
    ax.plot(np.clip([low, high], -REACH, REACH), [y, y], color=tone, lw=2.4, solid_capstyle="butt")
    for end, beyond, mark in ((-REACH, low < -REACH, "<"), (REACH, high > REACH, ">")):
        if beyond:
            ax.plot(end, y, mark, color=tone, ms=9, clip_on=False)
    if abs(value) <= REACH:
        ax.plot(value, y, MARKERS[f.status], color=tone, ms=8, mec="white", mew=0.8)


def spreads(found: Sequence[Spread]) -> Figure | None:
    """Return F3: each measure over retrained models, with the audited ones marked; None without any."""
    import matplotlib as mpl

    if not found:
        return None
    with mpl.rc_context(STYLE):
        rows = (len(found) + 1) // 2
        drawing, axes = panels(rows, 2, 7.4, 0.5 + 2.3 * rows)
        drawing.get_layout_engine().set(h_pad=0.12)
        for ax, spread in zip(axes, found, strict=False):
            _spread(ax, spread)
        for ax in axes[len(found) :]:
            ax.set_axis_off()
        handles, labels = axes[0].get_legend_handles_labels()
        drawing.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=3)
        title = "What retrained models give by chance alone"
        said = [
            f"{s.measure}: " + ", ".join(f"{WORDS[arm]} {wording.number(_mean(values))}" for arm, values in _arms(s))
            for s in found
        ]
        alt = f"{title}: histograms over models, means of each arm. " + "; ".join(said) + "."
        return Figure("f3", title, alt, svg("f3", drawing, alt))


def _spread(ax: Axes, spread: Spread) -> None:
    every = np.concatenate([np.asarray(values) for _, values in _arms(spread)])
    edges = np.histogram_bin_edges(every, N_BINS)
    null = np.asarray(spread.reference)
    ax.hist(
        null, edges.tolist(), color="#c3c8cd", edgecolor="white", lw=0.6, label=f"{WORDS['reference']} (one model each)"
    )
    for arm, style in (("before", "--"), ("after", "-")):
        values = getattr(spread, arm)
        if values:
            ax.axvline(_mean(values), color=COLOURS[arm], lw=2.2, ls=style, label=f"{arm} (mean)")
            ax.plot(values, np.zeros(len(values)), "|", color=COLOURS[arm], ms=9, alpha=0.6)
    ax.set_title(spread.measure, loc="left", fontsize=9, fontweight="bold")
    ax.set_ylabel("models", fontsize=9)
    ax.tick_params(labelsize=8)


def _arms(spread: Spread) -> list[tuple[str, tuple[float, ...]]]:
    return [(arm, values) for arm in ("before", "after", "reference") if (values := getattr(spread, arm))]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def plain(text: str, otherwise: str = "?") -> str:
    """Return a text that the drawing's font has signs for and that is no formula; else the other one.

    Page text is never drawn from; the table below each figure carries names in full.
    """
    short = text if len(text) <= 26 else f"{text[:25]}…"
    drawable = all(c == "…" or " " <= c < "\u0250" for c in short)
    return short.replace("$", r"\$") if drawable else otherwise
