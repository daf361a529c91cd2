"""Pools in which all models forgot the same records, with a known truth: what an auditor of one request looks at."""

import numpy as np

from expunge.audit.pools import FORGOTTEN, KEPT, POPULATION, Pool, Pools
from expunge.core.policy import AuditPolicy

POLICY = AuditPolicy()


def roles_of(n_models, n_forgotten=30, n_kept=40, n_holdout=30):
    row = np.repeat([FORGOTTEN, KEPT, POPULATION], [n_forgotten, n_kept, n_holdout])
    return np.tile(row, (n_models, 1)).astype(np.uint8)


def fixed_pools(n_models=64, *, left=0.0, learnt=2.0, seed=0, n_classes=4, paired=True, form="logits", **sizes):
    """Return pools of logits (or φ); forgotten records keep `left` of the log-odds that learning gave them."""
    generator = np.random.default_rng(seed)
    roles = roles_of(n_models, **sizes)
    n = roles.shape[1]
    truth = generator.integers(0, n_classes, n)
    hard = generator.normal(size=(n, n_classes))
    hard[np.arange(n), truth] += 1.0

    def world(name, gain):
        z = hard + generator.normal(size=(n_models, n, n_classes))
        shift = np.where(roles[0] == KEPT, learnt, np.where(roles[0] == FORGOTTEN, gain, 0.0))
        z[:, np.arange(n), truth] += shift
        pairs = np.arange(n_models) if paired else 1000 * len(name) + np.arange(n_models)
        pool = Pool(name, roles, truth, pairs, logits=z.astype(np.float32))
        return pool if form == "logits" else Pool(name, roles, truth, pairs, given=pool.phi)

    worlds = world("before", learnt), world("after", left), world("reference", 0.0)
    untrained = Pool("other", roles[:3], truth, np.arange(3), logits=0.05 * generator.normal(size=(3, n, n_classes)))
    return Pools(tuple(f"r{i}" for i in range(n)), truth, n_classes, worlds, controls={"random init": untrained})


def by_name(found):
    names = [e.name for e in found]
    assert len(set(names)) == len(names)
    return {e.name: e for e in found}
