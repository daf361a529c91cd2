"""Make docs/reference/benchmarks.md from the committed results; ratios are taken within one run, never across."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact import table as exact

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "benchmarks.md"


def span(values: list[float], digits: int = 2) -> str:
    """Median and range over the runs."""
    middle, low, high = np.median(values), min(values), max(values)
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


def forest_rows(scene: dict[str, Any]) -> list[str]:
    runs = scene["ours"]
    void = "" if all(run["identical"] for run in runs) else " **void: not identical**"
    mean = [float(np.mean(run["forget_ms"])) for run in runs]
    p99 = [float(np.quantile(run["forget_ms"], 0.99)) for run in runs]
    rows = [
        f"| fit, canonical forest | {span([r['fit_s'] for r in runs])} s | AUC {span([r['auc'] for r in runs], 4)},"
        f" {np.median([r['bytes'] for r in runs]) / 1e6:.0f} MB{void} |"
    ]
    for peer in dict.fromkeys(p["peer"] for p in scene["peers"]):
        theirs = [p for p in scene["peers"] if p["peer"] == peer]
        ratio = [p["fit_s"] / r["fit_s"] for p, r in zip(theirs, runs, strict=True)]
        gap = [r["auc"] - p["auc"] for p, r in zip(theirs, runs, strict=True)]
        rows.append(
            f"| fit, {peer} | {span([p['fit_s'] for p in theirs])} s | AUC {span([p['auc'] for p in theirs], 4)}; ours"
            f" is {span(ratio, 1)}× faster, AUC difference {span(gap, 4)} |"
        )
    own = [r["refit_s"] * 1e3 / m for r, m in zip(runs, mean, strict=True)]
    rows += [
        f"| forget one record, in place (mean of {len(runs[0]['forget_ms'])}) | {span(mean)} ms |"
        f" {span(own, 0)}× faster than our own refit; 99th percentile {span(p99)} ms |",
        f"| forget one record, keeping the model before | {span([float(np.mean(r['without_ms'])) for r in runs])} ms |"
        f" {span([r['refit_s'] * 1e3 / np.mean(r['without_ms']) for r in runs], 0)}× faster than our own refit |",
        f"| drop the remains of {len(runs[0]['forget_ms'])} deletions from memory |"
        f" {span([r['settle_ms'] for r in runs], 0)} ms | once, before a digest or a save |",
        f"| forget 10 % in one batch | {span([r['batch_10pct_s'] for r in runs])} s |"
        f" {span([r['batch_10pct_s'] / r['refit_s'] for r in runs])} of a refit |",
    ]
    return rows


def main() -> None:
    report = json.loads((HERE / "results" / "forest.json").read_text())
    lines = [
        "# Benchmarks",
        "",
        "Made by `make bench` from `benchmarks/results/*.json`. CPU seconds of one thread, median (range) over"
        f" {max(len(s.get('ours', [])) for s in report['scenes'])} runs with different seeds and splits; every ratio"
        " is taken within one run. A row of ours is void unless the forest that forgot has, in the same run, the"
        " digest of a forest fitted on the kept records.",
        "",
        f"`{report['learner']}` against scikit-learn {report['scikit_learn']}, Python {report['python']},"
        f" {report['machine']}.",
    ]
    for scene in report["scenes"]:
        if "left_out" in scene:
            lines += ["", f"## {scene['name']}", "", f"Left out: {scene['left_out']}."]
            continue
        title = f"## {scene['name']}: {scene['n']:,} records of {scene['subjects']:,} subjects, {scene['d']} columns"
        lines += ["", title, "", "| work | cost | beside |", "|---|---|---|", *forest_rows(scene)]
    lines += ["", *exact.sections()]
    PAGE.write_text("\n".join(lines) + "\n")
    print(f"wrote {PAGE.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
