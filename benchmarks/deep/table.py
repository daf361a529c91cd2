"""Make docs/reference/leaderboard.md from the committed results; empty cells say why."""

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deep.scenes import SETTINGS

RESULTS = Path(__file__).resolve().parents[1] / "results"
PAGE = RESULTS.parents[1] / "docs" / "reference" / "leaderboard.md"
EXCESS = "membership.ulira_auc_excess@after"
COLUMNS = (
    ("left over by U-LiRA", EXCESS),
    ("records told apart", "likeness.record_test@after"),
    ("distance to retraining", "likeness.phi_rmse_forgotten_excess@after"),
    ("kept accuracy", "utility.kept_accuracy_excess@after"),
    ("other accuracy", "utility.holdout_accuracy_excess@after"),
)
CONTROLS = ("do nothing", "retrain")
KINDS = {
    "random": "a fifth of the members, at random",
    "mislabelled": "the records whose labels were replaced",
    "class": "one class",
    "subject": "one person",
    "stream": "a fifth of the members, at random, in five releases",
}
HEAD = """# Leaderboard: networks

Made by `make bench-deep` from `benchmarks/results/deep.json`. Every method of the [catalogue](catalog.md) that
changes networks is applied to the same trained models; so are the two controls, *do nothing* and *retrain* (models
learnt again that are not among the references). Values are differences to retraining, mean over seeds, with the
hull of the seeds' 95 % intervals; **0 is what retraining gives**.

* *Left over by U-LiRA*: by how much its AUC lies above that on retrained models. The row *do nothing* says what
  there was to find.
* *Records told apart*: share of forgotten records whose signals differ from retrained models' (after correction for
  their number).
* *Distance to retraining*: root mean square difference of the signal φ to retrained models', less what retrained
  models are from each other.
* *Kept*, *other accuracy*: on kept records, and on records that no model learnt.
* *Cost*: samples that went forward or backward, as a share of a training from the start.

One number of each method (the step size, or what stands for it) is chosen among six factors of its published
default, on a draw of forgotten records and on models of its own, as the one nearest to retraining on forgotten
records that costs at most two points of accuracy; *factor* says which. There is no single score: a method that
leaves nothing because it has destroyed the model shows it in the last columns.
"""


def cell(rows: list[dict[str, Any]], name: str) -> str:
    """Mean over seeds, and the hull of the intervals."""
    found = [r["evidence"][name] for r in rows if name in r.get("evidence", {})]
    found = [e for e in found if e["status"] == "measured"]
    if not found:
        return "not measured"
    value = np.mean([e["value"] for e in found])
    low, high = min(e["low"] for e in found), max(e["high"] for e in found)
    return f"{value:.3f} ({low:.3f} to {high:.3f})".replace("-", "−")


def line(method: str, rows: list[dict[str, Any]]) -> tuple[float, str]:
    """One method's line, and what it is sorted by."""
    good = [r for r in rows if "evidence" in r]
    if not good:
        return 9.0, f"| {method} | {rows[0]['error']} |" + " |" * 6
    cost = [r["cost"]["share"] for r in good if "cost" in r]
    factors = sorted({f"{r['factor']:g}" for r in good})
    name = f"*{method}*" if method in CONTROLS else f"`{method}`"
    tail = [f"{100 * np.mean(cost):.1f} %" if cost else ("0" if method == "do nothing" else "100 %")]
    tail.append("–" if method in CONTROLS else ", ".join(factors))
    values = [e["value"] for r in good if (e := r["evidence"].get(EXCESS)) and e["status"] == "measured"]
    order = float(np.mean(values)) if values else 8.0
    return order, f"| {name} | {' | '.join([cell(good, c) for _, c in COLUMNS] + tail)} |"


def section(scene: str, kind: str, rows: list[dict[str, Any]]) -> list[str]:
    """One table: a scene and a kind of forgetting."""
    seeds = sorted({r["cell"]["seed"] for r in rows})
    n = max(r["cell"]["n_models"] for r in rows)
    by_method = defaultdict(list)
    for row in rows:
        by_method[row["method"]].append(row)
    lines = sorted(line(method, group) for method, group in by_method.items())
    heads = ["method", *(title for title, _ in COLUMNS), "cost", "factor"]
    return [
        "",
        f"## {scene}: {KINDS[kind]}",
        "",
        f"{SETTINGS[scene].__doc__} {n} models of each world, {len(seeds)} {'seed' if len(seeds) == 1 else 'seeds'}.",
        "",
        f"| {' | '.join(heads)} |",
        "|---" * len(heads) + "|",
        *(text for _, text in lines),
    ]


def speed() -> list[str]:
    """The loop against plain ones."""
    path = RESULTS / "deep-speed.json"
    if not path.is_file():
        return []
    found = json.loads(path.read_text())
    probe = found["probe"]
    auc = {arm: e["value"] for arm, e in probe["auc"].items()}
    rows = [f"| `{o['method']}` | {np.median(o['ratios']):.2f} ({min(o['ratios']):.2f}–{max(o['ratios']):.2f}) |"
            for o in sorted(found["overheads"], key=lambda o: float(np.median(o["ratios"])))]  # fmt: skip
    made, plain = f"{probe['made_s']:.0f} s", f"{probe['plain_s']:.0f} s"
    said = f"""
The digits probe ({probe["n_models"]} originals, as many fine-tuned and as many retrained perceptrons) takes {made} on
one core and {probe["two_cores_s"]:.0f} s on two, and {probe["scored_s"]:.1f} s of scoring with intervals. A plain loop
over the same trainings, scaled from {probe["plain_models"]} of them in the same run, takes {plain}:
{probe["plain_s"] / probe["made_s"]:.1f} and {probe["plain_s"] / probe["two_cores_s"]:.1f} times as long.
Training alone is {probe["training_ratio"]:.1f} times as fast in stacks. U-LiRA reads {auc["before"]:.3f} on the
originals, {auc["after"]:.3f} after fine-tuning, {auc["reference"]:.3f} on retrained models.

Processor time of each method over that of as many forward and backward passes in a loop written by hand: the same
optimiser with the same settings, the same steps, a teacher's forward passes, one copy of the model, float32 (perceptron
64-512-512-10, the method's own batches, a fifth of the records forgotten, one thread, both in turns). Masks, penalties,
clipped norms and the float64 of `fisher` are no passes: they are in the method's time alone:

| method | times its least passes: median (range) of 5 |
|---|---|"""
    return ["", "## What the loop costs", *said.split("\n"), *rows]


def main() -> None:
    path = RESULTS / "deep.json"
    lines = [HEAD.rstrip()]
    if path.is_file():
        groups = defaultdict(list)
        for row in json.loads(path.read_text())["rows"]:
            groups[(row["cell"]["scene"], row["cell"]["kind"])].append(row)
        for (scene, kind), rows in sorted(groups.items(), key=lambda g: (list(SETTINGS).index(g[0][0]), g[0][1])):
            lines += section(scene, kind, rows)
    else:
        lines += ["", "Not run yet: `make bench-deep` does."]
    PAGE.write_text("\n".join([*lines, *speed(), ""]))
