"""One membership attack's scores, and the evidence that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from expunge.audit import arms, clustered
from expunge.audit.clustered import Mask
from expunge.core import estimates
from expunge.core.errors import BadInput
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence
from expunge.core.roles import Floats

FPR = 0.01
ENOUGH_SHADOWS = 64
"""With fewer, the noise between sets of shadows, which no interval here covers, may matter for a decision."""

MEASURES = ("auc", "tpr_1pct")


@dataclass(frozen=True)
class Scored:
    """One attack's scores; larger = more like a member.

    Attributes:
        attack: ``loss`` or ``lira``.
        estimator: how it works, in words.
        scores: arm → shape (n,).
        positive: shape (n,): forgotten (True) or holdout.
        owners: shape (n,).
        equal: whether after and reference are the same model by digest.
        n_models: shadow models used.
        seeds: of the randomness.
    """

    attack: str
    estimator: str
    scores: Mapping[str, Floats]
    positive: Mask
    owners: npt.NDArray[Any]
    equal: bool
    n_models: int | None = None
    seeds: tuple[str, ...] = ()


def missing(attack: str, why: str) -> list[Evidence]:
    """Return the evidence of an attack that could not be run."""
    names = [f"membership.{attack}_{measure}@{arm}" for measure in MEASURES for arm in arms.NAMES]
    names += [f"membership.{attack}_auc_excess@{arm}" for arm in ("before", "after")]
    return [Evidence.missing(name, why) for name in names]


def evidence(attack: Scored) -> list[Evidence]:
    """Return AUC, excess over the reference and TPR at 1 % FPR, one an arm."""
    return [*_areas(attack), *_rates(attack)]


def _record(attack: Scored, name: str, interval: Interval, how: str, **more: Any) -> Evidence:
    value, low, high, n = interval
    return Evidence(
        name=f"membership.{attack.attack}_{name}",
        estimator=f"{attack.estimator}; {how}",
        value=value,
        low=low,
        high=high,
        n=n,
        n_models=attack.n_models,
        seeds=attack.seeds,
        **more,
    )


def _areas(attack: Scored) -> list[Evidence]:
    positive, owners = attack.positive, attack.owners
    measured = {arm: clustered.auc(scores, positive) for arm, scores in attack.scores.items()}
    intervals = {arm: clustered.auc_interval(m, positive, owners) for arm, m in measured.items()}
    control = arms.control(intervals.get("reference"))
    how, note = "95 % DeLong interval over owners", _note(attack)
    found = [
        _record(attack, f"auc@{arm}", i, how, note=note, null=control if arm == "after" else None)
        for arm, i in intervals.items()
    ]
    name = f"membership.{attack.attack}_auc"
    if "reference" not in measured:
        return found + arms.no_reference(f"{name}@reference", f"{name}_excess@before", f"{name}_excess@after")
    for arm in ("before", "after"):
        difference = measured[arm].minus(measured["reference"])
        said = note
        if arm == "after" and attack.equal and difference.value == 0:
            interval, said = Interval(0.0, 0.0, 0.0, len(owners)), arms.EXACT_NOTE
        else:
            interval = clustered.auc_interval(difference, positive, owners, like=intervals[arm])
        found.append(_record(attack, f"auc_excess@{arm}", interval, f"{arm} − reference, paired; {how}", note=said))
    return found


def _note(attack: Scored) -> str:
    members, others = (clustered.n_units(attack.owners[rows]) for rows in (attack.positive, ~attack.positive))
    smallest = 0.5 + estimates.detectable_auc(members, others)
    power = f"An AUC below {min(smallest, 1):.3f} could go unseen (80 % power, one-sided 5 %)."
    return " ".join(filter(None, (arms.owners_note(attack.owners[attack.positive]), power, _few_shadows(attack))))


def _few_shadows(attack: Scored) -> str | None:
    """Return what must be said of an estimate from few shadow models; None otherwise."""
    if attack.n_models is None or attack.n_models >= ENOUGH_SHADOWS:
        return None
    return (
        f"With {attack.n_models} shadow models the estimate itself moves from one set of shadows to the next, which "
        f"the interval leaves out; use {ENOUGH_SHADOWS} or more for a decision."
    )


def _rates(attack: Scored) -> list[Evidence]:
    positive = attack.positive
    name = f"membership.{attack.attack}_tpr_1pct"
    try:
        intervals = {arm: estimates.tpr_at(s[positive], s[~positive], FPR) for arm, s in attack.scores.items()}
    except BadInput as error:
        return [Evidence.missing(f"{name}@{arm}", error.message) for arm in arms.NAMES]
    control = arms.control(intervals.get("reference"))
    note = " ".join(filter(None, (arms.owners_note(attack.owners[positive]), _few_shadows(attack)))) or None
    found = [
        _record(
            attack,
            f"tpr_1pct@{arm}",
            interval,
            "true positive rate at 1 % false positives; Wilson or Clopper–Pearson over the forgotten records",
            note=note,
            null=control if arm == "after" else None,
        )
        for arm, interval in intervals.items()
    ]
    return found if "reference" in intervals else found + arms.no_reference(f"{name}@reference")
