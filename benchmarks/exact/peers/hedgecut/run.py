"""HedgeCut on a scene: its own encoding (16 quantiles a column), one thread, as many deletions as its budget allows."""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import steps

HOME = Path(os.environ["EXPUNGE_PEER_HOME"])
BUDGET = 0.001
BINS = 16
LIMIT_BYTES = 8 << 30
LIMIT_S = 300

args = steps.arguments()
scene = steps.load(args.scene)
version = (HOME / ".ready").read_text().strip()
lines = steps.of("HedgeCut", version, scene, args, "100 trees", trees=100, min_leaf=2, tries=5, bins=BINS)


def codes(train, test):
    """Return both tables as codes by quantiles of the first."""
    told, asked = np.empty(train.shape, np.uint8), np.empty(test.shape, np.uint8)
    for j in range(train.shape[1]):
        seen = np.unique(train[:, j])
        cuts = seen[1:] if len(seen) <= BINS else np.unique(np.quantile(train[:, j], np.arange(1, BINS) / BINS))
        told[:, j] = np.searchsorted(cuts, train[:, j], "right")
        asked[:, j] = np.searchsorted(cuts, test[:, j], "right")
    return told, asked


if len(scene["X"].shape) != 2 or scene["X"].shape[1] > 255:
    sys.exit("HedgeCut holds at most 255 columns")
X, Xt = codes(scene["X"], scene["Xt"])
singles = max(1, min(args.singles, int(BUDGET * len(X))))
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder) / "scene.bin"
    with path.open("wb") as file:
        np.array([len(X), X.shape[1], len(Xt), len(X)], np.int64).tofile(file)
        for part in (X.max(axis=0), X, Xt, scene["y"], scene["yt"]):
            np.ascontiguousarray(part, np.uint8).tofile(file)
        scene["order"].astype(np.int32).tofile(file)
    words = [str(HOME / "harness"), str(path), str(args.seed), str(singles)]
    environment = {**os.environ, "RAYON_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=LIMIT_S,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES)),
        )
        why = f"the harness ended with {done.returncode}" if done.returncode else ""
    except subprocess.TimeoutExpired:
        why = f"took longer than {LIMIT_S} s"
if why:
    lines.say("failed", why=f"{why} (it may use {LIMIT_BYTES >> 30} GiB)")
    sys.exit(0)
told = {words[0]: words[1:] for words in map(str.split, done.stdout.splitlines())}
cpu, wall, memory = map(float, told["fit"])
lines.say("fit", cpu_s=cpu, wall_s=wall, rss_bytes=int(memory), acc=float(told["before"][0]))
ms = 1e3 * np.array(told["single"], np.float64)
lines.say("single", single_ms=steps.spread(ms), clock="wall", cpu_s=ms.sum() / 1e3, budget=int(BUDGET * len(X)))
lines.say("after", deleted=singles, acc=float(told["after"][0]))
lines.say("done")
