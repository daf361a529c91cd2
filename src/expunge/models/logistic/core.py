"""``Core``: the secret weights of a logistic head, the curvature behind them, and a proven bound on their gradient.

The objective is ``L(w) = Σ ℓ(w·x) + (λn/2)‖w‖²``, a head. A removal is one Newton step that reads only what goes. What
it leaves of the gradient is bounded without a pass over the data and without the norm of the data: |ℓ'''| ≤ ℓ'', so

    ‖∇L(w+v) - (g + Hv)‖  ≤  C·φ(C(‖z‖+‖v‖))·(√(v'Av)·√(z'Az) + v'Av/2),      φ(s) = (eˢ-1)/s

where A is the curvature of the kept rows at an older point w-z (its penalty apart), and H = A + λn. All of it is in the
kept factor: d² operations. A stale factor, stale rows and rounding are inside the bound, not outside of it.

What a step leaves of the gradient points at the rows that went. So a removal does not aim at gradient zero but at a
veil: a little noise, known here and counted in the residual. Weights that are saved then tell of the veil.

Source: Guo et al. (ICML 2020) for the step; the bound is ours and replaces γ‖X‖₂‖v‖‖Xv‖ (spec U33), which assumes a
fresh factor and needs a certified ‖X‖₂. Self-concordance of the logistic loss: Bach (2010).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from expunge.core.accountant import ROUNDOFF, above, rounding
from expunge.core.errors import BadInput
from expunge.models.logistic.rows import ELEMENTARY, REACH, Rows, chances

if TYPE_CHECKING:
    from expunge.core.roles import Floats

Mask = npt.NDArray[np.bool_]
SAMPLE = 32
"""Rows of the sample that a fit begins on, a column."""
ROUGH = 1e-3
"""Gradient, over √n, at which the curvature of a fit is taken."""
LITTLE, TRIES = 2.0**-20, 6
"""Share of the gradient that a step may leave in its linear model, and how often it tries: that points along the rows
that went."""
MOST = 200
"""Passes after which a fit gives up."""
FAR, NEAR = 16.0, 1e-7
"""A gradient of more than so many times its own rounding error, and above this size, is not the minimum."""


class Bend(NamedTuple):
    """Curvature matrices, the error bound of each, and rows yet to be taken out of them; replaced as a whole."""

    matrix: Floats
    error: Floats
    gone: Floats
    bends: Floats


@dataclass(eq=False)
class Curvature:
    """The second derivatives at a point. To its users a value that never changes; `settle` takes gone rows out.

    Attributes:
        now: matrices of shape (q, D, D) without penalty, bounds on their errors (q,), rows gone since (m, D), and the
            second derivative of the loss at each of them (m, q).
        inverse: about the inverse with penalty, shape (q, D, D): proposes steps, and no proof rests on it. Rows that
            went since are still in it, so it is never written anywhere.
    """

    now: Bend
    inverse: Floats

    @classmethod
    def of(cls, matrix: Floats, error: Floats, penalty: float) -> Curvature:
        """Return curvature with its inverse at a total penalty λn."""
        q, d = matrix.shape[:2]
        try:
            inverse = np.array([np.linalg.inv(m + penalty * np.eye(d)) for m in matrix]).reshape(q, d, d)
        except np.linalg.LinAlgError as singular:
            raise BadInput("the curvature has no inverse in float64", hint="Use a larger penalty.") from singular
        return cls(Bend(matrix, error, np.zeros((0, d)), np.zeros((0, q))), (inverse + inverse.transpose(0, 2, 1)) / 2)

    @classmethod
    def taken(cls, rows: Rows, weights: Floats, penalty: float, share: float = 1.0) -> Curvature:
        """Return the curvature of rows at these weights; of a sample, times n over its size.

        Cost: n d² multiplications a head.
        """
        found = [rows.curvature(weights, head) for head in range(weights.shape[1])]
        d = len(weights)
        matrix = np.array([m for m, _ in found]).reshape(-1, d, d) * share
        return cls.of(matrix, np.array([e for _, e in found]), penalty)

    def times(self, head: int, vectors: Floats) -> Floats:
        """Return the matrix of a head times vectors, shape (D, c)."""
        now = self.now
        found: Floats = now.matrix[head] @ vectors
        return found - now.gone.T @ (now.bends[:, head, None] * (now.gone @ vectors)) if len(now.gone) else found

    def losing(self, gone: Floats, bends: Floats, error: Floats) -> Curvature:
        """Return the curvature without these rows, whose own part is known up to an error; no matrix is touched yet."""
        self.settle()
        return Curvature(Bend(self.now.matrix, self.now.error + error, gone, bends), self.inverse)

    def settle(self) -> None:
        """Take gone rows out of the matrices and let go of them."""
        now = self.now
        if not len(now.gone):
            return
        matrix, m = now.matrix.copy(), len(now.gone)
        for head in range(len(matrix)):
            matrix[head] -= now.gone.T @ (now.bends[:, head, None] * now.gone)
        trace = np.trace(now.matrix, axis1=1, axis2=2)
        error = now.error + (rounding(m + 4) * REACH**2 * now.bends.sum(axis=0) + 2 * ROUNDOFF * trace) * 1.001
        self.now = Bend(matrix, error, now.gone[:0], now.bends[:0])  # one assignment: readers see the old or the new


@dataclass(frozen=True, eq=False)
class Core:
    """Where a model stands, before noise.

    Attributes:
        weights: shape (D, q), D = 1 + d.
        anchor: where the curvature was taken, shape (D, q): the minimum with rows that went since, so it is never
            written anywhere.
        gradient: what is known of the gradient at `weights`, shape (D, q).
        slack: bound on the norm of what is not known of it, shape (q,).
        curvature: of the kept rows.
    """

    weights: Floats
    anchor: Floats
    gradient: Floats
    slack: Floats
    curvature: Curvature

    @property
    def norms(self) -> Floats:
        """The norm of the known gradient of each head, shape (q,)."""
        return norms(self.gradient)

    @property
    def residual(self) -> float:
        """The proven bound on the gradient's norm, all heads together: noise is drawn for all of them at once."""
        return above(math.hypot(*(self.norms * (1 + 2.0**-30) + self.slack).tolist()))

    @property
    def least(self) -> float:
        """The proven bound on the same from below."""
        return math.hypot(*np.maximum(self.norms * (1 - 2.0**-30) - self.slack, 0.0).tolist()) * (1 - 2.0**-40)


def norms(columns: Floats) -> Floats:
    """Return the norm of each column, shape (q,)."""
    found: Floats = np.sqrt(np.einsum("ij,ij->j", columns, columns))
    return found


def anchored(weights: Floats, rows: Rows, penalty: float) -> Core:
    """Return the core at these weights, made of nothing but them and the kept rows: both derivatives are taken there.

    Cost: one pass, and n d² a head.
    """
    q = weights.shape[1]
    curvature = Curvature.taken(rows, weights, penalty * len(rows))
    core = Core(weights, weights, np.zeros_like(weights), np.full(q, np.inf), curvature)
    return measured(core, rows, penalty)


@np.errstate(over="ignore", invalid="ignore")  # a step too far to be computed has no finite bound
def step(core: Core, gone: Rows, penalty: float, n: int, veil: Floats | None = None) -> Core:
    """Return the core after one Newton step that takes rows out; reads no other row.

    Args:
        core: of n rows.
        gone: the rows that go.
        penalty: λ, a record.
        n: rows before.
        veil: the gradient to be left, shape (D, q); none by default.

    Cost: 2d² + 4md multiplications a head; the curvature's matrices follow when it settles (d² and more, m d²).
    """
    rows, left, w = gone.dense(), n - len(gone), core.weights
    shares = chances(rows @ np.concatenate([w, core.anchor], axis=1))
    now, then = shares[:, : w.shape[1]], shares[:, w.shape[1] :]
    size = rounding(len(w) + 4) * REACH * norms(core.anchor) / 4 + 2 * ELEMENTARY
    curvature = core.curvature.losing(rows, then * (1.0 - then), 1.001 * len(gone) * REACH**2 * size)
    lost = rows.T @ (now - gone.answers) + penalty * len(gone) * w
    veil = np.zeros_like(w) if veil is None else veil
    gradient, error = core.gradient - lost - veil, curvature.now.error
    moved, rest, slack = np.zeros_like(w), np.zeros_like(w), np.zeros_like(core.slack)
    for head in range(w.shape[1]):
        z = w[:, head] - core.anchor[:, head]
        fuzz = float(error[head]) + rounding(len(w) + len(gone) + 16) * n * REACH**2 / 4
        found = _newton((curvature, head), gradient[:, head], z, penalty * left, fuzz)
        moved[:, head], rest[:, head], slack[head] = found
    weights = w + moved
    known = np.abs(core.gradient) + np.abs(veil)
    slack = (slack + core.slack + _step_rounding(len(gone), n, penalty, weights, w, known)) * (1 + 2.0**-30)
    return Core(weights, core.anchor, rest + veil, slack, curvature)


def _newton(
    at: tuple[Curvature, int], gradient: Floats, z: Floats, penalty: float, fuzz: float
) -> tuple[Floats, Floats, float]:
    """Return (a step v, what the linear model leaves, the bound on the rest); again where a stale inverse left much."""
    curvature, head = at
    little = LITTLE * float(np.linalg.norm(gradient))
    v = -(curvature.inverse[head] @ gradient)
    bent = curvature.times(head, np.stack([v, z], axis=1))
    for last in range(1 - TRIES, 1):
        rest = gradient + bent[:, 0] + penalty * v
        if last == 0 or not float(np.linalg.norm(rest)) > little:
            break
        v = v - curvature.inverse[head] @ rest
        bent[:, 0] = curvature.times(head, v[:, None])[:, 0]
    return v, rest, _left((v, float(v @ bent[:, 0])), (z, float(z @ bent[:, 1])), fuzz)


def _left(step: tuple[Floats, float], since: tuple[Floats, float], fuzz: float) -> float:
    """Return the bound of the module's opening for v and z, each with v'Av, and with the error of A itself."""
    size_v, size_z = (math.sqrt(float(x @ x)) * (1 + 2.0**-30) for x, _ in (step, since))
    far = REACH * (size_v + size_z)
    if not far <= 500:  # or not a number
        return math.inf
    energy_v, energy_z = (max(0.0, e) + fuzz * s**2 for (_, e), s in ((step, size_v), (since, size_z)))
    grows = math.expm1(far) / far if far > 0 else 1.0
    return above(REACH * grows * (math.sqrt(energy_v * energy_z) + energy_v / 2) + fuzz * size_v)


def _step_rounding(m: int, n: int, penalty: float, after: Floats, before: Floats, known: Floats) -> Floats:
    """Return bounds on what rounding hides in one step: the lost gradients, the sums, and w + v itself; shape (q,)."""
    size = np.maximum(norms(after), norms(before))
    lost = m * REACH * (rounding(len(after) + 4) * REACH * size / 4 + ELEMENTARY + rounding(m + 4))
    steep = n * (REACH**2 / 4 + penalty)
    return np.asarray((lost + 8 * ROUNDOFF * (steep * size + m * REACH + norms(known))) * 1.001)


@np.errstate(over="ignore", invalid="ignore")
def measured(core: Core, rows: Rows, penalty: float, veil: Floats | float = 0.0) -> Core:
    """Return the core with its gradient measured, less a veil: one pass over the kept rows."""
    total, n = penalty * len(rows), len(rows)
    gradient, error = rows.gradient(core.weights)
    size = total * norms(core.weights) + n * REACH * 2 * ROUNDOFF
    return replace(core, gradient=gradient + total * core.weights - veil, slack=(error + 8 * ROUNDOFF * size) * 1.001)


def converge(
    core: Core, rows: Rows, penalty: float, aim: float, passes: int, veil: Floats | float = 0.0
) -> tuple[Core, int]:
    """Return (a core whose residual is at most `aim`, or as small as float64 can prove; passes over the rows).

    Newton steps with the curvature at hand, measured after each. A head that gains less than half gets its curvature
    anew; one that gains nothing with a fresh curvature takes half the step. With a `veil` it goes where the gradient
    is the veil, and says how far from it it is.
    """
    core, used = measured(core, rows, penalty, veil), 1
    share, fresh = np.ones(len(core.slack)), np.zeros(len(core.slack), bool)
    while used < passes and core.residual > aim and (rough := core.norms > core.slack / 4).any() and share.all():
        steps = np.einsum("qij,jq->iq", core.curvature.inverse, core.gradient)
        trial = measured(replace(core, weights=core.weights - share * rough * steps), rows, penalty, veil)
        better, slow = trial.norms < core.norms, rough & (trial.norms > core.norms / 2)
        core, used = _mixed(core, trial, better), used + 1
        share = np.where(better | ~rough, 1.0, np.where(fresh, np.where(share > 1e-6, share / 2, 0.0), share))
        fresh &= ~better
        if used < passes - 1 and (again := slow & ~fresh).any():
            core, fresh = _renewed(core, rows, penalty, again), fresh | again
            used += 1
    return core, used


def begin(rows: Rows, penalty: float, start: Floats | None = None) -> tuple[Core, int]:
    """Return (the core at the minimum, its curvature taken there; passes): first on a sample, then on all rows."""
    n, q, d = len(rows), rows.answers.shape[1], 1 + rows.codes.shape[1]
    stride, sample = max(1, n // (SAMPLE * d)), rows
    weights = np.zeros((d, q)) if start is None else start
    if stride > 1:
        sample = rows.take(slice(None, None, stride))
        weights = begin(sample, penalty, start)[0].weights
    curvature = Curvature.taken(sample, weights, penalty * n, n / len(sample))
    core = Core(weights, weights, np.zeros((d, q)), np.full(q, np.inf), curvature)
    core, first = converge(core, rows, penalty, ROUGH * math.sqrt(n), MOST)
    core, then = converge(_renewed(core, rows, penalty, np.ones(q, bool)), rows, penalty, 0.0, MOST)
    return core, first + then + 1


def check_minimum(core: Core, passes: int) -> None:
    """Refuse a core that is not at the minimum.

    Raises:
        BadInput: how much of the gradient is left.
    """
    if not (core.norms <= np.maximum(FAR * core.slack, NEAR)).all() or not math.isfinite(core.residual):
        left = f"a gradient of {core.residual:.3g} is left after {passes} passes"
        raise BadInput(f"the fit did not reach its minimum: {left}", hint="Use a larger penalty.")


def _renewed(core: Core, rows: Rows, penalty: float, heads: Mask) -> Core:
    """Return the core with the curvature of some heads taken at their weights; the others keep theirs."""
    new = Curvature.taken(rows, core.weights[:, heads], penalty * len(rows))
    core.curvature.settle()
    now, anchor = core.curvature.now, core.anchor.copy()
    matrix, error, inverse = now.matrix.copy(), now.error.copy(), core.curvature.inverse.copy()
    matrix[heads], error[heads], inverse[heads] = new.now.matrix, new.now.error, new.inverse
    anchor[:, heads] = core.weights[:, heads]
    return replace(core, anchor=anchor, curvature=Curvature(now._replace(matrix=matrix, error=error), inverse))


def _mixed(core: Core, trial: Core, better: Mask) -> Core:
    """Return the heads of the trial where they are better, the others as they were."""
    return replace(
        core,
        weights=np.where(better, trial.weights, core.weights),
        gradient=np.where(better, trial.gradient, core.gradient),
        slack=np.where(better, trial.slack, core.slack),
    )
