"""``Canary``: records that an auditor planted with random classes; whether a model still gives them after forgetting.

Each canary's class is drawn uniformly by a secret key, so a model that never learnt the canaries gives it with chance
1/k exactly, whatever the model: the null needs no assumption. Declare how often they are given while learnt, and the
power of the test is exact as well, before anything is trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from expunge.audit import arms, signals
from expunge.audit.relearning import gap_interval
from expunge.core import estimates
from expunge.core.columns import Column
from expunge.core.dataset import Dataset
from expunge.core.deployment import Case
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.models import class_labels
from expunge.core.request import Id
from expunge.core.roles import Floats
from expunge.core.seeds import Key

Answer = Literal["clean", "residue", "inconclusive", "invalid"]

MOST: Final = 0.01
"""Of the records: planted classes are wrong classes, and a model pays for them."""
MOST_QUERIES: Final = 2**16
DETECTED: Final = 0.8
NAMES: Final = (
    *(f"canary.hits@{arm}" for arm in arms.NAMES), "canary.excess@after", "canary.excess@before", "canary.power@after",
)  # fmt: skip
SAYS: Final[Mapping[Answer, str]] = {
    "clean": "Given no more often than by a model that never learnt them; left in, they would have shown.",
    "residue": "Given more often than a model that never learnt them could.",
    "inconclusive": "Too few canaries: left in, they might not have shown.",
    "invalid": "The declared rates do not hold, so these canaries say nothing.",
}


@dataclass(frozen=True)
class Rates:
    """Declared rates of canaries, and the exact binomial test that follows from them.

    Attributes:
        n: queries, one a canary.
        learnt: p, how often a model that learnt the canaries gives the planted class.
        unlearnt: q, how often one does that never learnt them; q < p.
        alpha: chance of calling a forgotten canary left.
    """

    n: int
    learnt: float
    unlearnt: float
    alpha: float = 1e-3

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 < self.unlearnt < self.learnt < 1 or not 0 < self.alpha < 0.5:
            raise BadInput(
                f"canaries need queries, rates 0 < q < p < 1 and alpha below ½, not {self.n}, {self.unlearnt}, "
                f"{self.learnt} and {self.alpha}"
            )

    @property
    def threshold(self) -> int:
        """The fewest hits that are called residue: P[Binomial(n, q) ≥ threshold] ≤ alpha; n + 1 = none are."""
        from scipy.stats import binom

        return int(binom.isf(self.alpha, self.n, self.unlearnt)) + 1

    @property
    def power(self) -> float:
        """The chance that canaries that were left in are called residue: P[Binomial(n, p) ≥ threshold]."""
        from scipy.stats import binom

        return float(binom.sf(self.threshold - 1, self.n, self.learnt))

    @property
    def detectable(self) -> float:
        """The smallest rate above q that is called residue in 80 % of audits, less q."""
        from scipy.special import betaincinv

        if self.threshold > self.n:
            return 1 - self.unlearnt
        return float(betaincinv(self.threshold, self.n - self.threshold + 1, DETECTED)) - self.unlearnt

    def above(self, hits: int) -> float:
        """Return P[Binomial(n, q) ≥ hits]: the p-value of a model that should not know the canaries."""
        from scipy.stats import binom

        return float(binom.sf(hits - 1, self.n, self.unlearnt))

    def below(self, hits: int) -> float:
        """Return P[Binomial(n, p) ≤ hits]: the p-value of a model that should know the canaries."""
        from scipy.stats import binom

        return float(binom.cdf(hits, self.n, self.learnt))

    def answer(self, hits: Mapping[str, int], power: float = 0.95) -> Answer:
        """Say what the hits of each arm mean; a reference is welcome, and not needed.

        ``invalid`` comes first: before knew the canaries less often than declared, or a retrained model more often.
        """
        reference = hits.get("reference")
        if self.below(hits["before"]) <= self.alpha or (reference is not None and reference >= self.threshold):
            return "invalid"
        if hits["after"] >= self.threshold:
            return "residue"
        return "clean" if self.power >= power else "inconclusive"


def queries_needed(learnt: float, unlearnt: float, alpha: float = 1e-3, power: float = 0.95) -> int:
    """Return the smallest number of canaries whose test has this power.

    Power is a saw-tooth in n: a few more canaries than this may have a little less; `Rates.power` says.

    Raises:
        BadInput: rates or probabilities out of range, or rates so close that more than 65,536 would be needed.

    Source: M32, D13; Sommer et al. (PoPETs 2022), by exact binomial tails.
    """
    from scipy.stats import binom

    if not 0 < power < 1:
        raise BadInput(f"power lies between 0 and 1, and {power} does not")
    Rates(1, learnt, unlearnt, alpha)
    count = 256
    while count <= MOST_QUERIES:
        n = np.arange(1, count + 1)
        found = np.flatnonzero(binom.sf(binom.isf(alpha, n, unlearnt), n, learnt) >= power)
        if len(found):
            return int(n[found[0]])
        count *= 4
    raise BadInput(f"rates of {unlearnt} and {learnt} are too close to be told apart by canaries")


def plant(data: Dataset, source: Dataset, key: Key, owner: Id = "canary", most: float = MOST) -> Dataset:
    """Return the data with canaries: the records of `source`, each with a class drawn uniformly from those of `data`.

    They belong to an owner of their own: whoever forgets that subject takes them all out again.

    Args:
        data: what a model will learn.
        source: records that are not in it, such as some of a holdout that is used for nothing else.
        key: draws the classes, by record id. Keep it secret: whoever knows it knows the canaries.
        owner: who owns them; a number where the data's subjects are numbers.
        most: share of the data that may be planted.

    Raises:
        BadInput: there are too many, or the owner has records of its own.
        BadTarget: the target is no class.
        BadData, DuplicateId: the two do not fit together.
    """
    if not 0 < len(source) <= most * len(data):
        raise BadInput(
            f"{len(source)} canaries for {len(data)} records: from 1 to {most:.0%} of them, because planted classes "
            "are wrong ones"
        )
    if data.owned_by(owner):
        raise BadInput(f"{owner!r} owns records already; canaries need an owner of their own")
    labels = class_labels(data)
    drawn = key.words(source.ids.tolist(), "canary") % np.uint64(len(labels))
    return data.joined(
        replace(
            source,
            subjects=np.full(len(source), owner),
            target=Column.of_texts([labels[int(i)] for i in drawn]),
            target_name=data.target_name,
        )
    )


@dataclass(frozen=True)
class Canary:
    """How often models give the planted classes of forgotten canaries, beside declared rates.

    Attributes:
        owner: whose records they are (see `plant`).
        learnt: p, declared: how often a model that learnt them gives the planted class.
        unlearnt: q, declared; None = 1/k, exact for classes drawn uniformly.
        alpha: chance of calling forgotten canaries left.
        power: what a clean answer needs.

    Guarantee: with classes drawn uniformly by a key that the provider does not know, forgotten canaries are called left
        with probability alpha at most, whatever the model. A clean answer is about these records; a provider who finds
        out which they are can treat them apart.
    Cost: one prediction of each canary an arm.
    Source: M32, D13; Athena (Sommer et al., PoPETs 2022), where triggers make the rates; Carlini et al. (2019) for the
        word. We differ in random classes instead of one target, which makes q exact.
    """

    owner: Id = "canary"
    learnt: float = 0.9
    unlearnt: float | None = None
    alpha: float = 1e-3
    power: float = 0.95

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return the measurements; what cannot be measured is said."""
        return arms.told(lambda: self._measured(case), NAMES)

    def _measured(self, case: Case) -> list[Evidence]:
        planted = case.forgotten.only(case.forgotten.owned_by(self.owner))
        if not len(planted):
            raise Unsupported(f"none of the forgotten records is a canary: {self.owner!r} owns none of them")
        if not signals.is_category(planted):
            raise Unsupported("canaries are planted classes")
        labels = class_labels(case.before.data)
        unlearnt = 1 / len(labels) if self.unlearnt is None else self.unlearnt
        rates = Rates(len(planted), self.learnt, unlearnt, self.alpha)
        truth = signals.truth(planted, labels)
        right: dict[str, Floats] = {}
        for arm, deployment in arms.each(case):
            predicted = signals.logits(deployment.model, planted).argmax(axis=1)
            right[arm] = np.asarray(predicted == truth, np.float64)
        return [*self._hits(rates, right), *_excesses(right), _power(rates)]

    def _hits(self, rates: Rates, right: Mapping[str, Floats]) -> list[Evidence]:
        counts = {arm: int(values.sum()) for arm, values in right.items()}
        shares = {arm: estimates.proportion(count, rates.n) for arm, count in counts.items()}
        said = SAYS[rates.answer(counts, self.power)]
        how = (
            f"share of canaries given their planted class; declared {rates.learnt:.3g} learnt, {rates.unlearnt:.3g} "
            f"not; {rates.threshold} hits or more are residue at alpha {rates.alpha:.3g}"
        )
        found = []
        for arm, share in shares.items():
            told = {"p_value": rates.above(counts[arm]), "power": rates.detectable}
            null = arms.control(shares.get("reference")) if arm == "after" else None
            note = said if arm == "after" else None
            found.append(arms.evidence(f"canary.hits@{arm}", how, share, note, null).model_copy(update=told))
        return found if "reference" in shares else found + arms.no_reference("canary.hits@reference")


def _excesses(right: Mapping[str, Floats]) -> list[Evidence]:
    """Return after − reference and before − reference, canary by canary."""
    if "reference" not in right:
        return arms.no_reference("canary.excess@after", "canary.excess@before")
    found = []
    for arm in ("after", "before"):
        gap = right[arm] - right["reference"]
        interval = gap_interval(gap, np.arange(len(gap)))
        found.append(arms.evidence(f"canary.excess@{arm}", f"share of canaries given, {arm} − reference", interval))
    return found


def _power(rates: Rates) -> Evidence:
    how = f"exact binomial power at the declared rates, alpha {rates.alpha:.3g}"
    return Evidence(
        name="canary.power@after", estimator=how, value=rates.power, low=rates.power, high=rates.power, n=rates.n
    )
