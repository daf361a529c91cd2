"""What every runner shares, ours and peers': the clock, the memory, the steps, one JSON line each. Needs numpy only.

Peers run this file under other versions of Python and numpy, in environments of their own.
"""

import argparse
import gc
import json
import resource
import sys
import time
from pathlib import Path

import numpy as np

PAGE = resource.getpagesize()


def arguments(**more):
    """Read the command line of a runner: the scene's file, a seed, how many single deletions, which batches."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scene")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--singles", type=int, default=60)
    parser.add_argument("--batches", default="100,1000,10%")
    parser.add_argument("--variant", default="")
    return parser.parse_args()


def load(path):
    """Return a scene: X, y, Xt, yt and the order of deletions, all of them arrays."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def rss():
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


def clocked(work):
    """Return CPU seconds, wall seconds and what the work gave."""
    cpu, wall = time.process_time(), time.perf_counter()
    out = work()
    return time.process_time() - cpu, time.perf_counter() - wall, out


def auc(y, score):
    """Return P(a positive scores higher), ties one half."""
    _, inverse, counts = np.unique(np.asarray(score, np.float64), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    pos = np.asarray(y) == 1
    m, n = int(pos.sum()), int((~pos).sum())
    return float((ranks[pos].sum() - m * (m + 1) / 2) / (m * n))


def spread(milliseconds):
    """Return n, mean, median, 99th percentile and maximum."""
    a = np.asarray(milliseconds)
    return {
        "n": len(a),
        "mean": float(a.mean()),
        "median": float(np.median(a)),
        "p99": float(np.quantile(a, 0.99)),
        "max": float(a.max()),
    }


class Lines:
    """Prints one JSON line a step, each with what the run is about."""

    def __init__(self, **about):
        self.about = about

    def say(self, step, **figures):
        print(json.dumps({**self.about, "step": step, **figures}), flush=True)


def quality(scene, score, model):
    """Return AUC, accuracy and what predicting the test rows cost (deferred repairs are paid there)."""
    cpu, wall, p = clocked(lambda: np.asarray(score(model, scene["Xt"]), np.float64))
    acc = float(((p > 0.5) == (scene["yt"] == 1)).mean())
    return {"auc": auc(scene["yt"], p), "acc": acc, "predict_cpu_s": cpu, "predict_wall_s": wall}


def sizes(text, n):
    """Return (name, rows) of batches such as ``100,1000,10%``, those that leave half of the records."""
    found = []
    for part in text.split(","):
        m = int(n * float(part[:-1]) / 100) if part.endswith("%") else int(part)
        if 0 < m <= n // 2:
            found.append((part, m))
    return found


def fitted(lines, scene, fit, score, held=None):
    """Fit, say it, and return the model."""
    gc.collect()
    before = rss()
    cpu, wall, model = clocked(lambda: fit(scene["X"], scene["y"]))
    gc.collect()
    memory = rss() - before
    more = {} if held is None else {"held_bytes": int(held(model))}
    lines.say("fit", cpu_s=cpu, wall_s=wall, rss_bytes=memory, **more, **quality(scene, score, model))
    return model


def walk(lines, scene, args, *, fit, score, forget, held=None, check=None, settle=None):
    """Fit, delete one by one, then in batches; say each step.

    Args:
        lines: where to.
        scene: of `load`.
        args: of `arguments`.
        fit: (X, y) → model.
        score: (model, X) → probability of class 1.
        forget: (model, rows of the scene) → model.
        held: model → bytes that it says it holds.
        check: (model, rows that were kept) → figures of the last step (ours: the digest of a scratch fit).
        settle: model → nothing; makes the repairs that single deletions put off.
    """
    model = fitted(lines, scene, fit, score, held)
    order, at, n = scene["order"], 0, len(scene["y"])
    cpu_ms, wall_ms = [], []
    for row in order[: args.singles].tolist():
        cpu, wall, model = clocked(lambda row=row, model=model: forget(model, [row]))
        cpu_ms.append(1e3 * cpu)
        wall_ms.append(1e3 * wall)
    at = len(cpu_ms)
    if cpu_ms:
        later = {} if settle is None else {"deferred_cpu_s": clocked(lambda: settle(model))[0]}
        lines.say("single", single_ms=spread(cpu_ms), wall_ms=spread(wall_ms), cpu_s=sum(cpu_ms) / 1e3, **later)
    for name, m in sizes(args.batches, n):
        rows = order[at : at + m].tolist()
        at += m
        cpu, wall, model = clocked(lambda rows=rows, model=model: forget(model, rows))
        lines.say(f"batch {name}", m=m, cpu_s=cpu, wall_s=wall)
    lines.say("after", deleted=at, **quality(scene, score, model))
    if check is not None:
        kept = np.ones(n, bool)
        kept[order[:at]] = False
        lines.say("scratch", **check(model, kept))
    lines.say("done")


def retrain(lines, scene, args, *, fit, score):
    """Fit, then fit again without a tenth of the rows: what deletion costs where nothing else is offered."""
    model = fitted(lines, scene, fit, score)
    del model
    kept = np.ones(len(scene["y"]), bool)
    kept[scene["order"][: len(kept) // 10]] = False
    X, y = scene["X"][kept], scene["y"][kept]
    cpu, wall, model = clocked(lambda: fit(X, y))
    lines.say("retrain", cpu_s=cpu, wall_s=wall, **quality(scene, score, model))
    lines.say("done")


def of(peer, version, scene, args, variant, **params):
    """Return the lines of a run on a scene."""
    return Lines(
        peer=peer,
        version=version,
        variant=variant,
        scene=Path(args.scene).stem,
        n=len(scene["y"]),
        d=int(scene["X"].shape[-1]),
        seed=args.seed,
        params=params,
        python=sys.version.split()[0],
    )
