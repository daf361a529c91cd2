"""Figures of an audit about how good the model is (F6): by class and group, and what is predicted for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expunge.audit import wording
from expunge.audit.canvas import ARMS, COLOURS, MARKS, STYLE, WORDS, Figure, panels, svg
from expunge.audit.pages.differences import plain
from expunge.audit.views import Matrix, Share

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GROUPS = 30
"""More groups than this are not drawn; those that lose most against retraining are."""
WRITTEN = 10
"""Matrices with no more classes than this carry their numbers."""
LONGEST = 12
"""With longer names the classes of a matrix are numbered, in the order of its table."""
SHIFTS = {"before": 0.22, "after": 0.0, "reference": -0.22}


def shares(found: Sequence[Share]) -> Figure | None:
    """Return the accuracy on records never seen, by class and group."""
    import matplotlib as mpl

    groups = _groups(found)
    if not groups:
        return None
    with mpl.rc_context(STYLE):
        drawing, (ax,) = panels(1, 1, 7.4, 1.0 + 0.36 * len(groups))
        for share in found:
            if share.group in groups:
                y = -groups.index(share.group) + SHIFTS[share.arm]
                ax.plot([share.low, share.high], [y, y], color=COLOURS[share.arm], lw=2, solid_capstyle="butt")
                ax.plot(share.value, y, MARKS[share.arm], color=COLOURS[share.arm], ms=5, mec="white", mew=0.5)
        for arm in dict.fromkeys(s.arm for s in found):
            ax.plot([], [], MARKS[arm], color=COLOURS[arm], label=WORDS[arm])
        ax.set_yticks([-i for i in range(len(groups))], [plain(g, f"group {i + 1}") for i, g in enumerate(groups)])
        ax.set_ylim(-len(groups) + 0.4, 0.6)
        ax.set_xlabel("accuracy on records never seen")
        drawing.legend(frameon=False, fontsize=9, loc="outside lower center", ncols=3)
        title = "How good the model is, by class and group"
        said = [f"{s.group} {WORDS[s.arm]} {wording.number(s.value)}" for s in found if s.group in groups]
        alt = f"{title}, with 95 % intervals over models. " + "; ".join(said) + "."
        return Figure("f6-groups", title, alt, svg("f6-groups", drawing, alt))


def _groups(found: Sequence[Share]) -> list[str]:
    """Return the groups in order; of many, those with the largest loss against retraining."""
    groups = list(dict.fromkeys(s.group for s in found))
    if len(groups) <= MOST_GROUPS:
        return groups
    value = {(s.group, s.arm): s.value for s in found}
    loss = {g: value.get((g, "reference"), 0.0) - value.get((g, "after"), 0.0) for g in groups}
    return sorted(groups, key=lambda g: (-loss[g], groups.index(g)))[:MOST_GROUPS]


def matrices(found: Sequence[Matrix]) -> Figure | None:
    """Return what each pool predicts for the records of each class."""
    import matplotlib as mpl

    drawn = [m for arm in ARMS for m in found if m.arm == arm and any(m.rows)]
    if not drawn:
        return None
    with mpl.rc_context(STYLE):
        drawing, axes = panels(1, len(drawn), 3.7 * len(drawn), 3.8)
        for ax, matrix in zip(axes, drawn, strict=True):
            _matrix(ax, matrix)
        title = "What is predicted for records never seen"
        right = "; ".join(f"{WORDS[m.arm]}, right by class: {', '.join(_diagonal(m))}" for m in drawn)
        alt = f"{title}: share predicted as each class (columns) of each true class (rows). {right}."
        return Figure("f6-matrix", title, alt, svg("f6-matrix", drawing, alt))


def _diagonal(matrix: Matrix) -> list[str]:
    return [wording.number(row[i]) if row else "withheld" for i, row in enumerate(matrix.rows)]


def _matrix(ax: Axes, matrix: Matrix) -> None:
    k = len(matrix.labels)
    cells = np.array([row or (np.nan,) * k for row in matrix.rows], np.float64)
    ax.pcolormesh(np.ma.masked_invalid(cells), cmap="Blues", vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
    if k <= WRITTEN:
        for (i, j), value in np.ndenumerate(cells):
            if value >= 0.005:
                ink = "white" if value > 0.55 else "#111111"
                ax.text(j + 0.5, i + 0.5, f"{100 * value:.0f}", ha="center", va="center", fontsize=7, color=ink)
    named = max(map(len, matrix.labels)) <= LONGEST
    names = [plain(label, str(i + 1)) if named else str(i + 1) for i, label in enumerate(matrix.labels)]
    ax.set_xticks(np.arange(k) + 0.5, names, fontsize=7, rotation=45 if max(map(len, names)) > 3 else 0)
    ax.set_yticks(np.arange(k) + 0.5, names, fontsize=7)
    ax.set(
        xlabel="predicted", ylabel="true class" if named else "true class (numbered as in the table)", aspect="equal"
    )
    ax.invert_yaxis()
    ax.set_title(f"{WORDS[matrix.arm]} (per cent)", loc="left", fontsize=9, fontweight="bold")
