"""``Serving``: weights after forgetting from a kept inverse, in O(d²) a record, until the sums are solved again.

With z the codes of the m forgotten records from the mean, U = A⁻¹Zᵀ and e their residuals under the weights W before,
the weights afterwards are ``W - U·(I - 11ᵀ/n - ZU)⁻¹·e`` (Woodbury's identity on the centred normal equations).
The inverse is that of A with the penalty as it was. Standardisation moves with every record and changes A by a share of
about α/n²; where that shows, it enters the weights to first order, or the sums are solved afresh. When a block of
records is taken into the inverse, a keyed probe vector tells how far it has gone, and the weights are refined.

Source: spec XL04 (the *serving* path).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from expunge.core.dataset import Dataset
from expunge.core.seeds import Key
from expunge.models.encoding.scale import Scale
from expunge.models.linear.gram import Goal, design
from expunge.models.linear.normal import Normal, solve
from expunge.models.linear.totals import WAITING, Book, Rows, Totals, gathered

if TYPE_CHECKING:
    from expunge.core.roles import Floats

NARROW = 160
"""With fewer columns, solving afresh is as fast."""
RESIDUAL = 1e-7
"""How far A⁻¹A·r may be from a keyed vector r of ±1."""
SHOWS, STALE = 1e-9, 1e-4
"""Shares of the weights by which they are off, to first order, because the penalty has moved: from the first on it is
corrected, and above the second, where the second order would show, not trusted."""
LEAST = 1e-6
"""The smallest pivot of the small system that is trusted."""


@dataclass(frozen=True)
class Start:
    """Sums, weights and inverse as of some moment.

    Attributes:
        n: records then.
        mean: of the codes then, shape (d,).
        base: mean of what is regressed then, shape (q,).
        weights: without intercepts, shape (d, q).
        spread: n·variance of the codes, shape (d,).
        inverse: A⁻¹, shape (d, d).
        alpha: the penalty.
    """

    n: float
    mean: Floats
    base: Floats
    weights: Floats
    spread: Floats
    inverse: Floats
    alpha: float

    @classmethod
    def of(cls, system: Normal, n: float, weights: Floats, inverse: Floats, alpha: float) -> Start:
        """Return a start from a system of all columns, or of those that vary; the others then get zeros."""
        varies, d = system.varies, len(system.mean)
        spread = np.diagonal(system.scatter) / (1.0 + alpha / n)
        if not varies.all():
            spread, inverse, some = np.zeros(d), np.zeros((d, d)), (spread, inverse)
            spread[varies], inverse[np.ix_(varies, varies)] = some
        return cls(n, system.mean, system.base, weights, spread, inverse, alpha)


@dataclass(frozen=True)
class Serving:
    """What serves between solutions: a start, and what the records forgotten since change about it.

    Attributes:
        start: as of some moment.
        scale: the encoder now; it gives the same codes as then.
        goal: how the target is encoded, likewise.
        moves: Uᵀ, shape (m, d).
        missed: e, shape (m, q).
        small: the inverse of the small system, shape (m, m).
        codes: Σz, shape (d,).
        squares: Σz², shape (d,).
        wanted: sum of what was regressed of the forgotten, from its mean, shape (q,).
        drifted: the share of a column's own sum that the penalty had moved by when last checked.
        shown: the share of the weights that this was, to first order.
    """

    start: Start
    scale: Scale
    goal: Goal
    moves: Floats
    missed: Floats
    small: Floats
    codes: Floats
    squares: Floats
    wanted: Floats
    drifted: float = 0.0
    shown: float = 0.0

    @classmethod
    def of(cls, book: Book, alpha: float, weights: Floats) -> Serving:
        """Return what serves from these sums and their canonical weights."""
        system = Normal.of(book.sums, book.goal, alpha)
        return cls._fresh(Start.of(system, book.sums.n, weights[1:], system.inverse(), alpha), book)

    @classmethod
    def _fresh(cls, start: Start, book: Book) -> Serving:
        d, q = start.weights.shape
        none = (np.zeros((0, d)), np.zeros((0, q)), np.zeros((0, 0)), np.zeros(d), np.zeros(d), np.zeros(q))
        return cls(start, book.scale, book.goal, *none)

    def less(self, gone: Dataset) -> Serving | None:
        """Return what serves without these records too; None where their codes change meaning, or it is not trusted."""
        scale, goal, start = self.scale.without(gone), self.goal.without(gone), self.start
        if scale is None or goal is None or not scale[1].all():
            return None
        codes = design(self.scale, gone) - start.mean
        wanted = self.goal.whole(self.goal.encode(gone)) - start.base
        moves = codes @ start.inverse
        small = _bordered(self.small, -1.0 / start.n - codes @ self.moves.T, -1.0 / start.n - codes @ moves.T)
        if small is None:
            return None
        after = Serving(
            start,
            scale[0],
            goal,
            np.concatenate([self.moves, moves]),
            np.concatenate([self.missed, wanted - codes @ start.weights]),
            small,
            self.codes + codes.sum(axis=0),
            self.squares + np.einsum("ij,ij->j", codes, codes),
            self.wanted + wanted.sum(axis=0),
            self.drifted,
            self.shown,
        )
        return after._checked()

    def answer(self) -> Floats:
        """Return the weights of the codes, intercepts in row 0, shape (1 + d, q)."""
        start, left = self.start, self.start.n - len(self.moves)
        out = np.empty((1 + len(start.weights), len(start.base)))
        np.subtract(start.weights, self.moves.T @ (self.small @ self.missed), out=out[1:])
        if self.shown > SHOWS:
            out[1:] -= start.inverse @ (self._drift()[:, None] * out[1:])
        out[0] = start.base - self.wanted / left - (start.mean - self.codes / left) @ out[1:]
        return out

    def _drift(self) -> Floats:
        """Return what the penalty on each column moved by, shape (d,)."""
        start, left = self.start, self.start.n - len(self.moves)
        spread = start.spread - self.squares - self.codes * self.codes / left
        return np.asarray(start.alpha * (spread / left - start.spread / start.n))

    def _checked(self) -> Serving | None:
        """Return self, told how far the penalty's moving shows in a mixture of the weights; None if too far."""
        drift, start = self._drift(), self.start
        share = float(np.abs(drift / np.maximum(start.spread, 1.0)).max(initial=0.0))
        if share <= 2 * self.drifted:  # has not doubled since it was looked at
            return self
        mixed = start.weights @ np.cos(np.arange(len(start.base)))
        shown = np.abs(start.inverse @ (drift * mixed)).max() / np.abs(mixed).max(initial=1e-300)
        return None if shown > STALE else replace(self, drifted=share, shown=float(shown))

    def rebased(self, book: Book, key: Key) -> Serving | None:
        """Return the same with the forgotten records taken into the inverse; None where the probe finds it stale."""
        alpha = self.start.alpha
        system = Normal.of(book.sums, book.goal, alpha)
        if not system.varies.all() or book.sums.n != self.start.n - len(self.moves):
            return None
        inverse = self.start.inverse + self.moves.T @ (self.small @ self.moves)
        probe = np.where(key.generator("probe").random(len(inverse)) < 0.5, -1.0, 1.0)
        if np.abs(inverse @ (system.scatter @ probe) - probe).max() > RESIDUAL:
            return None
        weights = self.answer()[1:]
        weights = weights + inverse @ (system.right - system.scatter @ weights)
        return self._fresh(Start.of(system, book.sums.n, weights, inverse, alpha), book)


def _bordered(known: Floats, side: Floats, corner: Floats) -> Floats | None:
    """Return the inverse of I + [[·, sideᵀ], [side, corner]] from that without the border; None if it is singular."""
    k = len(corner)
    spread = side @ known
    rest = corner - spread @ side.T
    rest[np.diag_indices(k)] += 1.0
    if k == 1:
        return None if rest[0, 0] < LEAST else _around(known, spread, 1.0 / rest)
    try:
        if (np.diagonal(np.linalg.cholesky(rest)) ** 2 < LEAST).any():
            return None
    except np.linalg.LinAlgError:
        return None
    return _around(known, spread, np.asarray(np.linalg.inv(rest), np.float64))


def _around(known: Floats, spread: Floats, inner: Floats) -> Floats:
    m, k = len(known), len(inner)
    out = np.empty((m + k, m + k))
    across = inner @ spread
    out[:m, :m] = known + spread.T @ across
    out[m:, :m], out[:m, m:], out[m:, m:] = -across, -across.T, inner
    return out


@dataclass(frozen=True)
class _Now:
    exact: Floats | None = None
    served: Floats | None = None
    serving: Serving | None = None
    ground: tuple[Book, Floats] | None = None
    waiting: tuple[Rows, ...] = ()
    often: bool = False
    worth: bool = True


@dataclass(eq=False)
class Answers:
    """The weights of a model: the canonical ones once they were solved, before that those of a kept inverse.

    Attributes:
        alpha: the penalty.
        now: the canonical weights; those that serve; what they come from, or the sums and weights to make it from; rows
            forgotten since; whether predictions were asked for between deletions, and whether an inverse made for them
            could be trusted. Replaced as a whole.
    """

    alpha: float
    now: _Now = field(default_factory=_Now, repr=False)

    def exact(self, totals: Totals) -> Floats:
        """Return the canonical weights, solved from the sums alone."""
        found = self.now.exact
        if found is None:
            book = totals.read()
            found = solve(book.sums, book.goal, self.alpha)
            self.now = replace(self.now, exact=found, served=None)
        return found

    def settle(self, totals: Totals) -> Floats:
        """Return the canonical weights, and let go of all that holds anything of forgotten records."""
        found = self.exact(totals)
        self.now = _Now(exact=found)
        return found

    def served(self, totals: Totals) -> Floats:
        """Return weights to predict with: canonical, or within about 10⁻⁸ of them while records go one by one."""
        now = self.now
        if now.exact is None and now.served is None:
            now = self._serve(totals, now)
            if now.served is None:
                now = replace(now, exact=self.exact(totals), often=True)
            self.now = now
        found = now.served if now.exact is None else now.exact
        return self.exact(totals) if found is None else found

    def _serve(self, totals: Totals, now: _Now) -> _Now:
        serving, waits = now.serving, sum(len(rows) for _, rows in now.waiting)
        if waits <= WAITING and serving is None and now.ground is not None:
            serving = Serving.of(now.ground[0], self.alpha, now.ground[1])
        for gone in gathered(now.waiting if waits <= WAITING else ()):
            serving = serving and serving.less(gone)
        if serving is not None and len(serving.moves) > WAITING:
            serving = serving.rebased(totals.read(), totals.key)
        found = None if serving is None or waits > WAITING else serving.answer()
        if found is None:
            used = len(now.serving.moves) if now.serving is not None else WAITING * (now.ground is None)
            return _Now(worth=now.worth and (waits > WAITING or used >= WAITING // 2))
        return _Now(served=found, serving=serving, often=True)

    def without(self, totals: Totals, rows: Rows) -> Answers:
        """Return the answers of the model without these rows of these totals."""
        now, (book, booked) = self.now, totals.now
        if now.serving is not None or now.ground is not None:
            return Answers(self.alpha, replace(now, exact=None, served=None, waiting=(*now.waiting, rows)))
        if now.exact is not None and now.often and now.worth and not booked and len(now.exact) > NARROW:
            return Answers(self.alpha, _Now(ground=(book, now.exact), waiting=(rows,), often=True))
        return Answers(self.alpha, _Now(often=now.often, worth=now.worth))
