"""The deletions that hurt: each does to the data what its name says, can be carried out, and comes once."""

from __future__ import annotations

import numpy as np
import pytest

from expunge.core.conformance import tiny_world
from expunge.core.conformance.batches import hard_batches
from expunge.core.models import rows_to_forget


@pytest.fixture(params=range(8), ids="world {}".format)
def world(request):
    return tiny_world(request.param)


def test_every_batch_can_be_carried_out_and_comes_once(world):
    batches = hard_batches(world)
    assert len(batches) > 10
    assert len({frozenset(ids) for _, ids in batches}) == len(batches)
    for _, ids in batches:
        assert len(rows_to_forget(world, ids)) == len(ids) > 0


def test_columns_turn_constant_lose_their_gaps_and_their_rare_values(world):
    named = dict(hard_batches(world))
    for name, ids in named.items():
        if not name.endswith("'"):
            continue
        what, _, column = name.rstrip("'").rpartition(" of '")
        kept, all_of_it = world.without(ids).columns[column].values, world.columns[column].values
        if what == "all but the commonest value":
            there = kept[kept >= 0] if kept.dtype.kind == "i" else kept[~np.isnan(kept)]
            assert len(np.unique(there)) == 1
        elif what == "all gaps":
            assert not (kept < 0).any() if kept.dtype.kind == "i" else not np.isnan(kept).any()
        elif what == "the smallest value":
            assert np.nanmin(kept) > np.nanmin(all_of_it)
        elif what in {"the largest value", "the upper side"}:
            assert np.nanmax(kept) < np.nanmax(all_of_it)


def test_sizes_cross_powers_of_two(world):
    sizes = {len(world) - len(ids) for name, ids in hard_batches(world) if name.startswith("down to")}
    assert {8, 16} & sizes
    assert any(size + 1 in sizes for size in sizes)


def test_duplicates_go_one_by_one_and_together(world):
    named = dict(hard_batches(world))
    one = named["one of each set of equal records"]
    digests = {d.tobytes() for d in world.without(one).record_digests}
    assert all(world.only([i]).record_digests[0].tobytes() in digests for i in one)
    both = named.get("all records that are not alone", one)
    left = world.without(both).record_digests
    assert len(np.unique(left, axis=0)) == len(left) or both == one


def test_all_kinds_of_deletion_occur_somewhere():
    seen = {name.rpartition(" of '")[0] or name for seed in range(8) for name, _ in hard_batches(tiny_world(seed))}
    assert {
        "all but the commonest value", "all gaps", "the only record of a value", "the smallest value",
        "the largest value", "the upper side", "the subject with most records",
    } <= seen  # fmt: skip
