"""Audits whose truth is known, fast enough for hundreds of repeats: signals of paired pools, and cross-fitted AUCs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

N_FOLDS = 8


@dataclass(frozen=True)
class Audit:
    """Signals of models after (shape (M, n)) and of their partners retrained, and who was forgotten or never there."""

    after: np.ndarray
    reference: np.ndarray
    was: np.ndarray
    never: np.ndarray

    def excess(self, kept=None):
        """AUC after less AUC of the references."""
        return self.auc(self.after, kept) - self.auc(self.reference, kept)

    def auc(self, phi, kept=None):
        kept = np.arange(len(phi)) if kept is None else kept
        scores, usable = cross_fitted(phi[kept], self.was[kept], self.never[kept], kept % N_FOLDS)
        return area(scores[self.was[kept] & usable], scores[self.never[kept] & usable])

    def by_model(self, phi):
        """The AUC of each model's own scores: what a naive t interval would be taken over."""
        scores, usable = cross_fitted(phi, self.was, self.never, np.arange(len(phi)) % N_FOLDS)
        rows = zip(scores, self.was & usable, self.never & usable, strict=True)
        return np.array([area(row[was], row[never]) for row, was, never in rows])


@dataclass(frozen=True)
class Scene:
    """Records of differing difficulty and sway; models that differ as a whole; partners that are somewhat alike."""

    difficulty: np.ndarray
    sway: np.ndarray
    n_models: int = 32
    offset: float = 0.3
    alike: float = 0.3

    @classmethod
    def of(cls, n_records=200, seed=0, **more):
        generator = np.random.default_rng(seed)
        return cls(2 * generator.normal(size=n_records), generator.gamma(1.0, 1.0, n_records), **more)

    def draw(self, generator, left=0.0):
        """One audit: `left` scales what forgotten records keep in the models after."""
        shape = (self.n_models, len(self.difficulty))
        member = generator.random(shape) < 0.5
        was = member & (generator.random(shape) < 0.2)
        common = np.sqrt(self.alike) * generator.normal(size=shape)

        def pool():
            own = np.sqrt(1 - self.alike) * generator.normal(size=shape)
            return self.difficulty + self.offset * generator.normal(size=(self.n_models, 1)) + common + own

        return Audit(pool() + left * self.sway * was, pool(), was, ~member)


def area(positives, negatives):
    m = len(positives)
    ranks = rankdata(np.concatenate([positives, negatives]))
    return (ranks[:m].sum() - m * (m + 1) / 2) / (m * len(negatives))


def cross_fitted(phi, was, never, fold):
    """Log likelihood ratios of was against never with one variance a fold, fitted on the models of the other folds."""
    member = (np.arange(N_FOLDS)[:, None] == fold).astype(float)
    sums, means, counts = 0.0, [], []
    for world in (was, never):
        inside = np.where(world, phi, 0.0)
        count, total, square = ((s := member @ x).sum(0) - s for x in (world.astype(float), inside, inside * phi))
        mean = total / np.maximum(count, 1)
        sums = sums + (square - count * mean * mean).sum(1)
        means.append(mean)
        counts.append(count)
    variance = sums / sum(np.maximum(c - 1, 0).sum(1) for c in counts)
    (of_was, of_never), usable = means, (counts[0] > 0) & (counts[1] > 0)
    scores = ((phi - of_never[fold]) ** 2 - (phi - of_was[fold]) ** 2) / (2 * variance[fold][:, None])
    return scores, usable[fold]
