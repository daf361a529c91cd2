"""The pages made from results/exact.json: sections of the benchmark reference, and the comparison with peers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact import data, suite
from benchmarks.exact.goals import goals
from benchmarks.exact.ratios import Run, auc, void

ROOT = Path(__file__).resolve().parents[2]
COMPARISON = ROOT / "docs" / "explanation" / "comparison.md"
FLOORS = suite.RESULTS.with_name("floors.json")
NOT_RUN = "The suite has not been run to its end yet: `make bench-exact` does."
SCENES = ("adult", "cardio", "bank", "synth100k")


def results() -> dict[str, Any] | None:
    """Return the collected runs; None if there are none."""
    return json.loads(suite.RESULTS.read_text()) if suite.RESULTS.exists() else None


def _spread(values: list[float | None], form: str = "{:.3g}") -> str:
    found = [v for v in values if v is not None]
    if not found:
        return "–"
    middle, low, high = (form.format(v) for v in (np.median(found), min(found), max(found)))
    return middle if low == high else f"{middle} ({low}–{high})"


def _step(runs: list[Run], step: str, *path: str) -> list[float | None]:
    found = []
    for run in runs:
        value: Any = run["steps"].get(step)
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        found.append(value)
    return found


def _batch(runs: list[Run], step: str) -> str:
    text = _spread(_step(runs, step, "cpu_s"))
    put_off = [v for v in _step(runs, step, "deferred_cpu_s") if v is not None and v > 0]
    return f"{text} (+{_spread(put_off)})" if put_off else text


def _single(runs: list[Run]) -> str:
    cells = [_spread(_step(runs, "single", "single_ms", name)).partition(" ")[0] for name in ("median", "mean", "p99")]
    return "–" if cells == ["–"] * 3 else " / ".join(cells)


def _bits(runs: list[Run]) -> str:
    if runs[0]["folder"] != "ours":
        return ""
    if any(void(run) for run in runs):
        return "**void**"
    return f"equal in {len(runs)} of {len(runs)}"


def scene_table(runs: list[Run], scene: str) -> list[str]:
    """Return the table of one scene: a row a peer and variant, ours first."""
    here = [r for r in runs if (r["scene"], r["series"]) == (scene, "peers") and "fit" in r["steps"]]
    if not here:
        return []
    title = f"### {scene} ({data.NAMES[scene]}): {here[0]['n']:,} rows, {here[0]['d']} columns"
    head = [
        "| learner | fit s | memory MB | AUC | AUC after | one deletion, ms: median / mean / p99 | 100 | 1,000 |"
        " 10 % or retrain, s | bits of a refit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in sorted(here, key=lambda r: (r["folder"] != "ours", r["peer"], r["variant"])):
        groups.setdefault((run["peer"], run["variant"]), []).append(run)
    rows = []
    for (peer, variant), group in groups.items():
        last = _batch(group, "retrain") if "retrain" in group[0]["steps"] else _batch(group, "batch 10%")
        memory = [None if v is None else v / 1e6 for v in _step(group, "fit", "rss_bytes")]
        cells = (
            f"{peer} {group[0].get('version', '')}: {variant}",
            _spread(_step(group, "fit", "cpu_s")),
            _spread(memory, "{:.0f}"),
            _spread([auc()(r) for r in group], "{:.4f}"),
            _spread([auc("after")(r) or auc("retrain")(r) for r in group], "{:.4f}"),
            _single(group),
            _batch(group, "batch 100"),
            _batch(group, "batch 1000"),
            last,
            _bits(group),
        )
        rows.append(f"| {' | '.join(cells)} |")
    return [title, "", *head, *rows, ""]


def goal_table(runs: list[Run]) -> list[str]:
    """Return every goal, met or missed."""
    lines = [
        "| goal | work | against | asked (moonshot) | measured, median (range) | AUC, ours − theirs | |",
        "|---|---|---|---|---|---|---|",
    ]
    for goal in goals(runs):
        asked = f"{goal.solid:,g}× ({goal.moonshot:,g}×)"
        gap = "" if goal.gap is None else f"{goal.gap:+.4f}"
        cells = (goal.id, goal.what, goal.against, asked, goal.found.text(), gap, f"**{goal.verdict}**")
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def law_table(runs: list[Run]) -> list[str]:
    """Return the distribution tests of XS11."""
    lines = [
        "| learner | setting | models a side | χ² (df) | p | total variation (by chance) |",
        "|---|---|---|---|---|---|",
    ]
    for run in (r for r in runs if r["scene"] == "law"):
        for found in run["steps"].get("law", []):
            if "failed" in found:
                lines.append(f"| {run['peer']} | {found['config']} | | {found['failed']} | | |")
                continue
            p = f"{found['p_value']:.2g}" if found["p_value"] >= 1e-15 else "< 1e-15"
            tv = f"{found['total_variation']:.3f} ({found['by_chance']:.3f})"
            chi = f"{found['chi2']:,.0f} ({found['df']})"
            lines.append(f"| {run['peer']} | {found['config']} | {found['n'][0]:,} | {chi} | {p} | {tv} |")
    return lines


def value_table(runs: list[Run]) -> list[str]:
    """Return the value probe of XS10."""
    lines = [
        "| learner | value shows before | after forgetting | in the control | after and not in the control |",
        "|---|---|---|---|---|",
    ]
    for run in (r for r in runs if r["scene"] == "value"):
        told = run["steps"].get("value")
        who = f"{run['peer']} {run['variant']}"
        if told is None:
            lines.append(f"| {who} | {_why(run)} | | | |")
            continue
        n = told["victims"]
        cells = [f"{told[name]}/{n}" for name in ("before", "after", "control", "excess")]
        lines.append(f"| {who} | {' | '.join(cells)} |")
    return lines


def _why(run: Run) -> str:
    return next((str(run["steps"][s]["why"]) for s in ("left out", "failed") if s in run["steps"]), "not run")


def head_table(runs: list[Run]) -> list[str]:
    """Return the heads and the recommender: each deletion, with the prediction after it, beside a scratch fit."""
    lines = [
        "| learner | rows | fit s | deletion and first prediction, ms mean, by size |"
        " deletion and the canonical weights, ms mean, by size | scratch s | promise kept |",
        "|---|---|---|---|---|---|---|",
    ]
    for scene in ("gram", "logit", "ease"):
        here = [r for r in runs if r["scene"] == scene]
        if not here or "fit" not in here[0]["steps"]:
            lines.append(f"| {scene} | | {_why(here[0]) if here else 'not run'} | | | | |")
            continue
        cells = (
            here[0]["variant"],
            f"{here[0]['n']:,}",
            _spread(_step(here, "fit", "cpu_s")),
            _sizes(here, "served_ms"),
            _sizes(here, "settled_ms"),
            _spread(_step(here, "scratch", "cpu_s")),
            "**void**" if any(void(r) for r in here) else "yes",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _sizes(runs: list[Run], name: str) -> str:
    """Return the mean of a figure by the size of the deletion."""
    steps = [s for s in runs[0]["steps"] if s == "single" or s.startswith("batch ")]
    told = {step: _spread(_step(runs, step, name, "mean")) for step in steps}
    return "; ".join(f"{step.removeprefix('batch ')}: {text}" for step, text in told.items() if text != "–") or "–"


def crafted_table(runs: list[Run]) -> list[str]:
    """Return the rows chosen to be expensive, beside rows at random and the bound that the plan states."""
    here = [r for r in runs if r["variant"] == "crafted" and "scratch" in r["steps"]]
    if not here:
        return ["Not measured."]
    lines = [
        "| attacker | random rows, ms: mean / max | the dearest 200: mean / max | bound, ms | bits of a refit |",
        "|---|---|---|---|---|",
    ]
    bound = _spread(_step(here, "scratch", "bound_ms"))
    for step in ("known key", "unknown key"):
        told = [
            " / ".join(_spread(_step(here, step, name, figure)) for figure in ("mean", "max"))
            for name in ("random_ms", "chosen_ms")
        ]
        lines.append(f"| {step} | {' | '.join(told)} | {bound} | {_bits(here)} |")
    return lines


def left_out(runs: list[Run]) -> list[str]:
    """Return what was not measured, and why."""
    found = {}
    for run in runs:
        for step in ("left out", "failed"):
            if step in run["steps"]:
                found[f"{run['scene']}, {run['folder']} {run['variant']}"] = f"{step}: {run['steps'][step]['why']}"
    return [f"* {who}: {why}" for who, why in sorted(found.items())]


def floor_table() -> list[str]:
    """Return the floors of the machine, if they were measured."""
    if not FLOORS.exists():
        return ["Not measured: `python -m benchmarks.exact.floors` does."]
    found = json.loads(FLOORS.read_text())
    rows = [f"| {name} | {seconds * 1e6:,.3g} |" for name, seconds in found["floors"].items()]
    return ["| work | floor, µs |", "|---|---|", *rows]


def _circumstances(found: dict[str, Any]) -> str:
    scale = (
        ""
        if found["scale"] == 1
        else f" **Tried out at {found['scale']:.0%} of the rows: these figures mean nothing.**"
    )
    return (
        f"Measured {found['date']} on {found['processor']} ({found['machine']}), Python {found['python']}; CPU seconds"
        f" of one thread, median (range) over repetitions with different seeds, peers in turn.{scale}"
    )


def sections() -> list[str]:
    """Return the sections of the benchmark reference that this suite fills."""
    found = results()
    lines = ["## Against peers", ""]
    if found is None:
        return [*lines, NOT_RUN]
    runs = found["runs"]
    lines += [
        _circumstances(found),
        "A row of ours is void unless, in the same process, the model that forgot has the digest of a fit on the kept"
        " records. What a peer puts off until the first predictions is added in brackets. Memory is the growth of the"
        " process over the fit.",
        "",
    ]
    for scene in SCENES:
        lines += scene_table(runs, scene)
    lines += ["### Heads and a recommender", "", *head_table(runs), ""]
    lines += ["### Rows chosen to be expensive", "", *crafted_table(runs), ""]
    lines += ["### Floors", "", *floor_table(), ""]
    return [*lines, "### Left out", "", *(left_out(runs) or ["Nothing."])]


def comparison() -> str:
    """Return the page that compares with peers: goals, exactness in law, deleted values."""
    found = results()
    lines = [
        "# Comparison",
        "",
        "<!-- Made by benchmarks/exact/table.py (`make bench-exact`); edits are lost. -->",
        "",
        "What other implementations of forgetting do, measured beside ours in one run: how fast, in how much memory,"
        " and whether what they forget is gone. Versions are in the"
        " [benchmark tables](../reference/benchmarks.md#against-peers); how to run the distribution test and the"
        " conformance suite on a learner of your own is in"
        " [Prove that your learner forgets](../how-to/prove-your-learner-forgets.md).",
        "",
        "`make bench-peers` builds the peers, out of the package registry and of sources in `EXPUNGE_PEER_SOURCES`;"
        " `make bench-exact` runs everything, goes on where it was stopped, and writes this page.",
        "",
    ]
    if found is None:
        return "\n".join([*lines, NOT_RUN, ""])
    runs = found["runs"]
    lines += [_circumstances(found), ""]
    lines += [
        "## How fast",
        "",
        "The competitor of forgetting is a retrain with a fast booster, not a slow one's own scratch fit. Each ratio is"
        " taken within one repetition; a missed goal stays here.",
        "",
        *goal_table(runs),
        "",
        "![Cost of forgetting against the number of rows, with the floor of the machine](exact-scaling.svg)",
        "",
        "## Whether a deletion has the right distribution",
        "",
        "Models that forgot, against models that never learnt, over fresh seeds"
        " ([`expunge.audit.law`](../methods.md#measurements)). A small p says that the two differ. Ours are, under one"
        " key, equal bit by bit, which is stronger.",
        "",
        *law_table(runs),
        "",
        "## Whether a deleted value is still in the model",
        "",
        "Sixty people with a value that nobody else has; does the model change its mind exactly there? The control is"
        " a model that never learnt the person: what shows there too is a threshold of some other origin, for ours an"
        " edge of the grid.",
        "",
        *value_table(runs),
        "",
    ]
    return "\n".join([*lines, "## Not measured", "", *(left_out(runs) or ["Nothing was left out."]), ""])


def main() -> None:
    COMPARISON.write_text(comparison())
    print(f"wrote {COMPARISON.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
