"""``SplitValue``: whether a deleted value is still a point at which the model changes its mind.

A tree that takes its thresholds from the data carries values of single people. Deletion has to take them out: if the
victim's unusual value still separates predictions afterwards, the record is legible in the model that forgot it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import Unsupported
from expunge.core.estimates import Interval, proportion
from expunge.core.evidence import Evidence, Null
from expunge.core.roles import Floats, Predicts
from expunge.core.seeds import Key
from expunge.core.world import World, granted

N_COLUMNS = 5
VICTIM = "victim"
JUMP = 1e-9
"""Predictions further apart than this differ (spec XS10)."""

Answer = Callable[[Floats], Floats]
"""Rows of shape (n, d) → predictions of shape (n,) or (n, k)."""


def records(n: int, draw: np.random.Generator) -> tuple[Floats, npt.NDArray[Any]]:
    """Return whole numbers of shape (n, 5) in 0…99, and ``x₀ + x₁ > 100`` with a fifth of the labels flipped."""
    X = draw.integers(0, 100, (n, N_COLUMNS)).astype(np.float64)
    y = (X[:, 0] + X[:, 1] > 100) ^ (draw.random(n) < 0.2)
    return X, np.where(y, "yes", "no")


def splits_at(answer: Answer, victim: Floats, rows: Floats, gap: float) -> bool:
    """Say whether predictions change between a victim's value and ``gap`` above it, in any column, for any of the rows.

    Args:
        answer: the model.
        victim: shape (d,).
        rows: what the other columns hold while one is probed, shape (n, d).
        gap: small enough that no other record has a value in between.
    """
    for column, value in enumerate(victim):
        at, above = rows.copy(), rows.copy()
        at[:, column], above[:, column] = value, value + gap
        if float(np.abs(answer(at) - answer(above)).max()) > JUMP:
            return True
    return False


@dataclass(frozen=True)
class SplitValue:
    """Plants a person with values that nobody else has, has them forgotten, and looks for the values in the model.

    Three models a victim: before (with the victim), after (forgotten), control (never learnt the victim). A hit is a
    model whose predictions change between the victim's value and just above it. It has no benign twin: nothing is done
    to anybody's model but the attacker's own.

    Attributes:
        n_victims: people planted, one a run.
        n_records: honest records in each run.
        n_rows: rows that each value is probed with.
        offset: what makes the victim's values unlike everybody's whole numbers.
        gap: the width of the probe.

    Guarantee: none; a lower estimate: a value that these rows do not show may still be there.
    Cost: two fits and one deletion a victim, 2·5·n_rows predictions a model.
    Source: spec XS10, XD03.
    """

    n_victims: int = 60
    n_records: int = 2000
    n_rows: int = 300
    offset: float = 0.37
    gap: float = 0.01
    needs = ("shadows",)

    def run(self, world: World) -> Sequence[Evidence]:
        """Return the share of victims whose value shows before, after, and after but not in the control.

        Raises:
            Unsupported: the world does not grant shadows.
        """
        shadows = granted(world.only(self.needs).shadows, "shadows")
        seen: list[list[bool]] = []
        for j in range(self.n_victims):
            draw = np.random.default_rng([world.seed, j])
            data, victim, rows = self._scene(draw)
            key = Key.public(f"{world.seed}/{j}")  # of all three: by another key other edges of a grid would be tried
            before = shadows.fitted(data, key)
            after = shadows.forgot(before, (VICTIM,))
            control = shadows.fitted(data.without((VICTIM,)), key)
            seen.append([splits_at(_answer(d, data), victim, rows, self.gap) for d in (before, after, control)])
        return self._told(np.array(seen), world.arm)

    def _scene(self, draw: np.random.Generator) -> tuple[Dataset, Floats, Floats]:
        X, y = records(self.n_records, draw)
        victim = draw.integers(0, 99, N_COLUMNS).astype(np.float64) + self.offset
        label = "yes" if draw.random() < 0.5 else "no"
        ids = [*(f"r{i}" for i in range(len(X))), VICTIM]
        rows = draw.integers(0, 100, (self.n_rows, N_COLUMNS)).astype(np.float64)
        return Dataset.from_arrays(np.vstack([X, victim]), np.append(y, label), ids=ids), victim, rows

    def _told(self, seen: npt.NDArray[np.bool_], arm: str) -> list[Evidence]:
        before, after, control = (proportion(int(side.sum()), len(side)) for side in seen.T)
        excess = proportion(int((seen[:, 1] & ~seen[:, 2]).sum()), len(seen))
        null = Null(what="control", value=control.value, low=control.low, high=control.high, n=control.n)
        return [
            _evidence(f"split_value.hits_before@{arm}", "share of values that show before forgetting", before, None),
            _evidence(f"split_value.hits_after@{arm}", "share of values that show after forgetting", after, null),
            _evidence(f"split_value.excess@{arm}", "share that show after, and not in the control", excess, None),
        ]


def _answer(deployment: Deployment, like: Dataset) -> Answer:
    model, names = deployment.model, list(like.columns)
    if not isinstance(model, Predicts):
        raise Unsupported(f"{type(model).__name__} does not predict classes", hint="Attack a classifier.")

    def answer(rows: Floats) -> Floats:
        logits = model.logits(Dataset.from_arrays(rows, names=names))
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float64)

    return answer


def _evidence(name: str, estimator: str, interval: Interval, null: Null | None) -> Evidence:
    value, low, high, n = interval
    return Evidence(name=name, estimator=estimator, value=value, low=low, high=high, n=n, unit="victims", null=null)
