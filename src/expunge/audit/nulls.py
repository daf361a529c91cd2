"""What a measure says when ``after`` is just another retrained model: the null that every number stands beside.

Two ways to make it. A measure of *one* model against the references is taken of each reference against the others
(`against_references`). A measure of *pools* is taken again with the labels of the two pools shuffled (`shuffled`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from expunge.audit.statistics import Estimate, Harmful, Positions
from expunge.core.errors import BadInput
from expunge.core.evidence import Null
from expunge.core.roles import Floats

Form = Literal["rank", "normal-assumed"]

FOR_RANKS: Final = 99
"""References from which p-values are ranks: fewer could not pass Holm over five questions (1/(J + 1) ≤ 0.01)."""

N_SHUFFLES: Final = 200


@dataclass(frozen=True)
class Compared:
    """A measure beside its null.

    Attributes:
        value: the measure of what is audited.
        draws: the same measure under the null, shape (J,).
        what: how the null was made, in words.
        form: ``rank`` = the p-value counts draws; ``normal-assumed`` = it is a t form, for too few draws.
        n: models that `value` is a mean over.
        stretch: by how much single models scatter more than the draws do; see `symmetric_stretch`.
    """

    value: float
    draws: Floats
    what: str
    form: Form
    n: int = 1
    stretch: float = 1.0

    @property
    def excess(self) -> float:
        """The measure less the mean of its null."""
        return self.value - float(self.draws.mean())

    @property
    def centred(self) -> Compared:
        """The excess in the place of the measure, and the draws about their mean."""
        return replace(self, value=self.excess, draws=self.draws - self.draws.mean())

    @property
    def null(self) -> Null:
        """The null as a record: median and central 95 % of the draws."""
        low, middle, high = (float(v) for v in np.quantile(self.draws, [0.025, 0.5, 0.975]))
        return Null(what=self.what, value=middle, low=low, high=high, n=len(self.draws))

    @property
    def estimate(self) -> Estimate:
        """The excess with the null's spread as its error: se = s·√(1/n + 1/J), J − 1 degrees, s stretched.

        It holds for as long as what is audited scatters like a retrained model.
        """
        count = len(self.draws)
        spread = float(self.draws.std(ddof=1)) if np.ptp(self.draws) > 0 else 0.0
        return Estimate(self.excess, self.stretch * spread * float(np.sqrt(1 / self.n + 1 / count)), count - 1.0, count)

    def p_value(self, harmful: Harmful = "higher") -> float:
        """Return how often the null gives as much in the harmful direction.

        ``rank`` is (1 + #{draws ≥ value}) / (J + 1), doubled for ``both``: it is never zero.
        """
        if self.form == "normal-assumed":
            return self.estimate.p_value(harmful)
        count = len(self.draws)
        above = (1 + int((self.draws >= self.value).sum())) / (count + 1)
        below = (1 + int((self.draws <= self.value).sum())) / (count + 1)
        return {"higher": above, "lower": below, "both": min(1.0, 2 * min(above, below))}[harmful]


def symmetric_stretch(n_references: int) -> float:
    """Return the stretch of draws that are mean distances: (J − 1)/(J − 2).

    A model far from all others is also in their pools, and lifts their draws with its own; so they scatter too little.
    """
    return (n_references - 1) / (n_references - 2)


def against_references(
    after: Sequence[Callable[[Positions], float]],
    reference: Callable[[int, Positions], float],
    n_references: int,
    partners: Sequence[int] = (),
    *,
    symmetric: bool = False,
) -> Compared:
    """Return a measure g of a model against the references, beside that of each reference against the others.

    g_j = g(R_j; the others). So that g(U) meets pools of the same size, it is taken with one reference left out: each
    in turn, and averaged; or, where U has a partner among the references (same members, same forgotten records), its
    partner, as for the partner itself.

    Args:
        after: of each audited model: g against the references at these positions.
        reference: g of reference j against the references at these positions.
        n_references: J, at least three.
        partners: the position of each audited model's partner; empty = there are none.
        symmetric: whether g is a mean of distances, the same in both directions (see `symmetric_stretch`).

    Raises:
        BadInput: fewer than three references, no model to audit, or a value that is not finite.

    Source: spec section 7.
    """
    if n_references < 3 or not after:
        raise BadInput(
            f"a null needs three references or more and a model to audit, not {n_references} and {len(after)}"
        )
    everyone = np.arange(n_references)
    others = [np.delete(everyone, j) for j in range(n_references)]
    draws = np.array([reference(j, others[j]) for j in range(n_references)], np.float64)
    if partners:
        values = [g(others[j]) for g, j in zip(after, partners, strict=True)]
    else:
        values = [float(np.mean([g(rest) for rest in others])) for g in after]
    if not np.isfinite(draws).all() or not np.isfinite(values).all():
        raise BadInput("the measure is not finite")
    form: Form = "rank" if n_references >= FOR_RANKS and len(after) == 1 else "normal-assumed"
    stretch = symmetric_stretch(n_references) if symmetric else 1.0
    return Compared(float(np.mean(values)), draws, "retrain against retrain", form, len(after), stretch)


def shuffled(
    n_models: int,
    statistic: Callable[[Positions, Positions], float],
    generator: np.random.Generator,
    *,
    paired: bool,
    n_shuffles: int = N_SHUFFLES,
) -> Compared:
    """Return a measure of two pools of equal size beside its null by shuffled labels.

    Args:
        n_models: models in each pool. Cut the larger one first: many measures grow as pools shrink.
        statistic: given the positions of the first and of the second pool in (first pool, second pool) laid end to
            end, values 0 … 2·n_models − 1.
        generator: the randomness.
        paired: whether model i of both pools has the same members: then labels are swapped within pairs only.
        n_shuffles: draws of the null.

    Raises:
        BadInput: fewer than two models in each pool, no draws, or a value that is not finite.

    Source: spec section 7 and M20; the observed labelling counts as one draw, so p ≥ 1/(n_shuffles + 1).
    """
    if n_models < 2 or n_shuffles < 1:
        raise BadInput(f"shuffling labels needs two models a pool and one draw, not {n_models} and {n_shuffles}")
    value = float(statistic(np.arange(n_models), np.arange(n_models, 2 * n_models)))
    labels = (_labels(n_models, generator, paired) for _ in range(n_shuffles))
    draws = np.array([statistic(first, second) for first, second in labels], np.float64)
    if not np.isfinite(draws).all() or not np.isfinite(value):
        raise BadInput("the measure is not finite")
    what = "labels swapped within pairs of models" if paired else "labels of the pooled models permuted"
    return Compared(value, draws, what, "rank")


def _labels(n_models: int, generator: np.random.Generator, paired: bool) -> tuple[Positions, Positions]:
    """Return one draw of labels, as positions of the first and of the second pool."""
    if not paired:
        order = generator.permutation(2 * n_models)
        return order[:n_models], order[n_models:]
    swap = generator.random(n_models) < 0.5
    first = np.arange(n_models) + n_models * swap
    return first, (first + n_models) % (2 * n_models)
