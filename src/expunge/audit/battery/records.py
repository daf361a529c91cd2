"""The record test (M27): on which forgotten records do models after forgetting still differ from retrained ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.ranks import RankSums, SignedRanks, rejected
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import FORGOTTEN, Mask, Pools, World
from expunge.audit.statistics import Positions
from expunge.core.errors import BadInput, Unsupported
from expunge.core.estimates import Interval
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats
from expunge.core.seeds import Key

Q: Final = 0.05
"""False discovery rate of Benjamini and Hochberg's rule over the records."""
EFFICIENCY: Final = 3 / np.pi
"""Of the rank tests against Student's, for normal signals."""
ARMS: Final[tuple[World, ...]] = ("before", "after")
POWER_NOTE: Final = (
    "Power: the smallest share of records, each one standard deviation off, that would be found in 80 % of such audits."
)


@dataclass(frozen=True)
class Signals:
    """The signals of two pools for the forgotten records, laid end to end.

    Attributes:
        values: φ, shape (a + b, n): first the models in question, then the references.
        used: whether a model forgot the record (a reference: was retrained without it), same shape.
        n_first: a.
        paired: whether model i of both pools has the same members; then a = b.
    """

    values: Floats
    used: Mask
    n_first: int
    paired: bool

    @cached_property
    def test(self) -> SignedRanks | RankSums:
        """The ranks behind the test of each record."""
        if not self.paired:
            return RankSums.of(self.values, self.used)
        gaps = self.values[: self.n_first] - self.values[self.n_first :]
        return SignedRanks.of(gaps, self.used[: self.n_first] & self.used[self.n_first :])

    @property
    def unlabelled(self) -> Mask:
        """The labels as observed, in the form that the test takes, shape (1, ·)."""
        if self.paired:
            return np.zeros((1, self.n_first), bool)
        return (np.arange(len(self.values)) < self.n_first)[None]

    @cached_property
    def p_values(self) -> Floats:
        """The two-sided p-value of each record, shape (n,)."""
        return np.asarray(self.test.p_values(self.unlabelled)[0], np.float64)

    def share(self) -> float:
        """Return the share of records on which the two pools differ, after correction for the many records."""
        return float(rejected(self.p_values[None], Q)[0])

    def compared(self, generator: np.random.Generator, n_shuffles: int = N_SHUFFLES) -> Compared:
        """Return the share beside its null: labels swapped within pairs, or permuted at the same sizes."""
        if self.paired:
            labels = generator.random((n_shuffles, self.n_first)) < 0.5
            what = "labels swapped within pairs of models"
        else:
            labels = generator.permuted(np.broadcast_to(self.unlabelled, (n_shuffles, len(self.values))), axis=1)
            what = "labels of the pooled models permuted"
        return Compared(self.share(), rejected(self.test.p_values(labels), Q), what, "rank")

    def keeping(self, models: Positions) -> Signals:
        """Return the signals of some models of each pool: the same positions in both."""
        second = models[models < len(self.values) - self.n_first]
        first = models[models < self.n_first]
        rows = np.concatenate([first, self.n_first + second])
        return Signals(self.values[rows], self.used[rows], len(first), self.paired)

    @cached_property
    def counts(self) -> tuple[Floats, Floats]:
        """Models a side of each record, two arrays of shape (n,); the same twice for pairs."""
        first, second = self.used[: self.n_first], self.used[self.n_first :]
        if self.paired:
            both = (first & second).sum(axis=0).astype(np.float64)
            return both, both
        return first.sum(axis=0).astype(np.float64), second.sum(axis=0).astype(np.float64)

    def reach(self) -> float:
        """Return the smallest share of records that would be found with 80 % power if their signal is 1 sd off.

        One standard deviation of the paired difference, or of the signal where nothing is paired; for the median
        record.
        """
        from scipy.special import ndtr

        a, b = (float(np.median(c)) for c in self.counts)
        size = a if self.paired else a * b / (a + b)
        typical = 2 * float(ndtr(-(np.sqrt(EFFICIENCY * size) - 0.8416)))
        return min(1.0, max(typical, float(np.median(least(self)))) / Q)

    def again(self) -> float:
        """Return the share of records that the same audit with new models would reject, if the signals are taken as is.

        Each record's z-score is drawn again around the one observed, which on average overstates: an upper limit.
        """
        from scipy.special import ndtr, ndtri

        p = self.p_values
        z = -ndtri(np.clip(p / 2, 1e-300, 0.5))
        line = -float(ndtri(Q * max(1.0, round(rejected(p[None], Q)[0] * len(p))) / len(p) / 2))
        return float(np.mean(ndtr(z - line) + ndtr(-z - line)))


def least(signals: Signals) -> Floats:
    """Return the smallest p-value that each record's models can give, shape (n,)."""
    from scipy.special import gammaln

    a, b = signals.counts
    if signals.paired:
        return np.minimum(1.0, 2.0 ** (1 - a))
    orders = gammaln(a + b + 1) - gammaln(a + 1) - gammaln(b + 1)
    return np.asarray(np.minimum(1.0, 2 * np.exp(-orders)), np.float64)


def face(pools: Pools, world: World) -> Signals:
    """Return the signals of an arm and of the references for every forgotten record that has models enough.

    Models with partners are compared in pairs, all others as independent pools.

    Raises:
        Unsupported: a pool or its signals are missing, or no record has models enough to be rejected at all.
    """
    first, second = pools.need(world), pools.need("reference")
    paired = bool(len(np.intersect1d(first.pairs, second.pairs)))
    if paired and not np.array_equal(first.pairs, second.pairs):
        first, second = pools.paired(world)
    used = np.concatenate([first.has(FORGOTTEN), second.has(FORGOTTEN)])
    every = Signals(np.concatenate([first.phi, second.phi]), used, len(first), paired)
    enough = np.flatnonzero(least(every) <= Q)
    if not len(enough):
        raise Unsupported(
            "no record was forgotten by models enough for a test of its own: 6 pairs, or 4 models a side, are the least"
        )
    return Signals(every.values[:, enough], used[:, enough], len(first), paired)


def interval(signals: Signals, compared: Compared, policy: AuditPolicy) -> Interval:
    """Return the share of rejected records with the range that new models would give it.

    Delete-one-block jackknife over models, then made honest at both ends. Low: zero, where shuffled labels give as much
    in more than alpha of the draws. High: no less than what could go unseen (`Signals.reach`) and than what a repeat
    would reject (`Signals.again`); a share that no block of models moves would have no width at all.
    """
    n_records = signals.values.shape[1]
    if signals.paired and (signals.values[: signals.n_first] == signals.values[signals.n_first :]).all():
        return Interval(0.0, 0.0, 0.0, n_records)
    count = max(signals.n_first, len(signals.values) - signals.n_first)
    found = statistics.jackknife(
        count, policy.n_blocks, lambda kept: signals.keeping(kept).share(), compared.value
    ).interval(bounds=(0.0, 1.0))
    low = 0.0 if compared.p_value("higher") > policy.alpha else found.low
    return Interval(found.value, low, min(1.0, max(found.high, signals.reach(), signals.again())), n_records)


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the share of forgotten records on which a pool differs from retraining, before and after.

    ``likeness.record_test@after`` answers the question ``records``; ``@before`` is the positive control.

    Source: spec M27 and section 7 (pairing: on models that share members, the unpaired test rejects next to nothing).
    """
    return [_evidence(pools, policy, world) for world in ARMS]


def _evidence(pools: Pools, policy: AuditPolicy, world: World) -> Evidence:
    name = f"likeness.record_test@{world}"
    try:
        signals = face(pools, world)
        compared = signals.compared(Key.public("/".join(policy.seeds)).generator(name))
        value, low, high, n = interval(signals, compared, policy)
    except (BadInput, Unsupported) as error:
        return Evidence.missing(name, error.message)
    test = "paired Wilcoxon signed-rank" if signals.paired else "Mann–Whitney"
    return Evidence(
        name=name,
        estimator=f"share of forgotten records rejected, {test} test of each, Benjamini–Hochberg q {Q:g}; "
        f"95 % jackknife over {policy.n_blocks} blocks of models",
        value=value,
        low=low,
        high=high,
        n=n,
        n_models=len(signals.values),
        null=compared.null,
        p_value=compared.p_value("higher"),
        power=signals.reach(),
        seeds=policy.seeds,
        note=POWER_NOTE,
    )
