"""Verdicts of whole simulated audits: what leaks is found, what is retrained passes, what learnt nothing fails."""

from collections import Counter

import numpy as np
import pytest
from audit_sample import K, logits_of, made_pools

from expunge.audit.battery.run import ALL, answers, run, run_controls
from expunge.audit.pools import Pool
from expunge.core.policy import QUESTIONS, AuditPolicy
from expunge.core.verdict import NOTHING, verdict_of

POLICY = AuditPolicy(questions=tuple(q for q in QUESTIONS if q.name != "residue"), legacy=False)
MEASURES = tuple(name for name in ALL if answers(name, POLICY))


def audited(seed, n_models=64):
    """Verdicts on several unlearners of one set of simulated models."""
    pools = made_pools(0.0, n_models, seed=seed)
    controls = run_controls(pools, POLICY, MEASURES)
    after, rng = pools.need("after"), np.random.default_rng(100 + seed)
    before = pools.need("before").logits
    nearly = before + rng.normal(0, 0.1, before.shape).astype(np.float32)
    collapsed = logits_of(after.roles, pools.truth, 0.0, -4.0, -0.5, rng)
    unlearners = {
        "retrain": after,
        "no-op": pools.need("before"),
        "finetune": Pool("after", after.roles, pools.truth, after.pairs, logits=nearly),
        "ascent past collapse": Pool("after", after.roles, pools.truth, after.pairs, logits=collapsed),
        "random": pools.controls["random init"],
    }
    assert before.shape[2] == K
    found = {}
    for name, pool in unlearners.items():
        judging = pools.judging(pool)
        found[name] = verdict_of(run(judging, POLICY, MEASURES), POLICY, controls=controls, registered=POLICY)
    return found


def check(found):
    assert found["no-op"].overall == found["finetune"].overall == "residue"
    assert found["random"].utility == "failed"
    assert found["ascent past collapse"].overall == "overshoot" or found["ascent past collapse"].utility == "failed"


def test_one_audit_with_all_its_controls():
    found = audited(3, n_models=32)
    check(found)
    assert found["retrain"].overall in ("clean", "inconclusive")
    assert all(c.held for c in found["retrain"].controls)


@pytest.mark.slow
def test_twenty_audits():
    """Section 10: retrain clean or inconclusive in 19 of 20 or more, invalid in 1 or less; leaks found 20 of 20."""
    seen = Counter()
    for seed in range(20):
        found = audited(seed)
        check(found)
        seen[found["retrain"].overall] += 1
    assert seen["clean"] + seen["inconclusive"] >= 19
    assert seen["invalid"] <= 1


def test_without_shadows_and_reference_nothing_is_decided():
    """V6: the same pools without references answer nothing."""
    pools = made_pools(1.5, 16, n=200, n_population=60)
    bare = type(pools)(pools.ids, pools.truth, K, tuple(p for p in pools.pools if p.world != "reference"))
    said = verdict_of(run(bare, POLICY, MEASURES), POLICY, registered=POLICY)
    assert {f.status for f in said.findings} == {"not_measured"}
    assert said.overall == "inconclusive"


def test_an_original_that_leaks_nothing_leaves_nothing_to_detect():
    """V1: a model that generalises well fails the positive control honestly."""
    pools = made_pools(0.0, 16, n=200, n_population=60)
    quiet = [p if p.world != "before" else pools.controls["retrain"] for p in pools.pools]
    quiet = tuple(
        Pool(world, p.roles, p.truth, p.pairs, logits=p.logits)
        for world, p in zip(("before", "after", "reference"), quiet, strict=True)
    )
    still = type(pools)(pools.ids, pools.truth, K, quiet)
    said = verdict_of(run(still, POLICY, MEASURES), POLICY, registered=POLICY)
    assert said.overall == "inconclusive"
    assert NOTHING in said.reasons
