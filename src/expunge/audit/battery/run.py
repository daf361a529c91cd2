"""Run the battery: every measure on the same pools, in a fixed order; what fails is missing by name (W3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Final, Protocol, cast, get_args

from expunge.audit.pools import Pool, Pools
from expunge.core.errors import ExpungeError, Interrupted
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy, ControlKind
from expunge.core.verdict import ControlRun

GIVES: Final[dict[str, tuple[str, ...]]] = {
    "accuracy": ("utility.",),
    "ulira": ("membership.ulira_", "membership.lira_"),
    "records": ("likeness.record_test",),
    "epsilon": ("likeness.epsilon_lower_bound",),
    "rmia": ("membership.rmia_",),
    "population": ("membership.population_",),
    "iam": ("membership.iam_",),
    "ruli": ("membership.ruli_",),
    "portfolio": ("membership.portfolio_",),
    "bystanders": ("bystanders.",),
    "likeness": ("likeness.agreement_", "likeness.phi_", "likeness.logit_"),
    "outputs": ("likeness.js_", "likeness.activation_"),
    "untrained": ("likeness.zrf",),
    "quality": ("likeness.forgetting_",),
    "klom": ("likeness.klom", "likeness.gaussian_kl_", "likeness.energy_"),
    "composites": ("composite.",),
    "legacy_attacks": ("membership.svc_", "membership.entropy_", "membership.shokri_"),
}
"""Measure, by the name of its file in this folder → how the names of its evidence begin."""

ALL: Final = tuple(GIVES)
"""The measures; reports keep this order."""

KINDS: Final[tuple[ControlKind, ...]] = get_args(ControlKind)
"""A control is named by its kind, with or without more behind a space: ``retrain``, ``retrain 2``, ``random init``."""


class Measure(Protocol):
    """A file of this folder that contributes evidence."""

    def measure(self, pools: Pools, policy: AuditPolicy) -> list[Evidence]:
        """Return evidence about the pools."""


def run(pools: Pools, policy: AuditPolicy, measures: Sequence[str] = ALL) -> tuple[Evidence, ...]:
    """Return the evidence of the measures.

    A measure that raises, on purpose or by surprise, or that needs a library which is not installed, is one
    ``not_measured`` record named ``<measure>.measure@after`` with the error's code; so is one that gives a name that
    another gave before. An interruption ends the run.

    Args:
        pools: what the models say.
        policy: what is asked, and the seeds.
        measures: files of this folder, in the order of the evidence.
    """
    found: dict[str, Evidence] = {}
    for name in measures:
        given = _measured(name, pools, policy)
        twice = _twice(given, found)
        if twice:
            given = [_lost(name, f"duplicate-name: {', '.join(twice)} had been measured before")]
        found.update((e.name, e) for e in given)
    return tuple(found.values())


def run_controls(pools: Pools, policy: AuditPolicy, measures: Sequence[str] = ALL) -> tuple[ControlRun, ...]:
    """Return the battery's evidence on the controls at hand: the original in the place of ``after``, and those given.

    Args:
        pools: of the audit; those of its `controls` that are named by a kind are run (see `KINDS`).
        policy: as for `run`; legacy forms are left out.
        measures: as for `run`; only those run that answer a question of the policy.

    Cost: that of those measures, once a control.
    """
    plain, needed = policy.model_copy(update={"legacy": False}), [m for m in measures if answers(m, policy)]
    before = pools.get("before")
    given: dict[str, Pool] = ({} if before is None else {"no-op": before}) | pools.controls
    kinds = {name: next((k for k in KINDS if name.split(" ")[0] == k), None) for name in given}
    return tuple(
        ControlRun(kind=kind, evidence=run(pools.judging(given[name]), plain, needed))
        for name, kind in kinds.items()
        if kind is not None
    )


def answers(measure: str, policy: AuditPolicy) -> bool:
    """Say whether a measure gives evidence on a question of the policy; of one that is not ours it may."""
    asked = [name for q in (*policy.questions, *policy.watches) for name in (q.evidence, q.worst) if name]
    return measure not in GIVES or any(name.startswith(GIVES[measure]) for name in asked)


def _measured(name: str, pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    try:
        measure = cast(Measure, import_module(f"{__package__}.{name}"))
        return list(measure.measure(pools, policy))
    except Interrupted:
        raise
    except ExpungeError as error:
        return [_lost(name, f"{error.code}: {error.message}")]
    except Exception as error:  # a surprise loses its own measure, not the audit
        return [_lost(name, f"unexpected {type(error).__name__}: {error}")]


def _lost(name: str, why: str) -> Evidence:
    return Evidence.missing(f"{name}.measure@after", why)


def _twice(given: Iterable[Evidence], found: dict[str, Evidence]) -> list[str]:
    """Return names that were given before, or more than once."""
    seen = set(found)
    return [e.name for e in given if e.name in seen or seen.add(e.name)]  # type: ignore[func-returns-value]
