"""What takes the models themselves, and not only what they say: equal digests, and probes of one model and its twin."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from expunge.audit.making import original, unlearned
from expunge.audit.pools import FORGOTTEN, KEPT
from expunge.audit.scene import Scene
from expunge.core.deployment import Case, Deployment
from expunge.core.errors import ExpungeError, Interrupted
from expunge.core.estimates import Interval, proportion
from expunge.core.evidence import Evidence
from expunge.core.guarantee import Guarantee
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Probe, Unlearner

COMPARED: Final = 3
"""Models that are compared by digest."""

SEARCHED: Final = 64
"""Rows that are looked through for one that has something to forget."""

Row = npt.NDArray[np.uint8]


def equality(scene: Scene, unlearner: Unlearner, guarantee: Guarantee) -> tuple[Evidence, ...]:
    """Return, for an exact promise, how many models after unlearning have the digest of a retrained one.

    Args:
        scene: records, learner, draws.
        unlearner: what is audited.
        guarantee: its promise.

    Source: V5. Equality of law, not of bits, is for tests of distributions; it is not asked for here.
    """
    name = "likeness.equal@after"
    if guarantee.kind != "exact" or guarantee.grade == "law":
        return ()
    equal = n = 0
    for row, roles in _forgetting(scene, COMPARED):
        deployment = original(scene, row, roles)
        after = unlearned(unlearner, deployment, _gone(scene, roles), scene)
        again = scene.learner.fit(scene.data.take(roles == KEPT), deployment.key)
        equal, n = equal + (after.digest() == again.digest()), n + 1
    if not n:
        return (Evidence.missing(name, "no model had anything to forget"),)
    share = equal / n
    value, low, high, _ = proportion(equal, n) if 0 < equal < n else Interval(share, share, share, n)
    how = "share of models whose digest is that of a retrained one with the same key"
    return (Evidence(name=name, estimator=how, value=value, low=low, high=high, n=n, unit="models"),)


def probed(scene: Scene, unlearner: Unlearner, probes: Sequence[Probe], policy: AuditPolicy) -> tuple[Evidence, ...]:
    """Return what probes measure on one original, its unlearned form and its retrained twin.

    A probe that raises is one ``not_measured`` record with the error's code (W3).

    Args:
        scene: records, learner, draws; the population is the holdout.
        unlearner: what is audited.
        probes: what to run.
        policy: the seeds.
    """
    found = next(_forgetting(scene, 1), None)
    if found is None or not probes:
        return ()
    case = case_of(scene, unlearner, *found, seed=policy.seeds[0])
    return tuple(e for probe in probes for e in _measured(probe, case))


def case_of(scene: Scene, unlearner: Unlearner, row: int, roles: Row, *, seed: str) -> Case:
    """Return the case of one row: its original, unlearned, and retrained with the key of the reference."""
    before, kept = original(scene, row, roles), scene.data.take(roles == KEPT)
    holdout = scene.data.take(scene.population)
    key = scene.key_of("reference", row)
    again = Deployment(scene.learner, kept, key, scene.learner.fit(kept, key), holdout)
    model = unlearned(unlearner, before, _gone(scene, roles), scene)
    return Case(
        before=replace(before, holdout=holdout),
        after=replace(before, data=kept, model=model, holdout=holdout),
        forgotten=scene.data.take(roles == FORGOTTEN),
        holdout=holdout,
        reference=again,
        seed=seed,
    )


def _measured(probe: Probe, case: Case) -> Sequence[Evidence]:
    name = f"{type(probe).__name__.lower()}.measure@after"
    try:
        return probe.measure(case)
    except Interrupted:
        raise
    except ExpungeError as error:
        return [Evidence.missing(name, f"{error.code}: {error.message}")]
    except Exception as error:  # a surprise loses its own measure, not the audit
        return [Evidence.missing(name, f"unexpected {type(error).__name__}: {error}")]


def _forgetting(scene: Scene, n: int) -> Iterator[tuple[int, Row]]:
    """Yield the first rows that have something to forget."""
    for row, roles in enumerate(scene.roles(range(SEARCHED))):
        if n and (roles == FORGOTTEN).any():
            n -= 1
            yield row, roles


def _gone(scene: Scene, roles: Row) -> list[int | str]:
    return scene.data.ids[roles == FORGOTTEN].tolist()  # type: ignore[no-any-return]
