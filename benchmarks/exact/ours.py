"""Our learners on a scene, one JSON line a step; the last says whether the bits are those of a fit on the kept rows.

Run by the suite in a process of its own: ``python -m benchmarks.exact.ours SCENE --variant NAME``.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.exact import crafted, data, steps
from benchmarks.exact.learners import VARIANTS, Variant, built, dropped, probability, size, table, version, warm
from expunge import catalog
from expunge.core.dataset import Dataset
from expunge.core.errors import ExpungeError
from expunge.core.roles import Learner
from expunge.core.seeds import Key
from expunge.core.world import Shadows, World


def classifier(args: argparse.Namespace) -> None:
    """Fit, forget one by one and in batches, and compare with a scratch fit, on a table of two classes."""
    variant, key = VARIANTS[args.variant], Key.public(args.seed)
    began = time.process_time()
    learner = built(variant)
    prepare_s = time.process_time() - began
    scene = steps.load(args.scene)
    ids = np.arange(len(scene["y"]))
    lines = steps.of("expunge", version(), scene, args, args.variant, learner=repr(learner))
    warm(learner, scene)
    copied = []

    def check(model: Any, kept: np.ndarray) -> dict[str, Any]:
        for row in scene["order"][-20:].tolist():
            cpu, _, _ = steps.clocked(lambda row=row: model.without([row]))
            copied.append(1e3 * cpu)
        settle, _, _ = steps.clocked(lambda: (model.settle() if hasattr(model, "settle") else None, model.digest()))
        rest = table(scene["X"][kept], scene["y"][kept], ids[kept])
        cpu, wall, fresh = steps.clocked(lambda: learner.fit(rest, key))
        same = model.digest() == fresh.digest()
        return {
            "identical": same,
            "cpu_s": cpu,
            "wall_s": wall,
            "settle_s": settle,
            "prepare_s": prepare_s,
            "copied_ms": steps.spread(copied),
        }

    steps.walk(
        lines,
        scene,
        args,
        fit=lambda X, y: learner.fit(table(X, y, ids), key),
        score=probability,
        forget=dropped,
        held=size,
        check=check,
        settle=lambda model: model.repay() if hasattr(model, "repay") else None,
    )


def ridge(args: argparse.Namespace) -> None:
    """XS05: a ridge head on a million vectors; each deletion, and the prediction after it, against a scratch fit."""
    n = max(2000, int(1_000_000 * args.scale))
    X, y = data.gram(n)
    learner, key = catalog.build("learner", "ridge"), Key.public(args.seed)
    whole = Dataset.from_vectors(X, np.array([f"c{c}" for c in range(10)])[y])
    lines = steps.Lines(
        peer="expunge", version=version(), variant="ridge head", scene="gram", n=n, d=512, seed=args.seed,
        params={"learner": repr(learner)}, python=platform.python_version(),
    )  # fmt: skip
    head(lines, learner, whole, key, sizes=(1, 10, 100, 1000, 10_000, 100_000))


def head(lines: steps.Lines, learner: Learner, whole: Dataset, key: Key, sizes: tuple[int, ...]) -> None:
    """Fit, forget cumulatively in ever larger batches, the small ones several times, and compare with a scratch fit."""
    learner.fit(whole.take(np.arange(1000)), key)  # what is loaded once is no part of the first fit
    before = steps.rss()
    cpu, wall, model = steps.clocked(lambda: learner.fit(whole, key))
    lines.say("fit", cpu_s=cpu, wall_s=wall, rss_bytes=steps.rss() - before, held_bytes=size(model))
    order, at = np.random.default_rng(7).permutation(len(whole)), 0
    one = whole.take(np.arange(1))  # what is put off until the first prediction is part of the price
    for m in sizes:
        times, solves = (50, 50) if m == 1 else (7, 7) if m <= 1000 else (1, 0)
        if at + (times + solves) * m > len(whole) // 2:
            break
        spent, served, settled = [], [], []
        for turn in range(times + solves):
            rows = order[at : at + m].tolist()
            at += m
            cpu, _, model = steps.clocked(lambda rows=rows, model=model: dropped(model, rows))
            if turn < times:
                first, _, _ = steps.clocked(lambda model=model: model.logits(one))
                spent.append(1e3 * cpu)
                served.append(1e3 * (cpu + first))
            else:  # the canonical weights, for a digest
                exact, _, _ = steps.clocked(lambda model=model: model.weights)
                settled.append(1e3 * (cpu + exact))
        figures = {"single_ms": steps.spread(spent), "served_ms": steps.spread(served)}
        if settled:
            figures["settled_ms"] = steps.spread(settled)
        lines.say(f"batch {m}", m=m, cpu_s=sum(served) / 1e3 / len(served), **figures)
    settle, _, _ = steps.clocked(model.digest)
    rest = whole.take(np.sort(order[at:]))
    cpu, wall, fresh = steps.clocked(lambda: learner.fit(rest, key))
    lines.say("scratch", identical=model.digest() == fresh.digest(), cpu_s=cpu, wall_s=wall, settle_s=settle)
    lines.say("done")


def logistic(args: argparse.Namespace) -> None:
    """XS06: the certified removal of a logistic head against a refit (not a matter of equal bits, but of (ε, δ)).

    With sigma = 1 most removals need no pass over the data; the accuracy with hardly any noise stands beside it.
    """
    n = max(2000, int(1_000_000 * args.scale))
    X, y = data.logit(n)
    learner, unlearner = catalog.build("learner", "logistic", sigma=1.0), catalog.build("unlearner", "removal")
    key = Key.generate(args.seed)  # a public key certifies nothing
    whole = Dataset.from_vectors(X, np.where(y, "yes", "no"))
    lines = steps.Lines(
        peer="expunge", version=version(), variant="logistic head, certified", scene="logit", n=n, d=X.shape[1],
        seed=args.seed, params={"learner": repr(learner), "unlearner": repr(unlearner)},
        python=platform.python_version(),
    )  # fmt: skip
    before = steps.rss()
    cpu, wall, model = steps.clocked(lambda: learner.fit(whole, key))
    last = np.arange(n - n // 20, n)
    tested = whole.take(last)

    def accuracy(model: Any) -> float:
        return float(((np.diff(model.logits(tested))[:, 0] > 0) == y[last]).mean())

    held = size(model)
    lines.say("fit", cpu_s=cpu, wall_s=wall, rss_bytes=steps.rss() - before, held_bytes=held, acc=accuracy(model))
    at, one, kind = 0, whole.take(np.arange(n - 1, n)), ""
    for m, times in ((1, 50), (10, 5), (100, 5), (1000, 5)):
        spent, served, passes = [], [], 0
        for _ in range(times):
            ids = list(range(at, at + m))
            at += m
            cpu, _, model = steps.clocked(lambda ids=ids, model=model: model.removing(ids, unlearner.budget))
            first, _, _ = steps.clocked(lambda model=model: model.logits(one))
            kind = model.certificate(unlearner.budget).kind
            passes += model.ledger.entries[-1].passes
            spent.append(1e3 * cpu)
            served.append(1e3 * (cpu + first))
        figures = {"single_ms": steps.spread(spent), "served_ms": steps.spread(served)}
        lines.say(f"batch {m}", m=m, passes=passes, guarantee=kind, cpu_s=sum(served) / 1e3 / len(served), **figures)
    rest = whole.take(np.arange(at, n))
    cpu, wall, _ = steps.clocked(lambda: learner.fit(rest, key))
    plain = catalog.build("learner", "logistic").fit(rest, key)
    lines.say("scratch", cpu_s=cpu, wall_s=wall, certified=kind == "certified", acc=accuracy(plain))
    lines.say("done")


def ease(args: argparse.Namespace) -> None:
    """XS07: one user erased from an item-item recommender against a refit."""
    users, items = data.ease(max(500, int(50_000 * args.scale)))
    learner, key = catalog.build("learner", "ease"), Key.public(args.seed)
    from expunge.core.columns import Column

    whole = Dataset(
        columns={"item": Column.of_texts([f"i{i}" for i in items])}, ids=np.arange(len(users)), subjects=users
    )
    lines = steps.Lines(
        peer="expunge", version=version(), variant="ease", scene="ease", n=len(whole), d=3000, seed=args.seed,
        params={"learner": repr(learner)}, python=platform.python_version(),
    )  # fmt: skip
    learner.fit(whole.take(np.arange(2000)), key).without([0]).digest()  # whatever is compiled is compiled now
    before = steps.rss()
    cpu, wall, model = steps.clocked(lambda: learner.fit(whole, key))
    lines.say("fit", cpu_s=cpu, wall_s=wall, rss_bytes=steps.rss() - before, held_bytes=size(model))
    asked = np.random.default_rng(7).permutation(np.unique(users))[: args.singles].tolist()
    rows_of = [np.flatnonzero(users == user).tolist() for user in asked]
    spent, served, settled, gone = [], [], [], []
    for turn, rows in enumerate(rows_of):
        cpu, _, model = steps.clocked(lambda rows=rows, model=model: dropped(model, rows))
        gone += rows
        if turn >= len(rows_of) - 3:  # what a digest asks for: the canonical inverse
            exact, _, _ = steps.clocked(model.state)
            settled.append(1e3 * (cpu + exact))
            continue
        first, _, _ = steps.clocked(lambda model=model: model.recommend(int(users[-1])))
        spent.append(1e3 * cpu)
        served.append(1e3 * (cpu + first))
    figures = {"single_ms": steps.spread(spent), "served_ms": steps.spread(served), "settled_ms": steps.spread(settled)}
    lines.say("single", cpu_s=sum(served) / 1e3, **figures)
    settle, _, _ = steps.clocked(model.digest)
    cpu, wall, fresh = steps.clocked(lambda: learner.fit(whole.without(gone), key))
    fresh.digest()
    lines.say("scratch", identical=model.digest() == fresh.digest(), cpu_s=cpu, wall_s=wall, settle_s=settle)
    lines.say("done")


def value(args: argparse.Namespace) -> None:
    """XS10: our forest and our boosting under the value probe."""
    from expunge.threats.split_value import SplitValue

    params = {"n_trees": 100, "trees_per_owner": 100, "max_depth": 10} if args.variant == "forest" else {}
    learner = built(Variant(args.variant, params))
    attack = SplitValue(n_victims=min(60, args.singles))
    world = World(seed=args.seed, shadows=Shadows(learner, catalog.build("unlearner", "native")))
    found = attack.run(world)
    before, after, excess = (round(e.value * e.n) for e in found)
    control = round(found[1].null.value * found[1].n) if found[1].null else 0
    lines = steps.Lines(peer="expunge", version=version(), variant=args.variant, scene="value", seed=args.seed)
    lines.say("value", victims=attack.n_victims, before=before, after=after, control=control, excess=excess)
    lines.say("done")


def law(args: argparse.Namespace) -> None:
    """XS11: our forest with fresh keys on the eight points; counts by signature."""
    from collections import Counter
    from dataclasses import replace

    scene = steps.load(args.scene)
    lines = steps.Lines(peer="expunge", version=version(), variant=args.variant, scene="law", seed=args.seed)
    grid = np.arange(-0.25, 8, 0.25)[:, None]
    whole = replace(table(scene["X"], scene["y"], np.arange(8)), classes=("no", "yes"))
    kept = whole.without([2])
    for depth, trees in ((1, 1), (2, 1), (3, 1), (2, 2)):
        learner = built(Variant("forest", {"n_trees": trees, "trees_per_owner": 1, "max_depth": depth, "min_split": 2}))
        sides: dict[str, Counter[str]] = {"forgotten": Counter(), "scratch": Counter()}
        for s in range(args.singles):
            base = 10**6 * args.seed
            deleted = learner.fit(whole, Key.public(base + s)).without([2])
            fresh = learner.fit(kept, Key.public(base + args.singles + s))
            for side, model in (("forgotten", deleted), ("scratch", fresh)):
                sides[side][np.round(probability(model, grid), 6).tobytes().hex()] += 1
        lines.say("law", config=f"{trees} trees, depth {depth}", **{s: dict(c) for s, c in sides.items()})
    lines.say("done")


def grid(args: argparse.Namespace) -> None:
    """XS12: how many of many single deletions move a column's grid, so that the forest has to be fitted again."""
    from expunge.models.encoding.grid import Grid

    scene, key = steps.load(args.scene), Key.public(0)
    whole = table(scene["X"], scene["y"], np.arange(len(scene["y"])))
    model = built(Variant("forest")).fit(whole, key)
    moved = 0
    for row in scene["order"][: args.singles].tolist():
        told = model.plan([row])
        moved += told.parts_touched == told.parts
    lines = steps.of("expunge", version(), scene, args, "grid", learner=Grid.__name__)
    lines.say("grid", deletions=args.singles, moved=moved)
    lines.say("done")


SUBJECTS: dict[str, Callable[[argparse.Namespace], None]] = {
    "gram": ridge,
    "logit": logistic,
    "ease": ease,
    "value": value,
    "law": law,
    "grid": grid,
    "crafted": crafted.crafted,
}
"""What is not a plain table of two classes: by scene, or by variant."""


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("scene", help="a scene's file, or gram, logit or ease")
    parser.add_argument("--variant", default="forest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--singles", type=int, default=200)
    parser.add_argument("--batches", default="100,1000,10%")
    parser.add_argument("--scale", type=float, default=1.0)
    args = parser.parse_args()
    run = SUBJECTS.get(Path(args.scene).stem) or SUBJECTS.get(args.variant, classifier)
    try:
        run(args)
    except ExpungeError as error:
        steps.Lines(peer="expunge", variant=args.variant, scene=Path(args.scene).stem).say(
            "left out", why=error.message
        )
        return 3
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
