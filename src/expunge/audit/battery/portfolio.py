"""M17, the portfolio: the best of several attacks, chosen on half of the models and reported on the other half."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from expunge.audit.battery.games import Attack, Board, Split, area
from expunge.audit.battery.membership_evidence import arena, between_references
from expunge.audit.battery.population import population
from expunge.audit.battery.rmia import rmia
from expunge.audit.battery.ulira import FEWEST_MODELS, ulira
from expunge.audit.pools import Mask, Pools, World
from expunge.audit.statistics import Estimate, of_deletions
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence, Null
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

AUDITED: Final[tuple[World, ...]] = ("before", "after")
HOW: Final = (
    "best of population attack, U-LiRA and RMIA by excess over the reference, chosen on half of the models and "
    "reported on the other half, both ways"
)


def attacks() -> tuple[Attack, ...]:
    """Return what is chosen from: M07, M12, M14."""
    return population(), ulira(), rmia()


@dataclass(frozen=True, eq=False)
class Areas:
    """AUCs of every attack on each half of the models.

    Attributes:
        values: world → shape (1 + blocks, attacks, 2).
        sizes: models in each block.
    """

    values: Mapping[World, Floats]
    sizes: Floats

    def chosen(self, world: World) -> tuple[Estimate, Estimate, Estimate]:
        """Return the portfolio's AUC on a world, the same attacks' on the reference, and the excess.

        The attack of each half is chosen again without each block: the interval covers the choice.
        """
        ours, theirs = self.values[world], self.values["reference"]
        best = (ours - theirs).argmax(axis=1)
        rows = np.arange(len(ours))
        value, control = (
            np.stack([v[rows, best[:, 0], 1], v[rows, best[:, 1], 0]]).mean(axis=0) for v in (ours, theirs)
        )
        a, b, c = (of_deletions(float(v[0]), v[1:], self.sizes) for v in (value, control, value - control))
        return a, b, c


def halves(split: Split) -> Mask:
    """Return which models are in the first half, shape (M,): every block has models in both, where it has two."""
    at = np.arange(len(split.cells))
    return np.asarray((at // len(split.sizes) + at) % 2 == 0)


def areas(pools: Pools, policy: AuditPolicy, world: World) -> Areas:
    """Return the AUCs of a world and the reference, cut to the pairs that both have.

    Raises:
        Unsupported: there is no such world or no reference.
        BadInput: too few models, or a half without scores.
    """
    values: dict[World, Floats] = {}
    both: tuple[World, World] = (world, "reference")
    for side, other in (both, both[::-1]):
        ground = arena(pools, side, (other,), policy)
        if len(ground.target) < FEWEST_MODELS:
            raise BadInput(f"it needs {FEWEST_MODELS} models or more, and there are {len(ground.target)}")
        first = halves(ground.split)[:, None]
        boards = [attack.play(ground) for attack in attacks()]
        lefts = (None, *range(len(ground.split.sizes)))
        values[side] = np.array([[_by_half(board(left), first) for board in boards] for left in lefts])
    return Areas(values, ground.split.sizes.astype(np.float64))


def _by_half(board: Board, first: Mask) -> list[float]:
    return [area(*board.sides(half)) for half in (first, ~first)]


def _evidence(pools: Pools, policy: AuditPolicy, world: World) -> list[Evidence]:
    names = [f"membership.portfolio_auc@{world}", f"membership.portfolio_auc_excess@{world}"]
    try:
        found = areas(pools, policy, world)
        value, control, excess = found.chosen(world)
    except (BadInput, Unsupported) as error:
        return [Evidence.missing(name, error.message) for name in names]
    n_models, count = value.n, len(found.sizes)
    shared: dict[str, Any] = {"n": n_models, "unit": "models", "n_models": n_models, "seeds": policy.seeds}
    base = control.interval(bounds=(0.0, 1.0))
    at, over = value.interval(bounds=(0.0, 1.0)), excess.interval(bounds=(-1.0, 1.0))
    return [
        Evidence(
            name=names[0],
            estimator=f"{HOW}; 95 % jackknife over {count} blocks of models",
            value=at.value,
            low=at.low,
            high=at.high,
            null=Null(
                what="the same attacks on the reference", value=base.value, low=base.low, high=base.high, n=base.n
            ),
            **shared,
        ),
        Evidence(
            name=names[1],
            estimator=f"{HOW}; {world} − reference, in pairs of models; 95 % jackknife over {count} blocks of models",
            value=over.value,
            low=over.low,
            high=over.high,
            null=between_references(control),
            p_value=excess.p_value("higher"),
            power=excess.detectable(policy.alpha, policy.power),
            **shared,
        ),
    ]


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the evidence of the portfolio, before and after."""
    return [e for world in AUDITED for e in _evidence(pools, policy, world)]
