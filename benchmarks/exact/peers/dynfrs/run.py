"""DynFrs on a scene, eager and lazy, through a harness around its header; each kind of deletion starts from a fit."""

import collections
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import steps

HOME = Path(os.environ["EXPUNGE_PEER_HOME"])
VERSION = (HOME / ".ready").read_text().strip()
SETTINGS = {"T": 100, "k": 10, "depth": 20, "splits": 20}


def write(path, X, Xt, y, order):
    """Write what the harness reads."""
    with path.open("wb") as file:
        np.array([len(X), X.shape[1], len(Xt), len(order)], np.int64).tofile(file)
        for table in (X, Xt):
            np.ascontiguousarray(table, np.float64).tofile(file)
        for column in (y, order):
            np.ascontiguousarray(column, np.int32).tofile(file)


def call(path, mode, lazy, seed, argument, settings=SETTINGS):
    """Run the harness; return its lines, or the reason why there are none."""
    numbers = [settings[name] for name in ("T", "k", "depth", "splits")]
    command = [HOME / "harness", path, mode, int(lazy), *numbers, seed, argument]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        return None, f"the harness ended with {done.returncode}"
    return [line.split() for line in done.stdout.splitlines()], ""


def judged(scene, words):
    """Return what a line of predictions says."""
    p = np.array(words[3:], np.float64)
    if not np.isfinite(p).all():
        return {"auc": None, "nan": int((~np.isfinite(p)).sum()), "predict_cpu_s": float(words[1])}
    acc = float(((p > 0.5) == (scene["yt"] == 1)).mean())
    return {"auc": steps.auc(scene["yt"], p), "acc": acc, "predict_cpu_s": float(words[1])}


def on_scene(args, scene, path):
    """Fit, then single deletions; and a fit of its own for each batch."""
    lazy = args.variant == "lazy"
    lines = steps.of("DynFrs", VERSION, scene, args, args.variant or "eager", **SETTINGS)
    runs = [("singles", "single", args.singles)]
    runs += [("batch", f"batch {name}", m) for name, m in steps.sizes(args.batches, len(scene["y"]))]
    for mode, step, argument in runs:
        found, why = call(path, mode, lazy, args.seed, argument)
        if found is None:
            lines.say(step, failed=why)
            continue
        told = {words[0]: words for words in found}
        before, after = (judged(scene, told[name]) for name in ("before", "after"))
        deferred = after["predict_cpu_s"] - before["predict_cpu_s"] if lazy else 0.0
        if mode == "singles":
            cpu, wall, memory = told["fit"][1:]
            lines.say("fit", cpu_s=float(cpu), wall_s=float(wall), rss_bytes=int(memory), **before)
            ms = 1e3 * np.array(told["single"][1:], np.float64)
            lines.say(step, single_ms=steps.spread(ms), cpu_s=ms.sum() / 1e3, deferred_cpu_s=deferred, after=after)
        else:
            cpu, wall = map(float, told["batch"][1:])
            lines.say(step, m=argument, cpu_s=cpu, wall_s=wall, deferred_cpu_s=deferred, after=after)
    lines.say("done")


def on_law(args, scene, path):
    """XS11: the root's split after deletions, and without the rows; counts by signature."""
    lines = steps.Lines(peer="DynFrs", version=VERSION, scene="law", seed=args.seed)
    for d in (1, 3):
        for splits in (2, 6):
            gone = np.array([3, 8, 9] if splits == 2 else [0, 5])
            write(path, scene["X16"][:, :d], scene["X16"][:1, :d], scene["y16"], gone)
            settings = {"T": 1, "k": 1, "depth": 1, "splits": splits}
            found, why = call(path, "law", False, args.seed, args.singles, settings)
            if found is None:
                lines.say("law", config=f"d {d}, s {splits}", failed=why)
                continue
            sides = {"forgotten": collections.Counter(), "scratch": collections.Counter()}
            for side, signature in found:
                sides[side][signature] += 1
            lines.say("law", config=f"d {d}, s {splits}", **{s: dict(c) for s, c in sides.items()})
    lines.say("done")


def main():
    args = steps.arguments()
    scene = steps.load(args.scene)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.bin"
        if "X16" in scene:
            on_law(args, scene, path)
        elif "Xt" in scene:
            write(path, scene["X"], scene["Xt"], scene["y"], scene["order"])
            on_scene(args, scene, path)
        else:
            sys.exit("this runner has no such scene")


main()
