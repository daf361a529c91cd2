"""dare-rf on a scene: fit, single deletions, batches; on XS10 and XS11 what it leaves behind."""

import collections
import sys
from pathlib import Path

import dare
import numpy as np
import steps

VERSION = (Path(sys.prefix) / ".ready").read_text().strip()
VARIANTS = {
    "depth 10, k 25": {"max_depth": 10, "k": 25},
    "depth 20, k 25": {"max_depth": 20, "k": 25},
    "depth 10, k 5": {"max_depth": 10, "k": 5},
}


def forest(X, y, seed, **params):
    return dare.Forest(random_state=seed, **params).fit(np.asarray(X, np.float32), np.asarray(y, np.int32))


def forgot(model, rows):
    model.delete(np.asarray(rows, np.int32))
    return model


def score(model, X):
    return model.predict_proba(np.asarray(X, np.float32))[:, 1]


def value(scene, lines, seed):
    """XS10: is the victim's value still a split point after deletion, and in a forest that never saw it."""
    hits = collections.Counter()
    params = {"n_estimators": 100, "max_depth": 10, "k": 25}
    for j, (X, y, victim) in enumerate(zip(scene["X"], scene["y"], scene["victims"], strict=True)):
        every, labels = np.vstack([X, victim]), np.append(y, scene["labels"][j])
        before = forest(every, labels, seed + j, **params)
        shown = {"before": splits(before, victim, scene, j)}
        after = forgot(before, [len(X)])
        shown["after"] = splits(after, victim, scene, j)
        shown["control"] = splits(forest(X, y, seed + 1000 + j, **params), victim, scene, j)
        hits.update(name for name, hit in shown.items() if hit)
        hits["excess"] += shown["after"] and not shown["control"]
    lines.say("value", victims=len(scene["X"]), **{n: hits[n] for n in ("before", "after", "control", "excess")})


def splits(model, victim, scene, j):
    for column, v in enumerate(victim):
        at, above = scene["rows"][j].copy(), scene["rows"][j].copy()
        at[:, column], above[:, column] = v, v + scene["gap"][0]
        if np.abs(score(model, at) - score(model, above)).max() > 1e-9:
            return True
    return False


def law(scene, lines, seed, n_seeds):
    """XS11: what trees of eight points look like after a deletion, and without the point; counts by signature."""
    X, y, gone = scene["X"], scene["y"], 2
    grid = np.arange(-0.25, 8, 0.25, dtype=np.float32)[:, None]
    for k, topd, depth in ((1, 0, 1), (2, 0, 2), (2, 1, 2)):
        params = {"n_estimators": 1, "k": k, "topd": topd, "max_depth": depth, "max_features": 1.0}
        sides = {"forgotten": collections.Counter(), "scratch": collections.Counter()}
        for s in range(n_seeds):
            deleted = forgot(forest(X, y, seed + s, **params), [gone])
            fresh = forest(np.delete(X, gone, 0), np.delete(y, gone), seed + n_seeds + s, **params)
            for side, model in (("forgotten", deleted), ("scratch", fresh)):
                sides[side][np.round(score(model, grid), 6).tobytes().hex()] += 1
        lines.say("law", config=f"k {k}, random layers {topd}, depth {depth}", **{s: dict(c) for s, c in sides.items()})


args = steps.arguments()
scene = steps.load(args.scene)
if "victims" in scene:
    lines = steps.Lines(peer="dare-rf", version=VERSION, scene="value", seed=args.seed)
    value(scene, lines, args.seed)
    lines.say("done")
elif "X16" in scene:
    lines = steps.Lines(peer="dare-rf", version=VERSION, scene="law", seed=args.seed)
    law(scene, lines, 10**6 * args.seed, args.singles)
    lines.say("done")
else:
    variant = args.variant or "depth 10, k 25"
    params = {"n_estimators": 100, **VARIANTS[variant]}
    steps.walk(
        steps.of("dare-rf", VERSION, scene, args, variant, **params),
        scene,
        args,
        fit=lambda X, y: forest(X, y, args.seed, **params),
        score=score,
        forget=forgot,
        held=lambda model: sum(model.get_memory_usage()),
    )
