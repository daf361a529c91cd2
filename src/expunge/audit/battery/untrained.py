"""M21, ZRF: whether models know as little of what they forgot as an untrained network does.

The good value is that of retrained models, not 1: what a model was never shown it can still be right about.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from expunge.audit import statistics
from expunge.audit.battery.probabilities import chunks, js, js_legacy, probabilities
from expunge.audit.battery.sides import Arm, Reading, randomness
from expunge.audit.nulls import N_SHUFFLES, Compared
from expunge.audit.pools import FORGOTTEN, Pool, Pools
from expunge.core.errors import BadData, BadInput, Unsupported
from expunge.core.evidence import Evidence
from expunge.core.policy import AuditPolicy
from expunge.core.roles import Floats

WORDS: Final = "labels swapped within pairs of models"
NAMES: Final = {
    "after": ("zrf_excess@after", "zrf@after", "zrf@reference"),
    "before": ("zrf_excess@before", "zrf@before"),
}


def measure(pools: Pools, policy: AuditPolicy) -> list[Evidence]:
    """Return the ZRF of unlearned, original and retrained models; needs a control pool ``random init``.

    * ``likeness.zrf@{after,before,reference}``: 1 − the mean JS divergence (bits) to untrained models.
    * ``likeness.zrf_excess@<arm>``: less that of the retrained partners; lower = knows more of the forgotten records.
    * ``likeness.zrf_legacy@<arm>``: the published code's number, beside its null.

    Guarantee: none. Relabelling and noise raise the ZRF without forgetting anything.
    Cost: one pass over the logits.
    Source: M21, B7; Chundawat et al. (2023).
    """
    untrained = next((pool for name, pool in pools.controls.items() if name.split(" ")[:2] == ["random", "init"]), None)
    found: list[Evidence] = []
    for arm in ("after", "before"):
        try:
            if untrained is None:
                raise Unsupported("ZRF needs a control pool named 'random init'")
            found += _readings(pools, arm, untrained, policy)
        except (Unsupported, BadInput, BadData) as error:
            found += [Evidence.missing(f"likeness.{name}", error.message) for name in NAMES[arm]]
    return found


def scores(pool: Pool, untrained: Pool, divergence: Callable[[Floats, Floats], Floats]) -> Floats:
    """Return 1 − the mean divergence of each model to an untrained one, over its forgotten records, shape (M,).

    Args:
        pool: the models; model i is compared with untrained model i modulo their number.
        untrained: models before any training.
        divergence: of probabilities, over the last axis.

    Raises:
        Unsupported: there are no logits, or a model has forgotten nothing.
    """
    used = pool.has(FORGOTTEN)
    if not used.any(axis=1).all():
        raise Unsupported("ZRF needs forgotten records in every model")
    partner = np.arange(len(pool)) % len(untrained)
    sums = np.zeros(len(pool))
    for chunk in chunks(np.flatnonzero(used.any(axis=0)), pool):
        p, q = probabilities(pool, chunk), probabilities(untrained, chunk)[partner]
        sums += np.where(used[:, chunk], divergence(p, q), 0.0).sum(axis=1)
    return np.asarray(1 - sums / used.sum(axis=1))


def _readings(pools: Pools, arm: Arm, untrained: Pool, policy: AuditPolicy) -> list[Evidence]:
    pair = pools.paired(arm)
    n, m = int(pair[0].has(FORGOTTEN).any(axis=0).sum()), len(pair[0])
    ours, theirs = (scores(pool, untrained, js) for pool in pair)
    signs = np.where(randomness(policy, "likeness.zrf").random((N_SHUFFLES, m)) < 0.5, 1.0, -1.0)

    def written(name: str, estimator: str) -> Reading:
        return Reading(f"likeness.{name}", estimator, n, m, policy.seeds)

    def over_models(values: Floats) -> statistics.Estimate:
        return statistics.jackknife(m, policy.n_blocks, lambda kept: float(values[kept].mean()))

    gaps = ours - theirs
    draws = (signs * gaps).mean(axis=1)
    compared = Compared(float(gaps.mean()), draws - draws.mean(), WORDS, "rank")
    what = "1 − mean JS divergence (bits) to untrained models"
    excess = written(f"zrf_excess@{arm}", f"ZRF ({what}) less that of the retrained partner")
    found = [excess.excess(compared, over_models(gaps), policy.alpha, "lower")]
    worlds = {arm: ours} if arm == "before" else {arm: ours, "reference": theirs}
    for world, values in worlds.items():
        interval = over_models(values).interval(bounds=(-np.inf, 1.0))
        found.append(written(f"zrf@{world}", f"ZRF: {what}").plain(interval))
    if policy.legacy:
        old = [scores(pool, untrained, js_legacy) for pool in pair]
        shuffled = ((old[0] + old[1]) / 2 + signs * (old[0] - old[1]) / 2).mean(axis=1)
        legacy = Compared(float(old[0].mean()), shuffled, WORDS, "rank")
        note = "Divided by the number of classes and taken in the wrong order: near 1 for whatever has many classes."
        found.append(written(f"zrf_legacy@{arm}", "published ZRF").beside(legacy, note))
    return found
