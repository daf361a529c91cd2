"""M07, the population attack: one threshold on the loss for all records, forgotten against records no model knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from expunge.audit.battery import per_model
from expunge.audit.battery.games import Arena, Attack, Board, Left, area
from expunge.audit.battery.membership_evidence import evidence
from expunge.audit.battery.per_model import Measured, Naming
from expunge.audit.battery.rmia import log_probability, population_of
from expunge.audit.nulls import FOR_RANKS, Compared
from expunge.audit.pools import FORGOTTEN, Mask, Pool, Pools
from expunge.audit.statistics import FEWEST_BLOCKS, auc_of_one
from expunge.core import estimates
from expunge.core.errors import BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats
from expunge.core.seeds import Key

N_SPLITS: Final = 10
TESTED: Final = 0.1
MOST_MODELS: Final = 32
"""The starter-kit form attacks this many models at most; each takes ten logistic regressions."""
MOST_RECORDS: Final = 1000
"""Records on each side of them, at most."""
MOST_STEPS: Final = 100

AUC: Final = "population"
STARTER: Final = Naming(
    "population_starter_accuracy",
    "logistic regression on the loss, forgotten against population, balanced, 10 stratified shuffle splits: accuracy",
)


def play(arena: Arena) -> Callable[[Left], Board]:
    """Return the board of signals: φ has the order of minus the loss, so both give one AUC.

    Raises:
        BadInput: there is no population.
    """
    pool = arena.target
    inside, outside = pool.has(FORGOTTEN), population_of(pool)

    def board(left: Left) -> Board:
        plays = arena.split.playing(left)[:, None]
        return Board(pool.phi, inside & plays, outside & plays)

    return board


def population() -> Attack:
    """Return M07's threshold form."""
    how = "population attack: AUC of −loss within each model, forgotten against population; mean over models"
    return Attack(AUC, how, play, by_model=True)


def starter_accuracy(losses: Floats, inside: Mask, generator: np.random.Generator) -> float:
    """Return the accuracy of the starter-kit attack on one model: a logistic regression on the loss.

    Args:
        losses: of the records that are told apart, shape (n,).
        inside: which of them are forgotten, shape (n,).
        generator: the randomness of balance and splits.

    Raises:
        BadInput: fewer than ten records on a side.

    Source: M07, the starting kit of the NeurIPS 2023 challenge: the larger side is cut to the smaller one's size; ten
        splits, stratified, a tenth tested.
    """
    sides = [np.flatnonzero(inside), np.flatnonzero(~inside)]
    size = min(*(len(s) for s in sides), MOST_RECORDS)
    if size < N_SPLITS:
        raise BadInput(f"the starter-kit attack needs {N_SPLITS} records on each side, not {size}")
    balanced = np.stack([generator.permutation(s)[:size] for s in sides])
    mixed = generator.permuted(np.broadcast_to(balanced, (N_SPLITS, 2, size)), axis=2)
    cut = int(np.ceil(TESTED * size))
    test, train = (part.reshape(N_SPLITS, -1) for part in (mixed[..., :cut], mixed[..., cut:]))
    slope, offset = logistic(losses[train], inside[train])
    called = slope[:, None] * losses[test] + offset[:, None] > 0
    return float((called == inside[test]).mean())


def logistic(x: Floats, inside: Mask) -> tuple[Floats, Floats]:
    """Return slope and offset of several logistic regressions on one feature, each of shape (fits,).

    Args:
        x: the feature, shape (fits, n).
        inside: the outcome, same shape.

    Minimises ½ slope² + Σ log(1 + exp(−±(slope·x + offset))), scikit-learn's default, by Newton steps of bounded
    length on the standardised feature.
    """
    centre, scale = x.mean(axis=1, keepdims=True), np.maximum(x.std(axis=1, keepdims=True), 1e-12)
    z, penalty = (x - centre) / scale, 1.0 / scale[:, 0] ** 2
    w, b = np.zeros(len(x)), np.zeros(len(x))
    for _ in range(MOST_STEPS):
        p = 1.0 / (1.0 + np.exp(-np.clip(w[:, None] * z + b[:, None], -500.0, 500.0)))
        error, weight = p - inside, p * (1 - p) + 1e-9
        g_w, g_b = (error * z).sum(axis=1) + penalty * w, error.sum(axis=1)
        h_ww, h_wb, h_bb = (weight * z * z).sum(axis=1) + penalty, (weight * z).sum(axis=1), weight.sum(axis=1)
        inverse = 1.0 / (h_ww * h_bb - h_wb**2)
        step = np.stack([(h_bb * g_w - h_wb * g_b), (h_ww * g_b - h_wb * g_w)]) * inverse
        step /= np.maximum(1.0, np.abs(step).max(axis=0))
        w, b = w - step[0], b - step[1]
        if np.abs(step).max() < 1e-9:
            break
    slope = w / scale[:, 0]
    return np.asarray(slope), np.asarray(b - slope * centre[:, 0])


def _starter(pool: Pool, policy: AuditPolicy) -> Measured:
    first = pool.take(np.arange(min(len(pool), MOST_MODELS)))
    losses, inside, outside = -log_probability(first.phi), first.has(FORGOTTEN), population_of(first)
    values = []
    for i, pair in enumerate(first.pairs):
        asked = inside[i] | outside[i]
        generator = Key.public(policy.seeds[0]).child(f"starter/{pair}").generator("splits")
        values.append(starter_accuracy(losses[i][asked], inside[i][asked], generator))
    return Measured(first.pairs, np.array(values), int((inside | outside).any(axis=0).sum()))


def single(pools: Pools, policy: AuditPolicy) -> Iterator[Evidence]:
    """Yield M07 of an audit with one or two models after (the first): DeLong's interval, its place among references."""
    name = f"membership.{AUC}_auc"
    yield Evidence.missing(f"membership.{STARTER.name}@after", "one model gives this form no interval")
    try:
        scores = _scores(pools.need("after"))[0]
        found, why = estimates.auc(*scores), None
    except (BadInput, Unsupported) as error:
        yield Evidence.missing(f"{name}@after", error.message)
        yield Evidence.missing(f"{name}_excess@after", error.message)
        return
    try:
        references = _scores(pools.need("reference"))
        found = auc_of_one(scores, references)
    except (BadInput, Unsupported) as error:
        references, why = [], "Without references the randomness of training is not in the interval."
        yield Evidence.missing(f"{name}_excess@after", error.message)
    yield Evidence(
        name=f"{name}@after",
        estimator="population attack on one model: AUC of −loss, forgotten against population; 95 % DeLong interval "
        "over records, widened by how references scatter",
        value=found.value,
        low=found.low,
        high=found.high,
        n=found.n,
        n_models=1,
        seeds=policy.seeds,
        note=why,
    )
    if references:
        draws = np.array([area(*each) for each in references])
        yield _single_excess(f"{name}_excess@after", found.value, draws, found.n, policy)


def _single_excess(name: str, value: float, draws: Floats, n: int, policy: AuditPolicy) -> Evidence:
    compared = Compared(value, draws, "retrain", "rank" if len(draws) >= FOR_RANKS else "normal-assumed")
    estimate = compared.estimate
    found = estimate.interval(bounds=(-1.0, 1.0))
    centred = Compared(compared.excess, draws - draws.mean(), compared.what, compared.form)
    return Evidence(
        name=name,
        estimator=f"population attack on one model; after − mean of {len(draws)} references, {compared.form}",
        value=found.value,
        low=found.low,
        high=found.high,
        n=n,
        n_models=len(draws),
        null=centred.null,
        p_value=compared.p_value(),
        power=estimate.detectable(policy.alpha, policy.power),
        seeds=policy.seeds,
    )


def _scores(pool: Pool) -> list[tuple[Floats, Floats]]:
    """Return, model by model, the signals of forgotten and of population records."""
    inside, outside = pool.has(FORGOTTEN), population_of(pool)
    return [(pool.phi[i][inside[i]], pool.phi[i][outside[i]]) for i in range(len(pool))]


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the evidence of both forms of the population attack; of the first alone where there is one model."""
    after = pools.get("after")
    if after is not None and len(after) < FEWEST_BLOCKS:
        return list(single(pools, policy))
    starter = per_model.evidence(pools, policy, STARTER, lambda pool: _starter(pool, policy))
    return [*evidence(pools, policy, population()), *starter]
