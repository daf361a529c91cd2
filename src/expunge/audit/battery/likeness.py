"""Likeness of pools: how far models are from the retrained ones, beside how far those are from each other (M23, M24).

The distance of a model to the references is never zero, not even of a retrained one. So each model i is compared with
all references but its partner R_i, and R_i is compared with the same ones on the same records; the excess is the
difference. A reference counts for a record that the model forgot only if it does not hold the record itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.accuracy import Group
from expunge.audit.battery.paired import SWAPPED, Sheet, pair
from expunge.audit.nulls import Compared, symmetric_stretch
from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Codes, Mask, Pool, Pools, World
from expunge.audit.statistics import FEWEST_SEEDS, Estimate, Harmful, Positions
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

GROUPS: Final[tuple[Group, ...]] = ("forgotten", "kept", "holdout")
AUDITED: Final[tuple[World, ...]] = ("before", "after")
INSIDE: Final[dict[Group, tuple[int, ...]]] = {
    "forgotten": (FORGOTTEN,),
    "kept": (KEPT,),
    "holdout": (NEVER, POPULATION),
}
"""Roles of the records on which a model is compared."""
ALIKE: Final[dict[Group, tuple[int, ...]]] = {
    "forgotten": (NEVER, FORGOTTEN, POPULATION),
    "kept": (KEPT,),
    "holdout": (NEVER, FORGOTTEN, POPULATION),
}
"""Roles of a record in a reference that counts for it: retrained without the record, or with it where it is kept."""


@dataclass(frozen=True)
class Gaps:
    """Sums over records, for each model and reference.

    Attributes:
        sums: of squared differences, or of agreements, shape (M, J).
        counts: the records behind each, shape (M, J).
    """

    sums: Floats
    counts: Floats

    def among(self, models: Positions, references: Positions, *, partners: bool) -> Floats:
        """Return the mean of each of these models over these references and all records, shape (len(models),).

        Args:
            models: positions.
            references: positions.
            partners: whether a model is not compared with the reference at its own position.

        Raises:
            BadInput: a model shares no record with any of these references.
        """
        own = models[:, None] == references if partners else np.zeros((len(models), len(references)), bool)
        at = np.ix_(models, references)
        counts = np.where(own, 0.0, self.counts[at]).sum(axis=1)
        if not counts.all():
            raise BadInput("a model has no record on which it can be compared with another model's reference")
        return np.asarray(np.where(own, 0.0, self.sums[at]).sum(axis=1) / counts, np.float64)


def squares(models: Iterable[Floats], references: Iterable[Floats], used: Mask, alike: Mask) -> Gaps:
    """Return the sums of squared differences of a signal, averaged over its columns.

    Args:
        models: each column of the signal, shape (M, n).
        references: the same columns, shape (J, n).
        used: the records on which a model is compared, shape (M, n).
        alike: whether a reference counts for a record, shape (J, n).

    Cost: one product of matrices a column, O(M·J·n); taken around each record's mean so that little cancels.
    """
    mine, theirs = used.astype(np.float64), alike.astype(np.float64)
    own, other, shared, columns = np.zeros_like(mine), np.zeros_like(theirs), np.zeros((len(mine), len(theirs))), 0
    for left, right in zip(models, references, strict=True):
        centre = right.mean(axis=0)
        a, b = (left - centre) * mine, (right - centre) * theirs
        own += a * a
        other += b * b
        shared += a @ b.T
        columns += 1
    sums = own @ theirs.T - 2 * shared + mine @ other.T
    return Gaps(np.maximum(sums, 0.0) / columns, mine @ theirs.T)


def agreements(models: Codes, references: Codes, used: Mask, alike: Mask) -> Gaps:
    """Return how often the predicted classes are the same; arguments as for `squares`."""
    mine, theirs = used.astype(np.float64), alike.astype(np.float64)
    sums = np.zeros((len(models), len(references)))
    for c in np.unique(references).tolist():
        sums += (mine * (models == c)) @ (theirs * (references == c)).T
    return Gaps(sums, mine @ theirs.T)


@dataclass(frozen=True)
class Kind:
    """One measure of likeness."""

    name: Literal["agreement", "phi_rmse", "logit_rmse"]
    estimator: str
    harmful: Harmful
    bounds: tuple[float, float] = (0.0, np.inf)

    def gaps(self, models: Pool, references: Pool, used: Mask, alike: Mask) -> Gaps:
        """Return the sums behind the measure.

        Raises:
            Unsupported: what was handed over does not give it.
        """
        if self.name == "agreement":
            return agreements(models.predicted, references.predicted, used, alike)
        if self.name == "phi_rmse":
            return squares([models.phi], [references.phi], used, alike)
        return squares(_centred(models), _centred(references), used, alike)

    def read(self, means: Floats) -> Floats:
        """Return the measure in its own unit: a root of mean squares, or a share."""
        return means if self.name == "agreement" else np.sqrt(means)


def _centred(pool: Pool) -> Iterator[Floats]:
    """Yield each class's logits less the mean over classes, which changes no probability: k arrays of shape (M, n)."""
    if pool.logits is None:
        raise Unsupported("the distance of logits needs logits")
    centre = pool.logits.mean(axis=2, dtype=np.float64)
    yield from (pool.logits[:, :, c] - centre for c in range(pool.logits.shape[2]))


JACKKNIFE: Final = "jackknife over {} blocks of pairs"
KINDS: Final = (
    Kind("agreement", "share of references that predict the same class", "lower", (0.0, 1.0)),
    Kind("phi_rmse", "root mean square difference of φ to the references", "higher"),
    Kind("logit_rmse", "root mean square difference of centred logits to the references", "higher"),
)


@dataclass(frozen=True)
class Beside:
    """A measure of models against the references, and of the references against each other.

    Attributes:
        kind: the measure.
        ours: of the models, shape (M, J).
        theirs: of the references, shape (J, J).
        partners: whether model i and reference i are partners.
    """

    kind: Kind
    ours: Gaps
    theirs: Gaps
    partners: bool

    @property
    def equal(self) -> bool:
        """Whether the models and their partners stand in the same place exactly."""
        return self.partners and bool((self.ours.sums == self.theirs.sums).all())

    def values(self, kept: Positions) -> tuple[Floats, Floats]:
        """Return the measure of each model, and that of each reference, among these pairs (all models if unpaired)."""
        models = kept if self.partners else np.arange(len(self.ours.sums))
        value = self.ours.among(models, kept, partners=self.partners)
        return self.kind.read(value), self.kind.read(self.theirs.among(kept, kept, partners=True))

    def estimates(self, n_blocks: int) -> tuple[Estimate, Estimate, Compared]:
        """Return the level with its error, the excess with its error, and both beside their null.

        Pairs: delete-one-block jackknife, a pair leaving as model and as reference. Else the t form of the null.
        """
        everyone = np.arange(len(self.theirs.sums))
        values, draws = self.values(everyone)
        stretch = symmetric_stretch(len(draws))
        what = "retrain against retrain"
        compared = Compared(float(values.mean()), draws, what, "normal-assumed", len(values), stretch)
        if not self.partners:
            found = compared.estimate
            return Estimate(compared.value, found.se, found.degrees, found.n), found, compared

        def level(kept: Positions) -> float:
            return float(self.values(kept)[0].mean())

        def excess(kept: Positions) -> float:
            value, null = self.values(kept)
            return float((value - null).mean())

        count = len(everyone)
        return (
            statistics.jackknife(count, n_blocks, level, compared.value),
            statistics.jackknife(count, n_blocks, excess, compared.excess),
            compared,
        )


def beside(pools: Pools, group: Group, kind: Kind, world: World) -> tuple[Beside, int]:
    """Return a measure of an arm beside its null, and the records behind it in the model with the fewest.

    Models without a record of the group are left out, on both sides.

    Raises:
        Unsupported: a pool is missing, there are fewer than three references, or what was handed over does not do.
    """
    first, second, partners = pair(pools, world)
    first, second = (_with_records(pool, group) for pool in (first, second))
    if len(second) < FEWEST_SEEDS or not len(first):
        raise Unsupported(
            f"{len(second)} references with {group} records: how far they are from each other takes {FEWEST_SEEDS}"
        )
    used, theirs = (np.isin(pool.roles, INSIDE[group]) for pool in (first, second))
    alike = np.isin(second.roles, ALIKE[group])
    found = Beside(kind, kind.gaps(first, second, used, alike), kind.gaps(second, second, theirs, alike), partners)
    return found, int(used.sum(axis=1).min())


def _with_records(pool: Pool, group: Group) -> Pool:
    some = np.isin(pool.roles, INSIDE[group]).any(axis=1)
    return pool if some.all() else pool.take(np.flatnonzero(some))


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return agreement and distances of the arms to retraining, and their excess over retrain against retrain.

    Source: spec M23 (completeness), M24; the null is that of section 7: g(R_j; the others).
    """
    found: list[Evidence] = []
    for group in GROUPS:
        for kind in KINDS:
            for world in AUDITED:
                found += _evidence(pools, policy, group, kind, world)
    return found


def _evidence(pools: Pools, policy: AuditPolicy, group: Group, kind: Kind, world: World) -> list[Evidence]:
    name = f"likeness.{kind.name}_{group}"
    names = (f"{name}@{world}", f"{name}_excess@{world}")
    try:
        found, n = beside(pools, group, kind, world)
        level, excess, compared = found.estimates(policy.n_blocks)
    except (BadInput, Unsupported) as error:
        return [Evidence.missing(each, error.message) for each in names]
    sheet = Sheet(policy, n, found.equal)
    how = "95 % " + (
        JACKKNIFE.format(policy.n_blocks) if found.partners else "t from the null's spread (normal-assumed)"
    )
    what = f"{kind.estimator}, {group} records"
    n_models = len(found.ours.sums) + len(found.theirs.sums)
    around = compared.centred
    if found.partners:
        values, draws = found.values(np.arange(len(found.theirs.sums)))
        around = Compared(excess.value, sheet.swapped(names[1], values - draws), SWAPPED, "rank")
    return [
        sheet.write(names[0], f"{what}; {how}", level.interval(bounds=kind.bounds), n_models, null=compared.null),
        sheet.write(
            names[1],
            f"{what}, {world} less retrain against retrain; {how}",
            excess.interval(),
            n_models,
            null=around.null,
            p_value=excess.p_value(kind.harmful),
            power=sheet.power(excess),
        ),
    ]
