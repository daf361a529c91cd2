"""What every membership attack on pools shares: who is told from whom, on which models it is fitted, how it is rated.

An attack gives each model and record a score; records that are *in* play against records that are *out* make its AUC.
It is fitted on other models than it is scored on (folds), and rated again without each block of models (jackknife).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from expunge.audit.pools import Codes, Mask, Pool, World
from expunge.audit.statistics import Estimate, Harmful, Positions, blocks, of_deletions
from expunge.core import estimates
from expunge.core.errors import BadInput
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

Left = int | None
"""The block of models that is left out; None = all models play."""

FLAGGED_BELOW: Final = 10.0
"""A rate f rests on at least this many false positives, that is 10 / f negatives; with fewer it carries a note."""
REFUSED_FROM: Final = 0.001
"""Rates as small as this are not given at all below that number."""


@dataclass(frozen=True, eq=False)
class Split:
    """Which models are fitted on and which are scored, fold by fold and block by block.

    Attributes:
        cells: the cell of each model, shape (M,); models of a cell share fold and block.
        fold: the fold of each cell, shape (cells,).
        block: the block of each cell, shape (cells,).
        sizes: models in each block, shape (blocks,).
    """

    cells: Codes
    fold: Codes
    block: Codes
    sizes: Codes

    @classmethod
    def of(cls, n_models: int, policy: AuditPolicy) -> Split:
        """Return the split of a pool, by position.

        Raises:
            BadInput: fewer than three models.
        """
        left_out = blocks(n_models, policy.n_blocks)
        at = np.arange(n_models)
        folds, groups = at % min(n_models, policy.n_folds), at % len(left_out)
        pairs, cells = np.unique(np.stack([folds, groups]), axis=1, return_inverse=True)
        return cls(cells.ravel(), pairs[0], pairs[1], np.array([len(b) for b in left_out]))

    def playing(self, left: Left) -> Mask:
        """Return which models play, shape (M,)."""
        return np.asarray(self.block[self.cells] != left) if left is not None else np.ones(len(self.cells), bool)

    def rounds(self, left: Left) -> Iterator[tuple[Mask, Positions]]:
        """Yield, fold by fold, the cells to fit on, shape (cells,), and the models to score."""
        plays = np.ones(len(self.block), bool) if left is None else self.block != left
        for fold in np.unique(self.fold):
            fit, score = plays & (self.fold != fold), plays & (self.fold == fold)
            targets = np.flatnonzero(score[self.cells])
            if len(targets) and fit.any():
                yield fit, targets


@dataclass(frozen=True, eq=False)
class Arena:
    """Pools with the same models (by pair) in the same order, and their split.

    Attributes:
        world: whose models are attacked.
        pools: by world; what the attack may learn from.
        split: folds and blocks.
    """

    world: World
    pools: dict[World, Pool]
    split: Split

    @property
    def target(self) -> Pool:
        """The pool under attack."""
        return self.pools[self.world]


@dataclass(frozen=True, eq=False)
class Board:
    """Scores of an attack, larger = more like the records that are *in*.

    Attributes:
        scores: shape (M, n).
        inside: which of them are of records that are in, shape (M, n).
        outside: which of them are of records that are out, shape (M, n).
        groups: name → which of them are of a group that is rated by itself, shape (M, n).
    """

    scores: Floats
    inside: Mask
    outside: Mask
    groups: Mapping[str, Mask] = field(default_factory=dict)

    def sides(self, only: Mask | None = None) -> tuple[Floats, Floats]:
        """Return the scores of both sides, flat; of all models and records or of some, shape (M, n) or (M, 1)."""
        if only is None:
            return self.scores[self.inside], self.scores[self.outside]
        return self.scores[self.inside & only], self.scores[self.outside & only]


@dataclass(frozen=True)
class Attack:
    """A membership attack on pools.

    Attributes:
        name: as in the evidence.
        how: in words.
        play: prepares an arena and returns what gives the board with a block left out.
        measures: ``auc``, ``auc_<group>`` of the board, ``balanced_accuracy`` (at 0), ``tpr`` (at the policy's rates).
        needs: pools beside the one under attack.
        fewest: models that it needs.
        by_model: each model is rated by itself, and the mean is taken; else all scores are pooled.
        harmful: the side of the reference's value on which forgetting is incomplete.
        note: what must be said.
        redrawn: it plays the pool under attack alone, forgotten against never learnt: its null comes from drawing
            again which of a retrained pool's records were forgotten.
    """

    name: str
    how: str
    play: Callable[[Arena], Callable[[Left], Board]]
    measures: tuple[str, ...] = ("auc",)
    needs: tuple[World, ...] = ()
    fewest: int = 3
    by_model: bool = False
    harmful: Harmful = "higher"
    note: str | None = None
    redrawn: bool = False


def area(inside: Floats, outside: Floats) -> float:
    """Return P(a score of the inside is higher), ties one half.

    Raises:
        BadInput: a side is empty, or a score is NaN.
    """
    if not len(inside) or not len(outside):
        raise BadInput(f"an AUC needs scores on both sides, not {len(inside)} and {len(outside)}")
    low, rank = np.sort(outside), np.sort(inside)
    if np.isnan(low[-1]) or np.isnan(rank[-1]):
        raise BadInput("a score is NaN and has no rank")
    below = np.searchsorted(low, rank, "left") + np.searchsorted(low, rank, "right")
    return float(below.mean() / (2 * len(low)))


def true_positives(inside: Floats, outside: Floats, fpr: float) -> float:
    """Return the share of the inside above the smallest threshold whose false positive rate is at most `fpr`.

    Raises:
        BadInput: a side is empty; or a rate of 0.1 % or less with fewer than 10 / `fpr` negatives, where the true rate
            behind the nominal one is unknown.

    Source: spec section 6.2; strictly above the threshold, so that ties never raise the false positive rate.
    """
    if not len(inside) or not len(outside):
        raise BadInput(f"a true positive rate needs scores on both sides, not {len(inside)} and {len(outside)}")
    if fpr <= REFUSED_FROM and is_few(len(outside), fpr):
        raise BadInput(
            f"TPR at {fpr:.2%} is not given below {int(np.ceil(FLAGGED_BELOW / fpr)):,} negatives, and there are "
            f"{len(outside):,}"
        )
    return float((inside > estimates.threshold_at(outside, fpr)).mean())


def is_few(n_negatives: int, fpr: float) -> bool:
    """Say whether a rate rests on fewer than ten false positives."""
    return n_negatives * fpr < FLAGGED_BELOW - estimates.ROUNDING


def balanced_accuracy(inside: Floats, outside: Floats, threshold: float = 0.0) -> float:
    """Return ½ (share of the inside above the threshold + share of the outside not above it); ties count one half."""
    right = [((s > threshold).mean() + (s >= threshold).mean()) / 2 for s in (inside, outside)]
    return float((right[0] + 1 - right[1]) / 2)


def rate_name(fpr: float) -> str:
    """Return how a false positive rate is written in a name: ``tpr_1pct``, ``tpr_1permille``."""
    return f"tpr_{100 * fpr:g}pct" if fpr >= 0.01 else f"tpr_{1000 * fpr:g}permille"


@dataclass(frozen=True, eq=False)
class Rated:
    """What one attack gives on one arm: each measure for all models, and without each block.

    Attributes:
        values: measure → shape (1 + blocks,), the first of all models.
        refused: measure → why it is not given.
        sizes: models in each block.
        n_inside: scores of records that are in.
        n_outside: scores of records that are out.
    """

    values: dict[str, Floats]
    refused: dict[str, str]
    sizes: Codes
    n_inside: int
    n_outside: int

    def estimate(self, measure: str, less: Rated | None = None) -> Estimate:
        """Return a measure, or its difference to another arm's on the same blocks, with its jackknife error.

        Raises:
            BadInput: the measure is refused, or not finite without a block.
        """
        for rated in (self, less):
            if rated is not None and measure in rated.refused:
                raise BadInput(rated.refused[measure])
        values = self.values[measure] - (0.0 if less is None else less.values[measure])
        return of_deletions(float(values[0]), values[1:], self.sizes)


def measures_of(attack: Attack, policy: AuditPolicy) -> dict[str, float]:
    """Return the attack's measures by name, with the false positive rate of those that have one (else 0)."""
    rates = {rate_name(f): f for f in policy.fprs} if "tpr" in attack.measures else {}
    return {m: 0.0 for m in attack.measures if m != "tpr"} | rates


def rate(attack: Attack, arena: Arena, policy: AuditPolicy) -> Rated:
    """Play an attack with all models, and without each block.

    Raises:
        BadInput: too few models or records.
    """
    if len(arena.target) < attack.fewest:
        raise BadInput(f"it needs {attack.fewest} models or more, and there are {len(arena.target)}")
    board = attack.play(arena)
    rows: list[dict[str, float | str]] = []
    counts = (0, 0)
    for left in (None, *range(len(arena.split.sizes))):
        played = board(left)
        if left is None:
            counts = int(played.inside.sum()), int(played.outside.sum())
        rows.append(measured(attack, played, policy))
    refused: dict[str, str] = {}
    values: dict[str, Floats] = {}
    for name in rows[0]:
        why = [found for row in rows if isinstance(found := row[name], str)]
        if why:
            refused[name] = why[0]
        else:
            values[name] = np.array([row[name] for row in rows], np.float64)
    return Rated(values, refused, arena.split.sizes, *counts)


def measured(attack: Attack, board: Board, policy: AuditPolicy) -> dict[str, float | str]:
    """Return the attack's measures of a board, by name; where one is not given, why."""
    sides = board.sides()
    found: dict[str, float | str] = {}
    for name, fpr in measures_of(attack, policy).items():
        try:
            found[name] = _measure(attack, name, fpr, board, sides)
        except BadInput as error:
            found[name] = error.message
    return found


def _measure(attack: Attack, name: str, fpr: float, board: Board, sides: tuple[Floats, Floats]) -> float:
    if fpr:
        return true_positives(*sides, fpr)
    if name == "balanced_accuracy":
        return balanced_accuracy(*sides)
    if attack.by_model:
        return _area_by_model(board)
    return area(*sides) if name == "auc" else area(*board.sides(board.groups[name.removeprefix("auc_")]))


def _area_by_model(board: Board) -> float:
    """Return the mean AUC of the models that have scores on both sides."""
    plays = np.flatnonzero(board.inside.any(axis=1) & board.outside.any(axis=1))
    if not len(plays):
        raise BadInput("no model has records on both sides")
    areas = [area(board.scores[i][board.inside[i]], board.scores[i][board.outside[i]]) for i in plays]
    return float(np.mean(areas))
