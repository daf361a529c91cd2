"""Pools with a known truth: a record's signal is its difficulty, noise, and a shift where a model has learnt it."""

import numpy as np

from expunge.audit.pools import FORGOTTEN, KEPT, NEVER, POPULATION, Pool, Pools
from expunge.core.policy import AuditPolicy

POLICY = AuditPolicy()
NOISE = {"normal": lambda g, s: g.normal(size=s), "t3": lambda g, s: g.standard_t(3, size=s)}


def roles_of(n_models, n_records, generator, n_population=60):
    """Half of the records are members, a fifth of these forgotten; the first `n_population` are in no model's draw."""
    member = generator.random((n_models, n_records)) < 0.5
    roles = np.where(member & (generator.random(member.shape) < 0.2), FORGOTTEN, np.where(member, KEPT, NEVER))
    roles[:, :n_population] = POPULATION
    return roles.astype(np.uint8)


def pools_of(n_models=64, n_records=260, *, shift=2.0, left=0.0, seed=0, noise="normal", scale=1.0, **more):
    """Members are `shift` above others; of it, `left` is what forgotten records keep in the models after."""
    generator = np.random.default_rng(seed)
    roles = roles_of(n_models, n_records, generator)
    difficulty = 3 * generator.normal(size=n_records)
    truth = generator.integers(0, 4, n_records)

    def pool(world, forgotten):
        gain = np.where(roles == KEPT, shift, np.where(roles == FORGOTTEN, forgotten, 0.0))
        phi = scale * (difficulty + gain + NOISE[noise](generator, roles.shape))
        return Pool(world, roles, truth, np.arange(n_models), given=phi)

    worlds = (pool("before", shift), pool("after", left), pool("reference", 0.0))
    return Pools(tuple(map(str, range(n_records))), truth, 4, worlds, **more)


def with_logits(pools, n_classes=4, seed=1):
    """The same pools with logits whose φ is that given: the true class stands φ above the others' log-sum-exp."""
    generator = np.random.default_rng(seed)

    def pool(old):
        others = generator.normal(size=(*old.roles.shape, n_classes - 1))
        top = np.log(np.exp(others).sum(-1)) + old.phi
        at = np.arange(n_classes - 1) + (np.arange(n_classes - 1) >= old.truth[:, None])
        z = np.empty((*old.roles.shape, n_classes))
        np.put_along_axis(z, np.broadcast_to(at, others.shape), others, -1)
        np.put_along_axis(z, np.broadcast_to(old.truth[:, None], (*old.roles.shape, 1)), top[..., None], -1)
        return Pool(old.world, old.roles, old.truth, old.pairs, logits=z.astype(np.float32))

    return Pools(pools.ids, pools.truth, n_classes, tuple(pool(p) for p in pools.pools))


def by_name(found):
    names = [e.name for e in found]
    assert len(names) == len(set(names)), names
    return {e.name: e for e in found}
