"""``examine``: a whole audit: models of three worlds, the battery, its controls, a verdict, and the record of all that.

The policy is registered before the first model is made; what is asked afterwards may only be stricter.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np

from expunge.audit import inside, worlds
from expunge.audit.battery.run import run, run_controls
from expunge.audit.bundle import Bundle
from expunge.audit.findings import Audited, AuditReport, Spent, report_of
from expunge.audit.making import original
from expunge.audit.pools import Pools
from expunge.audit.relearning import Relearning
from expunge.audit.scene import Scene
from expunge.audit.store import purge
from expunge.audit.viewing import views_of
from expunge.audit.worlds import Making, Numbers
from expunge.core.evidence import Evidence
from expunge.core.finding import findings_of
from expunge.core.guarantee import Guarantee
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Probe, Unlearner

ASSUMED: Final = (
    "the audited models are made by the learner and unlearner that made the model in use, on random parts of its data",
    "models are independent given the data, but for shadows that they share; blocks of models are left out for that",
)

SAID_ONLY: Final = "this takes the model itself, and a bundle has only what models said"
PROBES: Final[tuple[Probe, ...]] = (Relearning(),)


@dataclass(frozen=True)
class Subject:
    """What an audit is about, in words; and what looks into the model itself.

    Attributes:
        name: of the model.
        artefact: digest of the audited artefact, hex.
        level: what its statement claims; "" without one.
        precision: of the artefact.
        probes: what takes a model, and not only what it says: run on one original, its unlearned form and its
            retrained twin.
    """

    name: str = "the model"
    artefact: str = ""
    level: str = ""
    precision: str = "float32"
    probes: tuple[Probe, ...] = PROBES

    def said(self) -> dict[str, str]:
        """Return the fields of `Audited`."""
        return {"artefact": self.artefact, "level": self.level, "precision": self.precision}


def examine(
    scene: Scene,
    unlearner: Unlearner,
    policy: AuditPolicy,
    *,
    how: Making | None = None,
    registered: AuditPolicy | None = None,
    subject: Subject | None = None,
) -> tuple[AuditReport, Pools]:
    """Audit an unlearner on a scene, and return the auditor's report and the pools that it rests on.

    Args:
        scene: records, learner, draws.
        unlearner: what is audited.
        policy: what is asked.
        how: where models are kept and how they are made.
        registered: the policy as it was logged before the run.
        subject: what the report calls the model, and what looks into it.

    Raises:
        Unsupported: the unlearner cannot serve this learner.
        Interrupted: Ctrl-C; with a store, the same call goes on where it stopped.
    """
    how, subject, began = how or Making(), subject or Subject(), time.perf_counter()
    if how.store is not None and policy.retention_s is not None:
        purge(how.store, policy.retention_s)
    guarantee = unlearner.promise(original(scene, 0, scene.roles([0])[0]))
    numbers, stopped = Numbers.of(policy), None
    if not policy.sequential:
        numbers = replace(numbers, looks=())
    look = partial(_is_settled, policy=policy) if policy.sequential else None
    pools = worlds.pools_of(scene, {"audited": unlearner}, numbers, how, look)["audited"]
    n = len(pools.need("after"))
    if n < numbers.models:
        stopped = f"stopped at the look of {n} models, as registered: every question about what is left was decided"
    made = time.perf_counter()
    audited = Audited.of(pools, subject.name, method=repr(unlearner), learner=repr(scene.learner), **subject.said())
    measured = (
        *run(pools, policy),
        *inside.equality(scene, unlearner, guarantee),
        *inside.probed(scene, unlearner, subject.probes, policy),
    )
    report = _reported(
        pools,
        audited,
        guarantee,
        policy,
        measured,
        registered=registered,
        labels=scene.labels,
        cost=(
            Spent(what="models", seconds=made - began, models=2 * n + len(pools.need("reference"))),
            Spent(what="battery", seconds=time.perf_counter() - made),
        ),
        deviations=() if stopped is None else (stopped,),
        assumptions=ASSUMED,
    )
    return report, pools


def _is_settled(n: int, pools: Mapping[str, Pools], policy: AuditPolicy) -> bool:
    """Say whether every question about what is left, if it was measured, is decided at this look."""
    found, _ = findings_of(run(pools["audited"], policy.model_copy(update={"legacy": False})), policy)
    open_ones = [f for f in found if f.concern == "memory" and f.status != "not_measured"]
    return bool(open_ones) and all(f.status != "inconclusive" for f in open_ones)


def examine_bundle(
    bundle: Bundle,
    policy: AuditPolicy,
    *,
    registered: AuditPolicy | None = None,
    subject: Subject | None = None,
) -> AuditReport:
    """Audit what a stranger's models said, and return the auditor's report.

    Args:
        bundle: see `expunge.audit.bundle`.
        policy: what is asked.
        registered: the policy as it was logged before.
        subject: what the report calls the model.
    """
    began, subject = time.perf_counter(), subject or Subject("the model behind the bundle")
    measured = run(bundle.pools, policy)
    asked = [q.evidence for q in policy.questions if q.evidence.startswith("relearning.")]
    measured += tuple(Evidence.missing(name, SAID_ONLY) for name in asked)
    return _reported(
        bundle.pools,
        Audited.of(bundle.pools, subject.name, **subject.said()),
        bundle.described.guarantee(),
        policy,
        measured,
        registered=registered,
        labels=(),
        cost=(Spent(what="battery", seconds=time.perf_counter() - began),),
        assumptions=(f"the bundle {bundle.digest} says what the models said", *bundle.described.notes),
    )


def _reported(
    pools: Pools,
    audited: Audited,
    guarantee: Guarantee,
    policy: AuditPolicy,
    measured: tuple[Evidence, ...],
    **more: Any,
) -> AuditReport:
    """Add the controls and what is drawn."""
    labels = more.pop("labels")
    return report_of(
        audited,
        guarantee,
        policy,
        measured,
        controls=run_controls(pools, policy),
        seeds=policy.seeds,
        versions=versions(),
        views=views_of(pools, policy, labels),
        **more,
    )


def versions() -> tuple[str, ...]:
    """Return what the numbers were made with."""
    found = [f"python {sys.version.split()[0]}", f"numpy {np.__version__}"]
    for name in ("expunge", "scipy"):
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return tuple(found)
