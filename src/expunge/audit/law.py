"""``Law``: whether models that forgot and models that never learnt are drawn from one distribution.

Exactness in bits is settled by one refit (`expunge.core.conformance`). Where a learner draws fresh randomness, or is
somebody else's, the most that can be tested is that its *law* is right: over fresh seeds, "fit on all, then forget"
gives the models that "fit on what is kept" gives. `law` tests that for any learner, through three functions.

>>> from expunge.audit.law import law
>>> def fit(rows, seed):  # a learner that draws: the bootstrap mean of a few numbers
...     return round(float(np.random.default_rng(seed).choice(rows, 4).mean()), 2)
>>> never_forgets = law(fit, lambda model: model, lambda model: model, [0, 0, 1, 9], [0, 0, 1], n_seeds=400)
>>> never_forgets.p_value < 1e-6, never_forgets.distance.low > 0.4
(True, True)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from expunge.core.dataset import Dataset
from expunge.core.deployment import Case
from expunge.core.errors import BadInput, ExpungeError
from expunge.core.estimates import Interval, proportion
from expunge.core.evidence import Evidence
from expunge.core.roles import Floats, Forgets
from expunge.core.seeds import Key

Data = TypeVar("Data")
Fitted = TypeVar("Fitted")
LEAST = 20
"""Draws of both sides together that a signature needs to be a cell of its own (spec X11)."""
REDRAWS = 200


@dataclass(frozen=True)
class Comparison:
    """Two samples of models, compared by their signatures.

    Attributes:
        n: models drawn on each side (forgotten, scratch).
        n_signatures: different signatures seen.
        covered: share of the draws whose signature is a cell of its own; what is rare shares one cell.
        chi2: Pearson's statistic over the cells.
        df: its degrees of freedom; 0 where there is one cell, and nothing can be rejected.
        p_value: of the hypothesis that the two laws are one.
        total_variation: between the two samples, over all signatures; biased upwards.
        by_chance: what it would be on average if the laws were one (labels drawn anew, 200 times).
        distance: a lower estimate of the total variation between the laws: half of the models choose the event on
            which the sides differ most, the other half measure it, so that its interval is honest.
    """

    n: tuple[int, int]
    n_signatures: int
    covered: float
    chi2: float
    df: int
    p_value: float
    total_variation: float
    by_chance: float
    distance: Interval

    def rejects(self, level: float = 1e-3) -> bool:
        """Say whether the two laws differ, at a level that allows for how often one asks (Bonferroni)."""
        return self.p_value < level

    def text(self) -> str:
        """Return the result in one line, its weakness included."""
        if not self.df:
            return f"nothing to tell apart: {self.n_signatures} signatures, none or one seen {LEAST} times"
        p = f"p = {self.p_value:.2g}" if self.p_value >= 1e-15 else "p < 1e-15"
        return (
            f"χ² = {self.chi2:.4g} ({self.df} df), {p}; total variation {self.total_variation:.3g}, by chance "
            f"{self.by_chance:.3g}; {self.n[0]} + {self.n[1]} models, {self.covered:.0%} in cells of their own"
        )


def law(
    fit: Callable[[Data, int], Fitted],
    forget: Callable[[Fitted], Fitted],
    predict: Callable[[Fitted], npt.ArrayLike],
    data: Data,
    kept: Data,
    *,
    n_seeds: int = 1000,
) -> Comparison:
    """Compare "fit on all, then forget" with "fit on what is kept", over fresh seeds on each side.

    Args:
        fit: (data, seed) → model; has to draw all its randomness from the seed.
        forget: model → model without the records; may change it in place.
        predict: model → numbers, best predictions on a small grid around the data; rounded to 9 digits, they are the
            model's signature. Few different signatures give power: ask for coarse predictions of tiny models.
        data: all records.
        kept: the records without the forgotten ones.
        n_seeds: models on each side; seeds are 0 … 2·n_seeds − 1, no seed on both sides: the samples are independent.

    Returns:
        The comparison. That it rejects nothing proves no exactness; it says that these signatures show no difference.

    Cost: 2·n_seeds fits.
    Source: spec X11.
    """
    scratch, forgotten = range(n_seeds), range(n_seeds, 2 * n_seeds)
    return compare_laws(
        [signature(predict(forget(fit(data, seed)))) for seed in forgotten],
        [signature(predict(fit(kept, seed))) for seed in scratch],
    )


def signature(values: npt.ArrayLike, digits: int = 9) -> bytes:
    """Return numbers as bytes that are equal where the rounded numbers are."""
    return bytes((np.round(np.asarray(values, np.float64), digits) + 0.0).tobytes())


def compare_laws(forgotten: Sequence[Hashable], scratch: Sequence[Hashable], *, least: int = LEAST) -> Comparison:
    """Compare two samples of signatures.

    Which signatures are cells is decided by the counts of both sides *together*, so the choice cannot favour either;
    rarer signatures share one cell, which is left out if it is rare too.

    Raises:
        BadInput: fewer than two models on a side.
    """
    if min(len(forgotten), len(scratch)) < 2:
        raise BadInput("a comparison of laws needs two models on each side, better hundreds")
    names = {value: code for code, value in enumerate(dict.fromkeys([*forgotten, *scratch]))}
    left, right = (np.array([names[v] for v in side], np.int64) for side in (forgotten, scratch))
    counts = np.stack([np.bincount(side, minlength=len(names)) for side in (left, right)])
    common = counts.sum(axis=0) >= least
    cells = np.column_stack([counts[:, common], counts[:, ~common].sum(axis=1)])
    cells = cells[:, cells.sum(axis=0) >= least]
    chi2, df, p_value = _pearson(cells)
    return Comparison(
        n=(len(left), len(right)),
        n_signatures=len(names),
        covered=float(counts[:, common].sum() / counts.sum()),
        chi2=chi2,
        df=df,
        p_value=p_value,
        total_variation=_variation(counts),
        by_chance=_chance(counts),
        distance=_distance(left, right, len(names)),
    )


def compare_scores(forgotten: npt.ArrayLike, scratch: npt.ArrayLike, bins: int = 10) -> Comparison:
    """Compare two samples of one real number a model, cut at quantiles of both sides together.

    Raises:
        BadInput: fewer than two models on a side, or a score that is not finite.
    """
    left, right = (np.round(np.asarray(side, np.float64), 9) for side in (forgotten, scratch))
    together = np.concatenate([left, right])
    if not np.isfinite(together).all():
        raise BadInput("a score is not finite")
    bins = int(np.clip(len(together) // (2 * LEAST), 2, bins))
    cuts = np.unique(np.quantile(together, np.arange(1, bins) / bins)) if len(together) else together
    return compare_laws(*(np.searchsorted(cuts, side, "left").tolist() for side in (left, right)))


def _pearson(cells: npt.NDArray[np.int64]) -> tuple[float, int, float]:
    """Return χ², degrees of freedom and p-value of a table of shape (2, cells)."""
    from scipy.special import chdtrc

    df = max(cells.shape[1] - 1, 0)
    if not df or not cells.sum(axis=1).all():
        return 0.0, 0, 1.0
    expected = cells.sum(axis=1, keepdims=True) * cells.sum(axis=0) / cells.sum()
    chi2 = float(((cells - expected) ** 2 / expected).sum())
    return chi2, df, float(chdtrc(df, chi2))


def _variation(counts: npt.NDArray[np.int64]) -> float:
    shares = counts / counts.sum(axis=1, keepdims=True)
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _chance(counts: npt.NDArray[np.int64]) -> float:
    """Return the mean total variation of samples of these sizes from one law: the labels are drawn anew."""
    together, m = counts.sum(axis=0), int(counts[0].sum())
    draws = np.random.default_rng(0).multivariate_hypergeometric(together, m, REDRAWS, method="marginals")
    return float(np.mean([_variation(np.stack([drawn, together - drawn])) for drawn in draws]))


def _distance(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], k: int) -> Interval:
    """Return P(event | forgotten) − P(event | scratch) by Newcombe; the event was chosen on other models."""
    share = [np.bincount(side[::2], minlength=k) / len(side[::2]) for side in (left, right)]
    event = share[0] > share[1]
    a, b = (proportion(int(event[side[1::2]].sum()), len(side[1::2])) for side in (left, right))
    gap = a.value - b.value
    low = gap - float(np.hypot(a.value - a.low, b.high - b.value))
    high = gap + float(np.hypot(a.high - a.value, b.value - b.low))
    return Interval(gap, max(-1.0, low), min(1.0, high), len(left) + len(right))


@dataclass(frozen=True)
class Law:
    """The model's own forgetting, over fresh keys: mean loss of the forgotten and of the holdout, against refits.

    Each model is one draw; what is compared is the distribution of one number a model, cut at joint quantiles. A
    probe of the method, not of the one model that is served: that one is settled by its digest (`likeness`).

    Guarantee: none; a test. It can refute exactness in law and cannot prove it; the note says how strong it was.
    Cost: 2·n_seeds fits, and one deletion for half of them.
    Source: spec X11.
    """

    n_seeds: int = 100

    def measure(self, case: Case) -> Sequence[Evidence]:
        """Return a lower estimate of the total variation for each group of records, the test beside it."""
        names = [f"law.distance_{group}@after" for group in ("forgotten", "holdout")]
        if not isinstance(case.before.model, Forgets):
            return [Evidence.missing(name, "the model does not forget by itself") for name in names]
        try:
            forgotten, scratch = self._losses(case)
        except ExpungeError as error:
            return [Evidence.missing(name, error.message) for name in names]
        found = []
        for column, (name, data) in enumerate(zip(names, (case.forgotten, case.holdout), strict=True)):
            if len(data) < 2:
                found.append(Evidence.missing(name, "the result of a single record is not published"))
                continue
            found.append(_evidence(name, compare_scores(forgotten[:, column], scratch[:, column]), case.seed))
        return found

    def _losses(self, case: Case) -> tuple[Floats, Floats]:
        """Return the mean losses of models that forgot and of models that never learnt, shape (n_seeds, 2) each."""
        before, ids = case.before, case.forgotten.ids.tolist()
        keys = [before.key.child(f"{case.seed}/law/{j}") for j in range(2 * self.n_seeds)]
        kept = before.data.without(ids)
        groups = (case.forgotten, case.holdout)

        def forgot(key: Key) -> list[float]:
            model = before.learner.fit(before.data, key)
            return _means(model.without(ids).losses, groups) if isinstance(model, Forgets) else []

        left = [forgot(key) for key in keys[: self.n_seeds]]
        right = [_means(before.learner.fit(kept, key).losses, groups) for key in keys[self.n_seeds :]]
        return np.array(left), np.array(right)


def _means(losses: Callable[[Dataset], Floats], groups: Sequence[Dataset]) -> list[float]:
    return [float(losses(data).mean()) if len(data) else 0.0 for data in groups]


def _evidence(name: str, found: Comparison, seed: str) -> Evidence:
    value, low, high, n = found.distance
    return Evidence(
        name=name,
        estimator="how much likelier an event of the mean loss is after forgetting; chosen on other models",
        value=value,
        low=low,
        high=high,
        n=n,
        unit="models",
        n_models=n,
        seeds=(seed,),
        note=found.text(),
    )
