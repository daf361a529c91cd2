"""Auditing what a store's unlearner leaves behind, on many models that are made like the one in use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from expunge import catalog
from expunge.audit.examine import Subject, examine
from expunge.audit.findings import AuditReport
from expunge.audit.pools import Pools
from expunge.audit.scene import Scene, scene
from expunge.audit.store import purge
from expunge.audit.worlds import Making
from expunge.core.deployment import Deployment
from expunge.core.errors import Unsupported
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Unlearner
from expunge.service.store import Store
from expunge.service.tables import read_ids

SIGNALS: Final = "signals"
"""The folder of an audit's models in a store's cache."""


def examine_store(
    root: Path,
    policy: AuditPolicy,
    *,
    register: Callable[[], AuditPolicy] | None = None,
    unlearner: str | None = None,
    forget: Path | None = None,
    how: Making | None = None,
) -> tuple[AuditReport, Pools]:
    """Audit what a store's unlearner leaves behind, on models that are made like the one in use.

    Signals are kept in the store's cache, which the next request to forget empties.

    Args:
        root: the store.
        policy: what is asked.
        register: returns the policy as it was logged; called when all that was asked for has been found to serve, and
            before the first model is made. None = it was not logged.
        unlearner: its name in the catalogue; None = what forgets here.
        forget: a file of record ids that are forgotten together; None = a fifth of each model's records.
        how: how the models are made; where they are kept is set here.

    Raises:
        Unsupported: the unlearner cannot serve this model.
    """
    with Store.open(root) as store:
        deployment = store.deployment()
        cache = store.layout.cache / SIGNALS
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        method = unlearner_of(deployment, unlearner)
        room = scene_of(deployment, policy, forget)
        subject = Subject("the model in use", artefact=deployment.model.digest(), precision=_precision(deployment))
        return examine(
            room,
            method,
            policy,
            how=replace(how or Making(), store=cache),
            registered=None if register is None else register(),
            subject=subject,
        )


def _precision(deployment: Deployment) -> str:
    """Return the precision that most of a model's numbers have."""
    numbers = [array for array in deployment.model.state().values() if array.dtype.kind == "f"]
    return str(max(numbers, key=lambda array: array.size).dtype) if numbers else "float64"


def scene_of(deployment: Deployment, policy: AuditPolicy, forget: Path | None = None) -> Scene:
    """Return the scene of a deployment's audit; its models have keys of their own."""
    ids = None if forget is None else read_ids(forget, deployment.data)
    key = deployment.key.child(f"audit/{policy.seeds[0]}")
    return scene(deployment.data, deployment.learner, key, holdout=deployment.holdout, forget=ids)


def unlearner_of(deployment: Deployment, name: str | None = None) -> Unlearner:
    """Return an unlearner by name, or the first of the exact ones that serves a deployment.

    Raises:
        Unsupported: it does not serve this deployment.
    """
    if name is not None:
        asked: Unlearner = catalog.build("unlearner", name)
        asked.promise(deployment)
        return asked
    try:
        return unlearner_of(deployment, "native")
    except Unsupported:
        return unlearner_of(deployment, "retrain")


def purge_signals(root: Path) -> int:
    """Delete what audits kept, in a store or in a folder of its own; return how many sets of models went."""
    return purge(root / "cache" / SIGNALS) + purge(root)
