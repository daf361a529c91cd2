"""``Relearning``: how soon what was forgotten is learnt again, beside a model that never learnt it.

Memory that is hidden and not gone shows here: shown a few of the forgotten records, such a model soon knows the others
again. A model retrained without them learns them again as well, only slower; the difference is the measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expunge.audit import arms, clustered, signals
from expunge.core import estimates
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case, Deployment
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence
from expunge.core.models import class_labels
from expunge.core.roles import Continues, Floats, Model, Predicts
from expunge.core.seeds import Key

PRIMARY = 3
"""Forgotten records shown in the primary measure."""


@dataclass(frozen=True)
class Relearning:
    """Recovery after a few steps on a few of the forgotten records, and passes until they are known as before.

    *Recovery* (M29): the model goes on training on k forgotten and some kept records; the value is its accuracy on the
    forgotten records that it was not shown. *Relearn time* (M28): passes over all forgotten records until the accuracy
    on them is 95 % of the original's.

    Attributes:
        shown: k of each recovery; 0 = kept records alone.
        n_kept: kept records beside.
        n_steps: steps of one batch.
        n_draws: how often the k records are drawn.
        most_passes: after which relearning is given up.
        alpha: how much less accurate than the original still counts as known.

    Guarantee: none; a measurement. All models are copies: before, after and reference stay as they are (W1).
    Cost: ``n_draws · len(shown) · n_steps`` steps an arm, and up to `most_passes` passes over the forgotten records.
    Source: spec M28 (relearn time, anamnesis index), M29 (recovery), attack A07; Golatkar et al. (2020), Chundawat et
        al. (2023), Hu et al. (ICLR 2025).
    """

    shown: tuple[int, ...] = (0, 1, 3, 10)
    n_kept: int = 64
    n_steps: int = 20
    n_draws: int = 5
    most_passes: int = 100
    alpha: float = 0.05

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the measurements; what cannot be measured is said."""
        try:
            learner = _continuing(case)
            labels = class_labels(case.before.data)
        except (BadInput, Unsupported) as error:
            return [Evidence.missing(name, error.message) for name in self._names()]
        return [*self._recoveries(case, learner, labels), *self._times(case, learner, labels)]

    def _names(self) -> list[str]:
        every = [f"relearning.recovery_k{k}@{arm}" for k in self.shown for arm in arms.NAMES]
        more = ["relearning.recovery_excess@after", "relearning.recovery_excess@before"]
        return [*every, *more, *(f"relearning.passes@{arm}" for arm in arms.NAMES), "relearning.anamnesis@after"]

    def _recoveries(self, case: Case, learner: Continues, labels: tuple[str, ...]) -> list[Evidence]:
        found: list[Evidence] = []
        for k in self.shown:
            names = [f"relearning.recovery_k{k}@{arm}" for arm in arms.NAMES]
            if len(case.forgotten) < k + 2:
                why = f"{len(case.forgotten)} forgotten records are too few to show {k} and ask about others"
                found += [Evidence.missing(name, why) for name in names]
                continue
            known = {arm: self.recovered(learner, d.model, case, k, labels) for arm, d in arms.each(case)}
            found += self._recovery(case, k, known)
        if not any(e.name.startswith("relearning.recovery_excess") for e in found):
            why = f"it is taken at {PRIMARY} shown records, beside a reference"
            found += [Evidence.missing(f"relearning.recovery_excess@{arm}", why) for arm in ("after", "before")]
        return found

    def _recovery(self, case: Case, k: int, known: dict[str, Floats]) -> list[Evidence]:
        owners, how = case.forgotten.subjects, f"accuracy on forgotten records after {self.n_steps} steps on {k} others"
        how += f" and {self.n_kept} kept records; {self.n_draws} draws"
        note = arms.owners_note(owners)
        shares = {arm: share(values, owners) for arm, values in known.items()}
        control = arms.control(shares.get("reference"))
        found = [
            arms.evidence(f"relearning.recovery_k{k}@{arm}", how, share, note, control if arm == "after" else None)
            for arm, share in shares.items()
        ]
        if "reference" not in known:
            return found + arms.no_reference(f"relearning.recovery_k{k}@reference")
        if k == PRIMARY:
            for arm in ("after", "before"):
                gap = known[arm] - known["reference"]
                name = f"relearning.recovery_excess@{arm}"
                found.append(arms.evidence(name, f"{arm} − reference; {how}", gap_interval(gap, owners), note))
        return found

    def recovered(self, learner: Continues, model: Model, case: Case, k: int, labels: tuple[str, ...]) -> Floats:
        """Return how often each forgotten record was known after others were shown, shape (m,); NaN where always shown.

        Args:
            learner: goes on training.
            model: where to start.
            case: forgotten and kept records, and the seed of the draws.
            k: forgotten records shown.
            labels: the classes, in the order of the logits.
        """
        gone = set(case.forgotten.ids.tolist())
        kept = case.after.data.take(~np.isin(case.after.data.ids, case.forgotten.ids)) if gone else case.after.data
        right, asked = np.zeros(len(case.forgotten)), np.zeros(len(case.forgotten))
        for draw in range(self.n_draws):
            key = case.before.key.child(f"{case.seed}/relearning/{k}/{draw}")
            shown = some_rows(case.forgotten, k, key.child("forgotten"))
            others = some_rows(kept, self.n_kept, key.child("kept"))
            again = kept.take(others).joined(case.forgotten.take(shown)) if k else kept.take(others)
            after = learner.going_on(model, again, self.n_steps, key)
            correct = _correct(after, case.forgotten, labels)
            unseen = ~np.isin(np.arange(len(case.forgotten)), shown)
            right[unseen] += correct[unseen]
            asked[unseen] += 1
        shares: Floats = np.divide(right, asked, out=np.full(len(right), np.nan), where=asked > 0)
        return shares

    def _times(self, case: Case, learner: Continues, labels: tuple[str, ...]) -> list[Evidence]:
        goal = (1 - self.alpha) * float(_correct(case.before.model, case.forgotten, labels).mean())
        passes = {arm: self._passes(learner, d, case, labels, goal) for arm, d in arms.each(case)}
        how = f"passes over the forgotten records until their accuracy is {goal:.3g}; {self.most_passes} = given up"
        found = [_once(f"relearning.passes@{arm}", how, n) for arm, n in passes.items()]
        if "reference" not in passes:
            return found + arms.no_reference("relearning.passes@reference", "relearning.anamnesis@after")
        index = (passes["after"] + 0.01) / (passes["reference"] + 0.01)
        said = "passes after / passes of the reference; 1 is ideal, below 1 residue, far above 1 overshoot"
        return [*found, _once("relearning.anamnesis@after", said, index)]

    def _passes(
        self, learner: Continues, deployment: Deployment, case: Case, labels: tuple[str, ...], goal: float
    ) -> float:
        model: Any = deployment.model
        for done in range(self.most_passes):
            if float(_correct(model, case.forgotten, labels).mean()) >= goal:
                return float(done)
            key = case.before.key.child(f"{case.seed}/relearn/{done}")
            model = learner.going_on(model, case.forgotten, _steps(learner, len(case.forgotten)), key)
        return float(self.most_passes)


def _continuing(case: Case) -> Continues:
    learner = case.before.learner
    if not isinstance(learner, Continues):
        raise Unsupported(f"{type(learner).__name__} cannot go on training a model")
    if not isinstance(case.before.model, Predicts) or not signals.is_category(case.forgotten):
        raise Unsupported("relearning is measured on classes")
    if len(case.forgotten) < 2:
        raise BadInput(f"{len(case.forgotten)} forgotten records: the result of a single record is not published")
    return learner


def _steps(learner: object, n: int) -> int:
    batch = int(getattr(learner, "batch", n))
    return max(1, -(-n // batch))


def some_rows(data: Dataset, k: int, key: Key) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return k rows by keyed hash of their ids, in their order."""
    order = np.argsort(key.words(data.ids.tolist()), kind="stable")
    return np.sort(order[:k]).astype(np.int64)


def _correct(model: Model, data: Dataset, labels: tuple[str, ...]) -> Floats:
    return np.asarray(signals.logits(model, data).argmax(axis=1) == signals.truth(data, labels), np.float64)


def _kept(values: Floats, owners: Any) -> tuple[Floats, Any]:
    known = np.isfinite(values)
    return values[known], owners[known]


def share(values: Floats, owners: Any) -> Interval:
    """Return a mean of shares with an interval over owners, or over records where one person owns them all."""
    values, owners = _kept(values, owners)
    units = owners if len(np.unique(owners)) > 1 else np.arange(len(values))
    found = clustered.mean(values).interval(units, (0.0, 1.0))
    if found.low < found.high:
        return found
    return estimates.around(found.value, len(np.unique(units)), found.n)


def gap_interval(values: Floats, owners: Any) -> Interval:
    """Return a mean of differences with an interval as `share` has; where none differs, that of as many trials."""
    values, owners = _kept(values, owners)
    units = owners if len(np.unique(owners)) > 1 else np.arange(len(values))
    found = clustered.mean(values).interval(units, (-1.0, 1.0))
    if found.low < found.high:
        return found
    tail = estimates.proportion(0, len(np.unique(units))).high
    return Interval(found.value, max(-1.0, found.value - tail), min(1.0, found.value + tail), found.n)


def _once(name: str, how: str, value: float) -> Evidence:
    return Evidence(name=name, estimator=how, value=value, low=value, high=value, n=1, unit="run")
