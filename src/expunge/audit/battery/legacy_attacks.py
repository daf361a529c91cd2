"""M08–M10, attacks as the literature reports them: no null, one side, one model; here beside their corrected values.

Their numbers say nothing by themselves: a share of forgotten records called members depends on how hard these records
are. Each arm's value is named ``_legacy``; the excess over the retrained reference is what may be read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from expunge.audit.battery import per_model
from expunge.audit.battery.per_model import Measured, Naming
from expunge.audit.battery.rmia import log_probability, population_of
from expunge.audit.pools import FORGOTTEN, KEPT, Codes, Pool, Pools
from expunge.core.errors import BadInput
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats
from expunge.core.seeds import Key

MOST_MODELS: Final = 16
"""Models of each pool that are attacked: every one of them trains attacks of its own."""
MOST_ROWS: Final = 1000
"""Records on each side that an attack is trained on."""
TINY: Final = 1e-30

Signal = Callable[[Pool], Floats]
NO_AUC: Final = (
    "Forgotten records only, no AUC and no null (W5): compare with the reference's value, never with 0 or 1."
)


def confidence(pool: Pool) -> Floats:
    """Return the probability of the true class, shape (M, n)."""
    return np.asarray(np.exp(log_probability(pool.phi)))


def correctness(pool: Pool) -> Floats:
    """Return 1.0 where the prediction is right, shape (M, n)."""
    return pool.correct


def entropy(pool: Pool) -> Floats:
    """Return the entropy of each prediction in nats, shape (M, n)."""
    return np.array([-(p * np.log(np.maximum(p, TINY))).sum(axis=1) for p in pool.probabilities()])


def modified_entropy(pool: Pool) -> Floats:
    """Return the modified entropy of each prediction in nats, shape (M, n)."""
    return np.array([modified_entropies(p, pool.truth) for p in pool.probabilities()])


def modified_entropies(probabilities: Floats, truth: Codes) -> Floats:
    """Return −(1 − p_y) log p_y − Σ_{c≠y} p_c log(1 − p_c), shape (n,): small where the *right* class is sure.

    Source: Song and Mittal (2021), eq. 8. B17: a public version takes the other classes' columns of the whole batch's
        labels, and log p_c in place of log(1 − p_c).
    """
    rows = np.arange(len(truth))
    right = probabilities[rows, truth]
    others = probabilities * np.log(np.maximum(1.0 - probabilities, TINY))
    others[rows, truth] = 0.0
    return np.asarray(-(1.0 - right) * np.log(np.maximum(right, TINY)) - others.sum(axis=1))


@dataclass(frozen=True)
class OneSided:
    """An attack of the literature: trained on kept against population records, asked about forgotten records alone.

    Attributes:
        signal: what it sees of each record.
        machine: ``svc`` (M08: RBF, C 3, gamma auto; share called non-member) or ``logistic`` (M09: balanced; share
            called member).

    Guarantee: none; miscalibrated by design, and printed only beside the reference's value.
    Cost: one fit a model, for at most 16 models and 1,000 records a side.
    Source: M08 as in SalUn's code, M09 as in Bad-T's and SSD's; sides are cut to equal size for the first.
    """

    signal: Signal
    machine: str = "svc"

    def measure(self, pool: Pool, policy: AuditPolicy) -> Measured:
        """Return the share for each model.

        Raises:
            BadInput: no population, or a model without kept or forgotten records.
        """
        some = pool.take(np.arange(min(len(pool), MOST_MODELS)))
        signals, outside = self.signal(some), population_of(some)
        kept, forgotten = some.has(KEPT), some.has(FORGOTTEN)
        shares = []
        for i, pair in enumerate(some.pairs):
            generator = Key.public(policy.seeds[0]).child(f"legacy/{pair}").generator(self.machine)
            sides = [_rows(side[i], generator) for side in (kept, outside)]
            if self.machine == "svc":
                sides = [s[: min(map(len, sides))] for s in sides]
            shares.append(self.share(*(signals[i][s] for s in sides), asked=signals[i][forgotten[i]]))
        return Measured(some.pairs, np.array(shares), int(forgotten.any(axis=0).sum()))

    def share(self, kept: Floats, outside: Floats, *, asked: Floats) -> float:
        """Return the share of the records asked about that are called non-members (SVC) or members (logistic).

        Args:
            kept: signals of members that the attack is trained on.
            outside: signals of non-members that it is trained on.
            asked: signals of the forgotten records.

        Raises:
            BadInput: one of them is empty.
        """
        if not min(len(kept), len(outside), len(asked)):
            raise BadInput("this attack needs kept, forgotten and population records in every model")
        seen = np.concatenate([kept, outside])[:, None]
        member = np.repeat([1, 0], [len(kept), len(outside)])
        called = float(_machine(self.machine).fit(seen, member).predict(asked[:, None]).mean())
        return 1.0 - called if self.machine == "svc" else called


def _machine(name: str) -> Any:
    if name == "svc":
        from sklearn.svm import SVC

        return SVC(C=3.0, gamma="auto", kernel="rbf")
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(class_weight="balanced", max_iter=1000)


def _rows(side: np.ndarray[Any, np.dtype[np.bool_]], generator: np.random.Generator) -> np.ndarray[Any, Any]:
    return generator.permutation(np.flatnonzero(side))[:MOST_ROWS]


def forgetting_rate(called_before: Floats, called_after: Floats) -> float:
    """Return (members no longer called so) / (members called so at first + 0.01).

    Args:
        called_before: 1.0 where a forgotten record was called a member of the original, shape (m,).
        called_after: the same of the model after, shape (m,).

    Source: M10; Ma et al. (2022), with the spec's 0.01 against division by zero.
    """
    return float((called_before.sum() - called_after.sum()) / (called_before.sum() + 0.01))


@dataclass(frozen=True)
class Shokri:
    """M10: one attack for each class, trained on shadows of the model before, applied before and after.

    Attributes:
        n_shadows: models that the attacks are trained on: the last of the pool before; none of them is asked.

    Guarantee: none; the shadows never pass the unlearner (W8), and the rate has no null of its own.
    Cost: one logistic regression a class.
    Source: Shokri et al. (2017), attack models on class probabilities; on φ where only signals were handed over.
    """

    n_shadows: int = 8

    def measure(self, pools: Pools, pool: Pool) -> Measured:
        """Return the forgetting rate of each of the first models of a pool that has a partner before.

        Raises:
            BadInput: too few models.
        """
        before = pools.need("before")
        shadows = before.take(np.arange(len(before))[-self.n_shadows :])
        _, left, right = np.intersect1d(before.pairs, pool.pairs, return_indices=True)
        apart = ~np.isin(before.pairs[left], shadows.pairs)
        left, right = left[apart][:MOST_MODELS], right[apart][:MOST_MODELS]
        if len(left) < 3:
            raise BadInput(f"Shokri's attack needs {self.n_shadows} shadows and three models beside, in pairs")
        attacks = _by_class(shadows)
        original, now = before.take(left), pool.take(right)
        rates = [
            forgetting_rate(_called(attacks, a, truth), _called(attacks, b, truth))
            for a, b, truth in _forgotten(original, now)
        ]
        return Measured(original.pairs, np.array(rates), int(original.has(FORGOTTEN).any(axis=0).sum()))


def _features(pool: Pool) -> Floats:
    """Return what the attack sees, shape (M, n, features): class probabilities, or φ."""
    return np.array(list(pool.probabilities())) if pool.has_logits else pool.phi[:, :, None]


def _by_class(shadows: Pool) -> dict[int, Any]:
    """Return one attack for each class with members and others among the shadows' records."""
    seen, member = _features(shadows), (shadows.has(KEPT) | shadows.has(FORGOTTEN)).astype(int)
    attacks = {}
    for label in np.unique(shadows.truth):
        rows = shadows.truth == label
        X, y = seen[:, rows].reshape(-1, seen.shape[-1]), member[:, rows].ravel()
        if 0 < y.sum() < len(y):
            attacks[int(label)] = _machine("logistic").fit(X, y)
    return attacks


def _forgotten(original: Pool, now: Pool) -> list[tuple[Floats, Floats, Codes]]:
    """Return, model by model, what the attack sees of the forgotten records before and after, and their classes."""
    before, after, forgotten = _features(original), _features(now), original.has(FORGOTTEN)
    return [(before[i][rows], after[i][rows], original.truth[rows]) for i, rows in enumerate(forgotten)]


def _called(attacks: dict[int, Any], seen: Floats, truth: Codes) -> Floats:
    """Return 1.0 where a record is called a member, shape (m,)."""
    called = np.zeros(len(truth))
    for label, attack in attacks.items():
        rows = truth == label
        if rows.any():
            called[rows] = attack.predict(seen[rows])
    return called


EFFICACY: Final = "SVC (RBF, C 3, gamma auto) on {}, kept against population: share of forgotten called non-member"
SVC: Final[dict[str, Signal]] = {
    "confidence": confidence,
    "correctness": correctness,
    "entropy": entropy,
    "modified_entropy": modified_entropy,
}


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the evidence of M08 on four signals, M09 and M10; nothing where the policy wants no legacy forms."""
    if not policy.legacy:
        return []
    found: list[Evidence] = []
    for name, signal in SVC.items():
        how = EFFICACY.format(name.replace("_", " "))
        naming = Naming(f"svc_{name}", how, legacy=True, harmful="lower", note=NO_AUC)
        attack = OneSided(signal)
        found += per_model.evidence(pools, policy, naming, lambda pool, a=attack: a.measure(pool, policy))  # type: ignore[misc]
    logistic = OneSided(entropy, "logistic")
    how = "logistic regression on entropy, kept against population: share of forgotten called member"
    naming = Naming("entropy", how, legacy=True, note=NO_AUC)
    found += per_model.evidence(pools, policy, naming, lambda pool: logistic.measure(pool, policy))
    how = "Shokri's attack for each class: forgotten records no longer called members, of those that were"
    naming = Naming("shokri_forgetting_rate", how, legacy=True, harmful="lower", note=NO_AUC, bounds=(-np.inf, np.inf))
    found += per_model.evidence(pools, policy, naming, lambda pool: Shokri().measure(pools, pool))
    return found
