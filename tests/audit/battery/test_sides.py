"""Sides: every record gets as many models, pairs stay pairs, and shuffled labels keep the sizes."""

import numpy as np
import pytest
from audit.battery.fixed_pools import fixed_pools
from audit.battery.pool_worlds import pools_of
from hypothesis import given
from hypothesis import strategies as st

from expunge.audit.battery.sides import ROLES, Sides, face
from expunge.audit.pools import FORGOTTEN
from expunge.core.errors import Unsupported


def test_every_record_has_the_models_that_forgot_it():
    pools = pools_of(64, 200, seed=3)
    sides = face(pools, "after", "forgotten", fewest=5)
    after, reference = pools.paired("after")
    counts = after.has(FORGOTTEN).sum(axis=0)
    assert (np.flatnonzero(counts >= 5) == sides.records).all()
    assert sides.n_models == counts[sides.records].min()
    for column, record in enumerate(sides.records[:20]):
        models = np.flatnonzero(after.has(FORGOTTEN)[:, record])[: sides.n_models]
        expected = np.concatenate([after.phi[models, record], reference.phi[models, record]])
        assert (sides.pooled[:, column] == expected).all()
        assert (sides.units[:, column] == np.concatenate([models, 64 + models])).all()


@given(st.integers(0, 10_000), st.booleans())
def test_shuffled_labels_keep_sizes_and_pairs(seed, paired):
    generator = np.random.default_rng(seed)
    sides = Sides.of(generator.normal(size=(9, 3)), generator.normal(size=(9, 3)), paired=paired)
    labels = sides.shuffled(generator, 40)
    assert labels.shape == (40, 18)
    assert (labels.sum(axis=1) == 9).all()
    assert (labels[:, :9] ^ labels[:, 9:]).all() == paired or not paired
    kept = sides.keeping(np.array([0, 2, 5]))
    assert (kept.arm == sides.arm[[0, 2, 5]]).all()
    assert len(kept) == 3


def test_pools_without_partners_are_cut_to_one_size():
    pools = fixed_pools(70, paired=False)
    sides = face(pools, "after", "kept")
    assert not sides.paired
    assert sides.n_models == 70
    assert set(ROLES) == {"forgotten", "kept", "holdout"}


def test_missing_pools_and_models_are_named():
    pools = pools_of(64, 200, seed=3)
    with pytest.raises(Unsupported, match="at most"):
        face(pools, "after", "forgotten")
    with pytest.raises(Unsupported, match="no pool of models reference"):
        face(pools.__class__(pools.ids, pools.truth, pools.n_classes, pools.pools[:2]), "after", "forgotten")
