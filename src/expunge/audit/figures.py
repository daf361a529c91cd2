"""The figures of the report as SVG text: the same input gives the same bytes, with fonts as paths and without dates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from expunge.audit.canvas import ARMS, COLOURS, DASHES, MARKS, STYLE, WORDS, Figure, panels, svg
from expunge.audit.curves import Curves, Histogram, Roc
from expunge.core.evidence import Evidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTHS = {"before": 1.6, "after": 1.8, "reference": 4.5}
GROUP_COLOURS = {"forgotten": "#0072b2", "holdout": "#e69f00"}
ATTACKS = {"loss": "Loss attack", "lira": "Shadow-model attack (LiRA)"}
SHORT = {
    "utility.accuracy": "Accuracy",
    "utility.auc": "AUC",
    "utility.loss": "Mean loss (nats)",
    "utility.mse": "Mean squared error",
    "utility.r2": "R²",
    "membership.loss_auc": "Loss attack, AUC",
    "membership.lira_auc": "LiRA, AUC",
}


def figures(evidence: Sequence[Evidence], curves: Curves) -> list[Figure]:
    """Return the figures that the data allow: utility, membership, ROC curves, loss distributions."""
    named = {e.name: e for e in evidence if e.status == "measured"}
    made: list[Figure] = []
    for name, title in (("utility", "The model's quality"), ("membership", "What an attacker can tell")):
        measures = [m for m in SHORT if m.startswith(name) and any(f"{m}@{arm}" in named for arm in ARMS)]
        if measures:
            made.append(_forest(name, title, measures, named))
    if curves.rocs:
        made.append(_rocs(curves.rocs))
    if any(h.edges for h in curves.losses):
        made.append(_losses(curves.losses))
    return made


def _forest(name: str, title: str, measures: Sequence[str], named: dict[str, Evidence]) -> Figure:
    import matplotlib as mpl

    said: list[str] = []
    with mpl.rc_context(STYLE):
        canvas, axes = panels(len(measures), 1, 7.0, 0.55 + 1.25 * len(measures))
        for ax, measure in zip(axes, measures, strict=True):
            rows = [(arm, named[f"{measure}@{arm}"]) for arm in ARMS if f"{measure}@{arm}" in named]
            _forest_panel(ax, measure, rows)
            said += [f"{SHORT[measure]} {WORDS[arm]}: {e.value:.4g} [{e.low:.4g}, {e.high:.4g}]" for arm, e in rows]
        alt = f"{title}, with 95 % intervals. " + "; ".join(said) + "."
        return Figure(name, title, alt, svg(name, canvas, alt))


def _forest_panel(ax: Axes, measure: str, rows: Sequence[tuple[str, Evidence]]) -> None:
    for place, (arm, e) in enumerate(rows):
        if arm == "reference":
            ax.axvspan(e.low, e.high, color="#dddddd", alpha=0.6, lw=0)
        ax.plot([e.low, e.high], [-place, -place], color=COLOURS[arm], lw=2, solid_capstyle="butt")
        ax.plot(e.value, -place, MARKS[arm], color=COLOURS[arm], ms=7)
    if measure.startswith("membership"):
        ax.axvline(0.5, color="#111111", lw=1, ls=":")
        ax.set_xlim(0, 1)
    ax.set_yticks([-i for i in range(len(rows))], [WORDS[arm] for arm, _ in rows])
    ax.set_ylim(-len(rows) + 0.4, 0.6)
    ax.set_title(SHORT[measure], loc="left", fontsize=10, fontweight="bold")
    ax.tick_params(axis="y", length=0)


def _rocs(rocs: Sequence[Roc]) -> Figure:
    import matplotlib as mpl

    attacks = list(dict.fromkeys(r.attack for r in rocs))
    with mpl.rc_context(STYLE):
        canvas, axes = panels(1, len(attacks), 7.0, 3.9)
        for ax, attack in zip(axes, attacks, strict=True):
            chosen = sorted((r for r in rocs if r.attack == attack), key=lambda r: r.arm != "reference")
            _roc_panel(ax, attack, chosen)
        canvas.legend(
            *axes[0].get_legend_handles_labels(), frameon=False, fontsize=9, loc="outside lower center", ncols=4
        )
        title = "Finding the forgotten records: hits against false alarms"
        alt = (
            f"{title}, both axes logarithmic, for {', '.join(ATTACKS.get(a, a) for a in attacks)}; lines for the model "
            "before, after, and retrained, with the line of pure guessing. Left of the grey line, fewer than 10 false "
            "alarms decide. The points are in the table below the figure."
        )
        return Figure("roc", title, alt, svg("roc", canvas, alt))


def _roc_panel(ax: Axes, attack: str, rocs: Sequence[Roc]) -> None:
    others, members = rocs[0].n_others, rocs[0].n_members
    floor = 1 / others
    for roc in rocs:
        x, y = np.array(roc.fpr), np.array(roc.tpr)
        ax.plot(
            np.maximum(x, floor / 2),
            np.maximum(y, 0.5 / members),
            color=COLOURS[roc.arm] if roc.arm != "reference" else "#bbbbbb",
            ls=DASHES[roc.arm],
            lw=WIDTHS[roc.arm],
            label=WORDS[roc.arm],
        )
    ax.plot([floor / 2, 1], [floor / 2, 1], color="#111111", lw=1, ls=":", label="guessing")
    if 10 * floor < 1:
        ax.axvline(10 * floor, color="#999999", lw=0.8)
    ax.set(xscale="log", yscale="log", xlim=(floor / 2, 1.05), ylim=(min(0.5 / members, 0.05), 1.15))
    ax.set_xlabel("false alarms (share of others)")
    ax.set_ylabel("hits (share of forgotten)")
    ax.set_title(ATTACKS.get(attack, attack), loc="left", fontsize=10, fontweight="bold")


def _losses(losses: Sequence[Histogram]) -> Figure:
    import matplotlib as mpl

    arms = [a for a in ("before", "after") if any(h.arm == a for h in losses)]
    with mpl.rc_context(STYLE):
        canvas, axes = panels(1, len(arms), 7.0, 3.1)
        for ax, arm in zip(axes, arms, strict=True):
            for h in (h for h in losses if h.arm == arm):
                colour = GROUP_COLOURS[h.group]
                if h.edges:
                    density = np.array(h.shares) / np.diff(h.edges)
                    ax.stairs(
                        density, h.edges, color=colour, lw=1.6, label=h.group, fill=h.group == "holdout", alpha=0.75
                    )
                ax.axvline(h.mean, color=colour, lw=1.6, ls="--" if h.group == "forgotten" else "-.")
            ax.set_title(f"{arm} forgetting", loc="left", fontsize=10, fontweight="bold")
            ax.set_xlabel("loss")
            ax.set_yticks([])
            ax.legend(frameon=False, fontsize=8, loc="upper right")
        axes[0].set_ylabel("density")
        title = "How surprised the model is by the records"
        alt = f"{title}: distribution of losses of forgotten and holdout records, " + "; ".join(
            f"{h.arm}, {h.group}: mean {h.mean:.4g} over {h.n} records" for h in losses if h.arm in arms
        )
        return Figure("losses", title, alt + ".", svg("losses", canvas, alt + "."))
