"""``Utility``: how good the model is on records that it never saw, before and after, beside a retrained one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from expunge.audit import arms, clustered, signals
from expunge.audit.clustered import Measured, Owners
from expunge.audit.signals import Seen
from expunge.core import estimates
from expunge.core.deployment import Case
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence
from expunge.core.roles import Floats


@dataclass(frozen=True)
class _Measure:
    """One measure of utility: how it is computed, in words and in code, and its range."""

    name: str
    estimator: str
    compute: Callable[[Seen], Measured]
    bounds: tuple[float, float] = (-np.inf, np.inf)


def _accuracy(seen: Seen) -> Measured:
    return clustered.mean(seen.correct)


def _loss(seen: Seen) -> Measured:
    return clustered.mean(seen.losses)


def _auc(seen: Seen) -> Measured:
    scores, true = seen.logits, seen.truth
    if scores.shape[1] == 2:
        return clustered.auc(scores[:, 1] - scores[:, 0], true == 1)
    odds = [signals.margins(scores, np.full(len(scores), j)) for j in range(scores.shape[1])]
    counts = np.bincount(true[true >= 0], minlength=len(odds))
    usable = [j for j in range(len(odds)) if 2 <= counts[j] <= len(true) - 2]
    if not usable:
        raise BadInput("no class has two records on each side")
    return clustered.average([clustered.auc(odds[j], true == j) for j in usable])


def _r2(seen: Seen) -> Measured:
    if seen.data.target is None:
        raise Unsupported("the records have no target")
    return clustered.explained(seen.losses, np.asarray(seen.data.target.values, np.float64))


_OVER = "95 % t interval over owners"
_LOSS = _Measure("loss", f"mean loss on the holdout, nats; {_OVER}", _loss)
_CLASSES = (
    _Measure("accuracy", f"share of holdout records classified correctly; {_OVER}", _accuracy, (0.0, 1.0)),
    _Measure("auc", f"AUC on the holdout (macro one-vs-rest beyond two classes), DeLong; {_OVER}", _auc, (0.0, 1.0)),
    _LOSS,
)
_NUMBERS = (
    _Measure("mse", f"mean squared error on the holdout; {_OVER}", _loss, (0.0, np.inf)),
    _Measure("r2", f"R² on the holdout, by linearisation; {_OVER}", _r2, (-np.inf, 1.0)),
)


@dataclass(frozen=True)
class Utility:
    """Accuracy, AUC and loss (or MSE and R²) on the holdout by arm, paired differences, accuracy on the forgotten.

    Differences: ``…_change@after`` is after − before, ``…_excess@after`` is after − reference, on the same records.

    Guarantee: none; a measurement. The intervals cover which holdout owners were drawn, not the training randomness.
    Cost: one prediction of holdout and forgotten records for each arm.
    Source: spec M01, M02; intervals for clustered data: linearised ratio estimator, Obuchowski (1997) for the AUC.
    """

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the measurements; what a model cannot give is said."""
        target = case.holdout.target
        measures = (_LOSS,) if target is None else _CLASSES if target.kind == "category" else _NUMBERS
        seen = {arm: signals.seen(case, deployment, case.holdout) for arm, deployment in arms.each(case)}
        equal = arms.equal_to_reference(case)
        found: list[Evidence] = []
        for measure in measures:
            found += _holdout(measure, seen, equal)
        if signals.is_category(case.forgotten):
            found += _forgotten(case)
        return found


def _holdout(measure: _Measure, seen: Mapping[str, Seen], equal: bool) -> list[Evidence]:
    name = f"utility.{measure.name}"
    names = [f"{name}@{arm}" for arm in arms.NAMES]
    names += [f"{name}_change@after", f"{name}_excess@after"]
    try:
        results = {arm: measure.compute(view) for arm, view in seen.items()}
        return _of_arms(measure, results, seen["after"].data.subjects, equal)
    except (BadInput, Unsupported) as error:
        return [Evidence.missing(name, error.message) for name in names]


def _of_arms(measure: _Measure, results: Mapping[str, Measured], owners: Owners, equal: bool) -> list[Evidence]:
    name = f"utility.{measure.name}"
    intervals = {arm: _interval(measure, result, owners) for arm, result in results.items()}
    control = arms.control(intervals.get("reference"))
    found = [
        arms.evidence(f"{name}@{arm}", measure.estimator, interval, null=control if arm == "after" else None)
        for arm, interval in intervals.items()
    ]
    change = _difference(measure, results["after"].minus(results["before"]), owners, exact=False)
    found.append(arms.evidence(f"{name}_change@after", "after − before on the same records; " + _OVER, *change))
    if "reference" not in results:
        return found + arms.no_reference(f"{name}@reference", f"{name}_excess@after")
    excess = _difference(measure, results["after"].minus(results["reference"]), owners, exact=equal)
    found.append(arms.evidence(f"{name}_excess@after", "after − reference on the same records; " + _OVER, *excess))
    return found


def _interval(measure: _Measure, result: Measured, owners: Owners) -> Interval:
    """Return the interval; a share that is 0 or 1 in every record is not taken for certain."""
    found = result.interval(owners, measure.bounds)
    if measure.bounds == (0.0, 1.0) and result.value in (0.0, 1.0):
        return estimates.around(result.value, len(np.unique(owners)), found.n)
    return found


def _difference(measure: _Measure, result: Measured, owners: Owners, *, exact: bool) -> tuple[Interval, str | None]:
    """Return the interval of a paired difference, and what must be said where no record shows one."""
    n = len(result.influence)
    if exact and result.value == 0:
        return Interval(0.0, 0.0, 0.0, n), arms.EXACT_NOTE
    found = result.interval(owners)
    if found.low < found.high:
        return found, None
    if measure.name != "accuracy":
        return found, f"Not one of these {n} records shows a difference; nothing is said of other records."
    tail = estimates.proportion(0, len(np.unique(owners))).high
    note = (
        f"Not one of these {n} records differs; the interval is Clopper–Pearson's for the share of owners that would."
    )
    return Interval(found.value, found.value - tail, found.value + tail, n), note


def _forgotten(case: Case) -> list[Evidence]:
    data, owners = case.forgotten, case.forgotten.subjects
    name = "utility.forgotten_accuracy"
    if len(data) < 2:
        why = f"{len(data)} forgotten records: the result of a single record is not published"
        return [Evidence.missing(f"{name}@{arm}", why) for arm in arms.NAMES]
    try:
        correct: dict[str, Floats] = {
            arm: signals.seen(case, deployment, data).correct for arm, deployment in arms.each(case)
        }
    except (BadInput, Unsupported) as error:
        return [Evidence.missing(f"{name}@{arm}", error.message) for arm in arms.NAMES]
    single = len(np.unique(owners)) < 2
    how = "Wilson or Clopper–Pearson over records" if single else "over owners"
    intervals = {arm: clustered.share(values, owners) for arm, values in correct.items()}
    control = arms.control(intervals.get("reference"))
    found = [
        arms.evidence(
            f"{name}@{arm}",
            f"share of forgotten records classified correctly; 95 % interval {how}",
            interval,
            arms.owners_note(owners),
            control if arm == "after" else None,
        )
        for arm, interval in intervals.items()
    ]
    return found if case.reference is not None else found + arms.no_reference(f"{name}@reference")
