"""The scaling curves: one deletion and batches of 1 to 10 % against the number of rows, with the machine's floor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.exact import table
from benchmarks.exact.ratios import Run, cpu, single

PICTURE = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "exact-scaling.svg"
SHARES = ("1%", "2%", "5%", "10%")
CURVE = ("synth10k", "synth100k", "synth1m", "synth10m")
STYLES = {
    ("expunge", "forest"): ("C0", "o", "expunge forest"),
    ("expunge", "boosting"): ("C2", "s", "expunge boosting"),
    ("dare-rf", "depth 10, k 25"): ("C3", "^", "dare-rf"),
    ("DynFrs", "eager"): ("C1", "v", "DynFrs eager"),
}
RETRAIN = {"LightGBM": ":", "XGBoost": "-.", "hessboost": "--"}


def points(runs: list[Run], peer: str, variant: str, figure: Any) -> tuple[list[int], list[float]]:
    """Return rows and the median figure of a peer, over all scenes of the curve."""
    found: dict[int, list[float]] = {}
    for run in runs:
        on = run["scene"] in CURVE and (run["peer"], run["variant"]) == (peer, variant)
        value = figure(run) if on else None
        if value is not None:
            found.setdefault(run["n"], []).append(value)
    rows = sorted(found)
    return rows, [float(np.median(found[n])) for n in rows]


def draw(runs: list[Run], floor_s: float | None) -> plt.Figure:
    """Return the picture: left one deletion against the rows, right a batch against its share."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
    for (peer, variant), (colour, mark, name) in STYLES.items():
        rows, spent = points(runs, peer, variant, single())
        if rows:
            left.plot(rows, 1e3 * np.array(spent), color=colour, marker=mark, label=name)
    for peer, style in RETRAIN.items():
        rows, spent = points(runs, peer, "boosting", cpu("retrain"))
        if rows:
            left.plot(rows, 1e3 * np.array(spent), "k", linestyle=style, alpha=0.6, label=f"{peer}, retrained")
    if floor_s:
        left.axhline(1e3 * floor_s, color="grey", linewidth=1)
        left.annotate("floor: 10 trees, 13 reads that wait for each other", (0.02, 1e3 * floor_s), fontsize=7,
                      xycoords=("axes fraction", "data"), va="bottom", color="grey")  # fmt: skip
    left.set(xscale="log", yscale="log", xlabel="rows", ylabel="CPU ms", title="One deletion")
    for variant in ("forest", "boosting"):
        colour, mark, _ = STYLES["expunge", variant]
        for scene, style in zip(CURVE, (":", "-", "--", "-."), strict=True):
            here = [r for r in runs if r["scene"] == scene and r["series"] == "curve"]
            shares = [points(here, "expunge", variant, cpu(f"batch {share}")) for share in SHARES]
            if all(spent for _, spent in shares):
                percent = [float(s[:-1]) for s in SHARES]
                label = f"{variant}, {shares[0][0][0]:,} rows"
                right.plot(percent, [s[1][0] for s in shares], color=colour, marker=mark, linestyle=style, label=label)
    right.set(yscale="log", xlabel="per cent of the rows, in one batch", ylabel="CPU s", title="A batch")
    for axes in (left, right):
        if axes.get_legend_handles_labels()[1]:
            axes.legend(
                fontsize=7, ncols=3, handlelength=4, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.16)
            )
        axes.grid(alpha=0.3)
    return figure


def main() -> None:
    found = table.results()
    floors = json.loads(table.FLOORS.read_text()) if table.FLOORS.exists() else {"floors": {}}
    plt.rcParams["svg.hashsalt"] = "expunge"
    picture = draw(found["runs"] if found else [], floors["floors"].get("forest, one row, ten trees"))
    picture.savefig(PICTURE, metadata={"Date": None})
    plt.close(picture)
    print(f"wrote {PICTURE.name}")


if __name__ == "__main__":
    main()
