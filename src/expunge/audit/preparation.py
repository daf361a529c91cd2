"""Before an audit: which policy it follows, what it will take, and its registration, before anything is measured."""

from __future__ import annotations

import math
import time
from pathlib import Path
from statistics import NormalDist
from typing import Any, Final

from expunge.audit.battery.run import GIVES
from expunge.audit.making import original, unlearned
from expunge.audit.pools import FORGOTTEN
from expunge.audit.scene import MEMBERS, SHARE, Scene
from expunge.audit.worlds import Numbers
from expunge.core import files
from expunge.core.errors import BadInput, MalformedEvidence
from expunge.core.policy import AuditPolicy, Question
from expunge.core.record import Record
from expunge.core.roles import Continues, Unlearner

REGISTERED: Final = "policy.json"
"""The policy as it was registered, beside what the audit writes."""

RELEARNING: Final = "relearning."
KNOWN: Final = (*(beginning for measure in GIVES.values() for beginning in measure), RELEARNING)
"""How the names of evidence begin."""

PAIRS_A_RECORD: Final = 6
"""With fewer pairs of models no record can be told apart at 5 % (spec M27)."""

_NORMAL: Final = NormalDist()


class Asked(Record):
    """What one question needs.

    Attributes:
        question: its name.
        margin: Δ.
        n_a_side: independent observations (a record in a model) on each side that show equivalence within Δ with the
            policy's power, if there is no difference at all.
        note: why it will hardly be answered, and what to do about it; "" where nothing stands against it.
    """

    question: str
    margin: float
    n_a_side: int
    note: str = ""


class Plan(Record):
    """What an audit will take, said before anything is trained.

    Attributes:
        policy: its digest.
        budget: as the policy says.
        n_models: before, and after.
        n_references: retrained.
        n_controls: retrained outside the null pool.
        n_fits: all of them.
        n_unlearnings: one for each original.
        looks: numbers of models at which the audit may stop.
        asked: what each question needs.
        seconds: for all models, one after the other; None where nothing was timed.
    """

    policy: str
    budget: str
    n_models: int
    n_references: int
    n_controls: int
    n_fits: int
    n_unlearnings: int
    looks: tuple[int, ...]
    asked: tuple[Asked, ...]
    seconds: float | None = None


def plan(policy: AuditPolicy, scene: Scene | None = None, unlearner: Unlearner | None = None) -> Plan:
    """Say what an audit will take; trains nothing, or one model where a scene is given.

    Args:
        policy: what is asked.
        scene: to time a fit and a prediction.
        unlearner: to time an unlearning.

    Cost: without a scene nothing; with one, one fit, one unlearning and two predictions.
    """
    numbers = Numbers.of(policy)
    controls = numbers.models if numbers.second else 0
    n_fits = numbers.models + numbers.references + controls
    return Plan(
        policy=policy.digest(),
        budget=policy.budget,
        n_models=numbers.models,
        n_references=numbers.references,
        n_controls=controls,
        n_fits=n_fits,
        n_unlearnings=numbers.models,
        looks=tuple(numbers.stages()),
        asked=tuple(_asked(q, policy, scene) for q in policy.questions),
        seconds=None if scene is None else _timed(scene, unlearner, n_fits, numbers.models),
    )


def _asked(question: Question, policy: AuditPolicy, scene: Scene | None) -> Asked:
    note = _obstacle(question.evidence, Numbers.of(policy).models, scene)
    return Asked(question=question.name, margin=question.margin, n_a_side=_a_side(question, policy), note=note)


def _obstacle(name: str, models: int, scene: Scene | None) -> str:
    """Return why evidence of this name will hardly be measured, "" where nothing is known to stand against it."""
    if not name.startswith(KNOWN):
        return f"nothing measures {name}: correct the name"
    together = scene is not None and scene.asked is not None
    pairs = models * MEMBERS * (1.0 if together else SHARE if scene is None else scene.share)
    if name.startswith("likeness.record_test") and pairs < PAIRS_A_RECORD:
        more = "" if together else ", or name the records (--forget)"
        needs = f"its own test needs {PAIRS_A_RECORD}"
        return f"{pairs:.2g} of {models} models forget a record, and {needs}: take a larger budget{more}"
    if name.startswith(RELEARNING) and scene is not None and not isinstance(scene.learner, Continues):
        learner = type(scene.learner).__name__
        return f"{learner} cannot go on training a model: not measured, so not clean, unless the policy leaves it out"
    return ""


def _a_side(question: Question, policy: AuditPolicy) -> int:
    """Return the observations a side for equivalence within the margin.

    The standard error must fall to Δ / (z(1 − α) + z((1 + power)/2)), 2.93 by default. An AUC of n and n has the
    variance 1/(6 n) at one half; a share, at worst, 1/(4 n), and a difference of two, 1/(2 n).
    """
    se = question.margin / (_NORMAL.inv_cdf(1 - policy.alpha) + _NORMAL.inv_cdf((1 + policy.power) / 2))
    return math.ceil((1 / 6 if "auc" in question.evidence else 1 / 2) / se**2)


def _timed(scene: Scene, unlearner: Unlearner | None, n_fits: int, n_unlearnings: int) -> float:
    roles = scene.roles([0])[0]
    began = time.perf_counter()
    deployment = original(scene, 0, roles)
    fitted = time.perf_counter()
    deployment.model.losses(scene.data)
    asked = time.perf_counter()
    gone = scene.data.ids[roles == FORGOTTEN].tolist()
    if unlearner is not None and gone:
        unlearned(unlearner, deployment, gone, scene)
    done = time.perf_counter()
    return n_fits * (asked - began) + n_unlearnings * (done - asked + asked - fitted)


def policy_of(path: Path | None, **changed: Any) -> AuditPolicy:
    """Read a policy.

    Args:
        path: a file of JSON; None = the default policy.
        changed: fields to set, where they are not None.

    Raises:
        BadInput: it is not a policy.
    """
    try:
        read = AuditPolicy() if path is None else AuditPolicy.from_bytes(path.read_bytes())
        given = {name: value for name, value in changed.items() if value is not None}
        return AuditPolicy.from_json(read.as_json() | given)
    except MalformedEvidence as error:
        raise BadInput(f"{path.name if path else 'the policy'}: {error.message}") from error


def register(policy: AuditPolicy, out: Path) -> AuditPolicy:
    """Return the policy that was registered in a folder; where none was, register this one.

    Args:
        policy: what is asked now.
        out: the folder of the audit.

    Raises:
        BadInput: what is registered there cannot be read.
    """
    path = out / REGISTERED
    if path.exists():
        return policy_of(path)
    files.write_durably(path, policy.canonical())
    return policy
