"""Auditing the model in use: how good it is, and whether an attack tells its training records from strangers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from expunge.audit.membership import Membership
from expunge.audit.utility import Utility
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case, Deployment
from expunge.core.errors import Unsupported
from expunge.core.evidence import Evidence
from expunge.core.roles import Progress
from expunge.service.store import Store

SEED = "audit-store"
SAMPLED = "sampled training"
COMPARED = ("_excess@before", "_change@before")
"""Measures that compare with a second model, which an audit of one model does not have."""


def audit_store(
    root: Path, *, n_shadows: int = 16, n_sample: int = 1000, tick: Progress | None = None
) -> list[Evidence]:
    """Measure utility, and membership inference on a keyed sample of the training records.

    Args:
        root: the store.
        n_shadows: shadow models for LiRA; 0 for the loss attack only.
        n_sample: training records to attack (whole owners, about this many).
        tick: called after each shadow.

    Raises:
        Unsupported: the store has no holdout to compare with.
    """
    with Store.open(root) as store:
        deployment = store.deployment()
        cache = store.layout.cache / "shadows"
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        case = current_case(deployment, n_shadows, n_sample)
        probes = (Utility(), Membership(cache=cache, progress=tick))
        found = [e for probe in probes for e in probe.measure(case)]
    return [renamed(e) for e in found if e.name.endswith("@before") and not e.name.endswith(COMPARED)]


def current_case(deployment: Deployment, n_shadows: int, n_sample: int) -> Case:
    """Return the case of a model that has forgotten nothing: a sample of its records stands where the forgotten do.

    Raises:
        Unsupported: there is no holdout.
    """
    if deployment.holdout is None:
        raise Unsupported("the store was trained without a holdout, so there is nothing to compare with")
    return Case(
        before=deployment,
        after=deployment,
        forgotten=keyed_sample(deployment, n_sample),
        holdout=deployment.holdout,
        n_shadows=n_shadows,
        seed=SEED,
    )


def keyed_sample(deployment: Deployment, n: int) -> Dataset:
    """Return about n training records, whole owners in the order of their keyed hash."""
    data = deployment.data
    owners, which = np.unique(data.subjects, return_inverse=True)
    order = np.argsort(deployment.key.words(owners.tolist(), "sample"), kind="stable")
    reached = int(np.searchsorted(np.cumsum(np.bincount(which)[order]), n)) + 1
    chosen = np.zeros(len(owners), bool)
    chosen[order[:reached]] = True
    return data.take(chosen[which])


def renamed(evidence: Evidence) -> Evidence:
    """Return evidence called what it is here: of the model now, on training records where probes say forgotten ones."""
    name = evidence.name.removesuffix("@before").replace("forgotten_accuracy", "training_accuracy") + "@now"
    note = None if evidence.note is None else evidence.note.replace("forgotten", SAMPLED)
    estimator = evidence.estimator.replace("forgotten", SAMPLED)
    return evidence.model_copy(update={"name": name, "note": note, "estimator": estimator})
