"""Hyper-parameters are chosen on a draw of their own, with models of their own, never on what is scored (spec W11)."""

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from expunge.audit.pools import FORGOTTEN, POPULATION, Pools
from expunge.audit.scene import scene
from expunge.audit.worlds import Making, Numbers, pools_of
from expunge.core.errors import ExpungeError
from expunge.core.seeds import Key

FACTORS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the one number of a method that matters most; six trials a method (twenty are allowed)."""
KNOBS = {"fisher": "alpha", "influence": "alpha", "dampening": "alpha", "tangent": "scale", "newton": "damping"}
"""Where that number is not the step size."""
LOST = 0.02
"""Accuracy on the population that a setting may cost beside retraining."""


def knob(name: str, method: Any) -> str | None:
    """The field that is tuned; None where the method has none."""
    known = {f.name for f in fields(method)}
    wanted = KNOBS.get(name, "rate")
    value = getattr(method, wanted, None) if wanted in known else None
    return wanted if isinstance(value, float) and value else None


def tuned(name: str, method: Any, setting: Any, ids: Any, seed: int, how: Making) -> tuple[Any, float]:
    """The method with the factor that brought it nearest to retraining on the tuning draw, and the factor."""
    field = knob(name, method)
    if field is None:
        return method, 1.0
    drawn = scene(
        setting.data, setting.learner, Key.public(f"tune/{seed}"), holdout=setting.holdout, forget=ids,
        n_population=setting.n_population,
    )  # fmt: skip
    trials = {f"{factor:g}": replace(method, **{field: getattr(method, field) * factor}) for factor in FACTORS}
    scores = []
    for label, trial in trials.items():
        try:
            pools = pools_of(drawn, {label: trial}, Numbers(8, 8, second=False), how)[label]
            scores.append((*score(pools), label))
        except ExpungeError:
            continue
    if not scores:
        return method, 1.0
    best = min(scores)[-1]
    return trials[best], float(best)


def score(pools: Pools) -> tuple[bool, float]:
    """Whether a setting costs too much utility, and its distance to retraining on forgotten records (φ, RMSE)."""
    after, reference = pools.need("after"), pools.need("reference")
    gone, aside = after.has(FORGOTTEN), after.has(POPULATION)
    centre = reference.phi.mean(axis=0)
    gaps = (np.clip(after.phi, -50, 50) - np.clip(centre, -50, 50))[gone]
    lost = float((reference.correct - after.correct)[aside].mean())
    distance = float(np.sqrt(np.mean(gaps**2)))
    return (lost > LOST, distance) if lost <= LOST else (True, lost)


def labels(factors: Sequence[float]) -> list[str]:
    """Factors as they are shown."""
    return [f"×{factor:g}" for factor in factors]
