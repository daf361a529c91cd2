"""``Entry``: one line of the menu, in plain strings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from expunge.core.guarantee import GuaranteeKind

Role = Literal["learner", "unlearner", "probe", "attack", "screen"]
ROLES: tuple[Role, ...] = get_args(Role)


@dataclass(frozen=True)
class Entry:
    """One line of the menu.

    Attributes:
        role: which role it plays (`expunge.core.roles`).
        name: how it is asked for.
        target: ``module:Class``.
        sentence: what it does, in one line.
        kind: the guarantee kind of an unlearner; None for other roles and for plug-ins.
        needs: the extra that must be installed; empty for none.
        origin: the distribution that brings it.
        tags: what else should be known; ``not-toward-retrain``: its defaults move records away from retraining.
    """

    role: Role
    name: str
    target: str
    sentence: str
    kind: GuaranteeKind | None = None
    needs: str = ""
    origin: str = "expunge"
    tags: tuple[str, ...] = ()
