"""``Likeness``: how far the model after forgetting is from one retrained without the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from expunge.audit import arms, clustered
from expunge.audit.signals import Seen, seen
from expunge.core.canonical import Arrays, part_digest
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence
from expunge.core.roles import Floats, Model, Remembers

SAME = "The two models are equal by digest: this follows from it, and was computed as a check."
GROUPS = ("forgotten", "holdout")


def _fact(name: str, estimator: str, value: float, n: int, note: str | None = None) -> Evidence:
    return Evidence(name=name, estimator=estimator, value=value, low=value, high=value, n=n, unit="values", note=note)


def _size(arrays: Arrays) -> int:
    return sum(int(np.asarray(a).size) for a in arrays.values())


@dataclass(frozen=True)
class Likeness:
    """Equality of state and memory, largest difference of states, agreement of predictions, RMSE of losses and logits.

    Every measure compares an arm with the reference. ``@before`` is the negative control: where it shows no difference
    either, the records left no trace that this measure could see. The largest difference of states has none: before,
    it is a number about the forgotten records, often the largest of their values.

    Guarantee: none; digest equality is an exact fact about these two models, the rest are measurements.
    Cost: one prediction of forgotten and holdout records for each arm, one pass over the states.
    Source: spec M22–M25; digests: X07.
    """

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the measurements; without a reference each is said to be missing."""
        reference = case.reference
        if reference is None:
            names = ["equal", "memory_equal", "state_max_difference"]
            names += [f"{kind}_{group}" for group in GROUPS for kind in ("agreement", "loss_rmse", "logit_rmse")]
            return arms.no_reference(*(f"likeness.{name}@after" for name in names))
        found: list[Evidence] = []
        theirs = {"forgotten": seen(case, reference, case.forgotten), "holdout": seen(case, reference, case.holdout)}
        for arm, deployment in (("after", case.after), ("before", case.before)):
            equal = _equal(arm, deployment.model, reference.model)
            found.append(equal)
            if arm == "after":
                found.append(_memory_equal(deployment.model, reference.model))
                found.append(_state_difference(deployment.model.state(), reference.model.state()))
            for group, view in theirs.items():
                ours = seen(case, deployment, view.data)
                found += _behaviour(f"{group}@{arm}", ours, view, equal.value == 1)
        return found


def _equal(arm: str, model: Model, reference: Model) -> Evidence:
    same = float(model.digest() == reference.digest())
    return _fact(f"likeness.equal@{arm}", "digest equality of the states", same, _size(model.state()))


def _memory_equal(model: Model, reference: Model) -> Evidence:
    name = "likeness.memory_equal@after"
    if not isinstance(model, Remembers) or not isinstance(reference, Remembers):
        return Evidence.missing(name, "the model keeps no memory beside its state")
    memory = model.memory()
    same = float(part_digest(memory) == part_digest(reference.memory()))
    return _fact(name, "digest equality of what lets the model forget again", same, _size(memory))


def _state_difference(state: Arrays, reference: Arrays) -> Evidence:
    name = "likeness.state_max_difference@after"
    real = {k for arrays in (state, reference) for k, a in arrays.items() if np.asarray(a).dtype.kind == "f"}
    alike = [k for k in sorted(real) if k in state and k in reference and np.shape(state[k]) == np.shape(reference[k])]
    alike = [k for k in alike if np.asarray(state[k]).size]
    odd = len(real) - len(alike)
    if not alike:
        return Evidence.missing(name, f"none of the state's {odd} arrays of real numbers has one shape in both models")
    gap = max(float(np.abs(np.asarray(state[k], np.float64) - reference[k]).max()) for k in alike)
    if not np.isfinite(gap):
        return Evidence.missing(name, "the states hold values that are not finite")
    n = sum(int(np.asarray(state[k]).size) for k in alike)
    note = f"{odd} further arrays have other shapes or names and are not in this number." if odd else None
    return _fact(name, "largest absolute difference of the state's real numbers to the reference's", gap, n, note)


def _behaviour(where: str, ours: Seen, theirs: Seen, same: bool) -> list[Evidence]:
    """Return agreement, RMSE of losses and RMSE of logits on one group of records; ``where`` is ``group@arm``."""
    found: list[Evidence] = []
    try:
        found.append(_agreement(f"likeness.agreement_{where}", ours, theirs, same))
    except (BadInput, Unsupported) as error:
        found.append(Evidence.missing(f"likeness.agreement_{where}", error.message))
    for kind in ("loss", "logit"):
        name = f"likeness.{kind}_rmse_{where}"
        try:
            _several(ours.data)
            squares = (ours.losses - theirs.losses) ** 2 if kind == "loss" else _logit_squares(ours, theirs)
            found.append(_rmse(name, kind, squares, ours.data, same))
        except (BadInput, Unsupported) as error:
            found.append(Evidence.missing(name, error.message))
    return found


def _several(data: Dataset) -> None:
    if len(data) < 2:
        raise BadInput(f"{len(data)} such records: the result of a single record is not published")


def _comparable(ours: Seen, theirs: Seen) -> None:
    _several(ours.data)
    if ours.labels != theirs.labels or ours.logits.shape != theirs.logits.shape:
        raise Unsupported("the two models do not have the same classes")


def _agreement(name: str, ours: Seen, theirs: Seen, same: bool) -> Evidence:
    _comparable(ours, theirs)
    agree = (ours.predicted == theirs.predicted).astype(np.float64)
    estimator = "share of records with the same predicted class as the reference"
    if same and agree.all():
        return arms.evidence(name, estimator, Interval(1.0, 1.0, 1.0, len(agree)), SAME)
    owners = ours.data.subjects
    return arms.evidence(
        name, f"{estimator}; 95 % interval over owners", clustered.share(agree, owners), arms.owners_note(owners)
    )


def _logit_squares(ours: Seen, theirs: Seen) -> Floats:
    _comparable(ours, theirs)
    return np.asarray(((ours.logits - theirs.logits) ** 2).mean(axis=1), np.float64)


def _rmse(name: str, kind: str, squares: Floats, data: Dataset, same: bool) -> Evidence:
    estimator = f"root mean square difference of {kind}s to the reference's"
    if len(squares) and not squares.any():
        note = SAME if same else f"Zero on each of these {len(squares)} records; nothing is said of other records."
        return arms.evidence(name, estimator, Interval(0.0, 0.0, 0.0, len(squares)), note)
    single = len(np.unique(data.subjects)) < 2
    owners = np.arange(len(squares)) if single else data.subjects
    value, low, high, n = clustered.mean(squares).interval(owners, (0.0, np.inf))
    interval = Interval(float(np.sqrt(value)), float(np.sqrt(low)), float(np.sqrt(high)), n)
    how = "records" if single else "owners"
    return arms.evidence(name, f"{estimator}; 95 % interval over {how}", interval, arms.owners_note(data.subjects))
