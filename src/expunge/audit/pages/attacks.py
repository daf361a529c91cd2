"""Figures of an audit about what attackers see: ROC curves (F2), the most exposed records (F4), relearning (F5)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expunge.audit import wording
from expunge.audit.canvas import COLOURS, DASHES, MARKS, STYLE, WORDS, Figure, panels, svg
from expunge.audit.pages.differences import plain
from expunge.audit.views import Exposed, Line, RocBand

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENOUGH_FALSE = 10
"""Left of this many false alarms a rate says little; the line is drawn there."""
ATTACKS = {"population": "One threshold for all records", "ulira": "Each record by itself (U-LiRA)"}
TOPICS = {
    "relearning": ("What a few records bring back", "forgotten records shown again", "recovered"),
    "layers": ("Likeness to retrained models, layer by layer", "", "linear CKA"),
}
TINTS = {"after": COLOURS["after"], "never": "#e69f00", "reference": "#7a7a7a"}


def rocs(found: Sequence[RocBand]) -> Figure | None:
    """Return F2: hits against false alarms, both logarithmic, with bands over models."""
    import matplotlib as mpl

    attacks = list(dict.fromkeys(r.attack for r in found))
    if not attacks:
        return None
    with mpl.rc_context(STYLE):
        drawing, axes = panels(1, len(attacks), 7.4 if len(attacks) > 1 else 5.2, 4.1)
        for ax, attack in zip(axes, attacks, strict=True):
            _roc(ax, attack, [r for r in found if r.attack == attack])
        handles, labels = axes[0].get_legend_handles_labels()
        drawing.legend(handles, labels, frameon=False, fontsize=9, loc="outside lower center", ncols=4)
        title = "Finding forgotten records: hits against false alarms"
        alt = (
            f"{title}, both axes logarithmic, with 95 % bands over models, for "
            f"{', '.join(ATTACKS.get(a, a) for a in attacks)}: before, after and retrained, with the line of guessing. "
            f"Left of the thin grey line fewer than {ENOUGH_FALSE} false alarms decide. "
            "The points are in the table below the figure."
        )
        return Figure("f2", title, alt, svg("f2", drawing, alt))


def _roc(ax: Axes, attack: str, curves: Sequence[RocBand]) -> None:
    floor, bottom = (1 / max(getattr(r, side) for r in curves) for side in ("n_outside", "n_inside"))
    for roc in curves:
        x, y = np.maximum(roc.fpr, floor), np.maximum(roc.tpr, bottom)
        ax.fill_between(
            x, np.maximum(roc.low, bottom), np.maximum(roc.high, bottom), color=COLOURS[roc.arm], alpha=0.18, lw=0
        )
        ax.plot(x, y, color=COLOURS[roc.arm], ls=DASHES[roc.arm], lw=1.8, label=WORDS[roc.arm])
    ax.plot([floor, 1], [floor, 1], color="#111111", lw=1, ls=":", label="guessing")
    if ENOUGH_FALSE * floor < 1:
        ax.axvline(ENOUGH_FALSE * floor, color="#999999", lw=0.8)
    ax.set(xscale="log", yscale="log", xlim=(floor, 1.05), ylim=(bottom, 1.15))
    ax.set_xlabel("false alarms (share of other records)", fontsize=9)
    ax.set_ylabel("hits (share of forgotten records)", fontsize=9)
    ax.set_title(ATTACKS.get(attack, plain(attack, "attack")), loc="left", fontsize=9, fontweight="bold")


def exposed(found: Sequence[Exposed]) -> Figure | None:
    """Return F4: the signals of the most exposed records, in three worlds; None in a public report."""
    import matplotlib as mpl

    if not found:
        return None
    with mpl.rc_context(STYLE):
        drawing, (ax,) = panels(1, 1, 7.4, 1.1 + 0.42 * len(found))
        for place, record in enumerate(found):
            _record(ax, -place, record)
        ax.set_yticks([-i for i in range(len(found))], [str(i + 1) for i in range(len(found))])
        ax.set_ylim(-len(found) + 0.4, 0.6)
        ax.set_xlabel("φ: how far the model prefers the record’s true class (log-odds)")
        ax.set_ylabel("record, by rank (ids in the table)", fontsize=9)
        handles, labels = ax.get_legend_handles_labels()
        drawing.legend(handles[:3], labels[:3], frameon=False, fontsize=9, loc="outside lower center", ncols=3)
        title = "The forgotten records that stand out most"
        alt = (
            f"{title}: for each of {len(found)} records, quantiles of φ over models that forgot it, models that never "
            "saw it, and models retrained without it. Records whose bars do not overlap can be told apart."
        )
        return Figure("f4", title, alt, svg("f4", drawing, alt))


def _record(ax: Axes, y: float, record: Exposed) -> None:
    rows = (
        ("after", "forgot it", record.was, 0.22, MARKS["after"]),
        ("never", "never saw it", record.never, 0.0, "s"),
        ("reference", "retrained without it", record.retrained, -0.22, MARKS["reference"]),
    )
    for tint, label, five, shift, mark in rows:
        if five:
            ax.plot([five[0], five[4]], [y + shift] * 2, color=TINTS[tint], lw=1)
            ax.plot([five[1], five[3]], [y + shift] * 2, color=TINTS[tint], lw=3.4, solid_capstyle="butt")
            ax.plot(five[2], y + shift, mark, color=TINTS[tint], ms=5, mec="white", mew=0.6, label=label)


def lines(topic: str, found: Sequence[Line]) -> Figure | None:
    """Return F5, or the layers of F6: a measure along an axis, each arm with its interval."""
    import matplotlib as mpl

    if not found:
        return None
    title, across, up = TOPICS.get(topic, (topic, "", ""))
    name = "f5" if topic == "relearning" else "f6-layers"
    with mpl.rc_context(STYLE):
        drawing, (ax,) = panels(1, 1, 6.4, 3.4)
        for line in found:
            colour = COLOURS[line.arm]
            if line.low:
                ax.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, lw=0)
            ax.plot(
                line.x, line.y, marker=MARKS[line.arm], color=colour, ls=DASHES[line.arm], lw=1.8, label=WORDS[line.arm]
            )
        if found[0].labels:
            ax.set_xticks(found[0].x, [plain(label) for label in found[0].labels])
        else:
            ax.set_xticks(found[0].x)
        ax.set(xlabel=across, ylabel=up)
        ax.legend(frameon=False, fontsize=9)
        said = [f"{WORDS[line.arm]}: " + ", ".join(wording.number(y) for y in line.y) for line in found]
        alt = f"{title}. " + "; ".join(said) + "."
        return Figure(name, title, alt, svg(name, drawing, alt))
