"""Rows chosen to be expensive: the worst single deletions of a forest, for who knows the key and for who does not."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from benchmarks.exact import steps
from benchmarks.exact.learners import VARIANTS, built, table, version, warm
from expunge.core.seeds import Key

CHOSEN = 200


def spent(model: Any, rows: list[int]) -> np.ndarray:
    """Return the CPU milliseconds of forgetting each of these rows alone, from the same model."""
    return 1e3 * np.array([steps.clocked(lambda row=row: model.without([row]))[0] for row in rows])


def crafted(args: argparse.Namespace) -> None:
    """Measure every candidate, take the dearest, forget them in turn; then the same rows under a key not known.

    Rows that move the learnt range of a column cost a fit; the plan says so, and they are counted apart.
    """
    scene = steps.load(args.scene)
    whole = table(scene["X"], scene["y"], np.arange(len(scene["y"])))
    learner = built(VARIANTS["forest"])
    warm(learner, scene)
    lines = steps.of("expunge", version(), scene, args, "crafted", learner=repr(learner))
    model = learner.fit(whole, Key.public(args.seed))
    candidates = [r for r in scene["order"][: args.singles].tolist() if not _moves(model, r)]
    costs = spent(model, candidates)
    dearest = [candidates[i] for i in np.argsort(-costs)[:CHOSEN]]
    again = spent(model, dearest)
    random = costs[: min(CHOSEN, len(costs))]
    lines.say("known key", random_ms=steps.spread(costs), chosen_ms=steps.spread(again))
    hidden = learner.fit(whole, Key.public(args.seed + 1000))  # another key: the attacker's choice is a guess
    fair = [r for r in dearest if not _moves(hidden, r)]
    guessed, fresh = spent(hidden, fair), spent(hidden, candidates[: len(random)])
    lines.say("unknown key", random_ms=steps.spread(fresh), chosen_ms=steps.spread(guessed))
    for row in dearest:
        model.forget([row])
    rest = np.delete(np.arange(len(whole)), dearest)
    cpu, wall, scratch = steps.clocked(lambda: learner.fit(whole.take(rest), Key.public(args.seed)))
    share = model.plan([int(rest[0])])
    same = model.digest() == scratch.digest()
    bound = 1e3 * cpu * share.parts_touched / share.parts
    moved = args.singles - len(candidates)
    lines.say("scratch", identical=same, cpu_s=cpu, wall_s=wall, bound_ms=bound, moved=moved)
    lines.say("done")


def _moves(model: Any, row: int) -> bool:
    told = model.plan([row])
    return bool(told.parts_touched == told.parts)
