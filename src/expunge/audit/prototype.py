"""``Prototype``: whether a network's last hidden layer still sees what was forgotten, though its answers hide it.

A few forgotten records and some of every other class give each class a mean in feature space; the other forgotten
records are told by the nearest. A network that never learnt them does this too, and so do the raw inputs; what is above
both is memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from expunge.audit import arms, signals
from expunge.audit.relearning import gap_interval, share, some_rows
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.models import class_labels
from expunge.core.roles import Floats, Model, Penultimate
from expunge.core.seeds import Key

Codes = npt.NDArray[np.int64]
Seeing = Callable[[Dataset], Floats]
"""Gives the features of records, shape (n, d)."""

NAMES = (
    *(f"prototype.accuracy@{arm}" for arm in arms.NAMES),
    "prototype.excess@after", "prototype.excess@before", "prototype.inputs@reference",
)  # fmt: skip


@dataclass(frozen=True)
class Prototype:
    """Accuracy of nearest class means on the features of forgotten records.

    Attributes:
        shown: forgotten records of each class behind the means.
        others: kept records of each class behind the means.
        n_draws: how often they are drawn.

    Guarantee: none; a measurement on copies.
    Cost: one prediction of the forgotten and of some kept records an arm and draw.
    Source: spec M30, attack A06; prototypical networks (Snell et al., 2017).
    """

    shown: int = 5
    others: int = 50
    n_draws: int = 5

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the measurements; what cannot be measured is said."""
        return arms.told(lambda: self._measured(case), NAMES)

    def _measured(self, case: Case) -> list[Evidence]:
        if not signals.is_category(case.forgotten):
            raise Unsupported("prototypes are means of classes")
        if len(case.forgotten) < self.shown + 2:
            raise BadInput(f"{len(case.forgotten)} forgotten records are too few to show {self.shown}")
        labels, owners = class_labels(case.before.data), case.forgotten.subjects
        known = {arm: self._known(case, _features(d.model), labels) for arm, d in arms.each(case)}
        shares = {arm: share(values, owners) for arm, values in known.items()}
        control, note = arms.control(shares.get("reference")), arms.owners_note(owners)
        how = f"nearest class mean on the last hidden layer, {self.shown} forgotten, {self.others} kept records a class"
        found = [
            arms.evidence(f"prototype.accuracy@{arm}", how, value, note, control if arm == "after" else None)
            for arm, value in shares.items()
        ]
        raw = share(self._known(case, _inputs, labels), owners)
        found.append(arms.evidence("prototype.inputs@reference", "the same on raw inputs: no model at all", raw, note))
        if "reference" not in known:
            return found + arms.no_reference("prototype.accuracy@reference", *NAMES[3:5])
        for arm in ("after", "before"):
            gap = gap_interval(known[arm] - known["reference"], owners)
            found.append(arms.evidence(f"prototype.excess@{arm}", f"{arm} − reference; {how}", gap, note))
        return found

    def _known(self, case: Case, features: Seeing, labels: tuple[str, ...]) -> Floats:
        """Return how often each forgotten record that was not shown is told rightly, shape (m,)."""
        kept = case.after.data.take(~np.isin(case.after.data.ids, case.forgotten.ids))
        truth, of_kept = signals.truth(case.forgotten, labels), signals.truth(kept, labels)
        seen, right, asked = features(case.forgotten), np.zeros(len(truth)), np.zeros(len(truth))
        for draw in range(self.n_draws):
            key = case.before.key.child(f"{case.seed}/prototype/{draw}")
            shown = _few(case.forgotten, truth, self.shown, key)
            beside = _few(kept, of_kept, self.others, key)
            around = np.concatenate([seen[shown], features(kept.take(beside))])
            classes = np.concatenate([truth[shown], of_kept[beside]])
            unseen = np.setdiff1d(np.arange(len(truth)), shown)
            right[unseen] += _nearest(seen[unseen], around, classes) == truth[unseen]
            asked[unseen] += 1
        shares: Floats = np.divide(right, asked, out=np.full(len(right), np.nan), where=asked > 0)
        return shares


def _features(model: Model) -> Seeing:
    if not isinstance(model, Penultimate):
        raise Unsupported(f"{type(model).__name__} shows no hidden layer")
    return model.features


def _inputs(data: Dataset) -> Floats:
    """Return the columns of numbers and vectors themselves, shape (n, d), missing ones zero."""
    blocks = [
        np.asarray(column.values, np.float64).reshape(len(data), -1)
        for column in data.columns.values()
        if column.kind in ("number", "vector")
    ]
    if not blocks:
        raise Unsupported("the records hold no numbers to compare with")
    return np.nan_to_num(np.concatenate(blocks, axis=1))


def _few(data: Dataset, classes: Codes, k: int, key: Key) -> Codes:
    """Return up to k rows of each class, by keyed hash of their ids."""
    found = [np.flatnonzero(classes == c) for c in np.unique(classes)]
    return np.concatenate([rows[some_rows(data.take(rows), k, key)] for rows in found])


def _nearest(points: Floats, around: Floats, classes: Codes) -> Codes:
    """Return the class of the nearest mean, shape (n,)."""
    present = np.unique(classes)
    means = np.stack([around[classes == c].mean(axis=0) for c in present])
    gaps = (points**2).sum(axis=1)[:, None] - 2 * points @ means.T + (means**2).sum(axis=1)
    return np.asarray(present[gaps.argmin(axis=1)], np.int64)
