"""``World``: what one adversary may touch; every ability is None unless it was granted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from expunge.core.dataset import Dataset
from expunge.core.deployment import Deployment
from expunge.core.errors import Unsupported
from expunge.core.request import ForgetRequest, Id
from expunge.core.roles import Learner, Unlearner
from expunge.core.seeds import Key

Ability = TypeVar("Ability")
ALWAYS = ("seed", "arm")


@dataclass(frozen=True)
class Shadows:
    """The ability to run the provider's learner and unlearner on data of one's own."""

    learner: Learner
    unlearner: Unlearner

    def fitted(self, data: Dataset, key: Key) -> Deployment:
        """Return a deployment of the learner, fitted on these records."""
        return Deployment(self.learner, data, key, self.learner.fit(data, key))

    def forgot(self, deployment: Deployment, ids: Iterable[Id]) -> Deployment:
        """Return the deployment after the unlearner took these records out."""
        return self.unlearner.unlearn(deployment, ForgetRequest(records=tuple(ids))).after


@dataclass(frozen=True)
class World:
    """The abilities of one adversary: every field beside `seed` and `arm`; more are added as attacks need them.

    Attributes:
        seed: of everything that the attack draws.
        arm: which arm is being run (``attack``, ``twin``, ``control`` …); part of the evidence's names.
        shadows: run learner and unlearner on own data.
    """

    seed: int = 0
    arm: str = "attack"
    shadows: Shadows | None = None

    def only(self, needs: Iterable[str]) -> World:
        """Return the world with just these abilities: an attack that touches more than it declared fails at once.

        Raises:
            Unsupported: there is no such ability.
        """
        granted = {*needs}
        abilities = {f.name for f in fields(self)} - {*ALWAYS}
        if granted - abilities:
            raise Unsupported(f"no world has the ability {min(granted - abilities)!r}")
        taken: dict[str, Any] = dict.fromkeys(abilities - granted)
        return replace(self, **taken)


def granted(ability: Ability | None, name: str) -> Ability:
    """Return an ability.

    Raises:
        Unsupported: this world does not grant it.
    """
    if ability is None:
        raise Unsupported(f"this world does not grant the ability {name!r}", hint="Run the attack where it is granted.")
    return ability
